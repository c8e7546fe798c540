"""Detects changes of the database by polling a number that changes with each.

A poll of a file takes microseconds, that of a team's database some milliseconds; it shows that something changed, not
what.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from scripts.support.database import open_place
from scripts.support.place import own_file
from store.errors import DatabaseError
from store.files import inode
from store.queries.cursors import change_number

if TYPE_CHECKING:
    from scripts.support.place import Place
    from store.connection import Connection
    from store.errors import Inode


class DatabaseWatcher:
    """Detects changes through a connection of its own, which is in no transaction."""

    def __init__(self, place: Place) -> None:
        """Prepare the watcher; the database is opened by the first poll.

        Args:
            place: the database, which may be created later.
        """
        self._place = place
        self._connection: Connection | None = None
        self._inode: Inode | None = None
        self._openings = 0

    def state(self) -> object:
        """Return a value that differs after each change, whichever process made it, and after each `close`."""
        found = self._identity()
        if found != self._inode:
            self.close()
        try:
            if self._connection is None:
                self._connection, self._inode = open_place(self._place), found
                # Each connection counts the changes from its own opening on.
                self._openings += 1
            return found, self._openings, change_number(self._connection)
        except (DatabaseError, sqlite3.Error) as error:
            self.close()
            return found, str(error)

    def _identity(self) -> Inode | None:
        path = own_file(self._place)
        return inode(path) if path else None

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()
