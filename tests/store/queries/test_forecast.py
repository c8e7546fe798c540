"""Forecasts of the limits in a database, and the rows that they are made from."""

from __future__ import annotations

import struct
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.forecast import TOO_LITTLE_HISTORY
from store.analysis.hourly_usage import UsageSample
from store.database import open_reader, open_writer
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.forecast import SAMPLING, load_forecasts, sample_history, samples_of
from tests.support.databases import record
from tests.support.factories import NOON, limit, snapshot, used, windows
from tests.support.usage_factories import DAY, bob_and_alice

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600


def test_sampling_is_bounded_and_has_both_ends_of_a_gap(path: Path) -> None:
    """Of a long history some hundred rows are read; the newest one and those around a gap are among them."""
    connection = open_writer(path)
    now = float(NOON)
    connection.execute(
        "INSERT INTO accounts (id, account_id, user_id, first_seen_at, last_seen_at) VALUES (1,'a','b',0,0)"
    )
    times = [now - second for second in range(20 * 86_400, 0, -120) if not 40_000 < second < 80_000]
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, late, source, raw,"
        " used_5h_percent) VALUES (1, 't', 'codex', ?, ?, ?, 'headers', '{}', 1.0)",
        [(at, at + 1, number % 50 == 7) for number, at in enumerate(times)],
    )
    connection.execute("COMMIT")
    connection.close()
    reader = open_reader(path)
    found = [row[0] for row in sample_history(reader, 1, "codex", now)]
    assert found == sorted(set(found))
    assert len(found) < 1_500
    assert found[-1] == times[-1]
    assert now - SAMPLING.days * DAY - SAMPLING.coarse - 121 < found[0] < now - 13 * DAY
    late = set(times[7::50])
    assert not late.intersection(found)
    assert (
        max(at for at in times if at < now - 79_000 and at not in late) - max(at for at in found if at < now - 79_000)
        <= SAMPLING.coarse
    )
    assert min(at for at in times if at > now - 41_000 and at not in late) in found
    reader.close()


def test_each_window_of_each_limit_has_a_forecast_or_a_note(path: Path) -> None:
    """A full window is dry now, whatever the history; one that was hardly seen has no forecast."""
    bob_and_alice(path)
    now = time.time()
    with closing(open_reader(path)) as connection:
        found = load_forecasts(connection, now, load_accounts(connection))["accounts"]
    alice, bob = (account["limits"][0]["windows"] for account in found)
    assert (alice["7d"]["chance_dry"] or 0) > 0.5
    assert (bob["5h"]["runs_dry_at"], bob["5h"]["length"]) == (int(now), "5h")
    assert (bob["7d"]["chance_dry"], bob["7d"]["note"]) == (None, TOO_LITTLE_HISTORY)


def test_one_limit_has_the_forecast_that_it_has_among_all(path: Path) -> None:
    """With a limit's id the others are left out, and that limit's figures stay what they are."""
    other = limit(windows(9), limit_id="codex_other")
    record(path, *(snapshot(limit(windows(3 + n)), other, at=NOON + n * HOUR) for n in range(30)))
    now = NOON + 30 * HOUR
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        (every,), (one,) = (
            load_forecasts(connection, now, accounts, limit_id)["accounts"] for limit_id in (None, "codex_other")
        )
    assert [each["limit_id"] for each in every["limits"]] == ["codex", "codex_other"]
    assert one["limits"] == every["limits"][1:]


def test_samples_of_a_window_are_the_rows_that_report_it(path: Path) -> None:
    """A sample holds until its row was last seen."""
    third = {"30d": Window(used_percent=5, window_minutes=43_200, resets_at=NOON + 90 * HOUR)}
    record(
        path,
        used(1, 40, at=NOON),
        used(1, 40, at=NOON + 100),
        used(2, 40, at=NOON + 3 * HOUR),
        snapshot(limit({**windows(3), **third}), at=NOON + 6 * HOUR),
    )
    with closing(open_reader(path)) as connection:
        rows = sample_history(connection, 1, "codex", NOON + 7 * HOUR)
    five = [(sample.at - NOON, sample.until - NOON, sample.used_percent) for sample in samples_of(rows, "5h")]
    assert five == [(0, 100, 1), (3 * HOUR, 3 * HOUR, 2), (6 * HOUR, 6 * HOUR, 3)]
    assert [sample.used_percent for sample in samples_of(rows, "7d")] == [40, 40]
    assert samples_of(rows, "30d") == [UsageSample(NOON + 6 * HOUR, NOON + 6 * HOUR, 5, NOON + 90 * HOUR)]


def test_skipped_rows_are_not_a_gap(path: Path) -> None:
    """Where rows were skipped, a sample holds until the next row."""
    record(path, *(used(number, at=NOON + after) for number, after in enumerate((0, 60, 120, 180, 700))))
    with closing(open_reader(path)) as connection:
        rows = sample_history(connection, 1, "codex", NOON + HOUR)
    found = [(sample.at - NOON, sample.until - NOON, sample.used_percent) for sample in samples_of(rows, "5h")]
    assert found == [(60, 60, 1), (120, 700, 2), (700, 700, 4)]


@pytest.mark.parametrize(
    "at", [NOON + 9 * DAY, NOON - 3 * HOUR, 1, 3e10, 1e300], ids=["later", "same", "old", "far", "no time"]
)
def test_the_walk_ends_where_a_row_differs_from_its_index(path: Path, at: float) -> None:
    """One flipped bit in the time of a row: the index has the row where it was, the row itself says another time."""
    record(path, *(used(number, at=NOON + number * HOUR) for number in range(6)))
    wanted, other = struct.pack(">d", NOON + 3 * HOUR + 0.5), struct.pack(">d", at)
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE snapshots SET first_seen_at = ? WHERE id = 4", (NOON + 3 * HOUR + 0.5,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = path.read_bytes()
    # The row is in its table and in the index: which of them comes first in the file does not matter.
    assert found.count(wanted) == 2
    for place in (found.index(wanted), found.rindex(wanted)):
        path.write_bytes(found[:place] + other + found[place + 8 :])
        with closing(open_reader(path)) as connection:
            times = [row[0] for row in sample_history(connection, 1, "codex", NOON + 6 * HOUR)]
        assert NOON + 5 * HOUR in times
