"""The older shape of the API, which existing dashboards use: one flat record for each token.

A record is about the main limit. ``codex_5h_…`` and ``codex_7d_…`` are its slots. ``primary_…`` and ``secondary_…`` are
the same windows by their positions on the wire, null where the message that opened the newest snapshot has no position.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
from typing import TYPE_CHECKING, Any, Literal, cast

from typing_extensions import TypedDict

from store.analysis.account_limits import main_limit
from store.constants import MAIN_LIMIT
from store.queries.limits import current_snapshots
from store.queries.status import load_status
from store.stored_json import read_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.connection import Connection
    from store.documents import AccountStatus, WindowStatus
    from store.queries.accounts import Account

_HEADER = "x-codex-"


class LegacyRecord(TypedDict):
    """The main limit of an account as older tools write it."""

    codex_5h_used_percent: float | None
    codex_5h_reset_after_seconds: int | None
    codex_5h_window_minutes: int | None
    codex_7d_used_percent: float | None
    codex_7d_reset_after_seconds: int | None
    codex_7d_window_minutes: int | None
    primary_used_percent: float | None
    primary_reset_after_seconds: int | None
    primary_window_minutes: int | None
    secondary_used_percent: float | None
    secondary_reset_after_seconds: int | None
    secondary_window_minutes: int | None
    primary_over_secondary_percent: float | None
    updated_at: str | None
    token_name: str | None
    token_key: str | None


class LegacyDocument(TypedDict):
    """The older shape: ``/codex/usage``. It has the record of each account by its newest token key."""

    status: Literal["success"]
    data: dict[str, LegacyRecord]


def load_legacy_usage(connection: Connection, now: float, accounts: Sequence[Account]) -> LegacyDocument:
    """Return how much is left, for the given accounts, without those that have no token key."""
    raw = _main_limit_raw(connection, accounts)
    raw_by_key = {account.key: raw.get(account.id, {}) for account in accounts}
    document = load_status(connection, now, accounts)
    records = [_record(account, raw_by_key.get(account["account"], {})) for account in document["accounts"]]
    return {"status": "success", "data": {key: each for each in records if (key := each["token_key"]) is not None}}


def _main_limit_raw(connection: Connection, accounts: Sequence[Account]) -> dict[int, dict[str, Any]]:
    """Return by account id the stored fields of the message that opened the newest snapshot of its main limit."""
    return {
        account: read_mapping(row["raw"])
        for account, rows in current_snapshots(connection, accounts).items()
        for row in rows
        if row["limit_id"] == MAIN_LIMIT
    }


def _record(account: AccountStatus, raw: Mapping[str, Any]) -> LegacyRecord:
    limit = main_limit(account)
    windows = limit["windows"] if limit else {}
    record: dict[str, Any] = {}
    for slot in ("5h", "7d"):
        record |= _window_fields(f"codex_{slot}", windows.get(slot))
    for position in ("primary", "secondary"):
        minutes = _minutes(raw, position)
        found = (each for each in windows.values() if minutes is not None and each["window_minutes"] == minutes)
        record |= _window_fields(position, next(found, None))
    record |= {
        "primary_over_secondary_percent": _float(raw.get(f"{_HEADER}primary-over-secondary-limit-percent")),
        "updated_at": _iso(limit["observed_at"]) if limit else None,
        "token_name": account["name"] or account["email"],
        "token_key": account["token_key"],
    }
    return cast("LegacyRecord", record)


def _window_fields(prefix: str, window: WindowStatus | None) -> dict[str, Any]:
    return {
        f"{prefix}_used_percent": window["used_percent"] if window else None,
        f"{prefix}_reset_after_seconds": window["resets_in_seconds"] if window else None,
        f"{prefix}_window_minutes": window["window_minutes"] if window else None,
    }


def _minutes(raw: Mapping[str, Any], position: str) -> int | None:
    """Return the length of the window at a position, from the fields of headers, events or usage documents."""
    minutes = _float(raw.get(f"{_HEADER}{position}-window-minutes"))
    if minutes is None:
        minutes = _float(_nested(raw, "rate_limits", position, "window_minutes"))
    if minutes is None:
        seconds = _float(_nested(raw, "rate_limit", f"{position}_window", "limit_window_seconds"))
        minutes = None if seconds is None else seconds / 60
    return round(minutes) if minutes else None


def _nested(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _float(value: object) -> float | None:
    """Return a number, or the number in a header's text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    with contextlib.suppress(ValueError, OverflowError):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _iso(at: float) -> str | None:
    with contextlib.suppress(OverflowError, ValueError, OSError):  # a server's time may be outside of any calendar
        return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None
