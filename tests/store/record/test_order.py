"""The order of messages: one with contradictory times never hides the later ones."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from addon import headers
from scripts.cli import cli
from store.constants import SKEW_SECONDS
from store.database import open_reader
from store.models import Snapshot, Source
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from store.record.writer import SnapshotWriter
from tests.support.databases import record
from tests.support.factories import ALICE, NOON

if TYPE_CHECKING:
    from pathlib import Path

HOUR, DAY = 3_600, 86_400


def response(
    used: int,
    at: float,
    reset_at: object,
    reset_after: object,
    *,
    requested_at: float | None = None,
    minutes: int = 300,
) -> Snapshot:
    """Return a response with one window, as its headers are read."""
    fields = {"used-percent": used, "window-minutes": minutes, "reset-at": reset_at, "reset-after-seconds": reset_after}
    found = headers.collect(
        [(f"x-codex-primary-{part}".encode(), str(value).encode()) for part, value in fields.items()]
    )
    reading = headers.read(found, at)
    assert reading is not None
    return Snapshot(
        identity=ALICE, observed_at=at, requested_at=requested_at, source=Source.HEADERS, status=200, reading=reading
    )


def consistent(used: int, at: float, resets_at: float, **more: Any) -> Snapshot:
    return response(used, at, round(resets_at), round(resets_at - at), **more)


def status(path: Path, now: float) -> dict[str, Any]:
    """Return the one window of the one limit at a time."""
    with closing(open_reader(path)) as connection:
        (account,) = load_status(connection, now, load_accounts(connection))["accounts"]
    (limit,) = account["limits"]
    (window,) = limit["windows"].values()
    return dict(window)


def asked(*words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of a command."""
    result = CliRunner().invoke(cli, [*words, "--json"], prog_name="codex-tap", catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("ahead", "after", "minutes"),
    [
        pytest.param(5 * HOUR, 1, 300, id="next-reset-and-a-second"),
        pytest.param(7 * DAY, 1, 10_080, id="next-week-and-a-second"),
        pytest.param(5 * HOUR, 0.5, 300, id="half-a-second"),
        pytest.param(10**9, 9_000, 300, id="far-future"),
        pytest.param(9_100, 9_000, 300, id="within-the-skew"),
        pytest.param(1, 5 * HOUR, 300, id="the-other-way"),
        pytest.param(-9_000, 9_000, 300, id="in-the-past"),
    ],
)
@pytest.mark.parametrize("already_used", [0, 96])
def test_after_an_inconsistent_response(
    path: Path, ahead: float, after: float, minutes: int, already_used: int
) -> None:
    """The next response counts at once, for `status` and `guard`."""
    now = time.time() - 60
    before = consistent(96, now - 300, now + 1, minutes=minutes)
    odd = response(already_used, now, round(now + ahead), after, minutes=minutes)
    resets_at = now + 60 * minutes
    later = [
        consistent(used, now + seconds, resets_at, requested_at=now + seconds - 2, minutes=minutes)
        for used, seconds in ((40, 10), (80, 20), (100, 30))
    ]

    record(path, before, odd, *later[:1])
    assert (status(path, now + 10)["used_percent"], asked("guard")[0]) == (40, 0)
    record(path, *later[1:])

    code, document = asked("status")
    (limit,) = document["accounts"][0]["limits"]
    (window,) = limit["windows"].values()
    assert (code, window["used_percent"], limit["blocked_by"] is None) == (0, 100, False)
    code, verdict = asked("guard")
    assert (code, verdict["answer"], verdict["wait_until"]) == (1, "below", round(resets_at))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM snapshots WHERE late").fetchone() == (0,)


@pytest.mark.parametrize("minutes", [300, 10_080])
@pytest.mark.parametrize("used", [0, 96, 97])
def test_events_after_an_inconsistent_response(path: Path, minutes: int, used: int) -> None:
    """The only event is the reset of the window, at its time."""
    length, reset = 60 * minutes, NOON + 1
    record(
        path,
        consistent(96, NOON - 300, reset, minutes=minutes),
        response(used, NOON, NOON + length, 1, minutes=minutes),
        consistent(3, NOON + 200, NOON + length, minutes=minutes),
        consistent(4, NOON + 300, NOON + length, minutes=minutes),
    )
    found = [event["kind"] for event in asked("events")[1]["events"] if event["kind"] != "used_elsewhere"]
    assert found == ["window_reset"]


def test_a_database_that_holds_an_inconsistent_time(path: Path) -> None:
    """An inconsistent server time that an earlier version stored is ignored: the next response counts."""
    now = time.time()
    record(path, consistent(0, now - 600, now + HOUR))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE snapshots SET server_time = ?", (now + 5 * HOUR,))

    record(path, consistent(40, now, now + HOUR), consistent(80, now, now + HOUR))

    assert status(path, now)["used_percent"] == 80


_OFFSETS = st.one_of(
    st.integers(-10 * DAY, 10 * DAY), st.integers(-300, 300), st.sampled_from([5 * HOUR, 7 * DAY, 10**11, 10**14])
)
_SPANS = st.one_of(st.integers(0, 10 * DAY), st.integers(0, 300), st.floats(0, 1), st.sampled_from(["", "soon", -5]))


@given(
    offset=_OFFSETS | st.none(),
    span=_SPANS,
    used=st.integers(0, 120),
    later=st.floats(0, HOUR),
    under_way=st.floats(0, HOUR),
    server_ahead=st.floats(-60, 60),
)
@example(offset=5 * HOUR, span=1, used=0, later=1, under_way=0.5, server_ahead=0)
@example(offset=9_100, span=9_000, used=0, later=1, under_way=0.5, server_ahead=0)
@example(offset=5 * HOUR, span=1, used=0, later=1, under_way=60, server_ahead=0)
def test_an_odd_value_never_outlives_the_next_good_one(
    tmp_path_factory: pytest.TempPathFactory,
    offset: int | None,
    span: object,
    used: int,
    later: float,
    under_way: float,
    server_ahead: float,
) -> None:
    """After a response with any resets, the next consistent one is current unless it may have been overtaken."""
    path = tmp_path_factory.mktemp("odd") / "tap.sqlite3"
    odd = response(used, NOON, "" if offset is None else NOON + offset, span)
    at = NOON + later
    good = response(50, at, NOON + 2 * HOUR + round(server_ahead), NOON + 2 * HOUR - at, requested_at=at - under_way)
    last = consistent(51, at + 2 * SKEW_SECONDS + 1, NOON + 2 * HOUR)
    ledger = SnapshotWriter(path)

    ledger.write([odd, good])
    odd_time, good_time = odd.reading.server_time, good.reading.server_time
    may_be_overtaken = (
        at - under_way < NOON and odd_time is not None and (good_time or 0) < odd_time <= NOON + SKEW_SECONDS
    )
    assert may_be_overtaken or status(path, at)["used_percent"] == 50
    ledger.write([last])
    ledger.close()

    assert status(path, last.observed_at)["used_percent"] == 51
