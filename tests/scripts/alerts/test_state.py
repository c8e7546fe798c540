"""The state file: its contents, a damaged one, and the lock of its only writer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from scripts.alerts import state as states
from scripts.alerts.targets import trial_message
from scripts.alerts.watcher import MAX_SECONDS
from scripts.cli import cli
from scripts.support.exclusive import AlreadyRunningError
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
        with states.watch_lock(path), pytest.raises(AlreadyRunningError), states.watch_lock(path):
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


SAVED: dict[str, Any] = {
    "version": 1,
    "since": {"runs_dry": 1.5},
    "runs": [["acct-a/user-a", "codex", "5h", 81.0, None]],
    "told": [
        {
            "kind": "used",
            "about": ["acct-a/user-a", "codex", "5h"],
            "threshold": 80.0,
            "resets_at": 1_795_999_999,
            "rows": [1, 2],
            "told_at": 1.5,
            "text": "80 % used",
        }
    ],
    "unsent": [{"target": "hook", "message": trial_message(2.5), "tries": 1, "due_at": 9.5}],
}


def changed(*keys: str | int, value: object) -> str:
    """The saved state with another value at one place."""
    document = json.loads(json.dumps(SAVED))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return json.dumps(document)


def test_a_state_of_the_first_version_is_loaded(path: Path) -> None:
    """The file of an earlier program with the same version has the same contents."""
    path.write_text(json.dumps(SAVED), encoding="ascii")
    state = states.load(path)
    assert state.memory.runs == {About("acct-a/user-a", "codex", "5h"): Period(81.0, None)}
    assert [mark.rows for mark in state.memory.told] == [(1, 2)]
    assert [each.tries for each in state.unsent] == [1]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        "\x00",
        changed("since", value=7),
        changed("since", "runs_dry", value="soon"),
        changed("since", "runs_dry", value=float("inf")),
        changed("since", "runs_dry", value=float("nan")),
        changed("runs", value={"a": 1}),
        changed("runs", 0, value=["acct-a", "codex"]),
        changed("runs", 0, 3, value=10**400),
        changed("runs", 0, 4, value="soon"),
        changed("told", 0, value="used"),
        changed("told", 0, "kind", value="sold"),
        changed("told", 0, "about", value=["acct-a", 7, None]),
        changed("told", 0, "threshold", value="80"),
        changed("told", 0, "resets_at", value=1.5),
        changed("told", 0, "rows", value=[1]),
        changed("unsent", 0, "message", value="text"),
        changed("unsent", 0, "message", "text", value=None),
        changed("unsent", 0, "tries", value=-1),
        changed("unsent", 0, "tries", value="many"),
        changed("unsent", 0, "due_at", value=[]),
        changed("unsent", 0, "target", value=7),
        changed("version", value="1"),
        changed("version", value=2),
    ],
)
def test_an_odd_state_is_replaced(desk: Desk, content: str) -> None:
    """Whatever the file holds, it is reported in one line, and alerts that still hold are sent again."""
    desk.write()
    desk.read(81)
    alerts_state_path(desk.database).write_text(content, encoding="utf-8")
    with desk.watch() as watching:
        desk.look(watching)
    assert len(desk.noted()) == 1
    assert desk.log[0].endswith("it is recreated, and alerts that still hold are sent again")


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
