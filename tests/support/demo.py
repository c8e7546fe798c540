"""Events of a turn, for the tests of the demo's backend and client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.demo.replies import WireWindow, rate_limits_event

if TYPE_CHECKING:
    from scripts.demo.transport import Reply

RESET_AT = 1_795_999_999

LIMITS = rate_limits_event(WireWindow(7, 10080, RESET_AT, 556112))


def kinds(reply: Reply) -> list[str]:
    """Return the types of a reply's events."""
    return [event.message["type"] for event in reply.events]


TURN = ["response.created", "codex.rate_limits", "response.output_item.done", "response.completed"]
