"""The sentences of events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from store.analysis.event_text import event_note, event_text, limit_suffix, text_beside_time
from store.analysis.events import Doubt, Event, EventEvidence
from store.constants import EVENT_KINDS, EventKind
from tests.support.factories import NOON

HOUR, DAY = 3_600, 86_400


def event(
    kind: EventKind, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None, **fields: Any
) -> Event:
    """An event of the 7 d window of the main limit, a minute after noon."""
    was, now = EventEvidence(1, NOON, **(before or {})), EventEvidence(2, NOON + 60, **(after or {}))
    return Event(NOON + 60, kind, "codex", None, "7d", 10_080, was, now)._replace(**fields)


SENTENCES = {
    "full": (
        event("limit_reached", {}, {"used_percent": 100.0, "resets_at": NOON + DAY}),
        "The 7 d window is full, at 100 % used; it resets 2026-11-22 12:00.",
    ),
    "full, without a reset": (
        event("limit_reached", {}, {"used_percent": 100.0}),
        "The 7 d window is full, at 100 % used; its reset time is unknown.",
    ),
    "reached": (
        event("limit_reached", {}, {"reached_type": "workspace", "reached_until": NOON + HOUR}, slot=None),
        "The limit is reached, as the server says (workspace), until 2026-11-21 13:00.",
    ),
    "freed by a reset": (event("limit_freed"), "The limit is open again: its 7 d window was reset."),
    "freed in time": (
        event("limit_freed", slot=None, at=NOON),
        "The limit is open again: the time that the server gave has passed.",
    ),
    "freed by the server": (event("limit_freed", slot=None), "The limit is open again, as the server says."),
    "reset": (
        event("window_reset", {"used_percent": 40.0, "resets_at": NOON}, {"used_percent": 1.0}),
        "The 7 d window was reset when it was due, 2026-11-21 12:00, from 40 % used to 1 %.",
    ),
    "reset, when is unknown": (
        event("window_reset", {"used_percent": 40.0}, {"used_percent": 1.0}),
        "The 7 d window was reset, from 40 % used to 1 %; when it was due is unknown.",
    ),
    "reset after the clock was set back": (
        event("window_reset", {"used_percent": 40.0, "resets_at": NOON}, {"used_percent": 1.0})._replace(
            doubt=Doubt("clock_set_back")
        ),
        "The 7 d window was reset, from 40 % used to 1 %.",
    ),
    "of another limit": (
        event("window_vanished", {"used_percent": 9.0}, limit_id="codex_bengalfox", limit_name="Spark"),
        "The 7 d window of Spark no longer exists; it was last seen at 9 % used.",
    ),
    "elsewhere": (
        event("used_elsewhere", {"used_percent": 40.0}, {"used_percent": 45.5}, points=5.5),
        "Used elsewhere: 5.5 points of the 7 d window (40 % used before, 45.5 % now), and no turn was seen meanwhile.",
    ),
    "elsewhere after a reset": (
        event("used_elsewhere", {"used_percent": 9.0}, {"used_percent": 1.0}, points=1.0),
        "Used elsewhere: 1 point of the 7 d window (9 % used, then a reset, 1 % now), and no turn was seen meanwhile.",
    ),
    "credits": (
        event("credits_spent", {"credits_balance": "9.50"}, {}, credits="9.5"),
        "9.5 credits were spent: 9.50 before, 0 now.",
    ),
}


@pytest.mark.parametrize(("found", "sentence"), SENTENCES.values(), ids=list(SENTENCES))
def test_a_sentence_says_what_the_event_does(found: Event, sentence: str) -> None:
    assert event_text(found, dt.UTC) == sentence


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_kind_has_a_sentence(kind: EventKind) -> None:
    """Also where a message reported next to nothing."""
    known = {"plan_type": "plus", "token_key": "k~0000000001"}
    text = event_text(event(kind, known, known, credits="1"), dt.UTC)
    assert text.endswith(".")
    assert "None" not in text


@pytest.mark.parametrize(
    ("doubt", "note"),
    [
        (None, None),
        (Doubt("far_apart", 2 * HOUR), "It happened at some time in the 2 h before it was seen."),
        (Doubt("clock_set_back"), "The clock was set back in between, so it is not known whether that was on time."),
        (Doubt("reset_unknown"), "Without both reset times it is not known whether that was a reset."),
    ],
)
def test_a_note_says_what_is_not_sure(doubt: Doubt | None, note: str | None) -> None:
    assert event_note(event("window_reset", doubt=doubt)) == note


def test_a_limit_is_named_where_it_is_not_the_main_one() -> None:
    """By its name, else by its id."""
    assert [limit_suffix("codex", None), limit_suffix("x", None), limit_suffix("x", "X 1")] == ["", " of x", " of X 1"]


def test_a_sentence_beside_its_time_does_not_repeat_it() -> None:
    """Other times stay."""
    reset = event("window_reset", {"used_percent": 40.0, "resets_at": NOON}, {"used_percent": 1.0}, at=NOON)
    assert (
        text_beside_time(event_text(reset, dt.UTC), reset, dt.UTC)
        == "The 7 d window was reset when it was due, from 40 % used to 1 %."
    )
    full = event("limit_reached", {}, {"used_percent": 100.0, "resets_at": NOON + DAY})
    assert text_beside_time(event_text(full, dt.UTC), full, dt.UTC) == event_text(full, dt.UTC)
