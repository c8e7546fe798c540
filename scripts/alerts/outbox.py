"""The queue of messages: each target gets its messages one at a time, in a thread of its own, with retries."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from scripts.alerts.state import PendingMessage
from scripts.alerts.targets import SendError, make_target, message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.alerts.settings import Settings
    from scripts.alerts.targets import Target
    from store.analysis.alerting import Alert


PAUSES = (10.0, 60.0, 300.0, 900.0, 1_800.0)
"""Seconds to wait after each failed attempt. There is one attempt more than pauses."""

MAX_PENDING = 100
"""Messages that may wait for one target. The oldest ones above that are dropped."""


class Outbox:
    """The messages that are not sent yet, and the threads that send them.

    Everything but the sending itself happens in the calling thread.
    """

    def __init__(
        self, unsent: Sequence[PendingMessage], *, log: Callable[[str], None], pauses: Sequence[float] = PAUSES
    ) -> None:
        """Create an outbox without targets.

        Args:
            unsent: the messages of an earlier process.
            log: gets a line for each message that is sent or not.
            pauses: seconds to wait after each failed attempt.
        """
        self._unsent = list(unsent)
        self._pauses, self._log = pauses, log
        self._targets: dict[str, tuple[str, Target]] = {}
        self._sending: dict[str, PendingMessage] = {}
        self._results: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    @property
    def unsent(self) -> tuple[PendingMessage, ...]:
        """The messages that are not known to be sent."""
        return tuple(self._unsent)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent."""
        return not self._sending

    def set_targets(self, settings: Settings) -> None:
        """Use the targets of the settings; messages for other targets are dropped."""
        self._targets = {name: (each.shown, make_target(each)) for name, each in settings.targets.items()}
        self._unsent = [each for each in self._unsent if each.target in self._targets]

    def add(self, alerts: Sequence[Alert]) -> None:
        """Queue alerts for their targets."""
        for alert in alerts:
            document = message(alert)
            self._unsent += [PendingMessage(target, document) for target in alert.targets if target in self._targets]
        for name in self._targets:
            waiting = [each for each in self._unsent if each.target == name]
            for each in waiting[: max(0, len(waiting) - MAX_PENDING)]:
                self._drop(each)
                self._log(f"{self._shown(name)}: too many messages are waiting; dropped: {each.message['text']}")

    def forget(self, known: set[str]) -> None:
        """Drop the messages about accounts that no longer exist."""
        self._unsent = [each for each in self._unsent if each.message["account"] in known]

    def step(self, now: float) -> bool:
        """Handle finished attempts and start those that are due. Return True if `unsent` has changed."""
        changed = False
        while not self._results.empty():
            self._settle(*self._results.get(), now)
            changed = True
        for each in list(self._unsent):
            # If the clock was set back, a message must not wait for longer than a pause.
            due = each.due_at <= now or each.due_at > now + max(self._pauses, default=0.0)
            if due and each.target not in self._sending:
                self._send(each)
        return changed

    def _send(self, each: PendingMessage) -> None:
        self._sending[each.target] = each
        _, target = self._targets[each.target]
        # A daemon thread, so that a service that hangs does not keep the process from exiting.
        threading.Thread(target=self._deliver, args=(each, target), name=f"to {each.target}", daemon=True).start()

    def _deliver(self, each: PendingMessage, target: Target) -> None:
        try:
            target.send(each.message)
            self._results.put((each.target, None))
        except SendError as error:
            self._results.put((each.target, str(error)))
        except Exception as error:  # noqa: BLE001 (the error of one target must not affect others, and may contain a secret)
            self._results.put((each.target, type(error).__name__))

    def _settle(self, name: str, problem: str | None, now: float) -> None:
        each = self._sending.pop(name)
        if each not in self._unsent:
            return
        text = each.message["text"]
        if problem is None:
            self._drop(each)
            self._log(f"sent to {self._shown(name)}: {text}")
        elif each.tries < len(self._pauses):
            pause = self._pauses[each.tries]
            retry = each._replace(tries=each.tries + 1, due_at=now + pause)
            self._unsent[self._unsent.index(each)] = retry
            self._log(f"{self._shown(name)}: {problem}; next attempt in {pause:.0f} s: {text}")
        else:
            self._drop(each)
            self._log(f"{self._shown(name)}: {problem}; dropped after {each.tries + 1} attempts: {text}")

    def _drop(self, each: PendingMessage) -> None:
        self._unsent.remove(each)

    def _shown(self, name: str) -> str:
        return f"{name} ({self._targets[name][0]})" if name in self._targets else name
