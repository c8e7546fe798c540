"""Terminal output of ``alerts check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.render.console import clock_time
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from store.documents import AlertCheckDocument, PendingAlert


def render_alerts(document: AlertCheckDocument, zone: dt.tzinfo | None = None) -> str:
    """Show the document of ``alerts check --json``: the alerts that are due or held, and those that were sent."""
    now, quiet_until = document["generated_at"], document["quiet_until"]
    if quiet_until is None:
        pending = _section("Due now:", _pending(document["due"]), "No alerts due.")
    else:
        until = clock_time(quiet_until, now, zone)
        heading = f"Held until {until}, the end of the quiet hours:"
        pending = _section(heading, _pending(document["held"]), f"No alerts held. Quiet hours until {until}.")
    # Thresholds passed at once were sent as one message.
    sent = {
        f"{clock_time(each['told_at'], now, zone):<12}  {sanitize(each['text'])}": None for each in document["fired"]
    }
    return f"{pending}\n{_section('Already sent:', sent, 'No alerts sent yet.')}"


def _pending(alerts: Iterable[PendingAlert]) -> list[str]:
    return [f"{sanitize(each['text'])}  → {', '.join(each['targets']) or 'no target'}" for each in alerts]


def _section(heading: str, lines: Iterable[str], empty: str) -> str:
    found = [f"  {line}" for line in lines]
    return "\n".join([heading, *found]) if found else empty
