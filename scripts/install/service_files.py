"""The file that describes the always-on service to each service manager. Pure functions: words in, text out.

The service starts with the user and is started again whenever it ends, after a short pause and without a limit: while
it is not there, Codex has no network. It relies on no PATH and on nothing in a checkout.
"""

from __future__ import annotations

import plistlib
import re
import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = "codex-tap"
"""The name of the service, in every service manager."""

_DESCRIPTION = "codex-tap: the proxy that Codex's .env names"
_PAUSE_SECONDS = 2
_LAUNCHD_PAUSE_SECONDS = 5
_TASK_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"


def systemd_unit(command: Sequence[str]) -> str:
    """Return the unit of a systemd user service.

    Args:
        command: the absolute path of the program, and its arguments.
    """
    words = " ".join(map(_systemd_quote, command))
    return f"""\
# Made by codex-tap install --always; codex-tap uninstall deletes it.
[Unit]
Description={_DESCRIPTION}
StartLimitIntervalSec=0

[Service]
ExecStart={words}
Restart=always
RestartSec={_PAUSE_SECONDS}
KillMode=mixed
UMask=0077

[Install]
WantedBy=default.target
"""


def launchd_agent(command: Sequence[str]) -> bytes:
    """Return the property list of a launchd agent, which also runs for a user who logged in over ssh.

    Args:
        command: the absolute path of the program, and its arguments.
    """
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(command),
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": _LAUNCHD_PAUSE_SECONDS,
            "ProcessType": "Interactive",  # others get less of the processor, and Codex would wait
            "LimitLoadToSessionType": "Background",
            "Umask": 0o077,
            "StandardOutPath": "/dev/null",
            "StandardErrorPath": "/dev/null",
        }
    )


def windows_task(command: Sequence[str], user: str) -> bytes:
    r"""Return the XML of a task that starts when the user logs on, in the encoding that ``schtasks`` wants.

    Args:
        command: the absolute path of the program, and its arguments.
        user: ``DOMAIN\\name`` of the user.
    """
    task = ET.Element("Task", {"version": "1.3", "xmlns": _TASK_NAMESPACE})
    _fill(ET.SubElement(task, "RegistrationInfo"), {"Description": _DESCRIPTION})
    _fill(ET.SubElement(ET.SubElement(task, "Triggers"), "LogonTrigger"), {"Enabled": "true", "UserId": user})
    principal = ET.SubElement(ET.SubElement(task, "Principals"), "Principal", {"id": "Author"})
    _fill(principal, {"UserId": user, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"})
    settings = ET.SubElement(task, "Settings")
    _fill(
        settings,
        {
            "MultipleInstancesPolicy": "IgnoreNew",
            "DisallowStartIfOnBatteries": "false",
            "StopIfGoingOnBatteries": "false",
            "StartWhenAvailable": "true",
            "AllowStartOnDemand": "true",
            "Hidden": "true",
            "ExecutionTimeLimit": "PT0S",  # none
            "Priority": "6",  # 7, which tasks have otherwise, is below normal programs
        },
    )
    # A minute is the shortest pause that the scheduler has.
    _fill(ET.SubElement(settings, "RestartOnFailure"), {"Interval": "PT1M", "Count": "999"})
    program, *arguments = command
    action = ET.SubElement(ET.SubElement(task, "Actions", {"Context": "Author"}), "Exec")
    _fill(action, {"Command": program, "Arguments": subprocess.list2cmdline(arguments)})
    text = ET.tostring(task, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-16"?>\n{text}\n'.encode("utf-16")


def _fill(parent: ET.Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = value


def _systemd_quote(word: str) -> str:
    escaped = re.sub(r'([\\"])', r"\\\1", word).replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
