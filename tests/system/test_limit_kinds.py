"""Every kind of limit through a real mitmdump: families of any name, names without ids, budgets."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.replies import (
    Answer,
    Page,
    WireWindow,
    error_body,
    error_event,
    individual_limit,
    limit_headers,
    rate_limits_event,
    usage_document,
)
from store.errors import MissingError
from tests.support.command_line import started
from tests.support.harness import Proxy, connected, wait_until
from tests.support.recorded_rows import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend
    from scripts.demo.client import CodexClient

WHAM = "https://chatgpt.com/backend-api/wham"
NOW = int(time.time())
SPARK = "GPT-5.3-Codex-Spark"
# Without reset-after: it would be wrong by the time that the tests before these take.
FULL = WireWindow(100, 10_080, NOW + 300_000)
RESERVE = WireWindow(14, 10_080, NOW + 400_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


@pytest.fixture
def client(backend: Backend, path: Path) -> Iterator[CodexClient]:
    with Proxy(backend, database=path) as proxy, connected(proxy, backend, "acct-1", http2=True) as client:
        yield client


def limits(path: Path) -> dict[str, float | None]:
    """Return the 7d figure of each limit's current row, or that of its 5h window."""
    query = "SELECT l.limit_id, s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"
    try:
        return {row["limit_id"]: row["used_7d_percent"] or row["used_5h_percent"] for row in rows(path, query)}
    except MissingError:
        return {}


def wait_for_limits(path: Path, expected: dict[str, float | None]) -> None:
    wait_until(lambda: limits(path) == expected, lambda: f"not {expected}: {limits(path)}")


def status(path: Path) -> dict[str, Any]:
    """Return the account of ``status --json``."""
    (account,) = json.loads(started("status", "--json", "--db", path).stdout)["accounts"]
    assert isinstance(account, dict)
    return account


def guard(path: Path, *words: str) -> tuple[int, str]:
    done = started("guard", "--db", path, *words)
    return done.returncode, done.stdout


def reserve_headers(plain: WireWindow, active: str) -> dict[str, str]:
    """Return the plain family beside the one of the reserve."""
    own = limit_headers(RESERVE, limit_id="base_model_inference", limit_name="gpt-reserve")
    return {**limit_headers(plain, plan="plus", active=active), **own}


def test_a_family_that_begins_otherwise(backend: Backend, client: CodexClient, path: Path) -> None:
    """It is a limit of its own; on a turn charged to it the main limit stays as it was, and closed."""
    backend.answer(Answer(headers=reserve_headers(FULL, "premium"), events=[]))
    client.http_turn("say ok")
    wait_for_limits(path, {"codex": 100, "base_model_inference": 14})

    backend.answer(Answer(headers=reserve_headers(RESERVE._replace(used=15), "base_model_inference")))
    client.http_turn("say ok", model="gpt-reserve")
    backend.answer(Answer(headers=reserve_headers(RESERVE, "base_model_inference")))

    wait_until(
        lambda: len(rows(path, "SELECT id FROM requests")) == 2, lambda: "the second turn is not recorded", seconds=10
    )
    assert limits(path) == {"codex": 100, "base_model_inference": 14}
    assert guard(path)[0] == 1
    assert guard(path, "--limit", "base_model_inference")[0] == 0
    assert [row["limit_id"] for row in rows(path, "SELECT limit_id FROM requests ORDER BY id")] == [
        "codex",
        "base_model_inference",
    ]


def test_an_unnamed_message_on_a_turn_of_the_reserve(backend: Backend, client: CodexClient, path: Path) -> None:
    """It is about the reserve, whose name is the model's; on the same socket another turn is the main limit's."""
    backend.answer(Answer(headers=reserve_headers(FULL, "premium"), events=[]))
    client.websocket_turn("say ok")
    backend.answer(Answer(events=[rate_limits_event(RESERVE._replace(used=16))]))
    client.websocket_turn("say ok", model="gpt-reserve")

    wait_for_limits(path, {"codex": 100, "base_model_inference": 16})
    backend.answer(Answer(events=[rate_limits_event(FULL._replace(used=99))]))
    client.websocket_turn("say ok")
    wait_for_limits(path, {"codex": 99, "base_model_inference": 16})
    wait_until(lambda: len(rows(path, "SELECT id FROM requests")) == 3, lambda: "not three turns")
    assert [row["limit_id"] for row in rows(path, "SELECT limit_id FROM requests ORDER BY id")] == [
        *("codex", "base_model_inference", "codex"),
    ]


@pytest.mark.parametrize("as_list", [False, True], ids=["map", "list"])
@pytest.mark.parametrize("name_first", [False, True], ids=["id first", "name first"])
def test_a_name_without_an_id(
    backend: Backend, client: CodexClient, path: Path, as_list: bool, name_first: bool
) -> None:
    """A display name and an id are one limit, in whatever order they come."""
    headers = limit_headers(WireWindow(60, 300, NOW + 3_960), family="bengalfox", limit_name=SPARK)
    figures = rate_limits_event(WireWindow(64, 300, NOW + 3_960))["rate_limits"]
    additional = [{"limit_name": SPARK, "rate_limit": figures}] if as_list else {SPARK: figures}
    named = Answer(events=[rate_limits_event(FULL, additional=additional)])
    answers = [named, Answer(headers=headers)] if name_first else [Answer(headers=headers), named]
    for answer in answers:
        backend.answer(answer)
        # Over HTTP the headers of each answer are its own.
        client.http_turn("say ok")

    wait_for_limits(path, {"codex": 100, "codex_bengalfox": 60 if name_first else 64})
    assert {row["limit_id"] for row in rows(path)} == {"codex", "codex_bengalfox"}
    (spark,) = [limit for limit in status(path)["limits"] if limit["limit_id"] != "codex"]
    assert spark["limit_name"] == SPARK


def business(used: int) -> dict[str, Any]:
    """A usage document whose one limit is a budget."""
    budget = individual_limit(25_000, used, 1_681_405, int(time.time()))
    return usage_document(
        plan="business",
        rate_limit=None,
        credits={"has_credits": True, "unlimited": False, "balance": None},
        spend_control={"reached": used >= 25_000, "individual_limit": budget},
    )


def test_a_budget(backend: Backend, client: CodexClient, path: Path) -> None:
    """It is the limit of an account that has no other, open first and then used up until its reset."""
    backend.answer(Answer(usage=business(24_000)))
    client.get(f"{WHAM}/usage")
    wait_for_limits(path, {"spend_control": None})
    shown = started("status", "--db", path).stdout
    assert "Monthly credit limit (spend_control): 24,000 of 25,000 credits" in shown
    assert "96 % used  4 % left  resets in 19 d" in shown
    assert guard(path, "--min-remaining", "3")[0] == 0

    backend.answer(Answer(usage=business(25_000)))
    client.get(f"{WHAM}/usage")
    wait_until(lambda: status(path)["limits"][0]["blocked_by"] is not None, lambda: "it is not closed")
    code, reason = guard(path)
    assert (code, "0 % of budget left, resets in 19 d" in reason) == (1, True)


def test_banked_resets_and_models(backend: Backend, client: CodexClient, path: Path) -> None:
    """Their expiry comes from a document of its own, which Codex asks for."""
    expires_at = NOW + 86_400
    banked = {"credits": [{"status": "available", "expires_at": expires_at}], "available_count": 1}
    usage = usage_document(
        FULL._replace(reset_after=1),
        model_usage={"gpt-6-astra": {"available": False, "available_at": "2126-11-30T14:38:22Z"}},
        rate_limit_reset_credits={"available_count": 1, "applicable_available_count": 0},
    )
    page = Page(body=banked)
    backend.answer(Answer(usage=usage, pages={"/backend-api/wham/rate-limit-reset-credits": page}))
    client.get(f"{WHAM}/usage")
    client.get(f"{WHAM}/rate-limit-reset-credits")

    wait_for_limits(path, {"codex": 100})
    wait_until(lambda: status(path)["reset_credits_expire"] is not None, lambda: f"no expiry: {status(path)}")
    account = status(path)
    assert (account["reset_credits"], account["reset_credits_applicable"]) == (1, 0)
    assert account["reset_credits_expire"] == [expires_at]
    assert [each["model"] for each in account["unavailable_models"]] == ["gpt-6-astra"]


def test_unknown_fields_are_counted(backend: Backend, client: CodexClient, path: Path) -> None:
    """Names of fields that look like limits are counted, and nothing of their values is stored."""
    secret = "made-up-value"
    event = rate_limits_event(FULL)
    event["rate_limits"]["tertiary"] = {"used_percent": secret}
    backend.answer(Answer(headers={"x-codex-tertiary-used-percent": secret}, events=[event]))
    client.http_turn("say ok")

    def names() -> list[str]:
        return [row["name"] for row in rows(path, "SELECT name FROM sightings ORDER BY name")]

    wait_for_limits(path, {"codex": 100})
    assert names() == ["rate_limits.tertiary", "x-codex-tertiary-used-percent"]
    assert secret.encode() not in b"".join(file.read_bytes() for file in path.parent.glob("tap.sqlite3*"))


@pytest.mark.parametrize("resets_at", [1, NOW - 5 * 3_600, 253_402_300_799], ids=["1970", "hours ago", "9999"])
@pytest.mark.parametrize("transport", ["http", "websocket"])
def test_a_refusal_with_a_time_that_cannot_be(
    backend: Backend, client: CodexClient, path: Path, resets_at: int, transport: str
) -> None:
    """The limit is closed until a turn is answered."""
    take_turn = client.http_turn if transport == "http" else client.websocket_turn
    refusal = error_event(resets_at=resets_at)
    refused = Answer(status=429, body=error_body(resets_at=resets_at))
    backend.answer(refused if transport == "http" else Answer(events=[refusal], completes=False))
    take_turn("say ok")
    wait_until(lambda: guard(path)[0] == 1, lambda: str(guard(path)))
    assert status(path)["limits"][0]["state"] == "refused"

    backend.answer(Answer(headers=limit_headers(RESERVE), events=[rate_limits_event(RESERVE)]))
    take_turn("say ok")
    wait_until(lambda: guard(path)[0] == 0, lambda: str(guard(path)))
