"""Documents of ``status``, written short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from hypothesis import strategies as st

from tests.support.factories import NOON

if TYPE_CHECKING:
    from store.documents import AccountStatus, WindowStatus

HOUR, DAY = 3_600, 86_400

_LENGTHS = {"5h": 300, "7d": 10_080}


def _window(used: float | None, hours_left: float | None, slot: str, **fields: Any) -> WindowStatus:
    seconds = None if hours_left is None else int(hours_left * HOUR)
    window = {
        "used_percent": used,
        "remaining_percent": None if used is None else max(0.0, 100.0 - used),
        "window_minutes": _LENGTHS[slot],
        "resets_at": None if seconds is None else NOON + seconds,
        "resets_in_seconds": seconds,
        "reset_unseen": False,
        **fields,
    }
    return cast("WindowStatus", window)


def five(used: float | None, hours_left: float | None = 2.5, **fields: Any) -> dict[str, WindowStatus]:
    """The 5 h window, by slot."""
    return {"5h": _window(used, hours_left, "5h", **fields)}


def seven(used: float | None, hours_left: float | None = 84, **fields: Any) -> dict[str, WindowStatus]:
    """The 7 d window, by slot."""
    return {"7d": _window(used, hours_left, "7d", **fields)}


def account(
    name: str,
    windows: dict[str, WindowStatus] | None,
    *,
    credits: str | None = None,  # noqa: A002 (the name of the field)
    **fields: Any,
) -> AccountStatus:
    """An account with these windows in its main limit; without windows, one of which nothing is known."""
    main: dict[str, Any] = {
        "limit_id": "codex",
        "limit_name": None,
        "limit_reached": None,
        "reached_type": None,
        "reached_until": None,
        "blocked_by": None,
        "windows": windows,
        "on_credits": False,
        "budget": None,
        "observed_at": NOON - 100,
        "age_seconds": 100,
        "source": "headers",
        "model": None,
        **fields,
    }
    found = {
        "account": f"{name}/key",
        "name": name,
        "email": None,
        "plan_type": "plus",
        "token_key": f"{name}~0000000001",
        "credits": {"has_credits": credits is not None, "unlimited": False, "balance": credits},
        "spend_control_reached": None,
        "reset_credits": None,
        "reset_credits_applicable": None,
        "reset_credits_expire": None,
        "unavailable_models": [],
        "promo": None,
        "limits": [] if windows is None else [main],
    }
    return cast("AccountStatus", found)


_any_windows = st.builds(
    lambda used, left: {**five(used[0], left[0]), **seven(used[1], left[1])},
    st.tuples(st.none() | st.floats(0, 120), st.none() | st.floats(0, 130)),
    st.tuples(st.none() | st.floats(0, 6), st.none() | st.floats(0, 200)),
)

any_accounts = st.lists(
    st.builds(
        lambda windows, by, carried, balance, age: account(
            "x", windows, credits=balance, blocked_by=by, on_credits=carried, age_seconds=age
        ),
        st.none() | _any_windows,
        st.sampled_from([None, None, "5h", "7d", "limit", "credits"]),
        st.booleans(),
        st.sampled_from([None, "0", "9.5"]),
        st.integers(0, 10**7),
    ),
    max_size=5,
)
"""Accounts in any state."""
