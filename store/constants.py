"""Numbers and names that recording and analysis share."""

from __future__ import annotations

MAIN_LIMIT = "codex"
"""Id of an account's main limit; further ones are ``codex_bengalfox``, ``code_review``, …"""

FULL_PERCENT = 100.0

RESET_JITTER_SECONDS = 60
"""Resets this close to each other are one reset."""

SKEW_SECONDS = 120
"""How far apart the server's clock and ours may be before they are held to differ."""


def is_zero(balance: str | None) -> bool:
    """Tell whether a balance of credits says that there are none, however many digits it says so with."""
    return balance is not None and not balance.strip("0.")
