"""The line at the end of ``codex-tap run``: how many turns were read, and what is left of their limits.

It waits for nothing and nobody: where the database cannot be read at once, the line has no figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.support.output_queue import STDERR
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from scripts.launch.codex_env_file import Bypass
    from store.documents import AccountStatus, LimitStatus, WindowStatus
    from store.queries.accounts import Account


_LOCK_SECONDS = 0.2
_RECORD_SECONDS = 0.15  # until a proxy's recorder has written what the command's last response told
_COLUMNS = 80  # of a terminal that does not tell its width


@dataclass(frozen=True)
class Counts:
    """What a proxy says at its end of what came through it."""

    turns: int = 0
    limits: bool = False
    connections: int = 0
    watched: int = 0
    refused: int = 0
    token_keys: Sequence[str] = ()

    @classmethod
    def parse(cls, summary: str | None) -> Counts | None:
        """Return the counts that the addon wrote, or None if it wrote none."""
        try:
            return cls(**json.loads(summary or ""))
        except (ValueError, TypeError):
            return None


def is_shown(*, quiet: bool) -> bool:
    """Return True if the line is for somebody: it is not for a file or a program that reads stderr."""
    return not quiet and sys.stderr is not None and sys.stderr.isatty()


def show_own(summary: str | None, database: Path, *, exit_code: int | None, bypass: Bypass | None) -> None:
    """Print the line of a run with a proxy of its own.

    Args:
        summary: what the proxy said at its end.
        database: where it recorded.
        exit_code: the proxy's own, if it ended before the command.
        bypass: the setting that makes Codex bypass the tap, if there is one.
    """
    with _nothing_fails():
        counts = Counts.parse(summary)
        seen = set(counts.token_keys) if counts else set()
        accounts = _status(database, lambda each: not seen.isdisjoint(each.token_keys))
        _print(opening(counts, exit_code=exit_code, bypass=bypass), accounts)


class SharedProxyLine:
    """The line of a run through a proxy that others use as well: it is about the turns recorded in the meantime."""

    def __init__(self, database: Path) -> None:
        """Begin.

        Args:
            database: where the proxy records, as far as is known.
        """
        self._database = database
        self._before: int | None = None
        with _nothing_fails():
            self._before = _newest_turn(database)

    def show(self) -> None:
        """Print the line, if any turn was recorded."""
        with _nothing_fails():
            if self._before is None:
                return
            time.sleep(_RECORD_SECONDS)
            turns = _turns_by_account(self._database, self._before)
            if turns:
                accounts = _status(self._database, lambda each: each.id in turns)
                _print(opening(Counts(turns=sum(turns.values()), limits=True)), accounts)


def opening(counts: Counts | None, *, exit_code: int | None = None, bypass: Bypass | None = None) -> str:
    """Return what was read, and if it was nothing, the likely reason; counts of None are those of a proxy that died."""
    turns = counts.turns if counts else 0
    read = f"{turns:,} turn{'' if turns == 1 else 's'} read"
    if exit_code is not None:
        ended = f"the proxy ended before the command (exit code {exit_code})"
        return f"{ended}, {read} until then" if turns else ended
    if counts is None:
        return "what was read is not known: the proxy did not tell it at its end"
    if turns:
        return read
    return "limits read, no turns" if counts.limits else f"nothing was read: {_reason(counts, bypass)}"


def figures(
    accounts: Sequence[AccountStatus], now: float, zone: dt.tzinfo | None = None, *, tightest_only: bool = False
) -> list[str]:
    """Return how the main limit of each account stands, with the account's name if there are several.

    Args:
        accounts: those of a ``status`` document.
        now: in Unix seconds.
        zone: of the times shown; None is the machine's own.
        tightest_only: leave out the other windows.
    """
    from store.analysis.ranking import label, main_limit

    found = []
    for account in accounts:
        limit = main_limit(account)
        words = "; ".join(_standing(limit, now, zone, tightest_only=tightest_only)) if limit else ""
        if words:
            found.append(f"{label(account)}: {words}" if len(accounts) > 1 else words)
    return found


def _reason(counts: Counts, bypass: Bypass | None) -> str:
    if counts.refused:
        return (
            "the command refused the proxy's certificate; it knows neither CODEX_CA_CERTIFICATE nor NODE_EXTRA_CA_CERTS"
        )
    if counts.watched:
        return "no response told of limits, as with an API key or without a login"
    if bypass:
        return f"the command bypassed the proxy because of {bypass}"
    if counts.connections:
        return "the command reached other hosts only; name a gateway with --host"
    return (
        "the command sent nothing through the proxy: it used no network, ignores HTTPS_PROXY, "
        "or left the work to a Codex server from before"
    )


def _standing(limit: LimitStatus, now: float, zone: dt.tzinfo | None, *, tightest_only: bool) -> Iterator[str]:
    """Yield what closes a limit, then its windows; one that closes it is not told twice."""
    from store.analysis.formatting import duration
    from store.analysis.ranking import STALE_SECONDS, tightest_window

    closed = _closed(limit, now, zone)
    if closed:
        yield closed
    tight = tightest_window(limit)
    for slot, window in limit["windows"].items():
        if slot == limit["blocked_by"] or (tightest_only and tight and slot != tight.slot):
            continue
        yield _window(slot, window, now, zone)
    if limit["age_seconds"] >= STALE_SECONDS:
        yield f"seen {duration(limit['age_seconds'])} ago"


def _closed(limit: LimitStatus, now: float, zone: dt.tzinfo | None) -> str | None:
    from store.analysis.formatting import short_moment, window_length
    from store.analysis.ranking import blocked_until

    by = limit["blocked_by"]
    if by is None:
        return "used up, running on credits" if limit["on_credits"] else None
    if by == "credits":
        return "blocked, credits are used up"
    at = blocked_until(limit)
    until = "" if at is None else f" until {short_moment(at, now, zone)}"
    if by in limit["windows"]:
        return f"blocked by {window_length(by, limit['windows'][by]['window_minutes'])}{until}"
    return f"refused{until or ' by the server'}"


def _window(slot: str, window: WindowStatus, now: float, zone: dt.tzinfo | None) -> str:
    from store.analysis.formatting import percent, rounded, short_moment, window_length

    length = window_length(slot, window["window_minutes"])
    used, resets_at = window["used_percent"], window["resets_at"]
    if window["reset_unseen"]:
        return f"{length} reset, not seen since"
    if used is None:
        return f"{length} {percent(used)} used"
    left = percent(max(0.0, 100 - rounded(used)))
    resets = "" if resets_at is None else f", resets {short_moment(resets_at, now, zone)}"
    return f"{length} {percent(used)} used, {left} left{resets}"


def _status(database: Path, wanted: Callable[[Account], bool]) -> Sequence[AccountStatus]:
    """Return the ``status`` of the wanted accounts; of none where the database cannot be read at once."""
    from store.queries.accounts import load_accounts
    from store.queries.status import load_status

    with contextlib.suppress(Exception), _opened(database) as connection:
        chosen = [account for account in load_accounts(connection) if wanted(account)]
        if chosen:
            document = load_status(connection, time.time(), chosen)
            return document["accounts"]
    return []


def _newest_turn(database: Path) -> int:
    from store.errors import MissingError
    from store.queries.turns import newest_turn

    try:
        with _opened(database) as connection:
            return newest_turn(connection)
    except MissingError:
        return 0


def _turns_by_account(database: Path, after: int) -> dict[int, int]:
    from store.queries.turns import count_turns, newest_turn

    turns: dict[int, int] = {}
    with _opened(database) as connection:
        for count in count_turns(connection, after, newest_turn(connection)):
            if count.outcome != "warm_up":
                turns[count.account] = turns.get(count.account, 0) + count.turns
    return turns


def _opened(database: Path) -> contextlib.closing[sqlite3.Connection]:
    from store.database import open_reader

    return contextlib.closing(open_reader(database, _LOCK_SECONDS))


def _print(begin: str, accounts: Sequence[AccountStatus]) -> None:
    now = time.time()
    line = _joined([begin, *figures(accounts, now)])
    if len(line) > _columns():
        line = _joined([begin, *figures(accounts, now, tightest_only=True)])
    STDERR.put(line)


def _joined(parts: Collection[str]) -> str:
    separator = " · "
    try:
        separator.encode(sys.stderr.encoding)
    except UnicodeEncodeError:
        separator = " - "
    return f"codex-tap: {sanitize(separator.join(parts))}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def _nothing_fails() -> contextlib.suppress:
    """Suppress whatever goes wrong, an impatient Ctrl-C included: the command has ended, and its exit code counts."""
    return contextlib.suppress(Exception, KeyboardInterrupt)
