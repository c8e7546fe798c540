"""The service managers of the platforms: the always-on service started, stopped, and checked beforehand."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scripts.install.service_files import LABEL, launchd_agent, systemd_unit, windows_task
from scripts.support.errors import FAILED, CommandError
from store.files import service_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SECONDS = 60
_NOT_STARTED = 127
_BOOTSTRAP_TRIES, _BOOTSTRAP_PAUSE = 20, 0.25

Outcome = tuple[int, str]
"""The exit code of a program, and its output with its errors."""


class ServiceManager(Protocol):
    """Runs the always-on service."""

    @property
    def name(self) -> str:
        """Its name in the record of the installation."""

    @property
    def file(self) -> Path | None:
        """The file that describes the service; None if there is none."""

    def why_not(self) -> str | None:
        """Return why the service could not outlive a logout or not run at all, and what to do; None if it can."""

    def start(self, command: Sequence[str]) -> None:
        """Write the description and start the service, or start it again with another command.

        Raises:
            CommandError: that is not possible.
        """

    def stop(self) -> None:
        """Stop the service for good and delete its description; no error if there is none.

        Raises:
            CommandError: that is not possible.
        """


def run_program(command: Sequence[str]) -> Outcome:
    """Run a program to its end, at most a minute."""
    try:
        completed = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_SECONDS,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return _NOT_STARTED, f"it did not end within {_SECONDS} s"
    except OSError as error:
        return _NOT_STARTED, error.strerror or str(error)
    return completed.returncode, completed.stdout.strip()


@dataclass(frozen=True)
class Systemd:
    """A systemd user service, of a user who lingers."""

    environ: Mapping[str, str]
    run: Callable[[Sequence[str]], Outcome] = run_program
    user: str = field(default_factory=getpass.getuser)
    name: str = "systemd"

    @property
    def file(self) -> Path:
        """The unit."""
        config = Path(self.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return config / "systemd" / "user" / f"{LABEL}.service"

    def why_not(self) -> str | None:
        """Return why the service could not run at all times: no manager, or one that ends at logout."""
        code, output = self.run(["systemctl", "--user", "show", "--property=Version"])
        if code:
            return f"there is no systemd for this user ({_first_line(output)}); with --no-service you run it yourself"
        code, output = self.run(["loginctl", "show-user", self.user, "--property=Linger"])
        if code or output != "Linger=yes":
            return (
                "the service would end when you log out, and a Codex that goes on would lose its network; "
                f"allow it to stay: loginctl enable-linger {self.user}"
            )
        return None

    def start(self, command: Sequence[str]) -> None:
        """Write the unit, enable it and start it."""
        _write(self.file, systemd_unit(command).encode())
        for words in (["daemon-reload"], ["enable", self.file.name], ["restart", self.file.name]):
            _check(self.run, ["systemctl", "--user", *words])

    def stop(self) -> None:
        """Disable and stop the unit, and delete it."""
        if self.file.exists():
            _check(self.run, ["systemctl", "--user", "disable", "--now", self.file.name])
            self.file.unlink(missing_ok=True)
            _check(self.run, ["systemctl", "--user", "daemon-reload"])


@dataclass(frozen=True)
class Launchd:
    """A launchd agent."""

    run: Callable[[Sequence[str]], Outcome] = run_program
    user_id: int = field(default_factory=getattr(os, "getuid", int))
    name: str = "launchd"

    @property
    def file(self) -> Path:
        """The property list."""
        return Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    def why_not(self) -> str | None:
        """Return why the service could not run: there is no domain of this user."""
        code, output = self.run(["launchctl", "print", self._domain])
        if code:
            return f"launchd does not serve this user ({_first_line(output)}); with --no-service you run it yourself"
        return None

    def start(self, command: Sequence[str]) -> None:
        """Write the property list and load it."""
        self.run(["launchctl", "bootout", f"{self._domain}/{LABEL}"])  # an earlier one, if there is one
        _write(self.file, launchd_agent(command))
        bootstrap = ["launchctl", "bootstrap", self._domain, str(self.file)]
        for _ in range(_BOOTSTRAP_TRIES):  # the end of the earlier one takes a moment
            code, _output = self.run(bootstrap)
            if code == 0:
                return
            time.sleep(_BOOTSTRAP_PAUSE)
        _check(self.run, bootstrap)

    def stop(self) -> None:
        """Unload the agent and delete its property list."""
        if self.file.exists():
            self.run(["launchctl", "bootout", f"{self._domain}/{LABEL}"])
            self.file.unlink(missing_ok=True)

    @property
    def _domain(self) -> str:
        return f"user/{self.user_id}"


@dataclass(frozen=True)
class TaskScheduler:
    """A task of Windows that starts when the user logs on."""

    environ: Mapping[str, str]
    run: Callable[[Sequence[str]], Outcome] = run_program
    name: str = "task"

    @property
    def file(self) -> Path:
        """The description, of which the scheduler has a copy."""
        return service_folder() / "task.xml"

    def why_not(self) -> str | None:
        """Return why the service could not run: the scheduler does not answer."""
        code, output = self.run(["schtasks", "/Query", "/FO", "LIST", "/TN", "\\"])
        if code == _NOT_STARTED:
            return f"the task scheduler does not answer ({_first_line(output)}); with --no-service you run it yourself"
        return None

    def start(self, command: Sequence[str]) -> None:
        """Register the task and run it."""
        domain, name = self.environ.get("USERDOMAIN"), self.environ.get("USERNAME") or getpass.getuser()
        _write(self.file, windows_task(command, f"{domain}\\{name}" if domain else name))
        self.run(["schtasks", "/End", "/TN", LABEL])
        _check(self.run, ["schtasks", "/Create", "/TN", LABEL, "/XML", str(self.file), "/F"])
        _check(self.run, ["schtasks", "/Run", "/TN", LABEL])

    def stop(self) -> None:
        """End the task and delete it."""
        if self.file.exists():
            self.run(["schtasks", "/End", "/TN", LABEL])
            _check(self.run, ["schtasks", "/Delete", "/TN", LABEL, "/F"])
            self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class NoManager:
    """The user runs the service."""

    name: str = "none"
    file: Path | None = None

    def why_not(self) -> None:
        """Return None: nothing is known of how it is run."""

    def start(self, command: Sequence[str]) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""


def manager_of(platform: str, environ: Mapping[str, str]) -> ServiceManager:
    """Return the service manager of a platform (as `sys.platform`)."""
    if platform == "win32":
        return TaskScheduler(environ)
    return Launchd() if platform == "darwin" else Systemd(environ)


def manager_named(name: str, environ: Mapping[str, str]) -> ServiceManager:
    """Return the service manager with a name."""
    managers: tuple[ServiceManager, ...] = (Systemd(environ), Launchd(), TaskScheduler(environ))
    return next((each for each in managers if each.name == name), NoManager())


def base_interpreter(platform: str = sys.platform) -> str:
    """Return the Python that a virtual environment is made of, which outlives it."""
    return without_window(getattr(sys, "_base_executable", None) or sys.executable, platform)


def without_window(python: str, platform: str = sys.platform) -> str:
    """Return the absolute path of an interpreter; on Windows that of its twin that opens no window."""
    path = Path(python).absolute()
    twin = path.with_name("pythonw.exe")
    return str(twin if platform == "win32" and twin.exists() else path)


def _write(path: Path, content: bytes) -> None:
    try:
        write_private(path, content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", FAILED) from error


def _check(run: Callable[[Sequence[str]], Outcome], command: Sequence[str]) -> None:
    code, output = run(command)
    if code:
        raise CommandError(f"{' '.join(command)} failed: {_first_line(output) or f'exit code {code}'}", FAILED)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
