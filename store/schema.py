"""The schema of the database, its version and its migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.errors import DatabaseError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from sqlite_utils import Database


APPLICATION_ID = 0x43785470
"""Written into the file's header ("CxTp"), so that another program's database is never written to."""

SCHEMA_VERSION = 6
"""``PRAGMA user_version`` of the schema that this program writes; each migration adds one."""


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the file's schema version, 0 for an empty file.

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


PROBES = (
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
"""Read the current rows and the end of each table, by every index that the writer and ``status`` use.

These are a few pages, however long the history; SQLite itself has compared the file's length with its header by then. A
check of the whole file takes seconds for 300 MB, and a broken page of old history stops nobody.
"""


def apply_migrations(connection: sqlite3.Connection) -> None:
    """Migrate the schema to `SCHEMA_VERSION`; call it in a transaction."""
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("codex-tap")
    for step in _MIGRATIONS:
        migrations(name=step.__name__.removeprefix("_"))(step)
    migrations.apply(sqlite_utils.Database(connection))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _m001_initial(database: Database) -> None:
    # sqlite3's executescript would commit first; the steps share one transaction with their record.
    _execute_all(database, _INITIAL_SCHEMA)


def _m002_requests(database: Database) -> None:
    _execute_all(database, _REQUESTS_SCHEMA)


def _m003_more_limits(database: Database) -> None:
    _execute_all(database, _MORE_LIMITS_SCHEMA)


def _m004_imports(database: Database) -> None:
    _execute_all(database, _IMPORTS_SCHEMA)


def _m005_unique_labels(database: Database) -> None:
    database.execute(_ACCOUNT_LABELS)
    views = database.execute("SELECT name, sql FROM sqlite_master WHERE name IN ('latest', 'turns', 'changes')")
    for name, written in views.fetchall():
        database.execute(f"DROP VIEW {name}")
        database.execute(written.replace(_ANY_NAME, "a.label").replace(_ACCOUNT_JOIN, _LABEL_JOIN))


def _m006_edits(database: Database) -> None:
    database.execute(_EDITS_TABLE)


def _execute_all(database: Database, statements: str) -> None:
    for statement in statements.split(";\n\n"):
        database.execute(statement)


_MIGRATIONS: list[Callable[[Database], None]] = [
    _m001_initial,
    _m002_requests,
    _m003_more_limits,
    _m004_imports,
    _m005_unique_labels,
    _m006_edits,
]
"""All steps of the schema; a released one is never changed."""

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


_COLUMNS_OF_MORE_LIMITS = (
    "response_model",
    "reasoning_effort",
    "tier",
    "subagent",
    "parent_thread",
    "client",
    "cache_write_tokens",
)


def _turns_view(*more: str) -> str:
    """Return the statement of the view ``turns`` with further columns of the table `requests`."""
    columns = "".join(f",\n    r.{column}" for column in more)
    return f"""CREATE VIEW turns AS
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
    r.session{columns}
FROM requests r
JOIN accounts a ON a.id = r.account
LEFT JOIN threads t ON t.account = r.account AND t.thread = r.thread
ORDER BY r.id"""  # noqa: S608 (constants)


_REQUESTS_SCHEMA = f"""
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

{_turns_view()};

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
"""  # noqa: S608 (constants)


_MORE_LIMITS_SCHEMA = f"""
-- decimal text; the window of a budget is in other_windows
ALTER TABLE snapshots ADD COLUMN budget_limit TEXT;

ALTER TABLE snapshots ADD COLUMN budget_used TEXT;

ALTER TABLE snapshots ADD COLUMN budget_remaining TEXT;

-- null stands for credits
ALTER TABLE snapshots ADD COLUMN budget_unit TEXT;

-- the server's word for where the budget comes from
ALTER TABLE snapshots ADD COLUMN budget_source TEXT;

-- JSON: model to [available, available at, credits would enable]
ALTER TABLE snapshots ADD COLUMN model_usage TEXT;

-- how many of reset_credits can be used now
ALTER TABLE snapshots ADD COLUMN reset_credits_applicable INTEGER;

-- JSON: the timestamps at which they expire, earliest first
ALTER TABLE snapshots ADD COLUMN reset_credits_expire TEXT;

-- when a request was last refused because of the limit; null where none was since the limit was open
ALTER TABLE snapshots ADD COLUMN refused_at REAL;

-- the length of the window that is used up, where a refusal names it
ALTER TABLE snapshots ADD COLUMN reached_window_minutes INTEGER;

-- the model that responded; `model` is the requested one
ALTER TABLE requests ADD COLUMN response_model TEXT;

ALTER TABLE requests ADD COLUMN reasoning_effort TEXT;

-- the service tier that was requested: priority, say
ALTER TABLE requests ADD COLUMN tier TEXT;

-- kind of sub-agent: review, say; null for a person's turn
ALTER TABLE requests ADD COLUMN subagent TEXT;

-- the thread that started the sub-agent
ALTER TABLE requests ADD COLUMN parent_thread TEXT;

-- the client's own name: codex_exec, say
ALTER TABLE requests ADD COLUMN client TEXT;

-- a part of the input that was written into the cache
ALTER TABLE requests ADD COLUMN cache_write_tokens INTEGER;

CREATE TABLE sightings (
    kind TEXT NOT NULL,         -- host, other_host, unknown_field, unknown_login
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE limit_names (
    name TEXT PRIMARY KEY,      -- a display name that a header or a usage document gave together with an id
    limit_id TEXT NOT NULL
) WITHOUT ROWID;

-- 1: `thread` is a session of a client that names no threads
ALTER TABLE threads ADD COLUMN is_session INTEGER NOT NULL DEFAULT 0;

-- 1: no message has given the id, which was made from a display name
ALTER TABLE limits ADD COLUMN by_name INTEGER NOT NULL DEFAULT 0;

-- earlier versions had ids of further limits from headers, where they began so, and ids made from names
UPDATE limits SET by_name = 1 WHERE limit_id NOT IN ('codex', 'code_review') AND limit_id NOT GLOB 'codex_*';

CREATE TABLE merged_accounts (
    account_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, -- the account that it belongs to since
    PRIMARY KEY (account_id, user_id)
) WITHOUT ROWID;

DROP VIEW turns;

{_turns_view(*_COLUMNS_OF_MORE_LIMITS)}
"""  # noqa: S608 (constants)


_IMPORTS_SCHEMA = f"""
-- the server's id of the response
ALTER TABLE requests ADD COLUMN response_id TEXT;

-- 1: read from a session file of Codex, not from the wire; token_key is empty, and transport is "unknown"
ALTER TABLE requests ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;

-- what tells the turn from others of its session file; null while no import has read that
ALTER TABLE requests ADD COLUMN session_key TEXT;

CREATE INDEX requests_thread ON requests (thread, imported, ended_at);

CREATE TABLE imported_limits (  -- limits as session files tell them: never the current reading
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    limit_id TEXT NOT NULL,
    first_seen_at REAL NOT NULL,
    thread TEXT NOT NULL,       -- whose session file it was
    last_seen_at REAL NOT NULL,
    limit_name TEXT,
    used_5h_percent REAL,
    window_5h_minutes INTEGER,
    resets_5h_at INTEGER,
    used_7d_percent REAL,
    window_7d_minutes INTEGER,
    resets_7d_at INTEGER,
    other_windows TEXT,         -- JSON: slot to [used percent, minutes, resets at]
    PRIMARY KEY (account, limit_id, first_seen_at, thread)
) WITHOUT ROWID;

CREATE TABLE imported_files (   -- how far session files were read; without their paths
    file TEXT PRIMARY KEY,      -- a digest of the thread that the file is named by
    account INTEGER REFERENCES accounts (id) ON DELETE SET NULL,
    size INTEGER NOT NULL,      -- bytes on the disk when it was read
    read_to INTEGER NOT NULL,   -- bytes of its text that were read
    since REAL,                 -- what is older was passed over; null where nothing was
    state TEXT                  -- JSON: what the next line depends on, such as the model; null once it is forgotten
) WITHOUT ROWID;

CREATE INDEX imported_files_account ON imported_files (account);

DROP VIEW turns;

{_turns_view(*_COLUMNS_OF_MORE_LIMITS, "imported")}
"""


_ACCOUNT_LABELS = """
CREATE VIEW account_labels AS   -- what an account is called: a name or e-mail that names no other account, else its key
WITH keys (account, name) AS (
    SELECT id, trim(account_id || '/' || user_id, '/') FROM accounts
),
names (account, name) AS (
    SELECT id, name FROM accounts
    UNION
    SELECT id, email FROM accounts
    UNION
    SELECT account, name FROM keys
    UNION
    SELECT account, trim(account_id || '/' || user_id, '/') FROM merged_accounts
    UNION
    SELECT account, token_key FROM tokens
),
unique_names (account, name) AS (
    SELECT min(account), name FROM names WHERE name <> '' GROUP BY name HAVING count(*) = 1
),
unique_keys (account, name) AS (
    SELECT min(account), name FROM keys WHERE name <> '' GROUP BY name HAVING count(*) = 1
)
SELECT a.id AS account, coalesce(named.name, mail.name, keyed.name, '#' || a.id) AS label
FROM accounts a
LEFT JOIN unique_names named ON named.account = a.id AND named.name = a.name
LEFT JOIN unique_names mail ON mail.account = a.id AND mail.name = a.email
LEFT JOIN unique_keys keyed ON keyed.account = a.id
"""

_ANY_NAME = "coalesce(a.name, a.email, trim(a.account_id || '/' || a.user_id, '/'))"
_ACCOUNT_JOIN = "JOIN accounts a ON a.id = "
# LEFT, so that the rows are still read in the order of their ids.
_LABEL_JOIN = "LEFT JOIN account_labels a ON a.account = "


_EDITS_TABLE = """
CREATE TABLE edits (            -- changes to rows that were stored earlier, and their deletion
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,           -- when
    account INTEGER,            -- whose rows; null stands for any
    since REAL NOT NULL,        -- the earliest time of a changed row
    until REAL                  -- all changed rows were over before this time; null: there is no such time
)
"""
