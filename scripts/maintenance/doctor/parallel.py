"""Runs checks at the same time. No check ends the others with an exception, and none is waited for too long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from scripts.maintenance.doctor.check import Check
from scripts.support.errors import WRONG_USE, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Job(NamedTuple):
    """A function that checks something; ``name`` is for the result that stands in for one that it does not return."""

    name: str
    run: Callable[[], Iterable[Check]]


def run_all(jobs: Sequence[Job], seconds: float) -> list[Check]:
    """Return the results of all jobs in their order; a job that fails or takes longer than ``seconds`` gets a note.

    Raises:
        CommandError: with exit code 2, a job found that an option is wrong.
    """
    running = [_Running(job) for job in jobs]
    deadline = time.monotonic() + seconds
    for each in running:
        each.thread.join(max(0.0, deadline - time.monotonic()))
    return [check for each in running for check in each.results(seconds)]


class _Running:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._found: list[Check] = []
        self._error: Exception | None = None
        # A daemon thread, so that a check that hangs does not keep the process from exiting.
        self.thread = threading.Thread(target=self._run, name=f"check {job.name}", daemon=True)
        self.thread.start()

    def results(self, seconds: float) -> list[Check]:
        if self.thread.is_alive():
            return [Check(self._job.name, "note", f"not known: the check takes longer than {seconds:.0f} s")]
        if isinstance(self._error, CommandError) and self._error.exit_code == WRONG_USE:
            raise self._error
        if self._error is not None:
            return [*self._found, Check(self._job.name, "note", f"not known: the check fails: {_reason(self._error)}")]
        return self._found

    def _run(self) -> None:
        try:
            for check in self._job.run():
                self._found.append(check)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other checks are shown)
            self._error = error


def _reason(error: Exception) -> str:
    # The text of an unexpected exception may quote anything.
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return type(error).__name__
