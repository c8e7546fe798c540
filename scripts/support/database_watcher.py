"""Has the database changed? By SQLite's own ``data_version``: microseconds, and only that something was written."""

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
    """Notices when the database changes; keeps one connection for it, which is in no transaction."""

    def __init__(self, path: Path) -> None:
        """Take where the database is, or will be."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode: Inode | None = None

    def state(self) -> object:
        """Return what is another value after each change, whoever made it."""
        found = inode(self._path)
        if found != self._inode:
            self.close()
        try:
            if self._connection is None:
                self._connection, self._inode = open_reader(self._path), found
            return found, data_version(self._connection)
        except (DatabaseError, sqlite3.Error) as error:
            self.close()
            return found, str(error)

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()
