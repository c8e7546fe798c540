"""Values that all kinds of metrics have in common."""

from __future__ import annotations

import pytest

from scripts.support.metric_values import account_labels, credits_balance, finite_number
from store.queries.accounts import Account, labelled


@pytest.mark.parametrize(
    ("written", "number"), [("9.50", 9.5), ("1e3", 1_000), ("nan", None), ("1e999", None), ("", None), (None, None)]
)
def test_finite_number(written: str | None, number: float | None) -> None:
    """What is not a finite number is unknown."""
    assert finite_number(written) == number


@pytest.mark.parametrize(
    ("has_credits", "balance", "expected"),
    [(True, "9.5", 9.5), (True, None, None), (False, "9.5", 0.0), (None, "9.5", None)],
)
def test_credits_balance(has_credits: bool | None, balance: str | None, expected: float | None) -> None:
    """An account without credits has 0; an unknown balance is not 0."""
    assert credits_balance({"has_credits": has_credits, "unlimited": False, "balance": balance}) == expected


def test_account_labels() -> None:
    """An e-mail address is a label where that is allowed; a name always is."""
    ann = Account(1, "acct-a/user-a", "work", "ann@example.com", None, (), 0, 0)
    ben = Account(2, "acct-b/user-b", None, "ben@example.com", None, (), 0, 0)
    known = labelled([ann, ben])
    assert account_labels(known, with_emails=False) == {1: "work", 2: "acct-b/user-b"}
    assert account_labels(known, with_emails=True) == {1: "work", 2: "ben@example.com"}
