"""What is kept of token rates: what a token costs each account at the beginning of a day, for ``next``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.token_weights import fit_days
from store.constants import MAIN_LIMIT
from store.kept.kind import Kind, Piece
from store.kept.reading import ask_kept
from store.queries.accounts import load_accounts
from store.queries.usage_rows import Place, Rate, limit_windows, rate_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.connection import Connection
    from store.kept.kind import Kept

_DAY_SECONDS = 86_400


def kept_rates(connection: Connection, now: float) -> Mapping[tuple[int, str], Rate]:
    """Return the rates that hold on the day of `now`, by the account's id and the slot of its window."""
    return ask_kept(connection, RATES, lambda kept: dict(_rates(kept, fit_days(now)[1]))) or {}


def has_rates(connection: Connection, now: float) -> bool:
    """Return True if the rates of the day of `now` are kept."""
    return bool(kept_rates(connection, now))


def _rates(kept: Kept, day: float) -> list[tuple[tuple[int, str], Rate]]:
    rows = kept.connection.execute("SELECT account, slot, rate, is_settled FROM token_rates WHERE at = ?", (day,))
    known = [account for account, coverage in kept.coverage.items() if coverage.since < day <= coverage.until]
    return [
        ((account, slot), Rate(rate, bool(is_settled))) for account, slot, rate, is_settled in rows if account in known
    ]


def _fill(piece: Piece) -> float:
    accounts = [account for account in load_accounts(piece.source) if account.id == piece.account]
    windows = limit_windows(piece.source, accounts, MAIN_LIMIT)[piece.account]
    rows = [
        (piece.account, piece.until, slot, *rate_at(piece.source, Place(piece.account, MAIN_LIMIT, slot), piece.until))
        for slot in windows
    ]
    piece.kept.executemany("INSERT INTO token_rates VALUES (?, ?, ?, ?, ?)", rows)
    return piece.until


RATES = Kind(
    "token",
    2,
    {"token_rates": "slot TEXT NOT NULL, rate REAL, is_settled INTEGER NOT NULL"},
    _fill,
    step=_DAY_SECONDS,
    final=0.0,
)
"""The rate at the end of each piece; a turn that arrives late is found by its start."""
