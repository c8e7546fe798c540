"""Case by case: what Codex itself makes of an answer, and what the tap makes of the same bytes.

Codex writes the limits it saw into its session file, and every tool that reads those files inherits what is wrong
there. Where one family is on the wire the file is right and serves as the oracle; where it is not, the case says what
Codex writes, so that a Codex that mends it shows up as a failure here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import app_server_rate_limits, exec_turn, log_in, session_rate_limits
from scripts.demo.replies import (
    NO_WINDOW,
    Answer,
    WireWindow,
    credits_object,
    error_body,
    error_event,
    individual_limit,
    limit_headers,
    rate_limits_event,
    usage_document,
    usage_limit,
)
from store.database import open_reader
from store.errors import MissingError
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from tests.support.harness import Proxy, codex_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scripts.demo.backend import Backend

NOW = int(time.time())
REACHED = "rate_limit_reached"

Figures = dict[str, dict[int, tuple[float, int]]]
"""Limit id to window minutes to used percent and reset."""


def window(used: float, minutes: int, seconds: int) -> WireWindow:
    """A window that resets so many seconds after the start of the tests.

    It has no reset-after, which would be wrong by the time that the tests before take.
    """
    return WireWindow(used, minutes, NOW + seconds)


def counting_down(found: WireWindow) -> WireWindow:
    """The window with its reset-after, which Codex wants to see in a usage document."""
    return found._replace(reset_after=int(found.reset_at or 0) - int(time.time()))


FIVE, SEVEN, MONTH = window(13, 300, 9_000), window(41, 10_080, 300_000), window(5, 43_200, 900_000)
SPARK_FIVE, SPARK_SEVEN = window(7, 300, 8_000), window(3, 10_080, 200_000)
FULL = FIVE._replace(used=100)
SPARK_HEADERS = limit_headers(SPARK_FIVE, SPARK_SEVEN, family="bengalfox", limit_name="GPT-5.3-Codex-Spark")
RESERVE_HEADERS = limit_headers(SPARK_FIVE, SPARK_SEVEN, limit_id="base_model_inference", limit_name="gpt-reserve")
REFUSED = limit_headers(FULL, SEVEN, plan="plus", active="premium", reached_type=REACHED)


def told(**limits: tuple[WireWindow, ...]) -> Figures:
    """The figures of windows as they went over the wire."""
    return {
        limit_id: {found.minutes: (found.used, int(found.reset_at or 0)) for found in windows}
        for limit_id, windows in limits.items()
    }


MAIN = told(codex=(FIVE, SEVEN))
SPARK = told(codex_bengalfox=(SPARK_FIVE, SPARK_SEVEN))
RESERVE = told(base_model_inference=(SPARK_FIVE, SPARK_SEVEN))


@dataclass(frozen=True)
class Case:
    """An answer, what is on the wire in it, and what Codex's own log says where that is something else."""

    answer: Answer
    wire: Figures
    codex: Figures | None = None

    @property
    def log(self) -> Figures:
        """What Codex's session file is expected to say."""
        return self.wire if self.codex is None else self.codex


def over_http(*headers: dict[str, str], **fields: Any) -> Answer:
    """A turn over HTTP, the websocket being refused."""
    merged = {name: value for each in headers for name, value in each.items()}
    return Answer(upgrade=426, headers=merged, **fields)


def headers(primary: WireWindow, secondary: WireWindow, **fields: Any) -> dict[str, str]:
    """The plain family of a Plus account."""
    return limit_headers(primary, secondary, **{"plan": "plus", "active": "premium", **fields})


CASES = {
    "5h and 7d": Case(over_http(headers(FIVE, SEVEN)), MAIN),
    "7d first": Case(over_http(headers(SEVEN, FIVE)), MAIN),
    "7d alone": Case(over_http(headers(SEVEN, NO_WINDOW)), told(codex=(SEVEN,))),
    "30d alone (Free)": Case(over_http(headers(MONTH, NO_WINDOW, plan="free")), told(codex=(MONTH,))),
    "above 100, on credits": Case(
        over_http(headers(FIVE._replace(used=103.5), SEVEN, credits=credits_object(has=True, balance="9.5"))),
        told(codex=(FIVE._replace(used=103.5), SEVEN)),
    ),
    "websocket message": Case(Answer(events=[rate_limits_event(FIVE, SEVEN)]), MAIN),
    "websocket message about another limit": Case(
        Answer(events=[rate_limits_event(SPARK_FIVE, SPARK_SEVEN, metered_limit_name="codex_bengalfox")]), SPARK
    ),
    "two limits in one answer": Case(over_http(headers(FIVE, SEVEN), SPARK_HEADERS), {**MAIN, **SPARK}, SPARK),
    "a turn charged to the other limit": Case(
        over_http(headers(SPARK_FIVE, SPARK_SEVEN, active="codex_bengalfox"), SPARK_HEADERS), SPARK
    ),
    "further limits in a websocket message": Case(
        Answer(
            events=[
                rate_limits_event(
                    FIVE,
                    SEVEN,
                    additional={
                        "codex_bengalfox": {
                            "limit_name": "GPT-5.3-Codex-Spark",
                            "rate_limit": rate_limits_event(SPARK_FIVE, SPARK_SEVEN)["rate_limits"],
                        }
                    },
                )
            ]
        ),
        {**MAIN, **SPARK},
        MAIN,
    ),
    "a limit whose id begins otherwise": Case(
        over_http(headers(FIVE, SEVEN), RESERVE_HEADERS), {**MAIN, **RESERVE}, RESERVE
    ),
    "a turn charged to a limit whose id begins otherwise": Case(
        over_http(headers(SPARK_FIVE, SPARK_SEVEN, active="base_model_inference"), RESERVE_HEADERS), RESERVE
    ),
    "further limits by their display names": Case(
        Answer(
            headers=SPARK_HEADERS,
            events=[
                rate_limits_event(
                    FIVE,
                    SEVEN,
                    additional={"GPT-5.3-Codex-Spark": rate_limits_event(SPARK_FIVE, SPARK_SEVEN)["rate_limits"]},
                )
            ],
        ),
        {**MAIN, **SPARK},
        MAIN,
    ),
    "refused over HTTP (429)": Case(
        over_http(REFUSED, status=429, body=error_body(resets_at=NOW + 9_000)),
        told(codex=(FULL, SEVEN)),
        {"premium": {}},
    ),
    "refused over the websocket": Case(
        Answer(events=[error_event(headers=REFUSED, resets_at=NOW + 9_000)], completes=False),
        told(codex=(FULL, SEVEN)),
        {"premium": {}},
    ),
    "message inside an SSE body": Case(over_http(events=[rate_limits_event(FIVE, SEVEN)]), MAIN, {"codex": {}}),
    "headers of the websocket's upgrade": Case(Answer(headers=headers(FIVE, SEVEN)), MAIN, {}),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "tap.sqlite3"


@pytest.fixture(scope="module")
def proxy(backend: Backend, path: Path) -> Iterator[Proxy]:
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        yield proxy


def tapped(path: Path, account_id: str) -> Mapping[str, Any] | None:
    """What the tap knows of an account; None before it knows any limit."""
    try:
        connection = open_reader(path)
    except MissingError:
        return None
    found = [account for account in load_accounts(connection) if account.key.startswith(f"{account_id}/")]
    document = load_status(connection, time.time(), found)
    connection.close()
    return next((account for account in document["accounts"] if account["limits"]), None)


def tap_figures(path: Path, account_id: str) -> Figures:
    account = tapped(path, account_id) or {"limits": []}
    return {
        limit["limit_id"]: {
            each["window_minutes"]: (each["used_percent"], each["resets_at"]) for each in limit["windows"].values()
        }
        for limit in account["limits"]
    }


def log_figures(home: Path) -> Figures:
    """The last word of Codex's session file."""
    return {
        found["limit_id"]: {
            each["window_minutes"]: (each["used_percent"], each["resets_at"])
            for each in (found["primary"], found["secondary"])
            if each
        }
        for found in session_rate_limits(home)[-1:]
    }


@pytest.mark.parametrize("name", CASES)
def test_case(codex: str, backend: Backend, proxy: Proxy, path: Path, tmp_path: Path, name: str) -> None:
    """The tap says what was on the wire, whether or not Codex's own log does."""
    case, account_id = CASES[name], f"acct-{list(CASES).index(name)}"
    backend.answer(case.answer, account=account_id)
    log_in(tmp_path / "home", account_id, "user-1")

    exec_turn(codex, tmp_path / "home", "say ok", codex_environment(proxy, tmp_path / "home"))

    wait_until(
        lambda: tap_figures(path, account_id) == case.wire,
        lambda: f"on the wire: {case.wire}\nthe tap: {tap_figures(path, account_id)}",
        seconds=10,
    )
    assert log_figures(tmp_path / "home") == case.log


def test_app_server(codex: str, backend: Backend, proxy: Proxy, path: Path, tmp_path: Path) -> None:
    """``account/rateLimits/read`` asks the server again; the tap, which only listened, knows the same figures."""
    account_id = "acct-app-server"
    five, seven, *others = map(counting_down, (FIVE, SEVEN, SPARK_FIVE, SPARK_SEVEN))
    spark = usage_limit("GPT-5.3-Codex-Spark", "codex_bengalfox", *others)
    backend.answer(Answer(usage=usage_document(five, seven, plan="pro", additional=[spark])), account=account_id)
    log_in(tmp_path / "home", account_id, "user-1")

    answer = app_server_rate_limits(codex, tmp_path / "home", codex_environment(proxy, tmp_path / "home"))

    said = {
        limit_id: {
            each["windowDurationMins"]: (each["usedPercent"], each["resetsAt"])
            for each in (found["primary"], found["secondary"])
            if each
        }
        for limit_id, found in answer["rateLimitsByLimitId"].items()
    }
    wait_until(lambda: tapped(path, account_id) is not None, lambda: "nothing was recorded", seconds=10)
    account = tapped(path, account_id)
    assert account is not None
    assert tap_figures(path, account_id) == said == {**MAIN, **SPARK}
    assert account["plan_type"] == answer["rateLimits"]["planType"] == "pro"
    assert [limit["limit_name"] for limit in account["limits"]] == [None, "GPT-5.3-Codex-Spark"]


def test_app_server_budget(codex: str, backend: Backend, proxy: Proxy, path: Path, tmp_path: Path) -> None:
    """A budget is the individual limit of ``account/rateLimits/read``, with the same amounts and figures."""
    account_id = "acct-budget"
    budget = individual_limit(25_000, 24_000, 1_681_405, int(time.time()))
    spend_control = {"reached": False, "individual_limit": budget}
    unlimited = {"has_credits": True, "unlimited": False, "balance": None}
    usage = usage_document(plan="business", rate_limit=None, credits=unlimited, spend_control=spend_control)
    backend.answer(Answer(usage=usage), account=account_id)
    log_in(tmp_path / "home", account_id, "user-1")

    answer = app_server_rate_limits(codex, tmp_path / "home", codex_environment(proxy, tmp_path / "home"))

    wait_until(lambda: tapped(path, account_id) is not None, lambda: "nothing was recorded", seconds=10)
    account = tapped(path, account_id)
    assert account is not None
    said = answer["rateLimits"]["individualLimit"]
    (limit,) = account["limits"]
    window = limit["windows"]["budget"]
    assert (limit["limit_id"], answer["rateLimits"]["primary"]) == ("spend_control", None)
    assert (limit["budget"]["limit"], limit["budget"]["used"]) == (said["limit"], said["used"]) == ("25000", "24000")
    assert (window["remaining_percent"], window["resets_at"]) == (said["remainingPercent"], said["resetsAt"])
    assert limit["limit_reached"] is answer["rateLimits"]["spendControlReached"] is False
