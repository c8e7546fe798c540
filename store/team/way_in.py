"""The way into a team's database: its two functions for machines, ``where_1`` and ``ship_1`` (`store/team/sql`).

A machine's role may call these and nothing else. They are the contract between the versions of codex-tap on machines
and that of the team's database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.errors import OtherMachineError, RefusedBatchError
from store.team.address import connect, explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from store.team.address import TeamAddress

_TAKEN = frozenset(("taken", "repeated"))

_OWNER = "machines_owner"
"""The constraint that a batch violates whose file belongs to another role."""

_REFUSED_CLASSES = frozenset(("22", "23", "54"))
"""Classes of SQLSTATE of a value that cannot be stored: data exception, violated constraint, exceeded limit."""

_NOTICE_A_DEAD_NETWORK = {
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}

_TRIES = 5
"""How often a batch is sent again that met with another one, which the server ended in favour of the other."""


def connect_machine(address: TeamAddress) -> WayIn:
    """Connect a machine to its team's database.

    Raises:
        DatabaseError: There is no connection to be had.
    """
    return WayIn(connect(address, **_NOTICE_A_DEAD_NETWORK), address)


class WayIn:
    """A connection of a machine to a team's database."""

    def __init__(self, connection: psycopg.Connection[Any], address: TeamAddress) -> None:
        """Use an open connection in autocommit mode, which `close` closes."""
        self._connection, self._address = connection, address

    def where(self, file_id: str) -> tuple[str | None, Sequence[str], float]:
        """Return how far the database is with a file: the nonces of its last batch and of some before, and its clock.

        Raises:
            DatabaseError: It cannot be asked.
        """
        nonce, nonces, now = self._ask("SELECT nonce, nonces, at FROM codex_tap.where_1(%s)", file_id)
        return None if nonce is None else str(nonce), [str(each) for each in nonces or ()], float(now)

    def ship(self, head: str, snapshots: str, requests: str) -> bool:
        """Send a batch, all of it or none; return False if it does not follow the file's last one.

        Raises:
            OtherMachineError: Another role ships this file.
            RefusedBatchError: A row of it cannot be stored, and sending it again would not help.
            DatabaseError: It was not stored, or it is not known whether it was.
        """
        (told,) = self._ask("SELECT codex_tap.ship_1(%s, %s, %s)", head, snapshots, requests)
        return isinstance(told, dict) and told.get("answer") in _TAKEN

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, statement: str, *values: str) -> tuple[Any, ...]:
        import psycopg

        with explained(self._address):
            for last in (False,) * (_TRIES - 1) + (True,):
                try:
                    row = self._connection.execute(statement.encode(), values).fetchone()
                except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                    if last:
                        raise
                except psycopg.Error as error:
                    if error.diag.constraint_name == _OWNER:
                        raise OtherMachineError(f"{self._address.shown}: another role ships this file") from None
                    if (error.sqlstate or "")[:2] in _REFUSED_CLASSES:
                        raise RefusedBatchError(f"{self._address.shown} refuses a row: {error.sqlstate}") from None
                    raise
                else:
                    break
        assert row is not None
        return tuple(row)
