"""What an agent can ask: ``limits``, ``forecast``, ``usage`` and ``guard``, as small documents with a short text.

Each call opens the database anew, so that one that is made, replaced or migrated later is found. No document has an
e-mail, a title or a folder, unless that is asked for.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from scripts.codex_files.login import find_login
from scripts.codex_files.names import name_usage, projects_of
from scripts.render import forecast as forecast_words
from scripts.render.console import window_length
from scripts.render.thread_labels import short_ids
from scripts.support.database import account_status, session
from scripts.support.errors import NOTHING_YET, RUN_ONCE
from scripts.support.sanitize import sanitize
from scripts.support.timespec import parse_since
from store.analysis.formatting import amount, clock_time, duration, percent
from store.analysis.guard import GuardPolicy, GuardVerdict, verdict
from store.errors import DatabaseError, MissingError
from store.queries.accounts import AccountError
from store.queries.forecast import load_forecasts
from store.queries.usage import NotSeenError, load_usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.support.database import Selected
    from scripts.support.place import Place
    from store.documents import (
        AccountStatus,
        AgentAnswer,
        AgentForecast,
        AgentForecastWindow,
        AgentGuard,
        AgentLimit,
        AgentLimits,
        AgentUsage,
        AgentUsageRow,
        AgentWindow,
        LimitStatus,
        UsageDocument,
        UsageRow,
        WindowForecast,
        WindowStatus,
    )

UsageBy = Literal["model", "effort", "thread", "project", "subagent", "day", "hour"]

MAX_ROWS = 12
"""Rows of ``usage``: an agent reads each of them."""

_WRAP_UP = (
    "Wrap up: finish the step under way, commit or save it, and tell the user what is left to do and when the limit"
    " resets. Start no sub-agents and no long task; use a lower effort or a smaller model for what cannot wait."
)
_ADVICE = {
    "go": "Go on.",
    "below": _WRAP_UP,
    "old": "Nobody knows what is left: go on in small steps, and save each of them.",
    "unknown": "Nobody knows what is left: go on in small steps, and save each of them.",
}

Document = TypeVar("Document")


class ToolError(Exception):
    """A question that cannot be answered; the message says why, without an e-mail or a folder."""


class Reply(NamedTuple, Generic[Document]):
    """A document, and the same in a few words."""

    document: Document
    text: str


class AgentTools:
    """The tools, over the database at a path."""

    def __init__(self, place: Place, environ: Mapping[str, str], *, names_on: bool = True) -> None:
        """Create the tools.

        Args:
            place: the database, which may be made later.
            environ: says where Codex's own files are.
            names_on: whether titles and folders may be told to who asks for them.
        """
        self._place = place
        self._environ = environ
        self._names_on = names_on

    def limits(self, account: str | None = None, *, include_names: bool = False) -> Reply[AgentLimits]:
        """Return what is left of each limit of an account.

        Raises:
            ToolError: There is no such account, or the database cannot be read.
        """
        selected = self._account(account, include_names=include_names)
        answer = _answer(selected, include_names=include_names)
        found = selected.status["limits"] if selected.status else []
        document: AgentLimits = {**answer, "limits": [_limit(limit) for limit in found]}
        return Reply(document, self._said(answer, "; ".join(map(_limit_words, found))))

    def forecast(self, account: str | None = None, *, include_names: bool = False) -> Reply[AgentForecast]:
        """Return when each window of an account's limits runs out.

        Raises:
            ToolError: There is no such account, or the database cannot be read.
        """
        selected = self._account(account, include_names=include_names)
        answer = _answer(selected, include_names=include_names)
        windows: list[AgentForecastWindow] = []
        if selected.status:
            with (
                self._problems(include_names=include_names),
                session(self._place, [selected.status["account"]]) as found,
            ):
                now = time.time()
                (forecasts,) = load_forecasts(found.connection, now, found.accounts)["accounts"]
            windows = [
                _forecast(limit["limit_id"], slot, window, now)
                for limit in forecasts["limits"]
                for slot, window in limit["windows"].items()
            ]
        document: AgentForecast = {**answer, "windows": windows}
        words = (f"{each['limit_id']} {each['window']}: {each['text']}" for each in windows)
        return Reply(document, self._said(answer, "; ".join(words)))

    def usage(
        self,
        by: UsageBy = "model",
        since: str = "24h",
        account: str | None = None,
        *,
        include_names: bool = False,
    ) -> Reply[AgentUsage]:
        """Return what used the longest usual window of an account's main limit since a time (``24h``, ``2026-11-20``).

        Raises:
            ToolError: There is no such account or time, the database cannot be read, or projects were asked for
                without names.
        """
        if by == "project" and not (include_names and self._names_on):
            raise ToolError("a project is known by its folder or repository: ask with include_names")
        now = time.time()
        try:
            begin = parse_since(since, now)
        except ValueError as error:
            raise ToolError(str(error)) from None
        selected = self._account(account, include_names=include_names)
        answer = _answer(selected, include_names=include_names)
        found = self._usage(selected.status, by, begin, now, include_names=include_names) if selected.status else None
        rows = sorted(found["rows"], key=lambda row: -row["points"]) if found else []
        document: AgentUsage = {
            **answer,
            "window": found["length"] or found["window"] if found else None,
            "since": begin,
            "by": by,
            "points": round(found["total"]["points"], 2) if found else 0.0,
            "turns": found["total"]["turns"] if found else 0,
            "rows": [_usage_row(row, include_names=include_names) for row in rows[:MAX_ROWS]],
            "left_out": max(0, len(rows) - MAX_ROWS),
        }
        return Reply(document, self._said(answer, _usage_words(document)))

    def guard(
        self,
        min_remaining: float = 10.0,
        window: str | None = None,
        account: str | None = None,
        *,
        include_names: bool = False,
    ) -> Reply[AgentGuard]:
        """Return whether at least `min_remaining` percent of a window, or of each window, are left.

        Raises:
            ToolError: There is no such account, or the database cannot be read.
        """
        selected = self._account(account, include_names=include_names)
        answer = _answer(selected, include_names=include_names)
        found = (
            verdict(selected.status, GuardPolicy(window, min_remaining))
            if selected.status
            else GuardVerdict("unknown", self._unseen(answer))
        )
        document: AgentGuard = {
            **answer,
            "answer": found.answer,
            "reason": found.reason,
            "advice": _ADVICE[found.answer],
            "window": found.length or found.window,
            "remaining_percent": found.remaining_percent,
            "min_remaining": min_remaining,
            "resets_at": found.resets_at,
            "age_seconds": found.age_seconds,
        }
        return Reply(document, f"{found.answer}: {sanitize(found.reason)}. {_ADVICE[found.answer]}")

    def _account(self, prefix: str | None, *, include_names: bool) -> Selected:
        """Return the account that a prefix matches, else the one that is logged in, else the one seen last."""
        workspace = None if prefix else find_login(self._environ).account_id
        with self._problems(include_names=include_names):
            return account_status(self._place, prefix, workspace)

    def _usage(
        self, status: AccountStatus, by: UsageBy, begin: float, now: float, *, include_names: bool
    ) -> UsageDocument | None:
        with self._problems(include_names=include_names), session(self._place, [status["account"]]) as found:
            try:
                document = load_usage(
                    found.connection, now, accounts=found.accounts, by=by, since=begin, projects_of=projects_of
                )
            except NotSeenError:
                return None
        return name_usage(document, self._environ) if include_names and self._names_on else document

    @contextlib.contextmanager
    def _problems(self, *, include_names: bool) -> Iterator[None]:
        """Turn expected failures into problems that may be told."""
        try:
            yield
        except AccountError as error:
            raise ToolError(str(error) if include_names else error.summary) from None
        except (DatabaseError, MissingError, sqlite3.Error, OSError) as error:
            reason = str(error) if include_names else str(error).replace(str(self._place), "the database")
            raise ToolError(f"the database cannot be used: {sanitize(reason)}") from None

    def _said(self, answer: AgentAnswer, words: str) -> str:
        if not answer["known"]:
            return self._unseen(answer)
        return f"{sanitize(answer['account'] or '')}: {words or 'no limits reported'}"

    @staticmethod
    def _unseen(answer: AgentAnswer) -> str:
        if answer["chosen_by"] == "codex_home":
            return f"The account that Codex is logged in with has not been seen yet. {RUN_ONCE}"
        return NOTHING_YET


def _answer(selected: Selected, *, include_names: bool) -> AgentAnswer:
    who = selected.status
    label = None if who is None else who["label"] if include_names else who["name"] or who["account"]
    return {"known": who is not None, "account": label, "chosen_by": selected.by}


def _limit(limit: LimitStatus) -> AgentLimit:
    return {
        "limit_id": limit["limit_id"],
        "name": limit["limit_name"],
        "state": limit["state"],
        "opens_at": limit["state_until"],
        "age_seconds": limit["age_seconds"],
        "windows": [_window(slot, window) for slot, window in limit["windows"].items()],
    }


def _window(slot: str, window: WindowStatus) -> AgentWindow:
    seconds = window["resets_in_seconds"]
    return {
        "window": window["length"] or slot,
        "used_percent": window["used_percent"],
        "remaining_percent": window["remaining_percent"],
        "resets_at": window["resets_at"],
        "resets_in_minutes": None if seconds is None else seconds // 60,
    }


def _limit_words(limit: LimitStatus) -> str:
    windows = ", ".join(_window_words(slot, window) for slot, window in limit["windows"].items())
    state = "" if limit["state"] == "open" else f" ({limit['state'].replace('_', ' ')})"
    return f"{sanitize(limit['limit_id'])}{state} {windows or 'no windows reported'}"


def _window_words(slot: str, window: WindowStatus) -> str:
    left = f"{window_length(slot, window['window_minutes'])} {percent(window['remaining_percent'])} left"
    seconds = window["resets_in_seconds"]
    return f"{left}, resets in {duration(seconds)}" if seconds else left


def _forecast(limit_id: str, slot: str, window: WindowForecast, now: float) -> AgentForecastWindow:
    chance, at_reset = window["chance_dry"], window["at_reset"]
    return {
        "limit_id": limit_id,
        "window": window["length"] or slot,
        "used_percent": window["used_percent"],
        "chance_dry_percent": None if chance is None else round(100 * chance, 1),
        "runs_dry_at": window["runs_dry_at"],
        "at_reset_percent": None if at_reset is None else round(min(at_reset, 100.0), 1),
        "resets_at": window["resets_at"],
        "text": forecast_words.words(window, now),
    }


def _usage_row(row: UsageRow, *, include_names: bool) -> AgentUsageRow:
    return {
        "key": row["key"],
        "points": round(row["points"], 2),
        "turns": row["turns"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "title": row["title"] if include_names else None,
        "folder": row["folder"] if include_names else None,
    }


def _usage_words(document: AgentUsage) -> str:
    if not document["rows"]:
        return "no usage in that time range"
    short = short_ids(row["key"] for row in document["rows"] if row["key"]) if document["by"] == "thread" else {}
    rows = ", ".join(
        f"{sanitize(row['title'] or short.get(row['key'] or '', row['key'] or 'elsewhere'))}"
        f" {row['points']:.1f} points in {amount(row['turns'])} turns"
        for row in document["rows"][:3]
    )
    since = clock_time(document["since"])
    return f"{document['points']:.1f} points of the {document['window'] or '?'} window since {since}; most: {rows}"
