"""Random histories of windows, recorded in batches, with changes to what is stored in between."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_writer, transaction
from store.edits import forget_account, merge_accounts
from store.models import Limit, Snapshot, Window
from store.retention import prune
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot

if TYPE_CHECKING:
    import random
    from pathlib import Path

HOUR, DAY = 3_600, 86_400
LENGTHS = {"5h": 300, "7d": 10_080, "30d": 43_200}


class RandomHistory:
    """A history that goes on by random batches of snapshots; `now` is the present of the last one."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path = path
        self.chance = chance
        self.now = float(NOON)
        self._clock_step = 0.0
        self._windows: dict[tuple[str, str], dict[str, Window]] = {}

    def go_on(self, days: float) -> None:
        """Record what is seen in so many days: bursts and pauses, resets, late messages, and a clock that is set."""
        end, entries = self.now + days * DAY, []
        while self.now < end:
            self.now += self.chance.choice((20, 90, 400, 2_000, 20_000, 90_000)) * self.chance.random()
            if self.chance.random() < 0.02:
                self._clock_step = self.chance.choice((0.0, 0.0, -5_000.0, 4_000.0, 40_000.0, -100_000.0))
            at = self.now + self._clock_step
            if self.chance.random() < 0.03:
                at -= self.chance.choice((30, 3_000, 200_000))
            entries.append(self._snapshot(round(at, 3)))
        record(self.path, *entries)

    def _snapshot(self, at: float) -> Snapshot:
        who = self.chance.choice((ALICE, ALICE, BOB))
        limit_id = self.chance.choice(("codex", "codex", "codex_spark"))
        key = who.token_key, limit_id
        known = self._windows.get(key, {})
        found = {slot: self._window(slot, known.get(slot), at) for slot in LENGTHS if self.chance.random() < 0.97}
        self._windows[key] = {**known, **found}
        return snapshot(self._limit(limit_id, found), who=who, at=at)

    @staticmethod
    def _limit(limit_id: str, found: dict[str, Window]) -> Limit:
        return limit(found or None, limit_id=limit_id)

    def _window(self, slot: str, before: Window | None, at: float) -> Window:
        length = LENGTHS[slot] * 60
        if before is None or (before.resets_at or 0) <= at or self.chance.random() < 0.01:
            used = self.chance.choice((0.0, 1.0, 3.0))
            return Window(used_percent=used, window_minutes=LENGTHS[slot], resets_at=int(at) + length)
        step = self.chance.choice((0, 0, 0.25, 1, 1, 5, -3 if self.chance.random() < 0.1 else 0))
        used = max(0.0, min(100.0, (before.used_percent or 0.0) + step))
        return before.model_copy(update={"used_percent": used})

    def edit(self) -> None:
        """Change what is stored: delete old rows, or an account, or join accounts."""
        with closing(open_writer(self.path)) as connection:
            what = self.chance.choice(("prune", "prune", "merge", "forget"))
            ids = [row[0] for row in connection.execute("SELECT id FROM accounts ORDER BY id")]
            if what == "prune":
                while prune(connection, self.now - self.chance.choice((2, 8, 20)) * DAY):
                    pass
            elif what == "merge" and len(ids) == 2:
                with transaction(connection):
                    merge_accounts(connection, *ids)
            elif what == "forget" and len(ids) == 2:
                forget_account(connection, self.chance.choice(ids))
