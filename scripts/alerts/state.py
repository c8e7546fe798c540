"""The state between evaluations, in a small private file beside the database, and the lock of its only writer."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.alerting import EMPTY_STATE, About, AlertState, Period, SentAlert
from store.files import alerts_lock_path, locked, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.documents import AlertMessage

_VERSION = 1


class PendingMessage(NamedTuple):
    """A message that is not sent yet. ``due_at`` is the time of the next attempt, in Unix seconds."""

    target: str
    message: AlertMessage
    tries: int = 0
    due_at: float = 0.0


class State(NamedTuple):
    """The contents of the file: the state of the evaluations, and the messages that are not sent yet."""

    memory: AlertState = EMPTY_STATE
    unsent: tuple[PendingMessage, ...] = ()


class StateError(Exception):
    """The file cannot be read or written; the message says why."""


def load(path: Path) -> State:
    """Read the file; without a file the state is empty.

    Raises:
        StateError: the file cannot be read, is damaged, or is of another version.
    """
    try:
        found = json.loads(path.read_bytes())
        if found["version"] != _VERSION:
            raise StateError(f"{path} was written by another codex-tap (version {found['version']})")
        return State(_memory(found), tuple(PendingMessage(**each) for each in found["unsent"]))
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is damaged ({type(error).__name__})") from error


def save(path: Path, state: State) -> None:
    """Replace the file atomically. Only its owner can read it.

    Raises:
        StateError: the file cannot be written; the previous one is unchanged.
    """
    text = json.dumps(_document(state), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    try:
        write_private(path, text.encode("ascii"))
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror or error}") from error


def _document(state: State) -> dict[str, Any]:
    memory = state.memory
    return {
        "version": _VERSION,
        "since": dict(memory.since),
        "runs": [[*about, *run] for about, run in memory.runs.items()],
        "told": [{**mark._asdict(), "about": list(mark.about)} for mark in memory.told],
        "unsent": [each._asdict() for each in state.unsent],
    }


def _memory(found: dict[str, Any]) -> AlertState:
    return AlertState(
        since={str(kind): float(at) for kind, at in found["since"].items()},
        runs={
            About(account, limit_id, slot): Period(float(used), resets_at)
            for account, limit_id, slot, used, resets_at in found["runs"]
        },
        told=tuple(
            SentAlert(**{**mark, "about": About(*mark["about"]), "rows": mark["rows"] and tuple(mark["rows"])})
            for mark in found["told"]
        ),
    )


# The lock: two watchers would send every alert twice.


class AlreadyRunningError(Exception):
    """Another process watches this database."""


@contextlib.contextmanager
def exclusive_lock(database: Path) -> Iterator[None]:
    """Hold the lock of a database's watcher. The operating system releases it when the process ends in any way.

    Raises:
        AlreadyRunningError: another process holds the lock.
        StateError: the lock file cannot be created.
    """
    path = alerts_lock_path(database)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another codex-tap already watches {database}") from error
        except OSError as error:
            raise StateError(f"{path} cannot be created: {error.strerror or error}") from error
        yield
