"""Ships a database batch by batch: ask how far the team's database is, choose rows, note them, send them, settle.

Whatever goes wrong, at whatever point, the next step asks the team's database again (`store.outbox.ledger` says why
that suffices). So several shippers of one file do each other no harm: one of them is told that its batch does not
follow, and goes on behind the other's.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from scripts.support.database import open_for_reading
from scripts.support.version import version
from store.errors import MissingError, OtherMachineError, RefusedBatchError
from store.files import inode
from store.outbox.batch import MOST_ROWS, read_batch
from store.outbox.ledger import Outbox, Wishes
from store.queries.events import turns_known_since

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from store.errors import Inode
    from store.outbox.batch import Batch
    from store.outbox.tables import OutboxPosition

_SMALLER = 10
"""Of a batch that is refused, a part of this size is tried next, down to one row."""

_CLOCKS_AGREE_SECONDS = 1.0


class Team(Protocol):
    """A connection to a team's database."""

    def where(self, file_id: str) -> tuple[str | None, Sequence[str], float]:
        """Return how far it is with a file: the nonces of its last batch and of some before, and its clock."""

    def ship(self, head: str, snapshots: str, requests: str) -> bool:
        """Send a batch; return False if it does not follow the last one.

        Raises:
            OtherMachineError: Another role ships this file.
            RefusedBatchError: A row of it cannot be stored.
        """

    def close(self) -> None:
        """Close the connection."""


class Shipped(NamedTuple):
    """What a step sent: counts, and whether its batch was taken."""

    snapshots: int
    requests: int
    is_taken: bool


def ship_all(shipper: Shipper) -> Shipped:
    """Send batch after batch until nothing is new; return how much it was, and whether there was a batch.

    Raises:
        MissingError: There is no database yet.
        DatabaseError: One of the two databases cannot be used.
        sqlite3.Error: The database cannot be read or written now.
    """
    snapshots = requests = 0
    any_taken = False
    while step := shipper.step():
        snapshots, requests = snapshots + step.snapshots, requests + step.requests
        any_taken |= step.is_taken
    return Shipped(snapshots, requests, any_taken)


class Shipper:
    """Ships one database. Every error leaves it ready for the next step."""

    def __init__(self, database: Path, wishes: Wishes, connect: Callable[[], Team], *, most: int = MOST_ROWS) -> None:
        """Prepare it; the first step opens the database and connects.

        Args:
            database: the database.
            wishes: what a person chose to send.
            connect: connects to the team's database.
            most: rows of each table in a batch.
        """
        self._database, self._wishes, self._connect, self._usual = database, wishes, connect, most
        self._most, self._leaves_out = most, False
        self._outbox: Outbox | None = None
        self._inode: Inode | None = None
        self._team: Team | None = None
        self._position: OutboxPosition | None = None
        self._offset = 0.0
        self.left_out = 0
        """Rows that the team's database refused."""

    def __enter__(self) -> Self:
        """Return the shipper."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the next step opens them again, and asks the team's database how far it is."""
        self._position = None
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connection to the team's database; the next step connects again."""
        team, self._team = self._team, None
        if team is not None:
            with contextlib.suppress(Exception):
                team.close()

    def step(self) -> Shipped | None:
        """Send the next batch; return None where nothing is new.

        Raises:
            MissingError: There is no database yet.
            DatabaseError: One of the two databases cannot be used; the next step tries again.
            sqlite3.Error: The database cannot be read or written now.
        """
        try:
            return self._step()
        except RefusedBatchError:
            self._position = None
            if self._leaves_out:
                raise
            # A row is sought that no other codex-tap would have written: a bit may have flipped.
            self._leaves_out = self._most == 1
            self._most = max(1, self._most // _SMALLER)
            return Shipped(0, 0, is_taken=False)
        except BaseException:
            self.close()
            raise

    def _step(self) -> Shipped | None:
        outbox = self._open()
        if self._team is None:
            self._team = self._connect()
        if self._position is None:
            self._position = self._find_position(outbox, self._team)
        batch = self._read(outbox, self._position)
        if batch is None:
            return None
        refused = batch.rows if self._leaves_out else 0
        if refused:
            batch.snapshots, batch.requests = [], []
        if not outbox.note(self._position, batch):
            self.close()
            return Shipped(0, 0, is_taken=False)
        try:
            is_taken = self._team.ship(*batch.arguments)
        except OtherMachineError:
            outbox.become_another([])
            is_taken = False
        if not is_taken:
            self._position = None
            return Shipped(0, 0, is_taken=False)
        outbox.settle(batch.upto)
        self._position = batch.upto
        self.left_out += refused
        self._most, self._leaves_out = self._usual, False
        return Shipped(len(batch.snapshots), len(batch.requests), is_taken=True)

    def _open(self) -> Outbox:
        """Return the outbox of the file that is at the path now."""
        found = inode(self._database)
        if found is None:
            raise MissingError(f"{self._database} is not there yet")
        if self._outbox is None or found != self._inode:
            if self._outbox is not None:
                self.close()
            self._outbox, self._inode = Outbox(self._database, self._wishes), found
        return self._outbox

    def _find_position(self, outbox: Outbox, team: Team) -> OutboxPosition:
        began = time.time()
        nonce, nonces, now = team.where(outbox.machine.file_id)
        ended = time.time()
        offset = now - (began + ended) / 2
        # Less than the way there and back may hide is no difference.
        self._offset = round(offset, 3) if abs(offset) > max(_CLOCKS_AGREE_SECONDS, ended - began) else 0.0
        position = outbox.find(nonce)
        if position is None:
            outbox.become_another(nonces)
            position = outbox.find(None)
            assert position is not None
        outbox.go_on_behind(position)
        return position

    def _read(self, outbox: Outbox, position: OutboxPosition) -> Batch | None:
        with open_for_reading(self._database) as connection:
            since = turns_known_since(connection)
            return read_batch(
                connection,
                outbox.machine,
                position,
                offset=self._offset,
                turns_known_since=since if since > 0 else None,
                version=version(),
                most=self._most,
            )
