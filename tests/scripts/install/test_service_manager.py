"""The service managers, with programs that record how they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.install.service_manager import (
    Launchd,
    Outcome,
    ServiceManager,
    Systemd,
    TaskScheduler,
    base_interpreter,
    manager_named,
    manager_of,
    run_program,
    without_window,
)
from scripts.support.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMAND = ["/usr/bin/python3", "/holder.py"]


class Programs:
    """Records commands; those whose words are known have that outcome, all others succeed."""

    def __init__(self, outcomes: Mapping[str, Outcome] | None = None) -> None:
        self.calls: list[str] = []
        self._outcomes = outcomes or {}

    def __call__(self, command: Sequence[str]) -> Outcome:
        """Record a command and return its outcome."""
        line = " ".join(command)
        self.calls.append(line)
        return next((outcome for words, outcome in self._outcomes.items() if words in line), (0, ""))


LINGER = {"Linger": (0, "Linger=yes")}


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        pytest.param(LINGER, None, id="fine"),
        pytest.param(
            {"systemctl": (1, "Failed to connect to bus\nmore")}, r"no systemd .*connect to bus\)", id="no bus"
        ),
        pytest.param({"systemctl": (127, "No such file")}, "no systemd", id="no systemd"),
        pytest.param({"Linger": (0, "Linger=no")}, "enable-linger me", id="ends at logout"),
        pytest.param({"loginctl": (1, "unknown user")}, "enable-linger me", id="unknown"),
    ],
)
def test_systemd_needs_a_user_who_lingers(outcomes: Mapping[str, Outcome], reason: str | None) -> None:
    """The reason says what to do."""
    found = Systemd({}, Programs(outcomes), "me").why_not()
    assert (found is None) == (reason is None)
    if reason:
        with pytest.raises(CommandError, match=reason):
            raise CommandError(str(found), 4)


@pytest.mark.parametrize(
    ("manager", "failing"),
    [
        (Launchd(Programs({"print": (113, "no domain")}), 501), "no domain"),
        (TaskScheduler({}, Programs({"schtasks": (127, "No such file")})), "does not answer"),
    ],
)
def test_what_other_managers_need(manager: ServiceManager, failing: str) -> None:
    """One that does not answer is refused."""
    assert failing in str(manager.why_not())
    assert Launchd(Programs(), 501).why_not() is None
    assert TaskScheduler({}, Programs()).why_not() is None


def managers(programs: Programs) -> list[ServiceManager]:
    return [
        Systemd({}, programs, "me"),
        Launchd(programs, 501),
        TaskScheduler({"USERDOMAIN": "PC", "USERNAME": "me"}, programs),
    ]


@pytest.mark.parametrize(
    ("number", "started", "stopped"),
    [
        (
            0,
            ["systemctl --user daemon-reload", "systemctl --user enable {0}", "systemctl --user restart {0}"],
            ["systemctl --user disable --now {0}", "systemctl --user daemon-reload"],
        ),
        (
            1,
            ["launchctl bootout user/501/codex-tap", "launchctl bootstrap user/501 {1}"],
            ["launchctl bootout user/501/codex-tap"],
        ),
        (
            2,
            [
                "schtasks /End /TN codex-tap",
                "schtasks /Create /TN codex-tap /XML {1} /F",
                "schtasks /Run /TN codex-tap",
            ],
            ["schtasks /End /TN codex-tap", "schtasks /Delete /TN codex-tap /F"],
        ),
    ],
    ids=["systemd", "launchd", "task"],
)
def test_a_service_is_started_and_stopped(number: int, started: list[str], stopped: list[str]) -> None:
    """Its file is there meanwhile; stopping it twice is no error."""
    programs = Programs()
    manager = managers(programs)[number]
    path = manager.file
    assert path is not None
    manager.start(COMMAND)
    assert b"holder.py" in path.read_bytes().replace(b"\0", b"")
    assert programs.calls == [line.format(path.name, path) for line in started]

    programs.calls.clear()
    manager.stop()
    manager.stop()
    assert programs.calls == [line.format(path.name, path) for line in stopped]
    assert not path.exists()


def test_a_failure_is_reported() -> None:
    """With the program's own first line."""
    with pytest.raises(CommandError, match=r"systemctl --user enable codex-tap\.service failed: no way"):
        Systemd({}, Programs({"enable": (1, "no way\nat all")}), "me").start(COMMAND)


def test_which_manager_is_used() -> None:
    """By platform for a new service, by name for one on record."""
    assert [manager_of(each, {}).name for each in ("linux", "darwin", "win32")] == ["systemd", "launchd", "task"]
    assert [manager_named(each, {}).name for each in ("systemd", "launchd", "task", "none", "")] == [
        *("systemd", "launchd", "task", "none", "none")
    ]


def test_a_program_is_run_to_its_end() -> None:
    """Its output and errors are one text; a missing program is an outcome as well."""
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    code, output = run_program([sys.executable, "-c", program])
    assert (code, sorted(output.splitlines())) == (3, ["err", "out"])
    assert run_program(["/nowhere/at/all"]) == (127, "No such file or directory")


def test_an_earlier_agent_that_ends_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launchd refuses the new one until then."""
    monkeypatch.setattr("scripts.install.service_manager._BOOTSTRAP_PAUSE", 0)
    programs = Programs({"bootstrap": (5, "Input/output error")})
    with pytest.raises(CommandError, match="Input/output error"):
        Launchd(programs, 501).start(COMMAND)
    assert sum("bootstrap" in each for each in programs.calls) > 10


def test_an_interpreter_without_a_window(tmp_path: Path) -> None:
    """A service on Windows would show an empty console otherwise."""
    python, twin = tmp_path / "python.exe", tmp_path / "pythonw.exe"
    assert without_window(str(python), "win32") == str(python)
    twin.touch()
    assert without_window(str(python), "win32") == str(twin)
    assert without_window(str(python), "linux") == str(python)


def test_the_interpreter_outlives_the_environment() -> None:
    """It is outside of a virtual environment."""
    python = Path(base_interpreter())
    assert python.exists()
    assert not (python.parent.parent / "pyvenv.cfg").exists()
