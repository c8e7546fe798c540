"""The ``codex-tap alerts watch`` process: polls the database and sends alerts, independent of the proxy.

It evaluates the rules when the database has changed, and once a minute for what depends on time alone. Due alerts are
saved as fired and unsent before they are sent, so after a crash a message may be sent twice, but is not lost.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from scripts.alerts import state as states
from scripts.alerts.evaluate import evaluate
from scripts.alerts.outbox import PAUSES, Outbox
from scripts.alerts.settings import SettingsError, load, others_can_read, readers_warning
from scripts.alerts.state import State, StateError
from scripts.support.database import open_for_reading
from scripts.support.database_watcher import DatabaseWatcher
from scripts.support.log_line import log
from scripts.support.place import state_path
from scripts.support.sanitize import sanitize
from store.analysis.alerting import record_sent
from store.errors import DatabaseError, MissingError, failure_text
from store.files import alerts_state_path, file_stamp

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.alerts.settings import Settings
    from scripts.support.place import Place
    from store.analysis.alerting import AlertState


STEP_SECONDS = 1.0
"""Time between two polls of the database for changes."""

MIN_SECONDS, MAX_SECONDS = 5.0, 60.0
"""The minimum and maximum time between two evaluations."""

REST_FACTOR = 20.0
"""After an evaluation, the next change waits for this multiple of its duration, up to `MAX_SECONDS`."""

FORECAST_SECONDS = 60.0
"""Time between two evaluations with a forecast, which costs more than the rest and changes slowly."""

FINISH_SECONDS = 3.0
"""How long a shutdown waits for messages that are being sent."""


class Watch:
    """Evaluates the rules, saves the state, and sends alerts, step by step."""

    def __init__(
        self,
        database: Place,
        config: Path,
        *,
        pauses: Sequence[float] = PAUSES,
        log: Callable[[str], None] = log,
    ) -> None:
        """Load the settings and the state.

        Args:
            database: the database, which need not exist yet.
            config: the alerts file.
            pauses: seconds to wait after each failed attempt to send.
            log: gets the lines of the log.

        Raises:
            SettingsError: the alerts file is invalid.
        """
        self._database, self._config, self._log = database, config, log
        self._stamp = file_stamp(config)
        self._settings = load(config)
        self._state_path = alerts_state_path(state_path(database))
        self._state = self._loaded_state()
        self._outbox = Outbox(self._state.unsent, log=log, pauses=pauses)
        self._outbox.set_targets(self._settings)
        self._watcher = DatabaseWatcher(database)
        self._evaluated: object = None
        self._rest = MIN_SECONDS
        self._evaluated_at = self._forecast_at = float("-inf")
        self._logged: set[str] = set()
        self._warn_of_readers()

    @property
    def settings(self) -> Settings:
        """The last valid settings."""
        return self._settings

    @property
    def is_idle(self) -> bool:
        """Whether no message is being sent or waiting."""
        return self._outbox.is_idle and not self._outbox.unsent

    def close(self) -> None:
        """Close the database."""
        self._watcher.close()

    def step(self, now: float, ticks: float) -> None:
        """Evaluate the rules and send alerts if it is time to; `ticks` are the seconds of a monotonic clock."""
        self._reload()
        version = self._watcher.state()
        elapsed = ticks - self._evaluated_at
        if elapsed >= MAX_SECONDS or (version != self._evaluated and elapsed >= self._rest):
            self._evaluated, self._evaluated_at = version, ticks
            began = time.monotonic()
            self._evaluate(now, ticks)
            self._rest = max(MIN_SECONDS, REST_FACTOR * (time.monotonic() - began))
        if self._outbox.step(now):
            self._save(self._state.memory)

    def finish(self, now: float) -> None:
        """Evaluate once more, and wait briefly for what is being sent. The next start sends the rest."""
        end = time.monotonic() + FINISH_SECONDS
        self._evaluated_at = float("-inf")
        self.step(now, time.monotonic())
        while not self._outbox.is_idle and time.monotonic() < end:
            time.sleep(0.02)
            self.step(now, time.monotonic())

    def _evaluate(self, now: float, ticks: float) -> None:
        forecast = ticks - self._forecast_at >= FORECAST_SECONDS
        try:
            with open_for_reading(self._database) as connection:
                found = evaluate(connection, self._settings, self._state.memory, now, forecast=forecast)
        except MissingError:
            return  # the first turn creates it
        except (DatabaseError, sqlite3.Error) as error:
            reason = failure_text(error) if isinstance(error, sqlite3.Error) else error
            self._log_once(f"the database cannot be read: {reason}")
            return
        if forecast:
            self._forecast_at = ticks
        for problem in found.problems:
            self._log_once(problem)
        self._outbox.forget({sanitize(key) for key in found.accounts})
        state = found.state
        if found.quiet_until is None:
            state = record_sent(state, found.alerts, now)
            self._outbox.add(found.alerts)
        self._save(state)

    def _save(self, memory: AlertState) -> None:
        state = State(memory, self._outbox.unsent)
        if state == self._state:
            return
        self._state = state
        try:
            states.save(self._state_path, state)
        except StateError as error:
            self._log_once(f"{error}; after a restart, alerts may be sent again")

    def _loaded_state(self) -> State:
        try:
            return states.load(self._state_path)
        except StateError as error:
            self._log(f"{error}; it is recreated, and alerts that still hold are sent again")
            return State()

    def _reload(self) -> None:
        stamp = file_stamp(self._config)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._settings = load(self._config)
        except SettingsError as error:
            self._log(f"{error}; the previous rules stay in force")
            return
        self._outbox.set_targets(self._settings)
        self._evaluated_at = self._forecast_at = float("-inf")
        self._logged.clear()
        self._log(f"{self._config} was reloaded")
        self._warn_of_readers()

    def _warn_of_readers(self) -> None:
        if others_can_read(self._config):
            self._log(readers_warning(self._config))

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            self._log(text)


def watch(
    database: Place,
    config: Path,
    stop: threading.Event,
    *,
    started: Callable[[Settings], None],
    last_look: bool = False,
) -> None:
    """Evaluate and send until `stop` is set; `started` is called once the settings are loaded.

    With `last_look` there is a final evaluation, for readings that a proxy wrote while it was shutting down.

    Raises:
        SettingsError: the alerts file is invalid.
    """
    with contextlib.closing(Watch(database, config)) as watching:
        started(watching.settings)
        while not stop.is_set():
            watching.step(time.time(), time.monotonic())
            stop.wait(STEP_SECONDS)
        if last_look:
            watching.finish(time.time())
