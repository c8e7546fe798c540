"""The descriptions of the service, as each service manager reads them."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from scripts.install.service_files import LABEL, launchd_agent, systemd_unit, windows_task

if TYPE_CHECKING:
    from pathlib import Path

ODD = [sys.executable, "-I", "-S", '/home/a b%h/it\'s $HOME "x" \\n/holder.py', "/config.json"]


def test_the_unit_passes_verification(tmp_path: Path) -> None:
    """Of systemd itself, with odd characters in a path."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / f"{LABEL}.service"
    unit.write_text(systemd_unit(ODD))
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [verify, "--user", "verify", str(unit)], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_never_gives_up() -> None:
    """It is started again whenever it ends, after a pause, and with the user's manager."""
    lines = systemd_unit(["/usr/bin/python3", "/a b%$"]).splitlines()
    assert {
        'ExecStart="/usr/bin/python3" "/a b%%$$"',
        "Restart=always",
        "RestartSec=2",
        "KillMode=mixed",
        "StartLimitIntervalSec=0",
        "WantedBy=default.target",
    } <= {*lines}


def test_the_agent_says_what_it_should() -> None:
    """It starts at once, is kept alive, and runs for a login over ssh as well."""
    agent = plistlib.loads(launchd_agent(ODD))
    assert agent["Label"] == LABEL
    assert agent["ProgramArguments"] == ODD
    assert (agent["RunAtLoad"], agent["KeepAlive"], agent["ThrottleInterval"]) == (True, True, 5)
    assert agent["LimitLoadToSessionType"] == "Background"


def test_the_task_says_what_it_should() -> None:
    """It starts at logon, without a limit of time and on batteries, and again if it fails."""
    command = [r"C:\Program Files\Python\pythonw.exe", "-I", "-S", r"C:\Users\A & B\holder.py"]
    task = ET.fromstring(windows_task(command, r"PC\A & B"))  # noqa: S314 (made here)
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    texts = {
        path: task.findtext("/".join(f"t:{name}" for name in path.split("/")), namespaces=space)
        for path in (
            "Triggers/LogonTrigger/UserId",
            "Principals/Principal/RunLevel",
            "Settings/ExecutionTimeLimit",
            "Settings/DisallowStartIfOnBatteries",
            "Settings/StopIfGoingOnBatteries",
            "Settings/RestartOnFailure/Interval",
            "Settings/MultipleInstancesPolicy",
            "Actions/Exec/Command",
            "Actions/Exec/Arguments",
        )
    }
    assert list(texts.values()) == [
        r"PC\A & B",
        "LeastPrivilege",
        "PT0S",
        "false",
        "false",
        "PT1M",
        "IgnoreNew",
        command[0],
        r'-I -S "C:\Users\A & B\holder.py"',
    ]
