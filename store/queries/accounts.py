"""The accounts, what each is called, and the one that a person means by a prefix.

What is shown as an account names exactly one: `find_account` leads from an account's key, and from its label, to this
account and no other. A label depends on all accounts, so `labelled` makes those of all at once.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from store.queries.prefix_match import matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import AccountReference

MAX_KEY_SHOWN = 28
"""Characters of an account's key in a list of candidates."""


class Account(NamedTuple):
    """An account. ``token_keys`` has the newest first; timestamps are Unix seconds.

    ``label`` is what people call the account: its name, else its e-mail, unless another account goes by that as well;
    then it is the key. ``merged`` has the keys of the accounts that were merged into this one.
    """

    id: int
    key: str
    name: str | None
    email: str | None
    plan_type: str | None
    token_keys: tuple[str, ...]
    first_seen_at: float
    last_seen_at: float
    label: str = ""
    merged: tuple[str, ...] = ()

    @property
    def reference(self) -> AccountReference:
        """The account as documents refer to it."""
        return {"account": self.key, "label": self.label, "name": self.name, "email": self.email}


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


def load_accounts(connection: Connection) -> list[Account]:
    """Return all accounts in the order in which they were first seen."""
    tokens: dict[int, list[str]] = {}
    for row in connection.execute(_NEWEST_TOKENS):
        tokens.setdefault(row["account"], []).append(row["token_key"])
    merged: dict[int, list[str]] = {}
    for row in connection.execute("SELECT account, account_id, user_id FROM merged_accounts"):
        merged.setdefault(row["account"], []).append(_key(row))
    rows = connection.execute(
        "SELECT a.*, s.plan_type FROM accounts a LEFT JOIN snapshots s ON s.account = a.id AND s.id = a.snapshot_id"
        " ORDER BY a.first_seen_at, a.id"
    )
    return labelled(
        Account(
            id=row["id"],
            key=_key(row),
            name=row["name"],
            email=row["email"],
            plan_type=row["plan_type"],
            token_keys=tuple(tokens.get(row["id"], ())),
            first_seen_at=row["first_seen_at"],
            last_seen_at=row["last_seen_at"],
            merged=tuple(merged.get(row["id"], ())),
        )
        for row in rows
    )


_NEWEST_TOKENS = (
    "SELECT account, token_key FROM tokens GROUP BY account, token_key"
    " ORDER BY max(last_seen_at) DESC, min(first_seen_at) DESC, token_key"
)
"""In a team's database each machine has its own row of a token."""


def _key(row: StoredRow) -> str:
    return f"{row['account_id']}/{row['user_id']}".strip("/")


def labelled(accounts: Iterable[Account]) -> list[Account]:
    """Return all accounts with their labels, and with keys that differ from each other."""
    known = list(accounts)
    keys = Counter(account.key for account in known)
    # Ids may be anything that a gateway sends: keys that are equal or no use in a command give way to the row's number.
    known = [
        account
        if keys[account.key] == 1 and _is_typable(account.key) and not account.key.startswith("#")
        else account._replace(key=f"#{account.id}")
        for account in known
    ]
    names = Counter(name for account in known for name in set(_names(account)))
    return [account._replace(label=_label(account, names)) for account in known]


def _label(account: Account, names: Counter[str]) -> str:
    found = (name for name in (account.name, account.email) if name and names[name] == 1 and _is_typable(name))
    return next(found, account.key)


def _is_typable(name: str) -> bool:
    """Return True if a name is printed as it is, and no command takes it for an option."""
    return name.isprintable() and name == name.strip() and name[:1] not in {"", "-"}


def in_order(accounts: Iterable[Account]) -> list[Account]:
    """Return accounts, each once, in the order in which they were first seen."""
    return sorted(set(accounts), key=attrgetter("first_seen_at", "id"))


def find_account(known: Sequence[Account], prefix: str) -> Account:
    """Return the account whose name, e-mail, key or token key begins with `prefix`; an exact match comes first.

    The key of an account that was merged into another leads to that one.

    Raises:
        AccountError: `prefix` matches no account, or several.

    """
    found = [account for account in known if account.key == prefix] or matching(known, prefix, _names)
    if len(found) == 1:
        return found[0]
    if found:
        raise AccountError(f"{prefix!r} matches several accounts", found, is_ambiguous=True)
    raise AccountError(f"no account matches {prefix!r}" + ("" if known else "; none has been seen yet"), known)


def workspace_accounts(connection: Connection, known: Sequence[Account], account_id: str) -> list[Account]:
    """Return the accounts with a ChatGPT account's id: one for each user of a workspace that was seen."""
    rows = connection.execute(
        "SELECT id FROM accounts WHERE account_id = :id"
        " UNION SELECT account FROM merged_accounts WHERE account_id = :id",
        {"id": account_id},
    )
    ids = {row[0] for row in rows}
    return [account for account in known if account.id in ids]


def account_ids(connection: Connection) -> set[int]:
    """Return the row ids of all accounts."""
    return {row[0] for row in connection.execute("SELECT id FROM accounts")}


class AccountCounts(NamedTuple):
    """The number of rows stored for an account."""

    snapshots: int
    limits: int
    tokens: int


def account_counts(connection: Connection, account: Account) -> AccountCounts:
    """Count the rows that are deleted with an account, or go over when it is merged into another."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE account = :id),"
        " (SELECT count(*) FROM limits WHERE account = :id), (SELECT count(*) FROM tokens WHERE account = :id)",
        {"id": account.id},
    ).fetchone()
    return AccountCounts(*row)


def _names(account: Account) -> list[str]:
    return [name for name in (account.name, account.email, account.key, *account.merged, *account.token_keys) if name]


def _listed(account: Account) -> str:
    # What is listed has to lead to the account: where only the key does, all of it is.
    key = account.key if account.label == account.key else account.key[:MAX_KEY_SHOWN]
    parts = (account.name, account.email, key, *account.token_keys[:1])
    return "  " + "  ".join(part for part in parts if part)
