"""Threads, and the one that a person means by a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.queries.cursors import read_transaction
from store.queries.prefix_match import matching

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.documents import ThreadEntry
    from store.queries.accounts import Account

MAX_CANDIDATES = 10
"""Threads in a list of candidates."""


class Thread(NamedTuple):
    """A thread of Codex; ``turns`` counts its answered turns in the time range that was asked for.

    ``imported_turns`` counts those of them that are from session files. ``is_session`` is true if it is a session of a
    client that names no threads.
    """

    thread: str
    name: str | None
    accounts: tuple[Account, ...]
    turns: int
    first_seen_at: float
    last_seen_at: float
    is_session: bool = False
    imported_turns: int = 0


class ThreadError(Exception):
    """A prefix does not match exactly one thread; the message lists the candidates, or the newest threads."""


def load_threads(connection: sqlite3.Connection, since: float, accounts: Sequence[Account]) -> list[Thread]:
    """Return the threads of the accounts that were seen since `since` (Unix seconds), the newest first."""
    known = {account.id: account for account in accounts}
    with read_transaction(connection):
        rows = connection.execute(
            "SELECT account, thread, is_session, name, first_seen_at, last_seen_at FROM threads WHERE last_seen_at >= ?"
            " ORDER BY last_seen_at DESC, thread",
            (since,),
        ).fetchall()
        turns = _turns(connection, list(known), since)
    found: dict[str, Thread] = {}
    for account, thread, is_session, name, first_at, last_at in rows:
        if account not in known:
            continue
        count, imported = turns.get((account, thread), (0, 0))
        one = Thread(thread, name, (known[account],), count, first_at, last_at, bool(is_session), imported)
        found[thread] = _joined(found[thread], one) if thread in found else one
    return list(found.values())


def _turns(connection: sqlite3.Connection, ids: list[int], since: float) -> dict[tuple[int, str], tuple[int, int]]:
    """Count the answered turns of each thread, and the imported ones of them.

    It takes one account at a time, so that the index is used.
    """
    return {
        (account, row[0]): (row[1], row[2])
        for account in ids
        for row in connection.execute(
            "SELECT coalesce(thread, session) AS shown, count(*), sum(imported) FROM requests"
            " WHERE account = ? AND ended_at >= ? AND shown IS NOT NULL AND NOT warm_up AND coalesce(status, 0) < 400"
            " GROUP BY shown",
            (account, since),
        )
    }


def _joined(newer: Thread, older: Thread) -> Thread:
    """Return one thread for the rows of a thread that ran under two accounts."""
    return newer._replace(
        name=newer.name or older.name,
        accounts=newer.accounts + older.accounts,
        turns=newer.turns + older.turns,
        imported_turns=newer.imported_turns + older.imported_turns,
        first_seen_at=min(newer.first_seen_at, older.first_seen_at),
    )


def thread_entry(thread: Thread) -> ThreadEntry:
    """Return a thread as ``threads --json`` has it."""
    return {
        "thread": thread.thread,
        "is_session": thread.is_session,
        "name": thread.name,
        "accounts": [account.key for account in thread.accounts],
        "turns": thread.turns,
        "imported_turns": thread.imported_turns,
        "first_seen_at": thread.first_seen_at,
        "last_seen_at": thread.last_seen_at,
    }


def find_thread(connection: sqlite3.Connection, prefix: str) -> tuple[str, str | None]:
    """Return id and name of the thread whose id or name begins with `prefix`; an exact match comes first.

    Raises:
        ThreadError: `prefix` matches no thread, or several.

    """
    rows = connection.execute("SELECT thread, max(name) FROM threads GROUP BY thread ORDER BY max(last_seen_at) DESC")
    known = [(thread, name) for thread, name in rows]
    found = matching(known, prefix, lambda each: [word for word in each if word is not None])
    if len(found) == 1:
        return found[0]
    if found:
        raise ThreadError(f"{prefix!r} matches several threads:\n{_listed(found)}")
    if known:
        raise ThreadError(f"no thread matches {prefix!r}; the newest are:\n{_listed(known)}")
    raise ThreadError(f"no thread matches {prefix!r}; none has been seen yet")


def is_thread_name(connection: sqlite3.Connection, name: str, *, but: str) -> bool:
    """Return True if a thread other than `but` already has the name."""
    row = connection.execute("SELECT 1 FROM threads WHERE name = ? AND thread != ?", (name, but)).fetchone()
    return row is not None


def _listed(found: list[tuple[str, str | None]]) -> str:
    lines = ["  " + "  ".join(part for part in (name, thread) if part) for thread, name in found[:MAX_CANDIDATES]]
    more = len(found) - len(lines)
    return "\n".join([*lines, f"  and {more} more"] if more else lines)
