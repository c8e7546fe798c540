"""The fields of a message that are stored for audit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from addon.messages import read_event, read_usage
from addon.raw_fields import MAX_RAW_CHARACTERS, allowed_fields, clean_raw
from tests.support.wire_messages import IN_FIVE_HOURS, MAIN, NOW, USAGE, event, figures, limits_of

if TYPE_CHECKING:
    from collections.abc import Callable


def test_raw_holds_rate_limits_only() -> None:
    """E-mail, ids, prose and unknown fields are left out; the figures are stored as sent."""
    parsed = read_usage(json.dumps({**USAGE, "new": "secret", "promo": {"message": "prose"}}).encode(), NOW)
    assert parsed is not None
    stored = json.loads(json.dumps(USAGE))
    for field in ("email", "account_id", "user_id"):
        del stored[field]
    assert parsed.reading.raw == {**stored, "promo": {}}


def test_raw_of_a_map() -> None:
    """In a map of limits the keys are ids, and are stored in their one spelling."""
    parsed = read_event(
        event(additional_rate_limits={"Codex-\x1bFox": {"primary": IN_FIVE_HOURS, "e": 1}, "語": 5}), NOW
    )
    assert parsed is not None
    assert parsed.reading.raw["additional_rate_limits"] == {"codex_fox": {"primary": IN_FIVE_HOURS}, "": {}}


def test_raw_of_models() -> None:
    """The names of models are stored as people may see them, with the known fields of each."""
    models = {"GPT 5\x1b": {"available": False, "e": 1}, "": {"available": True}, "gpt-x": 5}
    assert allowed_fields({"model_usage": models}) == {
        "model_usage": {"GPT 5\N{REPLACEMENT CHARACTER}": {"available": False}, "": {"available": True}, "gpt-x": {}}
    }


@pytest.mark.parametrize(("more", "is_stored"), [(0, True), (1, False)])
def test_raw_has_a_length(more: int, is_stored: bool) -> None:
    """A message is stored up to the maximum length, and nothing of a longer one."""
    message: dict[str, object] = {"code": [[["x" * 120] * 16] * 16] * 2, "used": ["x" * 120] * 12}
    missing = MAX_RAW_CHARACTERS + more - len(json.dumps(message))
    for name in ("status", "type", "source", "balance"):
        length = min(missing - len(f', "{name}": ""'), 120)
        message[name] = "x" * length
        missing = MAX_RAW_CHARACTERS + more - len(json.dumps(message))
    assert missing == 0
    assert allowed_fields(message) == (message if is_stored else {})


def test_raw_is_bounded() -> None:
    """A message whose known fields alone are huge is stored without any of them; its figures are read."""
    wide = [[["x" * 120] * 16] * 16] * 16
    parsed = read_event(event(rate_limits=figures(), code=wide), NOW)
    assert limits_of(parsed) == (MAIN,)
    assert parsed is not None
    assert parsed.reading.raw == {}


@pytest.mark.parametrize(
    ("nest", "stored"),
    [
        pytest.param(lambda inner: {"primary": inner}, '{"primary": ' * 5 + '{"primary": null' + "}" * 6, id="maps"),
        pytest.param(lambda inner: [inner], "[" * 5 + "[null]" + "]" * 5, id="lists"),
        pytest.param(
            lambda inner: {"model_usage": {"a": inner}},
            '{"model_usage": {"a": ' * 5 + '{"model_usage": null' + "}" * 11,
            id="models by name",
        ),
        pytest.param(
            lambda inner: {"additional_rate_limits": {"a": inner}},
            '{"additional_rate_limits": {"a": ' * 5 + '{"additional_rate_limits": null' + "}" * 11,
            id="maps by name",
        ),
    ],
)
def test_raw_is_shallow(nest: Callable[[object], object], stored: str) -> None:
    """Values nested deeper than in any real message are left out."""
    deep: object = "bottom"
    for _ in range(50):
        deep = nest(deep)
    parsed = read_event(event(plan_type="plus", promo=deep), NOW)
    assert parsed is not None
    assert json.dumps(parsed.reading.raw["promo"]) == stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (False, False),
        (7, 7),
        (7.25, 7.25),
        (-5, None),
        (1e15, 1e15),
        (1e15 + 1, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("True", "True"),
        ("", ""),
        ("\x1b[2J\x00", "�[2J�"),
        ("\ud800", "�"),
        ("x" * 65_536, "x" * 120),
        ([1], ""),
        ({"a": 1}, ""),
    ],
)
def test_value(value: object, stored: object) -> None:
    """A value stored for audit is harmless JSON of bounded length."""
    assert clean_raw(value) == stored
    assert type(clean_raw(value)) in {type(stored), float}
    json.dumps(clean_raw(value), allow_nan=False).encode()
