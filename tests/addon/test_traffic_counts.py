"""The counts that the addon keeps for the launcher."""

from __future__ import annotations

import json

from addon.exchange import OpenTurn, RequestInfo
from addon.traffic_counts import MAX_TOKEN_KEYS, TrafficCounts
from store.models import Identity, Transport
from tests.support.factories import ALICE


def test_warm_ups_are_left_out() -> None:
    """Only turns are counted; the key of the token is noted in any case."""
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
    """A login that makes a new token for each request does not fill the memory."""
    tally = TrafficCounts()
    for number in range(MAX_TOKEN_KEYS + 10):
        tally.note_limits(Identity(token_key=f"k~{number}"))
    assert len(json.loads(tally.summary())["token_keys"]) == MAX_TOKEN_KEYS
