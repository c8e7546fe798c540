"""The text of `alerts check`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

from scripts.render.alerts import render_alerts
from tests.support.factories import NOON
from tests.support.rendering import lines

if TYPE_CHECKING:
    from store.documents import AlertCheckDocument


def shown(**fields: Any) -> str:
    """The text of a document with these fields, at noon."""
    document = {"generated_at": NOON, "quiet_until": None, "due": [], "held": [], "fired": [], **fields}
    return render_alerts(cast("AlertCheckDocument", document), dt.UTC)


def pending(text: str, *targets: str) -> dict[str, Any]:
    return {"text": text, "targets": list(targets)}


def fired(text: str, ago: float, threshold: float) -> dict[str, Any]:
    return {"text": text, "told_at": NOON - ago, "threshold": threshold}


def test_due_alerts_have_their_targets() -> None:
    """An alert without a target is marked."""
    assert shown(due=[pending("alice: 80 % used", "desk", "phone"), pending("bob: full")]) == lines("""
        Due now:
          alice: 80 % used  → desk, phone
          bob: full  → no target
        No alerts sent yet.
    """)


def test_no_alerts() -> None:
    """Each part has a line for none."""
    assert shown() == "No alerts due.\nNo alerts sent yet."


def test_thresholds_passed_at_once_are_one_line() -> None:
    """Such alerts were sent as one message; a later message of the same text has its own line."""
    sent = [fired("alice: 90 % used", 3_600, 80), fired("alice: 90 % used", 3_600, 90)]
    assert shown(fired=[*sent, fired("alice: 90 % used", 600, 80)]) == lines("""
        No alerts due.
        Already sent:
          11:00         alice: 90 % used
          11:50         alice: 90 % used
    """)


def test_quiet_hours_hold_alerts() -> None:
    """The heading has the end of the quiet hours."""
    held = shown(quiet_until=NOON + 7_200, held=[pending("alice: 80 % used", "desk")])
    assert held.splitlines()[:2] == [
        "Held until 14:00, the end of the quiet hours:",
        "  alice: 80 % used  → desk",
    ]
    assert shown(quiet_until=NOON + 7_200).startswith("No alerts held. Quiet hours until 14:00.\n")


def test_text_of_alerts_is_sanitized() -> None:
    """Escape sequences from the wire do not reach the terminal."""
    hostile = "\x1b[31mred"
    assert "\x1b" not in shown(due=[pending(hostile)], fired=[fired(hostile, 60, 80)])
    assert "\x1b" not in shown(quiet_until=NOON + 60, held=[pending(hostile)])
