"""The JSON API, over loopback."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from addon import headers
from scripts.cli import cli
from scripts.web import schemas
from scripts.web.legacy import LegacyDocument
from store import documents
from store.database import open_writer
from store.models import Source, Tokens, Transport, Turn
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, limit, snapshot, windows
from tests.support.web_server import Site, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.models import Identity, Snapshot

HOUR = 3_600

DOCUMENTS: list[tuple[str, type[object]]] = [
    ("/api/usage", documents.StatusDocument),
    ("/api/history", documents.HistoryPointsDocument),
    ("/api/history?points=5&since=30d", documents.HistoryPointsDocument),
    ("/api/requests", documents.TurnsDocument),
    ("/api/breakdown", documents.UsageDocument),
    ("/api/breakdown?by=model&window=5h&since=24h", documents.UsageDocument),
    ("/api/forecast", documents.ForecastDocument),
    ("/api/events", documents.EventsPageDocument),
    ("/api/events?kind=plan_changed&kind=window_reset&limit=1", documents.EventsPageDocument),
    ("/api/next", documents.NextDocument),
    ("/api/next?credits=all", documents.NextDocument),
    ("/api/accounts", documents.AccountsDocument),
    ("/health", documents.HealthDocument),
    ("/codex/usage", LegacyDocument),
]

OF_ONE: list[tuple[str, type[object]]] = [
    ("/api/usage/alice", documents.StatusDocument),
    ("/api/history?account=alice", documents.HistoryPointsDocument),
    ("/api/requests?account=alice", documents.TurnsDocument),
    ("/api/breakdown?account=alice", documents.UsageDocument),
    ("/api/forecast?account=alice", documents.ForecastDocument),
    ("/api/events?account=alice", documents.EventsPageDocument),
    ("/api/next?credits=alice,bob", documents.NextDocument),
    ("/api/accounts/alice", documents.AccountDetail),
    ("/codex/usage/alice", LegacyDocument),
]

ASKED = [asked for asked, _ in [*DOCUMENTS, *OF_ONE]]


def reading(five: float, *, who: Identity = ALICE, ago: float = 100, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, some seconds ago; both reset in the future."""
    now = time.time()
    return snapshot(limit(windows(five, 41, at=now)), who=who, at=now - ago, plan_type="plus", **fields)


def turn(ago: float, *, who: Identity = ALICE, **fields: Any) -> Turn:
    """A turn that ended some seconds ago."""
    at = time.time() - ago
    told = {"thread": "thread-1", "model": "gpt-6.1-sol", "status": 200, "tokens": Tokens(input=100, output=10)}
    return Turn(identity=who, transport=Transport.WEBSOCKET, started_at=at - 5, ended_at=at, **{**told, **fields})


def fill(path: Path) -> Path:
    """Record two accounts, four readings of three limits, and three turns."""
    spark = limit(windows(1, 2, at=time.time()), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark")
    bob = snapshot(limit(windows(90, 20, at=time.time())), spark, who=BOB, at=time.time() - 50, plan_type="pro")
    return record(
        path,
        reading(13, ago=2 * HOUR),
        turn(HOUR + 600),
        turn(HOUR + 300, thread=None, warm_up=True),
        reading(20, ago=HOUR),
        bob,
        turn(60, who=BOB, status=429, error_type="usage_limit_reached", tokens=Tokens()),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database for one test."""
    return fill(tmp_path / "web.sqlite3")


@pytest.fixture
def site(path: Path) -> Iterator[Site]:
    """A server of that database."""
    with Site(path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of such a database, for tests that only read."""
    with Site(fill(tmp_path_factory.mktemp("shared") / "web.sqlite3")) as found:
        yield found


# Documents


@pytest.mark.parametrize(("asked", "model"), DOCUMENTS + OF_ONE)
def test_documents_are_what_their_models_say(shared: Site, asked: str, model: type[object]) -> None:
    """The schema and the response have the same fields."""
    found = shared.get(asked)
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert TypeAdapter(model).validate_python(found.document, strict=True) == found.document


def test_nothing_seen_yet_is_an_empty_document(tmp_path: Path) -> None:
    """Before the first run of a proxy, every document is empty, and no file is created."""
    with Site(tmp_path / "none" / "web.sqlite3") as site:
        for asked, model in DOCUMENTS:
            found = site.get(asked)
            assert found.status == 200, found.text
            TypeAdapter(model).validate_python(found.document)
    assert not (tmp_path / "none").exists()


def test_a_database_that_comes_later_is_found(tmp_path: Path) -> None:
    """The server need not be restarted."""
    path = tmp_path / "web.sqlite3"
    with Site(path) as site:
        assert site.get("/health").document["status"] == "empty"
        record(path, reading(13))
        assert site.get("/health").document["status"] == "ok"
        assert site.get("/api/usage").document["accounts"][0]["email"] == ALICE.email


def test_usage_is_the_document_of_status(site: Site, path: Path) -> None:
    """The document is that of `status --json`, for all accounts and for one."""
    for asked, words in (("/api/usage", []), ("/api/usage/bob", ["bob"])):
        command = ["status", "--json", *words, "--db", str(path)]
        told = json.loads(CliRunner().invoke(cli, command).stdout)
        assert _still(site.get(asked).document) == _still(told)


def _still(document: Any) -> Any:
    """Remove the fields that change with the clock."""
    if isinstance(document, dict):
        counting = {"generated_at", "age_seconds", "resets_in_seconds"}
        return {key: _still(value) for key, value in document.items() if key not in counting}
    return [_still(each) for each in document] if isinstance(document, list) else document


@pytest.mark.parametrize(
    ("start", "status", "candidates"),
    [
        ("alice", 200, []),
        ("ALICE@", 200, []),
        ("acct-b/user-b", 200, []),
        (quote("acct-b/user-b", safe=""), 200, []),
        (BOB.token_key, 200, []),
        ("acct", 409, [ALICE.email, BOB.email]),
        ("carol", 404, [ALICE.email, BOB.email]),
        (quote("<script>"), 404, [ALICE.email, BOB.email]),
    ],
)
@pytest.mark.parametrize("of", ["/api/usage/", "/api/accounts/", "/codex/usage/", "/api/history?account="])
def test_any_unambiguous_start_names_an_account(
    shared: Site, of: str, start: str, status: int, candidates: list[str]
) -> None:
    """Every path accepts prefixes. An ambiguous prefix is a conflict, and the response lists the candidates."""
    found = shared.get(of + start)
    assert found.status == status
    if status != 200:
        assert [each["email"] for each in found.document["candidates"]] == candidates


# History and turns


def test_history_has_the_limits_as_they_stood(shared: Site) -> None:
    """The oldest entry comes first; the snapshot that stood at the start of the time range is included."""
    document = shared.get("/api/history?account=alice&since=24h").document
    assert [entry["windows"]["5h"]["used_percent"] for entry in document["entries"]] == [13, 20]
    assert [each["email"] for each in document["accounts"]] == [ALICE.email]
    assert shared.get("/api/history?since=30min").document["left_out"] == 0
    only = shared.get("/api/history?limit_id=codex_bengalfox").document["entries"]
    assert [entry["limit_id"] for entry in only] == ["codex_bengalfox"]


def test_history_begins_with_what_stood_then(tmp_path: Path) -> None:
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


def test_turns_tell_counts_and_names(shared: Site) -> None:
    """A turn has its thread's name, its tokens and its result."""
    found = shared.get("/api/requests").document["requests"]
    assert [(each["email"], each["warm_up"], each["status"], each["input_tokens"]) for each in found] == [
        (BOB.email, False, 429, None),
        (ALICE.email, True, 200, 100),
        (ALICE.email, False, 200, 100),
    ]


def test_events_are_the_newest_of_those_asked_for(tmp_path: Path) -> None:
    """The entries are those of `events --json`, the oldest first, with the number of those left out."""
    path = record(tmp_path / "web.sqlite3", *(reading(100 * (number % 2), ago=100 - number) for number in range(6)))
    with Site(path) as site:
        whole = site.get("/api/events?kind=limit_reached").document
        newest = site.get("/api/events?kind=limit_reached&limit=1").document
    assert [each["kind"] for each in whole["events"]] == ["limit_reached"] * len(whole["events"])
    assert whole["left_out"] == 0
    assert (newest["events"], newest["left_out"]) == (whole["events"][-1:], len(whole["events"]) - 1)


def test_the_next_account_is_the_one_with_most_room(shared: Site) -> None:
    """The account is that of `codex-tap next`, with a reason."""
    found = shared.get("/api/next").document
    assert found["email"] == ALICE.email
    assert [each["email"] for each in found["ranking"]] == [ALICE.email, BOB.email]
    assert found["reason"]


# Problems


@pytest.mark.parametrize(
    ("method", "asked", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/static/..%5capp.py", 404),
        ("GET", "/static/%00", 404),
        ("GET", "/docs", 404),
        ("POST", "/api/usage", 405),
        ("PUT", "/", 405),
        ("DELETE", "/api/accounts", 405),
        ("GET", "/api/history?since=yesterday", 422),
        ("GET", "/api/history?since=nan", 422),
        ("GET", "/api/history?since=1e400", 422),
        ("GET", "/api/history?since=99999999999", 422),
        ("GET", "/api/history?points=0", 422),
        ("GET", "/api/history?limit=x", 422),
        ("GET", "/api/requests?before=99999999999999999999", 422),
        ("GET", "/api/breakdown?by=colour", 422),
        ("GET", "/api/breakdown?window=3d", 404),
        ("GET", "/api/breakdown?limit_id=none", 404),
        ("GET", "/api/events?kind=window_reset&kind=party", 422),
        ("GET", "/api/next?credits=carol", 404),
        ("GET", "/api/next?credits=acct", 409),
        ("GET", "/api/usage/", 422),
        ("GET", f"/api/usage/{'x' * 400}", 422),
        ("PATCH", "/api/accounts/alice", 422),
    ],
)
def test_errors_are_problem_documents(shared: Site, method: str, asked: str, status: int) -> None:
    """Every error has the form of RFC 9457."""
    found = shared.write(method, asked)
    assert (found.status, found.headers["content-type"]) == (status, "application/problem+json"), found.text
    schemas.Problem.model_validate(found.document)
    assert found.document["status"] == status


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": 5}', b'{"name": "\\ud800"}', b'{"nam": "x"}', b""])
def test_a_body_that_is_none_is_told(shared: Site, body: bytes) -> None:
    """The error has the same form, and does not repeat the body."""
    write = {"X-Codex-Tap": "1", "Content-Type": "application/json"}
    found = ask(shared.port, "PATCH", "/api/accounts/alice", write, body)
    assert (found.status, found.headers["content-type"]) == (422, "application/problem+json")
    garbled = ask(shared.port, "PATCH", "/api/accounts/alice", write, b"\xff")
    assert (garbled.status, garbled.headers["content-type"]) == (400, "application/problem+json")


def test_a_newer_database_is_unavailable_and_told_so(site: Site, path: Path) -> None:
    """The message is that of the command line."""
    with closing(open_writer(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for asked in ASKED:
        found = site.get(asked)
        assert (found.status, found.headers["content-type"]) == (503, "application/problem+json")
        assert "newer codex-tap (schema 99" in found.document["detail"]


def test_a_damaged_database_is_unavailable_and_told_so(site: Site, path: Path) -> None:
    """There is an error instead of data."""
    damage(path)
    for asked in ASKED:
        found = site.get(asked)
        assert (found.status, found.headers["content-type"]) == (503, "application/problem+json")


# Caching


def test_an_answer_that_is_known_is_not_sent_again(shared: Site) -> None:
    """The weak ETag stays the same until something happens; only forecasts and rankings change with the clock."""
    first = {asked: shared.get(asked) for asked in ASKED if "forecast" not in asked and "next" not in asked}
    time.sleep(1.1)
    for asked, before in first.items():
        tag = before.headers["etag"]
        assert tag.startswith('W/"')
        assert before.headers["cache-control"] == "no-cache"
        again = shared.get(asked, If_None_Match=f'"other", {tag}')
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag), asked


def test_an_answer_that_changed_is_sent(site: Site, path: Path) -> None:
    """A new reading changes the ETag."""
    tag = site.get("/api/usage").headers["etag"]
    record(path, reading(21, ago=1))
    found = site.get("/api/usage", If_None_Match=tag)
    assert found.status == 200
    assert found.headers["etag"] != tag


# Accounts


def test_an_account_is_given_a_name_and_loses_it(site: Site) -> None:
    """The name then matches the account; null removes it."""
    found = site.write("PATCH", "/api/accounts/alice", {"name": " work "})
    assert (found.status, found.document["name"]) == (200, "work")
    assert site.get("/api/usage/work").document["accounts"][0]["email"] == ALICE.email
    assert site.write("PATCH", "/api/accounts/work", {"name": None}).document["name"] is None
    assert site.get("/api/usage/work").status == 404


@pytest.mark.parametrize(("name", "status"), [("work", 409), ("  ", 422), ("a\nb", 422), ("", 422), ("x" * 300, 422)])
def test_a_name_that_will_not_do_is_refused(site: Site, name: str, status: int) -> None:
    """The name is taken or invalid, and nothing changes."""
    site.write("PATCH", "/api/accounts/bob", {"name": "work"})
    assert site.write("PATCH", "/api/accounts/alice", {"name": name}).status == status
    assert site.get("/api/accounts/alice").document["name"] is None


def test_a_forgotten_account_is_gone(site: Site, path: Path) -> None:
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


# The older shape

SWAPPED = {
    "x-codex-primary-used-percent": "41.5",
    "x-codex-primary-window-minutes": "10080",
    "x-codex-primary-reset-after-seconds": "300000",
    "x-codex-secondary-used-percent": "13",
    "x-codex-secondary-window-minutes": "300",
    "x-codex-secondary-reset-after-seconds": "9000",
    "x-codex-primary-over-secondary-limit-percent": "2.5",
}
WITHOUT_SECOND = {name: value for name, value in SWAPPED.items() if "primary-" in name and "secondary" not in name}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            SWAPPED,
            {
                "codex_5h_used_percent": 13.0,
                "codex_5h_window_minutes": 300,
                "codex_7d_used_percent": 41.5,
                "codex_7d_window_minutes": 10_080,
                "primary_used_percent": 41.5,
                "primary_window_minutes": 10_080,
                "secondary_used_percent": 13.0,
                "secondary_window_minutes": 300,
                "primary_over_secondary_percent": 2.5,
            },
        ),
        (
            WITHOUT_SECOND,
            {
                "codex_5h_used_percent": None,
                "codex_7d_used_percent": 41.5,
                "primary_window_minutes": 10_080,
                "secondary_used_percent": None,
                "secondary_window_minutes": None,
                "primary_over_secondary_percent": None,
            },
        ),
    ],
)
def test_the_older_shape_has_slots_and_positions(
    tmp_path: Path, sent: dict[str, str], expected: dict[str, float | None]
) -> None:
    """`codex_…` fields depend on window lengths, `primary_…` and `secondary_…` fields on positions."""
    at = time.time() - 10
    told = headers.read(headers.collect([(name.encode(), value.encode()) for name, value in sent.items()]), at)
    assert told
    seen = snapshot(at=at, source=Source.HEADERS).model_copy(update={"reading": told})
    with Site(record(tmp_path / "web.sqlite3", seen)) as site:
        found = site.get(f"/codex/usage/{ALICE.token_key[:7]}").document
    assert found["status"] == "success"
    assert list(found["data"]) == [ALICE.token_key]
    record_found = found["data"][ALICE.token_key]
    assert {name: record_found[name] for name in expected} == expected
    assert 299_900 < record_found["codex_7d_reset_after_seconds"] <= 300_000
    assert record_found["primary_reset_after_seconds"] == record_found["codex_7d_reset_after_seconds"]
    assert record_found["token_name"] == ALICE.email
