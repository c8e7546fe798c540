"""What threads used by their turns, whatever limit these were charged to, and where threads come from."""

# ruff: noqa: S608 (all statements are made of constants, and of the slot of a kind)
from __future__ import annotations

import json
import math
import operator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from store.analysis.thread_tree import ThreadOrigin
from store.analysis.usage_cells import QUARTER_SECONDS
from store.kept.kind import ceil_to
from store.kept.reading import ask_kept
from store.queries.cursors import tuple_cursor
from store.queries.kept_usage import DAY_SECONDS
from store.queries.kept_usage_parts import KeptSpan, are_many_days, split
from store.queries.usage_rows import SESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from store.connection import Connection
    from store.kept.kind import Kept, Kind

T = TypeVar("T")


class ThreadUse(NamedTuple):
    """What a thread used in a time range: its answered turns, and the tokens of all of its turns."""

    turns: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    imported_turns: int = 0

    def plus(self, other: ThreadUse) -> ThreadUse:
        """Return the sum of two uses."""
        return ThreadUse(*map(operator.add, self, other))


def load_thread_uses(
    connection: Connection,
    accounts: Sequence[int],
    since: float,
    kind: Kind | None = None,
    threads: Collection[str] | None = None,
) -> dict[tuple[int, str], ThreadUse]:
    """Return what threads used since `since` (Unix seconds), by the id of the account's row and the thread.

    What is kept of a kind of use is read of some threads alone, where these are given.
    """

    def load(kept: Kept | None) -> dict[tuple[int, str], ThreadUse]:
        found: dict[tuple[int, str], ThreadUse] = {}
        execute = tuple_cursor(connection).execute
        for account, span, rest in _parts(accounts, since, kept):
            for first, last in rest:
                _add(found, account, execute(_USES, {"account": account, "since": first, "until": last}))
            if kept and kind and span:
                apart, days = split([span], DAY_SECONDS)
                for table, spans in (("turns", apart), ("daily_threads", days)):
                    among = "" if threads is None else _AMONG.format("" if are_many_days(spans) else "+")
                    query = _KEPT_USES.format(f"{kind.name}_{table}", among)
                    values = {"account": account, "spans": json.dumps(spans), "threads": json.dumps([*(threads or ())])}
                    _add(found, account, kept.connection.execute(query, values))
        return found

    return _ask(connection, kind, load)


def load_thread_origins(
    connection: Connection, accounts: Sequence[int], since: float, kind: Kind | None = None
) -> list[ThreadOrigin]:
    """Return where the threads of sub-agents come from, by their turns since `since` (Unix seconds).

    They are in the order of the accounts, and those of each in the order of time.
    """

    def load(kept: Kept | None) -> list[ThreadOrigin]:
        found: dict[ThreadOrigin, tuple[int, int]] = {}
        execute = tuple_cursor(connection).execute
        for place, (account, span, rest) in enumerate(_parts(accounts, since, kept)):
            rows: list[tuple[str, str, str, str, float]] = []
            for first, last in rest:
                rows += execute(_ORIGINS, {"account": account, "since": first, "until": last})
            if kept and kind and span:
                query = _KEPT_ORIGINS.format(f"{kind.name}_origins")
                rows += kept.connection.execute(query, (QUARTER_SECONDS, account, span.since, span.until))
            for *words, at in rows:
                origin, first_at = ThreadOrigin(*words), (place, int(at // QUARTER_SECONDS))
                found[origin] = min(first_at, found.get(origin, first_at))
        return sorted(found, key=lambda each: (found[each], tuple(word or "" for word in each)))

    return _ask(connection, kind, load)


def _ask(connection: Connection, kind: Kind | None, load: Callable[[Kept | None], T]) -> T:
    found = ask_kept(connection, kind, load) if kind else None
    return load(None) if found is None else found


class _Part(NamedTuple):
    """An account, the time that is read of what is kept, and the times that the rows of the database are read for."""

    account: int
    kept: KeptSpan | None
    rest: Sequence[tuple[float, float]]


def _parts(accounts: Sequence[int], since: float, kept: Kept | None) -> Iterator[_Part]:
    for account in accounts:
        coverage = kept.coverage.get(account) if kept else None
        span = coverage and KeptSpan(max(coverage.since, ceil_to(QUARTER_SECONDS, since)), coverage.until)
        if span and span.since < span.until:
            yield _Part(account, span, [(since, span.since), (span.until, math.inf)])
        else:
            yield _Part(account, None, [(since, math.inf)])


def _add(
    found: dict[tuple[int, str], ThreadUse], account: int, rows: Iterable[tuple[str, int, int, int, int, int]]
) -> None:
    for thread, *sums in rows:
        use, known = ThreadUse(*sums), found.get((account, thread))
        found[account, thread] = known.plus(use) if known else use


_ANSWERED = "CASE WHEN warm_up = 0 AND coalesce(status, 0) < 400 THEN 1 ELSE 0 END"
_WITHIN = "account = :account AND ended_at >= :since AND ended_at < :until"
_USES = f"""
SELECT coalesce(thread, session) AS shown, sum({_ANSWERED}), coalesce(sum(input_tokens), 0),
       coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0), sum(imported * {_ANSWERED})
FROM requests WHERE {_WITHIN} AND coalesce(thread, session) IS NOT NULL GROUP BY shown
"""
_ORIGINS = f"""
SELECT coalesce(thread, session), {SESSION}, parent_thread, subagent, min(ended_at)
FROM requests WHERE {_WITHIN} AND (parent_thread IS NOT NULL OR subagent IS NOT NULL) GROUP BY 1, 2, 3, 4
"""
_KEPT_USES = """
SELECT c.thread, sum(c.turns), sum(c.input_tokens), sum(c.cached_tokens), sum(c.output_tokens), sum(c.imported_turns)
FROM json_each(:spans) s CROSS JOIN {} c
ON c.account = :account AND c.at > json_extract(s.value, '$[0]') AND c.at <= json_extract(s.value, '$[1]')
WHERE c.thread IS NOT NULL {} GROUP BY c.thread
"""
_AMONG = "AND {}c.thread IN (SELECT value FROM json_each(:threads))"
"""With a plus, which keeps SQLite from the index of threads, or without."""
_KEPT_ORIGINS = """
SELECT thread, session, parent_thread, subagent, min(at) - ? FROM {}
WHERE account = ? AND at > ? AND at <= ? AND at = ended_at GROUP BY 1, 2, 3, 4
"""
