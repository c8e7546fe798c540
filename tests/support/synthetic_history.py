"""A made-up database with years of use: ``python -m tests.support.synthetic_history PATH`` takes about a minute.

A seeded history: people work by day and less at weekends, in bursts; turns fill windows of 5 h and 7 d, which reset;
there are several models, threads (some with a name), a second limit, a Free plan with its 30 d, turns that a full
window refuses, and now and then a rise that no turn explains. It ends now.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import click

from store.database import open_writer, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

DAY, HOUR, MINUTE = 86_400, 3_600, 60
BATCH = 50_000
"""Rows per transaction."""

TOKEN_SECONDS = 8 * DAY
THREAD_TURNS = 40
"""Average number of turns in a thread."""

FULL = 100.0
MODELS = (("gpt-6.1-sol", 1.0), ("gpt-6.1-sol-mini", 0.25), ("gpt-5.3-codex", 0.7))
"""Models, and the weight of a token of each."""

PLANS = ("plus", "pro", "team", "free", "prolite")
SECOND_LIMIT = "codex_bengalfox"


class Size(NamedTuple):
    """The size of the database: rows in all, accounts and days."""

    snapshots: int = 1_000_000
    turns: int = 2_000_000
    accounts: int = 5
    days: int = 365
    seed: int = 1


@dataclass
class _Window:
    """A window that fills and resets."""

    minutes: int
    points: float
    """Percent that a turn of usual size uses."""
    used: float = 0.0
    resets_at: int = 0

    def pass_to(self, at: float) -> None:
        """Let time pass: a window begins with the first turn after its reset."""
        if at >= self.resets_at:
            self.used = 0.0
            self.resets_at = int(at) + self.minutes * MINUTE


@dataclass
class _Limit:
    """A limit and the reading of it that is open at the moment."""

    limit_id: str
    name: str | None
    windows: dict[str, _Window]
    open: tuple[Any, ...] | None = None
    seen: int = 0
    seen_at: float = 0.0
    holds_until: float = 0.0
    """When the first window of that reading resets."""

    @property
    def full(self) -> bool:
        """Return True if a window has nothing left."""
        return any(window.used >= FULL for window in self.windows.values())


class Event(NamedTuple):
    """A row of `snapshots` or of `requests` with its time, without its id."""

    at: float
    account: int
    snapshot: bool
    row: tuple[Any, ...]


@dataclass
class _Account:
    """One person's year."""

    number: int
    size: Size
    now: float
    plan: str = field(init=False)
    random: random.Random = field(init=False)
    threads: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = PLANS[(self.number - 1) % len(PLANS)]
        self.random = random.Random(self.size.seed * 1_000 + self.number)  # noqa: S311 (a made-up history)
        self._thread = ""
        self._model = MODELS[0]
        per_day = self.turns / self.size.days
        lengths = {"30d": 43_200} if self.plan == "free" else {"5h": 300, "7d": 10_080}
        self.limits = [_Limit("codex", None, _windows(lengths, per_day))]
        if self.plan == "pro":
            self.limits.append(_Limit(SECOND_LIMIT, "GPT-5.3-Codex-Spark", _windows(lengths, per_day * 0.2)))

    @property
    def turns(self) -> int:
        """Return the number of this account's turns."""
        return _part(self.size.turns, self.number, self.size.accounts)

    @property
    def snapshots(self) -> int:
        """Return the number of this account's rows of snapshots."""
        return _part(self.size.snapshots, self.number, self.size.accounts)

    def token_key(self, at: float) -> str:
        """Return the key of the token in use at a time; Codex replaces it every few days."""
        return f"eyJhbGciOiJSUzI1NiIs~{self.number:04x}{int(at // TOKEN_SECONDS):06x}"

    def events(self) -> Iterator[Event]:
        """Yield every row, in order of time."""
        turns = self.turns
        share = self.snapshots / max(1, turns)
        owed = 0.0
        for at in self._moments():
            limit = self.limits[1 if len(self.limits) > 1 and self.random.random() < 0.2 else 0]
            yield Event(at, self.number, snapshot=False, row=self._turn(limit, at))
            owed += share
            # Each limit and each new window begins with a reading; besides, they come as often as was asked for.
            if owed < 1 and limit.open is not None and at < limit.holds_until:
                limit.seen, limit.seen_at = limit.seen + 1, at
                continue
            while True:
                owed -= 1
                if limit.open is not None:
                    yield Event(at, self.number, snapshot=True, row=_closed(limit))
                limit.open = self._reading(limit, at)
                limit.seen, limit.seen_at = 1, at
                limit.holds_until = min(window.resets_at for window in limit.windows.values())
                if owed < 1:
                    break
        for limit in self.limits:
            if limit.open is not None:
                yield Event(self.now, self.number, snapshot=True, row=_closed(limit))

    def _moments(self) -> Iterator[float]:
        """Yield the ends of turns: by day (UTC), in bursts, fewer at weekends; the last of all is now."""
        today = int(self.now // DAY)
        days = range(today - self.size.days + 1, today + 1)
        weights = [(0.25 if (day + 3) % 7 >= 5 else 1.0) * self.random.uniform(0.3, 1.5) for day in days]
        left, total = self.turns, sum(weights)
        for day, weight in zip(days, weights, strict=True):
            count = left if day == today else min(max(0, left - 1), round(left * weight / total))
            left, total = left - count, total - weight
            found = self._day(day * DAY, count)
            if day == today and found:
                found[-1] = self.now - 20
            yield from found

    def _day(self, midnight: int, count: int) -> list[float]:
        """Return `count` times of a day, most of them in a few bursts, none later than now."""
        latest = min(midnight + DAY - 1.0, self.now - 30)
        bursts = [midnight + self.random.uniform(8, 21) * HOUR for _ in range(6)]
        found = (self.random.gauss(self.random.choice(bursts), 25 * MINUTE) for _ in range(count))
        kept = (at if midnight <= at <= latest else self.random.uniform(min(midnight, latest), latest) for at in found)
        return sorted(kept)

    def _turn(self, limit: _Limit, at: float) -> tuple[Any, ...]:
        """Return a row of `requests`, and let it take its part of the windows."""
        pick = self.random
        thread = self._current_thread(at)
        for window in limit.windows.values():
            window.pass_to(at)
        seconds = pick.expovariate(1 / 20) + 0.8
        warm_up, refused = pick.random() < 0.02, limit.full
        tokens: tuple[int | None, ...] = (None,) * 4
        if not (warm_up or refused):
            output = int(pick.expovariate(1 / 900)) + 20
            given = int(pick.lognormvariate(10, 0.8)) + 500
            cached = int(given * pick.betavariate(6, 1.5))
            tokens = (given, cached, output, int(output * pick.random() * 0.6))
            self._take(limit, (given - cached + cached * 0.1 + output * 5) / 14_000 * self._model[1])
        return (
            *(self.number, self.token_key(at), limit.limit_id, thread, thread, self._model[0]),
            "http" if pick.random() < 0.1 else "websocket",
            *(int(warm_up), at - seconds, at - seconds * 0.7, at),
            *(429 if refused else 200, "usage_limit_reached" if refused else None),
            *tokens,
        )

    def _take(self, limit: _Limit, weight: float) -> None:
        elsewhere = self.random.random() < 0.003
        for window in limit.windows.values():
            window.used = min(FULL, window.used + window.points * (weight + 30 * elsewhere))

    def _current_thread(self, at: float) -> str:
        if not self._thread or self.random.random() < 1 / THREAD_TURNS:
            bits = self.random.getrandbits(128)
            self._thread = (
                f"{bits >> 96:08x}-{bits >> 80 & 65535:04x}-7{bits >> 64 & 4095:03x}-9d43-{bits & (1 << 48) - 1:012x}"
            )
            self._model = self.random.choice(MODELS)
        seen = self.threads.setdefault(self._thread, [at, at])
        seen[1] = at
        return self._thread

    def _reading(self, limit: _Limit, at: float) -> tuple[Any, ...]:
        """Return a row of `snapshots` but for how long it stood (`_COLUMNS` says what is where)."""
        told = {slot: (round(each.used, 2), each.minutes, each.resets_at) for slot, each in limit.windows.items()}
        none = (None, None, None)
        five, seven = told.pop("5h", none), told.pop("7d", none)
        others = next(iter(told.items()), None)
        written = f'{{"{others[0]}": [{others[1][0]}, {others[1][1]}, {others[1][2]}]}}' if others else None
        figures = ["null" if each is None else each for each in (*(others[1] if others else five), *seven)]
        raw = _RAW.format(*figures, plan=self.plan)
        refused = limit.full
        return (
            *(self.number, self.token_key(at), limit.limit_id, limit.name, at),
            *(at - 0.1, *five, *seven, written, int(not refused), int(refused)),
            *("rate_limit_reached" if refused else None, self.plan, 0, 0, "error" if refused else "websocket"),
            *(429 if refused else None, self._model[0], self._thread, raw),
        )


_RAW = (
    '{{"type": "codex.rate_limits", "plan_type": "{plan}", "rate_limits": {{"primary": {{"used_percent": {0},'
    ' "window_minutes": {1}, "reset_at": {2}}}, "secondary": {{"used_percent": {3}, "window_minutes": {4},'
    ' "reset_at": {5}}}}}}}'
)

_SNAPSHOT = (
    "INSERT INTO snapshots (id, account, token_key, limit_id, limit_name, first_seen_at,"  # noqa: S608 (constant columns)
    " server_time, used_5h_percent,"
    " window_5h_minutes, resets_5h_at, used_7d_percent, window_7d_minutes, resets_7d_at, other_windows, allowed,"
    " limit_reached, reached_type, plan_type, has_credits, credits_unlimited, source, status, model, thread, raw,"
    " last_seen_at, windows_seen_at, observations)"
    " VALUES (" + ", ".join("?" * 28) + ")"
)
_REQUEST = (
    "INSERT INTO requests (account, token_key, limit_id, thread, session, model,"  # noqa: S608 (constant columns)
    " transport, warm_up, started_at,"
    " first_byte_at, ended_at, status, error_type, input_tokens, cached_tokens, output_tokens, reasoning_tokens)"
    " VALUES (" + ", ".join("?" * 17) + ")"
)


def _windows(lengths: dict[str, int], per_day: float) -> dict[str, _Window]:
    """Return windows that such use fills to about three quarters: 5 h are most of a day's work."""
    days = {"5h": 0.75, "7d": 6.0, "30d": 26.0}
    return {slot: _Window(minutes, 75 / max(1.0, per_day * days[slot])) for slot, minutes in lengths.items()}


def _part(total: int, number: int, parts: int) -> int:
    return total * number // parts - total * (number - 1) // parts


def _closed(limit: _Limit) -> tuple[Any, ...]:
    assert limit.open is not None
    return (*limit.open, limit.seen_at, limit.seen_at, limit.seen)


def generate(path: Path, size: Size, now: float, *, progress: bool = False) -> None:
    """Make a new database at `path` that ends at `now` (Unix seconds).

    Raises:
        FileExistsError: There is a file already.
    """
    if path.exists():
        raise FileExistsError(path)
    people = [_Account(number, size, now) for number in range(1, size.accounts + 1)]
    with closing(open_writer(path)) as connection:
        # A crash loses nothing that cannot be generated again.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        with transaction(connection):
            _insert_people(connection, people)
        newest = _insert_events(connection, people, size, progress=progress)
        with transaction(connection):
            _insert_threads(connection, people)
            _point(connection, newest)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def generate_month(path: Path) -> Path:
    """Write a month of five people, one of whom has two limits, until now; return the path."""
    generate(path, Size(snapshots=1_500, turns=3_000, days=30), time.time())
    return path


def _insert_people(connection: sqlite3.Connection, people: list[_Account]) -> None:
    for person in people:
        number, begin, now = person.number, person.now - person.size.days * DAY, person.now
        connection.execute(
            "INSERT INTO accounts (id, account_id, user_id, name, email, first_seen_at, last_seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, f"acct-{number}", f"user-{number}", f"person-{number}", f"p{number}@example.com", begin, now),
        )
        firsts = [begin, *range(int(begin // TOKEN_SECONDS + 1) * TOKEN_SECONDS, int(now), TOKEN_SECONDS)]
        connection.executemany(
            "INSERT INTO tokens (token_key, account, first_seen_at, last_seen_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            [
                (person.token_key(at), number, at, min(now, at + TOKEN_SECONDS), at + 10 * DAY)
                for at in dict.fromkeys(firsts)
            ],
        )


def _insert_events(
    connection: sqlite3.Connection, people: list[_Account], size: Size, *, progress: bool
) -> dict[tuple[int, str], int]:
    """Insert all rows in order of time, and return the newest row of each limit."""
    newest: dict[tuple[int, str], int] = {}
    snapshots: list[tuple[Any, ...]] = []
    requests: list[tuple[Any, ...]] = []
    row_id = 0
    with _Bar(size.snapshots + size.turns, shown=progress) as bar:
        for event in heapq.merge(*(person.events() for person in people)):
            if event.snapshot:
                row_id += 1
                newest[event.account, event.row[2]] = row_id
                snapshots.append((row_id, *event.row))
            else:
                requests.append(event.row)
            if len(snapshots) + len(requests) >= BATCH:
                _flush(connection, snapshots, requests, bar)
        _flush(connection, snapshots, requests, bar)
    return newest


def _flush(
    connection: sqlite3.Connection, snapshots: list[tuple[Any, ...]], requests: list[tuple[Any, ...]], bar: _Bar
) -> None:
    with transaction(connection):
        connection.executemany(_SNAPSHOT, snapshots)
        connection.executemany(_REQUEST, requests)
    bar.advance(len(snapshots) + len(requests))
    snapshots.clear()
    requests.clear()


def _insert_threads(connection: sqlite3.Connection, people: list[_Account]) -> None:
    for person in people:
        connection.executemany(
            "INSERT INTO threads (account, thread, name, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?, ?)",
            [
                (person.number, thread, f"task-{person.number}-{number}" if number % 20 == 0 else None, *seen)
                for number, (thread, seen) in enumerate(person.threads.items())
            ],
        )


def _point(connection: sqlite3.Connection, newest: dict[tuple[int, str], int]) -> None:
    connection.executemany(
        "INSERT INTO limits (account, limit_id, snapshot_id) VALUES (?, ?, ?)",
        [(*key, row_id) for key, row_id in newest.items()],
    )
    facts: dict[int, int] = {}
    for (account, _), row_id in newest.items():
        facts[account] = max(row_id, facts.get(account, 0))
    connection.executemany(
        "UPDATE accounts SET snapshot_id = ? WHERE id = ?", [(row_id, account) for account, row_id in facts.items()]
    )


class _Bar:
    """A progress bar on a terminal, nothing anywhere else."""

    def __init__(self, total: int, *, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not (shown and console.is_terminal))
        self._task = self._progress.add_task("rows", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """Count further rows."""
        self._progress.advance(self._task, count)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--snapshots", type=click.IntRange(1), default=Size().snapshots, show_default=True)
@click.option("--turns", type=click.IntRange(1), default=Size().turns, show_default=True)
@click.option("--accounts", type=click.IntRange(1, 50_000), default=Size().accounts, show_default=True)
@click.option("--days", type=click.IntRange(1), default=Size().days, show_default=True)
@click.option("--seed", type=int, default=Size().seed, show_default=True, help="The same seed, the same history.")
def main(path: Path, **asked: int) -> None:
    """Make a large database at PATH, to measure and to look at."""
    begin = time.monotonic()
    try:
        generate(path, Size(**asked), time.time(), progress=True)
    except FileExistsError as error:
        raise click.ClickException(f"{path} is there already") from error
    took, megabytes = time.monotonic() - begin, path.stat().st_size / 1_000_000
    print(f"{path}: {megabytes:,.0f} MB in {took:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
