"""Threads, and the one that a person means by a prefix."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.thread_tree import TITLES, ThreadTree
from store.constants import BUDGET_SLOT
from store.queries.cursors import is_among, read_transaction, tuple_cursor
from store.queries.kept_usage import usage_kind
from store.queries.prefix_match import matching
from store.queries.thread_turns import ThreadUse, load_thread_origins, load_thread_uses
from store.queries.usage import load_thread_points, usage_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from store.analysis.thread_tree import ThreadOrigin
    from store.connection import Connection
    from store.documents import ThreadBranch, ThreadEntry
    from store.queries.accounts import Account

MAX_CANDIDATES = 10
"""Threads in a list of candidates."""


class Thread(NamedTuple):
    """A thread of Codex, and its use in the time range that was asked for.

    ``is_session`` is true if it is a session of a client that names no threads. ``points`` are those of the main
    limit's window that ``usage`` shows.
    """

    thread: str
    name: str | None
    accounts: tuple[Account, ...]
    first_seen_at: float
    last_seen_at: float
    is_session: bool = False
    use: ThreadUse = ThreadUse()
    points: float = 0.0

    def with_use(self, other: Thread) -> Thread:
        """Return the thread with the accounts, the times and the use of another one."""
        return self._replace(
            accounts=tuple(dict.fromkeys(self.accounts + other.accounts)),
            first_seen_at=min(self.first_seen_at, other.first_seen_at),
            last_seen_at=max(self.last_seen_at, other.last_seen_at),
            use=self.use.plus(other.use),
            points=self.points + other.points,
        )


class ThreadError(Exception):
    """A prefix does not match exactly one thread; the message lists the candidates, or the newest threads."""


def load_sessions(
    connection: Connection, now: float, since: float, accounts: Sequence[Account], *, tree: bool = False
) -> list[ThreadEntry]:
    """Return the threads of the accounts that were seen since `since` (Unix seconds), the last used first.

    Those that make titles are one entry, the last one. The threads of sub-agents count for the thread that started
    them; with `tree` they are listed there.
    """
    return load_newest_sessions(connection, now, since, accounts, None, tree=tree).threads


class NewestSessions(NamedTuple):
    """The threads that were used last, and the number of the others."""

    threads: list[ThreadEntry]
    others: int


def load_newest_sessions(
    connection: Connection, now: float, since: float, accounts: Sequence[Account], most: int | None, *, tree: bool
) -> NewestSessions:
    """Return at most so many of the entries of `load_sessions`, and the number of the others."""
    with read_transaction(connection):
        question = _SeenThreads(connection, now, since, accounts)
        origins = ThreadTree(question.origins())
        used = question.session_times(origins)
        top = _last_used(used.last, most)
        shown = set(top)
        oldest = min((used.first[each] for each in top), default=since)
        is_shown = None if len(top) == len(used.last) else lambda thread: origins.root(thread) in shown
        threads = {each.thread: each for each in question.threads(oldest, is_shown)}
        sums = dict(threads)
        for thread, each in threads.items():
            below = thread
            while (parent := origins.parent(below)) is not None:
                sums[parent] = _known(connection, sums, parent, each).with_use(each)
                below = parent
    branches = origins.branches(threads, lambda each: (-sums[each].last_seen_at, each)) if tree else {}
    listed: list[ThreadEntry] = [
        {
            **_entry(sums[each], origins.kinds.get(each)),
            "tree": [
                {
                    **_entry(sums[found.thread], origins.kinds.get(found.thread)),
                    "parent": found.parent,
                    "depth": found.depth,
                }
                for found in branches.get(each, [])
            ],
        }
        for each in top
    ]
    return NewestSessions(listed, len(used.last) - len(top))


class _SessionTimes(NamedTuple):
    """By session, the earliest and the latest of the times at which its threads were last used, in Unix seconds."""

    first: dict[str, float]
    last: dict[str, float]


def _last_used(last: Mapping[str, float], most: int | None) -> list[str]:
    """Return at most so many sessions, the last used first; the one that makes titles is the last of all."""
    # Of these times, that one may have one.
    least = -math.inf if most is None else min(heapq.nlargest(most + 1, last.values()), default=0.0)
    some = [each for each, at in last.items() if at >= least]
    return sorted(some, key=lambda each: (each == TITLES, -last[each], each))[:most]


def load_threads(connection: Connection, now: float, since: float, accounts: Sequence[Account]) -> list[Thread]:
    """Return each thread of the accounts that was seen since `since` (Unix seconds) by itself, the newest first."""
    with read_transaction(connection):
        return _SeenThreads(connection, now, since, accounts).threads(since)


class _SeenThreads:
    """The threads of accounts that were seen since a time, in Unix seconds."""

    def __init__(self, connection: Connection, now: float, since: float, accounts: Sequence[Account]) -> None:
        self._connection = connection
        self._now = now
        self._since = since
        self._accounts = {account.id: account for account in accounts}
        kinds = usage_kinds(connection, accounts=accounts)
        # A budget is no limit that turns are charged to.
        self._kind = kinds[0] if len(kinds) == 1 and kinds[0] != usage_kind(BUDGET_SLOT) else None

    def origins(self) -> list[ThreadOrigin]:
        """Return where the threads of sub-agents come from."""
        return load_thread_origins(self._connection, list(self._accounts), self._since, self._kind)

    def session_times(self, origins: ThreadTree) -> _SessionTimes:
        """Return when threads of sessions were last used."""
        first: dict[str, float] = {}
        last: dict[str, float] = {}
        started = origins.started()
        for account, thread, at in self._rows("account, thread, last_seen_at", self._since):
            if account in self._accounts:
                root = origins.root(thread) if thread in started else thread
                known = last.get(root)
                if known is None:
                    first[root] = last[root] = at
                elif at > known:
                    last[root] = at
                elif at < first[root]:
                    first[root] = at
        return _SessionTimes(first, last)

    def threads(self, last_used: float, is_wanted: Callable[[str], bool] | None = None) -> list[Thread]:
        """Return the threads that were last used at a time or later, or those of them that are wanted."""
        rows = [
            row
            for row in self._rows(
                "account, thread, is_session, name, first_seen_at, last_seen_at", last_used, _IN_ORDER
            )
            if row[0] in self._accounts and (is_wanted is None or is_wanted(row[1]))
        ]
        if not rows:
            return []
        wanted = {row[1] for row in rows} if is_wanted else None
        uses = load_thread_uses(self._connection, list(self._accounts), self._since, self._kind, wanted)
        accounts = list(self._accounts.values())
        points = load_thread_points(self._connection, self._now, accounts=accounts, since=self._since, threads=wanted)
        found: dict[str, Thread] = {}
        for account, thread, is_session, name, first_at, last_at in rows:
            use = uses.get((account, thread), ThreadUse())
            one = Thread(thread, name, (self._accounts[account],), first_at, last_at, bool(is_session), use)
            if thread in found:
                newer = found[thread]
                found[thread] = newer.with_use(one)._replace(name=newer.name or name)
            else:
                found[thread] = one._replace(points=points.get(thread, 0.0))
        return list(found.values())

    def _rows(self, columns: str, last_used: float, order: str = "") -> Iterable[tuple[Any, ...]]:
        accounts_in, ids = is_among("account", self._accounts)
        query = f"SELECT {columns} FROM threads WHERE last_seen_at >= ? AND {accounts_in} {order}"  # noqa: S608 (marks)
        return tuple_cursor(self._connection).execute(query, (last_used, *ids))


_IN_ORDER = "ORDER BY last_seen_at DESC, thread, account"


def _known(connection: Connection, sums: Mapping[str, Thread], thread: str, started: Thread) -> Thread:
    """Return a thread that started another; one without use in the time range has the times of the other."""
    if thread in sums:
        return sums[thread]
    row = connection.execute("SELECT max(name) FROM threads WHERE thread = ?", (thread,)).fetchone()
    return Thread(thread, row[0], (), started.first_seen_at, started.last_seen_at)


def _entry(thread: Thread, kind: str | None) -> ThreadBranch:
    return {
        "thread": thread.thread,
        "is_session": thread.is_session,
        "name": thread.name,
        "accounts": [account.key for account in thread.accounts],
        "turns": thread.use.turns,
        "imported_turns": thread.use.imported_turns,
        "input_tokens": thread.use.input_tokens,
        "cached_tokens": thread.use.cached_tokens,
        "output_tokens": thread.use.output_tokens,
        "points": thread.points,
        "first_seen_at": thread.first_seen_at,
        "last_seen_at": thread.last_seen_at,
        "title": None,
        "folder": None,
        "project": None,
        "kind": kind,
        "parent": None,
        "depth": 0,
    }


def thread_names(connection: Connection) -> list[tuple[str, str | None]]:
    """Return the id and the name of every thread, the newest first."""
    rows = connection.execute(
        "SELECT thread, max(name) FROM threads GROUP BY thread ORDER BY max(last_seen_at) DESC, thread"
    )
    return [(thread, name) for thread, name in rows]


def find_thread(connection: Connection, prefix: str) -> tuple[str, str | None]:
    """Return id and name of the thread whose id or name begins with `prefix`; an exact match comes first.

    Raises:
        ThreadError: `prefix` matches no thread, or several.

    """
    known = thread_names(connection)
    found = matching(known, prefix, lambda each: [word for word in each if word is not None])
    if len(found) == 1:
        return found[0]
    if found:
        raise ThreadError(f"{prefix!r} matches several threads:\n{_listed(found)}")
    if known:
        raise ThreadError(f"no thread matches {prefix!r}; the newest are:\n{_listed(known)}")
    raise ThreadError(f"no thread matches {prefix!r}; none has been seen yet")


def is_thread_name(connection: Connection, name: str, *, but: str) -> bool:
    """Return True if a thread other than `but` already has the name."""
    row = connection.execute("SELECT 1 FROM threads WHERE name = ? AND thread != ?", (name, but)).fetchone()
    return row is not None


def _listed(found: list[tuple[str, str | None]]) -> str:
    lines = ["  " + "  ".join(part for part in (name, thread) if part) for thread, name in found[:MAX_CANDIDATES]]
    more = len(found) - len(lines)
    return "\n".join([*lines, f"  and {more} more"] if more else lines)
