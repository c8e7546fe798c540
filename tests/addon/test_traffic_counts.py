"""What the addon counts for the launcher."""

from __future__ import annotations

import json

from addon.exchange import OpenTurn, RequestInfo
from addon.traffic_counts import MAX_TOKEN_KEYS, TrafficCounts
from store.models import Identity, Transport
from tests.support.factories import ALICE


def test_a_warm_up_is_no_turn() -> None:
    tally = TrafficCounts()
    for warm_up in (True, False, True):
        tally.count_turn(OpenTurn(Transport.WEBSOCKET, 0.0, RequestInfo(ALICE), warm_up=warm_up))
    assert json.loads(tally.summary()) == {
        "turns": 1,
        "limits": False,
        "connections": 0,
        "watched": 0,
        "refused": 0,
        "token_keys": [ALICE.token_key],
    }


def test_token_keys_are_bounded() -> None:
    """Some logins make a new token for each request."""
    tally = TrafficCounts()
    for number in range(MAX_TOKEN_KEYS + 10):
        tally.note_limits(Identity(token_key=f"k~{number}"))
    assert len(json.loads(tally.summary())["token_keys"]) == MAX_TOKEN_KEYS
