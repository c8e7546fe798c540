"""The closing line of ``codex-tap run``: how many turns were read, and what is left of their limits.

It never delays the end of the run: if the database cannot be read immediately, the line has no figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.support.database import open_for_reading
from scripts.support.output_queue import STDERR
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from scripts.launch.codex_env_file import Bypass
    from scripts.launch.held_proxy import Outcome
    from store.documents import AccountStatus, LimitStatus, WindowStatus
    from store.queries.accounts import Account


_LOCK_SECONDS = 0.2
_RECORD_SECONDS = 0.15  # time for the recorder of a running proxy to write the limits of the last response
_COLUMNS = 80  # of a terminal whose width is unknown


@dataclass(frozen=True)
class Counts:
    """The counts that a proxy reports at its end."""

    turns: int = 0
    limits: bool = False
    connections: int = 0
    watched: int = 0
    refused: int = 0
    token_keys: Sequence[str] = ()

    @classmethod
    def sum(cls, summaries: Sequence[str]) -> Counts:
        """Return the sum of the counts that several processes of a proxy reported as JSON."""
        every = [each for each in map(cls._parse, summaries) if each is not None]
        return cls(
            turns=sum(each.turns for each in every),
            limits=any(each.limits for each in every),
            connections=sum(each.connections for each in every),
            watched=sum(each.watched for each in every),
            refused=sum(each.refused for each in every),
            token_keys=[key for each in every for key in each.token_keys],
        )

    @classmethod
    def _parse(cls, summary: str) -> Counts | None:
        try:
            return cls(**json.loads(summary))
        except (ValueError, TypeError):
            return None


def is_shown(*, quiet: bool) -> bool:
    """Return True if stderr is a terminal; the line is not meant for files and programs."""
    return not quiet and sys.stderr is not None and sys.stderr.isatty()


def show_own(outcome: Outcome, database: Path, *, bypass: Bypass | None) -> None:
    """Print the line of a run with a proxy of its own.

    Args:
        outcome: what the proxy did.
        database: the file that it recorded to.
        bypass: the setting that makes Codex bypass the tap, if there is one.
    """
    with _ignore_errors():
        counts = Counts.sum(outcome.summaries)
        token_keys = set(counts.token_keys)
        accounts = _status(database, lambda each: not token_keys.isdisjoint(each.token_keys))
        failure = _decisive_failure(counts, outcome)
        begin = opening(counts, bypass=bypass, failure=failure)
        _print("; ".join([begin, *_disturbances(outcome, told=failure)]), accounts)


def problems(outcome: Outcome) -> str:
    """Return what went wrong with the proxy of a run, in one line; an empty text if nothing did."""
    return "; ".join(_disturbances(outcome))


class SharedProxyLine:
    """The line of a run through a running proxy: about all turns that are recorded during the run."""

    def __init__(self, database: Path) -> None:
        """Start to watch for turns.

        Args:
            database: the file that the proxy is assumed to record to.
        """
        self._database = database
        self._before: int | None = None
        with _ignore_errors():
            self._before = _newest_turn(database)

    def show(self) -> None:
        """Print the line, if any turn was recorded."""
        with _ignore_errors():
            if self._before is None:
                return
            time.sleep(_RECORD_SECONDS)
            turns = _turns_by_account(self._database, self._before)
            if turns:
                accounts = _status(self._database, lambda each: each.id in turns)
                _print(opening(Counts(turns=sum(turns.values()), limits=True)), accounts)


def opening(counts: Counts, *, bypass: Bypass | None = None, failure: str | None = None) -> str:
    """Return what was read, and if that is nothing, the likely reason.

    Args:
        counts: those of the proxy.
        bypass: the setting that makes Codex bypass the tap, if there is one.
        failure: why the proxy did not read the command's connections, if it failed to.
    """
    if counts.turns:
        return f"{counts.turns:,} turn{'' if counts.turns == 1 else 's'} read"
    if counts.limits:
        return "limits read, no turns"
    return f"nothing was read: {failure or _reason(counts, bypass)}"


def figures(
    accounts: Sequence[AccountStatus], now: float, zone: dt.tzinfo | None = None, *, tightest_only: bool = False
) -> list[str]:
    """Return the status of each account's main limit, with the account's name if there are several.

    Args:
        accounts: those of a ``status`` document.
        now: in Unix seconds.
        zone: the time zone of the output; None is the machine's own.
        tightest_only: leave out all windows but the tightest.
    """
    from store.analysis.account_limits import label, main_limit

    found = []
    for account in accounts:
        limit = main_limit(account)
        text = "; ".join(_limit_status(limit, now, zone, tightest_only=tightest_only)) if limit else ""
        if text:
            found.append(f"{label(account)}: {text}" if len(accounts) > 1 else text)
    return found


def _decisive_failure(counts: Counts, outcome: Outcome) -> str | None:
    """Return why nothing was read, if the proxy is the reason."""
    if counts.turns or counts.limits or counts.connections:
        return None
    if outcome.failures:
        return outcome.failures[-1]
    return "the proxy was not ready in time" if outcome.tunnelled else None


def _disturbances(outcome: Outcome, *, told: str | None = None) -> Iterator[str]:
    """Yield what the user may want to know of a proxy that was not always there, except what is ``told`` already."""
    last = outcome.failures[-1] if outcome.failures else None
    if last is not None and last != told:
        times = f" {outcome.restarts} times" if outcome.restarts > 1 else ""
        yield last + (f" and was started again{times}" if outcome.restarts and outcome.was_ready else "")
    if outcome.tunnelled:
        many = outcome.tunnelled != 1
        yield f"{outcome.tunnelled:,} connection{'s were' if many else ' was'} passed through unread"


def _reason(counts: Counts, bypass: Bypass | None) -> str:
    if counts.refused:
        return (
            "the command does not trust the proxy's certificate; "
            "it reads neither CODEX_CA_CERTIFICATE nor NODE_EXTRA_CA_CERTS"
        )
    if counts.watched:
        return "no response contained rate limits, which is normal with an API key or without a login"
    if bypass:
        return f"the command bypassed the proxy because of {bypass}"
    if counts.connections:
        return "the command connected only to hosts that are not watched; add a gateway with --host"
    return (
        "the command did not use the proxy: it made no connections, ignores HTTPS_PROXY, "
        "or used a Codex server that was already running"
    )


def _limit_status(limit: LimitStatus, now: float, zone: dt.tzinfo | None, *, tightest_only: bool) -> Iterator[str]:
    """Yield why a limit is blocked, then its windows without the one that blocks it."""
    from store.analysis.account_limits import STALE_SECONDS
    from store.analysis.formatting import duration
    from store.analysis.ranking import tightest_window

    blocked = _blocked(limit, now, zone)
    if blocked:
        yield blocked
    tight = tightest_window(limit)
    for slot, window in limit["windows"].items():
        if slot == limit["blocked_by"] or (tightest_only and tight and slot != tight.slot):
            continue
        yield _window(slot, window, now, zone)
    if limit["age_seconds"] >= STALE_SECONDS:
        yield f"seen {duration(limit['age_seconds'])} ago"


def _blocked(limit: LimitStatus, now: float, zone: dt.tzinfo | None) -> str | None:
    from store.analysis.account_limits import blocking_length
    from store.analysis.formatting import short_moment

    by, length = limit["blocked_by"], blocking_length(limit)
    if limit["state"] == "unknown" and any(window["reset_overdue"] for window in limit["windows"].values()):
        return "not known whether it is blocked"
    if by is None:
        return "used up, running on credits" if limit["state"] == "on_credits" else None
    if by == "credits":
        return "blocked, credits are used up"
    at = limit["state_until"]
    until = "" if at is None else f" until {short_moment(at, now, zone)}"
    if length:
        return f"blocked by {length}{until}"
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
    if resets_at is None:
        resets = ""
    elif window["reset_overdue"]:
        resets = f", was due {short_moment(resets_at, now, zone)}, not reset"
    else:
        resets = f", resets {short_moment(resets_at, now, zone)}"
    return f"{length} {percent(used)} used, {left} left{resets}"


def _status(database: Path, wanted: Callable[[Account], bool]) -> Sequence[AccountStatus]:
    """Return the ``status`` of the wanted accounts; an empty list if the database cannot be read immediately."""
    from store.queries.accounts import load_accounts
    from store.queries.status import load_status

    with contextlib.suppress(Exception), open_for_reading(database, _LOCK_SECONDS) as connection:
        chosen = [account for account in load_accounts(connection) if wanted(account)]
        if chosen:
            document = load_status(connection, time.time(), chosen)
            return document["accounts"]
    return []


def _newest_turn(database: Path) -> int:
    from store.errors import MissingError
    from store.queries.turns import newest_turn

    try:
        with open_for_reading(database, _LOCK_SECONDS) as connection:
            return newest_turn(connection)
    except MissingError:
        return 0


def _turns_by_account(database: Path, after: int) -> dict[int, int]:
    from store.queries.turns import count_turns, newest_turn

    turns: dict[int, int] = {}
    with open_for_reading(database, _LOCK_SECONDS) as connection:
        for count in count_turns(connection, after, newest_turn(connection)):
            if count.outcome != "warm_up":
                turns[count.account] = turns.get(count.account, 0) + count.turns
    return turns


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


def _ignore_errors() -> contextlib.suppress:
    """Suppress every error, and Ctrl-C: the command has ended, and only its exit code matters."""
    return contextlib.suppress(Exception, KeyboardInterrupt)
