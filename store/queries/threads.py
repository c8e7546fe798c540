"""Which threads are there, and which one is meant?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.queries.prefix_match import matching

if TYPE_CHECKING:
    import sqlite3

    from store.queries.accounts import Account

CANDIDATES_SHOWN = 10
"""How many threads a message lists."""


class Thread(NamedTuple):
    """A thread of Codex, as people and programs name it; ``turns`` counts answered ones since the moment asked for."""

    thread: str
    name: str | None
    accounts: tuple[Account, ...]
    turns: int
    first_seen_at: float
    last_seen_at: float


class ThreadError(Exception):
    """What was named is not one thread; the message says which there are."""


def load_threads(connection: sqlite3.Connection, since: float) -> list[Thread]:
    """Return the threads that were seen since a moment (Unix seconds), the newest first."""
    with read_transaction(connection):
        known = {account.id: account for account in load_accounts(connection)}
        rows = connection.execute(
            "SELECT account, thread, name, first_seen_at, last_seen_at FROM threads WHERE last_seen_at >= ?"
            " ORDER BY last_seen_at DESC, thread",
            (since,),
        ).fetchall()
        turns = _turns(connection, list(known), since)
    found: dict[str, Thread] = {}
    for account, thread, name, first_at, last_at in rows:
        one = Thread(thread, name, (known[account],), turns.get((account, thread), 0), first_at, last_at)
        found[thread] = _joined(found[thread], one) if thread in found else one
    return list(found.values())


def _turns(connection: sqlite3.Connection, ids: list[int], since: float) -> dict[tuple[int, str], int]:
    """Count the answered turns of each thread; an account at a time, so that the index is of use."""
    return {
        (account, row[0]): row[1]
        for account in ids
        for row in connection.execute(
            "SELECT thread, count(*) FROM requests WHERE account = ? AND ended_at >= ? AND thread IS NOT NULL"
            " AND NOT warm_up AND coalesce(status, 0) < 400 GROUP BY thread",
            (account, since),
        )
    }


def _joined(newer: Thread, older: Thread) -> Thread:
    """Make one of a thread that ran under two accounts."""
    return newer._replace(
        name=newer.name or older.name,
        accounts=newer.accounts + older.accounts,
        turns=newer.turns + older.turns,
        first_seen_at=min(newer.first_seen_at, older.first_seen_at),
    )


def thread_entry(thread: Thread) -> dict[str, Any]:
    """Return a thread as ``threads --json`` writes it."""
    fields = thread._asdict()
    return {**fields, "accounts": [account.key for account in thread.accounts]}


def find_thread(connection: sqlite3.Connection, start: str) -> tuple[str, str | None]:
    """Return id and name of the thread of which `start` is an id, a name, or the start of either.

    Raises:
        ThreadError: No thread or more than one goes by that.

    """
    rows = connection.execute("SELECT thread, max(name) FROM threads GROUP BY thread ORDER BY max(last_seen_at) DESC")
    known = [(thread, name) for thread, name in rows]
    found = matching(known, start, lambda each: [word for word in each if word is not None])
    if len(found) == 1:
        return found[0]
    if found:
        raise ThreadError(f"{start!r} could be any of these:\n{_listed(found)}")
    if known:
        raise ThreadError(f"no thread goes by {start!r}; the newest are:\n{_listed(known)}")
    raise ThreadError(f"no thread goes by {start!r}; none was seen yet")


def is_thread_name(connection: sqlite3.Connection, name: str, *, but: str) -> bool:
    """Tell whether another thread than `but` has that name already."""
    row = connection.execute("SELECT 1 FROM threads WHERE name = ? AND thread != ?", (name, but)).fetchone()
    return row is not None


def _listed(found: list[tuple[str, str | None]]) -> str:
    lines = ["  " + "  ".join(part for part in (name, thread) if part) for thread, name in found[:CANDIDATES_SHOWN]]
    more = len(found) - len(lines)
    return "\n".join([*lines, f"  and {more} more"] if more else lines)
