PRAGMA application_id = 1131959408;
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'codex-tap','m001_initial','2026-11-14 12:00:00.000000+00:00');
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
INSERT INTO "accounts" VALUES(1,'acct-ann','user-ann',NULL,'ann@example.com',1794657600.0,1794657600.0,1);
CREATE TABLE limits (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    limit_id TEXT NOT NULL,
    snapshot_id INTEGER NOT NULL,
    PRIMARY KEY (account, limit_id)
) WITHOUT ROWID;
INSERT INTO "limits" VALUES(1,'codex',1);
CREATE TABLE losses (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    count INTEGER NOT NULL,     -- readings that were seen and could not be kept
    reason TEXT NOT NULL
);
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
INSERT INTO "snapshots" VALUES(1,1,'ann~0000000001','codex',NULL,1794657600.0,1794657600.0,1794657600.0,1,0,NULL,13.0,300,1794666600,41.0,10080,1795348800,NULL,NULL,NULL,NULL,NULL,'plus',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'headers',NULL,NULL,NULL,'{"x-codex-primary-used-percent":"13"}');
CREATE TABLE spills (
    name TEXT PRIMARY KEY,      -- a file of readings that a stop left behind: what is named here was taken up
    taken_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    token_key TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    expires_at REAL,            -- from the token's claims; null for an opaque one
    PRIMARY KEY (token_key, account)
);
INSERT INTO "tokens" VALUES('ann~0000000001',1,1794657600.0,1794657600.0,NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX tokens_account ON tokens (account);
CREATE INDEX snapshots_account ON snapshots (account, limit_id, id);
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
ORDER BY 1, l.limit_id != 'codex', l.limit_id;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('snapshots',1);
COMMIT;
PRAGMA user_version = 1;
