"""Reads the next batch of rows for a team's database, all in one read transaction of the caller's.

What is sent of each table is named here, column by column. Never sent: `raw`, sessions, and what only this file needs.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from store.constants import SKEW_SECONDS
from store.outbox.privacy import account_number, shipped_ids, token_digest
from store.outbox.tables import OutboxPosition
from store.reset_times import clock_skew
from store.stored_json import is_number, read_json, read_mapping

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from store.outbox.tables import Machine

MOST_ROWS = 2_000
"""Rows of each table in a batch."""

SNAPSHOT_COLUMNS = (
    *("token_key", "limit_id", "limit_name", "first_seen_at", "last_seen_at", "windows_seen_at", "observations"),
    *("late", "server_time", "used_5h_percent", "window_5h_minutes", "resets_5h_at", "used_7d_percent"),
    *("window_7d_minutes", "resets_7d_at", "other_windows", "allowed", "limit_reached", "reached_type"),
    *("reached_until", "plan_type", "has_credits", "credits_unlimited", "credits_balance", "overage_limit_reached"),
    *("spend_control_reached", "reset_credits", "promo", "source", "status", "model", "thread", "budget_limit"),
    *("budget_used", "budget_remaining", "budget_unit", "budget_source", "model_usage", "reset_credits_applicable"),
    *("reset_credits_expire", "refused_at", "reached_window_minutes"),
)
"""The columns of a snapshot that are sent, beside its row id and its account."""

REQUEST_COLUMNS = (
    *("token_key", "limit_id", "thread", "model", "transport", "warm_up", "started_at", "first_byte_at", "ended_at"),
    *("status", "error_type", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "response_model"),
    *("reasoning_effort", "tier", "subagent", "parent_thread", "client", "cache_write_tokens", "imported"),
)
"""The columns of a turn that are sent, beside its row id and its account."""

IMPORTED_LIMIT_COLUMNS = (
    *("limit_id", "first_seen_at", "thread", "last_seen_at", "limit_name", "used_5h_percent", "window_5h_minutes"),
    *("resets_5h_at", "used_7d_percent", "window_7d_minutes", "resets_7d_at", "other_windows"),
)
"""The columns of a limit of a session file that are sent, beside its account."""

_EDIT_COLUMNS = ("kind", "account", "target", "limit_id", "target_limit_id", "snapshots_upto", "requests_upto")
_EDIT_TEXTS = frozenset(("kind", "limit_id", "target_limit_id"))
_LOCAL_TIMES = ("resets_5h_at", "resets_7d_at", "reached_until")


class Sent(NamedTuple):
    """What a batch says of a row that may change, as `ship_sent` keeps it."""

    kind: str
    account: int
    key: str
    said: str


@dataclass(slots=True)
class Batch:
    """The next rows, and how far they go.

    `head`, `snapshots` and `requests` are the arguments of ``ship_1``. `closed` are the snapshots that can no longer
    grow, by account and key, whose last state was sent by an earlier batch.
    """

    upto: OutboxPosition
    head: dict[str, Any]
    snapshots: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    sent: list[Sent] = field(default_factory=list)
    closed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Snapshots and turns of the batch."""
        return len(self.snapshots) + len(self.requests)

    @property
    def arguments(self) -> tuple[str, str, str]:
        """The arguments of ``ship_1``, as JSON."""
        return _json(self.head), _json(self.snapshots), _json(self.requests)


def read_batch(
    connection: sqlite3.Connection,
    machine: Machine,
    since: OutboxPosition,
    *,
    offset: float = 0.0,
    turns_known_since: float | None = None,
    version: str = "",
    most: int = MOST_ROWS,
) -> Batch | None:
    """Return the next batch behind a position; None where nothing is new.

    Args:
        connection: a reader's connection (`store.database.open_reader`), in a transaction.
        machine: what the file is called.
        since: how far the team's database is.
        offset: seconds by which the clock of the team's database is ahead of this machine's.
        turns_known_since: when turns began to be recorded and are still stored, Unix seconds; None for always.
        version: of this program.
        most: rows of each table.
    """
    return _Reader(connection, machine, since, offset, most).batch(turns_known_since, version)


class _Reader:
    def __init__(
        self, connection: sqlite3.Connection, machine: Machine, since: OutboxPosition, offset: float, most: int
    ) -> None:
        self._connection, self._machine, self._since = connection, machine, since
        self._offset, self._most = offset, most
        self._sent: list[Sent] = []
        self._closed: list[tuple[int, str]] = []
        self._numbers = {
            row["id"]: account_number(*shipped_ids(row["account_id"], row["user_id"], machine.privacy.salt))
            for row in connection.execute("SELECT id, account_id, user_id FROM accounts")
        }
        self._current = {
            row["snapshot_id"] for row in connection.execute("SELECT snapshot_id FROM limits") if row["snapshot_id"]
        }

    def batch(self, turns_known_since: float | None, version: str) -> Batch | None:
        since = self._since
        grown, new = self._grown(), self._rows(_NEW_SNAPSHOTS, since.snapshots)
        turns = self._rows(_NEW_REQUESTS, since.requests)
        losses = self._rows(_NEW_LOSSES, since.losses)
        # All of them: they come before the rows, which were read after them.
        edits = self._connection.execute(_NEW_EDITS, (since.edits,)).fetchall()
        upto = OutboxPosition(
            since.seq,
            str(uuid.uuid4()),
            new[-1]["row_id"] if new else since.snapshots,
            turns[-1]["row_id"] if turns else since.requests,
            losses[-1]["row_id"] if losses else since.losses,
            edits[-1]["id"] if edits else since.edits,
        )
        sent = [*grown, *((row, None) for row in new)]
        # A row of an account that cannot be read counts as not there, as for every reader.
        snapshots = [self._snapshot(row, skew) for row, skew in sent if row["account"] in self._numbers]
        requests = [self._request(row) for row in turns if row["account"] in self._numbers]
        told = self._told_edits(edits)
        seen = {row["account"] for row in (*(row for row, _ in sent), *turns)}
        targets = {each.get("target") for each in told}
        seen |= {account for account, number in self._numbers.items() if number in targets}
        small = self._small(upto, seen)
        if not (snapshots or turns or losses or edits or any(small.values())):
            return None
        head = {
            "file": self._machine.file_id,
            "parent": self._machine.parent,
            "name": self._machine.name,
            "previous": since.nonce,
            "nonce": upto.nonce,
            "version": version,
            "offset": self._offset,
            "turns_known_since": turns_known_since,
            "snapshots_upto": upto.snapshots,
            "requests_upto": upto.requests,
            "remaining": self._remaining(upto),
            "edits": told,
            "losses": [self._moved_loss(row) for row in losses],
            **small,
        }
        return Batch(upto, head, snapshots, requests, self._sent, self._closed)

    def _rows(self, statement: str, behind: int) -> list[sqlite3.Row]:
        return self._connection.execute(statement, (behind, self._most)).fetchall()

    def _remaining(self, upto: OutboxPosition) -> int:
        """Return about how many rows are left behind a batch."""
        snapshots, requests = self._connection.execute(
            "SELECT (SELECT max(id) FROM snapshots), (SELECT max(id) FROM requests)"
        ).fetchone()
        return max(0, (snapshots or 0) - upto.snapshots) + max(0, (requests or 0) - upto.requests)

    def _told_edits(self, edits: list[sqlite3.Row]) -> list[dict[str, Any]]:
        """Return edits as they are sent, in order.

        An account that rows were moved to may have been moved or deleted itself since. Nothing but its number is known
        of it then, so the rows are moved on, or deleted, at once.
        """
        found: list[dict[str, Any]] = []
        known = set(self._numbers.values())
        fates: dict[int, int | None] = {}
        for row in reversed(edits):
            told = {name: row[name] for name in _EDIT_COLUMNS if row[name] is not None}
            if not all(isinstance(value, str if name in _EDIT_TEXTS else int) for name, value in told.items()):
                continue  # nothing that was ever noted
            if row["kind"] == "moved":
                target = row["target"]
                if target not in known:
                    target = fates.get(target)
                fates[row["account"]] = target
                told = {**told, "target": target} if target is not None else {**told, "kind": "forgotten"}
            elif row["kind"] == "forgotten":
                fates[row["account"]] = None
            found.append(told)
        return found[::-1]

    # Snapshots and turns

    def _grown(self) -> list[tuple[sqlite3.Row, float | None]]:
        """Return the rows that were sent and have grown since, with the seconds by which their times were moved."""
        found: list[tuple[sqlite3.Row, float | None]] = []
        values = {"snapshots": self._since.snapshots, "seq": self._since.seq}
        for row in self._connection.execute(_MAY_GROW, values).fetchall():
            was = _said(row["said"])
            is_known = was is not None and len(was) == 2 and is_number(was[0]) and is_number(was[1], -math.inf)
            observations, skew = was if was and is_known else (-1, None)
            if row["observations"] > observations:
                found.append((row, skew))
            elif row["row_id"] not in self._current:
                self._closed.append((row["account"], str(row["row_id"])))
        return found

    def _snapshot(self, row: sqlite3.Row, skew: float | None) -> dict[str, Any]:
        if skew is None:
            skew = clock_skew(row["server_time"], row["first_seen_at"], row["last_seen_at"]) or self._offset
        if row["row_id"] in self._current or "said" in row.keys():  # noqa: SIM118 (of a row, not of a dict)
            said = json.dumps([row["observations"], skew])
            self._sent.append(Sent("row", row["account"], str(row["row_id"]), said))
        found = self._row(row, _SNAPSHOT, skew)
        if abs(skew) > SKEW_SECONDS:
            # Clocks so far apart make the addon work resets out on the local one.
            found.update({name: found[name] + round(skew) for name in _LOCAL_TIMES if name in found})
            if "other_windows" in found:
                found["other_windows"] = _moved_windows(found["other_windows"], round(skew))
        return found

    def _request(self, row: sqlite3.Row) -> dict[str, Any]:
        found = self._row(row, _REQUEST, self._offset)
        _set(found, "parent_thread", self._machine.privacy.thread(row["parent_thread"]))
        return found

    def _row(self, row: sqlite3.Row, columns: Iterable[str], skew: float) -> dict[str, Any]:
        # By place: to look 40 columns up by their names takes three times as long.
        found = {name: value for name, value in zip(columns, row, strict=False) if value is not None}
        found.update(account=self._numbers[row["account"]], skew=skew, token_key=token_digest(row["token_key"]))
        _set(found, "thread", self._machine.privacy.thread(row["thread"]))
        return found

    def _moved_loss(self, row: sqlite3.Row) -> dict[str, Any]:
        return {"row_id": row["row_id"], "at": row["at"] + self._offset, "count": row["count"], "reason": row["reason"]}

    # Small tables

    def _small(self, upto: OutboxPosition, seen: set[int]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of small tables that differ from what was sent.

        The accounts of the batch's other rows are among them in any case: the team's database may have lost them.
        """
        values = {
            "seq": self._since.seq,
            "snapshots": upto.snapshots,
            "most": self._most,
            "emails": self._machine.privacy.emails,
            "seen": json.dumps(sorted(seen)),
        }
        accounts = self._changed("account", _CHANGED_ACCOUNTS, values)
        tokens = self._changed("token", _CHANGED_TOKENS, values)
        limits = self._changed("limit", _CHANGED_LIMITS, values)
        threads = self._changed("thread", _CHANGED_THREADS, values) if self._machine.privacy.threads != "drop" else []
        return {
            "accounts": [self._account(row) for row in accounts],
            "renamed": [self._renamed(row) for row in accounts if _is_new_name(row)],
            "tokens": [self._token(row) for row in tokens],
            "threads": [self._thread(row) for row in threads],
            "limits": [self._limit(row) for row in limits],
            "imported_limits": [
                self._imported(row) for row in self._changed("imported", _CHANGED_IMPORTED_LIMITS, values)
            ],
        }

    def _changed(self, kind: str, statement: str, values: Mapping[str, Any]) -> list[sqlite3.Row]:
        rows = [row for row in self._connection.execute(statement, values) if row["account"] in self._numbers]
        self._sent += [Sent(kind, row["account"], row["key"], row["says"]) for row in rows]
        return rows

    def _account(self, row: sqlite3.Row) -> dict[str, Any]:
        account_id, user_id = shipped_ids(row["account_id"], row["user_id"], self._machine.privacy.salt)
        was = _said(row["said"])
        return {
            "id": self._numbers[row["account"]],
            "account_id": account_id,
            "user_id": user_id,
            "email": self._machine.privacy.email(row["email"]),
            # What was sent by another choice is replaced, even by nothing.
            "email_replaced": bool(row["is_known"]) and (was[0] if was else "keep") != self._machine.privacy.emails,
            "facts": row["facts"],
            **self._times(row),
        }

    def _renamed(self, row: sqlite3.Row) -> dict[str, Any]:
        return {"id": self._numbers[row["account"]], "name": row["name"]}

    def _token(self, row: sqlite3.Row) -> dict[str, Any]:
        key, number = token_digest(row["key"]), self._numbers[row["account"]]
        return {"account": number, "token_key": key, "expires_at": row["expires_at"], **self._times(row)}

    def _thread(self, row: sqlite3.Row) -> dict[str, Any]:
        privacy = self._machine.privacy
        return {
            "account": self._numbers[row["account"]],
            **self._times(row),
            "thread": privacy.thread(row["key"]),
            "name": privacy.thread_name(row["name"]),
            "named": privacy.threads == "keep" and _is_new_name(row),
        }

    def _limit(self, row: sqlite3.Row) -> dict[str, Any]:
        number = self._numbers[row["account"]]
        return {"account": number, "limit_id": row["key"], "row_id": row["snapshot_id"], "by_name": row["by_name"]}

    def _imported(self, row: sqlite3.Row) -> dict[str, Any]:
        found = {name: row[name] for name in IMPORTED_LIMIT_COLUMNS if row[name] is not None}
        thread = self._machine.privacy.thread(row["thread"]) or ""
        return {**found, "account": self._numbers[row["account"]], "thread": thread, **self._times(row)}

    def _times(self, row: sqlite3.Row) -> dict[str, float]:
        return {name: row[name] + self._offset for name in ("first_seen_at", "last_seen_at")}


def _is_new_name(row: sqlite3.Row) -> bool:
    """Return True if the name is not the one that was sent; no name is one that a person removed."""
    was = _said(row["said"])
    if was is None:
        return row["name"] is not None or bool(row["is_known"])
    return bool(row["name"] != was[-1])


def _moved_windows(text: str, seconds: int) -> str:
    """Return windows as `other_windows` has them, with their resets moved; what is no such text stays as it is."""
    windows = read_mapping(text)
    moved = {
        slot: [*window[:2], window[2] + seconds]
        for slot, window in windows.items()
        if isinstance(window, list) and len(window) == 3 and is_number(window[2])
    }
    return json.dumps({**windows, **moved}) if moved else text


def _said(text: str | None) -> list[Any] | None:
    found = read_json(text)
    return found if isinstance(found, list) and found else None


def _set(found: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def _json(value: Any) -> str:
    # PostgreSQL has no character 0 in a text. One after an escaped backslash is none, and may change all the same.
    return json.dumps(value, separators=(",", ":")).replace("\\u0000", "\\ufffd")


_SNAPSHOT = ("row_id", "account", *SNAPSHOT_COLUMNS)
_REQUEST = ("row_id", "account", *REQUEST_COLUMNS)
"""The columns of the rows that are read, in their order."""


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"s.{name}" for name in names)


_NEW_SNAPSHOTS = (
    f"SELECT s.id AS row_id, s.account, {_columns(SNAPSHOT_COLUMNS)} FROM snapshots s"  # noqa: S608 (constants)
    " WHERE s.id > ? ORDER BY s.id LIMIT ?"
)

_NEW_REQUESTS = (
    f"SELECT s.id AS row_id, s.account, {_columns(REQUEST_COLUMNS)} FROM requests s"  # noqa: S608 (constants)
    " WHERE s.id > ? ORDER BY s.id LIMIT ?"
)

_NEW_LOSSES = "SELECT id AS row_id, at, count, reason FROM losses WHERE id > ? ORDER BY id LIMIT ?"

_NEW_EDITS = "SELECT * FROM main.ship_edits WHERE id > ? ORDER BY id"

_MAY_GROW = (
    f"SELECT s.id AS row_id, s.account, {_columns(SNAPSHOT_COLUMNS)},"  # noqa: S608 (constants)
    " CASE WHEN m.seq <= :seq THEN m.said END AS said FROM snapshots s"
    " LEFT JOIN main.ship_sent m ON m.kind = 'row' AND m.account = s.account AND m.key = CAST(s.id AS TEXT)"
    " WHERE s.id <= :snapshots AND s.id IN (SELECT snapshot_id FROM limits"
    " UNION SELECT CAST(key AS INTEGER) FROM main.ship_sent WHERE kind = 'row') ORDER BY s.id"
)
"""Only the current snapshot of a limit grows, so of those that were sent only the ones that were current then."""


def _changed_rows(rows: str, kind: str, where: str = "") -> str:
    """Return the statement for the rows of a small table that differ from what was sent of them.

    Args:
        rows: a statement with the columns account, key and says.
        kind: what `ship_sent` calls them.
        where: which rows are sent in any case.
    """
    return (
        "SELECT t.*, m.key IS NOT NULL AS is_known, CASE WHEN m.seq <= :seq THEN m.said END AS said"  # noqa: S608 (constants)
        f" FROM ({rows}) t"
        f" LEFT JOIN main.ship_sent m ON m.kind = '{kind}' AND m.account = t.account AND m.key = t.key"
        f" WHERE (m.said IS NOT t.says OR m.seq > :seq{where})"
    )


_FACTS = "CASE WHEN snapshot_id <= :snapshots THEN snapshot_id END"

_CHANGED_ACCOUNTS = _changed_rows(
    "SELECT id AS account, '' AS key, json_array(:emails, account_id, user_id, email, first_seen_at, last_seen_at,"  # noqa: S608 (constants)
    f" {_FACTS}, name) AS says, account_id, user_id, email, name, first_seen_at, last_seen_at, {_FACTS} AS facts"
    " FROM accounts",
    "account",
    " OR t.account IN (SELECT value FROM json_each(:seen))",
)

_CHANGED_TOKENS = _changed_rows(
    "SELECT account, token_key AS key, json_array(first_seen_at, last_seen_at, expires_at) AS says,"
    " first_seen_at, last_seen_at, expires_at FROM tokens",
    "token",
)

# A session is never sent, not even where it stands for a thread.
_THREADS = (
    "SELECT account, thread AS key, json_array(first_seen_at, last_seen_at, name) AS says,"
    " first_seen_at, last_seen_at, name FROM threads WHERE NOT is_session"
)
_CHANGED_THREADS = f"{_changed_rows(_THREADS, 'thread')} LIMIT :most"

_CHANGED_LIMITS = _changed_rows(
    "SELECT account, limit_id AS key, json_array(snapshot_id, by_name) AS says, snapshot_id, by_name FROM limits"
    " WHERE snapshot_id <= :snapshots",
    "limit",
)

_IMPORTED_LIMITS = (
    "SELECT json_array(limit_id, first_seen_at, thread) AS key, json_array(last_seen_at) AS says, account,"  # noqa: S608 (constants)
    f" {', '.join(IMPORTED_LIMIT_COLUMNS)} FROM imported_limits"
)
_CHANGED_IMPORTED_LIMITS = f"{_changed_rows(_IMPORTED_LIMITS, 'imported')} LIMIT :most"
