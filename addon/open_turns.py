"""Reports the turns that are under way, for `codex-tap top`, in a thread of its own: no hook does anything for it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from addon.turns import NO_RESULT, finished_turn
from store.constants import MAIN_LIMIT
from store.turns_under_way import HEARTBEAT_SECONDS, TurnUnderWay, delete_stale, write_turns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from addon.exchange import Exchange, OpenTurn

_POLL_SECONDS = _END_SECONDS = 1.0
_MIN_TURN_SECONDS = 1.0
"""A turn that is younger is not reported: most end soon, and nobody could read of them."""

_MAX_TURNS = 100


class OpenTurnsReport:
    """Writes the file of the turns under way while there are some (`store.turns_under_way`)."""

    def __init__(self, exchanges: Mapping[str, Exchange]) -> None:
        """Prepare it.

        Args:
            exchanges: the requests whose responses are under way, which the hooks keep up to date.
        """
        self._exchanges = exchanges
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written: Sequence[TurnUnderWay] = ()
        self._written_at = 0.0

    def start(self, database: Path) -> None:
        """Report beside a database from now on, until `stop`."""
        self._stop = threading.Event()
        self._written = ()
        self._thread = threading.Thread(
            target=self._run, args=(database, self._stop), name="codex-tap open turns", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Delete the file, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
            self._thread = None

    def _run(self, database: Path, stop: threading.Event) -> None:
        delete_stale(database, time.time())
        while not stop.wait(_POLL_SECONDS):
            with contextlib.suppress(Exception):  # nothing depends on it, and the next round tries again
                self.report(database, time.time())
        with contextlib.suppress(OSError):
            write_turns(database, os.getpid(), (), time.time())

    def report(self, database: Path, now: float) -> None:
        """Write the turns that have been under way for a second, if they are others than before or it is time."""
        turns = self._turns(now)
        if not turns and not self._written:
            return
        if turns != self._written or now - self._written_at >= HEARTBEAT_SECONDS:
            write_turns(database, os.getpid(), turns, now)
            self._written, self._written_at = turns, now

    def _turns(self, now: float) -> list[TurnUnderWay]:
        # The hooks change the mapping meanwhile: a list of its values is made in one step of the interpreter.
        open_turns = [exchange.turn for exchange in list(self._exchanges.values()) if exchange.turn]
        old = [turn for turn in open_turns if not turn.warm_up and turn.started_at <= now - _MIN_TURN_SECONDS]
        old.sort(key=lambda turn: turn.started_at)
        return [_under_way(turn, now) for turn in old[:_MAX_TURNS]]


def _under_way(turn: OpenTurn, now: float) -> TurnUnderWay:
    """Return what is known of a turn so far; its fields mean what those of its row will mean."""
    so_far = finished_turn(turn, MAIN_LIMIT, NO_RESULT, now)
    return TurnUnderWay(
        account_id=so_far.identity.account_id,
        user_id=so_far.identity.user_id,
        thread=so_far.thread,
        session=so_far.session,
        model=so_far.model,
        subagent=so_far.subagent,
        started_at=so_far.started_at,
        first_byte_at=so_far.first_byte_at,
    )
