"""What queries need of a connection."""

from __future__ import annotations

from contextlib import closing

from store.connection import is_file
from store.database import open_empty


def test_a_connection_of_sqlite_reads_a_file() -> None:
    """The one in memory, which stands for a file that is not there yet, too."""
    with closing(open_empty()) as connection:
        assert is_file(connection)
        assert not is_file(connection.cursor())  # type: ignore[arg-type]
