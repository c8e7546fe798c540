"""All kinds of rows that are kept, in the order in which `serve` fills them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries.kept_events import EVENTS
from store.queries.kept_rates import RATES
from store.queries.kept_speed import SPEED
from store.queries.kept_turns import TURNS
from store.queries.kept_usage import usage_kind
from store.queries.kept_windows import WINDOWS

if TYPE_CHECKING:
    from store.kept.kind import Kind

KINDS: tuple[Kind, ...] = (
    TURNS,
    RATES,
    WINDOWS,
    EVENTS,
    *filter(None, map(usage_kind, ("7d", "5h"))),
    SPEED,
)
