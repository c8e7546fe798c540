"""Which accounts are there, and which one is meant?"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from store.queries.prefix_match import matching

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

KEY_SHOWN = 28
"""Characters of an account's key that a list of candidates shows."""


class Account(NamedTuple):
    """An account, as people and programs name it."""

    id: int
    key: str
    name: str | None
    email: str | None
    plan_type: str | None
    token_keys: tuple[str, ...]
    first_seen_at: float
    last_seen_at: float

    @property
    def label(self) -> str:
        """What a person calls it: its name, else its e-mail, else its key."""
        return self.name or self.email or self.key

    @property
    def named(self) -> dict[str, str | None]:
        """How documents name it: ``{"account": key, "name": str | null, "email": str | null}``."""
        return {"account": self.key, "name": self.name, "email": self.email}


class AccountError(Exception):
    """A prefix does not match exactly one account; the message lists the candidates.

    Args:
        summary: the first line of the message, without the list.
        candidates: the accounts that match, or all accounts if none matches.
        is_ambiguous: whether several match.
    """

    def __init__(self, summary: str, candidates: Sequence[Account], *, is_ambiguous: bool = False) -> None:
        heading = f"{summary}:" if is_ambiguous else f"{summary}; there are:" if candidates else summary
        super().__init__("\n".join([heading, *map(_listed, candidates)]))
        self.summary, self.candidates, self.is_ambiguous = summary, candidates, is_ambiguous


def load_accounts(connection: sqlite3.Connection) -> list[Account]:
    """Return all accounts in the order in which they were first seen, the newest of their tokens first."""
    tokens: dict[int, list[str]] = {}
    for row in connection.execute("SELECT account, token_key FROM tokens ORDER BY last_seen_at DESC, rowid DESC"):
        tokens.setdefault(row["account"], []).append(row["token_key"])
    rows = connection.execute(
        "SELECT a.*, s.plan_type FROM accounts a LEFT JOIN snapshots s ON s.id = a.snapshot_id ORDER BY a.id"
    )
    return [
        Account(
            id=row["id"],
            key=f"{row['account_id']}/{row['user_id']}".strip("/"),
            name=row["name"],
            email=row["email"],
            plan_type=row["plan_type"],
            token_keys=tuple(tokens.get(row["id"], ())),
            first_seen_at=row["first_seen_at"],
            last_seen_at=row["last_seen_at"],
        )
        for row in rows
    ]


def refresh(connection: sqlite3.Connection, chosen: Sequence[Account] | None) -> list[Account]:
    """Return the chosen accounts as they are at present, in the order of choice; without a choice, all there are.

    They are read again: their plan is to be of one moment with the rest. Those forgotten meanwhile are left out.
    """
    known = load_accounts(connection)
    if chosen is None:
        return known
    by_id = {account.id: account for account in known}
    return [by_id[account.id] for account in chosen if account.id in by_id]


def refresh_sorted(connection: sqlite3.Connection, chosen: Sequence[Account] | None) -> list[Account]:
    """Return the same, each once and in the order in which they were first seen."""
    return sorted(set(refresh(connection, chosen)), key=attrgetter("id"))


def find_account(known: Sequence[Account], start: str) -> Account:
    """Return the account of which `start` is a name, or the start of a name, an e-mail, a key or a token key.

    Raises:
        AccountError: No account or more than one goes by that.

    """
    found = matching(known, start, _names)
    if len(found) == 1:
        return found[0]
    if found:
        raise AccountError(f"{start!r} matches several accounts", found, is_ambiguous=True)
    raise AccountError(f"no account matches {start!r}" + ("" if known else "; none has been seen yet"), known)


class AccountCounts(NamedTuple):
    """How much is kept of an account."""

    snapshots: int
    limits: int
    tokens: int


def account_counts(connection: sqlite3.Connection, account: Account) -> AccountCounts:
    """Answer "what would be forgotten with it?"."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE account = :id),"
        " (SELECT count(*) FROM limits WHERE account = :id), (SELECT count(*) FROM tokens WHERE account = :id)",
        {"id": account.id},
    ).fetchone()
    return AccountCounts(*row)


def _names(account: Account) -> list[str]:
    return [name for name in (account.name, account.email, account.key, *account.token_keys) if name]


def _listed(account: Account) -> str:
    parts = (account.name, account.email, account.key[:KEY_SHOWN], *account.token_keys[:1])
    return "  " + "  ".join(part for part in parts if part)
