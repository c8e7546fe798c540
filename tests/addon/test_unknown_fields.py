"""The names of fields that look like limits and are not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.messages import read_event, read_usage
from addon.unknown_fields import MAX_UNKNOWN, is_unknown_header, unknown_keys
from tests.support.wire_messages import IN_FIVE_HOURS, NOW, USAGE, event, figures

TOKEN = "eyJhbGciOiJSUzI1NiIs"


@pytest.mark.parametrize(
    ("name", "is_unknown"),
    [
        ("x-codex-primary-burst-percent", True),
        ("x-codex-bengalfox-secondary-tokens-left", True),
        ("x-base-model-inference-primary-mood", True),
        ("x-codex-tertiary-used-percent", True),
        ("x-codex-monthly-window-minutes", True),
        ("x-new-limit-30d-reset-at", True),
        ("x-codex-spend-limit-used", True),
        ("x-codex-credits-expire-at", True),
        ("x-shop-reset-at", False),
        ("x-shop-reset-after-seconds", False),
        ("x-shop-primary", False),
        ("x-codex-turn-state", False),
        ("x-codex-delimited", False),
        ("x-ratelimit-remaining-requests", False),
        ("x-ratelimit-limit-tokens", False),
        ("x-request-id", False),
        ("content-type", False),
        ("x-primary-mood", False),
        ("x-codex-primary-", False),
        ("x-codex-\x1b-primary-mood", False),
        ("x-codex-ｐrimary-primary-mood", False),
        (f"x-codex-primary-{TOKEN.lower()}", False),
        ("x-codex-primary-3fa94c01b2", False),
        ("x-codex-primary-deadbeef", False),
        ("x-codex-primary-1795243200", False),
        ("x-codex-" + "a-" * 40 + "primary-mood", False),
    ],
)
def test_header(name: str, is_unknown: bool) -> None:
    """A header counts by the form of its name; nothing that could be an id or a token does."""
    assert is_unknown_header(name) is is_unknown


@pytest.mark.parametrize(
    "word", ["budget", "budgets", "credit", "credits", "limit", "limits", "quota", "quotas", "spend"]
)
def test_word(word: str) -> None:
    """A header of Codex's that speaks of a limit counts, with the word at any place."""
    assert is_unknown_header(f"x-codex-{word}")
    assert is_unknown_header(f"x-codex-daily-{word}-used")
    assert not is_unknown_header(f"x-shop-{word}-used")


@pytest.mark.parametrize(
    ("longest", "too_long"),
    [
        ("a" + "g" * 15, "a" + "g" * 16),
        ("g12", "g123"),
        ("gAgBgCgD", "gAgBgCgDgE"),
        ("abcdef", "abcdefa"),
        ("_".join(["gg"] * 23), "_".join(["gg"] * 24)),
    ],
    ids=["letters", "digits", "capitals", "hexadecimal", "characters"],
)
def test_name_that_could_be_a_secret(longest: str, too_long: str) -> None:
    """A word has at most 16 letters, two digits and four capitals, and a name 80 characters."""
    names = unknown_keys({"rate_limits": {longest: 1, too_long: 2}})
    assert names == (f"rate_limits.{longest}",)


LIMIT = figures(allowed=True, limit_reached=False)
WINDOW = dict.fromkeys(
    ("used_percent", "window_minutes", "limit_window_seconds", "reset_at", "resets_at", "reset_after_seconds")
) | {"resets_in_seconds": 1}
ENTRY = {"limit_name": "a", "metered_feature": "b", "metered_limit_name": "c", "rate_limits": LIMIT, "rate_limit": None}
BUDGET = dict.fromkeys(
    ("limit", "used", "remaining", "used_percent", "remaining_percent", "reset_at", "reset_after_seconds", "source")
) | {"unit": "usd"}
DOCUMENT = dict.fromkeys(
    ("code_review_rate_limit", "limit_name", "metered_limit_name", "rate_limit_reached_type", "rate_limit_upsell")
) | {"rate_limit_reset_credits": {}}


@pytest.mark.parametrize(
    ("document", "names"),
    [
        pytest.param(USAGE, (), id="a usage document"),
        pytest.param(
            {
                **DOCUMENT,
                "rate_limits": {**LIMIT, "primary": WINDOW, "secondary": WINDOW},
                "rate_limit": {**LIMIT, "primary_window": WINDOW, "secondary_window": WINDOW},
                "additional_rate_limits": [ENTRY],
                "spend_control": {"reached": False, "individual_limit": BUDGET},
            },
            (),
            id="every known key",
        ),
        pytest.param({"rate_limits": LIMIT, "code_review_rate_limits": LIMIT}, (), id="an event"),
        pytest.param({"rate_limits": {**LIMIT, "tertiary": {}}}, ("rate_limits.tertiary",), id="a slot"),
        pytest.param(
            {"rate_limit": {"primary_window": {**IN_FIVE_HOURS, "burst": 5}}},
            ("rate_limit.primary_window.burst",),
            id="a figure of a window",
        ),
        pytest.param(
            {"additional_rate_limits": {"secret@example.com": {**LIMIT, "pool": 1}}},
            ("additional_rate_limits.pool",),
            id="a key of a further limit",
        ),
        pytest.param(
            {"additional_rate_limits": [{"limit_name": "a", "rate_limit": {**LIMIT, "pool": 1}, "boost": 1}]},
            ("additional_rate_limits.boost", "additional_rate_limits.rate_limit.pool"),
            id="keys of a further limit in a list",
        ),
        pytest.param(
            {"additional_rate_limits": [{"limit_name": "a", "rate_limits": {**LIMIT, "pool": 1}}]},
            ("additional_rate_limits.rate_limits.pool",),
            id="keys of a further limit, as events name them",
        ),
        pytest.param(
            {"spend_control": {"reached": True, "team_limit": {}, "individual_limit": {"limit": "5", "currency": "x"}}},
            ("spend_control.team_limit", "spend_control.individual_limit.currency"),
            id="keys of a budget",
        ),
        pytest.param(
            {"daily_limits": {}, "usage_window": 1, "monthlyBudget": 1, "rate_limits": None},
            ("daily_limits", "usage_window", "monthlyBudget"),
            id="keys of the document that look like limits",
        ),
        pytest.param({"turn_state": 1, "new": 2, "promo": 3, "rate_limit_upsell": {}}, (), id="other keys"),
        pytest.param(
            {"rate_limits": {f"{TOKEN}": 1, "a@b": 2, "a b": 3, "": 4, "3fa94c01b2": 5, "f" * 32: 6, "x" * 200: 7}},
            (),
            id="keys that could be secrets",
        ),
        pytest.param({"rate_limits": [1], "additional_rate_limits": 5, "spend_control": "x"}, (), id="wrong types"),
    ],
)
def test_keys(document: dict[str, Any], names: tuple[str, ...]) -> None:
    """Keys beside the known ones are named with the keys that lead to them, and without any value."""
    assert unknown_keys(document) == names


def test_bounded() -> None:
    """Of very many names some are taken."""
    words = [f"{first}{second}" for first in "ghijklm" for second in "ghijklm"]
    assert len(unknown_keys({"rate_limits": dict.fromkeys(words)})) == MAX_UNKNOWN == 16


def test_bounded_places() -> None:
    """Of very many keys, and of very many further limits, the first are looked at; a name has 80 characters at most."""
    many = dict.fromkeys(f"a@{number}" for number in range(199))
    assert unknown_keys({"rate_limits": {**many, "burst": 1, "pool": 2}}) == ("rate_limits.burst",)
    entries: list[dict[str, object]] = [{}] * 15
    assert unknown_keys({"additional_rate_limits": [*entries, {"burst": 1}, {"pool": 2}]}) == (
        "additional_rate_limits.burst",
    )
    longest = "limit_" * 13 + "gg"
    assert len(longest) == 80
    assert unknown_keys({longest: 1, f"{longest}g": 2}) == (longest,)


def test_a_message_names_them() -> None:
    """Events and usage documents report the names, even if they have nothing else."""
    for parsed in (
        read_event(event(rate_limits={"burst": 7}), NOW),
        read_usage(json.dumps({"rate_limit": {"burst": 7}}).encode(), NOW),
    ):
        assert parsed is not None
        assert [name.rpartition(".")[2] for name in parsed.reading.unknown_fields] == ["burst"]
        assert "burst" not in json.dumps(parsed.reading.raw)
