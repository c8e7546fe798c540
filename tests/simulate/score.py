"""Forecasts held against what came: ours, and a straight line through the last reading."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.forecast import Forecast, forecast
from store.database import open_reader, open_writer
from store.queries.forecast import FULL, Sampling, sample_history, samples_of
from tests.simulate.world import BEGIN, WINDOW_MINUTES, World

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from store.analysis.hourly_usage import UsageSample
    from tests.simulate.world import Row, Truth

FIRST_DAY, LAST_DAY = 10.0, 34.0


class Case(NamedTuple):
    """One forecast: what it said, what the line said (the moment it crosses 100), and what came."""

    now: float
    resets_at: float
    said: Forecast
    line_dry_at: float
    truth: Truth


@dataclass
class Score:
    """All forecasts of one process and window."""

    process: str
    slot: str
    cases: list[Case] = field(default_factory=list)

    @property
    def dry(self) -> list[Case]:
        """Those after which it ran dry before its reset."""
        return [case for case in self.cases if case.truth.dry_at < case.resets_at]

    @property
    def lasted(self) -> list[Case]:
        """Those after which it lasted."""
        return [case for case in self.cases if case.truth.dry_at >= case.resets_at]

    def error_minutes(self) -> float:
        """Return the median error of the run-dry time, in minutes; who said that it lasts said "at the reset"."""
        return _median(abs((case.said.runs_dry_at or case.resets_at) - case.truth.dry_at) / 60 for case in self.dry)

    def line_error_minutes(self) -> float:
        """Return the same of the straight line."""
        return _median(abs(min(case.line_dry_at, case.resets_at) - case.truth.dry_at) / 60 for case in self.dry)

    def reset_coverage(self) -> float:
        """Return how often the used percent at the reset lay in its range."""
        return _share(
            (case.said.at_reset_low or 0) <= case.truth.at_reset <= (case.said.at_reset_high or 0)
            for case in self.cases
        )

    def dry_coverage(self) -> float:
        """Return how often the run-dry time lay in its range, where it ran dry or was said to be able to."""
        open_cases = [case for case in self.cases if case.said.runs_dry_low or case.truth.dry_at < case.resets_at]
        return _share(_covered(case) for case in open_cases)

    def false_safe(self) -> float:
        """Return how often it ran dry after "safe"."""
        return _share(case.truth.dry_at < case.resets_at for case in self.cases if case.said.safe)

    def missed_safe(self) -> float:
        """Return how often "safe" was not said, and it lasted."""
        return _share(not case.said.safe for case in self.lasted)

    def line_false_safe(self) -> float:
        """Return how often it ran dry where the line lasts."""
        return _share(case.truth.dry_at < case.resets_at for case in self.cases if case.line_dry_at >= case.resets_at)

    def line_missed_safe(self) -> float:
        """Return how often the line runs dry, and it lasted."""
        return _share(case.line_dry_at < case.resets_at for case in self.lasted)


def run(
    process: str,
    slot: str,
    seed: int,
    moments: int,
    days: tuple[float, float] = (FIRST_DAY, LAST_DAY),
    sampling: Sampling = FULL,
) -> list[Case]:
    """Let one world happen, and forecast it at so many moments of it."""
    rng = random.Random(f"{process} {slot} {seed}")  # noqa: S311 (a simulation)
    world = World(process, slot, rng)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "codex-tap.sqlite"
        write(path, slot, world.rows)
        connection = open_reader(path)
        try:
            return list(_cases(connection, world, slot, list(world.moments(rng, moments, *days)), sampling))
        finally:
            connection.close()


def _cases(
    connection: sqlite3.Connection, world: World, slot: str, moments: list[float], sampling: Sampling
) -> Iterator[Case]:
    minutes = WINDOW_MINUTES[slot]
    for now in moments:
        samples = samples_of(sample_history(connection, 1, "codex", now, sampling=sampling), slot)
        said = forecast(samples, now, window_minutes=minutes, paths=sampling.paths)
        newest = samples[-1]
        assert newest.resets_at is not None
        yield Case(now, newest.resets_at, said, _line(newest, min(newest.until, now), minutes), world.truth(now))


def _line(newest: UsageSample, seen_at: float, minutes: int) -> float:
    """Return where the line from the window's beginning through its last reading crosses 100."""
    assert newest.resets_at is not None
    begun = newest.resets_at - minutes * 60
    return begun + max(seen_at - begun, 1.0) * 100 / newest.used_percent


def write(path: Path, slot: str, rows: list[Row]) -> None:
    """Write rows of one account's main limit into a new database."""
    connection = open_writer(path)
    connection.execute("BEGIN")
    connection.execute(
        "INSERT INTO accounts (id, account_id, user_id, email, first_seen_at, last_seen_at)"
        " VALUES (1, 'acct-a', 'user-a', 'ann@example.com', ?, ?)",
        (BEGIN, BEGIN),
    )
    connection.executemany(
        "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at, source,"  # noqa: S608 (constants)
        f" used_{slot}_percent, window_{slot}_minutes, resets_{slot}_at, raw)"
        f" VALUES (1, 'ann~0000000001', 'codex', ?, ?, ?, 'headers', ?, {WINDOW_MINUTES[slot]}, ?, '{{}}')",
        [(row.first_seen_at, row.last_seen_at, row.last_seen_at, row.used_percent, row.resets_at) for row in rows],
    )
    connection.execute("INSERT INTO limits SELECT account, limit_id, max(id), 0 FROM snapshots GROUP BY 1, 2")
    connection.execute("COMMIT")
    connection.close()


def _covered(case: Case) -> bool:
    low, high = case.said.runs_dry_low, case.said.runs_dry_high
    if low is None:
        return case.truth.dry_at >= case.resets_at
    return low <= case.truth.dry_at <= (float("inf") if high is None else high)


def _median(values: Iterator[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else float("nan")


def _share(values: Iterator[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else float("nan")
