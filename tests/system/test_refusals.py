"""Open, refused, on credits or unknown: every command, the API, the metrics and the alerts say the same of a limit."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from click.testing import CliRunner

from addon import headers, messages
from scripts.cli import cli
from scripts.launch import closing_line
from store.analysis.formatting import clock_time
from store.models import Snapshot, Source, Transport
from tests.support import web_server
from tests.support.databases import record
from tests.support.factories import ALICE, turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.models import Turn

DAY = 86_400
UNTIL = 4 * DAY
NONE = {"has_credits": False, "unlimited": False, "balance": "0"}
SOME = {"has_credits": True, "unlimited": False, "balance": "12.5"}

Message: TypeAlias = "Callable[[float], Snapshot | Turn]"


def _snapshot(parsed: messages.ParsedMessage | None, at: float, status: int | None = None) -> Snapshot:
    assert parsed is not None
    return Snapshot(
        identity=ALICE, observed_at=at, source=parsed.source, status=parsed.status or status, reading=parsed.reading
    )


def _window(at: float, used: float | None) -> dict[str, object]:
    return {"used_percent": used, "window_minutes": 10_080, "reset_at": round(at + UNTIL), "reset_after_seconds": UNTIL}


def event(
    at: float,
    *,
    used: float | None = 25,
    allowed: bool | None = True,
    reached: bool | None = False,
    credits_status: dict[str, object] = NONE,
) -> Snapshot:
    """A rate-limit event of the websocket."""
    verdict = {"allowed": allowed, "limit_reached": reached}
    limits = {**verdict, "primary": _window(at, used), "secondary": None}
    body = {"type": "codex.rate_limits", "plan_type": "pro", "rate_limits": limits, "credits": credits_status}
    return _snapshot(messages.read_event(json.dumps(body).encode(), at), at)


def usage(
    at: float,
    *,
    used: float = 25,
    allowed: bool = True,
    credits_status: dict[str, object] = NONE,
    reached_type: str | None = None,
) -> Snapshot:
    """A usage document."""
    window = {**_window(at, used), "limit_window_seconds": 604_800}
    limits = {"allowed": allowed, "limit_reached": not allowed, "primary_window": window, "secondary_window": None}
    reached = {"type": reached_type} if reached_type else None
    body = {
        "plan_type": "pro",
        "rate_limit": limits,
        "credits": credits_status,
        "rate_limit_reached_type": reached,
    }
    return _snapshot(messages.read_usage(json.dumps(body).encode(), at), at, 200)


def _error(at: float, until: float) -> dict[str, object]:
    return {
        "type": "usage_limit_reached",
        "plan_type": "pro",
        "resets_at": round(at + until),
        "resets_in_seconds": round(until),
    }


def refused(at: float, *, until: float = UNTIL, **fields: object) -> Snapshot:
    """A refusal on the websocket."""
    body = {"type": "error", "status": 429, "error": _error(at, until) | fields, "headers": {}}
    return _snapshot(messages.read_event(json.dumps(body).encode(), at), at)


def failed(at: float, *, source: Source = Source.WEBSOCKET, **fields: object) -> Snapshot:
    """A refusal inside `response.failed`."""
    body = {
        "type": "response.failed",
        "response": {"id": "r-1", "status": "failed", "error": _error(at, UNTIL) | fields},
    }
    return _snapshot(messages.read_event(json.dumps(body).encode(), at, source), at, 200)


def completed(at: float, *, transport: Transport = Transport.WEBSOCKET, seconds: float = 9, **fields: Any) -> Turn:
    """A turn that the server has completed."""
    return turn(at=at, **fields).model_copy(update={"transport": transport, "started_at": at - seconds})


def refused_over_http(at: float, **fields: object) -> Snapshot:
    """The body of an HTTP 429."""
    body = {"error": _error(at, UNTIL) | fields}
    return _snapshot(messages.read_error_body(json.dumps(body).encode(), at), at, 429)


def response(
    at: float,
    *,
    used: float = 25,
    status: int = 200,
    reached_type: str | None = None,
    has_credits: bool = False,
) -> Snapshot:
    """The headers of a response."""
    window = {
        "used-percent": used,
        "window-minutes": 10_080,
        "reset-at": round(at + UNTIL),
        "reset-after-seconds": UNTIL,
    }
    fields: dict[str, object] = {f"x-codex-primary-{part}": value for part, value in window.items()}
    fields |= {"x-codex-credits-has-credits": has_credits, "x-codex-credits-balance": "12.5" if has_credits else ""}
    fields["x-codex-credits-unlimited"] = False
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


USED_UP = partial(event, used=100, allowed=False, reached=True)
USED_UP_WITH_CREDITS = partial(USED_UP, credits_status=SOME)
CAPPED = partial(usage, used=100, allowed=False, credits_status=SOME | {"overage_limit_reached": True})
SHARED = "subscription_sharing_usage_limit_exceeded"

CASES: dict[str, tuple[list[Message], str, str | None]] = {
    "allowed": ([event], "open", None),
    "nothing is said of it": ([partial(response, status=101)], "open", None),
    "no figure and no word": ([partial(event, used=None, allowed=None, reached=None)], "unknown", None),
    "refused": ([refused], "refused", "limit"),
    # A refusal after an allowed message.
    "allowed, then refused": ([event, refused], "refused", "limit"),
    "usage, then refused": ([usage, refused], "refused", "limit"),
    "usage, then an HTTP 429": ([usage, partial(response, status=429), refused_over_http], "refused", "limit"),
    "allowed, then a reached type": ([event, TYPED], "refused", "limit"),
    "usage, then a reached type": ([usage, TYPED], "refused", "limit"),
    "usage, then a 429 with both": ([usage, TYPED, refused_over_http], "refused", "limit"),
    "allowed, then failed on the websocket": ([event, failed], "refused", "limit"),
    "allowed, then failed in a streamed response": ([event, partial(failed, source=Source.SSE)], "refused", "limit"),
    "allowed, then out of credits": ([event, DEPLETED], "refused", "credits"),
    "allowed, then the owner's credits are gone": (
        [event, partial(usage, allowed=False, reached_type="workspace_owner_credits_depleted")],
        "refused",
        "credits",
    ),
    "shared subscription": ([event, partial(refused, type=SHARED)], "refused", "limit"),
    "shared subscription, failed": ([event, partial(failed, type=None, code=SHARED)], "refused", "limit"),
    # What a refusal names.
    "refused by 5 h": ([event, partial(refused, limit_window_minutes=300)], "refused", "5h"),
    "refused by 7 d": ([event, partial(refused, limit_window_minutes=10_080)], "refused", "7d"),
    "refused by 5 h over HTTP": ([usage, partial(refused_over_http, limit_window_minutes=300)], "refused", "5h"),
    "refused by 5 h and again without": ([partial(refused, limit_window_minutes=300), refused], "refused", "5h"),
    "refused by 5 h, later by no window": (
        [partial(refused, limit_window_minutes=300), partial(refused, until=UNTIL + DAY)],
        "refused",
        "limit",
    ),
    # What is no refusal.
    "allowed, then not allowed": ([event, partial(event, allowed=False)], "refused", "limit"),
    "allowed, then reached": ([event, partial(event, allowed=None, reached=True)], "refused", "limit"),
    "allowed though full": ([partial(event, used=100)], "open", None),
    "allowed, then full": ([event, partial(FULL, status=101)], "refused", "7d"),
    # Included usage is used up.
    "used up": ([USED_UP], "refused", "7d"),
    "used up, with credits": ([USED_UP_WITH_CREDITS], "on_credits", None),
    "used up in a usage document, with credits": (
        [partial(usage, used=100, allowed=False, credits_status=SOME)],
        "on_credits",
        None,
    ),
    "reported as reached, with credits": (
        [partial(usage, used=100, allowed=False, credits_status=SOME, reached_type="rate_limit_reached")],
        "on_credits",
        None,
    ),
    "reported as out of credits, with a balance": (
        [
            partial(
                usage, used=100, allowed=False, credits_status=SOME, reached_type="workspace_member_credits_depleted"
            )
        ],
        "refused",
        "credits",
    ),
    "not allowed without a full window, with credits": (
        [partial(event, allowed=False, reached=True, credits_status=SOME)],
        "on_credits",
        None,
    ),
    "used up, the credits are spent": (
        [partial(USED_UP, credits_status=SOME | {"balance": "0.00"})],
        "refused",
        "7d",
    ),
    "used up, credits without limit": (
        [partial(USED_UP, credits_status={"has_credits": False, "unlimited": True})],
        "on_credits",
        None,
    ),
    "used up, the cap on credits is reached": ([CAPPED], "refused", "7d"),
    "full and carried": ([CARRIED], "on_credits", None),
    "full by headers, with credits": ([partial(FULL, has_credits=True)], "on_credits", None),
    "used up, with credits, then refused": ([USED_UP_WITH_CREDITS, refused], "refused", "7d"),
    "used up, with credits, then a reached type": ([USED_UP_WITH_CREDITS, TYPED], "refused", "limit"),
    "carried, then refused": ([CARRIED, refused], "refused", "7d"),
    "refused, then used up with credits": ([refused, USED_UP_WITH_CREDITS], "refused", "7d"),
    "used up with credits, and the turn completes": ([USED_UP_WITH_CREDITS, completed], "on_credits", None),
    "used up with credits, over HTTP": (
        [USED_UP_WITH_CREDITS, partial(FULL, has_credits=True)],
        "on_credits",
        None,
    ),
    "used up without credits, and the turn completes": (
        [partial(event, allowed=False, reached=True), completed],
        "open",
        None,
    ),
    # What ends a refusal.
    "refused, then allowed": ([refused, event], "open", None),
    "allowed again": ([event, refused, event], "open", None),
    "refused, then usage allows": ([refused, usage], "open", None),
    "refused, then usage does not": ([refused, partial(usage, allowed=False)], "refused", "limit"),
    "refused, then a response": ([event, refused, response], "open", None),
    "refused, then a turn completes": ([event, refused, completed], "open", None),
    "refused, then a turn completes over HTTP": (
        [event, refused, partial(completed, transport=Transport.HTTP, status=200)],
        "open",
        None,
    ),
    "failed, then a turn completes": ([event, failed, completed], "open", None),
    "out of credits, then a turn completes": ([event, DEPLETED, completed], "open", None),
    "refused with credits, then a turn completes": (
        [USED_UP_WITH_CREDITS, refused, completed, USED_UP_WITH_CREDITS],
        "on_credits",
        None,
    ),
    "refused, a turn from before it completes": ([event, refused, partial(completed, seconds=40)], "refused", "limit"),
    "refused, a turn fails": ([event, refused, partial(completed, error_type="server_error")], "refused", "limit"),
    "refused, a turn is cut off": ([event, refused, partial(completed, error_type="interrupted")], "refused", "limit"),
    "refused, a turn is refused": (
        [event, refused, partial(completed, status=429, error_type="usage_limit_reached")],
        "refused",
        "limit",
    ),
    "refused, a warm-up completes": ([event, refused, partial(completed, warm_up=True)], "refused", "limit"),
    "refused, another limit's turn completes": (
        [event, refused, partial(completed, limit_id="codex_bengalfox")],
        "refused",
        "limit",
    ),
    "refused, a turn completes, refused": ([event, refused, completed, refused], "refused", "limit"),
    "refused again": ([event, refused, event, refused], "refused", "limit"),
    "refused, then reconnected": ([event, refused, partial(response, status=101)], "refused", "limit"),
    "refused, then a silent 429": ([event, refused, partial(response, status=429)], "refused", "limit"),
    "refused, then full": ([refused, partial(FULL, status=101)], "refused", "7d"),
    "refused, then full with credits": ([refused, partial(FULL, status=101, has_credits=True)], "refused", "7d"),
    "refused, then a response on credits": ([refused, partial(FULL, has_credits=True)], "on_credits", None),
    "refused, and no longer full": ([partial(usage, used=100, credits_status=SOME), TYPED], "refused", "limit"),
    "until a time that has passed": ([event, partial(refused, until=20)], "open", None),
    # By a clock that is hours off, without the seconds that are left.
    "until a time that was over before": ([event, partial(refused, until=-5 * 3_600)], "refused", "limit"),
    "until a time that was over before, then a turn completes": (
        [event, partial(refused, until=-5 * 3_600), completed],
        "open",
        None,
    ),
    "until a time that was just over": ([event, partial(refused, until=-60)], "open", None),
    "until a time to come": ([event, partial(refused, until=40)], "refused", "limit"),
    "refused after a refusal that is over": ([partial(refused, until=20), event, refused], "refused", "limit"),
}


@pytest.mark.parametrize(("sent", "state", "blocked_by"), CASES.values(), ids=CASES)
def test_all_say_the_same(path: Path, sent: list[Message], state: str, blocked_by: str | None) -> None:
    """What each command, the API, the metrics and the alerts make of the same messages, half a minute apart."""
    now = time.time()
    first = now - 30 * len(sent)
    record(path, *(message(first + 30 * number) for number, message in enumerate(sent)))
    (limit,) = [each for each in asked("status")["accounts"][0]["limits"] if each["limit_id"] == "codex"]

    assert (limit["state"], limit["blocked_by"], limit["on_credits"]) == (state, blocked_by, state == "on_credits")
    assert said(path) == dict.fromkeys(said(path), state)


def said(path: Path) -> dict[str, str]:
    """Return the state of the main limit as each door gives it."""
    with web_server.Site(path) as site:
        (limit,) = [
            each for each in site.get("/api/usage").document["accounts"][0]["limits"] if each["limit_id"] == "codex"
        ]
        metrics = site.get("/metrics").text
    verdict, (ranked,) = asked("guard"), asked("next", "--credits", "all")["ranking"]
    statusline = json.loads(invoke("statusline", "--format", "json")[1])
    limits = asked("status")["accounts"]
    return {
        "status": _in_words(invoke("status")[1]),
        "statusline": _in_words(" ".join(f"<{word}>" for word in invoke("statusline")[1].split())),
        "statusline --format json": statusline["state"],
        "guard": _of_guard(verdict),
        "next": {"included": "open", "credits": "on_credits", "blocked": "refused"}.get(ranked["usage"], "unknown"),
        "the closing line of run": _in_words(" ".join(closing_line.figures(limits, time.time()))),
        "api": limit["state"],
        "metrics": _of_metrics(metrics),
    }


_WORDS = {
    "unknown": ("<unknown>", "not known", "? used"),
    "refused": ("blocked", "refused", "!>"),
    "on_credits": ("running on credits", "<credits>"),
}


def _in_words(text: str) -> str:
    return next((state for state, words in _WORDS.items() if any(word in text for word in words)), "open")


def _of_guard(verdict: dict[str, Any]) -> str:
    if verdict["blocked_by"]:
        assert (verdict["answer"], verdict["exit_code"]) == ("below", 1)
        return "refused"
    if verdict["answer"] == "unknown":
        return "unknown"
    return "on_credits" if "running on credits" in verdict["reason"] else "open"


def _of_metrics(text: str) -> str:
    values = dict(re.findall(r'^(codex_tap_limit_(?:blocked|reached)){[^}]*limit="codex"} (\S+)$', text, re.MULTILINE))
    if not values:
        return "unknown"
    if values["codex_tap_limit_blocked"] == "1.0":
        return "refused"
    return "on_credits" if values["codex_tap_limit_reached"] == "1.0" else "open"


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
        f"below: alice@example.com (seen last), the server reports the limit as reached, until {shown_time}",
    )
    assert asked("guard")["wait_until"] == until
    assert (
        asked("next")["ranking"][0]["reason"] == f"blocked: the server reports the limit as reached until {shown_time}"
    )
    assert "blocked! (3d23h)" in invoke("statusline")[1]
    (reached,) = [each for each in asked("events")["events"] if each["kind"] == "limit_reached"]
    assert reached["text"].startswith("The limit is reached, as the server says")


HAPPENED: dict[str, tuple[list[Message], list[str], bool]] = {
    "allowed": ([event, usage], [], False),
    "refused": ([event, refused], ["limit_reached"], True),
    "refused by 5 h": ([event, partial(refused, limit_window_minutes=300)], ["limit_reached"], True),
    "refused, and a turn completes": ([event, refused, completed], ["limit_reached", "limit_freed"], False),
    "refused, and a turn fails": (
        [event, refused, partial(completed, error_type="server_error")],
        ["limit_reached"],
        True,
    ),
    "used up, with credits": ([event, USED_UP_WITH_CREDITS], ["limit_reached"], True),
    "used up, with credits, and the turn completes": (
        [event, USED_UP_WITH_CREDITS, completed],
        ["limit_reached"],
        True,
    ),
    "carried by credits, then refused": (
        [event, USED_UP_WITH_CREDITS, refused],
        ["limit_reached", "limit_reached"],
        True,
    ),
    "full, then refused": ([event, partial(FULL, status=101), refused], ["limit_reached"], True),
}


@pytest.mark.parametrize(("sent", "kinds", "alerted"), HAPPENED.values(), ids=HAPPENED)
def test_events_and_alerts_say_the_same(path: Path, sent: list[Message], kinds: list[str], alerted: bool) -> None:
    """A limit that is refused, or that credits carry, was reached; an alert about it holds as long as that does."""
    now = time.time()
    first = now - 30 * len(sent)
    record(path, *(message(first + 30 * number) for number, message in enumerate(sent)))
    config = path.with_name("alerts.toml")
    config.write_text('[targets]\nlog = ["true"]\n\n[[rules]]\nlimit_reached = true\n', "utf-8")
    config.chmod(0o600)

    found = [each["kind"] for each in asked("events")["events"] if each["kind"].startswith("limit_")]
    assert found == kinds
    assert bool(asked("alerts", "check", "--config", str(config))["due"]) == alerted
    state = asked("status")["accounts"][0]["limits"][0]["state"]
    assert (state in {"refused", "on_credits"}) == alerted


def test_a_refusal_that_names_its_window(path: Path) -> None:
    """People see the window and the time, although no message has reported that window."""
    at = time.time() - 5
    until = round(at + UNTIL)
    record(path, event(at), refused(at, limit_window_minutes=300))

    assert "blocked by 5 h until " in invoke("status")[1]
    assert asked("guard")["reason"] == f"blocked by 5 h, until {clock_time(until)}"
    assert asked("next")["ranking"][0]["reason"] == f"blocked by 5 h until {clock_time(until)}"
    assert "blocked! (3d23h)" in invoke("statusline")[1]
    assert closing_line.figures(asked("status")["accounts"], at)[0].startswith("blocked by 5 h until ")


def test_a_turn_on_credits_makes_no_rows(path: Path) -> None:
    """Neither a completed turn nor a response contradicts that included usage is used up and credits carry it."""
    start = time.time() - 600
    turns = [
        message(start + 20 * number)
        for number in range(3)
        for message in (USED_UP_WITH_CREDITS, partial(FULL, has_credits=True), completed)
    ]
    record(path, *turns)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (1,)
    assert asked("status")["accounts"][0]["limits"][0]["state"] == "on_credits"
    ranked = asked("next", "--credits", "all")
    assert (ranked["reason"], ranked["ranking"][0]["usage"]) == (
        "included usage is used up, 12.5 credits left",
        "credits",
    )


def _due(at: float, since: float = 3_000, used: float = 100) -> Snapshot:
    """A usage document whose window was due before."""
    window = {
        "used_percent": used,
        "limit_window_seconds": 604_800,
        "reset_after_seconds": 0,
        "reset_at": round(at - since),
    }
    limits = {"allowed": False, "limit_reached": True, "primary_window": window, "secondary_window": None}
    return _snapshot(messages.read_usage(json.dumps({"plan_type": "pro", "rate_limit": limits}).encode(), at), at, 200)


@pytest.mark.parametrize(
    ("age", "state", "code"),
    [
        pytest.param(0, "refused", 1, id="just-seen"),
        pytest.param(130, "refused", 1, id="two-minutes-ago"),
        pytest.param(3_540, "refused", 1, id="nearly-an-hour-ago"),
        pytest.param(3_600, "unknown", 3, id="an-hour-ago"),
        pytest.param(900_000, "unknown", 3, id="long-ago"),
    ],
)
def test_a_window_that_was_due_and_not_reset(path: Path, age: float, state: str, code: int) -> None:
    """What was reported after a reset is not undone by it; after an hour it is unknown, and nothing waits."""
    at = time.time() - age
    record(path, _due(at))
    due = clock_time(round(at - 3_000))

    assert said(path) == dict.fromkeys(said(path), state)
    (limit,) = asked("status")["accounts"][0]["limits"]
    assert (limit["state_until"], limit["windows"]["7d"]["used_percent"]) == (None, 100.0)
    text = invoke("status")[1]
    assert re.search(r"100 % used .*was due .*, not reset", text)
    assert due[-5:] in text
    assert invoke("guard")[0] == invoke("guard", "--wait")[0] == code
    assert asked("guard")["wait_until"] is None
    if state == "refused":
        assert asked("next")["ranking"][0]["reason"] == "blocked by 7 d; the reset time is unknown"
    (forecast,) = asked("forecast")["accounts"][0]["limits"]
    assert (forecast["windows"]["7d"]["note"], forecast["windows"]["7d"]["runs_dry_at"]) == ("was due, not reset", None)


def test_a_window_that_is_due_again(path: Path) -> None:
    """Still 89 % five seconds later: it was not reset, nothing was used elsewhere, and the next date counts."""
    at = time.time() - 60
    first, second = _window(at, 89) | {"reset_at": round(at + 4)}, _window(at, 89) | {"reset_at": round(at + 345_600)}
    for fields in (first, second):
        del fields["reset_after_seconds"], fields["window_minutes"]
    record(
        path,
        *(
            _snapshot(
                messages.read_usage(
                    json.dumps({"rate_limit": {"primary_window": fields | {"limit_window_seconds": 604_800}}}).encode(),
                    at + seconds,
                ),
                at + seconds,
                200,
            )
            for seconds, fields in ((0, first), (5, second))
        ),
    )

    (found,) = asked("events")["events"]
    assert found["kind"] == "window_not_reset"
    assert found["text"] == (
        f"The 7 d window was due {clock_time(round(at + 4))} and was not reset, still 89 % used;"
        f" now due {clock_time(round(at + 345_600))}."
    )
    assert asked("usage")["total"]["points"] == 0
    assert "reset" not in invoke("history", "--plot")[1].split("7 d")[-1].splitlines()[0]


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
