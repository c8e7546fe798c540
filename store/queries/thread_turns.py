"""What threads used by their turns, whatever limit these were charged to, and where threads come from."""

# ruff: noqa: S608 (all statements are made of constants, and of the slot of a kind)
from __future__ import annotations

import json
import math
import operator
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.thread_tree import ThreadOrigin
from store.analysis.usage_cells import QUARTER_SECONDS
from store.kept.kind import ceil_to
from store.kept.reading import ask_kept
from store.queries.cursors import tuple_cursor
from store.queries.kept_usage import KeptSpan, split_days
from store.queries.usage_rows import SESSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.connection import Connection
    from store.kept.kind import Kept, Kind


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


class ThreadTurns:
    """The turns of threads of several accounts.

    Attributes:
        uses: what each thread used, by the id of the account's row and the thread.
    """

    def __init__(self) -> None:
        self.uses: dict[tuple[int, str], ThreadUse] = {}
        self._origins: dict[ThreadOrigin, tuple[int, int]] = {}

    def add_uses(self, account: int, rows: Iterable[tuple[str, int, int, int, int, int]]) -> None:
        """Add what threads of an account used."""
        for thread, *sums in rows:
            use, known = ThreadUse(*sums), self.uses.get((account, thread))
            self.uses[account, thread] = known.plus(use) if known else use

    def add_origins(self, place: int, rows: Iterable[tuple[str, str, str, str, float]]) -> None:
        """Add where threads come from, as turns of an account say; `place` is the account's, and the last is when."""
        for *words, at in rows:
            origin, found = ThreadOrigin(*words), (place, int(at // QUARTER_SECONDS))
            self._origins[origin] = min(found, self._origins.get(origin, found))

    def origins(self) -> list[ThreadOrigin]:
        """Return where the threads of sub-agents come from, account by account, each in the order of time."""
        return sorted(self._origins, key=lambda each: (self._origins[each], tuple(word or "" for word in each)))


def load_thread_turns(
    connection: Connection, accounts: Sequence[int], since: float, kind: Kind | None = None
) -> ThreadTurns:
    """Return the turns of accounts since `since` (Unix seconds), with what is kept of a kind of use."""
    if kind:
        known = ask_kept(connection, kind, lambda kept: _load(connection, accounts, since, kept, f"{kind.name}_"))
        if known:
            return known
    return _load(connection, accounts, since)


def _load(
    connection: Connection, accounts: Sequence[int], since: float, kept: Kept | None = None, prefix: str = ""
) -> ThreadTurns:
    found = ThreadTurns()
    execute = tuple_cursor(connection).execute
    for place, account in enumerate(accounts):
        stretches = [(since, math.inf)]
        coverage = kept.coverage.get(account) if kept else None
        if kept and coverage:
            stretch = KeptSpan(max(coverage.since, ceil_to(QUARTER_SECONDS, since)), coverage.until)
            if stretch.since < stretch.until:
                _add_kept(kept, prefix, found, stretch, place=place, account=account)
                stretches = [(since, stretch.since), (stretch.until, math.inf)]
        for first, last in stretches:
            values = {"account": account, "since": first, "until": last}
            found.add_uses(account, execute(_USES, values))
            found.add_origins(place, execute(_ORIGINS, values))
    return found


def _add_kept(kept: Kept, prefix: str, found: ThreadTurns, stretch: KeptSpan, *, place: int, account: int) -> None:
    execute = kept.connection.execute
    apart, days = split_days([stretch])
    for table, spans in (("turns", apart), ("daily_turns", days)):
        values = {"account": account, "spans": json.dumps(spans)}
        found.add_uses(account, execute(_KEPT_USES.format(f"{prefix}{table}"), values))
    rows = execute(_KEPT_ORIGINS.format(f"{prefix}turns"), (account, stretch.since, stretch.until))
    found.add_origins(place, ((*words, at - QUARTER_SECONDS) for *words, at in rows))


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
WHERE c.thread IS NOT NULL GROUP BY c.thread
"""
_KEPT_ORIGINS = """
SELECT thread, session, parent_thread, subagent, min(at) FROM {}
WHERE account = ? AND at > ? AND at <= ? AND (parent_thread IS NOT NULL OR subagent IS NOT NULL) GROUP BY 1, 2, 3, 4
"""
