"""The accounts, and the one that a person means by a prefix."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.ranking import label
from store.queries.prefix_match import matching

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from store.documents import AccountReference

MAX_KEY_SHOWN = 28
"""Characters of an account's key in a list of candidates."""


class Account(NamedTuple):
    """An account. ``token_keys`` has the newest first; timestamps are Unix seconds."""

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
        """What people call the account."""
        return label(self.reference)

    @property
    def reference(self) -> AccountReference:
        """The account as documents refer to it."""
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
    """Return all accounts in the order in which they were first seen."""
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


def in_order(accounts: Iterable[Account]) -> list[Account]:
    """Return accounts, each once, in the order in which they were first seen."""
    return sorted(set(accounts), key=attrgetter("id"))


def find_account(known: Sequence[Account], prefix: str) -> Account:
    """Return the account whose name, e-mail, key or token key begins with `prefix`; an exact match comes first.

    Raises:
        AccountError: `prefix` matches no account, or several.

    """
    found = matching(known, prefix, _names)
    if len(found) == 1:
        return found[0]
    if found:
        raise AccountError(f"{prefix!r} matches several accounts", found, is_ambiguous=True)
    raise AccountError(f"no account matches {prefix!r}" + ("" if known else "; none has been seen yet"), known)


class AccountCounts(NamedTuple):
    """The number of rows stored for an account."""

    snapshots: int
    limits: int
    tokens: int


def account_counts(connection: sqlite3.Connection, account: Account) -> AccountCounts:
    """Count the rows that are deleted with an account."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE account = :id),"
        " (SELECT count(*) FROM limits WHERE account = :id), (SELECT count(*) FROM tokens WHERE account = :id)",
        {"id": account.id},
    ).fetchone()
    return AccountCounts(*row)


def _names(account: Account) -> list[str]:
    return [name for name in (account.name, account.email, account.key, *account.token_keys) if name]


def _listed(account: Account) -> str:
    parts = (account.name, account.email, account.key[:MAX_KEY_SHOWN], *account.token_keys[:1])
    return "  " + "  ".join(part for part in parts if part)
