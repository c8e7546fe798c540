"""Turns and limits out of Codex's session files, written beside what the tap recorded.

A turn that the tap recorded and one of a session file are one turn if they have one thread, and one response id; where
either has no id, the same tokens, and ends at most `MATCH_SECONDS` apart. Whichever comes first, it is stored once, and
the tap's row is the one that stays. A row that a session file is known to have bears its `session_key`, so that the
next reading of the file finds it again.

Imported limits have a table of their own: nothing here changes what holds now. A session that names no account belongs
to `NO_OWNER`, an account of its own, until a person merges that into another.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.constants import MAIN_LIMIT
from store.edit_log import log_edit
from store.outbox import tables as outbox

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from store.models import Turn, Window

MATCH_SECONDS = 30.0
"""The tap sees the end of a response as it passes, Codex writes it down when it has it: both by one clock."""


class Owner(NamedTuple):
    """The account that began a session; ``user_id`` is empty where the session names none."""

    account_id: str
    user_id: str


NO_OWNER = Owner("", "session-files")
"""The account of sessions that name none: older versions of Codex did not, and a login by API key has none."""


class ImportedTurn(NamedTuple):
    """One response of a session file; times are Unix seconds. ``started_at`` is when the request can have been sent."""

    model: str | None
    reasoning_effort: str | None
    tier: str | None
    started_at: float
    ended_at: float
    response_id: str | None
    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


class ImportedLimit(NamedTuple):
    """A limit as a session file tells it, from the first to the last time that it told the same."""

    limit_id: str
    limit_name: str | None
    first_seen_at: float
    last_seen_at: float
    windows: Mapping[str, Window]


class ImportedFile(NamedTuple):
    """How far a session file was read, as the table has it; ``file`` is `file_key` of its thread."""

    file: str
    size: int
    read_to: int
    since: float | None
    state: str | None


class SessionPart(NamedTuple):
    """What was read of one session file, and how far it is read then."""

    thread: str
    session: str | None
    parent_thread: str | None
    subagent: str | None
    client: str | None
    owner: Owner | None
    turns: Sequence[ImportedTurn]
    limits: Sequence[ImportedLimit]
    progress: ImportedFile


class ImportCounts(NamedTuple):
    """Turns that were not stored yet, and turns that were."""

    new: int
    known: int


def file_key(thread: str) -> str:
    """Return what stands for a session file in the table: it stays when the file is moved, copied or compressed."""
    return hashlib.blake2b(thread.encode(), digest_size=16).hexdigest()


def find_file(connection: sqlite3.Connection, key: str) -> ImportedFile | None:
    """Return how far a session file was read; None if it never was."""
    row = connection.execute(
        "SELECT file, size, read_to, since, state FROM imported_files WHERE file = ?", (key,)
    ).fetchone()
    return ImportedFile(*row) if row else None


def compare_part(connection: sqlite3.Connection, part: SessionPart) -> ImportCounts:
    """Count what `write_part` would find new, and change nothing."""
    found = _matched(connection, part)
    return ImportCounts(len(found.new), len(part.turns) - len(found.new))


def write_part(connection: sqlite3.Connection, part: SessionPart) -> ImportCounts:
    """Store what was read of a session file; call it in a transaction.

    What is stored already is left as it is, so that writing a part again changes nothing.

    Raises:
        sqlite3.Error: It cannot be stored.

    """
    account = None
    new: Sequence[ImportedTurn] = ()
    if part.turns or part.limits:
        account = _account(connection, part)
        new = _write_turns(connection, account, part)
        connection.executemany(_SAVE_LIMIT, [_limit_values(account, part.thread, limit) for limit in part.limits])
        if part.limits:
            log_edit(connection, account=account, since=min(limit.first_seen_at for limit in part.limits))
    connection.execute(_SAVE_FILE, (*part.progress, account))
    return ImportCounts(len(new), len(part.turns) - len(new))


def has_imported_turns(connection: sqlite3.Connection, thread: str) -> bool:
    """Return True if turns of a thread were imported: without any, none is in a recorded one's way."""
    return connection.execute(_IMPORTED_TURN, (thread,)).fetchone() is not None


def take_over(connection: sqlite3.Connection, turn: Turn) -> str | None:
    """Delete the imported row of a turn that the tap has recorded as well, and return its session key.

    Call it in the transaction in which the tap's row is stored.
    """
    if turn.thread is None or turn.warm_up:
        return None
    tokens = turn.tokens
    counts = _Counts(tokens.input or 0, tokens.cached or 0, tokens.output or 0, tokens.reasoning or 0)
    imported = _stored(connection, turn.thread, turn.ended_at, turn.ended_at, only_imported=True)
    twin = _nearest(imported, turn.response_id, counts, turn.ended_at)
    if twin is None:
        return None
    outbox.note_turn_deleted(connection, twin.id)
    deleted = connection.execute("DELETE FROM requests WHERE id = ? RETURNING account, started_at", (twin.id,))
    for account, started_at in deleted.fetchall():
        log_edit(connection, account=account, since=started_at)
    return twin.session_key


# Which turns are one


class _Counts(NamedTuple):
    input: int
    cached: int
    output: int
    reasoning: int


class _StoredTurn(NamedTuple):
    id: int
    ended_at: float
    imported: bool
    response_id: str | None
    session_key: str | None
    counts: _Counts


class _Match(NamedTuple):
    """The turns of a part that are not stored, and the keys of stored ones that a session file is now known to have."""

    new: list[tuple[str, ImportedTurn]]
    claimed: list[tuple[str, int]]


def _matched(connection: sqlite3.Connection, part: SessionPart) -> _Match:
    found = _Match([], [])
    if not part.turns:
        return found
    ends = [turn.ended_at for turn in part.turns]
    stored = _stored(connection, part.thread, min(ends), max(ends))
    if not stored:  # nearly always: the whole session is new
        found.new.extend({_session_key(turn): turn for turn in part.turns}.items())
        return found
    keys = {row.session_key for row in stored if row.session_key is not None}
    by_counts: dict[_Counts, list[_StoredTurn]] = {}
    by_response: dict[str | None, list[_StoredTurn]] = {}
    for row in stored:
        if row.session_key is None:
            by_counts.setdefault(row.counts, []).append(row)
            by_response.setdefault(row.response_id, []).append(row)
    claimed = set[int]()
    for turn in part.turns:
        key, counts = _session_key(turn), _counts(turn)
        if key in keys:
            continue
        keys.add(key)
        same_response = by_response.get(turn.response_id, ()) if turn.response_id is not None else ()
        candidates = (row for row in (*same_response, *by_counts.get(counts, ())) if row.id not in claimed)
        twin = _nearest(candidates, turn.response_id, counts, turn.ended_at)
        if twin is None:
            found.new.append((key, turn))
        else:
            claimed.add(twin.id)
            found.claimed.append((key, twin.id))
    return found


def _nearest(
    stored: Iterable[_StoredTurn], response_id: str | None, counts: _Counts, ended_at: float
) -> _StoredTurn | None:
    """Return the stored turn that is this one: the one with its response id, else the nearest in time."""
    return min(
        (row for row in stored if _are_one(row, response_id, counts, ended_at)),
        key=lambda row: (row.response_id != response_id, abs(row.ended_at - ended_at)),
        default=None,
    )


def _are_one(row: _StoredTurn, response_id: str | None, counts: _Counts, ended_at: float) -> bool:
    if row.response_id is not None and response_id is not None:
        return row.response_id == response_id
    return row.counts == counts and abs(row.ended_at - ended_at) <= MATCH_SECONDS


def _counts(turn: ImportedTurn) -> _Counts:
    return _Counts(turn.input_tokens or 0, turn.cached_tokens or 0, turn.output_tokens or 0, turn.reasoning_tokens or 0)


def _session_key(turn: ImportedTurn) -> str:
    """Return what tells a turn from the others of its session."""
    if turn.response_id is not None:
        return turn.response_id
    return f"@{turn.ended_at:.3f}/{turn.input_tokens}/{turn.output_tokens}"


def _stored(
    connection: sqlite3.Connection, thread: str, first: float, last: float, *, only_imported: bool = False
) -> list[_StoredTurn]:
    values = thread, int(only_imported), first - MATCH_SECONDS, last + MATCH_SECONDS
    rows = connection.execute(_TURNS_OF_THREAD, values)
    return [_StoredTurn(row[0], row[1], bool(row[2]), row[3], row[4], _Counts(*row[5:])) for row in rows]


# Writing


def _write_turns(connection: sqlite3.Connection, account: int, part: SessionPart) -> Sequence[ImportedTurn]:
    found = _matched(connection, part)
    connection.executemany("UPDATE requests SET session_key = ? WHERE id = ?", found.claimed)
    if not found.new:
        return ()
    new = [turn for _, turn in found.new]
    limits = {model: _limit_of_model(connection, model, part.limits) for model in {turn.model for turn in new}}
    about = part.thread, part.session, part.parent_thread, part.subagent, part.client
    connection.executemany(_INSERT_TURN, [(account, limits[turn.model], *about, *turn, key) for key, turn in found.new])
    first, last = min(turn.started_at for turn in new), max(turn.ended_at for turn in new)
    connection.execute(_SAVE_THREAD, (account, part.thread, part.thread, first, last))
    connection.execute(_SAVE_SIGHTING, {"account": account, "first": first, "last": last})
    return new


def _account(connection: sqlite3.Connection, part: SessionPart) -> int:
    """Return the row of the account that a session belongs to; it is made if it is new.

    A session that names no user of its workspace belongs to the one known user of it.
    """
    owner = part.owner or NO_OWNER
    found = connection.execute(
        "SELECT account FROM merged_accounts WHERE (account_id, user_id) = (?, ?)"
        " UNION ALL SELECT id FROM accounts WHERE (account_id, user_id) = (?, ?)",
        (*owner, *owner),
    ).fetchall()
    if not found and not owner.user_id:
        found = connection.execute(_USERS, (owner.account_id,)).fetchall()
        found = found if len(found) == 1 else []
    if found:
        return int(found[0][0])
    times = [at for turn in part.turns for at in (turn.started_at, turn.ended_at)]
    times += [at for limit in part.limits for at in (limit.first_seen_at, limit.last_seen_at)]
    row = connection.execute(
        "INSERT INTO accounts (account_id, user_id, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?) RETURNING id",
        (*owner, min(times), max(times)),
    ).fetchone()
    return int(row[0])


def _limit_of_model(connection: sqlite3.Connection, model: str | None, told: Iterable[ImportedLimit]) -> str:
    """Return the id of the limit that a model's turns are charged to: its own, if one has the model's name."""
    row = connection.execute("SELECT limit_id FROM limit_names WHERE name = ?", (model,)).fetchone()
    own = (limit.limit_id for limit in told if limit.limit_name is not None and limit.limit_name == model)
    return str(row[0]) if row else next(own, MAIN_LIMIT)


def _limit_values(account: int, thread: str, limit: ImportedLimit) -> tuple[Any, ...]:
    slots = {
        slot: (window.used_percent, window.window_minutes, window.resets_at) for slot, window in limit.windows.items()
    }
    five, seven = (slots.pop(slot, (None, None, None)) for slot in ("5h", "7d"))
    others = json.dumps(slots) if slots else None
    times = limit.first_seen_at, thread, limit.last_seen_at
    return (account, limit.limit_id, *times, limit.limit_name, *five, *seven, others)


_IMPORTED_TURN = "SELECT 1 FROM requests WHERE thread = ? AND imported = 1 LIMIT 1"

_TURNS_OF_THREAD = (
    "SELECT id, ended_at, imported, response_id, session_key, coalesce(input_tokens, 0), coalesce(cached_tokens, 0),"
    " coalesce(output_tokens, 0), coalesce(reasoning_tokens, 0) FROM requests"
    " WHERE thread = ? AND imported IN (?, 1) AND ended_at BETWEEN ? AND ? AND NOT warm_up"
)

_INSERT_TURN = (
    "INSERT INTO requests (imported, token_key, transport, warm_up, account, limit_id,"
    " thread, session, parent_thread, subagent, client,"
    " model, reasoning_effort, tier, started_at, ended_at, response_id,"
    " input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, session_key)"
    " VALUES (1, '', 'unknown', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_SAVE_THREAD = (
    "INSERT INTO threads (account, thread, name, first_seen_at, last_seen_at)"
    " VALUES (?, ?, (SELECT max(name) FROM threads WHERE thread = ?), ?, ?)"
    " ON CONFLICT DO UPDATE SET first_seen_at = min(first_seen_at, excluded.first_seen_at),"
    " last_seen_at = max(last_seen_at, excluded.last_seen_at)"
)

_SAVE_SIGHTING = (
    "UPDATE accounts SET first_seen_at = min(first_seen_at, :first), last_seen_at = max(last_seen_at, :last)"
    " WHERE id = :account AND NOT EXISTS (SELECT 1 FROM tokens WHERE account = :account)"
)
"""An account whose logins the tap has seen was seen when the tap saw it."""

_SAVE_LIMIT = (
    "INSERT INTO imported_limits (account, limit_id, first_seen_at, thread, last_seen_at, limit_name, used_5h_percent,"
    " window_5h_minutes, resets_5h_at, used_7d_percent, window_7d_minutes, resets_7d_at, other_windows)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last_seen_at = max(last_seen_at, excluded.last_seen_at)"
)

_SAVE_FILE = (
    "INSERT INTO imported_files (file, size, read_to, since, state, account) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET size = excluded.size, read_to = excluded.read_to, since = excluded.since,"
    " state = excluded.state, account = coalesce(excluded.account, account)"
)

_USERS = (
    "SELECT id FROM accounts a WHERE account_id = ? AND user_id != ''"
    " AND NOT EXISTS (SELECT 1 FROM tokens WHERE account = a.id AND token_key = a.user_id) LIMIT 2"
)
"""The users of a workspace; an account whose user is a token is one of an earlier version."""
