"""Rate limits in events, in error events and bodies, and in the usage document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.messages import (
    MAX_EVENT_LENGTH,
    ParsedMessage,
    may_contain_limits,
    read_error_body,
    read_event,
    read_usage,
)
from store.models import Credits, Limit, RateLimits, Source, Window
from tests.support.wire_messages import (
    BOTH,
    FIVE_HOURS,
    FOX,
    IN_FIVE_HOURS,
    IN_SEVEN_DAYS,
    MAIN,
    NOW,
    SEVEN_DAYS,
    SPARK,
    USAGE,
    event,
    figures,
    limits_of,
)


def without_raw(parsed: ParsedMessage | None) -> ParsedMessage | None:
    return parsed and parsed._replace(reading=parsed.reading.model_copy(update={"raw": {}}))


EVENTS: dict[str, tuple[dict[str, Any], tuple[Limit, ...]]] = {
    "both windows": ({"rate_limits": figures()}, (MAIN,)),
    "in the other order": ({"rate_limits": figures(IN_SEVEN_DAYS, IN_FIVE_HOURS)}, (MAIN,)),
    "one window and null": ({"rate_limits": figures(IN_SEVEN_DAYS, None)}, (Limit(windows={"7d": SEVEN_DAYS}),)),
    "one window alone": ({"rate_limits": {"secondary": IN_SEVEN_DAYS}}, (Limit(windows={"7d": SEVEN_DAYS}),)),
    "no window": ({"rate_limits": figures(None, None)}, (Limit(windows={}),)),
    "primary null alone": ({"rate_limits": {"primary": None}}, (Limit(windows={}),)),
    "secondary null alone": ({"rate_limits": {"secondary": None}}, (Limit(windows={}),)),
    "primary_window null alone": ({"rate_limits": {"primary_window": None}}, (Limit(windows={}),)),
    "secondary_window null alone": ({"rate_limits": {"secondary_window": None}}, (Limit(windows={}),)),
    "all zeros": (
        {"rate_limits": figures({"used_percent": 0, "window_minutes": 0, "reset_at": None}, None)},
        (Limit(windows={}),),
    ),
    "windows missing": (
        {"rate_limits": {"allowed": True, "limit_reached": False}},
        (Limit(allowed=True, limit_reached=False),),
    ),
    "windows under the usage document's names": (
        {"rate_limits": {"primary_window": IN_FIVE_HOURS, "secondary_window": IN_SEVEN_DAYS}},
        (MAIN,),
    ),
    "a null beside the other name": (
        {"rate_limits": {"primary": None, "primary_window": IN_FIVE_HOURS}},
        (Limit(windows={"5h": FIVE_HOURS}),),
    ),
    "an empty window": ({"rate_limits": figures({}, {})}, ()),
    "windows of wrong types": ({"rate_limits": figures("x", [IN_FIVE_HOURS])}, ()),
    "windows without a readable figure": ({"rate_limits": figures({"used_percent": "x"}, {"window_minutes": -1})}, ()),
    "no readable figure, and null": (
        {"rate_limits": figures({"used_percent": "NaN", "window_minutes": "x"}, None)},
        (),
    ),
    "a window of a wrong type, and null": ({"rate_limits": figures("NaN", None)}, ()),
    "allowed and reached": (
        {"rate_limits": figures(allowed=False, limit_reached=True)},
        (Limit(windows=BOTH, allowed=False, limit_reached=True),),
    ),
    "figures as strings": (
        {"rate_limits": {"primary": {key: str(value) for key, value in IN_FIVE_HOURS.items()}}},
        (Limit(windows={"5h": FIVE_HOURS}),),
    ),
    "resets by their other names": (
        {
            "rate_limits": {
                "primary": {
                    "used_percent": 13,
                    "window_minutes": 300,
                    "reset_at": None,
                    "resets_at": 1_795_252_200,
                    "resets_in_seconds": 9_000,
                }
            }
        },
        (Limit(windows={"5h": FIVE_HOURS}),),
    ),
    "a moment by its other name": (
        {"rate_limits": {"primary": {"used_percent": 13, "window_minutes": 300, "resets_at": 1_795_252_200}}},
        (Limit(windows={"5h": FIVE_HOURS}),),
    ),
    "a span by its other name": (
        {"rate_limits": {"primary": {"used_percent": 13, "window_minutes": 300, "resets_in_seconds": 9_000}}},
        (Limit(windows={"5h": FIVE_HOURS}),),
    ),
    "a length missing": (
        {"rate_limits": {"secondary": {"used_percent": 13, "reset_after_seconds": 9_000}}},
        (Limit(windows={"5h": FIVE_HOURS.model_copy(update={"window_minutes": None})}),),
    ),
    "a length missing, a late reset": (
        {"rate_limits": {"secondary": {"used_percent": 41.5, "reset_after_seconds": 300_000}}},
        (Limit(windows={"7d": SEVEN_DAYS.model_copy(update={"window_minutes": None})}),),
    ),
    "no further limits": (
        {"rate_limits": figures(), "additional_rate_limits": None, "code_review_rate_limits": None},
        (MAIN,),
    ),
    "further limits as a map": (
        {"rate_limits": figures(), "additional_rate_limits": {FOX: {"limit_name": SPARK, **figures()}}},
        (MAIN, Limit(limit_id=FOX, limit_name=SPARK, windows=BOTH)),
    ),
    "further limits as a map by human names": (
        {"additional_rate_limits": {SPARK: {"metered_feature": FOX, "rate_limit": figures()}}},
        (Limit(limit_id=FOX, limit_name=SPARK, windows=BOTH),),
    ),
    "further limits as a map, the name the only id": (
        {"additional_rate_limits": {SPARK: {"rate_limits": figures()}}},
        (Limit(limit_id="gpt_5.3_codex_spark", limit_name=SPARK, windows=BOTH, by_name=True),),
    ),
    "further limits as a list": (
        {
            "rate_limits": figures(),
            "additional_rate_limits": [
                {"limit_name": SPARK, "metered_feature": FOX, "rate_limit": figures(IN_FIVE_HOURS, None)},
                {"limit_name": "Other", "metered_limit_name": "codex-other", **figures(None)},
            ],
        },
        (
            MAIN,
            Limit(limit_id=FOX, limit_name=SPARK, windows={"5h": FIVE_HOURS}),
            Limit(limit_id="codex_other", limit_name="Other", windows={"7d": SEVEN_DAYS}),
        ),
    ),
    "further limits as a list, the name the only id": (
        {"additional_rate_limits": [{"limit_name": SPARK, **figures()}]},
        (Limit(limit_id="gpt_5.3_codex_spark", limit_name=SPARK, windows=BOTH, by_name=True),),
    ),
    "further limits as a map, the name written like an id": (
        {"additional_rate_limits": {"luna": figures()}},
        (Limit(limit_id="luna", windows=BOTH, by_name=True),),
    ),
    "further limits as a map by ids, with names that are others": (
        {"additional_rate_limits": {"luna": {"limit_name": SPARK, **figures()}}},
        (Limit(limit_id="luna", limit_name=SPARK, windows=BOTH),),
    ),
    "further limits by names without figures": (
        {"rate_limits": figures(), "additional_rate_limits": {SPARK: {}, "luna": None}},
        (MAIN,),
    ),
    "named by a display name": (
        {"rate_limits": figures(), "limit_name": SPARK},
        (Limit(limit_id="gpt_5.3_codex_spark", limit_name=SPARK, windows=BOTH, by_name=True),),
    ),
    "a further limit with nothing but its name": (
        {"additional_rate_limits": [{"limit_name": SPARK, "metered_feature": FOX, "rate_limit": None}]},
        (Limit(limit_id=FOX, limit_name=SPARK),),
    ),
    "further limits of wrong types": (
        {"rate_limits": figures(), "additional_rate_limits": [None, 5, "x", [], {}, {"rate_limit": figures()}]},
        (MAIN,),
    ),
    "further limits as a string": ({"rate_limits": figures(), "additional_rate_limits": "x"}, (MAIN,)),
    "further limits named twice": (
        {"additional_rate_limits": [{"metered_feature": FOX, **figures(None)}, {"metered_feature": FOX, **figures()}]},
        (Limit(limit_id=FOX, windows={"7d": SEVEN_DAYS}),),
    ),
    "a further limit that is the main one": (
        {
            "rate_limits": figures(),
            "additional_rate_limits": {"premium": figures(None, None), "codex": figures(None, None)},
        },
        (MAIN,),
    ),
    "code review": (
        {"rate_limits": figures(), "code_review_rate_limits": figures(IN_SEVEN_DAYS, None, allowed=True)},
        (MAIN, Limit(limit_id="code_review", windows={"7d": SEVEN_DAYS}, allowed=True)),
    ),
    "code review by its other name": (
        {"code_review_rate_limits": None, "code_review_rate_limit": figures()},
        (Limit(limit_id="code_review", windows=BOTH),),
    ),
    "code review of a wrong type": ({"rate_limits": figures(), "code_review_rate_limits": [1]}, (MAIN,)),
    "metered by a further limit": (
        {"rate_limits": figures(), "metered_limit_name": FOX},
        (Limit(limit_id=FOX, windows=BOTH),),
    ),
    "metered by a further limit with a name": (
        {"rate_limits": figures(), "metered_limit_name": FOX, "limit_name": SPARK},
        (Limit(limit_id=FOX, limit_name=SPARK, windows=BOTH),),
    ),
    "named as a further limit": (
        {"rate_limits": figures(), "limit_name": "codex-bengalfox"},
        (Limit(limit_id=FOX, limit_name="codex-bengalfox", windows=BOTH),),
    ),
    "named as the main limit": (
        {"rate_limits": figures(), "limit_name": "Codex"},
        (Limit(limit_name="Codex", windows=BOTH),),
    ),
    "under a key that is no name, named as an id": (
        {"additional_rate_limits": {"語": {"limit_name": FOX, **figures()}}},
        (Limit(limit_id=FOX, limit_name=FOX, windows=BOTH),),
    ),
    "under an id in another case": (
        {"additional_rate_limits": {"Codex_Bengalfox": figures()}},
        (Limit(limit_id=FOX, limit_name="Codex_Bengalfox", windows=BOTH, by_name=True),),
    ),
    "metered by the main limit": ({"rate_limits": figures(), "metered_limit_name": "codex"}, (MAIN,)),
    "metered by premium": ({"rate_limits": figures(), "metered_limit_name": "premium"}, (MAIN,)),
    "metered by nothing readable": ({"rate_limits": figures(), "metered_limit_name": "語", "limit_name": 5}, (MAIN,)),
    "reached type": (
        {"rate_limits": figures(), "rate_limit_reached_type": "rate_limit_reached"},
        (Limit(windows=BOTH, reached_type="rate_limit_reached"),),
    ),
    "reached type as an object": (
        {"rate_limits": figures(), "rate_limit_reached_type": {"type": "rate_limit_reached"}},
        (Limit(windows=BOTH, reached_type="rate_limit_reached"),),
    ),
    "reached type without figures": (
        {"rate_limits": None, "rate_limit_reached_type": "workspace_owner_credits_depleted"},
        (Limit(reached_type="workspace_owner_credits_depleted"),),
    ),
    "reached type is not a further limit's": (
        {"additional_rate_limits": {FOX: figures()}, "rate_limit_reached_type": "rate_limit_reached"},
        (Limit(limit_id=FOX, windows=BOTH), Limit(reached_type="rate_limit_reached")),
    ),
    "reached type of a wrong type": ({"rate_limits": figures(), "rate_limit_reached_type": [5]}, (MAIN,)),
    "no figures": ({"rate_limits": None}, ()),
    "figures of a wrong type": ({"rate_limits": [5], "rate_limit": None}, ()),
    "under the usage document's name": ({"rate_limit": figures()}, (MAIN,)),
    "nothing at all": ({}, ()),
}


@pytest.mark.parametrize("carrier", [Source.WEBSOCKET, Source.SSE])
@pytest.mark.parametrize(("fields", "limits"), EVENTS.values(), ids=EVENTS.keys())
def test_event(fields: dict[str, Any], limits: tuple[Limit, ...], carrier: Source) -> None:
    """An event with limits is read the same on either carrier, whatever other fields it has."""
    more = {"promo_code": [1], "new": {"primary": IN_FIVE_HOURS}}
    for content in (event(**fields), event(**more, **fields), event(**dict(reversed(fields.items())))):
        parsed = read_event(content, NOW, carrier)
        assert limits_of(parsed) == limits
        assert (parsed and parsed.source) == (carrier if limits else None)


def test_event_as_seen() -> None:
    """The event that the backend sends is read as a whole."""
    content = event(
        plan_type="plus",
        rate_limits=figures({**IN_SEVEN_DAYS, "used_percent": 7}, None, allowed=True, limit_reached=False),
        code_review_rate_limits=None,
        additional_rate_limits=None,
        credits={"has_credits": False, "unlimited": False, "balance": "0"},
        promo=None,
    )
    assert without_raw(read_event(content, NOW)) == ParsedMessage(
        Source.WEBSOCKET,
        RateLimits(
            limits=(
                Limit(
                    windows={"7d": SEVEN_DAYS.model_copy(update={"used_percent": 7})},
                    allowed=True,
                    limit_reached=False,
                ),
            ),
            plan_type="plus",
            credits=Credits(has_credits=False, unlimited=False, balance="0"),
            promo="",
            server_time=NOW,
            unnamed=True,
        ),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"plan_type": "pro"}, {"plan_type": "pro"}),
        ({"credits": {"has_credits": True, "balance": 9.5}}, {"credits": Credits(has_credits=True, balance="9.5")}),
        ({"credits": {"unlimited": "true"}}, {"credits": Credits(unlimited=True)}),
        ({"credits": {"overage_limit_reached": True}}, {"credits": Credits(overage_limit_reached=True)}),
        ({"spend_control": {"reached": True}}, {"spend_control_reached": True}),
        ({"spend_control": {"reached": False}}, {"spend_control_reached": False}),
        ({"rate_limit_reset_credits": {"available_count": 0}}, {"reset_credits": 0}),
        ({"promo": "More in May"}, {"promo": "More in May"}),
        ({"promo": {"message": "More in May"}}, {"promo": "More in May"}),
        ({"plan_type": "pro", "promo": None}, {"plan_type": "pro", "promo": ""}),
        ({"plan_type": "pro", "promo": {"message": 5}}, {"plan_type": "pro", "promo": ""}),
        ({"plan_type": "pro", "promo": 5}, {"plan_type": "pro", "promo": ""}),
        ({"plan_type": "pro", "credits": None}, {"plan_type": "pro"}),
        ({"plan_type": "pro", "credits": {}}, {"plan_type": "pro"}),
        ({"plan_type": "pro", "credits": {"has_credits": "?", "balance": "NaN", "new": 1}}, {"plan_type": "pro"}),
        ({"plan_type": "pro", "spend_control": [5], "rate_limit_reset_credits": 5}, {"plan_type": "pro"}),
        ({"plan_type": "pro", "rate_limit_reset_credits": {"available_count": -1}}, {"plan_type": "pro"}),
        ({"promo": None}, None),
        ({"promo": ""}, None),
        ({"plan_type": 5}, None),
        ({"credits": [5]}, None),
    ],
)
def test_facts(fields: dict[str, object], expected: dict[str, Any] | None) -> None:
    """The facts of an account are read even if the message names no limit."""
    parsed = without_raw(read_event(event(**fields), NOW))
    assert (parsed and parsed.reading) == (None if expected is None else RateLimits(**expected))
    usage = without_raw(read_usage(json.dumps(fields).encode(), NOW))
    assert (usage and usage.reading) == (parsed and parsed.reading)


@pytest.mark.parametrize(
    ("primary", "secondary", "further", "server_time"),
    [
        (IN_FIVE_HOURS, IN_SEVEN_DAYS, None, NOW),
        ({**IN_FIVE_HOURS, "reset_at": 1_795_252_205}, IN_SEVEN_DAYS, IN_SEVEN_DAYS, NOW + 5),
        ({"used_percent": 1}, {**IN_SEVEN_DAYS, "reset_at": 1_795_543_195}, IN_SEVEN_DAYS, NOW - 5),
        (None, None, IN_SEVEN_DAYS, NOW),
        ({"used_percent": 1, "reset_at": 1_795_252_205}, None, None, None),
        ({**IN_FIVE_HOURS, "reset_after_seconds": 1}, IN_SEVEN_DAYS, None, NOW),
        ({**IN_FIVE_HOURS, "reset_after_seconds": 1}, None, IN_SEVEN_DAYS, NOW),
        ({**IN_FIVE_HOURS, "reset_after_seconds": 1}, {**IN_SEVEN_DAYS, "reset_after_seconds": 1}, None, None),
    ],
)
def test_server_time(primary: object, secondary: object, further: object, server_time: float | None) -> None:
    """The server's clock is the one of the first window whose reset figures agree with the time of arrival."""
    more = None if further is None else {FOX: figures(further, None)}
    parsed = read_event(event(rate_limits=figures(primary, secondary), additional_rate_limits=more), NOW)
    assert parsed is not None
    assert parsed.reading.server_time == server_time


def test_active_limit() -> None:
    """A message is charged to the limit that it names, else to the main limit."""
    named = read_event(event(rate_limits=figures(), metered_limit_name=FOX), NOW)
    plain = read_event(event(additional_rate_limits={FOX: figures()}), NOW)
    assert named is not None
    assert plain is not None
    assert (named.reading.active_limit, plain.reading.active_limit) == (FOX, "codex")


@pytest.mark.parametrize(("count", "left_out"), [(15, 0), (16, 1), (200, 185)])
def test_many_limits(count: int, left_out: int) -> None:
    """Of very many limits 16 are read, the main one among them, and the others are counted."""
    further = {f"f{number}": figures(IN_FIVE_HOURS, None) for number in range(count)}
    for more in (further, [{"metered_feature": name, **parsed} for name, parsed in further.items()]):
        parsed = read_event(event(rate_limits=figures(), additional_rate_limits=more), NOW)
        assert parsed is not None
        assert [limit.limit_id for limit in parsed.reading.limits] == ["codex", *(f"f{n}" for n in range(15))]
        assert parsed.reading.left_out == left_out
        assert len(parsed.reading.raw["additional_rate_limits"]) <= 16


ERROR = {
    "type": "usage_limit_reached",
    "message": "prose",
    "plan_type": "plus",
    "resets_at": 1_795_244_100,
    "resets_in_seconds": 900,
}
REFUSED = Limit(limit_reached=True, reached_until=1_795_244_100)
HEADERS = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": 300,
    "x-codex-primary-reset-at": 1_795_244_100,
    "x-codex-allowed": False,
}
FULL = Limit(windows={"5h": Window(used_percent=100, window_minutes=300, resets_at=1_795_244_100)}, allowed=False)


@pytest.mark.parametrize(("billed", "unnamed"), [(FOX, False), ("codex", True)])
def test_an_error_without_headers_is_about_the_billed_limit(billed: str, unnamed: bool) -> None:
    """An error that names no limit is about the limit that the upgrade named; the main one may stand for another."""
    parsed = read_event(json.dumps({"type": "error", "error": ERROR}).encode(), NOW, billed=billed)

    assert parsed is not None
    assert [limit.limit_id for limit in parsed.reading.limits] == [billed]
    assert parsed.reading.unnamed is unnamed


@pytest.mark.parametrize(
    ("error_event", "limits", "status"),
    [
        pytest.param(
            {"status": 429, "error": ERROR, "headers": HEADERS},
            (FULL.model_copy(update={"limit_reached": True, "reached_until": 1_795_244_100}),),
            429,
            id="whole",
        ),
        pytest.param({"status": 429, "error": ERROR}, (REFUSED,), 429, id="without headers"),
        pytest.param({"status_code": 429, "error": ERROR}, (REFUSED,), 429, id="status by its other name"),
        pytest.param({"status": None, "status_code": "429", "error": ERROR}, (REFUSED,), 429, id="status as a string"),
        pytest.param({"error": ERROR}, (REFUSED,), None, id="status missing"),
        pytest.param({"status": "x", "error": ERROR}, (REFUSED,), None, id="status no number"),
        pytest.param({"status": 1000, "error": ERROR}, (REFUSED,), None, id="status absurd"),
        pytest.param({"status": 999, "error": ERROR}, (REFUSED,), 999, id="status of three digits"),
        pytest.param({"status": 0, "error": ERROR}, (REFUSED,), None, id="status 0"),
        pytest.param(
            {"status": 429, "error": {"code": "usage_limit_reached"}},
            (Limit(limit_reached=True),),
            429,
            id="code for type",
        ),
        pytest.param(
            {"status": 429, "error": {"type": "invalid_request_error", "code": "usage_limit_reached"}},
            (Limit(limit_reached=True),),
            429,
            id="code beside another type",
        ),
        pytest.param(
            {"status": 429, "error": {"type": "usage_limit_reached", "resets_in_seconds": 900}},
            (REFUSED,),
            429,
            id="span only",
        ),
        pytest.param(
            {"status": 429, "error": {"type": "rate_limit_reached"}},
            (Limit(limit_reached=True, reached_type="rate_limit_reached"),),
            429,
            id="rate limit",
        ),
        pytest.param(
            {"status": 429, "error": {"type": "workspace_member_usage_limit_reached"}},
            (Limit(limit_reached=True, reached_type="workspace_member_usage_limit_reached"),),
            429,
            id="a member's limit",
        ),
        pytest.param(
            {"status": 429, "error": {"type": "workspace_owner_credits_depleted"}},
            (Limit(limit_reached=True, reached_type="workspace_owner_credits_depleted"),),
            429,
            id="credits",
        ),
        pytest.param(
            {"status": 500, "error": {"type": "server_error"}, "headers": HEADERS},
            (FULL,),
            500,
            id="another error with headers",
        ),
        pytest.param({"status": 500, "headers": HEADERS}, (FULL,), 500, id="headers alone"),
        pytest.param({"status": 500, "error": {"type": "server_error"}}, (), None, id="another error"),
        pytest.param(
            {"status": 429, "error": {"type": "usage_limit_reached_not"}}, (), None, id="a type that only begins so"
        ),
        pytest.param({"status": 429, "error": "usage_limit_reached", "headers": [1]}, (), None, id="wrong types"),
        pytest.param(
            {"status": 429, "error": {"type": ["usage_limit_reached"], "code": 5}}, (), None, id="wrong types inside"
        ),
        pytest.param({}, (), None, id="nothing"),
    ],
)
def test_error_event(error_event: dict[str, object], limits: tuple[Limit, ...], status: int | None) -> None:
    """An error on the websocket says that a limit is reached; its headers and its status are read too."""
    parsed = read_event(json.dumps({"type": "error", **error_event}).encode(), NOW, Source.SSE)
    assert limits_of(parsed) == limits
    assert (parsed and parsed.status) == status
    assert (parsed and parsed.source) == (Source.ERROR if limits else None)


def test_error_event_of_a_further_limit() -> None:
    """The billed limit is the one that is reached; the other limits in the headers are read beside it."""
    charged = {
        "x-codex-active-limit": FOX,
        "x-codex-bengalfox-primary-used-percent": 100,
        "x-codex-other-primary-used-percent": 5,
        "x-codex-plan-type": "pro",
    }
    content = json.dumps({"type": "error", "status": 429, "error": ERROR, "headers": charged}).encode()
    parsed = without_raw(read_event(content, NOW))
    assert parsed is not None
    assert parsed.reading == RateLimits(
        limits=(
            REFUSED.model_copy(update={"limit_id": FOX, "windows": {"7d": Window(used_percent=100)}}),
            Limit(limit_id="codex_other", windows={"7d": Window(used_percent=5)}),
        ),
        active_limit=FOX,
        plan_type="pro",
        server_time=NOW,
    )


def test_error_event_keeps_the_headers_clock() -> None:
    """If headers and error both have the server's clock, the one of the headers counts."""
    clock = {**HEADERS, "x-codex-primary-reset-after-seconds": 910}
    parsed = read_event(json.dumps({"type": "error", "error": ERROR, "headers": clock}).encode(), NOW)
    assert parsed is not None
    assert parsed.reading.server_time == NOW - 10


def test_error_event_prefers_the_consistent_clock() -> None:
    """If the headers contradict themselves, the error's own figures give the server's clock."""
    odd = {**HEADERS, "x-codex-primary-reset-after-seconds": 90_000}
    parsed = read_event(json.dumps({"type": "error", "error": ERROR, "headers": odd}).encode(), NOW)
    assert parsed is not None
    assert parsed.reading.server_time == NOW


@pytest.mark.parametrize(
    ("body", "charged", "limit"),
    [
        ({"error": ERROR}, "codex", REFUSED),
        ({"error": ERROR}, FOX, REFUSED.model_copy(update={"limit_id": FOX})),
        ({"error": {"code": "usage_limit_reached"}}, "codex", Limit(limit_reached=True)),
        (
            {"error": {"type": "usage_limit_reached", "limit_window_minutes": 300}},
            "codex",
            Limit(limit_reached=True, reached_window_minutes=300),
        ),
        (
            {"error": {"type": "usage_limit_reached", "limit_window_minutes": "soon"}},
            "codex",
            Limit(limit_reached=True),
        ),
        (
            {"error": {"type": "subscription_sharing_usage_limit_exceeded"}},
            "codex",
            Limit(limit_reached=True, reached_type="subscription_sharing_usage_limit_exceeded"),
        ),
        ({"error": {"type": "server_error"}}, "codex", None),
        ({"error": {"type": "insufficient_quota", "code": "rate_limit_exceeded"}}, "codex", None),
        ({"error": None}, "codex", None),
        ({"detail": "Not Found"}, "codex", None),
        ([{"error": ERROR}], "codex", None),
    ],
)
def test_error_body(body: object, charged: str, limit: Limit | None) -> None:
    """The body of a refusal says that the billed limit is reached, and until when."""
    parsed = read_error_body(json.dumps(body).encode(), NOW, charged)
    assert limits_of(parsed) == (() if limit is None else (limit,))
    assert (parsed and parsed.source) == (None if limit is None else Source.ERROR)

    failed = {"type": "response.failed", "response": body}
    inside = read_event(json.dumps(failed).encode(), NOW, Source.SSE, charged)
    assert inside == parsed


def test_a_failed_response_without_an_error_is_no_refusal() -> None:
    """Nor is one that only mentions the event in its text."""
    assert read_event(b'{"type":"response.failed","response":null}', NOW) is None
    assert (
        read_event(json.dumps({"type": "response.created", "text": '"response.failed" "error"'}).encode(), NOW) is None
    )
    assert not may_contain_limits(b'{"type":"response.failed","response":{}}')
    assert may_contain_limits(b'{"type":"response.failed","response":{"error":{}}}')


def test_error_body_as_seen() -> None:
    """The body of a 429 also has the plan and the server's clock; its prose is not stored."""
    parsed = read_error_body(json.dumps({"error": ERROR}).encode(), NOW)
    assert parsed is not None
    assert parsed.status is None
    stored = {key: value for key, value in ERROR.items() if key != "message"}
    assert parsed.reading == RateLimits(limits=(REFUSED,), plan_type="plus", server_time=NOW, raw={"error": stored})


def test_usage_as_seen() -> None:
    """The usage document, whose lengths are in seconds, is read as a whole."""
    assert without_raw(read_usage(json.dumps(USAGE).encode(), NOW)) == ParsedMessage(
        Source.USAGE,
        RateLimits(
            limits=(
                Limit(windows={"7d": SEVEN_DAYS}, allowed=True, limit_reached=False),
                Limit(limit_id=FOX, limit_name=SPARK, windows=BOTH, allowed=False, limit_reached=True),
            ),
            plan_type="plus",
            credits=Credits(has_credits=True, unlimited=False, balance="9.5", overage_limit_reached=False),
            spend_control_reached=False,
            reset_credits=2,
            promo="",
            no_budget=True,
            server_time=NOW,
        ),
    )


@pytest.mark.parametrize(
    ("window", "minutes"),
    [
        ({"limit_window_seconds": 604_800}, 10_080),
        ({"limit_window_seconds": "18000"}, 300),
        ({"limit_window_seconds": 0}, None),
        ({"limit_window_seconds": -5}, None),
        ({"limit_window_seconds": "x"}, None),
        ({"limit_window_seconds": 20}, None),
        ({"limit_window_seconds": 100}, 2),
        ({"limit_window_seconds": 604_800, "window_minutes": None}, 10_080),
        ({"limit_window_seconds": 604_800, "window_minutes": 300}, 300),
    ],
)
def test_length(window: dict[str, object], minutes: int | None) -> None:
    """The length of a window is given in minutes or in seconds."""
    parsed = read_usage(json.dumps({"rate_limit": {"secondary_window": {"used_percent": 5, **window}}}).encode(), NOW)
    (limit,) = limits_of(parsed)
    assert [found.window_minutes for found in (limit.windows or {}).values()] == [minutes]


def test_length_alone() -> None:
    """A length of 0 seconds alone means that there is no window; an unreadable length means nothing."""
    none = read_usage(b'{"rate_limit": {"primary_window": {"limit_window_seconds": 0}}}', NOW)
    assert limits_of(none) == (Limit(windows={}),)
    assert read_usage(b'{"rate_limit": {"primary_window": {"limit_window_seconds": "x"}}}', NOW) is None


NOT_OURS: dict[str, bytes] = {
    "empty": b"",
    "a text delta": b'{"type":"response.output_text.delta","delta":"error codex"}',
    "our type in a text": b'{"type":"response.output_text.delta","delta":"codex.rate_limits","plan_type":"pro"}',
    "an error inside": b'{"type":"response.failed","a":{"type": "error"},"error":{"type":"usage_limit_reached"}}',
    "no JSON": b'codex.rate_limits "type":"error"',
    "cut short": event(rate_limits=figures())[:-1],
    "a list": b'["codex.rate_limits", {"type":"error"}]',
    "a string": b'"codex.rate_limits"',
    "a number": b"5",
    "null": b"null",
    "bad UTF-8": b'{"type":"codex.rate_limits","plan_type":"\xff"}',
    "type of another type": b'{"type":["codex.rate_limits"],"plan_type":"plus"}',
    "a bomb of lists": b'{"type":"codex.rate_limits","rate_limits":' + b"[" * 200_000,
    "a closed bomb of lists": b'{"type":"codex.rate_limits","rate_limits":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a bomb of maps": b'{"type":"codex.rate_limits","rate_limits":' + b'{"primary":' * 200_000,
    "an endless number": b'{"type":"codex.rate_limits","rate_limits":{"allowed":' + b"1" * 5_000 + b"}}",
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_other_events(content: bytes) -> None:
    """Other events, broken JSON and bombs contain no limits."""
    assert read_event(content, NOW) is None


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"<html>", b"\xff", b"[" * 200_000])
def test_other_bodies(content: bytes) -> None:
    """Any other body contains no limits."""
    assert read_usage(content, NOW) is None
    assert read_error_body(content, NOW) is None


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t\n "])
def test_error_event_with_blanks(blanks: bytes) -> None:
    """An error event is recognised however its JSON is spaced."""
    content = b'{"type"' + blanks + b":" + blanks + b'"error","error":{"type":"usage_limit_reached"}}'
    assert limits_of(read_event(content, NOW)) == (Limit(limit_reached=True),)


HOSTILE: dict[str, object] = {
    "64 KiB": "7" * 65_536,
    "control characters": "\x1b[2J\x07\x9b\x00",
    "lone surrogate": "\ud800",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "NaN as a string": "NaN",
    "overflow as a string": "1e999",
    "hexadecimal": "0x10",
    "full-width digits": "１２",
    "negative": -5,
    "absurd": 10**400,
    "true": True,
    "list": [[1], {"primary": 1}],
    "map": {"primary": {"used_percent": {}}},
    "nested": json.loads('{"primary":' * 50 + "1" + "}" * 50),
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_value_everywhere(value: object) -> None:
    """A hostile value in one field spoils no other field, and the stored fields are harmless and short."""
    whole: dict[str, Any] = {**USAGE, "type": "codex.rate_limits", "limit_name": "codex", "error": ERROR, "status": 429}
    for place in _places(whole):
        content = json.dumps(_replaced(whole, place, value)).encode()
        for parsed in (read_event(content, NOW), read_usage(content, NOW), read_error_body(content, NOW)):
            if parsed:
                assert_harmless(parsed)
    spoiled = _replaced(whole, ("rate_limit", "primary_window", "used_percent"), value)
    (main, *_) = limits_of(read_usage(json.dumps(spoiled).encode(), NOW))
    assert main.windows == {"7d": SEVEN_DAYS.model_copy(update={"used_percent": None})}


def test_hostile_keys() -> None:
    """Names of limits and headers are as harmless as values."""
    key = "\x1b[2J\ud800" + "x" * 70_000
    named = {key: {"limit_name": key, **figures()}}
    content = json.dumps({"type": "codex.rate_limits", "additional_rate_limits": named, key: key, "headers": {key: 1}})
    parsed = read_event(content.encode(), NOW)
    assert parsed is not None
    assert_harmless(parsed)


def assert_harmless(parsed: ParsedMessage) -> None:
    """Check that a reading is printable, short and valid JSON."""
    written = json.dumps(parsed.reading.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    written.encode()
    assert written.isprintable()
    assert len(written) < 10_000


def _places(value: object) -> list[tuple[str | int, ...]]:
    """Return the path of every value in a JSON document."""
    if isinstance(value, dict):
        items: list[tuple[str | int, object]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return []
    return [place for key, item in items for place in ((key,), *((key, *rest) for rest in _places(item)))]


def _replaced(document: Any, place: tuple[str | int, ...], value: object) -> Any:
    """Return a copy of a JSON document with the value at one place replaced."""
    copied = json.loads(json.dumps(document))
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copied


@pytest.mark.parametrize(("length", "is_read"), [(MAX_EVENT_LENGTH, True), (MAX_EVENT_LENGTH + 1, False)])
def test_a_long_event_is_not_parsed(length: int, is_read: bool) -> None:
    """An event of limits is parsed up to a length that no real one comes near."""
    event = b'{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":7,"window_minutes":300}},"x":"'
    event += b"x" * (length - len(event) - 2) + b'"}'
    assert (read_event(event, 0.0) is not None) is is_read
