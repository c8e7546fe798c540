from __future__ import annotations

import datetime as dt
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.ranking import AccountSize, TokenRate, account_sizes, is_known, rank_accounts
from tests.support.factories import NOON
from tests.support.status_factories import HOUR, account, any_accounts, five, seven

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from store.documents import AccountStatus, NextDocument, StatusDocument


def chosen(
    *accounts: AccountStatus,
    credits_for: Collection[str] | None = (),
    rates: Mapping[str, TokenRate] = MappingProxyType({}),
) -> NextDocument:
    document: StatusDocument = {"generated_at": NOON, "accounts": list(accounts)}
    return rank_accounts(document, rates, credits_for=credits_for, zone=dt.UTC)


def order(*accounts: AccountStatus, credits_for: Collection[str] | None = ()) -> list[tuple[str | None, str]]:
    ranking = chosen(*accounts, credits_for=credits_for)["ranking"]
    return [(each["name"], each["usage"]) for each in ranking]


FULL: dict[str, Any] = {"blocked_by": "7d"}
CARRIED: dict[str, Any] = {"on_credits": True}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (five(20), five(60)),
        (five(60, 0.5), five(40, 4.5)),
        (five(30) | seven(30), five(5) | seven(80)),
        (five(0, 5), five(99.5, 0.01)),
        (five(90, reset_unseen=True, remaining_percent=100.0, resets_in_seconds=0), five(40, 4)),
        (five(50, None), five(60, None)),
        (seven(50, 84), five(51, 2.5)),
        (five(95), five(None)),
    ],
    ids=[
        "more left",
        "a window that resets soon may be used up",
        "the tighter window decides",
        "a last percent does not count as room",
        "an unseen reset",
        "without reset times",
        "windows of different lengths",
        "known before unknown",
    ],
)
def test_the_least_pressed_comes_first(better: dict[str, Any], worse: dict[str, Any]) -> None:
    """By the remaining percent relative to the time until the reset, in any order of accounts."""
    assert [name for name, _ in order(account("worse", worse), account("better", better))] == ["better", "worse"]
    assert [name for name, _ in order(account("better", better), account("worse", worse))] == ["better", "worse"]


def month(used: float, days_left: float) -> dict[str, Any]:
    """The month of a Free plan, which is in the slot of the week."""
    return seven(used, days_left * 24, window_minutes=43_200, length="30d")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(
            account("a", seven(50, 84), plan_type="plus"), account("b", month(34, 15), plan_type="free"), id="evenly"
        ),
        pytest.param(
            account("a", seven(50, 168), plan_type="plus"), account("b", month(34, 0.5), plan_type="free"), id="extreme"
        ),
        pytest.param(
            account("a", month(0, 15), plan_type="free"), account("b", seven(99.9, 168), plan_type="plus"), id="a rest"
        ),
        pytest.param(
            account("a", seven(90), plan_type="pro"), account("b", seven(0), plan_type="plus"), id="a tenth of Pro"
        ),
        pytest.param(
            account("a", seven(0), plan_type="plus"), account("b", seven(97), plan_type="pro"), id="a little of Pro"
        ),
        pytest.param(
            account("a", seven(70), plan_type="prolite"), account("b", seven(20), plan_type="team"), id="5 times Plus"
        ),
        pytest.param(
            account("a", five(40), plan_type="business"), account("b", five(50), plan_type="plus"), id="the same size"
        ),
        pytest.param(
            account("a", five(40), plan_type="unheard of"), account("b", five(50), plan_type=None), id="unknown plans"
        ),
    ],
)
def test_a_percent_counts_for_what_it_is_worth(better: AccountStatus, worse: AccountStatus) -> None:
    """Without fitted turns the plans decide; an unknown plan counts as Plus."""
    assert [name for name, _ in order(better, worse)] == ["a", "b"]
    assert [name for name, _ in order(worse, better)] == ["a", "b"]
    ranking = chosen(better, worse)["ranking"]
    assert {each["size_from"] for each in ranking} == {"plan"}


WEEK = 10_080


@pytest.mark.parametrize(
    ("plans", "rates", "sizes"),
    [
        pytest.param(["plus", "pro"], {}, [(1.0, "plan"), (20.0, "plan")], id="nothing fitted"),
        pytest.param(
            ["plus", "pro"], {0: TokenRate(1e-6, WEEK)}, [(1.0, "turns"), (20.0, "plan")], id="one fitted, by its plan"
        ),
        pytest.param(
            ["plus", "plus"],
            {0: TokenRate(1e-6, WEEK), 1: TokenRate(2e-6, WEEK)},
            [(4 / 3, "turns"), (2 / 3, "turns")],
            id="a percent of the first is worth twice as much",
        ),
        pytest.param(
            ["plus", "free"],
            {0: TokenRate(1e-6, WEEK), 1: TokenRate(1e-6, 43_200)},
            [(0.3529412, "turns"), (0.0823529, "turns")],
            id="the same tokens in a longer window",
        ),
        pytest.param(
            ["plus", "plus", "pro"],
            {0: TokenRate(1e-6, WEEK), 1: TokenRate(2e-6, WEEK)},
            [(4 / 3, "turns"), (2 / 3, "turns"), (20.0, "plan")],
            id="one by its plan among fitted ones",
        ),
        pytest.param([None], {0: TokenRate(1e-6, 300)}, [(1.0, "turns")], id="an unknown plan"),
    ],
)
def test_the_size_of_an_account(
    plans: list[str | None], rates: dict[int, TokenRate], sizes: list[tuple[float, str]]
) -> None:
    """In proportion to what a percent was worth in tokens, on the scale of the plans."""
    accounts = [account(f"n{number}", five(1), plan_type=plan) for number, plan in enumerate(plans)]
    found = account_sizes(accounts, {f"n{number}/key": rate for number, rate in rates.items()})
    assert [size.source for size in found.values()] == [source for _, source in sizes]
    assert [size.size for size in found.values()] == pytest.approx([size for size, _ in sizes], rel=1e-4)


def test_fitted_turns_beat_the_plan() -> None:
    """Where a percent was worth more tokens, less of it is as much."""
    few, many = account("few", seven(40)), account("many", seven(60))
    assert chosen(few, many)["name"] == "few"
    rates = {"few/key": TokenRate(3e-6, WEEK), "many/key": TokenRate(1e-6, WEEK)}
    found = chosen(few, many, rates=rates)
    assert found["name"] == "many"
    assert [each["size_from"] for each in found["ranking"]] == ["turns", "turns"]
    assert account_sizes([few], {}) == {"few/key": AccountSize(1.0, "plan")}


def test_the_order_of_ways_to_use_an_account() -> None:
    """Included usage, then credits, then unknown, then blocked."""
    accounts = [
        account("closed", five(1) | seven(100), **FULL),
        account("unknown", None),
        account("credits", seven(100), credits="9.5", **CARRIED),
        account("pressed", seven(99.9)),
    ]
    assert order(*accounts, credits_for=None) == [
        ("pressed", "included"),
        ("credits", "credits"),
        ("unknown", "unknown"),
        ("closed", "blocked"),
    ]


@pytest.mark.parametrize(
    ("credits_for", "balance", "usage"),
    [
        ((), "9.5", "blocked"),
        (None, "9.5", "credits"),
        ({"work/key"}, "9.5", "credits"),
        ({"other/key"}, "9.5", "blocked"),
        (None, "0.00", "blocked"),
        (None, None, "blocked"),
    ],
)
def test_credits_count_if_allowed_and_available(
    credits_for: Collection[str] | None, balance: str | None, usage: str
) -> None:
    """Otherwise an account without included usage is blocked."""
    work = account("work", seven(100), credits=balance, **CARRIED)
    assert order(work, credits_for=credits_for) == [("work", usage)]


def test_the_state_decides_and_not_the_figure() -> None:
    """A full window that the server still allows is open, and the last choice; an unknown state is unknown."""
    full = account("full", seven(100))
    unknown = account("unknown", seven(100, reset_overdue=True), state="unknown")
    assert order(unknown, account("free", seven(10)), full) == [
        ("free", "included"),
        ("full", "included"),
        ("unknown", "unknown"),
    ]


def test_credits_do_not_open_a_blocked_limit() -> None:
    """A blocked account stays blocked with any balance."""
    assert order(account("work", seven(100), credits="9.5", **FULL), credits_for=None) == [("work", "blocked")]


def test_blocked_accounts_have_a_time() -> None:
    """It is the last reset of the full windows; the account that is open first comes first."""
    later = account("later", five(100, 1) | seven(100, 30), **FULL)
    sooner = account("sooner", five(100, 3), blocked_by="5h")
    server = account("server", five(50), blocked_by="limit")
    found = chosen(later, server, sooner)
    assert found["account"] is None
    assert [(each["name"], each["blocked_until"]) for each in found["ranking"]] == [
        ("sooner", NOON + 3 * HOUR),
        ("later", NOON + 30 * HOUR),
        ("server", None),
    ]
    assert [each["reason"] for each in found["ranking"]] == [
        "blocked by 5 h until 2026-11-21 15:00",
        "blocked by 7 d until 2026-11-22 18:00",
        "blocked: the server reports the limit as reached; the reset time is unknown",
    ]


def test_reasons_name_the_window_and_the_age() -> None:
    """A reason has the remaining percent of the tightest window, and the age of an old reading."""
    fresh = chosen(account("work", five(37) | seven(10)))
    old = chosen(account("work", five(37) | seven(10), age_seconds=2 * HOUR))
    assert fresh["reason"] == "63 % of 5 h left, resets in 2 h 30 min"
    assert old["reason"] == "63 % of 5 h left, resets in 2 h 30 min (seen 2 h ago)"
    assert (fresh["ranking"][0]["stale"], old["ranking"][0]["stale"]) == (False, True)
    carried = chosen(account("work", seven(100), credits="9.5", **CARRIED), credits_for=None)
    assert carried["reason"] == "included usage is used up, 9.5 credits left"


def test_an_account_is_known_by_its_limits() -> None:
    """A blocked account is known; an account without limits is not."""
    assert not is_known(chosen())
    assert not is_known(chosen(account("work", None)))
    assert is_known(chosen(account("work", five(100), blocked_by="5h")))


@given(any_accounts, st.sampled_from([None, ()]))
def test_any_accounts_can_be_ranked(accounts: list[AccountStatus], credits_for: Collection[str] | None) -> None:
    """Each account is ranked once, with a reason, and a blocked account is never chosen."""
    found = chosen(*accounts, credits_for=credits_for)
    assert len(found["ranking"]) == len(accounts)
    assert all(each["reason"] for each in found["ranking"])
    json.dumps(found, allow_nan=False)
    if found["account"] is not None:
        assert found["ranking"][0]["usage"] != "blocked"
    else:
        assert all(each["usage"] == "blocked" for each in found["ranking"])
