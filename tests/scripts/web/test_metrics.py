"""The metrics as Prometheus reads them, the Grafana dashboard and the alert rules."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from store.analysis.many_accounts import STANDINGS
from store.constants import MANY_ACCOUNTS
from store.database import open_writer, transaction
from store.edits import merge_accounts
from store.models import Budget, Credits, Identity, Tokens, Transport, Turn, Window
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, limit, snapshot, windows
from tests.support.harness import REPOSITORY, wait_until
from tests.support.synthetic_history import PLANS, Size, generate
from tests.support.web_server import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.models import Snapshot

DASHBOARDS = REPOSITORY / "scripts" / "dashboards"
_NAME = re.compile(r"codex_tap_\w+")

Labels = tuple[tuple[str, str], ...]


def labels(**named: str) -> Labels:
    return tuple(sorted(named.items()))


def scrape(site: Site) -> dict[str, dict[Labels, float]]:
    """Return all samples by name and labels, as parsed by Prometheus' own parser."""
    answer = site.get("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = labels(**sample.labels)
            assert key not in series, f"{sample.name}{key} is there twice"
            series[key] = sample.value
    return found


def counted(site: Site) -> dict[str, dict[Labels, float]]:
    """Return all samples, once the initial count of turns is complete."""
    wait_until(lambda: "codex_tap_turns_total" in scrape(site), lambda: "the turns are never counted")
    return scrape(site)


def reading(five: float, *, who: Identity = ALICE, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, ten seconds ago."""
    at = time.time()
    return snapshot(limit(windows(five, 41, at=at)), who=who, at=at - 10, **fields)


def turn(who: Identity = ALICE, **fields: Any) -> Turn:
    """A turn of 100 tokens in, 80 of them cached, and 10 out, 4 of them reasoning."""
    at = time.time()
    defaults = {"status": 200, "tokens": Tokens(input=100, cached=80, output=10, reasoning=4)}
    return Turn(identity=who, transport=Transport.HTTP, started_at=at - 5, ended_at=at, **{**defaults, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with two accounts, one with a full 5 h window, and turns of each outcome."""
    held = Credits(has_credits=True, unlimited=False, balance="9.5")
    return record(
        tmp_path / "web.sqlite3",
        reading(13, credits=held),
        reading(100, who=BOB),
        turn(),
        turn(),
        turn(warm_up=True, tokens=Tokens()),
        turn(BOB, status=429, error_type="usage_limit_reached", tokens=Tokens()),
    )


@pytest.fixture
def site(path: Path) -> Iterator[Site]:
    with Site(path) as found:
        yield found


def test_current_limits_are_gauges(site: Site) -> None:
    """Ratios are from 0 to 1, timestamps in Unix seconds, by account, limit and window, with the real length."""
    found = scrape(site)
    five = labels(account="acct-a/user-a", limit="codex", window="5h", length="5h")
    assert found["codex_tap_limit_used_ratio"][five] == 0.13
    assert found["codex_tap_limit_remaining_ratio"][five] == 0.87
    assert 8_900 < found["codex_tap_limit_reset_timestamp_seconds"][five] - time.time() <= 9_000
    whole = {who: labels(account=f"acct-{who}/user-{who}", limit="codex") for who in "ab"}
    assert 9 <= found["codex_tap_limit_reading_age_seconds"][whole["a"]] < 60
    assert [found["codex_tap_limit_reached"][whole[who]] for who in "ab"] == [0, 1]
    assert [found["codex_tap_limit_blocked"][whole[who]] for who in "ab"] == [0, 1]
    assert found["codex_tap_credits_balance"] == {labels(account="acct-a/user-a"): 9.5}
    assert found["codex_tap_database_readable"] == {(): 1}
    assert found["codex_tap_recorder_lost_readings_total"] == {(): 0}
    assert found["codex_tap_recorder_waiting_files"] == {(): 0}
    assert 9 <= time.time() - found["codex_tap_recorder_newest_reading_timestamp_seconds"][()] < 60


def test_unreported_windows_are_absent(tmp_path: Path) -> None:
    """A limit without a 5h window has no ratio for it, rather than one of 0."""
    at = time.time()
    with Site(record(tmp_path / "web.sqlite3", snapshot(limit(windows(seven=3, at=at)), at=at))) as site:
        found = scrape(site)
    assert [dict(key)["window"] for key in found["codex_tap_limit_used_ratio"]] == ["7d"]
    assert "codex_tap_credits_balance" not in found


def test_turns_and_tokens_are_counted(site: Site, path: Path) -> None:
    """Each turn counts once, by outcome and kind, and later turns are added."""
    alice = {"account": "acct-a/user-a", "limit": "codex"}
    found = counted(site)
    assert found["codex_tap_turns_total"] == {
        labels(**alice, outcome="answered"): 2,
        labels(**alice, outcome="warm_up"): 1,
        labels(account="acct-b/user-b", limit="codex", outcome="failed"): 1,
    }
    record(path, turn(), turn(limit_id="codex_bengalfox"))
    found = scrape(site)
    assert found["codex_tap_turns_total"][labels(**alice, outcome="answered")] == 3
    kinds = ("input", "cached", "output", "reasoning")
    tokens = [found["codex_tap_tokens_total"][labels(**alice, kind=kind)] for kind in kinds]
    assert tokens == [300, 240, 30, 12]
    assert scrape(site)["codex_tap_turns_total"] == found["codex_tap_turns_total"]


def test_a_replaced_file_is_counted_from_its_start(site: Site, path: Path, tmp_path: Path) -> None:
    """The counts of a replaced database are dropped."""
    counted(site)
    record(tmp_path / "other.sqlite3", reading(1), turn()).replace(path)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    key = labels(account="acct-a/user-a", limit="codex", outcome="answered")
    wait_until(
        lambda: scrape(site).get("codex_tap_turns_total", {}).get(key) == 1, lambda: "the other file is not counted"
    )


def test_a_deleted_account_leaves_no_series(site: Site) -> None:
    """Its gauges and its counters disappear."""
    counted(site)
    assert site.write("DELETE", "/api/accounts/alice").status == 200
    assert "acct-a" not in site.get("/metrics").text


def test_labels_are_names_without_emails(site: Site, path: Path) -> None:
    """The label of an account is its name, else its key; its e-mail address only if the settings allow that."""
    assert "@" not in site.get("/metrics").text
    site.write("PATCH", "/api/accounts/alice", {"name": 'wo"rk\\'})
    assert {dict(key)["account"] for key in scrape(site)["codex_tap_limit_reached"]} == {'wo"rk\\', "acct-b/user-b"}
    with Site(path, metrics_emails=True) as asked:
        accounts = {dict(key)["account"] for key in scrape(asked)["codex_tap_limit_reached"]}
    assert accounts == {'wo"rk\\', BOB.email}


def test_accounts_with_equal_names_have_different_labels(tmp_path: Path) -> None:
    """Two workspaces with one e-mail address, or a name equal to another account's key: series stay unique."""
    twin = Identity(token_key="twin~0000000003", account_id="acct-t", user_id="user-t", email=ALICE.email)
    path = record(tmp_path / "web.sqlite3", reading(1), reading(2, who=BOB), reading(3, who=twin), turn(), turn(twin))
    with Site(path, metrics_emails=True) as site:
        assert site.write("PATCH", "/api/accounts/bob", {"name": "acct-a/user-a"}).status == 200
        accounts = {dict(key)["account"] for key in counted(site)["codex_tap_limit_reached"]}
    assert accounts == {"acct-a/user-a", BOB.email, "acct-t/user-t"}


def test_turns_of_a_merged_account_are_counted_for_the_other(tmp_path: Path) -> None:
    """Its series ends, and that of the account that it was merged into has all turns of both."""
    path = record(tmp_path / "web.sqlite3", reading(1), reading(2, who=BOB), turn(), turn(BOB), turn(BOB))
    outcome = {"limit": "codex", "outcome": "answered"}
    with Site(path, metrics_emails=True) as site:
        assert counted(site)["codex_tap_turns_total"][labels(account=BOB.email or "", **outcome)] == 2
        with closing(open_writer(path)) as connection, transaction(connection):
            merge_accounts(connection, 1, 2)
        assert counted(site)["codex_tap_turns_total"] == {labels(account=ALICE.email or "", **outcome): 3}


def test_a_database_that_cannot_be_read_is_reported(site: Site, path: Path) -> None:
    """The scrape still works, and a gauge reports the error."""
    damage(path)
    assert scrape(site).keys() == {"codex_tap_build_info", "codex_tap_database_readable"}
    assert scrape(site)["codex_tap_database_readable"] == {(): 0}


def test_an_empty_database_has_no_limits(tmp_path: Path) -> None:
    """A server that is started first reports a readable database."""
    with Site(tmp_path / "web.sqlite3") as site:
        assert scrape(site)["codex_tap_database_readable"] == {(): 1}


# What is made for it


@pytest.fixture
def exported(site: Site) -> set[str]:
    """Return the names of all metrics."""
    return set(counted(site))


def test_the_dashboard_uses_exported_metrics(exported: set[str]) -> None:
    """The dashboard can be imported: every panel has queries, and they use exported metrics only."""
    dashboard = json.loads((DASHBOARDS / "grafana.json").read_text("utf-8"))
    assert dashboard["id"] is None
    assert dashboard["uid"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            names = set(_NAME.findall(target["expr"]))
            assert names, panel["title"]
            assert names <= exported, panel["title"]
    for variable in dashboard["templating"]["list"]:
        assert set(_NAME.findall(variable.get("definition", ""))) <= exported


def test_the_alert_rules_use_exported_metrics(exported: set[str]) -> None:
    """The rules have the form that Prometheus loads, with a summary."""
    document = yaml.safe_load((DASHBOARDS / "prometheus-alerts.yml").read_text("utf-8"))
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len(rules) == 2
    for rule in rules:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert set(_NAME.findall(rule["expr"])) <= exported
        assert _NAME.findall(rule["expr"])
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize(("unit", "label"), [(None, "credits"), ("usd", "usd")])
def test_a_budget_has_its_amounts(tmp_path: Path, unit: str | None, label: str) -> None:
    """They have the unit as a label; what is unknown is absent. The window is that of any limit."""
    amounts = Budget(limit="25000", used="24000.5", unit=unit)
    found = limit({"budget": Window(used_percent=96)}, limit_id="spend_control", budget=amounts)
    path = record(tmp_path / "tap.sqlite3", snapshot(limit(windows(13)), found, at=time.time() - 10))
    with Site(path) as site:
        metrics = scrape(site)
    names = labels(account="acct-a/user-a", limit="spend_control", unit=label)
    assert metrics["codex_tap_budget_limit"] == {names: 25_000}
    assert metrics["codex_tap_budget_used"] == {names: 24_000.5}
    assert "codex_tap_budget_remaining" not in metrics
    window = labels(account="acct-a/user-a", limit="spend_control", window="budget", length="budget")
    assert metrics["codex_tap_limit_used_ratio"][window] == 0.96


def test_a_great_many_accounts_are_numbers(tmp_path: Path) -> None:
    """Accounts and turns are counted by plan, and none is shown by itself."""
    path = tmp_path / "web.sqlite3"
    generate(path, Size(snapshots=1_500, turns=3_000, accounts=MANY_ACCOUNTS + 50, days=8), time.time())
    with Site(path) as site:
        found = counted(site)
    accounts = found["codex_tap_accounts"]
    assert sum(accounts.values()) == MANY_ACCOUNTS + 50
    assert {dict(key)["standing"] for key in accounts} == {*STANDINGS}
    assert {dict(key)["plan"] for key in found["codex_tap_turns_total"]} == {*PLANS}
    assert sum(found["codex_tap_turns_total"].values()) == 3_000
    assert "codex_tap_limit_used_ratio" not in found
    assert time.time() - found["codex_tap_recorder_newest_reading_timestamp_seconds"][()] < 600
