"""Numbers and names that recording and analysis share."""

from __future__ import annotations

MAIN_LIMIT = "codex"
"""Id of an account's main limit; further ones are ``codex_bengalfox``, ``code_review``, …"""

FULL_PERCENT = 100.0

RESET_JITTER_SECONDS = 60
"""Resets this close to each other are one reset."""

SKEW_SECONDS = 120
"""Distance above which the server's clock and ours differ."""


def is_zero(balance: str | None) -> bool:
    """Return True if a balance of credits is zero, with any number of digits."""
    return balance is not None and not balance.strip("0.")
