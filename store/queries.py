"""Every question that is asked of the database, and the documents that answer it.

All functions take a connection of `store.database.open_reader` and import nothing heavy. Each answers from one view of
the database, so that none sees half of what a proxy writes meanwhile.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.standing import flag, limit_standing, slots

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

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


class AccountError(Exception):
    """What was named is not one account; the message says which there are."""


def status(connection: sqlite3.Connection, now: float, only: Sequence[Account] | None = None) -> dict[str, Any]:
    """Answer "how much is left?": the document of ``status --json`` at a moment in Unix seconds."""
    with _one_view(connection):
        # Those that were chosen before are read again: their plan is to be of one moment with the rest.
        chosen = accounts(connection)
        newest = _newest_rows(connection)
        facts = _facts_rows(connection)
    return {
        "generated_at": int(now),
        "accounts": [
            _account_status(account, facts.get(account.id), newest.get(account.id, []), now)
            for account in (chosen if only is None else _again(chosen, only))
        ],
    }


def accounts(connection: sqlite3.Connection) -> list[Account]:
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


def find_account(known: Sequence[Account], start: str) -> Account:
    """Return the account of which `start` is a name, or the start of a name, an e-mail, a key or a token key.

    Raises:
        AccountError: No account or more than one goes by that.

    """
    exact = [account for account in known if start in _names(account)]
    wanted = start.casefold()
    found = exact or [
        account for account in known if any(name.casefold().startswith(wanted) for name in _names(account))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise AccountError(f"{start!r} could be any of these:\n{_listed(found)}")
    if known:
        raise AccountError(f"no account goes by {start!r}; there are:\n{_listed(known)}")
    raise AccountError(f"no account goes by {start!r}; none was seen yet")


def history(
    connection: sqlite3.Connection,
    *,
    account: Account | None = None,
    since: float | None = None,
    limit_id: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Answer "how did it come to this?": each snapshot, oldest first, that was still seen since a moment."""
    labels = {known.id: known for known in accounts(connection)}
    rows = connection.execute(
        "SELECT * FROM snapshots WHERE (:account IS NULL OR account = :account)"
        " AND (:since IS NULL OR last_seen_at >= :since) AND (:limit_id IS NULL OR limit_id = :limit_id) ORDER BY id",
        {"account": account and account.id, "since": since, "limit_id": limit_id},
    )
    for row in rows:
        known = labels.get(row["account"])
        if known:
            yield _history_entry(row, known)


def limit_ids(connection: sqlite3.Connection) -> list[str]:
    """Return the ids of the limits that were ever seen."""
    return [row[0] for row in connection.execute("SELECT DISTINCT limit_id FROM limits ORDER BY 1")]


class Extent(NamedTuple):
    """How much is kept of an account."""

    snapshots: int
    limits: int
    tokens: int


def account_extent(connection: sqlite3.Connection, account: Account) -> Extent:
    """Answer "what would be forgotten with it?"."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE account = :id),"
        " (SELECT count(*) FROM limits WHERE account = :id), (SELECT count(*) FROM tokens WHERE account = :id)",
        {"id": account.id},
    ).fetchone()
    return Extent(*row)


class Summary(NamedTuple):
    """What is in a database, for ``doctor``: how much, and when something last came in (Unix seconds)."""

    accounts: int
    snapshots: int
    last_seen_at: float | None


def summary(connection: sqlite3.Connection) -> Summary:
    """Answer "is anything coming in?"."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),"
        " (SELECT max(s.last_seen_at) FROM limits l JOIN snapshots s ON s.id = l.snapshot_id)"
    ).fetchone()
    return Summary(*row)


class Losses(NamedTuple):
    """What was seen and could not be kept: how many readings, when last (Unix seconds), and why."""

    number: int
    last_at: float
    reasons: tuple[str, ...]


def losses(connection: sqlite3.Connection) -> Losses | None:
    """Answer "was anything dropped?"; None where all that was ever seen is kept."""
    rows = connection.execute(
        "SELECT reason, sum(count) AS number, max(at) AS last_at FROM losses GROUP BY reason ORDER BY number DESC"
    ).fetchall()
    if not rows:
        return None
    return Losses(
        sum(row["number"] for row in rows), max(row["last_at"] for row in rows), tuple(row["reason"] for row in rows)
    )


@contextlib.contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the database as it is at the first of them."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def _again(present: Sequence[Account], chosen: Sequence[Account]) -> list[Account]:
    """Return the chosen accounts as they are at present, in the order of choice, without those forgotten meanwhile."""
    by_id = {account.id: account for account in present}
    return [by_id[account.id] for account in chosen if account.id in by_id]


def _newest_rows(connection: sqlite3.Connection) -> dict[int, list[sqlite3.Row]]:
    """Return the newest row of each limit by account, the main limit first."""
    found: dict[int, list[sqlite3.Row]] = {}
    for row in connection.execute(
        "SELECT s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id ORDER BY l.limit_id != 'codex', l.limit_id"
    ):
        found.setdefault(row["account"], []).append(row)
    return found


def _facts_rows(connection: sqlite3.Connection) -> dict[int, sqlite3.Row]:
    rows = connection.execute("SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id")
    return {row["account"]: row for row in rows}


def _account_status(
    account: Account, facts: sqlite3.Row | None, rows: Sequence[sqlite3.Row], now: float
) -> dict[str, Any]:
    return {
        "account": account.key,
        "name": account.name,
        "email": account.email,
        "plan_type": account.plan_type,
        "token_key": account.token_keys[0] if account.token_keys else None,
        "credits": _credits(facts),
        "spend_control_reached": flag(facts["spend_control_reached"]) if facts else None,
        "reset_credits": facts["reset_credits"] if facts else None,
        "promo": facts["promo"] if facts else None,
        "limits": [limit_standing({**row, **_account_facts(facts)}, now) for row in map(dict, rows)],
    }


def _account_facts(facts: sqlite3.Row | None) -> dict[str, Any]:
    """Return what is newest of an account's credits, which another limit's row may have told."""
    names = ("has_credits", "credits_unlimited", "credits_balance", "overage_limit_reached", "spend_control_reached")
    return {name: facts[name] for name in names} if facts else {}


def _credits(facts: sqlite3.Row | None) -> dict[str, Any] | None:
    if facts is None or (facts["has_credits"] is None and facts["credits_unlimited"] is None):
        return None
    return {
        "has_credits": flag(facts["has_credits"]),
        "unlimited": flag(facts["credits_unlimited"]),
        "balance": facts["credits_balance"],
    }


def _history_entry(row: sqlite3.Row, account: Account) -> dict[str, Any]:
    return {
        "id": row["id"],
        "account": account.key,
        "name": account.name,
        "email": account.email,
        "token_key": row["token_key"],
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "first_seen_at": row["first_seen_at"],
        "last_seen_at": row["last_seen_at"],
        "observations": row["observations"],
        "late": bool(row["late"]),
        "windows": {slot: figures._asdict() for slot, figures in slots(dict(row))},
        "allowed": flag(row["allowed"]),
        "limit_reached": flag(row["limit_reached"]),
        "reached_type": row["reached_type"],
        "reached_until": row["reached_until"],
        "plan_type": row["plan_type"],
        "credits": _credits(row),
        "source": row["source"],
        "status": row["status"],
        "model": row["model"],
        "thread": row["thread"],
        "raw": json.loads(row["raw"]),
    }


def _names(account: Account) -> list[str]:
    return [name for name in (account.name, account.email, account.key, *account.token_keys) if name]


def _listed(found: Sequence[Account]) -> str:
    return "\n".join(
        "  "
        + "  ".join(
            part for part in (account.name, account.email, account.key[:KEY_SHOWN], *account.token_keys[:1]) if part
        )
        for account in found
    )
