"""Who looks and sends: ``codex-tap alerts watch``, a process of its own. Nothing waits for it, the proxy least of all.

It looks when the database has changed, and once a minute for what time alone brings. What is due is written down as
told and as unsent before it is sent: after a crash a message may come twice, but is not lost. Each target is sent to in
a thread of its own, one message at a time, so that none waits for another.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from scripts.alerts import state as states
from scripts.alerts.evaluate import evaluate
from scripts.alerts.outbox import PAUSES, REST, Outbox, log
from scripts.alerts.settings import SettingsError, load, others_can_read, readers_warning
from scripts.alerts.state import State, StateError
from scripts.support.database_watcher import DatabaseWatcher
from scripts.support.sanitize import sanitize
from store.analysis.alerting import record_sent
from store.database import open_reader
from store.errors import DatabaseError, MissingError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.alerts.settings import Settings
    from store.analysis.alerting import AlertState


STEP_SECONDS = 1.0
"""How often it is asked whether the database has changed."""

MIN_SECONDS, MAX_SECONDS = 5.0, 60.0
"""Looks are at least and at most so far apart."""

FORECAST_SECONDS = 60.0
"""A forecast costs more than all the rest of a look, and changes slowly."""

FINISH_SECONDS = 3.0
"""How long an end waits for what is being sent."""


class Watch:
    """Looks, remembers and sends, step by step."""

    def __init__(
        self,
        database: Path,
        config: Path,
        *,
        pauses: Sequence[float] = PAUSES,
        say: Callable[[str], None] = log,
    ) -> None:
        """Read the file and what is remembered.

        Raises:
            SettingsError: the file is not what it should be.
        """
        self._database, self._config, self._say = database, config, say
        self._stamp = _stamp(config)
        self._settings = load(config)
        self._state_path = states.state_path(database)
        self._state = self._remembered()
        self._outbox = Outbox(self._state.unsent, pauses=pauses, say=say)
        self._outbox.aim(self._settings)
        self._watcher = DatabaseWatcher(database)
        self._seen: object = None
        self._rest = MIN_SECONDS
        self._looked_at = self._forecast_at = float("-inf")
        self._said: set[str] = set()
        self._warn_of_readers()

    @property
    def settings(self) -> Settings:
        """What the file says, as it was last good."""
        return self._settings

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent, and nothing waits to be."""
        return self._outbox.is_idle and not self._outbox.unsent

    def close(self) -> None:
        """Let go of the database."""
        self._watcher.close()

    def step(self, now: float, ticks: float) -> None:
        """Look if it is time to, and send what is due; `now` is the clock, `ticks` one that is never set."""
        self._reload()
        seen = self._watcher.state()
        apart = ticks - self._looked_at
        if apart >= MAX_SECONDS or (seen != self._seen and apart >= self._rest):
            self._seen, self._looked_at = seen, ticks
            began = time.monotonic()
            self._look(now, ticks)
            self._rest = max(MIN_SECONDS, REST * (time.monotonic() - began))
        if self._outbox.step(now):
            self._save(self._state.memory)

    def finish(self, now: float) -> None:
        """Look once more, and give what is being sent a moment; what is not sent by then is at the next start."""
        end = time.monotonic() + FINISH_SECONDS
        self._looked_at = float("-inf")
        self.step(now, time.monotonic())
        while not self._outbox.is_idle and time.monotonic() < end:
            time.sleep(0.02)
            self.step(now, time.monotonic())

    def _look(self, now: float, ticks: float) -> None:
        forecast = ticks - self._forecast_at >= FORECAST_SECONDS
        try:
            with contextlib.closing(open_reader(self._database)) as connection:
                found = evaluate(connection, self._settings, self._state.memory, now, forecast=forecast)
        except MissingError:
            return  # it comes with the first turn
        except (DatabaseError, sqlite3.Error) as error:
            self._say_once(f"the database cannot be read: {error}")
            return
        if forecast:
            self._forecast_at = ticks
        for problem in found.problems:
            self._say_once(problem)
        self._outbox.forget({sanitize(key) for key in found.accounts})
        memory = found.memory
        if found.quiet_until is None:
            memory = record_sent(memory, found.alerts, now)
            self._outbox.add(found.alerts)
        self._save(memory)

    def _save(self, memory: AlertState) -> None:
        state = State(memory, self._outbox.unsent)
        if state == self._state:
            return
        self._state = state
        try:
            states.save(self._state_path, state)
        except StateError as error:
            self._say_once(f"{error}; after a restart things may be told again")

    def _remembered(self) -> State:
        try:
            return states.load(self._state_path)
        except StateError as error:
            self._say(f"{error}; it is begun anew, and what still holds is told again")
            return State()

    def _reload(self) -> None:
        stamp = _stamp(self._config)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._settings = load(self._config)
        except SettingsError as error:
            self._say(f"{error}; what it said before goes on")
            return
        self._outbox.aim(self._settings)
        self._looked_at = self._forecast_at = float("-inf")
        self._said.clear()
        self._say(f"{self._config} was read again")
        self._warn_of_readers()

    def _warn_of_readers(self) -> None:
        if others_can_read(self._config):
            self._say(readers_warning(self._config))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def watch(
    database: Path, config: Path, stop: threading.Event, *, started: Callable[[Settings], None], last_look: bool = False
) -> None:
    """Look and send until `stop` is set; `started` is called when that begins.

    With a `last_look` it looks once more then: a proxy that ended with it wrote its last readings just before.

    Raises:
        SettingsError: the file is not what it should be.
    """
    with contextlib.closing(Watch(database, config)) as watching:
        started(watching.settings)
        while not stop.is_set():
            watching.step(time.time(), time.monotonic())
            stop.wait(STEP_SECONDS)
        if last_look:
            watching.finish(time.time())


def _stamp(path: Path) -> object:
    """Return what changes when a file is written."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
