"""Changes of what is stored: names, an account's deletion, and the join of accounts that are one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.database import transaction
from store.edit_log import log_edit
from store.outbox import tables as outbox

if TYPE_CHECKING:
    import sqlite3


def rename_thread(connection: sqlite3.Connection, thread: str, name: str | None) -> None:
    """Name a thread, or remove its name."""
    connection.execute("UPDATE threads SET name = ? WHERE thread = ?", (name, thread))


def rename_account(connection: sqlite3.Connection, account: int, name: str | None) -> None:
    """Name an account, or remove its name.

    Raises:
        sqlite3.IntegrityError: Another account has that name.

    """
    connection.execute("UPDATE accounts SET name = ? WHERE id = ?", (name, account))


def forget_account(connection: sqlite3.Connection, account: int) -> None:
    """Delete an account and everything stored of it, down to the bytes in the file.

    How far its session files were read stays, without anything of what they say: no import brings it back unasked.
    """
    connection.execute("PRAGMA secure_delete = ON")
    with transaction(connection):
        outbox.note_forgotten(connection, account)
        connection.execute("UPDATE imported_files SET state = NULL WHERE account = ?", (account,))
        connection.execute("DELETE FROM accounts WHERE id = ?", (account,))
        log_edit(connection, account=account)
    # The log still holds the deleted pages; if a reader is in the way, the next checkpoint overwrites them.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def merge_accounts(connection: sqlite3.Connection, account: int, other: int) -> None:
    """Move everything of the `other` account to `account`; what comes for the other's ids later goes there, too.

    Call it in a transaction. Rows stay in the order of their arrival. The current snapshot of a limit that both have is
    the one seen last. Where both have a name, a token key or a thread, those of `account` stay.

    Raises:
        LookupError: They are one account, or one of them has been deleted or merged meanwhile.

    """
    ids = {"account": account, "other": other}
    (there,) = connection.execute("SELECT count(*) FROM accounts WHERE id IN (:account, :other)", ids).fetchone()
    if there != 2:
        raise LookupError("these are not two accounts")
    outbox.note_merged(connection, account, other)
    for each in (account, other):
        log_edit(connection, account=each)
    for statement in _MERGE_LIMITS:
        connection.execute(statement, ids)
    _renew_overtaken(connection, account)
    name, email = connection.execute("SELECT name, email FROM accounts WHERE id = :other", ids).fetchone()
    for statement in _MERGE_REST:
        connection.execute(statement, ids)
    # The name is unique: it is free only now.
    connection.execute(
        "UPDATE accounts SET name = coalesce(name, ?), email = coalesce(email, ?) WHERE id = ?", (name, email, account)
    )


def replace_token_key(connection: sqlite3.Connection, former: str, key: str) -> bool:
    """Replace a token's key wherever it is stored, down to the bytes in the file; return False if it is nowhere."""
    found = connection.execute("SELECT account FROM tokens WHERE token_key = ?", (former,)).fetchall()
    if not found:
        return False
    (usual,) = connection.execute("PRAGMA secure_delete").fetchone()
    connection.execute("PRAGMA secure_delete = ON")
    for (account,) in found:
        values = {"account": account, "former": former, "key": key}
        log_edit(connection, account=account)
        for table in ("snapshots", "requests"):
            connection.execute(f"UPDATE {table} SET token_key = :key {_OF_FORMER}", values)  # noqa: S608 (constants)
        connection.execute(
            f"INSERT INTO tokens SELECT :key, {_OTHER_COLUMNS} FROM tokens {_OF_FORMER} {_JOIN_TOKENS}",  # noqa: S608 (constants)
            values,
        )
        connection.execute(f"DELETE FROM tokens {_OF_FORMER}", values)  # noqa: S608 (constants)
    outbox.note_renamed_user(connection, former, key)
    connection.execute("UPDATE OR IGNORE accounts SET user_id = ? WHERE user_id = ?", (key, former))
    for account_id, account in connection.execute(
        "SELECT account_id, id FROM accounts WHERE user_id = ?", (former,)
    ).fetchall():  # there is one with the new key already
        (current,) = connection.execute(
            "SELECT id FROM accounts WHERE (account_id, user_id) = (?, ?)", (account_id, key)
        ).fetchone()
        merge_accounts(connection, current, account)
    connection.execute("DELETE FROM merged_accounts WHERE user_id = ?", (former,))
    connection.execute(f"PRAGMA secure_delete = {usual}")
    return True


def _renew_overtaken(connection: sqlite3.Connection, account: int) -> None:
    """Repeat the current snapshots that others of their limits follow, so that the current one is the last again."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(snapshots)")]
    renewed = {"id": "NULL", "first_seen_at": "last_seen_at", "observations": "1"}
    values = ", ".join(renewed.get(column, column) for column in columns)
    for limit_id, row_id in connection.execute(_OVERTAKEN, (account,)).fetchall():
        copy = connection.execute(
            f"INSERT INTO snapshots ({', '.join(columns)}) SELECT {values} FROM snapshots WHERE id = ?",  # noqa: S608 (column names)
            (row_id,),
        ).lastrowid
        connection.execute(
            "UPDATE limits SET snapshot_id = ? WHERE account = ? AND limit_id = ?", (copy, account, limit_id)
        )


_OTHER_COLUMNS = "account, first_seen_at, last_seen_at, expires_at"
_OF_FORMER = "WHERE token_key = :former AND account = :account"
_JOIN_TOKENS = (
    "ON CONFLICT DO UPDATE SET first_seen_at = min(first_seen_at, excluded.first_seen_at),"
    " last_seen_at = max(last_seen_at, excluded.last_seen_at)"
)

_MERGE_LIMITS = (
    "UPDATE snapshots SET account = :account WHERE account = :other",
    # Of two current snapshots the one that was seen last is it.
    (
        "UPDATE limits SET snapshot_id = o.snapshot_id FROM limits o"
        " WHERE limits.account = :account AND o.account = :other AND o.limit_id = limits.limit_id"
        " AND (SELECT last_seen_at FROM snapshots WHERE id = o.snapshot_id)"
        " > (SELECT last_seen_at FROM snapshots WHERE id = limits.snapshot_id)"
    ),
    "UPDATE OR IGNORE limits SET account = :account WHERE account = :other",
    "DELETE FROM limits WHERE account = :other",
    # Each row repeats the plan and credits of its account, as they were when it was last seen.
    (
        "UPDATE accounts SET snapshot_id = (SELECT id FROM snapshots WHERE id IN"
        " (SELECT snapshot_id FROM limits WHERE account = :account"
        " UNION SELECT snapshot_id FROM accounts WHERE id IN (:account, :other))"
        " ORDER BY last_seen_at DESC, id DESC LIMIT 1) WHERE id = :account"
    ),
)

_OVERTAKEN = (
    "SELECT l.limit_id, l.snapshot_id FROM limits l WHERE l.account = ? AND l.snapshot_id <"
    " (SELECT max(s.id) FROM snapshots s WHERE s.account = l.account AND s.limit_id = l.limit_id AND s.late = 0)"
)

_MERGE_REST = (
    "UPDATE requests SET account = :account WHERE account = :other",
    "UPDATE OR REPLACE imported_limits SET account = :account WHERE account = :other",
    "UPDATE imported_files SET account = :account WHERE account = :other",
    (
        "INSERT INTO tokens SELECT token_key, :account, first_seen_at, last_seen_at, expires_at FROM tokens"  # noqa: S608 (constant)
        f" WHERE account = :other {_JOIN_TOKENS}"
    ),
    (
        "INSERT INTO threads (account, thread, name, first_seen_at, last_seen_at, is_session)"
        " SELECT :account, thread, name, first_seen_at, last_seen_at, is_session FROM threads WHERE account = :other"
        " ON CONFLICT DO UPDATE SET name = coalesce(name, excluded.name),"
        " first_seen_at = min(first_seen_at, excluded.first_seen_at),"
        " last_seen_at = max(last_seen_at, excluded.last_seen_at)"
    ),
    "UPDATE merged_accounts SET account = :account WHERE account = :other",
    (
        "INSERT INTO merged_accounts (account_id, user_id, account)"
        " SELECT account_id, user_id, :account FROM accounts WHERE id = :other"
        " ON CONFLICT DO UPDATE SET account = excluded.account"
    ),
    (
        "UPDATE accounts SET first_seen_at = min(a.first_seen_at, o.first_seen_at),"
        " last_seen_at = max(a.last_seen_at, o.last_seen_at)"
        " FROM accounts a, accounts o WHERE accounts.id = :account AND a.id = :account AND o.id = :other"
    ),
    "DELETE FROM accounts WHERE id = :other",
)
