"""The limits of an account, and phrases on them."""

from __future__ import annotations

from typing import Any

import pytest

from store.analysis.account_limits import block_reason, find_limit, in_use, main_limit
from tests.support.factories import NOON
from tests.support.status_factories import account, five


def test_the_account_in_use_has_the_newest_reading() -> None:
    """The newest reading of any limit counts; an account without readings is never in use."""
    accounts = [
        account("old", five(1), observed_at=NOON - 500),
        account("new", five(1), observed_at=NOON - 5),
        account("never", None),
    ]
    found = in_use({"generated_at": NOON, "accounts": accounts})
    assert found is not None
    assert found["name"] == "new"
    assert in_use({"generated_at": NOON, "accounts": accounts[2:]}) is None


def test_the_main_limit() -> None:
    """It is found by its id; an account of which nothing was seen has none."""
    seen = account("work", five(37))
    assert main_limit(seen) is find_limit(seen, "codex") is seen["limits"][0]
    assert main_limit(account("never", None)) is None
    assert find_limit(seen, "codex_bengalfox") is None


@pytest.mark.parametrize(
    ("blocked_by", "expected"),
    [
        ("5h", "blocked by 5 h"),
        ("limit", "blocked: the server reports the limit as reached"),
        ("credits", "blocked: credits are used up"),
        (None, "included usage is used up"),
    ],
)
def test_what_blocks(blocked_by: str | None, expected: str) -> None:
    """The window that blocks is named by its length."""
    given: dict[str, Any] = {"blocked_by": blocked_by}
    (limit,) = account("work", five(100), **given)["limits"]
    assert block_reason(limit) == expected
