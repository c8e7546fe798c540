"""What session files tell of limits, in the answers."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store import imports
from store.constants import GROUP_BY
from store.database import open_reader, open_writer, transaction
from store.imports import ImportedFile, ImportedLimit, ImportedTurn, Owner, SessionPart
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.forecast import load_forecasts
from store.queries.health import load_last_read, load_last_turns
from store.queries.imported import import_state, imported_limit_ids, imported_samples, imported_windows
from store.queries.limits import current_snapshots
from store.queries.speed import load_speed
from store.queries.threads import load_threads
from store.queries.turns import count_turns, load_turns, newest_turn
from store.queries.usage import NotSeenError, load_usage
from tests.support.databases import record
from tests.support.factories import ALICE, NOON, turn, used

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from store.constants import SpeedBy
    from store.documents import UsageDocument

HOUR, DAY = 3_600, 86_400
RESET = int(NOON) + 300_000
"""As the readings of the tap have it in `tests.support.factories`."""


def week(percent: float) -> dict[str, Window]:
    return {"7d": Window(used_percent=percent, window_minutes=10_080, resets_at=RESET)}


def write(path: Path, *figures: tuple[float, float], thread: str = "t-1", limit_id: str = "codex") -> Path:
    """Import a session with a turn for each figure: when the window was seen like that, the turn five seconds later."""
    part = SessionPart(
        *(thread, thread, None, None, "codex_exec", Owner("acct-a", "user-a")),
        turns=[
            ImportedTurn("m", None, None, NOON + at, NOON + at + 5, f"{thread}-{at}", 100, 0, 0, 10, 0)
            for at, _ in figures
        ],
        limits=[ImportedLimit(limit_id, None, NOON + at, NOON + at, week(percent)) for at, percent in figures],
        progress=ImportedFile(imports.file_key(thread), 1, 1, None, "{}"),
    )
    with closing(open_writer(path)) as connection, transaction(connection):
        imports.write_part(connection, part)
    return path


def usage(path: Path, **options: Any) -> UsageDocument:
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        return load_usage(connection, NOON + HOUR, accounts=accounts, since=NOON - 7 * DAY, **options)


def read(path: Path) -> closing[sqlite3.Connection]:
    return closing(open_reader(path))


def test_the_first_day(path: Path) -> None:
    """Without a reading of the tap, the window and its use are those of session files."""
    write(path, (-3 * HOUR, 40), (-2 * HOUR, 42), (-HOUR, 45))
    document = usage(path)
    assert (document["limit_id"], document["window"], document["window_minutes"]) == ("codex", "7d", 10_080)
    assert (document["readings"], document["imported_readings"], document["rises"]) == (3, 3, 2)
    (row,) = document["rows"]
    assert (row["key"], row["points"], row["turns"], row["imported_turns"]) == ("t-1", 5, 3, 3)
    with read(path) as connection:
        assert current_snapshots(connection, load_accounts(connection)) == {}
        assert imported_limit_ids(connection) == ["codex"]
        assert imported_windows(connection, 1, "codex") == {"7d": 10_080}
        assert imported_windows(connection, 1, "codex_fox") == {}
    with pytest.raises(NotSeenError, match="there are: codex"):
        usage(path, limit_id="codex_fox")


def test_until_the_tap_saw_the_limit(path: Path) -> None:
    """From its first reading on, the tap's alone count; what was used between the two is a rise like any other."""
    write(path, (-3 * HOUR, 30), (-2 * HOUR, 35), (HOUR / 2, 99))
    record(path, used(13, 40, at=NOON, who=ALICE), used(13, 41, at=NOON + 600, who=ALICE))
    document = usage(path)
    assert (document["readings"], document["imported_readings"], document["rises"]) == (4, 2, 3)
    assert sum(row["points"] for row in document["rows"]) == 11
    with read(path) as connection:
        (status,) = current_snapshots(connection, load_accounts(connection))[1]
    assert status["used_7d_percent"] == 41


@pytest.mark.parametrize("by", GROUP_BY)
def test_each_row_says_which_part_is_imported(path: Path, by: str) -> None:
    """The imported turns of the rows add up to those of the total."""
    write(path, (-2 * HOUR, 40), (-HOUR, 41))
    record(path, turn("t-1", at=NOON - 60, who=ALICE), turn("t-2", at=NOON - 30, who=ALICE), used(1, at=NOON))
    document = usage(path, by=by)
    assert (document["total"]["turns"], document["total"]["imported_turns"]) == (4, 2)
    assert sum(row["imported_turns"] for row in document["rows"]) == 2


def test_samples_from_before_the_time_that_was_asked_for(path: Path) -> None:
    """There is one from before, and as many as are asked for."""
    write(path, *((hour * HOUR, 40 + hour) for hour in range(-9, 0)))
    with read(path) as connection:

        def hours(**options: Any) -> list[float]:
            found = imported_samples(connection, 1, "codex", "7d", since=NOON - 3 * HOUR, **options)
            return [(each.first_at - NOON) / HOUR for each in found]

        assert hours() == [-4, -3, -2, -1]
        assert hours(before=3) == [-6, -5, -4, -3, -2, -1]
        assert hours(until=NOON - 2 * HOUR) == [-4, -3]
        assert hours(until=NOON - 2 * HOUR, after=1) == [-4, -3, -2]
        assert imported_samples(connection, 1, "codex", "5h", since=0) == []


def test_a_forecast_rests_on_them_as_well(path: Path) -> None:
    """A window that the tap has just seen has the history of its session files."""
    write(path, *((-6 * DAY + step * HOUR, 1 + step / 4) for step in range(140)))
    record(path, used(13, 40, at=NOON, who=ALICE))
    with read(path) as connection:
        (account,) = load_forecasts(connection, NOON + 60, load_accounts(connection))["accounts"]
    window = account["limits"][0]["windows"]["7d"]
    assert window["imported_readings"] == 140
    assert window["pace_per_hour"] is not None
    assert account["limits"][0]["windows"]["5h"]["imported_readings"] == 0


def test_what_the_tap_read(path: Path) -> None:
    """An imported turn is none that the tap read: neither for doctor nor for the counters."""
    write(path, (0, 40), thread="t-9")
    record(path, turn("t-1", at=NOON - HOUR, who=ALICE))
    with read(path) as connection:
        assert load_last_read(connection).at == NOON - HOUR
        assert load_last_turns(connection, ["t-1", "t-9"]) == {"t-1": NOON - HOUR}
        assert sum(each.turns for each in count_turns(connection, 0, newest_turn(connection))) == 1


def test_lists_of_turns_and_threads(path: Path) -> None:
    """They have imported ones in the order of time, marked as such."""
    write(path, (-2 * HOUR, 40), (HOUR, 41))
    record(path, turn("t-1", at=NOON, who=ALICE))
    with read(path) as connection:
        accounts = load_accounts(connection)
        entries = load_turns(connection, accounts)
        (thread,) = load_threads(connection, NOON + DAY, 0, accounts)
    assert [(each["ended_at"] - NOON, each["imported"]) for each in entries] == [
        (HOUR + 5, True),
        (0, False),
        (-2 * HOUR + 5, True),
    ]
    assert (entries[0]["token_key"], entries[0]["transport"], entries[0]["thread"]) == ("", "unknown", "t-1")
    assert (thread.use.turns, thread.use.imported_turns) == (3, 2)


def test_the_state_of_the_import(path: Path) -> None:
    """It tells whether there was one, and since when accounts are known."""
    open_writer(path).close()
    with read(path) as connection:
        assert import_state(connection) == (None, False)
    write(path, (0, 40))
    with read(path) as connection:
        assert import_state(connection) == (NOON, True)


@pytest.mark.parametrize("by", ["model", "day"])
def test_how_fast_codex_is(path: Path, by: SpeedBy) -> None:
    """Only turns that the tap timed say so."""
    write(record(path, turn(at=NOON)), (0.0, 40.0), thread="t-2")
    with read(path) as connection:
        document = load_speed(connection, NOON + HOUR, accounts=load_accounts(connection), by=by, since=NOON - DAY)
    assert (document["total"]["turns"], len(document["rows"])) == (1, 1)
