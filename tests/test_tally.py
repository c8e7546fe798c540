"""What the addon counts for the launcher."""

from __future__ import annotations

import json

from addon.flows import Caller
from addon.tally import MAX_TOKEN_KEYS, Tally
from addon.turns import Turn
from store.models import Identity, Transport
from tests.snapshots import ALICE


def test_a_warm_up_is_no_turn() -> None:
    tally = Tally()
    for warm_up in (True, False, True):
        tally.count_turn(Turn(Transport.WEBSOCKET, 0.0, Caller(ALICE), warm_up=warm_up))
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
    tally = Tally()
    for number in range(MAX_TOKEN_KEYS + 10):
        tally.note_limits(Identity(token_key=f"k~{number}"))
    assert len(json.loads(tally.summary())["token_keys"]) == MAX_TOKEN_KEYS
