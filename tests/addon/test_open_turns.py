"""The report of turns under way, of a tap whose hooks are called as mitmproxy calls them."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from addon import open_turns
from addon.open_turns import OpenTurnsReport
from store.files import turns_path
from store.turns_under_way import HEARTBEAT_SECONDS, TurnUnderWay, load_turns
from tests.support.harness import wait_until
from tests.support.tap_line import NOW, Line, request, upgraded

if TYPE_CHECKING:
    from pathlib import Path

CREATE = json.dumps(
    {
        "type": "response.create",
        "model": "gpt-6.1-sol",
        "input": ["x"],
        "client_metadata": {
            "x-codex-turn-metadata": json.dumps({"thread_id": "t-1", "request_kind": "turn", "cwd": "/secret/place"})
        },
    }
).encode()
COMPLETED = b'{"type":"response.completed","response":{"id":"r","model":"gpt-6.1-sol","usage":null}}'


def report_of(line: Line) -> OpenTurnsReport:
    return OpenTurnsReport(line.tap._exchanges)


def reported(line: Line, report: OpenTurnsReport, now: float) -> list[TurnUnderWay]:
    report.report(line.database, now)
    return load_turns(line.database, now)


def test_a_websocket_turn_is_reported_until_it_ends(line: Line) -> None:
    """After a second, with its thread, model and times; nothing of its metadata or its input is in the file."""
    flow, report = upgraded(line), report_of(line)
    assert reported(line, report, NOW + 5) == []
    line.say(flow, CREATE, from_client=True)
    assert reported(line, report, NOW + 1.5) == []  # it began at NOW + 1
    (turn,) = reported(line, report, NOW + 3)
    assert (turn.account, turn.thread, turn.model, turn.started_at, turn.first_byte_at) == (
        "acct/user",
        "t-1",
        "gpt-6.1-sol",
        NOW + 1,
        None,
    )
    content = turns_path(line.database, os.getpid()).read_text("utf-8")
    assert "secret" not in content
    line.say(flow, b'{"type":"response.created"}')
    assert reported(line, report, NOW + 4)[0].first_byte_at == NOW + 1
    line.say(flow, COMPLETED)
    assert reported(line, report, NOW + 5) == []
    assert not turns_path(line.database, os.getpid()).exists()


def test_an_http_turn_is_reported(line: Line) -> None:
    """From its response's headers on, until it is cut off."""
    flow, report = request(thread_id="t-2", x_codex_routing_hint="model=gpt-6.1-sol"), report_of(line)
    line.respond(line.open(flow), {"content-type": "text/event-stream"})
    began = next(iter(line.tap._exchanges.values())).turn
    assert began is not None
    (turn,) = reported(line, report, began.started_at + 2)
    assert (turn.thread, turn.first_byte_at) == ("t-2", NOW)
    line.tap.error(flow)
    assert reported(line, report, began.started_at + 3) == []


def test_the_file_is_written_when_something_changes(line: Line) -> None:
    """Otherwise only as often as its readers need to know that the proxy lives."""
    flow, report = upgraded(line), report_of(line)
    line.say(flow, CREATE, from_client=True)
    report.report(line.database, NOW + 3)
    path = turns_path(line.database, os.getpid())
    path.unlink()
    report.report(line.database, NOW + 4)
    assert not path.exists()
    report.report(line.database, NOW + 3 + HEARTBEAT_SECONDS)
    assert path.exists()


def test_the_tap_reports_by_itself(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file comes and goes while the proxy runs, and is gone when it has ended."""
    monkeypatch.setattr(open_turns, "_POLL_SECONDS", 0.01)
    other = line.database.with_name("other.sqlite3")
    # Taps of other tests may still have theirs.
    before = set(threading.enumerate())
    line.configure(codex_tap_db=str(other))
    flow = upgraded(line)
    line.say(flow, CREATE, from_client=True)
    path = turns_path(other, os.getpid())
    wait_until(path.exists, lambda: "no turn is reported")
    line.tap.done()
    assert not path.exists()
    assert not [each for each in set(threading.enumerate()) - before if each.name == "codex-tap open turns"]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, line: Line) -> None:
    """The thread goes on, and reports as soon as it can."""
    report = report_of(line)
    flow = upgraded(line)
    line.say(flow, CREATE, from_client=True)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match=r"."):
        report.report(blocked / "tap.sqlite3", NOW + 3)
    assert len(reported(line, report, NOW + 3)) == 1


def test_files_of_killed_proxies_are_deleted(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next proxy of the database does so at its start."""
    monkeypatch.setattr(open_turns, "_POLL_SECONDS", 0.01)
    left = turns_path(line.database, 1)
    left.write_text("{}")
    os.utime(left, (time.time() - 3_600,) * 2)
    line.configure(codex_tap_db=str(line.database.with_name("other.sqlite3")))
    line.configure(codex_tap_db=str(line.database))
    wait_until(lambda: not left.exists(), lambda: "the old file is still there")
