"""`codex-tap events`."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from store.models import Identity, Limit
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.event_factories import DAY, RESET_7D, five, reported, seven
from tests.support.factories import ALICE, BOB, NOON, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


def kinds(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    return [(event["kind"], event["slot"]) for event in found]


@pytest.fixture
def eventful(path: Path) -> Path:
    """A window that was reset early, and a limit that another account reached."""
    return record(
        path,
        reported(seven(40)),
        reported(seven(1, RESET_7D + 4 * DAY), 60),
        reported(five(9), who=BOB),
        reported(five(100), 70, who=BOB),
    )


def test_text_has_a_line_for_each_event(eventful: Path) -> None:
    """A line has time, kind, account and text."""
    result = invoke("events", "--db", eventful, "--kind", "window_reset_early", "--kind", "limit_reached")
    assert (result.exit_code, result.stderr) == (0, "")
    early, reached = result.stdout.splitlines()
    assert "window reset early  alice@example.com  The 7 d window was reset 2 d 23 h before it was due" in early
    assert "limit reached       bob@example.com    The 5 h window is full" in reached


def test_json(eventful: Path) -> None:
    """The document has every documented field, also without a database."""
    document = json.loads(invoke("events", "alice", "--json", "--db", eventful).stdout)
    fields = {"document_version", "generated_at", "since", "limit_id"}
    fields |= {"turns_known_since", "readings", "accounts", "events"}
    assert set(document) == fields
    (account,) = document["accounts"]
    assert (account["email"], document["readings"]) == (ALICE.email, 2)
    assert {event["kind"] for event in document["events"]} == {"window_reset_early", "used_elsewhere"}
    nothing = invoke("events", "--json", "--db", eventful.with_name("none"))
    assert (nothing.exit_code, set(json.loads(nothing.stdout))) == (3, fields)


def test_csv_and_ndjson_have_a_row_for_each_event(eventful: Path) -> None:
    """Both have the same events, each with the readings before and after it."""
    lines = [json.loads(line) for line in invoke("events", "--ndjson", "--db", eventful).stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(invoke("events", "--csv", "--db", eventful).stdout)))
    assert [row["kind"] for row in table] == [each["kind"] for each in lines]
    first = next(row for row in table if row["kind"] == "window_reset_early")
    assert (first["before_id"], first["after_id"], first["moment"]) == ("1", "2", "2026-11-21T12:01:00+00:00")
    assert (first["before_used_percent"], first["after_resets_at"]) == ("40.0", str(RESET_7D + 4 * DAY))


@pytest.mark.parametrize(
    ("words", "exit_code", "error"),
    [
        (["--limit", "other"], 2, "Error: no limit 'other' has been seen"),
        (["carol"], 2, "Error: no account matches 'carol'"),
        (["--kind", "nothing"], 2, "Usage:"),
        (["--json", "--csv"], 2, "Usage:"),
        (["--since", "1min"], 0, "No matching events.\n"),
    ],
)
def test_wrong_use_and_no_events(eventful: Path, words: list[str], exit_code: int, error: str) -> None:
    """Wrong use is exit code 2; a time range without events is exit code 0."""
    result = invoke("events", *words, "--db", eventful)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith(error)


def test_text_from_the_wire_is_sanitized(path: Path) -> None:
    """Escape sequences in names of limits and plans do not reach the terminal."""
    who = Identity(token_key="k~1", account_id="a", email="x@example.com")
    bad = Limit(limit_id="evil", limit_name="\x1b[31mred", windows=five(40))
    record(path, snapshot(bad, who=who, at=NOON, plan_type="\x1b]0;a"))
    record(path, snapshot(bad.model_copy(update={"windows": five(3)}), who=who, at=NOON + 1, plan_type="pro"))
    assert "\x1b" not in invoke("events", "--db", path).stdout
