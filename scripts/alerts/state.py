"""What is remembered between looks, and who may write it: a small private file beside the database."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.alerting import EMPTY_STATE, About, AlertState, Period, SentAlert
from store.files import alerts_lock_path, alerts_state_path, create_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1


class PendingMessage(NamedTuple):
    """A message that a target still has to get. ``due_at`` is when it is tried (again), in Unix seconds."""

    target: str
    message: dict[str, Any]
    tries: int = 0
    due_at: float = 0.0


class State(NamedTuple):
    """What was told, and what still has to be sent."""

    memory: AlertState = EMPTY_STATE
    unsent: tuple[PendingMessage, ...] = ()


class StateError(Exception):
    """What was remembered cannot be read or written; the message says why."""


def state_path(database: Path) -> Path:
    """Return where the file of a database is."""
    return alerts_state_path(database)


def load(path: Path) -> State:
    """Read what is remembered; nothing where nobody ever looked.

    Raises:
        StateError: it cannot be read.
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
    """Write it, readable by its owner alone, in one go: whoever reads has the old or the new.

    Raises:
        StateError: it cannot be written; the old one is still there.
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


# Only one looks at a time: two would tell everything twice.


class AlreadyRunningError(Exception):
    """Another process watches this database."""


@contextlib.contextmanager
def exclusive_lock(database: Path) -> Iterator[None]:
    """Be the only one to watch a database; the system lets go of it for whoever ends, however that is.

    Raises:
        TakenError: another one is.
        StateError: the file that tells cannot be made.
    """
    path = alerts_lock_path(database)
    try:
        create_private_folder(path.parent)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StateError(f"{path} cannot be made: {error.strerror or error}") from error
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            raise AlreadyRunningError(f"another codex-tap watches {database} already") from error
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
