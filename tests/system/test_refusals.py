"""Refusals: every command agrees with the server's latest message on whether a limit is open."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from click.testing import CliRunner

from addon import headers, messages
from scripts.cli import cli
from store.analysis.formatting import clock_time
from store.models import Snapshot, Source
from tests.support.databases import record
from tests.support.factories import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400
UNTIL = 4 * DAY
NONE = {"has_credits": False, "unlimited": False, "balance": "0"}
SOME = {"has_credits": True, "unlimited": False, "balance": "9.5"}

Message: TypeAlias = "Callable[[float], Snapshot]"


def _snapshot(parsed: messages.ParsedMessage | None, at: float, status: int | None = None) -> Snapshot:
    assert parsed is not None
    return Snapshot(
        identity=ALICE, observed_at=at, source=parsed.source, status=parsed.status or status, reading=parsed.reading
    )


def _window(at: float, used: float) -> dict[str, object]:
    return {"used_percent": used, "window_minutes": 10_080, "reset_at": round(at + UNTIL), "reset_after_seconds": UNTIL}


def event(
    at: float,
    *,
    used: float = 25,
    allowed: bool | None = True,
    reached: bool | None = False,
    credits_status: dict[str, object] = NONE,
) -> Snapshot:
    """A rate-limit event of the websocket."""
    verdict = {"allowed": allowed, "limit_reached": reached}
    limits = {**verdict, "primary": _window(at, used), "secondary": None}
    body = {"type": "codex.rate_limits", "plan_type": "pro", "rate_limits": limits, "credits": credits_status}
    return _snapshot(messages.read_event(json.dumps(body).encode(), at), at)


def usage(at: float, *, used: float = 25, allowed: bool = True, credits_status: dict[str, object] = NONE) -> Snapshot:
    """A usage document."""
    window = {**_window(at, used), "limit_window_seconds": 604_800}
    limits = {"allowed": allowed, "limit_reached": not allowed, "primary_window": window, "secondary_window": None}
    body = {"plan_type": "pro", "rate_limit": limits, "credits": credits_status}
    return _snapshot(messages.read_usage(json.dumps(body).encode(), at), at, 200)


def _error(at: float, until: float) -> dict[str, object]:
    return {
        "type": "usage_limit_reached",
        "plan_type": "pro",
        "resets_at": round(at + until),
        "resets_in_seconds": round(until),
    }


def refused(at: float, *, until: float = UNTIL) -> Snapshot:
    """A refusal on the websocket."""
    body = {"type": "error", "status": 429, "error": _error(at, until), "headers": {}}
    return _snapshot(messages.read_event(json.dumps(body).encode(), at), at)


def refused_over_http(at: float) -> Snapshot:
    """The body of an HTTP 429."""
    return _snapshot(messages.read_error_body(json.dumps({"error": _error(at, UNTIL)}).encode(), at), at, 429)


def response(
    at: float, *, used: float = 25, status: int = 200, reached_type: str | None = None, has_credits: bool = False
) -> Snapshot:
    """The headers of a response."""
    window = {
        "used-percent": used,
        "window-minutes": 10_080,
        "reset-at": round(at + UNTIL),
        "reset-after-seconds": UNTIL,
    }
    fields: dict[str, object] = {f"x-codex-primary-{part}": value for part, value in window.items()}
    fields |= {"x-codex-credits-has-credits": has_credits, "x-codex-credits-balance": "9.5" if has_credits else ""}
    if reached_type:
        fields["x-codex-rate-limit-reached-type"] = reached_type
    found = headers.collect([(name.encode(), str(value).encode()) for name, value in fields.items()])
    reading = headers.read(found, at)
    assert reading is not None
    source = Source.UPGRADE if status == 101 else Source.HEADERS
    return Snapshot(identity=ALICE, observed_at=at, source=source, status=status, reading=reading)


TYPED = partial(response, status=429, reached_type="rate_limit_reached")
DEPLETED = partial(response, status=429, reached_type="workspace_owner_credits_depleted")
FULL = partial(response, used=100)
CARRIED = partial(event, used=100, allowed=True, reached=True, credits_status=SOME)


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, words, prog_name="codex-tap", catch_exceptions=False)
    return result.exit_code, result.stdout


def asked(*words: str) -> dict[str, Any]:
    document = json.loads(invoke(*words, "--json")[1])
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("sent", "blocked_by"),
    [
        pytest.param([event], None, id="allowed"),
        pytest.param([refused], "limit", id="refused"),
        pytest.param([event, refused], "limit", id="allowed-then-refused"),
        pytest.param([usage, refused], "limit", id="usage-then-refused"),
        pytest.param([usage, partial(response, status=429), refused_over_http], "limit", id="usage-then-http-429"),
        pytest.param([event, TYPED], "limit", id="allowed-then-a-reached-type"),
        pytest.param([usage, TYPED], "limit", id="usage-then-a-reached-type"),
        pytest.param([usage, TYPED, refused_over_http], "limit", id="usage-then-a-429-with-both"),
        pytest.param([event, DEPLETED], "credits", id="allowed-then-out-of-credits"),
        pytest.param([event, partial(event, allowed=False)], "limit", id="allowed-then-not-allowed"),
        pytest.param([event, partial(event, allowed=None, reached=True)], "limit", id="allowed-then-reached"),
        pytest.param([refused, event], None, id="refused-then-allowed"),
        pytest.param([event, refused, event], None, id="allowed-again"),
        pytest.param([refused, usage], None, id="refused-then-usage-allowed"),
        pytest.param([refused, partial(usage, allowed=False)], "limit", id="refused-then-usage-not-allowed"),
        pytest.param([event, refused, response], None, id="refused-then-a-response"),
        pytest.param([event, refused, event, refused], "limit", id="refused-again"),
        pytest.param([event, refused, partial(response, status=101)], "limit", id="refused-then-reconnected"),
        pytest.param([event, refused, partial(response, status=429)], "limit", id="refused-then-a-silent-429"),
        pytest.param([refused, partial(FULL, status=101)], "7d", id="refused-then-full"),
        pytest.param(
            [refused, partial(FULL, status=101, has_credits=True)], "7d", id="refused-then-full-window-with-credits"
        ),
        pytest.param([refused, partial(FULL, has_credits=True)], None, id="refused-then-a-response-on-credits"),
        pytest.param([CARRIED], None, id="full-and-carried-by-credits"),
        pytest.param([CARRIED, refused], "7d", id="carried-by-credits-then-refused"),
        pytest.param([partial(usage, used=100, credits_status=SOME), TYPED], "limit", id="no-longer-full-and-refused"),
        pytest.param([event, partial(refused, until=20)], None, id="refused-until-a-time-that-has-passed"),
        pytest.param([partial(refused, until=20), event, refused], "limit", id="refused-after-a-refusal-that-is-over"),
        pytest.param([event, partial(FULL, status=101)], "7d", id="allowed-then-full"),
        pytest.param([partial(event, used=100)], None, id="allowed-though-full"),
    ],
)
def test_the_latest_message_decides(path: Path, sent: list[Message], blocked_by: str | None) -> None:
    """`status`, `guard`, `next` and `statusline` agree: blocked until the reported time, or open."""
    now = time.time()
    first = now - 30 * len(sent)
    record(path, *(message(first + 30 * number) for number, message in enumerate(sent)))

    (limit,) = asked("status")["accounts"][0]["limits"]
    closed = blocked_by is not None
    used_up = any(window["remaining_percent"] == 0 for window in limit["windows"].values())
    verdict, ranking = asked("guard"), asked("next")["ranking"][0]
    assert (limit["blocked_by"], verdict["blocked_by"]) == (blocked_by, blocked_by)
    assert (verdict["exit_code"] == 1) == (closed or used_up)
    assert (ranking["usage"] == "blocked") == (closed or used_up)
    assert ("blocked" in invoke("status")[1]) == closed
    assert ("!" in invoke("statusline")[1]) == closed


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([event, refused], id="websocket"),
        pytest.param([usage, partial(response, status=429), refused_over_http], id="http"),
        pytest.param([usage, TYPED, refused_over_http], id="http-with-a-reached-type"),
    ],
)
def test_the_time_of_a_refusal(path: Path, sent: list[Message]) -> None:
    """Every command shows until when the limit is blocked."""
    at = time.time() - 5
    until = round(at + UNTIL)
    record(path, *(message(at) for message in sent))
    shown_time = clock_time(until)

    (limit,) = asked("status")["accounts"][0]["limits"]
    assert (limit["limit_reached"], limit["blocked_by"], limit["reached_until"]) == (True, "limit", until)
    (shown,) = [line for line in invoke("status")[1].splitlines() if "blocked by the server" in line]
    assert " until " in shown
    assert shown.endswith(shown_time.rpartition(" ")[2])
    code, text = invoke("guard")
    assert (code, text.rstrip()) == (
        1,
        f"below: alice@example.com, the server reports the limit as reached, until {shown_time}",
    )
    assert asked("guard")["wait_until"] == until
    assert (
        asked("next")["ranking"][0]["reason"] == f"blocked: the server reports the limit as reached until {shown_time}"
    )
    assert "blocked! (3d23h)" in invoke("statusline")[1]
    (reached,) = [each for each in asked("events")["events"] if each["kind"] == "limit_reached"]
    assert reached["text"].startswith("The limit is reached, as the server says")


def test_events_have_the_time_of_a_refusal(path: Path) -> None:
    """A limit is reached until a time, and open from then on."""
    start = time.time() - 600
    record(path, event(start), refused(start + 60, until=100), event(start + 300))

    reached, freed = [each for each in asked("events")["events"] if each["kind"] in {"limit_reached", "limit_freed"}]
    assert reached["text"] == f"The limit is reached, as the server says, until {clock_time(round(start + 160))}."
    assert reached["after"]["reached_until"] == freed["at"] == round(start + 160)


@pytest.mark.parametrize(
    "mixture", ["limit_reached = 1, reached_until = ?", "reached_type = 'rate_limit_reached', reached_until = ?"]
)
def test_rows_that_mix_an_older_allowed_with_a_refusal(path: Path, mixture: str) -> None:
    """Earlier versions wrote such rows: they are read as refused, and the next message counts."""
    now = time.time()
    record(path, event(now - 60))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE snapshots SET {mixture}", (round(now + UNTIL),))  # noqa: S608 (our own columns)
    assert (asked("guard")["blocked_by"], invoke("guard")[0]) == ("limit", 1)

    record(path, response(now - 30, status=101))
    assert asked("guard")["blocked_by"] == "limit"
    record(path, response(now - 20))
    assert (asked("guard")["blocked_by"], invoke("guard")[0]) == (None, 0)
