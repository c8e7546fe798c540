"""Counts of the proxy's traffic, for the launcher's closing line. They are never stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addon.exchange import OpenTurn
    from store.models import Identity

MAX_TOKEN_KEYS = 64


class TrafficCounts:
    """Counts connections by where they led, and the turns and limits that were given to the recorder."""

    def __init__(self) -> None:
        self.connections = 0
        self.watched = 0
        self.refused = 0
        self._turns = 0
        self._limits = False
        self._token_keys: set[str] = set()

    def count_turn(self, turn: OpenTurn) -> None:
        """Count a turn that has ended, unless it is a warm-up."""
        self._turns += not turn.warm_up
        self._note(turn.info.identity)

    def note_limits(self, identity: Identity) -> None:
        """Note that limits of this identity were seen."""
        self._limits = True
        self._note(identity)

    def summary(self) -> str:
        """Return the counts as a line of JSON."""
        counts: dict[str, Any] = {
            "turns": self._turns,
            "limits": self._limits,
            "connections": self.connections,
            "watched": self.watched,
            "refused": self.refused,
            "token_keys": sorted(self._token_keys),
        }
        return json.dumps(counts)

    def _note(self, identity: Identity) -> None:
        if len(self._token_keys) < MAX_TOKEN_KEYS:
            self._token_keys.add(identity.token_key)
