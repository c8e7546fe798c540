"""Forecasts of the limits in a database, and the rows that they are made from."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.hourly_usage import UsageSample
from store.database import open_reader, open_writer
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.forecast import FULL, QUICK, load_forecasts, sample_history, samples_of, urgent_windows
from store.queries.status import load_status
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
    for sampling, most in ((FULL, 1_500), (QUICK, 260)):
        found = [row["first_seen_at"] for row in sample_history(reader, 1, "codex", now, sampling=sampling)]
        assert found == sorted(set(found))
        assert len(found) < most
        assert found[-1] == times[-1]
        assert now - sampling.days * DAY - sampling.coarse - 121 < found[0] < now - 13 * DAY
        late = set(times[7::50])
        assert not late.intersection(found)
        assert (
            max(at for at in times if at < now - 79_000 and at not in late)
            - max(at for at in found if at < now - 79_000)
            <= sampling.coarse
        )
        assert min(at for at in times if at > now - 41_000 and at not in late) in found
    reader.close()


def test_urgent_windows_begin_with_the_one_that_runs_dry_first(path: Path) -> None:
    """A full window comes first, else the window that runs dry first; the quick forecast is near the full one."""
    bob_and_alice(path)
    now = time.time()
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        found = urgent_windows(connection, now, load_status(connection, now, accounts), accounts)
        whole = load_forecasts(connection, now, accounts[:1])
    alice, bob = found["acct-a/user-a"][0], found["acct-b/user-b"][0]
    assert (alice["slot"], bob["slot"]) == ("7d", "5h")
    assert bob["runs_dry_at"] == int(now)
    closely = whole["accounts"][0]["limits"][0]["windows"]["7d"]["runs_dry_at"]
    assert alice["runs_dry_at"] == pytest.approx(closely, abs=HOUR)


def test_an_account_without_a_current_window_has_no_urgent_window(path: Path) -> None:
    """A window that was reset unseen has nothing to forecast."""
    record(path, used(90))
    now = NOON + 30 * DAY
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        assert urgent_windows(connection, now, load_status(connection, now, accounts), accounts) == {}


def test_samples_of_a_window_are_the_rows_that_report_it(path: Path) -> None:
    """A sample holds until its row was last seen."""
    third = {"30d": Window(used_percent=5, window_minutes=43_200, resets_at=NOON + 90 * HOUR)}
    record(
        path,
        used(1, 40, at=NOON),
        used(1, 40, at=NOON + 100),
        used(2, 40, at=NOON + 2 * HOUR),
        snapshot(limit({**windows(3), **third}), at=NOON + 4 * HOUR),
    )
    with closing(open_reader(path)) as connection:
        rows = sample_history(connection, 1, "codex", NOON + 5 * HOUR, sampling=FULL)
    five = [(sample.at - NOON, sample.until - NOON, sample.used_percent) for sample in samples_of(rows, "5h")]
    assert five == [(0, 100, 1), (2 * HOUR, 2 * HOUR, 2), (4 * HOUR, 4 * HOUR, 3)]
    assert [sample.used_percent for sample in samples_of(rows, "7d")] == [40, 40]
    assert samples_of(rows, "30d") == [UsageSample(NOON + 4 * HOUR, NOON + 4 * HOUR, 5, NOON + 90 * HOUR)]


def test_skipped_rows_are_not_a_gap(path: Path) -> None:
    """Where rows were skipped, a sample holds until the next row."""
    record(path, *(used(number, at=NOON + after) for number, after in enumerate((0, 60, 120, 180, 700))))
    with closing(open_reader(path)) as connection:
        rows = sample_history(connection, 1, "codex", NOON + HOUR, sampling=FULL)
    found = [(sample.at - NOON, sample.until - NOON, sample.used_percent) for sample in samples_of(rows, "5h")]
    assert found == [(60, 60, 1), (120, 700, 2), (700, 700, 4)]
