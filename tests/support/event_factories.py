"""Readings of the main limit's two windows, turns, and the events of a database, written short."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Any

from store.analysis.attribution import TurnUse, WindowSample
from store.database import open_reader
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from tests.support.databases import record
from tests.support.factories import NOON, limit, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from store.documents import EventEntry, EventsDocument
    from store.models import Snapshot

HOUR, DAY = 3_600, 86_400
NOW = NOON + 30 * DAY
RESET_5H, RESET_7D = NOON + 2 * HOUR, NOON + 3 * DAY


def five(used: float | None = 40, resets_at: float | None = RESET_5H, minutes: int | None = 300) -> dict[str, Window]:
    return {"5h": window(used, resets_at, minutes)}


def seven(
    used: float | None = 40, resets_at: float | None = RESET_7D, minutes: int | None = 10_080
) -> dict[str, Window]:
    return {"7d": window(used, resets_at, minutes)}


def window(used: float | None, resets_at: float | None, minutes: int | None) -> Window:
    """A window by its figures."""
    return Window(used_percent=used, window_minutes=minutes, resets_at=None if resets_at is None else int(resets_at))


def reported(windows: Mapping[str, Window] | None, after: float = 0, /, **fields: Any) -> Snapshot:
    """The main limit's windows so many seconds after noon; `fields` are those of `snapshot`."""
    return snapshot(limit(windows), at=NOON + after, **fields)


def events_document(path: Path, **options: Any) -> EventsDocument:
    """The events of all accounts in a database, a month after noon."""
    with closing(open_reader(path)) as connection:
        return load_events(connection, NOW, accounts=load_accounts(connection), zone=dt.UTC, **options)


def happened(path: Path, *snapshots: Snapshot, **options: Any) -> list[EventEntry]:
    """Record snapshots, and return their events; without turns, each increase would be used elsewhere: left out."""
    found = events_document(record(path, *snapshots), **options)["events"]
    return [event for event in found if event["kind"] != "used_elsewhere"]


def kinds(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """The kinds of events, and the slots of their windows."""
    return [(event["kind"], event["slot"]) for event in found]


def samples(*figures: tuple[float, float]) -> list[WindowSample]:
    """Samples of the 7d window: seconds after noon, and used percent."""
    return [WindowSample(NOON + at, NOON + at, used, 10_080, RESET_7D) for at, used in figures]


def turn_use(start: float, end: float, **fields: Any) -> TurnUse:
    """A turn that ran from so many to so many seconds after noon."""
    usual: dict[str, Any] = dict.fromkeys(TurnUse._fields)
    usual |= {
        "started_at": NOON + start,
        "first_byte_at": NOON + start,
        "ended_at": NOON + end,
        "warm_up": 0,
        "imported": 0,
    }
    usual |= {"status": 200, "input_tokens": 100, "cached_tokens": 0, "output_tokens": 10, "model": "m"}
    return TurnUse(**(usual | fields))
