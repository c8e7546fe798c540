"""The year of history that several measures share: made, or copied, when the first of them needs it."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from store.database import open_reader
from store.files import create_private, kept_path
from store.kept.filling import Wish, fill
from store.kept.storage import delete_kept
from store.queries.accounts import count_accounts
from store.queries.kept_kinds import KINDS
from tests.bench.table import say
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate

if TYPE_CHECKING:
    from tests.bench.sizes import Size


class Year:
    """A database with a year of history and its kept answers, during the `with` block.

    Measures may add rows to it: of a file that was given it is a copy. The kept answers of that file stay, and those
    that are missing are made; all else is deleted at the end.

    filling_seconds: How long it took to make all kept answers; None where the path was not asked for, or a file given.
    """

    def __init__(self, size: Size, given: Path | None = None) -> None:
        """Make nothing yet.

        Args:
            size: Has the numbers of snapshots, turns and days of a history that is made.
            given: A file that was made before, such as by ``python -m tests.support.synthetic_history``.

        """
        self._rows = Rows(snapshots=size.long_snapshots, turns=size.long_turns, days=size.long_days)
        self._given = given
        self._stack = ExitStack()
        self.filling_seconds: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def path(self) -> Path:
        """The database; the first look makes it, which takes some minutes."""
        path = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "year.sqlite3"
        self._stack.callback(delete_kept, path)
        if self._given is None:
            self._make(path)
        else:
            _copy(self._given, path)
        return path

    @cached_property
    def accounts(self) -> int:
        """The number of its accounts."""
        with closing(open_reader(self.path)) as connection:
            return count_accounts(connection)

    def _make(self, path: Path) -> None:
        begin = time.monotonic()
        generate(path, self._rows, time.time(), progress=True)
        rows, megabytes = self._rows, path.stat().st_size / 1_000_000
        say(f"a year of {rows.snapshots:,} snapshots and {rows.turns:,} turns: {megabytes:,.0f} MB, {_since(begin)}")
        self.filling_seconds = _keep(path)


def _copy(given: Path, path: Path) -> None:
    """Copy a database and its kept answers, which are completed before."""
    with closing(open_reader(given)) as connection:
        (newest,) = connection.execute("SELECT max(ended_at) FROM requests").fetchone()
    say(f"{given} ended {(time.time() - (newest or 0)) / 3_600:,.1f} h ago: as much is missing of the last 24 h")
    _keep(given)
    begin = time.monotonic()
    for source, target in ((given, path), (kept_path(given), kept_path(path))):
        create_private(target)
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    say(f"its copy: {_since(begin)}")


def _keep(path: Path) -> float:
    """Make what is missing of the kept answers about a database, and return the seconds that it took."""
    begin = time.monotonic()
    if not fill(path, [Wish(kind) for kind in KINDS], time.time()):
        raise RuntimeError(f"nothing can be kept in {kept_path(path)}")
    say(f"its kept answers: {_since(begin)}")
    return time.monotonic() - begin


def _since(begin: float) -> str:
    return f"{time.monotonic() - begin:.0f} s"
