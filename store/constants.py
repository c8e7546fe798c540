"""Numbers, names and small predicates that recording, analysis and commands share."""

from __future__ import annotations

import re
from typing import Literal, get_args

DOCUMENT_VERSION = 1
"""The version of the JSON documents of the CLI and the API (`store.documents`)."""

MAIN_LIMIT = "codex"
"""Id of an account's main limit; further ones are ``codex_bengalfox``, ``code_review``, …"""

MAIN_NAMES = frozenset({MAIN_LIMIT, "premium"})
"""The server's names of the main limit."""

BUDGET_LIMIT = "spend_control"
"""Id of the limit on what a member of a workspace may spend; it has amounts beside its percent."""

BUDGET_SLOT = "budget"
"""The slot of a budget's one window, whose length the server does not tell."""

MANY_ACCOUNTS = 200
"""Of more accounts than these, commands, the page and the metrics show an overview."""

MOST_PRESSED = 20
"""The accounts that an overview shows: those that need attention first."""

FULL_PERCENT = 100.0

RESET_JITTER_SECONDS = 60
"""Resets this close to each other are one reset."""

SKEW_SECONDS = 120
"""Distance above which the server's clock and ours differ."""

INTERRUPTED = "interrupted"
"""Our own error type of a turn whose end was never seen."""

EventKind = Literal[
    "limit_reached",
    "limit_freed",
    "window_reset",
    "window_reset_early",
    "banked_reset_used",
    "window_moved",
    "window_not_reset",
    "used_percent_fell",
    "window_appeared",
    "window_vanished",
    "plan_changed",
    "credits_bought",
    "credits_spent",
    "used_elsewhere",
    "token_refreshed",
]

EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
"""What can happen to an account and its limits; `store.analysis.events.KINDS` says what each means."""

GroupBy = Literal[
    "thread",
    "project",
    "model",
    "effort",
    "subagent",
    "tier",
    "client",
    "day",
    "week",
    "month",
    "hour",
    "account",
    "machine",
]

GROUP_BY: tuple[GroupBy, ...] = get_args(GroupBy)
"""What a row of `store.documents.UsageDocument` can stand for."""


SpeedBy = Literal["model", "hour", "day", "effort", "tier"]

SPEED_BY: tuple[SpeedBy, ...] = get_args(SpeedBy)
"""What a row of `store.documents.SpeedDocument` can stand for."""

_NOT_IN_IDS = r"[^a-z0-9_.]+"

MAX_TIMESTAMP = 32_503_680_000
"""The year 3000: the greatest timestamp that every system can show, and that is read from a file."""

MAX_PERCENT = 1_000_000_000
MAX_MINUTES = 10 * 366 * 24 * 60
"""The greatest used percent, and the greatest length of a window, that are read from a file."""


def limit_slug(name: str) -> str:
    """Return a limit's id as it follows from its name: lower case, ``-``, blanks and the like as ``_``."""
    return re.sub(_NOT_IN_IDS, "_", name.lower()).strip("_")


def is_full(used_percent: float | None) -> bool:
    """Return True if a window with this used percent is used up; an unknown percentage is not."""
    return used_percent is not None and used_percent >= FULL_PERCENT


def same_length(one: int, other: int) -> bool:
    """Return True if two lengths in minutes are one window's: the server rounds 10080 minutes to 10079."""
    return abs(one - other) <= 0.01 * max(one, other)


def is_zero(balance: str | None) -> bool:
    """Return True if a balance of credits is zero, however many digits it is written with; None is unknown."""
    return balance is not None and not balance.strip("0.")


def flag(value: int | None) -> bool | None:
    """Return the truth value that SQLite stores as 0 or 1; None stays None."""
    return None if value is None else bool(value)
