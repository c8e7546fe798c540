"""Alerts on their way to their targets, with retries."""

from __future__ import annotations

import queue
import sys
import threading
from typing import TYPE_CHECKING

from scripts.alerts.state import PendingMessage
from scripts.alerts.targets import SendError, make_target, message
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.alerts.settings import Settings
    from scripts.alerts.targets import Target
    from store.analysis.alerting import Alert


REST = 20.0
"""A look that took long is followed by a rest of so many times that, but for no longer than looks may be apart."""

PAUSES = (10.0, 60.0, 300.0, 900.0, 1_800.0)
"""How long to wait after each try that failed; there is one try more than that."""

MAX_PENDING = 100
"""Messages that wait for one target; beyond that the oldest are given up."""


def log(text: str) -> None:
    """Say something to whoever reads along."""
    print(f"codex-tap: {sanitize(text)}", file=sys.stderr, flush=True)


class Outbox:
    """What still has to be sent, and the threads that send it.

    All but the sending itself happens in the thread that calls it.
    """

    def __init__(
        self, unsent: Sequence[PendingMessage], *, pauses: Sequence[float] = PAUSES, say: Callable[[str], None] = log
    ) -> None:
        """Take what an earlier process left."""
        self._unsent = list(unsent)
        self._pauses, self._say = pauses, say
        self._targets: dict[str, tuple[str, Target]] = {}
        self._sending: dict[str, PendingMessage] = {}
        self._results: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    @property
    def unsent(self) -> tuple[PendingMessage, ...]:
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
            self._unsent += [PendingMessage(target, made) for target in alert.targets if target in self._targets]
        for name in self._targets:
            waiting = [each for each in self._unsent if each.target == name]
            for each in waiting[: max(0, len(waiting) - MAX_PENDING)]:
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

    def _send(self, each: PendingMessage) -> None:
        self._sending[each.target] = each
        _, target = self._targets[each.target]
        # Daemons: a service that hangs does not keep this process.
        threading.Thread(target=self._deliver, args=(each, target), name=f"to {each.target}", daemon=True).start()

    def _deliver(self, each: PendingMessage, target: Target) -> None:
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

    def _drop(self, each: PendingMessage) -> None:
        self._unsent.remove(each)

    def _named(self, name: str) -> str:
        return f"{name} ({self._targets[name][0]})" if name in self._targets else name
