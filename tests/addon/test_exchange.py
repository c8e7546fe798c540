"""The state of a request while its response is under way."""

from __future__ import annotations

import pytest

from addon import headers
from addon.exchange import Exchange, OpenTurn, RequestInfo
from store.models import Identity, Transport

INFO = RequestInfo(Identity(token_key="opaque~0000000001"), thread="t-1")


def test_billed_limit_before_the_response() -> None:
    """Until the response's headers are there, a request counts as charged to the main limit."""
    assert Exchange(INFO, 1.0).billed_limit_id == "codex"


@pytest.mark.parametrize(
    ("active", "billed"),
    [(None, "codex"), ("codex", "codex"), ("codex_fox", "codex_fox"), ("Codex-Fox", "codex_fox")],
)
def test_billed_limit_of_a_response(active: str | None, billed: str) -> None:
    """The response's headers name the limit that the request was charged to."""
    exchange = Exchange(INFO, 1.0)
    named = [] if active is None else [(b"x-codex-active-limit", active.encode())]
    exchange.fields = headers.collect([*named, (b"x-codex-fox-primary-used-percent", b"5")])
    assert exchange.billed_limit_id == billed


def test_a_new_turn_has_no_response_yet() -> None:
    """A turn starts without a first byte and without a status."""
    turn = OpenTurn(Transport.HTTP, 1.0, INFO, warm_up=False)
    assert (turn.first_byte_at, turn.status) == (None, None)


def test_when_a_response_begins() -> None:
    """A turn has the server's first sign of life as its first byte, and then the beginning of its response."""
    turn = OpenTurn(Transport.HTTP, 1.0, INFO, warm_up=False)
    seen = []
    for at, begins in ((2.0, False), (3.0, False), (4.0, True)):
        turn.note_arrival(at, begins=begins)
        seen.append((turn.first_byte_at, turn.has_begun))
    assert seen == [(2.0, False), (2.0, False), (4.0, True)]
