"""The installed service under a real systemd of a user, with the real Codex, offline.

The systemd runs in a mount namespace of its own, where it finds a system that looks as if systemd had booted it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import free_port, wait_until

if not sys.platform.startswith("linux"):
    pytest.skip("systemd is for Linux", allow_module_level=True)

from tests.system.test_install import EXEC, Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.demo.backend import Backend

_BOOTED = (
    "mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/user/0 && chmod 700 /run/user/0 && exec {} --user"
)
_LOGINCTL = "#!/bin/sh\necho Linger=yes\n"
_START_SECONDS = 10
_PLACES = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


class SystemdHome(Home):
    """A home whose user has a systemd; the commands of codex-tap run where it can be reached."""

    def __init__(self, folder: Path, codex: str, backend: Backend, account: str) -> None:
        super().__init__(folder, codex, backend, account)
        self.environment["XDG_RUNTIME_DIR"] = "/run/user/0"
        (folder / "bin" / "loginctl").write_text(_LOGINCTL)  # that of the system asks a daemon which does not run
        (folder / "bin" / "loginctl").chmod(0o755)
        systemd = next(place for place in _PLACES if Path(place).exists())
        self.log = folder / "systemd.log"
        with self.log.open("wb") as log:
            self.systemd = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", _BOOTED.format(systemd)],  # noqa: S607 (where PATH has it)
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.prefix = ["nsenter", "-m", "-t", str(self.systemd.pid), "--"]

    def control(self, *words: str) -> str | None:
        """Run ``systemctl --user``; return its output, or None if it fails."""
        done = subprocess.run(
            [*self.prefix, "systemctl", "--user", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def main_pid(self) -> int:
        """Return the process id of the service; 0 if it does not run."""
        return int(self.control("show", "codex-tap", "--property=MainPID", "--value") or 0)

    def end(self) -> None:
        """End the systemd and everything that it runs, then Codex's own processes."""
        self.systemd.terminate()
        self.systemd.wait(30)
        super().end()


@pytest.fixture(name="home")
def _home(tmp_path: Path, codex: str, backend: Backend) -> Iterator[SystemdHome]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    missing = [name for name in ("unshare", "nsenter", "systemctl") if shutil.which(name) is None]
    if missing or not any(Path(place).exists() for place in _PLACES):
        pytest.skip(f"not found: {', '.join(missing) or 'systemd'}")
    home = SystemdHome(tmp_path, codex, backend, "acct-systemd")
    try:
        try:
            wait_until(lambda: home.control("show", "--property=Version") is not None, str, _START_SECONDS)
        except TimeoutError:
            pytest.skip(f"systemd does not run here: {home.log.read_text('utf-8', 'replace')[-300:]}")
        yield home
    finally:
        home.end()


@pytest.mark.timeout(180)
def test_the_service_of_systemd(home: SystemdHome) -> None:
    """It is started, read through, started again after it was killed, and gone after the removal."""
    before, unit = home.files(), home.folder / ".config" / "systemd" / "user" / "codex-tap.service"
    port = free_port()
    output = home.tap("install", "--always", "--yes", "--port", str(port))
    assert f"  {unit}: runs it" in output
    assert f"Done. The service answers at 127.0.0.1:{port}" in output
    assert home.control("is-enabled", "codex-tap") == "enabled"
    assert home.exec(*EXEC) == "ok\n"
    assert (len(home.threads()), home.recorded()) == (1, home.threads())

    first = home.main_pid()
    assert "Done." in home.tap("install", "--always", "--yes")
    assert home.main_pid() == first

    os.kill(first, 9)
    wait_until(lambda: home.main_pid() not in {0, first}, lambda: "it is not started again")
    assert home.exec(*EXEC) == "ok\n"
    assert (len(home.threads()), home.recorded()) == (2, home.threads())

    home.tap("uninstall", "--keep-data", "--yes")
    assert (home.main_pid(), unit.exists(), home.files()) == (0, False, before)
    assert home.exec(*EXEC) == "ok\n"
    assert len(home.recorded()) == 2
