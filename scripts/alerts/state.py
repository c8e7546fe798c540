"""The state between evaluations, in a small private file beside the database, and the lock of its only writer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from scripts.support.exclusive import exclusive_lock
from scripts.support.place import state_path
from store.analysis.alerting import EMPTY_STATE, About, AlertState, Period, SentAlert
from store.documents import AlertKind, AlertMessage  # noqa: TC001 (pydantic reads the types at run time)
from store.files import alerts_lock_path, read_whole, write_private

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic reads the types of a TypedDict of this kind alone
    from typing_extensions import TypedDict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from scripts.support.place import Place

_VERSION = 1
_MAX_BYTES = 64_000_000


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
        content = read_whole(path, _MAX_BYTES)
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        found = TypeAdapter(_Document).validate_json(content)
    except ValidationError as error:
        raise StateError(f"{path} is damaged ({error.error_count()} values are invalid)") from None
    if found["version"] != _VERSION:
        raise StateError(f"{path} was written by another codex-tap (version {found['version']})")
    return State(_memory(found), tuple(PendingMessage(**each) for each in found["unsent"]))


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


class _SentDocument(TypedDict):
    kind: AlertKind
    about: tuple[str, str, str | None]
    threshold: float | None
    resets_at: int | None
    rows: tuple[int, int] | None
    told_at: float
    text: str


class _PendingDocument(TypedDict):
    target: str
    message: AlertMessage
    tries: Annotated[int, Field(ge=0)]
    due_at: float


@with_config(ConfigDict(strict=True, allow_inf_nan=False))
class _Document(TypedDict):
    """The contents of the file as JSON."""

    version: int
    since: dict[str, float]
    runs: list[tuple[str, str, str | None, float, int | None, float] | tuple[str, str, str | None, float, int | None]]
    told: list[_SentDocument]
    unsent: list[_PendingDocument]


def _document(state: State) -> _Document:
    memory = state.memory
    return {
        "version": _VERSION,
        "since": dict(memory.since),
        "runs": [(*about, *run) for about, run in memory.runs.items()],
        "told": [
            {
                "kind": mark.kind,
                "about": mark.about,
                "threshold": mark.threshold,
                "resets_at": mark.resets_at,
                "rows": mark.rows,
                "told_at": mark.told_at,
                "text": mark.text,
            }
            for mark in memory.told
        ],
        "unsent": [
            {"target": each.target, "message": each.message, "tries": each.tries, "due_at": each.due_at}
            for each in state.unsent
        ],
    }


def _memory(found: _Document) -> AlertState:
    return AlertState(
        since=found["since"],
        runs={About(*run[:3]): Period(*run[3:]) for run in found["runs"]},
        told=tuple(
            SentAlert(
                mark["kind"],
                About(*mark["about"]),
                mark["threshold"],
                mark["resets_at"],
                mark["rows"],
                mark["told_at"],
                mark["text"],
            )
            for mark in found["told"]
        ),
    )


def watch_lock(database: Place) -> AbstractContextManager[None]:
    """Return the lock of a database's watcher: two of them would send every alert twice."""
    return exclusive_lock(alerts_lock_path(state_path(database)), f"another codex-tap already watches {database}")
