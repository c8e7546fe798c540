"""The targets of alerts: real programs, and a real HTTP server behind apprise."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from scripts.alerts.targets import AppriseTarget, CommandTarget, SendError, trial_message
from tests.support.alerts import POSIX, SECRET, Desk, Server
from tests.support.harness import wait_until


def test_a_command_gets_json_on_stdin(desk: Desk) -> None:
    """The command gets one line, and runs without a shell, so shell syntax is a plain argument."""
    script = "import json, sys; json.dump([json.load(sys.stdin), sys.argv[1]], open(sys.argv[2], 'w'))"
    CommandTarget([sys.executable, "-c", script, "$(id) && true", str(desk.notes)]).send(trial_message(1.5))
    message, argument = json.loads(desk.notes.read_text(encoding="utf-8"))
    assert (message, argument) == (trial_message(1.5), "$(id) && true")
    assert (message["kind"], message["test"], message["at"]) == ("test", True, 1.5)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([sys.executable, "-c", "import sys; sys.exit(7)", SECRET], "exit code 7"),
        (["no-such-program-anywhere", SECRET], "the program was not found"),
        ([sys.executable, "-c", "import time; time.sleep(60)", SECRET], "killed after 1 s"),
    ],
)
def test_a_command_that_fails(command: list[str], message: str) -> None:
    """The error says why, and has none of the arguments."""
    with pytest.raises(SendError) as caught:
        CommandTarget(command, seconds=1).send(trial_message(0))
    assert str(caught.value) == message


def test_a_command_need_not_read_its_stdin() -> None:
    """A command that ignores its stdin is fine."""
    CommandTarget([sys.executable, "-c", "pass"]).send(trial_message(0) | {"text": "x" * 1_000_000})


@POSIX
def test_a_command_that_takes_too_long_is_killed_with_its_children(desk: Desk) -> None:
    """A shell's child is killed, too."""
    script = f"sleep 60 & echo $! > {desk.notes}; wait"
    with pytest.raises(SendError):
        CommandTarget(["sh", "-c", script], seconds=1).send(trial_message(0))
    pid = int(desk.notes.read_text(encoding="utf-8"))
    wait_until(lambda: not _runs(pid), lambda: "it still runs")


def _runs(pid: int) -> bool:
    """Return True if a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return not stat.parent.parent.exists()


def test_a_url_is_sent_to_through_apprise(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The text is unchanged, and the URL is never logged or printed."""
    with Server(200, 500, 403) as server:
        AppriseTarget(server.url).send(trial_message(0) | {"text": "<b>80 % & *more*</b>"})
        for message in ("refused (HTTP 500)", "refused (HTTP 403)"):
            with pytest.raises(SendError) as caught:
                AppriseTarget(server.url).send(trial_message(0))
            assert str(caught.value) == message
    assert [each["message"] for each in server.posted] == ["<b>80 % & *more*</b>", *[trial_message(0)["text"]] * 2]
    with pytest.raises(SendError, match="refused, or no response"):
        AppriseTarget(server.url).send(trial_message(0))
    with pytest.raises(SendError, match="apprise does not support this URL"):
        AppriseTarget(f"nosuchservice://{SECRET}").send(trial_message(0))
    assert SECRET not in caplog.text + "".join(capfd.readouterr())
