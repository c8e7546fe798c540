"""The SQLite file: where it may lie, how it is opened, its schema and how that moves forward.

A row of `snapshots` is one limit of one account as it stood over a stretch of time: the same figures seen again only
move `last_seen_at` and `observations` (`store.merge` says what "the same" is). Rows are ordered by their id, the order
of arrival; the clock, which may step back, orders nothing. `limits` points at the newest row of each limit and
`accounts` at the newest row that told an account's facts, so that the present is one key look-up, however long the
history.

Files are private from the start: created with mode 0600, in a folder created with mode 0700. Readers open the file
read-only and never create it. Nothing is ever deleted: an older schema is copied before it is brought forward, a
damaged file is renamed. Nothing heavy is imported here: reading commands stand in people's prompts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlite_utils import Database

APPLICATION_ID = 0x43785470
"""Written into the file's header ("CxTp"), so that another program's database is never written to."""

SCHEMA_VERSION = 2
"""``PRAGMA user_version`` of the schema that this program writes; one more for each migration."""

BUSY_SECONDS = 0.2
"""How long one statement waits for another writer; the recorder tries again, so nothing hangs on this."""

READ_SECONDS = 5.0
"""How long a reader waits in the rare moments when the write-ahead log is locked for it too."""

SPILL_MARK, SPILL_SUFFIX = ".unwritten-", ".jsonl"
"""What the names of files of readings have behind the database's name, and at their end."""

UNFINISHED = ".part"
"""What the name of a file has at its end until all of it is written."""


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do."""


class LockedError(DatabaseError):
    """Another writer holds the database at the moment; trying again later is all there is to do."""


class FullError(DatabaseError):
    """The disk has no room at the moment; trying again later is all there is to do."""


class DamagedError(DatabaseError):
    """The database is ours and broken; `set_aside` makes room for a new one."""

    def __init__(self, message: str, inode: Inode | None) -> None:
        super().__init__(message)
        self.inode = inode


class MissingError(DatabaseError):
    """There is no database yet, or nothing in it."""


def open_reader(path: Path, seconds: float = READ_SECONDS) -> sqlite3.Connection:
    """Open the database read-only; rows come as `sqlite3.Row`. One that is locked is waited for so many ``seconds``.

    Raises:
        MissingError: There is none yet.
        DatabaseError: It cannot be read: not ours, of another schema, not a database.

    """
    try:
        if not path.exists():
            raise MissingError(f"{path} is not there yet")
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        connection = _connect_reading(path, seconds)
        try:
            version = schema_version(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    if version < SCHEMA_VERSION:
        connection.close()
        if version == 0:
            raise MissingError(f"{path} is still empty")
        raise DatabaseError(
            f"{path} was written by an older codex-tap (schema {version}); starting the proxy once brings it forward"
        )
    connection.row_factory = sqlite3.Row
    return connection


def _connect_reading(path: Path, seconds: float = READ_SECONDS) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=seconds)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the database for writing; create it, or bring its schema forward, where that is needed.

    Raises:
        DatabaseError: It cannot be used: not ours, newer than this program, not writable, not a database.
        LockedError: Another writer holds it.
        FullError: There is no room for it.
        DamagedError: It is ours and broken.

    """
    create_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}") from error
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _explained(path, error) from error
        raise
    return connection


def create_private(path: Path) -> None:
    """Create the file with mode 0600 and its folder with mode 0700 where they are not there yet.

    Raises:
        DatabaseError: It cannot be created, or what is there is a link, no file, or another user's.
        FullError: There is no room for it.

    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        status = path.lstat()
    except OSError as error:
        kind = FullError if error.errno in _NO_ROOM else DatabaseError
        raise kind(f"{path} cannot be created: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseError(f"{path} is a link or no file; name the database's real path")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DatabaseError(f"{path} belongs to another user; put the database elsewhere with CODEX_TAP_DB")


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the file's schema version, 0 for one that is still empty.

    Raises:
        DatabaseError: The file is another program's, or was written by a newer codex-tap.

    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and (
        application or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    ):
        raise DatabaseError(f"{path} is a database of another program; name another file with CODEX_TAP_DB")
    if version > SCHEMA_VERSION:
        raise DatabaseError(
            f"{path} was written by a newer codex-tap (schema {version}, this one knows {SCHEMA_VERSION}); "
            "update codex-tap (the file was left untouched)"
        )
    return version


Inode = tuple[int, int]
"""What tells one file from another at the same path."""


def inode(path: Path) -> Inode | None:
    """Return what tells one file from another at the same path; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def set_aside(path: Path, damaged: Inode | None) -> Path | None:
    """Rename a damaged database and its companions; return the new name.

    It is left alone, and None returned, where it is not the damaged file any more: another proxy may have been first.

    Raises:
        DatabaseError: It cannot be renamed.

    """
    aside = _free_name(path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"))
    if damaged is None or inode(path) != damaged:
        return None
    try:
        # The file itself goes last: a new one must not find the log of the old one and take it for its own.
        for companion in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{companion}").rename(f"{aside}{companion}")
        path.rename(aside)
    except OSError as error:
        raise DatabaseError(f"{path} is damaged and cannot be set aside: {error.strerror or error}") from error
    return aside


def kept_copies(path: Path) -> list[Path]:
    """Return what was set aside, or copied before a migration, and has lain beside the database since."""
    found = [*_beside(path, f"{path.name}.corrupt-"), *_beside(path, f"{path.name}.v")]
    return [each for each in found if not each.name.endswith(_COMPANIONS)]


def waiting_files(path: Path) -> list[Path]:
    """Return the files of readings that stops have left beside the database, oldest first (`store.spill`)."""
    return _beside(path, f"{path.name}{SPILL_MARK}", SPILL_SUFFIX)


def unfinished_files(path: Path) -> list[Path]:
    """Return the files beside the database that were not written to their end, which a crash may have left there."""
    return _beside(path, path.name, UNFINISHED)


def _beside(path: Path, start: str, end: str = "") -> list[Path]:
    try:
        found = sorted(path.parent.iterdir())
    except OSError:
        return []
    return [each for each in found if each.name.startswith(start) and each.name.endswith(end)]


def abandon(connection: sqlite3.Connection) -> None:
    """Let go of a connection whose file was replaced by another one.

    Closing it as usual would end with deleting the write-ahead log *by its name*, and that is the other file's by now.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        connection.close()
    else:
        _abandoned.append(connection)


_abandoned: list[sqlite3.Connection] = []
"""Python 3.11 has no way to close without that: these stay open as long as the process."""

_COMPANIONS = ("-wal", "-shm")
"""What the names of the files have at their end that SQLite keeps beside a database: its log, and the log's index."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = slice(68, 72)


def is_locked(error: sqlite3.Error) -> bool:
    """Tell whether an error only says that somebody else holds the file at the moment."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file's contents are broken."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_full(error: sqlite3.Error) -> bool:
    # Where there is no room for the log's index, the second is what SQLite says.
    extended = getattr(error, "sqlite_errorcode", 0)
    return extended in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explained(path: Path, error: sqlite3.Error) -> DatabaseError:
    if is_locked(error):
        return LockedError(f"{path} is locked by another program")
    if _is_full(error):
        return FullError(f"{path} cannot be written, the disk is full")
    if is_damage(error) and _is_ours(path):
        message = f"{path} is damaged ({error}); the next start of the proxy sets it aside and begins a new one"
        return DamagedError(message, inode(path))
    if _code(error) == sqlite3.SQLITE_NOTADB:
        return DatabaseError(f"{path} is not a SQLite database; move it away or name another file")
    return DatabaseError(f"{path} cannot be used: {error}")


def _is_ours(path: Path) -> bool:
    """Tell whether a broken file was ours: by the mark in its header, else by lying where nobody but we put files.

    Anything else may be a file of the user's that was named by mistake, and is not touched.
    """
    from store.settings import default_database

    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    application = int.from_bytes(header[_APPLICATION_ID_AT]) if header.startswith(_MAGIC) else 0
    return application == APPLICATION_ID or (application == 0 and path.absolute() == default_database({}).absolute())


def _free_name(wanted: Path) -> Path:
    """Return the name, with a number behind it if there is such a file."""
    found, number = wanted, 0
    while os.path.lexists(found):
        number += 1
        found = wanted.with_name(f"{wanted.name}-{number}")
    return found


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = schema_version(connection, path)
    if version < SCHEMA_VERSION:
        if version == 0:
            # Before the log is begun, so that it stands in the file itself, where `_is_ours` looks.
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection, path)
    for question in _PROBES:
        connection.execute(question).fetchone()
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


_PROBES = (
    "SELECT count(s.raw) FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id",
    "SELECT count(s.raw) FROM limits l JOIN snapshots s ON s.id = l.snapshot_id",
    (
        "SELECT count((SELECT max(first_seen_at) FROM snapshots WHERE (account, limit_id) = (l.account, l.limit_id)))"
        " FROM limits l"
    ),
    "SELECT max(id) FROM snapshots",
    "SELECT max(id) FROM requests",
    "SELECT count(*) FROM tokens t JOIN accounts a ON a.id = t.account",
)
"""Read what the present is made of, and what the next row goes behind, on all ways of the writer and of ``status``.

That is a few pages, however long the history; SQLite itself has compared the file's length with its header by then. A
check of the whole takes seconds for 300 MB, and a page of history that is broken keeps nobody from going on.
"""


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply what is pending in one transaction: of two programs that start together one waits for the other."""
    with transaction(connection):
        version = schema_version(connection, path)
        if version == SCHEMA_VERSION:
            return
        copy = _keep_copy(path, version) if version else None
        try:
            _apply_migrations(connection)
        except BaseException:
            # The database is as it was, so the copy is one too many.
            if copy:
                copy.unlink(missing_ok=True)
            raise


def _apply_migrations(connection: sqlite3.Connection) -> None:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("codex-tap")
    for step in _MIGRATIONS:
        migrations(name=step.__name__.removeprefix("_"))(step)
    migrations.apply(sqlite_utils.Database(connection))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _keep_copy(path: Path, version: int) -> Path:
    """Copy the database beside itself, as private as it is; return the copy's name."""
    copy = _free_name(path.with_name(f"{path.name}.v{version}.bak"))
    create_private(copy)
    try:
        with (
            contextlib.closing(_connect_reading(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the one write lock from the start, so that what is read inside is what will be changed."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _m001_initial(database: Database) -> None:
    # sqlite3's executescript would commit first; the steps share one transaction with their record.
    _execute_all(database, _INITIAL_SCHEMA)


def _m002_requests(database: Database) -> None:
    _execute_all(database, _REQUESTS_SCHEMA)


def _execute_all(database: Database, statements: str) -> None:
    for statement in statements.split(";\n\n"):
        database.execute(statement)


_MIGRATIONS: list[Callable[[Database], None]] = [_m001_initial, _m002_requests]
"""Every step of the schema from the first on; one that was released is never changed."""

_INITIAL_SCHEMA = """
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL,   -- ChatGPT account (workspace) id; empty where none was told
    user_id TEXT NOT NULL,      -- empty where no claim tells it; a token key for a bearer without claims
    name TEXT UNIQUE,           -- given by a person
    email TEXT,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    snapshot_id INTEGER,        -- the newest row that told plan, credits and the like
    UNIQUE (account_id, user_id)
);

CREATE TABLE tokens (
    token_key TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    expires_at REAL,            -- from the token's claims; null for an opaque one
    PRIMARY KEY (token_key, account)
);

CREATE INDEX tokens_account ON tokens (account);

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_key TEXT NOT NULL,
    limit_id TEXT NOT NULL,
    limit_name TEXT,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    windows_seen_at REAL,       -- when the windows were last told; null where no message has told them
    observations INTEGER NOT NULL DEFAULT 1,
    late INTEGER NOT NULL DEFAULT 0, -- 1: overtaken on its way by a newer reading, never the current one
    server_time REAL,           -- the server's own clock at the last observation; null where not told
    used_5h_percent REAL,
    window_5h_minutes INTEGER,
    resets_5h_at INTEGER,
    used_7d_percent REAL,
    window_7d_minutes INTEGER,
    resets_7d_at INTEGER,
    other_windows TEXT,         -- JSON: slot to [used percent, minutes, resets at]
    allowed INTEGER,
    limit_reached INTEGER,
    reached_type TEXT,
    reached_until INTEGER,
    plan_type TEXT,
    has_credits INTEGER,
    credits_unlimited INTEGER,
    credits_balance TEXT,
    overage_limit_reached INTEGER,
    spend_control_reached INTEGER,
    reset_credits INTEGER,
    promo TEXT,
    source TEXT NOT NULL,
    status INTEGER,
    model TEXT,
    thread TEXT,
    raw TEXT NOT NULL           -- JSON: the known rate-limit fields of the message that opened the row
);

CREATE INDEX snapshots_account ON snapshots (account, limit_id, id);

CREATE TABLE limits (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    limit_id TEXT NOT NULL,
    snapshot_id INTEGER NOT NULL,
    PRIMARY KEY (account, limit_id)
) WITHOUT ROWID;

CREATE TABLE losses (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    count INTEGER NOT NULL,     -- readings that were seen and could not be kept
    reason TEXT NOT NULL
);

CREATE TABLE spills (
    name TEXT PRIMARY KEY,      -- a file of readings that a stop left behind: what is named here was taken up
    taken_at REAL NOT NULL
) WITHOUT ROWID;

CREATE VIEW latest AS
SELECT
    coalesce(a.name, a.email, trim(a.account_id || '/' || a.user_id, '/')) AS account,
    coalesce(s.limit_name, s.limit_id) AS limit_name,
    s.used_5h_percent,
    datetime(s.resets_5h_at, 'unixepoch', 'localtime') AS resets_5h,
    s.used_7d_percent,
    datetime(s.resets_7d_at, 'unixepoch', 'localtime') AS resets_7d,
    s.other_windows,
    s.plan_type,
    s.limit_reached,
    s.reached_type,
    datetime(s.windows_seen_at, 'unixepoch', 'localtime') AS last_seen,
    s.source,
    s.model,
    s.token_key
FROM limits l
JOIN snapshots s ON s.id = l.snapshot_id
JOIN accounts a ON a.id = l.account
ORDER BY 1, l.limit_id != 'codex', l.limit_id
"""


_REQUESTS_SCHEMA = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_key TEXT NOT NULL,
    limit_id TEXT NOT NULL,     -- the limit that it was charged to
    thread TEXT,
    session TEXT,
    model TEXT,
    transport TEXT NOT NULL,    -- http or websocket
    warm_up INTEGER NOT NULL,   -- 1: opened ahead of a turn, and asks for no answer
    started_at REAL NOT NULL,
    first_byte_at REAL,         -- null where no answer came
    ended_at REAL NOT NULL,
    status INTEGER,             -- of the HTTP answer, or that a websocket error carries
    error_type TEXT,
    input_tokens INTEGER,       -- cached ones included; null where none were told: a turn that was cut off, say
    cached_tokens INTEGER,
    output_tokens INTEGER,      -- reasoning ones included
    reasoning_tokens INTEGER
);

CREATE INDEX requests_account ON requests (account, ended_at);

CREATE TABLE threads (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    thread TEXT NOT NULL,
    name TEXT,                  -- given by a person
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    PRIMARY KEY (account, thread)
) WITHOUT ROWID;

CREATE INDEX threads_thread ON threads (thread);

CREATE INDEX snapshots_first_seen ON snapshots (account, limit_id, first_seen_at);

DROP INDEX snapshots_account;

CREATE VIEW turns AS
SELECT
    datetime(r.started_at, 'unixepoch', 'localtime') AS started,
    datetime(r.ended_at, 'unixepoch', 'localtime') AS ended,
    round(r.ended_at - r.started_at, 1) AS seconds,
    coalesce(a.name, a.email, trim(a.account_id || '/' || a.user_id, '/')) AS account,
    coalesce(t.name, r.thread) AS thread,
    r.model,
    r.transport,
    r.warm_up,
    r.status,
    r.error_type,
    r.input_tokens,
    r.cached_tokens,
    r.output_tokens,
    r.reasoning_tokens,
    r.limit_id,
    r.session
FROM requests r
JOIN accounts a ON a.id = r.account
LEFT JOIN threads t ON t.account = r.account AND t.thread = r.thread
ORDER BY r.id;

CREATE VIEW changes AS
SELECT
    datetime(s.first_seen_at, 'unixepoch', 'localtime') AS first_seen,
    datetime(s.last_seen_at, 'unixepoch', 'localtime') AS last_seen,
    coalesce(a.name, a.email, trim(a.account_id || '/' || a.user_id, '/')) AS account,
    coalesce(s.limit_name, s.limit_id) AS limit_name,
    s.used_5h_percent,
    datetime(s.resets_5h_at, 'unixepoch', 'localtime') AS resets_5h,
    s.used_7d_percent,
    datetime(s.resets_7d_at, 'unixepoch', 'localtime') AS resets_7d,
    s.other_windows,
    s.plan_type,
    s.limit_reached,
    s.reached_type,
    s.credits_balance,
    s.late,
    s.source,
    s.status,
    s.model,
    s.thread
FROM snapshots s
JOIN accounts a ON a.id = s.account
ORDER BY s.id
"""


def rename_thread(connection: sqlite3.Connection, thread: str, name: str | None) -> None:
    """Give a thread a name, or take it away."""
    connection.execute("UPDATE threads SET name = ? WHERE thread = ?", (name, thread))


def rename_account(connection: sqlite3.Connection, account: int, name: str | None) -> None:
    """Give an account a name, or take it away.

    Raises:
        sqlite3.IntegrityError: Another account has that name.

    """
    connection.execute("UPDATE accounts SET name = ? WHERE id = ?", (name, account))


def forget_account(connection: sqlite3.Connection, account: int) -> None:
    """Delete an account and all that was kept of it, down to the bytes in the file."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("DELETE FROM accounts WHERE id = ?", (account,))
    # The log still holds the deleted pages; where a reader is in the way, the next checkpoint overwrites them.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# Retention


def prune(connection: sqlite3.Connection, before: float, most: int = 500) -> int:
    """Delete at most so many rows of what was last seen before a moment (Unix seconds); return how many went.

    The newest reading of each limit and the one that tells an account's facts stay, however old, and so do threads that
    have a name. It is one short transaction that finds its rows by the indexes: what it costs does not depend on how
    long the history is. Called again until nothing goes, it brings everything down to that moment.
    """
    gone = 0
    with transaction(connection):
        for table, old in _OLD_ROWS:
            if gone < most:
                values = {"before": before, "most": most - gone}
                gone += connection.execute(f"DELETE FROM {table} WHERE id IN ({old})", values).rowcount  # noqa: S608 (constants)
        if not gone:
            gone = connection.execute(_DELETE_OLD_THREADS, {"before": before, "most": most}).rowcount
    return gone


def give_back_space(connection: sqlite3.Connection) -> None:
    """Make the file as small as what is in it; meanwhile, which takes seconds, others can read and not write.

    Raises:
        sqlite3.Error: Another program holds the database, or the disk has no room for a second copy of it.
    """
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


OLD_SNAPSHOTS = (
    # A row was first seen before it was last seen, so the index on the former finds what is old in the latter.
    "FROM limits l CROSS JOIN snapshots s INDEXED BY snapshots_first_seen"
    " ON s.account = l.account AND s.limit_id = l.limit_id AND s.first_seen_at < :before"
    " WHERE s.last_seen_at < :before AND s.id != l.snapshot_id"
    " AND s.id NOT IN (SELECT snapshot_id FROM accounts WHERE snapshot_id IS NOT NULL)"
)

OLD_REQUESTS = (
    "FROM accounts a CROSS JOIN requests r INDEXED BY requests_account ON r.account = a.id WHERE r.ended_at < :before"
)

# That a thread was seen is noted now and then only: an hour later all its turns are older, too, and have gone.
OLD_THREADS = "FROM threads t WHERE t.name IS NULL AND t.last_seen_at < :before - 3600"
"""Where what is old is found, of all accounts; the rows that `limits` and `accounts` point at are never among it."""

_OLD_ROWS = (
    ("snapshots", f"SELECT s.id {OLD_SNAPSHOTS} LIMIT :most"),
    ("requests", f"SELECT r.id {OLD_REQUESTS} LIMIT :most"),
)
"""What of each table goes, few rows at a time."""

_DELETE_OLD_THREADS = (
    f"DELETE FROM threads WHERE (account, thread) IN (SELECT account, thread {OLD_THREADS} LIMIT :most)"  # noqa: S608 (constants)
)
