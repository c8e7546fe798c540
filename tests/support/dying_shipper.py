"""A shipper that kills itself at the two worst moments: just before a batch is sent, and just after it was taken.

``python -m tests.support.dying_shipper FILE URL CHANCE``
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

from scripts.ship.shipper import Shipper
from scripts.ship.watcher import watch
from store.outbox.ledger import Wishes
from store.team.way_in import WayIn
from tests.support.shipping import connector

_INTERVAL_SECONDS = 0.05


class _DyingWayIn(WayIn):
    chance = 0.0

    def ship(self, head: str, snapshots: str, requests: str) -> bool:
        _perhaps_die(self.chance)
        is_taken = super().ship(head, snapshots, requests)
        _perhaps_die(self.chance)
        return is_taken


def _perhaps_die(chance: float) -> None:
    if random.random() < chance:  # noqa: S311 (no secret)
        os.kill(os.getpid(), signal.SIGKILL)


def _ship(path: Path, url: str, chance: float) -> None:
    _DyingWayIn.chance = chance
    usual = connector(url)

    def connect() -> WayIn:
        way_in = usual()
        return _DyingWayIn(way_in._connection, way_in._address)

    shipper = Shipper(path, Wishes(), connect)
    watch(path, shipper, threading.Event(), interval=_INTERVAL_SECONDS)


if __name__ == "__main__":
    _ship(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
