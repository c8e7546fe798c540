"""Readings of the main limit's two windows, written short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.models import Window
from tests.support.factories import NOON, limit, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.models import Snapshot

HOUR, DAY = 3_600, 86_400
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


def told(windows: Mapping[str, Window] | None, after: float = 0, /, **fields: Any) -> Snapshot:
    """The main limit's windows so many seconds after noon; `fields` are those of `snapshot`."""
    return snapshot(limit(windows), at=NOON + after, **fields)
