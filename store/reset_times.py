"""Reset times compared with each other and with the clock; timestamps are Unix seconds.

Commands in a shell's prompt need this much of the rule on windows, and import no more of it.
"""

from __future__ import annotations

from store.constants import RESET_JITTER_SECONDS, SKEW_SECONDS


def same_reset(one: float | None, other: float | None) -> bool:
    """Return True if two reset times mean one reset; an unknown time equals none."""
    return one is not None and other is not None and abs(one - other) <= RESET_JITTER_SECONDS


def is_overdue(resets_at: float | None, seen_at: float, server_time: float | None = None) -> bool:
    """Return True if a reading was reported after the reset that it names: that reset did not take place.

    Args:
        resets_at: The reset that the reading names.
        seen_at: When the reading was last seen, by our clock.
        server_time: The server's own clock at that time, if it is known. It decides where the two clocks differ a
            little; where they differ by more, resets were stored by our clock.

    """
    if resets_at is None:
        return False
    near = server_time is not None and abs(server_time - seen_at) <= SKEW_SECONDS
    return resets_at <= (server_time if near and server_time is not None else seen_at)


def clock_skew(server_time: float | None, first_seen_at: float, last_seen_at: float) -> float:
    """Return the seconds by which the server's clock was ahead of ours; 0 where they agree, or that is unknown.

    The server's time of a row is that of its last reading with one, so it is compared with the whole time of the row.
    """
    if server_time is None or first_seen_at - SKEW_SECONDS <= server_time <= last_seen_at + SKEW_SECONDS:
        return 0.0
    return float(server_time - (last_seen_at if server_time > last_seen_at else first_seen_at))
