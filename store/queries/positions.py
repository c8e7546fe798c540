"""Where on the wire did a limit's windows stand?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store.constants import MAIN_LIMIT
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    import sqlite3


def main_limit_raw(connection: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    """Return by account what was kept of the message that opened the newest row of its main limit.

    That is for audit, and nothing else depends on it: what is no JSON object tells nothing.
    """
    return {
        account: _loaded(row["raw"])
        for account, rows in current_snapshots(connection).items()
        for row in rows
        if row["limit_id"] == MAIN_LIMIT
    }


def _loaded(raw: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
