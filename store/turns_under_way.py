"""Turns under way: a small private file beside the database for each proxy that has some.

The database has turns that have ended. While one runs, its proxy writes this file every few seconds, and deletes it
when none runs any more; a file that was not written for `STALE_SECONDS` is that of a proxy that was killed, and counts
as none.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.files import read_regular, turns_files, turns_path, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEARTBEAT_SECONDS = 5.0
"""How often the file is written although nothing has changed."""

STALE_SECONDS = 4 * HEARTBEAT_SECONDS

_VERSION = 1
_MAX_BYTES = 1_000_000
_MAX_TEXT = 300


class TurnUnderWay(NamedTuple):
    """A turn that has begun and has not ended. Timestamps are Unix seconds; `first_byte_at` is None until then.

    ``account_id`` and ``user_id`` are those of `store.models.Identity`; ``session`` stands for the thread of a client
    that names none.
    """

    account_id: str
    user_id: str
    thread: str | None
    session: str | None
    model: str | None
    subagent: str | None
    started_at: float
    first_byte_at: float | None

    @property
    def account(self) -> str:
        """The account's key."""
        return f"{self.account_id}/{self.user_id}".strip("/")


def write_turns(database: Path, pid: int, turns: Sequence[TurnUnderWay], now: float) -> None:
    """Write the turns of the proxy of a process; without any, delete its file.

    Raises:
        OSError: The file cannot be written.
    """
    path = turns_path(database, pid)
    if not turns:
        path.unlink(missing_ok=True)
        return
    document = {"version": _VERSION, "written_at": now, "turns": [turn._asdict() for turn in turns]}
    write_private(path, json.dumps(document).encode(), is_durable=False)


def load_turns(database: Path, now: float) -> list[TurnUnderWay]:
    """Return the turns under way of all proxies of a database, the oldest first; what cannot be read is left out."""
    found = [turn for path in turns_files(database) for turn in _read(path, now)]
    return sorted(found, key=lambda turn: turn.started_at)


def delete_stale(database: Path, now: float) -> None:
    """Delete the files of proxies that were killed."""
    for path in turns_files(database):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < now - STALE_SECONDS:
                path.unlink()


def _read(path: Path, now: float) -> list[TurnUnderWay]:
    try:
        document = json.loads(read_regular(path, _MAX_BYTES))
        if document["version"] != _VERSION or abs(now - document["written_at"]) >= STALE_SECONDS:
            return []
        return [turn for each in document["turns"] if (turn := _turn(each))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _turn(values: dict[str, Any]) -> TurnUnderWay | None:
    turn = TurnUnderWay._make(values.get(name) for name in TurnUnderWay._fields)
    texts = (turn.thread, turn.session, turn.model, turn.subagent)
    is_valid = (
        all(isinstance(each, str) for each in (turn.account_id, turn.user_id))
        and all(each is None or (isinstance(each, str) and len(each) <= _MAX_TEXT) for each in texts)
        and isinstance(turn.started_at, int | float)
        and isinstance(turn.first_byte_at, int | float | None)
    )
    return turn if is_valid else None
