"""The state file: its contents, a damaged one, and the lock of its only writer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scripts.alerts import state as states
from scripts.alerts.targets import trial_message
from scripts.alerts.watcher import MAX_SECONDS
from scripts.cli import cli
from store.analysis.alerting import About, AlertState, Period, SentAlert
from store.files import alerts_state_path
from tests.support.factories import BOB

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.alerts import Desk


def test_a_saved_state_is_loaded(path: Path) -> None:
    """The file has the periods, the sent alerts and the waiting messages; without a file the state is empty."""
    about = About("acct-a/user-a", "codex", "5h")
    sent = SentAlert("used", about, 80.0, resets_at=1_795_999_999, rows=(1, 2), told_at=1.5, text="80 % used")
    memory = AlertState({"runs_dry": 0.5}, {about: Period(81.0, None)}, (sent,))
    state = states.State(memory, (states.PendingMessage("phone", trial_message(2.5), tries=2, due_at=9.5),))
    assert states.load(path) == states.State()
    states.save(path, state)
    assert states.load(path) == state


def test_the_lock_has_one_holder(path: Path) -> None:
    """A second holder is refused until the first one has released the lock."""
    for _ in range(2):
        with states.exclusive_lock(path), pytest.raises(states.AlreadyRunningError), states.exclusive_lock(path):
            pass


def test_a_damaged_state_is_replaced(desk: Desk) -> None:
    """The damage is reported, and alerts that still hold are sent again."""
    desk.write()
    desk.read(81)
    alerts_state_path(desk.database).write_text('{"version": 1, "since": 7}', encoding="ascii")
    with desk.watch() as watching:
        desk.look(watching)
    assert len(desk.noted()) == 1
    assert "is damaged" in desk.log[0]


def test_a_deleted_account_is_removed_from_the_state(desk: Desk) -> None:
    """The state file has neither its sent nor its waiting alerts."""
    desk.write(hook='"json://127.0.0.1:9/"')
    desk.read(81)
    desk.read(82, who=BOB)
    with desk.watch(pauses=(3_600.0,)) as watching:
        watching.step(time.time(), MAX_SECONDS)
        words = ["accounts", "forget", "alice", "--yes", "--db", str(desk.database)]
        assert CliRunner().invoke(cli, words).exit_code == 0
        watching.step(time.time(), MAX_SECONDS * 2)
    kept = alerts_state_path(desk.database).read_text(encoding="ascii")
    assert ("alice" in kept or "acct-a" in kept, "acct-b" in kept) == (False, True)
