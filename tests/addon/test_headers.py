"""Rate limits in the headers of a response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from addon import headers
from store.models import Credits, Limit, RateLimits, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = 1_795_243_200.0
IN_FIVE_HOURS = {"used": "13", "minutes": "300", "at": "1795252200", "after": "9000"}
IN_SEVEN_DAYS = {"used": "41.5", "minutes": "10080", "at": "1795543200", "after": "300000"}
NO_WINDOW = {"used": "0", "minutes": "0", "at": "", "after": "0"}
FIVE_HOURS = Window(used_percent=13, window_minutes=300, resets_at=1_795_252_200)
SEVEN_DAYS = Window(used_percent=41.5, window_minutes=10_080, resets_at=1_795_543_200)

_PARTS = {"used": "used-percent", "minutes": "window-minutes", "at": "reset-at", "after": "reset-after-seconds"}


def family(
    primary: Mapping[str, str] | None = None,
    secondary: Mapping[str, str] | None = None,
    *,
    of: str = "",
) -> dict[str, str]:
    """Return the windows of a family as headers; ``of`` is empty for the plain family."""
    prefix = f"x-codex-{of}-" if of else "x-codex-"
    positions = {"primary": primary, "secondary": secondary}
    return {
        f"{prefix}{position}-{_PARTS[part]}": value
        for position, figures in positions.items()
        for part, value in (figures or {}).items()
    }


def read(fields: Mapping[str, str] | Iterable[tuple[str, str]], at: float = NOW) -> RateLimits | None:
    pairs = fields.items() if hasattr(fields, "items") else fields
    return headers.read(headers.collect([(name.encode(), value.encode()) for name, value in pairs]), at)


def limits_of(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[Limit, ...]:
    reading = read(fields)
    return reading.limits if reading else ()


class Response(NamedTuple):
    """The headers of one response, when it was seen, and what they say (beside ``raw``)."""

    fields: dict[str, str]
    observed_at: float
    reading: RateLimits


# As reported from live accounts: see the examples beside each in the golden captures.
RESPONSES = {
    "plus": Response(
        {
            **family(IN_FIVE_HOURS, IN_SEVEN_DAYS),
            "x-codex-primary-over-secondary-limit-percent": "0",
            "x-codex-credits-has-credits": "False",
            "x-codex-credits-unlimited": "False",
            "x-codex-credits-balance": "",
            "x-codex-active-limit": "premium",
            "x-codex-plan-type": "plus",
        },
        NOW,
        RateLimits(
            limits=(Limit(windows={"5h": FIVE_HOURS, "7d": SEVEN_DAYS}),),
            plan_type="plus",
            credits=Credits(has_credits=False, unlimited=False),
            server_time=NOW,
        ),
    ),
    "pro, refused": Response(
        {
            "x-codex-active-limit": "premium",
            **family({"used": "100", "minutes": "10080", "after": "14890", "at": "1787196849"}, NO_WINDOW),
            **family({"used": "0", "minutes": "300"}, {"used": "0", "minutes": "10080"}, of="bengalfox"),
            "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
            "x-codex-plan-type": "pro",
            "x-codex-rate-limit-reached-type": "rate_limit_reached",
        },
        1_787_181_959.0,
        RateLimits(
            limits=(
                Limit(
                    windows={"7d": Window(used_percent=100, window_minutes=10_080, resets_at=1_787_196_849)},
                    reached_type="rate_limit_reached",
                ),
                Limit(
                    limit_id="codex_bengalfox",
                    limit_name="GPT-5.3-Codex-Spark",
                    windows={
                        "5h": Window(used_percent=0, window_minutes=300),
                        "7d": Window(used_percent=0, window_minutes=10_080),
                    },
                ),
            ),
            plan_type="pro",
            server_time=1_787_181_959.0,
        ),
    ),
    "prolite, one window": Response(
        {
            **family({"used": "0", "minutes": "10080", "at": "1788457743", "after": "604372"}),
            **family({"used": "3.5", "minutes": "300"}, of="bengalfox"),
            "x-codex-credits-balance": "0",
            "x-codex-plan-type": "prolite",
        },
        1_787_853_371.5,
        RateLimits(
            limits=(
                Limit(windows={"7d": Window(used_percent=0, window_minutes=10_080, resets_at=1_788_457_743)}),
                Limit(limit_id="codex_bengalfox", windows={"5h": Window(used_percent=3.5, window_minutes=300)}),
            ),
            plan_type="prolite",
            credits=Credits(balance="0"),
            server_time=1_787_853_371.0,
        ),
    ),
    "free": Response(
        {
            **family({"used": "7", "minutes": "43200", "at": "1797000000"}, NO_WINDOW),
            "x-codex-credits-balance": "",
            "x-codex-plan-type": "free",
        },
        NOW,
        RateLimits(
            limits=(Limit(windows={"7d": Window(used_percent=7, window_minutes=43_200, resets_at=1_797_000_000)}),),
            plan_type="free",
        ),
    ),
    "charged to a further limit": Response(
        {
            **family(IN_FIVE_HOURS, IN_SEVEN_DAYS),
            **family(IN_FIVE_HOURS, IN_SEVEN_DAYS, of="bengalfox"),
            "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
            "x-codex-active-limit": "codex_bengalfox",
            "x-codex-limit-reached": "true",
            "x-codex-allowed": "0",
        },
        NOW,
        RateLimits(
            limits=(
                Limit(
                    limit_id="codex_bengalfox",
                    limit_name="GPT-5.3-Codex-Spark",
                    windows={"5h": FIVE_HOURS, "7d": SEVEN_DAYS},
                    allowed=False,
                    limit_reached=True,
                ),
            ),
            active_limit="codex_bengalfox",
            server_time=NOW,
        ),
    ),
    "facts of the account": Response(
        {
            "x-codex-credits-has-credits": "1",
            "x-codex-credits-unlimited": "true",
            "x-codex-credits-balance": "12.50",
            "x-codex-promo-message": "Doppelte Limits für dich",
            "x-codex-rate-limit-reset-credits-available": "2",
        },
        NOW,
        RateLimits(
            credits=Credits(has_credits=True, unlimited=True, balance="12.50"),
            reset_credits=2,
            promo="Doppelte Limits für dich",
        ),
    ),
    "refused without figures": Response(
        {"x-codex-rate-limit-reached-type": "workspace_owner_credits_depleted"},
        NOW,
        RateLimits(limits=(Limit(reached_type="workspace_owner_credits_depleted"),)),
    ),
}
_MORE = {
    "content-type": "text/event-stream",
    "x-codex-turn-state": "opaque",
    "x-codex-primary-mood": "7",
    "x-other": "",
}
_WAYS = {
    "whole": lambda fields: fields,
    "reordered": lambda fields: dict(reversed(fields.items())),
    "upper case": lambda fields: {name.upper(): value for name, value in fields.items()},
    "mixed case": lambda fields: {name.title(): value for name, value in fields.items()},
    "among others": lambda fields: {**_MORE, **fields},
    "with blanks": lambda fields: {name: f" {value}\t" for name, value in fields.items()},
}


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS.keys())
@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
def test_response(response: Response, way: Any) -> None:
    """A response says the same however its headers are written, ordered and accompanied."""
    reading = read(way(response.fields), response.observed_at)
    assert reading is not None
    assert reading.model_copy(update={"raw": {}, "unknown_fields": ()}) == response.reading
    assert reading.unknown_fields == (("x-codex-primary-mood",) if way is _WAYS["among others"] else ())


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
def test_raw(response: Response) -> None:
    """The fields stored for audit are the rate-limit fields as sent, and no other header."""
    reading = read({**_MORE, **response.fields}, response.observed_at)
    assert reading is not None
    assert reading.raw == response.fields


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
def test_cut_short(response: Response) -> None:
    """A response that lacks any one of its headers is read as well, and so is each header alone."""
    for name, value in response.fields.items():
        read({other: value for other, value in response.fields.items() if other != name}, response.observed_at)
        read({name: value}, response.observed_at)


def slot_of(limit_id: str) -> Limit:
    """Return a limit of which 1 % is used, in a window of unknown length."""
    return Limit(limit_id=limit_id, windows={"7d": Window(used_percent=1)})


PLAIN = family(IN_FIVE_HOURS)
FOX = family(IN_SEVEN_DAYS, of="bengalfox")
MAIN_LIMIT = Limit(windows={"5h": FIVE_HOURS})
FOX_LIMIT = Limit(limit_id="codex_bengalfox", windows={"7d": SEVEN_DAYS})


@pytest.mark.parametrize(
    ("active", "limits"),
    [
        pytest.param("premium", (MAIN_LIMIT, FOX_LIMIT), id="none of them"),
        pytest.param("codex", (MAIN_LIMIT, FOX_LIMIT), id="the main limit itself"),
        pytest.param("codex_other", (MAIN_LIMIT, FOX_LIMIT), id="a family that is absent"),
        pytest.param("codex_bengal", (MAIN_LIMIT, FOX_LIMIT), id="a part of a name"),
        pytest.param("", (MAIN_LIMIT, FOX_LIMIT), id="empty"),
        pytest.param("\x00\xff", (MAIN_LIMIT, FOX_LIMIT), id="garbage"),
        pytest.param(None, (MAIN_LIMIT, FOX_LIMIT), id="missing"),
        pytest.param("codex_bengalfox", (FOX_LIMIT,), id="a further family"),
        pytest.param("codex-bengalfox", (FOX_LIMIT,), id="with a hyphen"),
        pytest.param("Codex_BengalFox", (FOX_LIMIT,), id="in mixed case"),
        pytest.param("bengalfox", (FOX_LIMIT,), id="by the family's name"),
    ],
)
def test_active_limit(active: str | None, limits: tuple[Limit, ...]) -> None:
    """The plain family is the main limit unless the active limit names a further family that is present."""
    named = {} if active is None else {"x-codex-active-limit": active}
    reading = read({**PLAIN, **FOX, **named})
    assert reading is not None
    assert reading.limits == limits
    assert reading.active_limit == limits[0].limit_id


def other_family(name: str, figures: Mapping[str, str] = IN_FIVE_HOURS, **parts: str) -> dict[str, str]:
    """Return the primary window of a family that does not begin with ``x-codex-``."""
    fields = {f"x-{name}-primary-{_PARTS[part]}": value for part, value in figures.items()}
    return {**fields, **{f"x-{name}-{part.replace('_', '-')}": value for part, value in parts.items()}}


RESERVE = other_family("base-model-inference", {"used": "14", "minutes": "300"}, limit_name="gpt-reserve")
RESERVE_LIMIT = Limit(
    limit_id="base_model_inference",
    limit_name="gpt-reserve",
    windows={"5h": Window(used_percent=14, window_minutes=300)},
)


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        pytest.param(
            {**PLAIN, **RESERVE, "x-codex-active-limit": "premium"}, (MAIN_LIMIT, RESERVE_LIMIT), id="another is active"
        ),
        pytest.param(
            {**PLAIN, **RESERVE, "x-codex-active-limit": "base_model_inference"}, (RESERVE_LIMIT,), id="it is active"
        ),
        pytest.param(
            {**PLAIN, **RESERVE, "x-codex-active-limit": "Base-Model-Inference"},
            (RESERVE_LIMIT,),
            id="spelled otherwise",
        ),
        pytest.param(
            {**PLAIN, **RESERVE, "x-codex-active-limit": "model_inference"},
            (MAIN_LIMIT, RESERVE_LIMIT),
            id="a part of it",
        ),
        pytest.param(
            {**PLAIN, **FOX, **RESERVE, "x-codex-active-limit": "codex_bengalfox"},
            (FOX_LIMIT, RESERVE_LIMIT),
            id="a third is active",
        ),
        pytest.param(
            {**PLAIN, "x-reserve-limit-name": "R", "x-codex-active-limit": "reserve"},
            (Limit(limit_id="reserve", limit_name="R", windows={"5h": FIVE_HOURS}),),
            id="active without windows of its own",
        ),
        pytest.param(
            other_family("gpt-6-1-sol-30d", {"used": "1"}), (slot_of("gpt_6_1_sol_30d"),), id="digits, dashes"
        ),
        pytest.param(other_family("a_b-c", {"used": "1"}), (slot_of("a_b_c"),), id="an underscore"),
        pytest.param(other_family("7", {"used": "1"}), (slot_of("7"),), id="one digit"),
        pytest.param(other_family("a" * 46, {"used": "1"}), (slot_of("a" * 46),), id="a long name"),
        pytest.param(other_family("a" * 47, {"used": "1"}), (), id="too long a name"),
        pytest.param(other_family("premium"), (MAIN_LIMIT,), id="the main limit by its other name"),
        pytest.param({**PLAIN, **other_family("premium", IN_SEVEN_DAYS)}, (MAIN_LIMIT,), id="the main limit twice"),
        pytest.param({**PLAIN, "x-shop-limit-name": "Shop"}, (MAIN_LIMIT,), id="a stranger's name"),
        pytest.param({**PLAIN, "x-shop-primary-reset-at": "1795252200"}, (MAIN_LIMIT,), id="a stranger's reset"),
        pytest.param({**PLAIN, "x-shop-secondary-used-percent": "5"}, (MAIN_LIMIT,), id="a stranger's second window"),
        pytest.param(
            {
                **PLAIN,
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-primary": "5",
                "ratelimit-primary-used-percent": "5",
                "x-primary-used-percent": "5",
                "x--primary-used-percent": "5",
                "x-a--b-primary-used-percent": "5",
                "x--a-primary-used-percent": "5",
                "x-a.b-primary-used-percent": "5",
                "x-_a-primary-used-percent": "5",
                "x-café-primary-used-percent": "5",
                "x-a b-primary-used-percent": "5",
                "x-a\x1b-primary-used-percent": "5",
            },
            (MAIN_LIMIT,),
            id="strangers that look alike",
        ),
    ],
)
def test_a_family_that_begins_otherwise(fields: dict[str, str], limits: tuple[Limit, ...]) -> None:
    """A family is a limit's id, whatever it begins with; it has a used percent, or is the active one."""
    reading = read(fields)
    assert (reading.limits if reading else ()) == limits
    assert (reading.active_limit if reading else "codex") in {"codex", *(limit.limit_id for limit in limits[:1])}
    assert reading is None or "shop" not in json.dumps(reading.raw)


def test_equal_numbers_decide_nothing() -> None:
    """A further family with the same figures as the main limit is a limit of its own unless it is the active one."""
    copied = {**PLAIN, **family(IN_FIVE_HOURS, of="bengalfox"), "x-codex-active-limit": "premium"}
    assert [limit.limit_id for limit in limits_of(copied)] == ["codex", "codex_bengalfox"]


def test_active_family_without_windows() -> None:
    """An active family with a name alone has the plain windows, which are its copy."""
    fields = {**PLAIN, "x-codex-bengalfox-limit-name": "Spark", "x-codex-active-limit": "codex_bengalfox"}
    assert limits_of(fields) == (Limit(limit_id="codex_bengalfox", limit_name="Spark", windows={"5h": FIVE_HOURS}),)


def test_active_family_alone() -> None:
    """An active family without windows, and without a copy of them, has a name and no windows."""
    fields = {"x-codex-bengalfox-limit-name": "Spark", "x-codex-active-limit": "codex_bengalfox"}
    assert limits_of(fields) == (Limit(limit_id="codex_bengalfox", limit_name="Spark"),)


def test_active_family_with_windows_keeps_them() -> None:
    """If copy and family differ, the family's own windows count, and the plain name is not used either."""
    fields = {**PLAIN, "x-codex-limit-name": "Main", **FOX, "x-codex-active-limit": "codex_bengalfox"}
    assert limits_of(fields) == (FOX_LIMIT,)


def test_raw_of_an_active_family() -> None:
    """The plain family is stored for audit where it is a copy, too."""
    fields = {**PLAIN, **FOX, "x-codex-active-limit": "codex_bengalfox"}
    reading = read(fields)
    assert reading is not None
    assert reading.raw == fields


def test_verdict_is_that_of_the_billed_limit() -> None:
    """A refusal in a response is that of the billed limit, and of no other."""
    fields = {**PLAIN, **FOX, "x-codex-rate-limit-reached-type": "rate_limit_reached", "x-codex-limit-reached": "True"}
    verdict = {"reached_type": "rate_limit_reached", "limit_reached": True}
    assert limits_of(fields) == (MAIN_LIMIT.model_copy(update=verdict), FOX_LIMIT)
    named = {**fields, "x-codex-active-limit": "codex_bengalfox"}
    assert limits_of(named) == (FOX_LIMIT.model_copy(update=verdict),)
    alone = {**FOX, "x-codex-allowed": "False"}
    assert limits_of(alone) == (Limit(allowed=False), FOX_LIMIT)


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        pytest.param(
            {"x-codex-bengalfox-limit-name": "Spark"},
            (Limit(limit_id="codex_bengalfox", limit_name="Spark"),),
            id="name only",
        ),
        pytest.param(family(NO_WINDOW, NO_WINDOW), (Limit(windows={}),), id="no window at all"),
        pytest.param(family({"used": "0"}), (Limit(windows={}),), id="used 0 and nothing more"),
        pytest.param(family({"minutes": "0"}), (Limit(windows={}),), id="minutes 0 and nothing more"),
        pytest.param(family({"used": "NaN"}), (), id="nothing readable"),
        pytest.param(family({"at": ""}), (), id="an empty reset and nothing more"),
        pytest.param(family({"used": "x"}, {"used": "0"}), (Limit(windows={}),), id="one readable"),
        pytest.param({"x-codex-primary-over-secondary-limit-percent": "5"}, (), id="a figure of no window"),
        pytest.param(
            family({"used": "123.75", "minutes": "300"}),
            (Limit(windows={"5h": Window(used_percent=123.75, window_minutes=300)}),),
            id="above 100, a fraction",
        ),
        pytest.param(
            family({"used": "13", "after": "9000"}),
            (Limit(windows={"7d": Window(used_percent=13, resets_at=1_795_252_200)}),),
            id="reset-after only, no length",
        ),
        pytest.param(
            family({"used": "13", "after": "30000"}, {"used": "2", "after": "40000"}),
            (
                Limit(
                    windows={
                        "7d": Window(used_percent=13, resets_at=1_795_273_200),
                        "unknown": Window(used_percent=2, resets_at=1_795_283_200),
                    }
                ),
            ),
            id="two of unknown length, late",
        ),
        pytest.param(family({**IN_FIVE_HOURS, "at": "1795252200000"}), (MAIN_LIMIT,), id="milliseconds"),
        pytest.param(family({**IN_FIVE_HOURS, "at": "1795255800"}), (MAIN_LIMIT,), id="an hour between the clocks"),
        pytest.param(family({"used": "13", "minutes": "300", "at": "1795252200"}), (MAIN_LIMIT,), id="reset-at only"),
        pytest.param(
            family(of="a_b", primary={"used": "1"}) | family(of="a-b", primary={"used": "2"}),
            (Limit(limit_id="codex_a_b", windows={"7d": Window(used_percent=1)}),),
            id="one family in two spellings",
        ),
    ],
)
def test_windows(fields: dict[str, str], limits: tuple[Limit, ...]) -> None:
    """A limit has the windows that its readable figures state, an empty map if they state none, else None."""
    assert limits_of(fields) == limits


@pytest.mark.parametrize(
    ("fields", "server_time"),
    [
        pytest.param(family(IN_FIVE_HOURS, IN_SEVEN_DAYS), NOW, id="the first window's"),
        pytest.param(family({"used": "1"}, {**IN_SEVEN_DAYS, "at": "1795543205"}), NOW + 5, id="the second window's"),
        pytest.param(
            family({"used": "1"}) | family({**IN_FIVE_HOURS, "at": "1795252190"}, of="fox"),
            NOW - 10,
            id="a further family's",
        ),
        pytest.param(family({"used": "1", "at": "1795252200"}), None, id="missing"),
        pytest.param(
            family(IN_FIVE_HOURS) | family({**IN_FIVE_HOURS, "at": "1795252190"}, of="fox"),
            NOW,
            id="the main limit's first",
        ),
        pytest.param(family({**IN_FIVE_HOURS, "after": "1"}, IN_SEVEN_DAYS), NOW, id="the consistent one"),
        pytest.param(
            family({**IN_FIVE_HOURS, "after": "1"}, {**IN_SEVEN_DAYS, "after": "1"}), None, id="contradictory windows"
        ),
    ],
)
def test_server_time(fields: dict[str, str], server_time: float | None) -> None:
    """The server's clock is the one of the first window whose reset figures agree with the time of arrival."""
    reading = read(fields)
    assert reading is not None
    assert reading.server_time == server_time


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content-type": "application/json"},
        {"x-codex-turn-state": "opaque"},
        {"x-codex": "1"},
        {"x-codex-": "1"},
        {"x-codex-primary": "1"},
        {"x-codex--primary-used-percent": "1"},
        {"x-codex-a.b-primary-used-percent": "1"},
        {"x-codex-\xe9-primary-used-percent": "1"},
        {"x-codex--a-primary-used-percent": "1"},
        {"x-codex-" + "a" * 41 + "-limit-name": "Long"},
        {"x-codex-" + "a" * 65_536 + "-limit-name": "Long"},
        {"x-codexprimary-used-percent": "1"},
        {"y-codex-primary-used-percent": "1"},
        {"x-codex-active-limit": "premium"},
        {"x-codex-plan-type": ""},
        {"x-codex-allowed": "perhaps"},
        {"x-codex-credits-has-credits": "perhaps", "x-codex-credits-balance": "NaN"},
        {"x-codex-rate-limit-reset-credits-available": "-1"},
    ],
)
def test_no_limits(fields: dict[str, str]) -> None:
    """Headers without limits make no reading."""
    assert read(fields) is None


@pytest.mark.parametrize("length", [1, 40])
def test_family_name(length: int) -> None:
    """A family's name has up to 40 letters, digits and hyphens."""
    name = ("7-a_" * 10)[:length]
    assert limits_of({f"x-codex-{name}-limit-name": "Seven"}) == (
        Limit(limit_id=f"codex_{name.replace('-', '_')}", limit_name="Seven"),
    )


def test_repeated_header() -> None:
    """The first of repeated headers counts, in whatever case it is repeated."""
    fields = [*PLAIN.items(), ("X-Codex-Primary-Used-Percent", "99"), ("x-codex-primary-used-percent", "98")]
    assert limits_of(fields) == (MAIN_LIMIT,)


def test_many_families() -> None:
    """Of 200 families 16 are read, the plain one among them, and the others are counted."""
    fields = {f"x-codex-f{number}-primary-used-percent": "1" for number in range(200)} | PLAIN
    reading = read(fields)
    assert reading is not None
    assert [limit.limit_id for limit in reading.limits] == ["codex", *(f"codex_f{number}" for number in range(15))]
    assert reading.left_out == 185
    assert reading.raw.keys() == PLAIN.keys() | {f"x-codex-f{number}-primary-used-percent" for number in range(15)}


def test_many_families_keep_the_active_one() -> None:
    """The billed limit is never among those left out."""
    fields = {f"x-codex-f{number}-primary-used-percent": "1" for number in range(200)}
    reading = read({**fields, **PLAIN, "x-codex-active-limit": "codex_f150"})
    assert reading is not None
    assert [limit.limit_id for limit in reading.limits] == ["codex_f150", *(f"codex_f{n}" for n in range(15))]
    assert reading.left_out == 184


def test_sixteen_families() -> None:
    """Sixteen families are all read."""
    reading = read({f"x-codex-f{number}-primary-used-percent": "1" for number in range(16)})
    assert reading is not None
    assert (len(reading.limits), reading.left_out) == (16, 0)


HOSTILE = {
    "64 KiB": "7" * 65_536,
    "64 KiB of blanks": " " * 65_536,
    "64 KiB of text": "é\x1b" * 32_768,
    "control characters": "\x1b[2J\x07\x08\x9b",
    "NUL": "\x0013",
    "non-ASCII": "１３".encode().decode("latin-1"),
    "NaN": "NaN",
    "infinity": "-inf",
    "overflow": "1e999",
    "negative": "-5",
    "hexadecimal": "0x10",
    "JSON": '{"a": [1]}',
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_value_everywhere(value: str) -> None:
    """A hostile value in every field makes no window, and what is stored of it is harmless and short."""
    names = {name for response in RESPONSES.values() for name in response.fields}
    reading = read(dict.fromkeys(names, value))
    if reading:
        assert all(not limit.windows for limit in reading.limits)
        assert_harmless(reading)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_value_beside_good_ones(value: str) -> None:
    """A hostile value is dropped by itself: its neighbours stay."""
    reading = read({**family({**IN_FIVE_HOURS, "used": value}, IN_SEVEN_DAYS), "x-codex-plan-type": value})
    assert reading is not None
    assert reading.limits == (
        Limit(windows={"5h": FIVE_HOURS.model_copy(update={"used_percent": None}), "7d": SEVEN_DAYS}),
    )
    assert_harmless(reading)


def assert_harmless(reading: RateLimits) -> None:
    """Check that a reading is printable, short and valid JSON."""
    written = json.dumps(reading.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    written.encode()
    assert written.isprintable()
    assert len(written) < 20_000


@pytest.mark.parametrize(
    ("mapping", "limits"),
    [
        pytest.param(
            {
                "x-codex-primary-used-percent": 13,
                "X-Codex-Primary-Window-Minutes": 300.0,
                "x-codex-primary-reset-at": 1_795_252_200,
            },
            (MAIN_LIMIT,),
            id="numbers",
        ),
        pytest.param(
            {"x-codex-primary-used-percent": "13", "x-codex-allowed": False},
            (Limit(allowed=False, windows={"7d": Window(used_percent=13)}),),
            id="a truth value",
        ),
        pytest.param({"x-codex-allowed": 0}, (Limit(allowed=False),), id="a number for a truth value"),
        pytest.param({"x-codex-primary-used-percent": True, "x-codex-limit-name": 5}, (), id="wrong types"),
        pytest.param({"x-codex-primary-used-percent": ["13"], "x-codex-plan-type": {"a": 1}}, (), id="nested"),
        pytest.param({"x-codex-primary-used-percent": None}, (), id="null"),
        pytest.param(
            {"": 1, "\ud800": 2, "é": 3, "x" * 65_536: 4, "x-codex-\ud800-limit-name": "X"}, (), id="strange names"
        ),
        pytest.param(
            {"x-codex-primary-used-percent": 13, "X-CODEX-PRIMARY-USED-PERCENT": 99},
            (Limit(windows={"7d": Window(used_percent=13)}),),
            id="repeated in another case",
        ),
        pytest.param(
            {"content-type": "a", "set-cookie": "b", "x-codex-primary-used-percent": 13},
            (Limit(windows={"7d": Window(used_percent=13)}),),
            id="behind other headers",
        ),
    ],
)
def test_mapping(mapping: dict[str, object], limits: tuple[Limit, ...]) -> None:
    """The header map of a websocket error may hold strings, numbers and truth values."""
    reading = headers.read_mapping(mapping, NOW)
    assert (reading.limits if reading else ()) == limits


def test_mapping_raw() -> None:
    """Numbers and truth values of a header map are stored for audit as sent."""
    mapping = {
        "x-codex-primary-used-percent": 13.5,
        "X-Codex-Allowed": True,
        "x-codex-secret": "no",
        "set-cookie": "no",
        "x-codex-primary-mood": "no",
        "x-codex-plan-type": ["no"],
    }
    reading = headers.read_mapping(mapping, NOW)
    assert reading is not None
    assert reading.raw == {"x-codex-primary-used-percent": 13.5, "x-codex-allowed": True, "x-codex-plan-type": None}
    assert reading.unknown_fields == ("x-codex-primary-mood",)


def test_unknown_headers_come_without_their_values() -> None:
    """Of an unknown field that looks like a limit the name waits to be read, and nothing else."""
    found = headers.collect([(b"X-Codex-Primary-Mood", b"secret"), (b"x-codex-plan-type", b"plus"), (b"cookie", b"a")])
    assert list(found.limits) == [(b"X-Codex-Primary-Mood", b""), (b"x-codex-plan-type", b"plus")]


@pytest.mark.parametrize(
    ("fields", "content_type", "content_encoding"),
    [
        pytest.param([], b"", b"", id="missing"),
        pytest.param([(b"content-type", b"text/event-stream")], b"text/event-stream", b"", id="type"),
        pytest.param([(b"Content-Encoding", b"gzip")], b"", b"gzip", id="encoding, another case"),
        pytest.param(
            [
                (b"CONTENT-TYPE", b"a"),
                (b"content-encoding", b"br"),
                (b"content-type", b"b"),
                (b"content-encoding", b"gzip"),
            ],
            b"a",
            b"br",
            id="the first of each",
        ),
        pytest.param([(b"content-type-x", b"a"), (b"x-content-encoding", b"br")], b"", b"", id="others"),
    ],
)
def test_content_type_and_encoding(
    fields: list[tuple[bytes, bytes]], content_type: bytes, content_encoding: bytes
) -> None:
    """The headers of the body are collected in the same pass; they alone make no reading."""
    found = headers.collect(fields)

    assert (found.content_type, found.content_encoding) == (content_type, content_encoding)
    assert not found.limits
    assert headers.read(found, NOW) is None


def test_the_billed_limit() -> None:
    """The billed limit is known without reading the figures."""
    names = {"x-codex-active-limit": "codex_fox", "x-codex-fox-primary-used-percent": "1"}

    assert headers.billed_limit_id(headers.collect([])) == "codex"
    assert headers.billed_limit_id(
        headers.collect([(name.encode(), value.encode()) for name, value in names.items()])
    ) == ("codex_fox")


def test_more_readings_than_the_caches_hold() -> None:
    """More resets, figures and sets of headers than the caches hold are each read correctly."""
    for round_trip in range(2):
        for number in range(200):
            fields = {
                "x-codex-primary-used-percent": str(number % 40),
                "x-codex-primary-window-minutes": "300",
                "x-codex-primary-reset-at": str(int(NOW) + number),
                f"x-other-{number % 70}": "1",
            }
            reading = read(fields)
            assert reading is not None, (round_trip, number)
            window = Window(used_percent=number % 40, window_minutes=300, resets_at=int(NOW) + number)
            assert reading.limits == (Limit(windows={"5h": window}),)


@pytest.mark.parametrize(
    ("window", "later", "resets_at"),
    [
        (IN_FIVE_HOURS, 60, 1_795_252_200),
        (IN_FIVE_HOURS, 120, 1_795_252_200),
        (IN_FIVE_HOURS, 121, 1_795_252_321),
        (IN_FIVE_HOURS, -120, 1_795_252_200),
        (IN_FIVE_HOURS, -121, 1_795_252_079),
        ({**IN_FIVE_HOURS, "at": ""}, 60, 1_795_252_260),
        ({**IN_FIVE_HOURS, "after": ""}, 60, 1_795_252_200),
    ],
)
def test_the_same_headers_at_another_time(window: dict[str, str], later: float, resets_at: int) -> None:
    """Cached headers are read again if their meaning depends on the time."""
    fields = family(window)
    for _ in range(2):
        assert read(fields) is not None
        found = read(fields, NOW + later)
        assert found
        (limit,) = found.limits
        assert (limit.windows or {})["5h"].resets_at == resets_at
        assert found.raw == fields


def test_the_slot_of_the_same_headers_at_another_time() -> None:
    """A window of unknown length is one of five hours only if it resets within six hours."""
    fields = family(None, {"used": "13", "at": "1795264900", "after": "21700"})
    slots = []
    for later in (0, 110, 0):
        found = read(fields, NOW + later)
        assert found
        (limit,) = found.limits
        slots.append(list(limit.windows or {}))
    assert slots == [["7d"], ["5h"], ["7d"]]
