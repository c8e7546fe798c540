"""Who looks and sends: ``codex-tap alerts watch``, a process of its own. Nothing waits for it, the proxy least of all.

It looks when the database has changed, and once a minute for what time alone brings. What is due is written down as
told and as unsent before it is sent: after a crash a message may come twice, but is not lost. Each target is sent to in
a thread of its own, one message at a time, so that none waits for another.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING

from scripts.alerts import state as states
from scripts.alerts.look import look
from scripts.alerts.settings import SettingsError, load, others_can_read, readers_warning
from scripts.alerts.state import State, StateError, Unsent
from scripts.alerts.targets import SendError, make_target, message
from scripts.changes import Watcher
from scripts.printable import printable
from store.alerts import remember
from store.database import DatabaseError, MissingError, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.alerts.settings import Settings
    from scripts.alerts.targets import Target
    from store.alerts import Alert, Memory

STEP_SECONDS = 1.0
"""How often it is asked whether the database has changed."""

LEAST_SECONDS, MOST_SECONDS = 5.0, 60.0
"""Looks are at least and at most so far apart."""

REST = 20.0
"""A look that took long is followed by a rest of so many times that, but for no longer than looks may be apart."""

FORECAST_SECONDS = 60.0
"""A forecast costs more than all the rest of a look, and changes slowly."""

PAUSES = (10.0, 60.0, 300.0, 900.0, 1_800.0)
"""How long to wait after each try that failed; there is one try more than that."""

FINISH_SECONDS = 3.0
"""How long an end waits for what is being sent."""

MOST_UNSENT = 100
"""Messages that wait for one target; beyond that the oldest are given up."""


def tell(text: str) -> None:
    """Say something to whoever reads along."""
    print(f"codex-tap: {printable(text)}", file=sys.stderr, flush=True)


class Outbox:
    """What still has to be sent, and the threads that send it.

    All but the sending itself happens in the thread that calls it.
    """

    def __init__(
        self, unsent: Sequence[Unsent], *, pauses: Sequence[float] = PAUSES, say: Callable[[str], None] = tell
    ) -> None:
        """Take what an earlier process left."""
        self._unsent = list(unsent)
        self._pauses, self._say = pauses, say
        self._targets: dict[str, tuple[str, Target]] = {}
        self._sending: dict[str, Unsent] = {}
        self._results: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    @property
    def unsent(self) -> tuple[Unsent, ...]:
        """What is not sent yet, or not known to be."""
        return tuple(self._unsent)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent at the moment."""
        return not self._sending

    def aim(self, settings: Settings) -> None:
        """Take the targets; what waits for one that is gone is dropped."""
        self._targets = {name: (each.shown, make_target(each)) for name, each in settings.targets.items()}
        self._unsent = [each for each in self._unsent if each.target in self._targets]

    def add(self, alerts: Sequence[Alert]) -> None:
        """Take messages in."""
        for alert in alerts:
            made = message(alert)
            self._unsent += [Unsent(target, made) for target in alert.targets if target in self._targets]
        for name in self._targets:
            waiting = [each for each in self._unsent if each.target == name]
            for each in waiting[: max(0, len(waiting) - MOST_UNSENT)]:
                self._drop(each)
                self._say(f"{self._named(name)}: too many wait; given up: {each.message['text']}")

    def forget(self, known: set[str]) -> None:
        """Drop what is about accounts that are no longer known."""
        self._unsent = [each for each in self._unsent if each.message["account"] in known]

    def step(self, now: float) -> bool:
        """Take in what became of what was sent, and send what is due; tell whether that changed what is unsent."""
        changed = False
        while not self._results.empty():
            self._settle(*self._results.get(), now)
            changed = True
        for each in list(self._unsent):
            # A clock that was set back must not hold a message for longer than a pause.
            due = each.due_at <= now or each.due_at > now + max(self._pauses, default=0.0)
            if due and each.target not in self._sending:
                self._send(each)
        return changed

    def _send(self, each: Unsent) -> None:
        self._sending[each.target] = each
        _, target = self._targets[each.target]
        # Daemons: a service that hangs does not keep this process.
        threading.Thread(target=self._deliver, args=(each, target), name=f"to {each.target}", daemon=True).start()

    def _deliver(self, each: Unsent, target: Target) -> None:
        try:
            target.send(each.message)
            self._results.put((each.target, None))
        except SendError as error:
            self._results.put((each.target, str(error)))
        except Exception as error:  # noqa: BLE001 (one target's fault is not another's, and may hold its secret)
            self._results.put((each.target, type(error).__name__))

    def _settle(self, name: str, problem: str | None, now: float) -> None:
        each = self._sending.pop(name)
        if each not in self._unsent:
            return
        text = each.message["text"]
        if problem is None:
            self._drop(each)
            self._say(f"told {self._named(name)}: {text}")
        elif each.tries < len(self._pauses):
            pause = self._pauses[each.tries]
            again = each._replace(tries=each.tries + 1, due_at=now + pause)
            self._unsent[self._unsent.index(each)] = again
            self._say(f"{self._named(name)}: {problem}; tried again in {pause:.0f} s: {text}")
        else:
            self._drop(each)
            self._say(f"{self._named(name)}: {problem}; given up after {each.tries + 1} tries: {text}")

    def _drop(self, each: Unsent) -> None:
        self._unsent.remove(each)

    def _named(self, name: str) -> str:
        return f"{name} ({self._targets[name][0]})" if name in self._targets else name


class Watch:
    """Looks, remembers and sends, step by step."""

    def __init__(
        self,
        database: Path,
        config: Path,
        *,
        pauses: Sequence[float] = PAUSES,
        say: Callable[[str], None] = tell,
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
        self._watcher = Watcher(database)
        self._seen: object = None
        self._rest = LEAST_SECONDS
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
        if apart >= MOST_SECONDS or (seen != self._seen and apart >= self._rest):
            self._seen, self._looked_at = seen, ticks
            began = time.monotonic()
            self._look(now, ticks)
            self._rest = max(LEAST_SECONDS, REST * (time.monotonic() - began))
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
                found = look(connection, self._settings, self._state.memory, now, forecast=forecast)
        except MissingError:
            return  # it comes with the first turn
        except (DatabaseError, sqlite3.Error) as error:
            self._say_once(f"the database cannot be read: {error}")
            return
        if forecast:
            self._forecast_at = ticks
        for problem in found.problems:
            self._say_once(problem)
        self._outbox.forget({printable(key) for key in found.accounts})
        memory = found.memory
        if found.quiet_until is None:
            memory = remember(memory, found.alerts, now)
            self._outbox.add(found.alerts)
        self._save(memory)

    def _save(self, memory: Memory) -> None:
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
