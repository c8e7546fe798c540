"""A server on a history that goes on: further rows are written as the proxy writes them."""

from __future__ import annotations

import http.client
import itertools
import sys
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.web.change_stream import POLL_SECONDS
from store.constants import FULL_PERCENT
from store.database import open_reader
from store.kept.filling import is_long
from store.models import Identity, Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from store.record.writer import SnapshotWriter
from tests.support.harness import wait_until
from tests.support.web_server import Program, events

if TYPE_CHECKING:
    import sqlite3
    import subprocess
    from collections.abc import Iterator

    from store.documents import LimitStatus, WindowStatus
    from store.queries.accounts import Account

ANSWER_MILLISECONDS = 150.0
"""What an answer may take, whatever it is about."""

_COUNT_SECONDS = 300
_FILLER_STARTS_SECONDS, _FILLING_SECONDS, _CHECKING_SECONDS = 2.0, 600.0, 10.0
_SECONDS = 60
_STEP_PERCENT = 0.01


class NewRows:
    """Writes what comes next of one account after the other: a turn, and readings that are a little higher."""

    def __init__(self, path: Path) -> None:
        """Open the database, and go on from its newest readings.

        Raises:
            DatabaseError: The database cannot be used.

        """
        with closing(open_reader(path)) as connection:
            self._next = itertools.cycle([_state(connection, account) for account in load_accounts(connection)])
        self._writer = SnapshotWriter(path)

    def write(self) -> None:
        """Write one turn of the next account and one snapshot of each of its limits, in one transaction."""
        now, account = time.time(), next(self._next)
        account.limits = tuple(_fuller(limit, now) for limit in account.limits)
        self._writer.write([_turn(account, now), _snapshot(account, now)])

    def close(self) -> None:
        """Close the database."""
        self._writer.close()


@dataclass
class _AccountState:
    identity: Identity
    model: str | None
    limits: tuple[Limit, ...]


def _state(connection: sqlite3.Connection, account: Account) -> _AccountState:
    (stands,) = load_status(connection, time.time(), [account])["accounts"]
    row = connection.execute("SELECT account_id, user_id FROM accounts WHERE id = ?", (account.id,)).fetchone()
    identity = Identity(token_key=account.token_keys[0], account_id=row["account_id"], user_id=row["user_id"])
    limits = stands["limits"]
    return _AccountState(identity, limits[0]["model"], tuple(_limit(each) for each in limits))


def _limit(found: LimitStatus) -> Limit:
    return Limit(
        limit_id=found["limit_id"],
        limit_name=found["limit_name"],
        windows={slot: _window(each) for slot, each in found["windows"].items()},
    )


def _window(found: WindowStatus) -> Window:
    return Window(
        used_percent=found["used_percent"], window_minutes=found["window_minutes"], resets_at=found["resets_at"]
    )


def _fuller(limit: Limit, now: float) -> Limit:
    windows = {slot: _fuller_window(window, now) for slot, window in (limit.windows or {}).items()}
    is_full = any((window.used_percent or 0.0) >= FULL_PERCENT for window in windows.values())
    return limit.model_copy(update={"windows": windows, "allowed": not is_full, "limit_reached": is_full})


def _fuller_window(window: Window, now: float) -> Window:
    """Return a window a little fuller; after its reset it begins anew."""
    if window.resets_at is None or window.window_minutes is None or now < window.resets_at:
        return window.model_copy(update={"used_percent": (window.used_percent or 0.0) + _STEP_PERCENT})
    return window.model_copy(update={"used_percent": _STEP_PERCENT, "resets_at": int(now) + window.window_minutes * 60})


def _turn(account: _AccountState, now: float) -> Turn:
    """Return a turn of the first limit, which is refused where that is full."""
    is_refused = account.limits[0].limit_reached
    return Turn(
        identity=account.identity,
        transport=Transport.WEBSOCKET,
        started_at=now - 9,
        first_byte_at=now - 7,
        ended_at=now,
        thread="going on",
        session="going on",
        model=account.model,
        status=429 if is_refused else 200,
        error_type="usage_limit_reached" if is_refused else None,
        tokens=Tokens() if is_refused else Tokens(input=22_000, cached=17_000, output=900, reasoning=300),
    )


def _snapshot(account: _AccountState, now: float) -> Snapshot:
    reading = RateLimits(limits=account.limits, server_time=now)
    return Snapshot(
        identity=account.identity,
        observed_at=now,
        source=Source.WEBSOCKET,
        reading=reading,
        model=account.model,
        thread="going on",
    )


class Served:
    """`codex-tap serve` and the writer of a database."""

    def __init__(self, path: Path, program: Program, rows: NewRows) -> None:
        self._path = path
        self.port = program.port
        self._process = program.process
        self._rows = rows

    def ask(self, asked: str) -> float:
        """Return the milliseconds of one answer, on a connection that is open already."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)) as connection:
            connection.connect()
            return _milliseconds(connection, asked)

    def ask_anew(self, asked: str) -> float:
        """Return the milliseconds of one answer, after an account has got new rows."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)) as connection:
            connection.connect()
            self._rows.write()
            return _milliseconds(connection, asked)

    def update_delays(self, count: int) -> list[float]:
        """Write so many times, and return how many milliseconds later an open page hears of each."""
        # So that nothing written before is told of meanwhile.
        time.sleep(2 * POLL_SECONDS)
        delays = []
        with events(self.port) as lines:
            _wait_for_change(lines)
            for number in range(count):
                # The server polls: each write comes at another moment between two polls.
                time.sleep(POLL_SECONDS * number / count)
                self._rows.write()
                begin = time.perf_counter()
                _wait_for_change(lines)
                delays.append((time.perf_counter() - begin) * 1_000)
        return delays

    def wait_for_counts(self) -> float:
        """Wait until the turns have been counted for the first time, and return the seconds that it took."""
        begin = time.monotonic()

        def counted() -> bool:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)) as connection:
                connection.request("GET", "/metrics")
                return b"codex_tap_turns_total" in connection.getresponse().read()

        wait_until(counted, lambda: "the turns are never counted", seconds=_COUNT_SECONDS)
        return time.monotonic() - begin

    def wait_for_filling(self) -> None:
        """Wait until the server has kept what it can, which it does when it starts, and again an hour later.

        Where the processes of the system cannot be seen, wait as long as that takes where all is kept already.
        """
        if not is_long(self._path):
            return
        self.ask("/health")  # it begins before the first answer
        if sys.platform == "linux":
            time.sleep(_FILLER_STARTS_SECONDS)
            wait_until(lambda: not _is_filling(self._process), lambda: "the filling never ends", _FILLING_SECONDS)
        else:
            time.sleep(_CHECKING_SECONDS)


@contextmanager
def serve(path: Path) -> Iterator[Served]:
    """Serve a database, and open it for further rows."""
    with Program("--db", path) as program, closing(NewRows(path)) as rows:
        yield Served(path, program, rows)


def _milliseconds(connection: http.client.HTTPConnection, asked: str) -> float:
    begin = time.perf_counter()
    connection.request("GET", asked)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - begin) * 1_000
    if answer.status != 200:
        raise RuntimeError(f"{asked}: {answer.status}")
    return took


def _wait_for_change(lines: Iterator[str]) -> None:
    for line in lines:
        if line == "event: change":
            return
    raise RuntimeError("the stream ended")


def _is_filling(server: subprocess.Popen[str]) -> bool:
    """Return True while the server has a process that fills; it starts no other one by `spawn`."""
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end in the middle of this.
        with suppress(OSError):
            if b"spawn_main" in (folder / "cmdline").read_bytes() and _parent(folder) == server.pid:
                return True
    return False


def _parent(folder: Path) -> int:
    """Return the parent of a process by its folder of /proc."""
    # After the name, which is in brackets and may have any characters, come the state and the parent.
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
