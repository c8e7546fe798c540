"""Views that show a reader the values of the tables that can be true, and leave out the rest.

A bit in the file may have flipped, or another program may have written it. A value of the wrong type, outside its
range, or too long counts as not there: it is null. A row that lacks a value that every row has counts as not there as
a whole. The views have the names of the tables and belong to one connection, so every query reads them.
"""

from __future__ import annotations

import operator
import sqlite3
from typing import TYPE_CHECKING

from store.constants import MAX_MINUTES, MAX_PERCENT, MAX_TIMESTAMP
from store.errors import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

MAX_COUNT = 10**15

MAX_TEXT = 10_000
"""Characters of a text; the addon keeps 120 of one from the wire, and a person may give a longer name."""

MAX_JSON = 1_000_000
"""Characters of a JSON text; the addon keeps 64 KiB of a message."""

MAX_BYTES = 64_000_000
"""Bytes of a row and of each value; the question for a longer one fails."""

_MAX_PATTERN = 100

TABLES = {
    "accounts": "id:id! account_id:key! user_id:key! name:text email:text first_seen_at:time! last_seen_at:time!"
    " snapshot_id:count",
    "tokens": "rowid:id! token_key:key! account:id! first_seen_at:time! last_seen_at:time! expires_at:time",
    "snapshots": "id:id! account:id! token_key:text! limit_id:key! limit_name:text first_seen_at:time!"
    " last_seen_at:time! windows_seen_at:time observations:count! late:flag! server_time:time used_5h_percent:percent"
    " window_5h_minutes:minutes resets_5h_at:second used_7d_percent:percent window_7d_minutes:minutes"
    " resets_7d_at:second other_windows:json allowed:flag limit_reached:flag reached_type:text reached_until:second"
    " plan_type:text has_credits:flag credits_unlimited:flag credits_balance:text overage_limit_reached:flag"
    " spend_control_reached:flag reset_credits:count promo:text source:text! status:count model:text thread:text"
    " raw:json budget_limit:text budget_used:text budget_remaining:text budget_unit:text budget_source:text"
    " model_usage:json reset_credits_applicable:count reset_credits_expire:json refused_at:time"
    " reached_window_minutes:minutes",
    "limits": "account:id! limit_id:key! snapshot_id:id! by_name:flag!",
    "losses": "id:id! at:time! count:count! reason:text!",
    "requests": "id:id! account:id! token_key:text! limit_id:key! thread:text session:text model:text transport:text!"
    " warm_up:flag! started_at:time! first_byte_at:time ended_at:time! status:count error_type:text"
    " input_tokens:count cached_tokens:count output_tokens:count reasoning_tokens:count response_model:text"
    " reasoning_effort:text tier:text subagent:text parent_thread:text client:text cache_write_tokens:count"
    " response_id:text imported:flag! session_key:text",
    "threads": "account:id! thread:key! name:text first_seen_at:time! last_seen_at:time! is_session:flag!",
    "sightings": "kind:key! name:key! count:count! first_seen_at:time! last_seen_at:time!",
    "limit_names": "name:key! limit_id:key!",
    "merged_accounts": "account_id:key! user_id:key! account:id!",
    "imported_limits": "account:id! limit_id:key! first_seen_at:time! thread:key! last_seen_at:time! limit_name:text"
    " used_5h_percent:percent window_5h_minutes:minutes resets_5h_at:second used_7d_percent:percent"
    " window_7d_minutes:minutes resets_7d_at:second other_windows:json",
    "imported_files": "file:key! account:id size:count! read_to:count! since:time state:json",
    "edits": "id:id! at:time! account:id since:time! until:time",
}
"""The columns that are read of each table, in its order, with what they hold; ``!`` marks those that are in every row.

An ``id`` and a ``key`` are what indexes find rows by.
"""

# The unary plus keeps SQLite from taking a condition for a range to search an index by, and from converting a value.
# Comparisons are faster than `typeof`: in SQLite's order, text is between numbers and blobs.
_TEXT = "+{0} >= '' AND +{0} < x'' AND length({0}) <= "
_CONDITIONS = {
    "id": "{0} & -1 = {0}",
    "key": f"{_TEXT}{MAX_TEXT}",
    "text": f"{_TEXT}{MAX_TEXT}",
    "json": f"{_TEXT}{MAX_JSON}",
    "time": f"+{{0}} BETWEEN 0 AND {MAX_TIMESTAMP}",
    "second": f"+{{0}} BETWEEN 1 AND {MAX_TIMESTAMP}",
    "percent": f"+{{0}} BETWEEN 0 AND {MAX_PERCENT}",
    "minutes": f"+{{0}} BETWEEN 1 AND {MAX_MINUTES}",
    "count": f"+{{0}} BETWEEN 0 AND {MAX_COUNT}",
    "flag": "+{0} IN (0, 1)",
}
readable_text = operator.methodcaller("decode", "utf-8", "replace")
"""Return the text of a column's bytes; those that are no text become replacement characters. It runs for every text."""

_WHOLE = frozenset(("second", "minutes", "count", "flag"))


def bound_values(connection: sqlite3.Connection) -> None:
    """Bound the length of every value, and the work for a pattern in an expression of the file's schema."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _MAX_PATTERN)


def show_readable_rows(connection: sqlite3.Connection, path: Path) -> None:
    """Put the views before the tables of a connection, which only reads from then on.

    Raises:
        DatabaseError: A table is missing, or something else has its name.
        sqlite3.Error: The database cannot be read.

    """
    # The file's own views and triggers must not do anything.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.text_factory = readable_text
    found = connection.execute(_PLAIN_TABLES)
    missing = sorted(TABLES.keys() - {row[0] for row in found})
    if missing:
        raise DatabaseError(f"{path} has no table {missing[0]}: it is damaged, or another program changed it")
    for view in _VIEWS:
        connection.execute(view)
    connection.execute("PRAGMA query_only = ON")


_PLAIN_TABLES = """
    SELECT name FROM main.sqlite_master AS tables WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'
    AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(tables.name, 'main') WHERE hidden <> 0)
"""
"""The names of the tables whose columns are all stored: none is computed when it is read."""


def _view(name: str, written: str) -> str:
    shown, conditions = [], []
    for each in written.split():
        column, kind = each.removesuffix("!").split(":")
        condition = _CONDITIONS[kind].format(column)
        value = f"CAST({column} AS INTEGER)" if kind in _WHOLE else column
        if each.endswith("!"):
            conditions.append(condition)
            shown.append(f"{column} AS {column}")
        else:
            shown.append(f"CASE WHEN {condition} THEN {value} END AS {column}")
    return f"CREATE TEMP VIEW {name} AS SELECT {', '.join(shown)} FROM main.{name} WHERE {' AND '.join(conditions)}"  # noqa: S608 (constants)


_VIEWS = [_view(name, columns) for name, columns in TABLES.items()]

PROBES = [
    f"SELECT {', '.join(each.split(':')[0] for each in columns.split())} FROM main.{name} LIMIT 0"  # noqa: S608 (constants)
    for name, columns in TABLES.items()
]
"""Fail where a table or a column is missing; they read no row."""
