"""The text of `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.events import render_events, routine_resets
from tests.support.factories import NOON
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from scripts.render.console import TerminalProfile
    from store.documents import EventsDocument

ALICE = {"account": "acct-a/user-a", "label": "alice@example.com", "name": None, "email": "alice@example.com"}
BOB = {"account": "acct-b/user-b", "label": "bob", "name": "bob", "email": None}

RESET = {
    **ALICE,
    "at": NOON,
    "kind": "window_reset_early",
    "text": "The 7 d window was reset 2 d 23 h before it was due: 40 % used before, 1 % after.",
    "note": "Its time is not exact.",
}
REACHED = {**BOB, "at": NOON + 60, "kind": "limit_reached", "text": "The 5 h window is full.", "note": None}


def shown(
    accounts: list[dict[str, Any]], *events: dict[str, Any], profile: TerminalProfile = UTC, **options: Any
) -> str:
    document = cast("EventsDocument", {"accounts": accounts, "events": list(events)})
    return "\n".join(text.plain for text in render_events(document, profile, **options))


def routine(at: float = NOON, note: str | None = None, **before: Any) -> dict[str, Any]:
    """A reset that came when it was due."""
    text = "The 5 h window was reset when it was due, 2026-11-21 12:00, from 80 % used to 1 %."
    due = {"resets_at": at, **before}
    return {**ALICE, "at": at, "kind": "window_reset", "text": text, "note": note, "before": due}


def test_a_pipe_gets_a_line_for_each_event() -> None:
    """A line has time, kind, account, text and note."""
    assert shown([ALICE, BOB], RESET, REACHED, profile=UTC._replace(unlimited=True)) == lines("""
        2026-11-21 12:00  window reset early  alice@example.com  The 7 d window was reset 2 d 23 h before it was due: 40 % used before, 1 % after. Its time is not exact.
        2026-11-21 12:01  limit reached       bob                The 5 h window is full.
    """)  # noqa: E501 (a line of output)


def test_a_terminal_gets_wrapped_text() -> None:
    """Text wraps beside the time and the kind; one account needs no column."""
    assert shown([ALICE], RESET) == lines("""
        2026-11-21 12:00  window reset early  The 7 d window was reset 2 d 23 h before
                                              it was due: 40 % used before, 1 % after.
                                              Its time is not exact.
    """)


@pytest.mark.parametrize(("kind", "style"), [("window_reset_early", "bold yellow"), ("limit_reached", "red")])
def test_kinds_that_deserve_attention_have_colours(kind: str, style: str) -> None:
    """The colour is on the kind alone."""
    document = cast("EventsDocument", {"accounts": [ALICE], "events": [{**RESET, "kind": kind, "note": None}]})
    first = next(render_events(document, UTC))
    assert [first.plain[span.start : span.end].strip() for span in first.spans if span.style == style] == [
        kind.replace("_", " ")
    ]


def test_no_events() -> None:
    """The text is empty, without a header."""
    assert shown([ALICE]) == ""


def test_text_and_accounts_are_sanitized() -> None:
    """Escape sequences from the wire do not reach the terminal."""
    hostile = "\x1b[31mred"
    who = {**ALICE, "label": hostile}
    assert "\x1b" not in shown([who, BOB], {**RESET, **who, "text": hostile, "note": hostile})


def test_the_time_is_told_once() -> None:
    """The line begins with it; the sentence names other times alone."""
    assert shown([ALICE], routine(), profile=UTC._replace(unlimited=True)) == lines("""
        2026-11-21 12:00  window reset  The 5 h window was reset when it was due, from 80 % used to 1 %.
    """)


@pytest.mark.parametrize(
    ("events", "shown_kinds", "line"),
    [
        ([routine(), REACHED], ["limit reached"], "1 routine reset is not shown (--all)"),
        ([routine(), routine(), REACHED], ["limit reached"], "2 routine resets are not shown (--all)"),
        ([RESET, REACHED], ["window reset early", "limit reached"], None),
        ([routine(resets_at=None)], ["window reset"], None),
        ([routine(note="The clock was set back in between.")], ["window reset"], None),
    ],
    ids=["one", "two", "none", "when it was due is unknown", "doubtful"],
)
def test_routine_resets_are_counted(events: list[dict[str, Any]], shown_kinds: list[str], line: str | None) -> None:
    """A reset that came when it was due is one of a line at the end; whatever is not sure is shown."""
    found = shown([ALICE, BOB], *events, hides_routine=True, profile=UTC._replace(unlimited=True))
    assert [each.split("  ")[1].strip() for each in found.splitlines()] == shown_kinds
    assert routine_resets(cast("EventsDocument", {"events": events})) == line
