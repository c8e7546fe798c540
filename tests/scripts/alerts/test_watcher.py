"""The watch: what it sends and when, and the watch as a program."""

from __future__ import annotations

import json
import os
import signal
import time

from scripts.alerts.watcher import MIN_SECONDS
from store.files import alerts_state_path
from tests.support.alerts import SECRET, Desk, Server
from tests.support.harness import wait_until


def test_due_alerts_are_sent_once(desk: Desk) -> None:
    """Each target gets an alert once, also after a restart, and the next threshold is a new alert."""
    with Server() as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        desk.read(81)
        for _ in range(2):
            with desk.watch() as watching:
                desk.look(watching)
                desk.look(watching)
        (text,) = desk.noted()
        assert text.startswith("alice@example.com: 5 h limit at 81 % used, resets ")
        assert [each["message"] for each in server.posted] == [text]
        desk.read(96)
        with desk.watch() as watching:
            desk.look(watching)
        assert len(desk.noted()) == len(server.posted) == 2
    assert not [line for line in desk.log if SECRET in line]
    assert SECRET not in alerts_state_path(desk.database).read_text(encoding="ascii")


def test_a_change_of_the_database_causes_an_evaluation(desk: Desk) -> None:
    """An evaluation follows a change, after the minimum time."""
    desk.write()
    desk.read(20)
    with desk.watch() as watching:
        watching.step(time.time(), 0.0)
        desk.read(81)
        watching.step(time.time(), MIN_SECONDS - 1)
        assert watching.is_idle
        watching.step(time.time(), MIN_SECONDS * 2)
        assert not watching.is_idle
        wait_until(lambda: bool(desk.noted()), lambda: "no alert was sent")


def test_the_file_is_read_again_when_it_is_changed(desk: Desk) -> None:
    """An invalid file is reported, and the previous rules stay in force."""
    desk.write("at = [90]")
    desk.read(81)
    with desk.watch() as watching:
        desk.look(watching)
        desk.write("at = [90.0]\nwindows = '5h'")
        desk.look(watching)
        assert "did you mean window?; the previous rules stay in force" in desk.log[-1]
        assert desk.noted() == []
        desk.write("at = [80]")
        desk.look(watching)
    assert len(desk.noted()) == 1


def test_a_database_that_comes_later(desk: Desk) -> None:
    """A watch that was started first finds the database of the first turn."""
    desk.write()
    with desk.watch() as watching:
        desk.look(watching)
        desk.read(81)
        desk.look(watching)
    assert len(desk.noted()) == 1


def test_watch_as_a_program(desk: Desk) -> None:
    """The watch says what it watches, sends alerts, and is the only one; a waiting one takes over when it ends."""
    desk.write()
    desk.read(81)
    with desk.start() as first:
        assert first.stderr is not None
        assert first.stderr.readline().endswith(
            f"watching {desk.database}, sending alerts to log; press Ctrl-C to stop\n"
        )
        wait_until(lambda: bool(desk.noted()), lambda: "no alert was sent")
        other = desk.invoke("watch")
        assert (other.exit_code, "watches" in other.stderr) == (4, True)
        with desk.start("--beside") as beside:
            assert beside.stdout is not None
            assert beside.stdin is not None
            assert beside.stdout.readline() == "codex-tap alerting log\n"
            first.send_signal(signal.SIGTERM)
            code = first.wait(20)
            assert os.name != "posix" or code == 0
            desk.read(96)
            wait_until(lambda: len(desk.noted()) == 2, lambda: "the other one did not take over")
            beside.stdin.close()
            assert beside.wait(20) == 0
    if os.name == "posix":
        assert alerts_state_path(desk.database).stat().st_mode & 0o777 == 0o600
