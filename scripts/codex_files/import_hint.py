"""Is there something to import? Said once, while codex-tap is new here and session files are there."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from scripts.codex_files.location import codex_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HINT = "Session files of Codex are there: codex-tap import reads what was used before."

_NEW_SECONDS = 86_400


def import_hint(path: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return one line on the import, if session files are there and none was read; None otherwise.

    It is said while the database is not there, is empty, or is less than a day old.
    """
    return HINT if _has_sessions(environ) and _is_new(path) else None


def _has_sessions(environ: Mapping[str, str]) -> bool:
    with contextlib.suppress(OSError, RuntimeError), os.scandir(codex_home(environ) / "sessions") as entries:
        return any(entry.is_dir() for entry in entries)
    return False


def _is_new(path: Path) -> bool:
    from scripts.support.database import open_for_reading
    from store.errors import DatabaseError, MissingError
    from store.queries.imported import import_state

    try:
        with open_for_reading(path) as connection:
            state = import_state(connection)
    except MissingError:
        return True
    except DatabaseError:
        return False
    if state.has_imports:
        return False
    return state.known_since is None or time.time() - state.known_since < _NEW_SECONDS
