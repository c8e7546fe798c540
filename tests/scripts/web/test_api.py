"""The JSON API, over loopback."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from scripts.cli import cli
from store import documents
from store.models import Tokens, Window
from tests.support.codex_state import write_state
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, insert_history, limit, snapshot
from tests.support.prices import install_made_up_prices
from tests.support.usage_factories import busy
from tests.support.web_database import reading, turn
from tests.support.web_server import Site


def test_usage_is_the_document_of_status(site: Site, path: Path) -> None:
    """The document is that of `status --json` without the shell's login, for all accounts and for one."""
    for asked, words in (("/api/usage", []), ("/api/usage/bob", ["bob"])):
        command = ["status", "--json", *words, "--db", str(path)]
        expected = json.loads(CliRunner().invoke(cli, command).stdout)
        assert (expected.pop("logged_in"), expected.pop("login")) == (None, None)
        assert _still(site.get(asked).document) == _still(expected)


def _still(document: Any) -> Any:
    """Remove the fields that change with the clock."""
    if isinstance(document, dict):
        counting = {"generated_at", "age_seconds", "resets_in_seconds"}
        return {key: _still(value) for key, value in document.items() if key not in counting}
    return [_still(each) for each in document] if isinstance(document, list) else document


def test_history_has_the_limits_of_a_time_range(shared: Site) -> None:
    """The oldest entry comes first; the snapshot that stood at the start of the time range is included."""
    document = shared.get("/api/history?account=alice&since=24h").document
    assert [entry["windows"]["5h"]["used_percent"] for entry in document["entries"]] == [13, 20]
    assert [each["email"] for each in document["accounts"]] == [ALICE.email]
    assert shared.get("/api/history?since=30min").document["left_out"] == 0
    only = shared.get("/api/history?limit_id=codex_bengalfox").document["entries"]
    assert [entry["limit_id"] for entry in only] == ["codex_bengalfox"]


def test_history_begins_with_the_snapshot_at_its_start(tmp_path: Path) -> None:
    """A snapshot from before the time range is included if it was seen within the range."""
    path = record(tmp_path / "web.sqlite3", reading(1, ago=9_000), reading(2, ago=5_000), reading(2, ago=1_000))
    with Site(path) as site:
        entries = site.get("/api/history?since=1h").document["entries"]
        assert [entry["windows"]["5h"]["used_percent"] for entry in entries] == [2]
        assert site.get("/api/history?since=10min").document["entries"] == []


def test_history_is_thinned_to_points(tmp_path: Path) -> None:
    """Each step has at most two entries, the newest entry is included, and without steps all entries are."""
    path = record(tmp_path / "web.sqlite3", *(reading(number / 10, ago=5_000 - 4 * number) for number in range(1_000)))
    with Site(path) as site:
        whole = site.get("/api/history?since=2h").document["entries"]
        thin = site.get("/api/history?since=2h&points=10").document
        newest = site.get("/api/history?since=2h&limit=7").document
    assert len(whole) == 1_000
    assert thin["step_seconds"] == 720
    assert len(thin["entries"]) <= 2 * 11
    assert thin["entries"][-1] == whole[-1]
    assert [entry for entry in whole if entry in thin["entries"]] == thin["entries"]
    assert (newest["entries"], newest["left_out"]) == (whole[-7:], 993)


@pytest.mark.parametrize("who", ["", "account=alice&"])
def test_pages_of_turns_follow_each_other(tmp_path: Path, who: str) -> None:
    """The pages have every turn once, the newest first."""
    path = record(tmp_path / "web.sqlite3", *(turn(1_000 - number) for number in range(25)), turn(1, who=BOB))
    seen: list[int] = []
    with Site(path) as site:
        before = ""
        while True:
            page = site.get(f"/api/requests?{who}limit=10{before}").document
            seen += [each["id"] for each in page["requests"]]
            if page["next_before"] is None:
                break
            before = f"&before={page['next_before']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == (25 if who else 26)


def test_turns_have_counts_and_names(shared: Site) -> None:
    """A turn has its thread's name, its tokens and its result."""
    found = shared.get("/api/requests").document["requests"]
    assert [(each["email"], each["warm_up"], each["status"], each["input_tokens"]) for each in found] == [
        (BOB.email, False, 429, None),
        (ALICE.email, True, 200, 100),
        (ALICE.email, False, 200, 100),
    ]


@pytest.fixture
def sub_agents(tmp_path: Path) -> Path:
    """A thread that Codex knows, with a review that it started."""
    write_state(
        Path(os.environ["CODEX_HOME"]),
        {"id": "root", "title": "<b>Fix</b> the tests", "cwd": "/work/shop"},
        {"id": "review", "title": "Review the changes", "cwd": "/work/shop"},
    )
    review: dict[str, Any] = {"parent_thread": "root", "subagent": "review"}
    return record(
        tmp_path / "web.sqlite3",
        reading(1, ago=900),
        turn(800, thread="root"),
        turn(700, thread="review", **review),
        reading(5, ago=600),
    )


def test_names_of_threads(sub_agents: Path) -> None:
    """Turns and rows have title, folder and project; a tree where it is asked for."""
    with Site(sub_agents, names_on=True) as site:
        turns = site.get("/api/requests").document["requests"]
        (row,) = site.get("/api/breakdown?tree=true").document["rows"]
        (project,) = site.get("/api/breakdown?by=project").document["rows"]
    assert [(each["thread"], each["title"], each["folder"], each["project"]) for each in turns] == [
        ("review", "Review the changes", "/work/shop", "shop"),
        ("root", "<b>Fix</b> the tests", "/work/shop", "shop"),
    ]
    assert (row["key"], row["title"], row["turns"]) == ("root", "<b>Fix</b> the tests", 2)
    assert [(each["key"], each["title"]) for each in row["tree"]] == [("review", "Review the changes")]
    assert (project["key"], project["name"]) == ("/work/shop", "shop")


def test_only_so_many_rows_of_a_breakdown(tmp_path: Path) -> None:
    """The threads with the most use are listed, and the others are one sum; 500 by default."""
    path = record(
        tmp_path / "web.sqlite3",
        reading(0, ago=1_000),
        *(
            turn(900 - number, thread=f"t-{number:03}", tokens=Tokens(input=1, output=number + 1))
            for number in range(501)
        ),
        reading(5, ago=100),
    )
    with Site(path) as site:
        listed = site.get("/api/breakdown").document
        two = site.get("/api/breakdown?limit=2").document
        wrong = [site.get(f"/api/breakdown?limit={each}").status for each in ("0", "1001", "x")]
    assert (len(listed["rows"]), listed["other_rows"], listed["others"]["turns"]) == (500, 1, 1)
    assert [row["key"] for row in two["rows"]] == ["t-500", "t-499"]
    assert (two["other_rows"], two["others"]["turns"], two["others"]["threads"]) == (499, 499, 499)
    assert two["total"]["turns"] == 501
    assert wrong == [422, 422, 422]


def test_names_are_left_out_unless_they_are_on(sub_agents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex's files are not even read."""
    monkeypatch.setattr("scripts.codex_files.names.load_threads", None)
    with Site(sub_agents) as site:
        for asked in ("/api/requests", "/api/breakdown?tree=true", "/api/breakdown?by=project"):
            answer = site.get(asked)
            assert answer.status == 200
            assert "Fix" not in answer.text
            assert "/work" not in answer.text


def test_the_value_at_public_api_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The breakdown has it, by the user's own prices as they are at each request; an error says where a mistake is."""
    install_made_up_prices(monkeypatch)
    now = time.time()
    path = insert_history(tmp_path / "web.sqlite3", busy(now))
    own = tmp_path / "own.toml"
    monkeypatch.setenv("CODEX_TAP_PRICES", str(own))
    own.write_text("[models.n]\ninput = 1000\noutput = 5000\n", "utf-8")
    with Site(path) as site:
        found = site.get("/api/breakdown?by=week&since=14d").document
        own.write_text("[models.n]\ninput = -1\noutput = 5000\n", "utf-8")
        wrong = site.get("/api/breakdown")
        others = site.get("/api/usage")
    assert found["total"]["api_value_usd"] == pytest.approx(2.0098)
    assert ({each["model"] for each in found["by_model"]}, found["own_prices"]) == ({"m", "n"}, ["n"])
    assert (wrong.status, others.status) == (503, 200)
    assert wrong.document["detail"].startswith(f"{own}, line 2: models.n.input: write a number")


def test_the_newest_events_of_a_kind(tmp_path: Path) -> None:
    """The entries are those of `events --json`, the oldest first, with the number of those left out."""
    path = record(tmp_path / "web.sqlite3", *(reading(100 * (number % 2), ago=100 - number) for number in range(6)))
    with Site(path) as site:
        whole = site.get("/api/events?kind=limit_reached").document
        newest = site.get("/api/events?kind=limit_reached&limit=1").document
    assert [each["kind"] for each in whole["events"]] == ["limit_reached"] * len(whole["events"])
    assert whole["left_out"] == 0
    assert (newest["events"], newest["left_out"]) == (whole["events"][-1:], len(whole["events"]) - 1)


def test_routine_resets_can_be_left_out(tmp_path: Path) -> None:
    """They are counted; a reset that was due leaves room for others among the newest events."""
    now = int(time.time())
    due = limit({"5h": Window(used_percent=60, window_minutes=300, resets_at=now - 600)})
    after = limit({"5h": Window(used_percent=5, window_minutes=300, resets_at=now + 17_400)})
    path = record(tmp_path / "web.sqlite3", snapshot(due, at=now - 900), snapshot(after, at=now - 300))
    with Site(path) as site:
        whole = site.get("/api/events").document
        rest = site.get("/api/events?routine=false").document
    assert [each["kind"] for each in whole["events"] if each["routine"]] == ["window_reset"]
    assert whole["routine_left_out"] == 0
    assert rest["events"] == [each for each in whole["events"] if not each["routine"]]
    assert rest["routine_left_out"] == 1


def test_the_next_account_has_the_most_headroom(shared: Site) -> None:
    """The account is that of `codex-tap next`, with a reason: a tenth of Pro is more than most of Plus."""
    found = shared.get("/api/next").document
    assert found["email"] == BOB.email
    assert [(each["email"], each["size"], each["size_from"]) for each in found["ranking"]] == [
        (BOB.email, 20.0, "plan"),
        (ALICE.email, 1.0, "plan"),
    ]
    assert found["reason"]


def test_an_account_name_is_set_and_removed(site: Site) -> None:
    """The name then matches the account; null removes it."""
    found = site.write("PATCH", "/api/accounts/alice", {"name": " work "})
    assert (found.status, found.document["name"]) == (200, "work")
    assert site.get("/api/usage/work").document["accounts"][0]["email"] == ALICE.email
    assert site.write("PATCH", "/api/accounts/work", {"name": None}).document["name"] is None
    assert site.get("/api/usage/work").status == 404


@pytest.mark.parametrize(("name", "status"), [("work", 409), ("  ", 422), ("a\nb", 422), ("", 422), ("x" * 300, 422)])
def test_an_invalid_name_is_refused(site: Site, name: str, status: int) -> None:
    """The name is taken or invalid, and nothing changes."""
    site.write("PATCH", "/api/accounts/bob", {"name": "work"})
    assert site.write("PATCH", "/api/accounts/alice", {"name": name}).status == status
    assert site.get("/api/accounts/alice").document["name"] is None


def test_a_deleted_account_leaves_no_data(site: Site, path: Path) -> None:
    """All its data is deleted; the response counts it, and lists the files that may still contain it."""
    beside = [f"{path.name}{end}" for end in (".v1.bak", ".unwritten-1-a.jsonl", "-alerts.json", "-alerts.json.part")]
    for name in beside:
        path.with_name(name).touch()
    found = site.write("DELETE", "/api/accounts/alice")
    assert (found.status, found.document["snapshots"], found.document["files"]) == (200, 2, beside)
    TypeAdapter(documents.ForgottenAccount).validate_python(found.document)
    assert [each["email"] for each in site.get("/api/accounts").document["accounts"]] == [BOB.email]
    assert [each["email"] for each in site.get("/api/requests").document["requests"]] == [BOB.email]
    assert site.write("DELETE", "/api/accounts/alice").status == 404
