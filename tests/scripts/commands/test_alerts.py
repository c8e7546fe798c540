"""`codex-tap alerts`: check, test, init, and the errors of watch."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from store.files import alerts_state_path
from tests.support.alerts import POSIX, SECRET, Desk, Server, load_apprise


@pytest.fixture(scope="module", autouse=True)
def _apprise() -> None:
    load_apprise()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a database and an alerts file, neither of which exists yet."""
    return Desk(tmp_path)


def test_check_prints_due_and_sent_alerts(desk: Desk) -> None:
    """The exit code is 1 if alerts are due, else 0; nothing is sent or changed."""
    desk.write()
    assert desk.invoke("check").exit_code == 3
    desk.read(81)
    for _ in range(2):
        result = desk.invoke("check")
        assert result.exit_code == 1
        assert result.stdout.startswith("Due now:\n  alice@example.com: 5 h limit at 81 % used, resets ")
        assert result.stdout.endswith("  → log\nNo alerts sent yet.\n")
    with desk.watch() as watching:
        desk.look(watching)
    result = desk.invoke("check")
    assert (result.exit_code, result.stdout.splitlines()[:2]) == (0, ["No alerts due.", "Already sent:"])
    assert len(desk.noted()) == 1


def test_check_prints_json(desk: Desk) -> None:
    """Due alerts are as a command gets them, with their targets."""
    desk.write(log=desk.note, hook=f'"json://127.0.0.1:9/{SECRET}"')
    desk.read(97)
    result = desk.invoke("check", "--json")
    document = json.loads(result.stdout)
    assert SECRET not in result.output
    assert document["targets"] == {"log": Path(sys.executable).name, "hook": "json://…"}
    assert (document["held"], document["fired"], document["problems"]) == ([], [], [])
    (due,) = document["due"]
    assert (due["kind"], due["threshold"], due["used_percent"], due["window"]) == ("used", 95.0, 97.0, "5h")
    assert (due["account"], due["targets"]) == ("acct-a/user-a", ["log", "hook"])
    with desk.watch(pauses=()) as watching:
        desk.look(watching)
    fired = json.loads(desk.invoke("check", "--json").stdout)["fired"]
    assert [each["threshold"] for each in fired] == [80.0, 95.0]


def test_check_in_quiet_hours(desk: Desk) -> None:
    """Held alerts are shown separately, and the exit code is 0."""
    hours = [time.strftime("%H:%M", time.localtime(time.time() + minutes * 60)) for minutes in (-10, 10)]
    desk.write(head=f'quiet_hours = "{hours[0]}-{hours[1]}"')
    desk.read(81)
    result = desk.invoke("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("Held until ")
    document = json.loads(desk.invoke("check", "--json").stdout)
    assert (len(document["held"]), document["due"]) == (1, [])


@pytest.mark.parametrize("command", ["check", "test", "watch"])
def test_an_invalid_alerts_file_is_wrong_use(desk: Desk, command: str) -> None:
    """The error has the line, the key and a correction."""
    desk.write("at = [80]\nwindw = '5h'")
    result = desk.invoke(command)
    assert result.exit_code == 2
    assert result.stderr.endswith("alerts.toml, line 7: rules.windw: unknown key; did you mean window?\n")
    desk.config.unlink()
    assert desk.invoke(command).stderr.endswith("does not exist; create it with: codex-tap alerts init\n")


def test_test_sends_to_each_target(desk: Desk) -> None:
    """There is a line for each target; the exit code is 4 if one failed, and no state is stored."""
    with Server(200, 200, 401) as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        result = desk.invoke("test")
        assert (result.exit_code, result.stderr) == (0, "")
        lines = {"hook (json://…): sent", f"log ({Path(sys.executable).name}): sent"}
        assert set(result.stdout.splitlines()) == lines
        assert (len(server.posted), len(desk.noted())) == (1, 1)
        assert desk.invoke("test", "hook").exit_code == 0
        assert (len(server.posted), len(desk.noted())) == (2, 1)
        result = desk.invoke("test")
    assert (result.exit_code, result.stderr) == (4, "Error: 1 of 2 failed\n")
    assert "hook (json://…): refused (HTTP 401)" in result.stdout
    assert SECRET not in result.output
    assert not alerts_state_path(desk.database).exists()


def test_test_of_an_unknown_target(desk: Desk) -> None:
    """The error names the nearest target."""
    desk.write(phone=desk.note)
    result = desk.invoke("test", "fone")
    assert (result.exit_code, result.stderr) == (2, "Error: no target is named 'fone'; did you mean phone?\n")


@POSIX
def test_an_alerts_file_that_others_can_read_causes_a_warning(desk: Desk) -> None:
    """There is a warning, and the command still runs."""
    desk.write().chmod(0o644)
    result = desk.invoke("test")
    assert result.exit_code == 0
    assert "other users can read" in result.stderr
    assert f"chmod 600 {desk.config}" in result.stderr


def test_init_writes_a_file_once(desk: Desk) -> None:
    """Only the owner can read the file, and an existing file is not overwritten."""
    assert desk.invoke("init").exit_code == 0
    if os.name == "posix":
        assert desk.config.stat().st_mode & 0o777 == 0o600
    before = desk.config.read_bytes()
    result = desk.invoke("init")
    assert (result.exit_code, desk.config.read_bytes()) == (2, before)
    assert "already exists" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("[[rules]]\nat = [80]\n", "has no targets"), ("[targets]\nlog = ['a']\n", "has no rules")],
)
def test_watch_without_targets_or_rules(desk: Desk, text: str, message: str) -> None:
    """The watch ends at once."""
    desk.config.write_text(text, encoding="utf-8")
    result = desk.invoke("watch")
    assert (result.exit_code, message in result.stderr) == (2, True)
