"""The slots of windows, by their length."""

from __future__ import annotations

import pytest

from store.models import Window
from store.windows import length_name, normalize

NOW = 1_795_243_200.0
SIX_HOURS = 6 * 3600


def window(used: float | None, minutes: int | None, resets_in: int | None = None) -> Window:
    """Make a window of a length in minutes (None: not told) that resets so many seconds from now."""
    resets_at = None if resets_in is None else int(NOW) + resets_in
    return Window(used_percent=used, window_minutes=minutes, resets_at=resets_at)


FIVE_HOURS = window(13, 300, 9_000)
SEVEN_DAYS = window(41, 10_080, 300_000)
THIRTY_DAYS = window(7, 43_200, 2_000_000)
ONE_HOUR = window(50, 60, 600)
NO_LENGTH = window(20, None)
NO_LENGTH_SOON = window(21, None, SIX_HOURS)
NO_LENGTH_LATE = window(22, None, SIX_HOURS + 1)
NO_LENGTH_LATER = window(23, None, 500_000)

RULE: dict[str, tuple[Window | None, Window | None, dict[str, Window]]] = {
    # lengths known: the length decides, the position never
    "none": (None, None, {}),
    "5h and 7d": (FIVE_HOURS, SEVEN_DAYS, {"5h": FIVE_HOURS, "7d": SEVEN_DAYS}),
    "7d and 5h": (SEVEN_DAYS, FIVE_HOURS, {"5h": FIVE_HOURS, "7d": SEVEN_DAYS}),
    "7d alone in primary": (SEVEN_DAYS, None, {"7d": SEVEN_DAYS}),
    "7d alone in secondary": (None, SEVEN_DAYS, {"7d": SEVEN_DAYS}),
    "5h alone in primary": (FIVE_HOURS, None, {"5h": FIVE_HOURS}),
    "5h alone in secondary": (None, FIVE_HOURS, {"5h": FIVE_HOURS}),
    "30d alone stands in 7d": (THIRTY_DAYS, None, {"7d": THIRTY_DAYS}),
    "1h alone stands in 5h": (ONE_HOUR, None, {"5h": ONE_HOUR}),
    "5h and 30d": (FIVE_HOURS, THIRTY_DAYS, {"5h": FIVE_HOURS, "7d": THIRTY_DAYS}),
    "1h and 7d": (ONE_HOUR, SEVEN_DAYS, {"5h": ONE_HOUR, "7d": SEVEN_DAYS}),
    # two of one kind: the one nearest the usual length, the other under its own
    "1h and 5h": (ONE_HOUR, FIVE_HOURS, {"5h": FIVE_HOURS, "1h": ONE_HOUR}),
    "5h and 1h": (FIVE_HOURS, ONE_HOUR, {"5h": FIVE_HOURS, "1h": ONE_HOUR}),
    "7d and 30d": (SEVEN_DAYS, THIRTY_DAYS, {"7d": SEVEN_DAYS, "30d": THIRTY_DAYS}),
    "30d and 7d": (THIRTY_DAYS, SEVEN_DAYS, {"7d": SEVEN_DAYS, "30d": THIRTY_DAYS}),
    "30d and 1d": (THIRTY_DAYS, window(1, 1_440), {"7d": window(1, 1_440), "30d": THIRTY_DAYS}),
    "1h and 90 min": (ONE_HOUR, window(1, 90), {"5h": window(1, 90), "1h": ONE_HOUR}),
    "short tie, shorter first": (window(1, 240), window(2, 360), {"5h": window(1, 240), "6h": window(2, 360)}),
    "short tie, longer first": (window(2, 360), window(1, 240), {"5h": window(2, 360), "4h": window(1, 240)}),
    "long tie, shorter first": (window(1, 8_640), window(2, 11_520), {"7d": window(1, 8_640), "8d": window(2, 11_520)}),
    "long tie, longer first": (window(2, 11_520), window(1, 8_640), {"7d": window(2, 11_520), "6d": window(1, 8_640)}),
    "360 min is short": (window(1, 360), SEVEN_DAYS, {"5h": window(1, 360), "7d": SEVEN_DAYS}),
    "361 min is long": (window(1, 361), SEVEN_DAYS, {"361m": window(1, 361), "7d": SEVEN_DAYS}),
    "361 min alone": (window(1, 361), None, {"7d": window(1, 361)}),
    # one length twice: the more used one
    "same length, primary more used": (window(9, 300), window(8, 300), {"5h": window(9, 300)}),
    "same length, secondary more used": (window(8, 300), window(9, 300), {"5h": window(9, 300)}),
    "same length, one unused": (window(None, 10_080), window(0, 10_080), {"7d": window(0, 10_080)}),
    "same length, one used a little": (window(None, 300), window(0.1, 300), {"5h": window(0.1, 300)}),
    "same length, same use": (window(5, 300, 60), window(5, 300, 90), {"5h": window(5, 300, 60)}),
    "same length, neither told": (window(None, 300, 60), window(None, 300, 90), {"5h": window(None, 300, 60)}),
    # one length unknown: the slot left free
    "unknown beside 5h": (NO_LENGTH, FIVE_HOURS, {"7d": NO_LENGTH, "5h": FIVE_HOURS}),
    "5h beside unknown": (FIVE_HOURS, NO_LENGTH, {"5h": FIVE_HOURS, "7d": NO_LENGTH}),
    "unknown beside 7d": (NO_LENGTH, SEVEN_DAYS, {"5h": NO_LENGTH, "7d": SEVEN_DAYS}),
    "7d beside unknown": (SEVEN_DAYS, NO_LENGTH, {"7d": SEVEN_DAYS, "5h": NO_LENGTH}),
    "unknown beside 30d": (NO_LENGTH, THIRTY_DAYS, {"5h": NO_LENGTH, "7d": THIRTY_DAYS}),
    "late unknown beside 5h": (NO_LENGTH_LATE, FIVE_HOURS, {"7d": NO_LENGTH_LATE, "5h": FIVE_HOURS}),
    "late unknown beside 7d": (NO_LENGTH_LATE, SEVEN_DAYS, {"unknown": NO_LENGTH_LATE, "7d": SEVEN_DAYS}),
    "7d beside late unknown": (SEVEN_DAYS, NO_LENGTH_LATE, {"unknown": NO_LENGTH_LATE, "7d": SEVEN_DAYS}),
    # no length known: the legacy order, unless a reset more than six hours away forbids 5h
    "unknown alone in primary": (NO_LENGTH, None, {"7d": NO_LENGTH}),
    "unknown alone in secondary": (None, NO_LENGTH, {"5h": NO_LENGTH}),
    "legacy order": (NO_LENGTH, NO_LENGTH_SOON, {"7d": NO_LENGTH, "5h": NO_LENGTH_SOON}),
    "legacy order, primary soon": (NO_LENGTH_SOON, NO_LENGTH, {"7d": NO_LENGTH_SOON, "5h": NO_LENGTH}),
    "legacy order, primary late": (NO_LENGTH_LATE, NO_LENGTH, {"7d": NO_LENGTH_LATE, "5h": NO_LENGTH}),
    "reset in 6 h in secondary": (None, NO_LENGTH_SOON, {"5h": NO_LENGTH_SOON}),
    "reset after 6 h in secondary": (None, NO_LENGTH_LATE, {"7d": NO_LENGTH_LATE}),
    "late in secondary only": (NO_LENGTH, NO_LENGTH_LATE, {"5h": NO_LENGTH, "7d": NO_LENGTH_LATE}),
    "late in both": (NO_LENGTH_LATE, NO_LENGTH_LATER, {"7d": NO_LENGTH_LATE, "unknown": NO_LENGTH_LATER}),
}


@pytest.mark.parametrize(("primary", "secondary", "slots"), RULE.values(), ids=RULE.keys())
def test_rule(primary: Window | None, secondary: Window | None, slots: dict[str, Window]) -> None:
    """Windows are in the slots of their lengths, each with its figures as given."""
    assert normalize(primary, secondary, NOW) == slots


def test_without_a_time_of_observation() -> None:
    """Without a time of observation no reset is far away, and the legacy order applies."""
    assert normalize(NO_LENGTH, NO_LENGTH_LATE) == {"7d": NO_LENGTH, "5h": NO_LENGTH_LATE}


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        (1, "1m"),
        (45, "45m"),
        (60, "1h"),
        (90, "90m"),
        (300, "5h"),
        (1_440, "1d"),
        (2_160, "36h"),
        (10_080, "7d"),
        (43_200, "30d"),
        (43_201, "43201m"),
    ],
)
def test_length_name(minutes: int, name: str) -> None:
    """A length is named in the largest unit that divides it."""
    assert length_name(minutes) == name
