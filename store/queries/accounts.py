"""The accounts, what each is called, and the one that a person means by a prefix.

What is shown as an account names exactly one: `find_account` leads from an account's key, and from its label, to this
account and no other. A label depends on all accounts, so `labelled` makes those of all at once.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.connection import is_file
from store.constants import MANY_ACCOUNTS
from store.queries.cursors import MAX_AMONG, is_among, tuple_cursor
from store.queries.prefix_match import matching

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import AccountReference

MAX_LISTED = 30
"""Candidates that an error lists."""

_MAX_MATCHES = 100
"""Accounts that are read for a prefix: more than one is an error, and it lists some of them."""

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
        more = ["  and more"] if len(candidates) > MAX_LISTED else []
        super().__init__("\n".join([heading, *map(_listed, candidates[:MAX_LISTED]), *more]))
        self.summary, self.candidates, self.is_ambiguous = summary, candidates, is_ambiguous


def count_accounts(connection: Connection) -> int:
    """Return the number of accounts."""
    return int(connection.execute("SELECT count(*) FROM accounts").fetchone()[0])


def are_many(connection: Connection) -> bool:
    """Return True if there are more accounts than are shown one by one."""
    return count_accounts(connection) > MANY_ACCOUNTS


def load_accounts(connection: Connection) -> list[Account]:
    """Return all accounts in the order in which they were first seen."""
    return labelled(_read(connection))


def load_some_accounts(connection: Connection, ids: Collection[int]) -> list[Account]:
    """Return the accounts with these row ids as `load_accounts` does, without reading all others."""
    if len(ids) > MAX_AMONG:
        return [account for account in load_accounts(connection) if account.id in ids]
    found = _read(connection, ids)
    return labelled([*found, *_namesakes(connection, found)])[: len(found)]


def _read(connection: Connection, ids: Collection[int] | None = None) -> list[Account]:
    """Return accounts without their labels, all or those with the given row ids."""

    def among(column: str) -> tuple[str, Sequence[int]]:
        return ("1 = 1", ()) if ids is None else is_among(column, ids)

    tokens: dict[int, list[str]] = {}
    accounts_in, values = among("account")
    # In a team's database each machine has its own row of a token.
    for row in connection.execute(
        f"SELECT account, token_key FROM tokens WHERE {accounts_in} GROUP BY account, token_key"  # noqa: S608 (marks)
        " ORDER BY max(last_seen_at) DESC, min(first_seen_at) DESC, token_key",
        values,
    ):
        tokens.setdefault(row["account"], []).append(row["token_key"])
    merged = _merged(connection)
    accounts_in, values = among("a.id")
    rows = connection.execute(
        "SELECT a.*, s.plan_type FROM accounts a LEFT JOIN snapshots s ON s.account = a.id AND s.id = a.snapshot_id"  # noqa: S608 (marks)
        f" WHERE {accounts_in} ORDER BY a.first_seen_at, a.id",
        values,
    )
    return [
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
    ]


def _merged(connection: Connection) -> dict[int, list[str]]:
    """Return by account the keys of those that were merged into it."""
    found: dict[int, list[str]] = {}
    for row in connection.execute("SELECT account, account_id, user_id FROM merged_accounts"):
        found.setdefault(row["account"], []).append(_key(row))
    return found


def _namesakes(connection: Connection, accounts: Sequence[Account]) -> list[Account]:
    """Return the other accounts that go by the name, e-mail or key of one of these: their labels depend on them."""
    own = {account.id for account in accounts}
    wanted = sorted({name for each in accounts for name in (each.name, each.email, each.key) if name})
    marks = ", ".join("?" * len(wanted)) or "NULL"
    found: dict[int, Account] = {}
    for row in connection.execute(
        f"SELECT {_NAMES} FROM accounts WHERE name IN ({marks}) OR email IN ({marks})"  # noqa: S608 (marks)
        f" OR trim(account_id || '/' || user_id, '/') IN ({marks})",
        [*wanted, *wanted, *wanted],
    ):
        found[row[0]] = _named(row)
    further = [
        (row["account"], row["token_key"])
        for row in connection.execute(
            f"SELECT account, token_key FROM tokens WHERE token_key IN ({marks})",  # noqa: S608 (marks)
            wanted,
        )
    ]
    further += [(account, key) for account, keys in _merged(connection).items() for key in keys if key in wanted]
    for account, name in further:
        other = found.get(account) or Account(account, f"#{account}", None, None, None, (), 0.0, 0.0)
        found[account] = other._replace(token_keys=(*other.token_keys, name))
    return [account for number, account in found.items() if number not in own]


_NAMES = "id, account_id, user_id, name, email"
_TEXTS = "(coalesce(name, '') || coalesce(email, '') || account_id || user_id)"
_MAY_BEGIN = " OR ".join(
    [
        *(f"substr(lower({name}), 1, :length) = :prefix" for name in ("name", "email")),
        "substr(lower(trim(account_id || '/' || user_id, '/')), 1, :length) = :prefix",
        "id IN (SELECT account FROM merged_accounts)",
        # Letters beyond ASCII have upper and lower cases that Python knows.
        f"octet_length({_TEXTS}) > length({_TEXTS})",
    ]
)


def _named(row: Sequence[Any]) -> Account:
    """Return an account of which only the names are read, without its label."""
    number, account_id, user_id, name, email = row
    return Account(number, f"{account_id}/{user_id}".strip("/"), name, email, None, (), 0.0, 0.0)


def _key(row: StoredRow) -> str:
    return f"{row['account_id']}/{row['user_id']}".strip("/")


def labelled(accounts: Iterable[Account]) -> list[Account]:
    """Return all accounts with their labels, and with keys that differ from each other."""
    known = _with_typable_keys(accounts)
    names = Counter(name for account in known for name in set(_names(account)))
    return [account._replace(label=_label(account, names)) for account in known]


def _with_typable_keys(accounts: Iterable[Account]) -> list[Account]:
    """Return accounts with keys that differ from each other."""
    known = list(accounts)
    keys = Counter(account.key for account in known)
    # Ids may be anything that a gateway sends: keys that are equal or no use in a command give way to the row's number.
    return [
        account
        if keys[account.key] == 1 and _is_typable(account.key) and not account.key.startswith("#")
        else account._replace(key=f"#{account.id}")
        for account in known
    ]


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


def find_stored_account(connection: Connection, prefix: str) -> Account:
    """Return the account that `find_account` finds among all accounts, without reading all of each.

    Raises:
        AccountError: `prefix` matches no account, or several.

    """
    ids = _matching_ids(connection, prefix)
    if not ids and (number := count_accounts(connection)) > MANY_ACCOUNTS:
        raise AccountError(f"no account matches {prefix!r} among {number}", [])
    return find_account(load_some_accounts(connection, ids) if ids else load_accounts(connection), prefix)


def _matching_ids(connection: Connection, prefix: str) -> list[int]:
    """Return the row ids of the accounts that a prefix matches, not many more than `MAX_LISTED` of them."""
    known = _read_names(connection, prefix)
    exact = {account.id for account in known if prefix in _names(account)}
    exact |= {row["account"] for row in connection.execute("SELECT account FROM tokens WHERE token_key = ?", (prefix,))}
    if exact:
        return sorted(exact)[:_MAX_MATCHES]
    found = {account.id for account in matching(known, prefix, _names)}
    if not is_file(connection) and not _HEXADECIMAL.issuperset(prefix.lower()):
        return sorted(found)[:_MAX_MATCHES]
    tokens = connection.execute(
        "SELECT DISTINCT account FROM tokens WHERE substr(lower(token_key), 1, ?) = ? LIMIT ?",
        (len(prefix), prefix.lower(), _MAX_MATCHES),
    )
    return sorted(found | {row["account"] for row in tokens})[:_MAX_MATCHES]


_HEXADECIMAL = frozenset("0123456789abcdef")
"""What the token keys of a team's database are made of."""


def _read_names(connection: Connection, prefix: str = "") -> list[Account]:
    """Return all accounts with their names and keys alone, in the order in which they were first seen.

    With a `prefix`, a team's database leaves out most of those that it does not match.
    """
    merged = _merged(connection)
    # Keys with "#" depend on all others.
    is_narrowed = not is_file(connection) and prefix.isascii() and not prefix.startswith("#")
    rows = tuple_cursor(connection).execute(
        f"SELECT {_NAMES} FROM accounts WHERE {_MAY_BEGIN if is_narrowed else '1 = 1'} ORDER BY first_seen_at, id",  # noqa: S608 (constants)
        {"length": len(prefix), "prefix": prefix.lower()},
    )
    return _with_typable_keys(_named(row)._replace(merged=tuple(merged.get(row[0], ()))) for row in rows)


def search_accounts(connection: Connection, words: str) -> list[int]:
    """Return the row ids of the accounts in whose names and keys each of these words occurs, in any case."""
    wanted = words.casefold().split()
    known = ((account.id, " ".join(_names(account)).casefold()) for account in _read_names(connection))
    return [number for number, text in known if all(word in text for word in wanted)]


def workspace_accounts(connection: Connection, account_id: str) -> list[Account]:
    """Return the accounts with a ChatGPT account's id: one for each user of a workspace that was seen."""
    rows = connection.execute(
        "SELECT id FROM accounts WHERE account_id = :id"
        " UNION SELECT account FROM merged_accounts WHERE account_id = :id",
        {"id": account_id},
    )
    return load_some_accounts(connection, [row[0] for row in rows])


def account_ids(connection: Connection) -> set[int]:
    """Return the row ids of all accounts."""
    return {row[0] for row in connection.execute("SELECT id FROM accounts")}


def _names(account: Account) -> list[str]:
    return [name for name in (account.name, account.email, account.key, *account.merged, *account.token_keys) if name]


def _listed(account: Account) -> str:
    # What is listed has to lead to the account: where only the key does, all of it is.
    key = account.key if account.label == account.key else account.key[:MAX_KEY_SHOWN]
    parts = (account.name, account.email, key, *account.token_keys[:1])
    return "  " + "  ".join(part for part in parts if part)
