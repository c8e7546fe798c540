"""A machine as a team's database sees it: batches by hand, for the rows that a test is about."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

ACCOUNT_ID, USER_ID = "acct-1", "user-1"


def account_number(account_id: str = ACCOUNT_ID, user_id: str = USER_ID) -> int:
    """Return the number of an account in a team's database."""
    return int.from_bytes(hashlib.sha256(f"{account_id}/{user_id}".encode()).digest()[:8]) >> 1


def team_account(seen_at: float, user_id: str = USER_ID, **values: Any) -> dict[str, Any]:
    """Return what a machine tells of an account, seen at one moment (Unix seconds)."""
    return {
        "id": account_number(ACCOUNT_ID, user_id),
        "account_id": ACCOUNT_ID,
        "user_id": user_id,
        "first_seen_at": seen_at,
        "last_seen_at": seen_at,
        **values,
    }


def team_snapshot(row_id: int, first_seen_at: float, **values: Any) -> dict[str, Any]:
    """Return a snapshot of the main limit as a machine ships it, seen once."""
    return {
        "account": account_number(),
        "row_id": row_id,
        "skew": 0,
        "token_key": "0123456789",
        "limit_id": "codex",
        "first_seen_at": first_seen_at,
        "last_seen_at": first_seen_at,
        "windows_seen_at": first_seen_at,
        "observations": 1,
        "late": 0,
        "source": "headers",
        **values,
    }


def team_turn(row_id: int, ended_at: float, **values: Any) -> dict[str, Any]:
    """Return a turn as a machine ships it."""
    return {
        "account": account_number(),
        "row_id": row_id,
        "skew": 0,
        "token_key": "0123456789",
        "limit_id": "codex",
        "transport": "http",
        "warm_up": 0,
        "started_at": ended_at - 3,
        "ended_at": ended_at,
        **values,
    }


@dataclass
class TeamMachine:
    """One file of one machine, which ships by `connection`; `nonce` is that of its last batch."""

    connection: psycopg.Connection[tuple[Any, ...]]
    file: str = field(default_factory=lambda: str(uuid.uuid4()))
    nonce: str | None = None

    def ship(
        self, snapshots: Iterable[Mapping[str, Any]] = (), requests: Iterable[Mapping[str, Any]] = (), **head: Any
    ) -> str:
        """Ship a batch behind the last one; return the answer.

        The accounts of its rows are told with them, the last snapshot of each limit that is not late is the current
        one, and the row ids are the highest of the batch, unless `head` says otherwise.
        """
        batch = self.batch(list(snapshots), list(requests), **head)
        answer = self.send(*batch)
        if answer == "taken":
            self.nonce = batch[0]["nonce"]
        return answer

    def batch(
        self, snapshots: Sequence[Mapping[str, Any]], requests: Sequence[Mapping[str, Any]], **head: Any
    ) -> tuple[dict[str, Any], Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """Return the arguments of ``ship_1``."""
        times = [row["last_seen_at"] for row in snapshots] + [row["ended_at"] for row in requests]
        current = {(row["account"], row["limit_id"]): row["row_id"] for row in snapshots if not row["late"]}
        whole = {
            "file": self.file,
            "previous": self.nonce,
            "nonce": str(uuid.uuid4()),
            "accounts": [team_account(max(times))] if times else [],
            "limits": [
                {"account": account, "limit_id": limit_id, "row_id": row_id}
                for (account, limit_id), row_id in current.items()
            ],
            "snapshots_upto": max((row["row_id"] for row in snapshots), default=0),
            "requests_upto": max((row["row_id"] for row in requests), default=0),
            **head,
        }
        return whole, snapshots, requests

    def send(self, *arguments: Any) -> str:
        """Call ``ship_1``; return its answer."""
        row = self.connection.execute("SELECT codex_tap.ship_1(%s, %s, %s)", [json.dumps(each) for each in arguments])
        found = row.fetchone()
        assert found is not None
        return str(found[0]["answer"])
