"""Detects changes of the database by polling ``PRAGMA data_version``.

A poll takes microseconds; it shows that something changed, not what.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from store.database import open_reader
from store.errors import DatabaseError
from store.files import inode
from store.record.statements import data_version

if TYPE_CHECKING:
    from pathlib import Path

    from store.errors import Inode


class DatabaseWatcher:
    """Detects changes through a connection of its own, which is in no transaction."""

    def __init__(self, path: Path) -> None:
        """Prepare the watcher; the database is opened by the first poll.

        Args:
            path: the database, which may be created later.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode: Inode | None = None
        self._openings = 0

    def state(self) -> object:
        """Return a value that differs after each change, whichever process made it, and after each `close`."""
        found = inode(self._path)
        if found != self._inode:
            self.close()
        try:
            if self._connection is None:
                self._connection, self._inode = open_reader(self._path), found
                # Each connection counts the changes from its own opening on.
                self._openings += 1
            return found, self._openings, data_version(self._connection)
        except (DatabaseError, sqlite3.Error) as error:
            self.close()
            return found, str(error)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()
