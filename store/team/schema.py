"""Creates and migrates the schema of a team's database: its tables, its functions, and the rights of its roles.

The tables grow by numbered steps, as those of a file do (`store.schema`). Functions and rights have no history: each
run writes them as they are now. ``ship_1`` is what older machines go on calling, whatever else changes.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from store.errors import DatabaseError

if TYPE_CHECKING:
    import psycopg

SCHEMA = "codex_tap"
WITHOUT_EMAILS = "codex_tap_without_emails"
"""A schema with a view in place of the table `accounts`, for readers to whom its e-mails are closed."""

SCHEMA_VERSION = 1
"""The version that this program writes; each step of the tables adds one."""

_STEPS = ("m001_tables.sql",)
_OLDEST_SERVER = 15

CHOOSE_SCHEMA = f"""
SELECT set_config('search_path', CASE WHEN has_column_privilege('{SCHEMA}.accounts', 'email', 'SELECT')
    THEN '{SCHEMA}' ELSE '{WITHOUT_EMAILS}, {SCHEMA}' END, true)
"""
"""What a reader's transaction begins with: where its tables are."""


def installed_version(connection: psycopg.Connection[Any]) -> int:
    """Return the version of the schema in a database, 0 if it has none.

    Raises:
        DatabaseError: The schema was written by a newer codex-tap, or is another program's.
    """
    found = connection.execute(
        "SELECT to_regclass('codex_tap.installation') IS NOT NULL, to_regnamespace('codex_tap') IS NOT NULL"
    ).fetchone()
    assert found is not None
    is_ours, exists = found
    if not is_ours:
        if exists:
            raise DatabaseError(f"the database has a schema {SCHEMA} that codex-tap has not made: use another database")
        return 0
    row = connection.execute("SELECT schema_version FROM codex_tap.installation").fetchone()
    version = row[0] if row else 0
    if version > SCHEMA_VERSION:
        raise DatabaseError(
            f"the team's database was made by a newer codex-tap (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update codex-tap"
        )
    return int(version)


def install(connection: psycopg.Connection[Any]) -> int:
    """Create the schema, or bring it to `SCHEMA_VERSION`, in one transaction; return the version that was there, or 0.

    Raises:
        DatabaseError: The server is too old, or the schema is newer or another program's.
        psycopg.Error: The role may not create it.
    """
    if connection.info.server_version < _OLDEST_SERVER * 10_000:
        raise DatabaseError(f"a team's database needs PostgreSQL {_OLDEST_SERVER} or newer")
    with connection.transaction():
        version = installed_version(connection)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        # A function may call one that is written further down.
        connection.execute(f"SET LOCAL search_path = {SCHEMA}; SET LOCAL check_function_bodies = off")
        for step in _STEPS[version:]:
            connection.execute(_read(step))
        connection.execute(_read("functions.sql"))
        connection.execute(_read("roles.sql"))
        connection.execute(
            "INSERT INTO installation (schema_version) VALUES (%s)"
            " ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version",
            (SCHEMA_VERSION,),
        )
    return version


def _read(name: str) -> Any:
    return files("store.team").joinpath("sql", name).read_text(encoding="utf-8")
