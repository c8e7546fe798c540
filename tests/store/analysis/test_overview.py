"""How all accounts stand at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given

from store.analysis.forecast import Forecast
from store.analysis.overview import overview
from store.analysis.ranking import rank_accounts
from tests.support.factories import NOON
from tests.support.status_factories import HOUR, account, any_accounts, five, seven

if TYPE_CHECKING:
    from store.documents import AccountStatus, Headline, OverviewDocument, WindowForecast

LASTS: dict[str, Any] = {"safe": True, "chance_dry": 0.04}
MAY_RUN_DRY: dict[str, Any] = {"safe": False, "chance_dry": 0.19, "runs_dry_at": NOON + HOUR}
RUNS_DRY: dict[str, Any] = {"safe": False, "chance_dry": 0.9, "runs_dry_at": NOON + HOUR}
MONTH: dict[str, Any] = {"window_minutes": 43_200, "length": "30d"}


def seen(*accounts: AccountStatus, forecasts: dict[str, dict[str, dict[str, Any]]] | None = None) -> OverviewDocument:
    """The overview of accounts; `forecasts` are those of windows by the account's name and the slot."""
    status: Any = {"generated_at": NOON, "accounts": list(accounts)}
    found: Any = {
        "accounts": [
            {
                **each,
                "limits": [_forecasts(limit, (forecasts or {}).get(each["label"], {})) for limit in each["limits"]],
            }
            for each in accounts
        ]
    }
    return overview(status, found, rank_accounts(status, {}))


def _forecasts(limit: Any, told: dict[str, dict[str, Any]]) -> Any:
    return {
        **limit,
        "windows": {slot: _forecast(window, told.get(slot, {})) for slot, window in limit["windows"].items()},
    }


def _forecast(window: Any, told: dict[str, Any]) -> WindowForecast:
    return cast("WindowForecast", {**Forecast()._asdict(), "used_percent": window["used_percent"], **told})


def headline(*accounts: AccountStatus, **options: Any) -> Headline:
    found = seen(*accounts, **options)["headline"]
    assert found is not None
    return found


def window(document: OverviewDocument, slot: str) -> Any:
    return document["accounts"][0]["limits"][0]["windows"][slot]


def test_nothing_is_known() -> None:
    """There is no headline."""
    assert seen()["headline"] is None


def test_which_account_to_use_and_which_are_closed() -> None:
    """The closed ones are ordered by when they open."""
    work, home = account("work", seven(38, 84)), account("home", seven(50, 84))
    lab = account("lab", five(100, 2) | seven(30), blocked_by="5h")
    shop = account("shop", seven(100, 1), blocked_by="7d")
    found = headline(lab, home, shop, work)
    assert (found["state"], found["account"] and found["account"]["label"]) == ("use", "work")
    assert [(each["label"], each["length"], each["until"]) for each in found["closed"]] == [
        ("shop", "7d", NOON + HOUR),
        ("lab", "5h", NOON + 2 * HOUR),
    ]


def test_no_account_can_be_used() -> None:
    """There is none to name, and all is as bad as it can be."""
    found = headline(account("lab", five(100, 2), blocked_by="5h"))
    assert (found["state"], found["account"], found["level"], found["windows"]) == ("wait", None, "high", [])


@pytest.mark.parametrize(
    ("fields", "length"), [({"blocked_by": "limit"}, None), ({"blocked_by": "7d"}, None), ({"blocked_by": "5h"}, "5h")]
)
def test_what_closes_an_account(fields: dict[str, Any], length: str | None) -> None:
    """The server's own word has no window, and a refusal may name one that was never reported."""
    (closed,) = headline(account("lab", five(100), **fields))["closed"]
    assert closed["length"] == length


def test_nothing_is_known_of_the_best_account() -> None:
    """It is named, with its state."""
    found = headline(account("new", None))
    assert (found["state"], found["level"], found["windows"]) == ("unknown", None, [])


def test_credits_may_carry_an_account() -> None:
    """`next` counts none that may not spend credits: it is closed."""
    found = headline(account("rich", seven(100), credits="9.5", on_credits=True))
    assert (found["state"], found["on_credits"]) == ("wait", False)


@pytest.mark.parametrize(
    ("windows", "forecasts", "slots", "level"),
    [
        (five(10) | seven(20), {}, ["7d"], "low"),
        (five(10) | seven(90), {"7d": LASTS}, ["7d"], "low"),
        (five(10) | seven(20), {"5h": LASTS, "7d": MAY_RUN_DRY}, ["7d"], "medium"),
        (five(10) | seven(20), {"5h": RUNS_DRY, "7d": LASTS}, ["5h", "7d"], "high"),
        (five(10), {"5h": LASTS}, ["5h"], "low"),
        ({**seven(20), "30d": {**seven(20)["7d"], **MONTH}}, {}, ["30d"], "low"),
        ({**five(20), "budget": {**seven(20, window_minutes=None)["7d"]}}, {}, ["budget"], "low"),
    ],
    ids=[
        "the longest",
        "a full one that lasts",
        "the longest is pressed",
        "another is pressed",
        "one",
        "30 d",
        "budget",
    ],
)
def test_the_windows_of_the_headline(
    windows: Any, forecasts: dict[str, dict[str, Any]], slots: list[str], level: str
) -> None:
    """The longest window, and before it those that may run dry."""
    found = headline(account("work", windows), forecasts={"work": forecasts})
    assert [each["slot"] for each in found["windows"]] == slots
    assert found["level"] == level


def test_the_most_pressed_account_is_the_first() -> None:
    """A closed one, then one that likely runs dry, however little it has used."""
    calm, dry = account("calm", seven(90)), account("dry", seven(10))
    closed = account("closed", five(100), blocked_by="5h")
    found = seen(calm, dry, closed, forecasts={"dry": {"7d": RUNS_DRY}, "calm": {"7d": LASTS}})
    assert [(each["label"], each["level"]) for each in found["accounts"]] == [
        ("closed", "high"),
        ("dry", "high"),
        ("calm", "low"),
    ]


@pytest.mark.parametrize(
    ("used", "told", "level", "lasts"),
    [
        (10, LASTS, "low", 0.96),
        (10, MAY_RUN_DRY, "medium", 0.81),
        (90, {}, "high", None),
        (None, {}, None, None),
        (100, {"safe": False, "chance_dry": 1.0}, "high", None),
    ],
)
def test_what_is_shown_of_a_window(
    used: float | None, told: dict[str, Any], level: str | None, lasts: float | None
) -> None:
    """Its level, and the chance that it lasts, which a full one has no more."""
    found = window(seen(account("work", seven(used)), forecasts={"work": {"7d": told}}), "7d")
    assert (found["level"], found["chance_lasts"]) == (level, lasts)


@pytest.mark.parametrize(
    ("left", "fields", "elapsed"),
    [
        (84, {}, 50.0),
        (168, {}, 0.0),
        (200, {}, 0.0),
        (0, {}, 100.0),
        (None, {}, None),
        (84, {"window_minutes": None}, None),
        (0, {"reset_unseen": True}, None),
        (0, {"reset_overdue": True}, None),
    ],
)
def test_the_time_that_has_passed(left: float | None, fields: dict[str, Any], elapsed: float | None) -> None:
    """It is unknown without a length, and after a reset of which nothing was seen."""
    assert window(seen(account("work", seven(20, left, **fields))), "7d")["elapsed_percent"] == elapsed


def test_a_limit_of_unknown_state_has_no_level() -> None:
    """Its figures are from before a reset that was due."""
    found = seen(account("work", seven(20), state="unknown"))
    assert found["accounts"][0]["level"] is None


@given(any_accounts)
def test_any_accounts_have_an_overview(accounts: list[AccountStatus]) -> None:
    """Each of them once, and a headline about them."""
    named = [cast("AccountStatus", {**each, "account": str(place)}) for place, each in enumerate(accounts)]
    found = seen(*named)
    assert {each["account"] for each in found["accounts"]} == {each["account"] for each in named}
    assert (found["headline"] is None) == (not named)
