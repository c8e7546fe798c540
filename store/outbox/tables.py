"""The tables ``ship_*``, and the notes that changes of old rows leave there.

A row is sent once, so a later change of it has to be sent as well: rows of an account that a person deleted or merged,
of a limit whose id became known, and of an imported turn that gave way. Such a change is noted in its own transaction,
with the highest row ids of that moment: it concerns what was sent of them, however late it arrives. The notes stay for
good, because a team's database that was restored from a backup needs them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.outbox.privacy import Privacy, account_number, shipped_ids

if TYPE_CHECKING:
    import sqlite3

SCHEMA = """
CREATE TABLE ship_file (
    file_id TEXT NOT NULL,      -- UUID: by this a team's database knows the file
    parent TEXT,                -- the UUID of the file that this one is a copy of; at first one that all copies share
    salt TEXT NOT NULL,
    name TEXT,                  -- of the machine, as the team sees it; null for the host's
    emails TEXT NOT NULL,       -- keep, hash or drop
    threads TEXT NOT NULL,
    snapshots_from INTEGER NOT NULL, -- rows up to here are sent by the file that this one is a copy of
    requests_from INTEGER NOT NULL,
    losses_from INTEGER NOT NULL,
    taken_seq INTEGER NOT NULL, -- the last batch that is known to be in the team's database, 0 if none is
    snapshots_taken INTEGER NOT NULL,
    requests_taken INTEGER NOT NULL,
    taken_at REAL,              -- when that was, Unix seconds
    is_off INTEGER NOT NULL     -- 1: shipping was ended, and old rows are deleted whether or not they were sent
);

CREATE TABLE ship_log (         -- how far each batch went
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    nonce TEXT NOT NULL UNIQUE,
    snapshots_upto INTEGER NOT NULL,
    requests_upto INTEGER NOT NULL,
    losses_upto INTEGER NOT NULL,
    edits_upto INTEGER NOT NULL
);

CREATE TABLE ship_sent (        -- what was sent of rows that may change
    kind TEXT NOT NULL,         -- account, token, thread, limit, imported, or row: a snapshot that may still grow
    account INTEGER NOT NULL,
    key TEXT NOT NULL,
    said TEXT,                  -- JSON; null where it has to be sent again
    seq INTEGER NOT NULL,       -- the batch
    PRIMARY KEY (kind, account, key)
) WITHOUT ROWID;

CREATE TABLE ship_edits (       -- changes of rows that may have been sent
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,         -- forgotten, moved, limit or turn
    account INTEGER NOT NULL,   -- its number in a team's database
    target INTEGER,             -- moved: the number of the account that its rows belong to since
    limit_id TEXT,              -- limit: the id that its rows had
    target_limit_id TEXT,       -- limit: the id that they have since
    snapshots_upto INTEGER NOT NULL,
    requests_upto INTEGER NOT NULL -- turn: the row
)
"""


class Machine(NamedTuple):
    """What a team's database is told of the file: its UUID, that of the file it is a copy of, and a name."""

    file_id: str
    parent: str | None
    name: str | None
    privacy: Privacy


class OutboxPosition(NamedTuple):
    """How far a batch went; ``seq`` is 0 and ``nonce`` None at the beginning of the file."""

    seq: int
    nonce: str | None
    snapshots: int
    requests: int
    losses: int
    edits: int


_NAMES = ("ship_file", "ship_log", "ship_sent", "ship_edits")


def is_set_up(connection: sqlite3.Connection) -> bool:
    """Return True if the tables are there."""
    # Not from a temporary view of theirs (`store.readable_rows`).
    found = connection.execute(
        "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name IN (?, ?, ?, ?)", _NAMES
    )
    return bool(found.fetchone()[0] == len(_NAMES))


def create(connection: sqlite3.Connection) -> None:
    """Create the tables; call it in a transaction."""
    for statement in SCHEMA.split(";\n\n"):
        connection.execute(statement)


def note_forgotten(connection: sqlite3.Connection, account: int) -> None:
    """Note that an account is being deleted; call it before that, in the same transaction."""
    if is_set_up(connection):
        _note(connection, "forgotten", _number(connection, account))
        connection.execute("DELETE FROM ship_sent WHERE account = ?", (account,))


def note_merged(connection: sqlite3.Connection, account: int, other: int) -> None:
    """Note that the rows of the account `other` come to `account`; call it before `other` is deleted."""
    if is_set_up(connection):
        target = _number(connection, account)
        _note(connection, "moved", _number(connection, other), target=target)
        # Its snapshots go on growing there.
        connection.execute("UPDATE ship_sent SET account = ? WHERE kind = 'row' AND account = ?", (account, other))
        connection.execute("DELETE FROM ship_sent WHERE account = ?", (other,))


def note_renamed_user(connection: sqlite3.Connection, former: str, user_id: str) -> None:
    """Note that accounts get another user id; call it before that, in the same transaction."""
    if is_set_up(connection):
        salt = _salt(connection)
        accounts = connection.execute("SELECT id, account_id FROM accounts WHERE user_id = ?", (former,)).fetchall()
        for account, account_id in accounts:
            target = account_number(*shipped_ids(account_id, user_id, salt))
            _note(connection, "moved", _number(connection, account), target=target)


def note_limit_moved(connection: sqlite3.Connection, account: int, limit_id: str, target: str) -> None:
    """Note that the rows of an account's limit belong to another limit since; call it in the same transaction."""
    if is_set_up(connection):
        _note(connection, "limit", _number(connection, account), limit_id=limit_id, target_limit_id=target)


def note_turn_deleted(connection: sqlite3.Connection, request: int) -> None:
    """Note that a turn is being deleted; call it before that, in the same transaction."""
    if is_set_up(connection):
        (account,) = connection.execute("SELECT account FROM requests WHERE id = ?", (request,)).fetchone()
        _note(connection, "turn", _number(connection, account), request=request)


class ShippedRows(NamedTuple):
    """The rows that may be deleted: ids up to these, without the snapshots of `may_grow`, a JSON list of ids."""

    snapshots: int
    requests: int
    may_grow: str


EVERY_ROW = ShippedRows(2**63 - 1, 2**63 - 1, "[]")


def shipped_rows(connection: sqlite3.Connection) -> ShippedRows:
    """Return the rows that need not be kept for a team's database: every one, unless shipping is set up."""
    found = None
    if is_set_up(connection):
        found = connection.execute(
            "SELECT snapshots_taken, requests_taken FROM main.ship_file WHERE NOT is_off"
        ).fetchone()
    if found is None:
        return EVERY_ROW
    (may_grow,) = connection.execute(
        "SELECT json_group_array(CAST(key AS INTEGER)) FROM main.ship_sent WHERE kind = 'row'"
    ).fetchone()
    snapshots, requests = found
    return ShippedRows(snapshots, requests, may_grow)


def _number(connection: sqlite3.Connection, account: int) -> int:
    ids = connection.execute("SELECT account_id, user_id FROM accounts WHERE id = ?", (account,)).fetchone()
    account_id, user_id = ids
    return account_number(*shipped_ids(account_id, user_id, _salt(connection)))


def _salt(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT salt FROM ship_file").fetchone()[0])


def _note(
    connection: sqlite3.Connection,
    kind: str,
    account: int,
    *,
    target: int | None = None,
    limit_id: str | None = None,
    target_limit_id: str | None = None,
    request: int | None = None,
) -> None:
    snapshots, requests = (
        connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()[0]
        for table in ("snapshots", "requests")
    )
    connection.execute(
        "INSERT INTO ship_edits (kind, account, target, limit_id, target_limit_id, snapshots_upto, requests_upto)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, account, target, limit_id, target_limit_id, snapshots, requests if request is None else request),
    )
