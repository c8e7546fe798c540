"""Text of ``ship --status``."""

from __future__ import annotations

import pytest

from scripts.render.ship import render_ship_status

_NOW = 1_795_262_400.0


@pytest.mark.parametrize(
    ("sent_at", "shipping", "text"),
    [
        (None, True, "Not sent yet: 3 snapshots and 1 turn.\nLast sent: never."),
        (_NOW - 120, True, "Not sent yet: 3 snapshots and 1 turn.\nLast sent: 2 min ago."),
        (
            _NOW + 5,
            False,
            (
                "Not sent yet: 3 snapshots and 1 turn.\nLast sent: 0 s ago.\n"
                "Shipping has ended: codex-tap ship begins again."
            ),
        ),
    ],
    ids=["never", "a while ago", "ended, by a clock that went back"],
)
def test_what_is_left_and_when_it_was_sent(sent_at: float | None, shipping: bool, text: str) -> None:
    document = render_ship_status(
        {
            "generated_at": int(_NOW),
            "shipping": shipping,
            "snapshots_left": 3,
            "turns_left": 1,
            "sent_at": sent_at,
        },
        _NOW,
    )
    assert document == text
