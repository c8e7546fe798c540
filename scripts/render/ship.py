"""Text of ``ship --status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.render.console import count
from store.analysis.formatting import duration

if TYPE_CHECKING:
    from store.documents import ShipStatusDocument


def render_ship_status(document: ShipStatusDocument, now: float) -> str:
    """Return how much is not sent to the team's database yet."""
    sent_at = document["sent_at"]
    sent = "never" if sent_at is None else f"{duration(max(0.0, now - sent_at))} ago"
    left = f"{count(document['snapshots_left'], 'snapshot')} and {count(document['turns_left'], 'turn')}"
    lines = [f"Not sent yet: {left}.", f"Last sent: {sent}."]
    if not document["shipping"]:
        lines.append("Shipping has ended: codex-tap ship begins again.")
    return "\n".join(lines)
