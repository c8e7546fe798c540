"""The state file: its contents, a damaged one, and the lock of its only writer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from click.testing import CliRunner

from scripts.alerts import state as states
from scripts.alerts.watcher import MAX_SECONDS
from scripts.cli import cli
from tests.support.factories import BOB

if TYPE_CHECKING:
    from tests.support.alerts import Desk


def test_a_memory_that_is_damaged_is_begun_anew(desk: Desk) -> None:
    """The damage is reported, and alerts that still hold are sent again."""
    desk.write()
    desk.read(81)
    states.state_path(desk.database).write_text('{"version": 1, "since": 7}', encoding="ascii")
    with desk.watch() as watching:
        desk.look(watching)
    assert len(desk.noted()) == 1
    assert "is damaged" in desk.said[0]


def test_a_forgotten_account_is_in_no_file(desk: Desk) -> None:
    """The state file has neither its sent nor its waiting alerts."""
    desk.write(hook='"json://127.0.0.1:9/"')
    desk.read(81)
    desk.read(82, who=BOB)
    with desk.watch(pauses=(3_600.0,)) as watching:
        watching.step(time.time(), MAX_SECONDS)
        words = ["accounts", "forget", "alice", "--yes", "--db", str(desk.database)]
        assert CliRunner().invoke(cli, words).exit_code == 0
        watching.step(time.time(), MAX_SECONDS * 2)
    kept = states.state_path(desk.database).read_text(encoding="ascii")
    assert ("alice" in kept or "acct-a" in kept, "acct-b" in kept) == (False, True)
