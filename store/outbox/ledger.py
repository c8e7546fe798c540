"""The file's side of the protocol by which each row reaches a team's database once.

With each batch the team's database keeps the batch's nonce, in the transaction that keeps its rows. The file keeps how
far the batch of each nonce went, on the disk before the batch is sent. So there is no acknowledgement to lose: whoever
crashed when, the next start asks for the nonce and goes on behind it. A nonce that the file does not know is that of
another file: this one is a copy, or an older state of itself, and goes on as a machine of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from store.database import open_writer, transaction
from store.errors import DatabaseError
from store.outbox import tables
from store.outbox.privacy import CHOICES, Choice, Privacy
from store.outbox.tables import Machine, OutboxPosition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from store.outbox.batch import Batch, Sent

LOG_KEPT = 100_000
"""Batches whose nonces are kept: a team's database may be restored from a backup that is some months old."""

_MADE_AT = uuid.UUID("7d3bd6a5-6d0a-4c4b-9f0c-8f2d0c7f3f1e")
"""The namespace of UUIDs that are made of the time at which a file was made."""

_WAIT_MILLISECONDS = 5_000
_SALT_BYTES = 16


class Wishes(NamedTuple):
    """What a person chose; None leaves it as it was chosen before, and at the beginning as it is by default."""

    emails: Choice | None = None
    threads: Choice | None = None
    name: str | None = None


class Outbox:
    """The tables ``ship_*`` of one file, through a connection of its own."""

    def __init__(self, path: Path, wishes: Wishes = Wishes()) -> None:  # noqa: B008 (immutable)
        """Open an existing database; the first time this creates the tables.

        Raises:
            DatabaseError: The database cannot be used.
            sqlite3.Error: The database cannot be written now.

        """
        self._connection = open_writer(path)
        try:
            self._connection.execute(f"PRAGMA busy_timeout = {_WAIT_MILLISECONDS}")
            # What a team's database was sent must not be taken back by a power failure, or its ids would be used again.
            # The log is synchronised as a whole, so the rows before the note are on the disk as well.
            self._connection.execute("PRAGMA synchronous = FULL")
            with transaction(self._connection):
                self._set_up(wishes)
            self.machine = self._machine()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """Return the outbox."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _set_up(self, wishes: Wishes) -> None:
        if not tables.is_set_up(self._connection):
            tables.create(self._connection)
        if not self._connection.execute("SELECT 1 FROM ship_file").fetchone():
            self._begin(wishes.emails or "keep", wishes.threads or "keep")
        for column, wish in wishes._asdict().items():
            if wish is not None:
                self._connection.execute(f"UPDATE ship_file SET {column} = ?", (wish,))  # noqa: S608 (a field's name)
        self._connection.execute("UPDATE ship_file SET is_off = 0 WHERE is_off")

    def _begin(self, emails: str, threads: str) -> None:
        # When the file was made: copies of it have that in common, also those made before its first shipping.
        made = self._connection.execute(
            "SELECT min(applied_at) FROM _sqlite_migrations WHERE migration_set = 'codex-tap'"
        ).fetchone()[0]
        parent = None if made is None else str(uuid.uuid5(_MADE_AT, str(made)))
        self._connection.execute(
            "INSERT INTO ship_file VALUES (?, ?, ?, NULL, ?, ?, 0, 0, 0, 0, 0, 0, NULL, 0)",
            (str(uuid.uuid4()), parent, secrets.token_hex(_SALT_BYTES), emails, threads),
        )

    def _machine(self) -> Machine:
        row = self._connection.execute("SELECT file_id, parent, name, emails, threads, salt FROM ship_file").fetchone()
        file_id, parent, name, emails, threads, salt = row
        try:
            ids = str(uuid.UUID(file_id)), None if parent is None else str(uuid.UUID(parent))
        except (ValueError, TypeError, AttributeError):
            raise _damaged("file_id") from None
        if emails not in CHOICES or threads not in CHOICES or not isinstance(salt, str):
            raise _damaged("emails")
        return Machine(
            *ids,
            name if isinstance(name, str) else None,
            Privacy(cast("Choice", emails), cast("Choice", threads), salt),
        )

    def find(self, nonce: str | None) -> OutboxPosition | None:
        """Return how far the batch of a nonce went: None where it is not this file's.

        Without a nonce the team's database has no batch of this file; that is the file's own beginning.
        """
        if nonce is None:
            row = self._connection.execute(
                "SELECT 0, NULL, snapshots_from, requests_from, losses_from, 0 FROM ship_file"
            ).fetchone()
        else:
            row = self._connection.execute(
                "SELECT seq, nonce, snapshots_upto, requests_upto, losses_upto, edits_upto FROM ship_log"
                " WHERE nonce = ?",
                (nonce,),
            ).fetchone()
        if row is None:
            return None
        if not all(isinstance(each, int) for each in (row[0], *row[2:])):
            raise _damaged("seq")
        return OutboxPosition(*row)

    def become_another(self, nonces: Sequence[str]) -> None:
        """Make the file a machine of its own, which goes on behind the newest of these batches that is this file's.

        Rows that both send are recognised by the team's database: too few of these nonces do no harm.
        """
        marks = ", ".join("?" * len(nonces))
        with transaction(self._connection):
            self._connection.execute(
                "UPDATE ship_file SET parent = file_id, file_id = ?, taken_seq = 0, snapshots_taken = 0,"
                " requests_taken = 0, taken_at = NULL",
                (str(uuid.uuid4()),),
            )
            behind = self._connection.execute(
                "SELECT snapshots_upto, requests_upto, losses_upto FROM ship_log"  # noqa: S608 (marks)
                f" WHERE nonce IN ({marks}) ORDER BY seq DESC LIMIT 1",
                nonces,
            ).fetchone()
            if behind:
                self._connection.execute(
                    "UPDATE ship_file SET snapshots_from = ?, requests_from = ?, losses_from = ?", behind
                )
            self._connection.execute("UPDATE ship_sent SET said = NULL")
        self.machine = self._machine()

    def go_on_behind(self, position: OutboxPosition) -> None:
        """Take it that the team's database has what was sent up to a position, and nothing that was sent later.

        Later batches were lost on their way, or the team's database was restored from a backup.
        """
        (taken, later) = self._connection.execute(
            "SELECT taken_seq, EXISTS (SELECT 1 FROM ship_sent WHERE seq > ? AND said IS NOT NULL) FROM ship_file",
            (position.seq,),
        ).fetchone()
        if taken == position.seq and not later:
            return
        with transaction(self._connection):
            self._connection.execute("UPDATE ship_sent SET said = NULL WHERE seq > ?", (position.seq,))
            if taken > position.seq:
                # What grew since then may have been replaced by newer rows, and is no longer looked after.
                self._connection.execute(_GROWN_SINCE, position._asdict())
            self._mark_taken(position, None)

    def note(self, since: OutboxPosition, batch: Batch) -> bool:
        """Keep how far a batch goes, on the disk, before it is sent. Return False if the file is another machine now.

        Args:
            since: where the batch begins.
            batch: the batch.
        """
        upto = batch.upto
        with transaction(self._connection):
            (file_id,) = self._connection.execute("SELECT file_id FROM ship_file").fetchone()
            if file_id != self.machine.file_id:
                return False
            seq = self._connection.execute(
                "INSERT INTO ship_log (nonce, snapshots_upto, requests_upto, losses_upto, edits_upto)"
                " VALUES (?, ?, ?, ?, ?)",
                (upto.nonce, upto.snapshots, upto.requests, upto.losses, upto.edits),
            ).lastrowid
            assert seq is not None
            # Those of a batch that another program noted meanwhile: one of the two will not be taken.
            self._connection.execute("UPDATE ship_sent SET said = NULL WHERE seq > ?", (since.seq,))
            self._connection.executemany(_FORGET_ROW, [(account, key) for account, key in batch.closed])
            self._remember(batch.sent, seq)
            self._connection.execute("DELETE FROM ship_log WHERE seq <= ?", (seq - LOG_KEPT,))
        batch.upto = upto._replace(seq=seq)
        return True

    def _remember(self, sent: Iterable[Sent], seq: int) -> None:
        # An account may have been deleted since it was read.
        values = [(kind, key, said, seq, account) for kind, account, key, said in sent]
        self._connection.executemany(_REMEMBER, values)

    def settle(self, position: OutboxPosition) -> None:
        """Keep that the team's database has what was sent up to a position."""
        with contextlib.ExitStack() as stack:
            # Nothing is lost without it: the team's database knows.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            stack.callback(self._connection.execute, "PRAGMA synchronous = FULL")
            stack.enter_context(transaction(self._connection))
            self._mark_taken(position, time.time())

    def _mark_taken(self, position: OutboxPosition, at: float | None) -> None:
        self._connection.execute(
            "UPDATE ship_file SET taken_seq = :seq, snapshots_taken = :snapshots, requests_taken = :requests,"
            " taken_at = coalesce(:at, taken_at)",
            {**position._asdict(), "at": at},
        )


class Progress(NamedTuple):
    """How far a file is: counts of rows that are not known to be sent, and when a batch was last taken."""

    snapshots: int
    requests: int
    taken_at: float | None
    is_off: bool


def progress(connection: sqlite3.Connection) -> Progress | None:
    """Return how far a file is; None where nothing was ever shipped."""
    if not tables.is_set_up(connection):
        return None
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE id > snapshots_taken),"
        " (SELECT count(*) FROM requests WHERE id > requests_taken), taken_at, is_off FROM main.ship_file"
    ).fetchone()
    if row is None:
        return None
    snapshots, requests, taken_at, is_off = row
    return Progress(snapshots, requests, taken_at if isinstance(taken_at, float) else None, bool(is_off))


def end_shipping(connection: sqlite3.Connection) -> bool:
    """Let old rows be deleted whether or not they were sent. Return False where nothing was ever shipped."""
    if not tables.is_set_up(connection):
        return False
    return connection.execute("UPDATE ship_file SET is_off = 1").rowcount > 0


def _damaged(column: str) -> DatabaseError:
    return DatabaseError(
        f"the table ship_file or ship_log is damaged ({column}); to begin as a new machine, end codex-tap ship and"
        " delete the tables whose names begin with ship_"
    )


_REMEMBER = (
    "INSERT OR REPLACE INTO ship_sent (kind, account, key, said, seq) SELECT ?, id, ?, ?, ? FROM accounts WHERE id = ?"
)
_FORGET_ROW = "DELETE FROM ship_sent WHERE kind = 'row' AND account = ? AND key = ?"
_GROWN_SINCE = (
    "INSERT OR REPLACE INTO ship_sent (kind, account, key, said, seq)"
    " SELECT 'row', account, CAST(max(id) AS TEXT), NULL, 0 FROM snapshots WHERE id <= :snapshots AND late = 0"
    " GROUP BY account, limit_id"
)
