"""Where on the wire did a limit's windows stand?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store.standing import MAIN_LIMIT

if TYPE_CHECKING:
    import sqlite3


def main_limit_raw(connection: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    """Return by account what was kept of the message that opened the newest row of its main limit.

    That is for audit, and nothing else depends on it: what is no JSON object tells nothing.
    """
    rows = connection.execute(
        "SELECT l.account, s.raw FROM limits l JOIN snapshots s ON s.id = l.snapshot_id WHERE l.limit_id = ?",
        (MAIN_LIMIT,),
    )
    return {account: _loaded(raw) for account, raw in rows}


def _loaded(raw: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
