"""The order of accounts by what presses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from store.analysis.pressure import pressure

if TYPE_CHECKING:
    from store.documents import AccountStatus


def account(used: float | None, state: str = "open", limit_id: str = "codex") -> AccountStatus:
    limit = {"limit_id": limit_id, "state": state, "windows": {"7d": {"used_percent": used}}}
    return cast("AccountStatus", {"limits": [limit]})


def dry(chance: float | None, limit_id: str = "codex") -> Any:
    return {limit_id: {"7d": {"chance_dry": chance}}}


NOTHING = cast("AccountStatus", {"limits": []})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((account(10, "refused"), {}), (account(99, "on_credits"), dry(1.0))),
        ((account(100, "on_credits"), {}), (account(99), dry(1.0))),
        ((account(5, "unknown"), {}), (account(99), dry(1.0))),
        ((account(40), dry(0.9)), (account(95), dry(0.1))),
        ((account(40), dry(0.1)), (account(95), dry(None))),
        ((account(95), {}), (account(40), {})),
        ((account(95), {}), (account(None), {})),
        ((account(None), {}), (NOTHING, {})),
        ((account(95, limit_id="codex_bengalfox"), {}), (account(40), {})),
    ],
    ids=[
        "refused before credits",
        "credits before open",
        "unknown before open",
        "likely dry before fuller",
        "a forecast before none",
        "fuller",
        "unknown use is the last",
        "no limit is after all",
        "another limit stands for a main one",
    ],
)
def test_the_order(first: tuple[AccountStatus, Any], second: tuple[AccountStatus, Any]) -> None:
    """The more pressed account has the greater key."""
    assert pressure(*first) > pressure(*second)
