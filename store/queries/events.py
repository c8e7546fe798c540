"""What happened?

Rows are read as a stream, however long the history, and rises are matched with turns some thousands at a time.
"""

from __future__ import annotations

import datetime as dt
import heapq
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from store.analysis.attribution import TurnUse
from store.analysis.events import (
    ACCOUNT_KINDS,
    MAX_TURN_SECONDS,
    Event,
    Increase,
    account_events,
    token_events,
    unattributed,
)
from store.analysis.formatting import DAY
from store.analysis.limit_status import WINDOW_COLUMNS
from store.queries.accounts import refresh_sorted
from store.queries.cursors import read_transaction, tuple_cursor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence

    from store.queries.accounts import Account

_AT_ONCE = 4_000
"""Rises that are matched with turns at once."""

_STEPS_BACK = DAY
"""How far the clock may have stepped back and rows from before it still be looked at."""

_SAME_MOMENT = 60.0
"""Seconds; migrations that were applied so close to each other made a new database."""


def load_events(
    connection: sqlite3.Connection,
    now: float,
    *,
    accounts: Sequence[Account] | None = None,
    since: float | None = None,
    kinds: Collection[str] | None = None,
    limit_id: str | None = None,
    zone: dt.tzinfo | None = None,
) -> dict[str, Any]:
    """Answer "what happened?": the document of ``events --json`` at a moment in Unix seconds, the oldest first.

    Without `accounts` it is about all, without `since` about all that is kept, without `kinds` about all of
    `store.analysis.events.KINDS`. With a `limit_id` it is about that limit alone, without what happened to accounts as
    a whole. Sentences have their moments in `zone`, else in the machine's own::

        {"generated_at": int, "since": float | null, "limit_id": str | null, "turns_known_since": float | null,
         "readings": int,
         "accounts": [{"account": key, "name": str | null, "email": str | null}],
         "events": [{"at": float, "kind": "window_reset_early", "account": key, "name": null, "email": null,
                     "limit_id": "codex" | null, "limit_name": null, "slot": "7d" | null, "window_minutes": int | null,
                     "text": "The 7 d window was reset 1 d 3 h before it was due, …", "note": str | null,
                     "seconds": 97200.0 | null, "points": float | null, "credits": "2.5" | null,
                     "before": READING, "after": READING}]}

    A READING is ``id`` (the row's, null for a token's), ``seen_at``, ``used_percent``, ``resets_at`` (of the window the
    event is about, else null), ``reached_type``, ``reached_until`` (when the server said that the limit comes back),
    ``plan_type``, ``credits_balance``, ``source`` and ``token_key``.
    ``seconds`` is by how much a reset was early or moved (negative: it comes sooner), ``points`` how many were used
    elsewhere or fell. ``note`` says what is not sure. ``readings`` counts the rows looked at. Before
    ``turns_known_since`` turns were not recorded, and nothing can be told to be used elsewhere; null is "always".
    """
    with read_transaction(connection):
        chosen = refresh_sorted(connection, accounts)
        asking = _EventQuery(connection, now, since, limit_id, zone)
        found = [
            (event, account)
            for account in chosen
            for event in asking.about(account)
            if (kinds is None or event.kind in kinds) and (since is None or event.at >= since)
        ]
    found.sort(key=lambda each: each[0].at)
    known_since = asking.turns_known_since
    return {
        "generated_at": int(now),
        "since": since,
        "limit_id": limit_id,
        "turns_known_since": known_since if known_since > 0 else None,
        "readings": asking.readings,
        "accounts": [account.named for account in chosen],
        "events": [_document(event, account) for event, account in found],
    }


def empty_events(now: float, *, since: float | None = None, limit_id: str | None = None) -> dict[str, Any]:
    """Return the document of `events` where nothing was seen yet."""
    return {
        "generated_at": int(now),
        "since": since,
        "limit_id": limit_id,
        "turns_known_since": None,
        "readings": 0,
        "accounts": [],
        "events": [],
    }


def _document(event: Event, account: Account) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        **account.named,
        "limit_id": event.limit_id,
        "limit_name": event.limit_name,
        "slot": event.slot,
        "window_minutes": event.window_minutes,
        "text": event.text,
        "note": event.note,
        "seconds": event.seconds,
        "points": event.points,
        "credits": event.credits,
        "before": event.before._asdict(),
        "after": event.after._asdict(),
    }


class _EventQuery:
    """One question, and what it has read so far."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: float,
        since: float | None,
        limit_id: str | None,
        zone: dt.tzinfo | None,
    ) -> None:
        self._connection = connection
        self._now = now
        self._since = float("-inf") if since is None else since
        self._limit_id = limit_id
        self._zone = zone
        self.turns_known_since = _turns_known_since(connection)
        self.readings = 0

    def about(self, account: Account) -> Iterator[Event]:
        """Yield what happened to an account and its limits, in no order, and some of what was before `since`."""
        rises: dict[str, list[Increase]] = {}
        for event in account_events(self._rows(account.id), self._zone):
            if isinstance(event, Event):
                if self._limit_id is None or event.kind not in ACCOUNT_KINDS:
                    yield event
            elif event.gap.end >= self._since:
                waiting = rises.setdefault(event.after["limit_id"], [])
                waiting.append(event)
                if len(waiting) >= _AT_ONCE:
                    yield from self._elsewhere(account.id, waiting)
                    waiting.clear()
        for waiting in rises.values():
            yield from self._elsewhere(account.id, waiting)
        if self._limit_id is None:
            yield from token_events(self._tokens(account.id))

    def _rows(self, account: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of an account's limits in the order of arrival, from the last ones before `since` on."""
        limits = self._connection.execute(
            "SELECT limit_id FROM limits WHERE account = ? AND (? IS NULL OR limit_id = ?)",
            (account, self._limit_id, self._limit_id),
        ).fetchall()
        values = [
            {"account": account, "limit_id": row["limit_id"], "since": self._since - _STEPS_BACK} for row in limits
        ]
        for row in heapq.merge(*(self._connection.execute(_ROWS, each) for each in values), key=itemgetter("id")):
            self.readings += 1
            yield dict(row)

    def _elsewhere(self, account: int, rises: Sequence[Increase]) -> Iterator[Event]:
        if not rises:
            return
        start = max(self.turns_known_since, min(rise.gap.start for rise in rises))
        end = max(rise.gap.end for rise in rises) + MAX_TURN_SECONDS
        values = (account, rises[0].after["limit_id"], start, end)
        turns = [TurnUse._make(row) for row in tuple_cursor(self._connection).execute(_TURNS, values)]
        yield from unattributed(rises, turns, self._now, self.turns_known_since)

    def _tokens(self, account: int) -> Iterator[dict[str, Any]]:
        rows = self._connection.execute("SELECT * FROM tokens WHERE account = ? ORDER BY rowid", (account,))
        return map(dict, rows)


_ROWS = f"""
SELECT id, limit_id, limit_name, token_key, first_seen_at, last_seen_at, windows_seen_at, server_time, {WINDOW_COLUMNS},
    allowed, limit_reached, reached_type, reached_until, plan_type, has_credits, credits_unlimited, credits_balance,
    source
FROM snapshots
WHERE account = :account AND limit_id = :limit_id AND late = 0 AND first_seen_at >= coalesce(
    (SELECT max(first_seen_at) FROM snapshots
     WHERE account = :account AND limit_id = :limit_id AND first_seen_at < :since AND late = 0),
    :since)
ORDER BY +id
"""  # noqa: S608 (constant columns)
"""The index finds the rows by their time, and the `+` keeps it from being given up for the order."""

_TURNS = f"""
SELECT {", ".join(TurnUse._fields)} FROM requests
WHERE account = ? AND limit_id = ? AND ended_at > ? AND ended_at <= ? ORDER BY ended_at
"""  # noqa: S608 (constant columns)


def _turns_known_since(connection: sqlite3.Connection) -> float:
    """Return since when turns were recorded, and still are kept: minus infinity where that is "always".

    They were not before the database was brought to the schema that has them.
    """
    first = connection.execute("SELECT id, started_at FROM requests ORDER BY id LIMIT 1").fetchone()
    # The ids begin with 1: those before it were deleted.
    kept = first["started_at"] if first and first["id"] > 1 else float("-inf")
    return max(kept, _schema_had_turns_since(connection))


def _schema_had_turns_since(connection: sqlite3.Connection) -> float:
    rows = connection.execute(
        "SELECT applied_at FROM _sqlite_migrations WHERE migration_set = 'codex-tap'"
        " AND name IN ('m001_initial', 'm002_requests') ORDER BY name"
    )
    applied = [dt.datetime.fromisoformat(row["applied_at"]).timestamp() for row in islice(rows, 2)]
    if len(applied) < 2 or applied[1] - applied[0] < _SAME_MOMENT:
        return float("-inf")
    return applied[1]
