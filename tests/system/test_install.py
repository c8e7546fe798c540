"""The real Codex, offline, after ``codex-tap install`` and ``install --always``, and after ``uninstall``."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.demo.replies import Answer, Pause
from tests.support.harness import REPOSITORY, free_port, processes_with, wait_until

if sys.platform == "win32":
    pytest.skip("a terminal of Windows is another matter", allow_module_level=True)

from tests.system.test_tui import Machine, take_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scripts.demo.backend import Backend
    from tests.support.terminal import Terminal

pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="the shell that is set up"),
    pytest.mark.timeout(180),
]

BASHRC = b"PS1='shell> '\nalias ll='ls -l'"
SHELL = ["bash", "--noprofile", "-i"]
EXEC = ["codex", "exec", "--skip-git-repo-check", "say ok"]


class Home(Machine):
    """A machine whose user has start-up files; the program is a checkout of its own, which can be deleted."""

    def __init__(self, folder: Path, codex: str, backend: Backend, account: str) -> None:
        super().__init__(folder, codex, backend, account)
        del self.environment["CODEX_CA_CERTIFICATE"]  # Codex would prefer it to what .env names
        self.environment |= {"SSL_CERT_FILE": str(backend.ca_file), "SHELL": "/bin/bash"}
        (folder / ".bashrc").write_bytes(BASHRC)
        self.checkout = folder / "checkout"
        # With what is compiled, and without what another process is about to write.
        for each in ("scripts", "store", "addon"):
            shutil.copytree(REPOSITORY / each, self.checkout / each, ignore=shutil.ignore_patterns("*.pyc.*"))
        for name in ("pyproject.toml", "codex_tap_cli.py"):
            if (REPOSITORY / name).exists():
                shutil.copy(REPOSITORY / name, self.checkout)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / ".local" / "share" / "codex-tap"

    prefix: Sequence[str] = ()
    """What codex-tap is run by."""

    def tap(self, *arguments: str) -> str:
        """Run codex-tap, which succeeds, and return its output."""
        command = [*self.prefix, sys.executable, str(self.checkout / "scripts" / "cli.py"), *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.work, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def exec(self, *command: str) -> str:
        """Run a command, which succeeds, and return its output."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Return the user's own files that an installation may change, with their modes."""
        places = (*(self.folder / name for name in (".bashrc", ".profile", ".zshrc")), self.codex_home / ".env")
        return {each.name: (each.read_bytes(), each.stat().st_mode) for each in places if each.is_file()}

    def shell_turn(self) -> None:
        """Type ``codex`` in a shell and take one turn."""
        with self.terminal(*SHELL) as terminal:
            terminal.wait_for("shell>")
            terminal.press("codex\r")
            take_turn(terminal)
            quit_codex(terminal)
            terminal.press("exit 3\r")
            assert terminal.wait() == 3

    def wait_for_turns(self, count: int) -> None:
        """Wait until the service has recorded all of so many turns."""
        assert len(self.threads()) == count
        wait_until(lambda: self.recorded() == self.threads(), lambda: f"{self.recorded()} of {self.threads()}")

    @contextlib.contextmanager
    def service(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the service while the context is active."""
        with subprocess.Popen(shlex.split(command), env=self.environment, cwd="/") as process:
            try:
                yield process
            finally:
                process.terminate()


def quit_codex(terminal: Terminal) -> None:
    terminal.enter("/quit")
    terminal.wait_for("codex resume")


def press_enter_until_done(terminal: Terminal, turns: int) -> bool:
    """Press Enter, which an open session loses while it connects to the server again; return True after the turns."""
    if terminal.screen().count("• ok") == turns:
        return True
    terminal.press("\r")
    time.sleep(0.5)
    return False


@pytest.fixture(name="home")
def _home(tmp_path: Path, codex: str, backend: Backend, request: pytest.FixtureRequest) -> Iterator[Home]:
    account = f"acct-{abs(hash(request.node.name))}"
    home = Home(tmp_path, codex, backend, account)
    yield home
    home.end()


def installed_line(output: str) -> str:
    """Return the command that runs the service, from the output of the installation."""
    return next(line.strip() for line in output.splitlines() if "holder.py" in line and " -S " in line)


def test_a_codex_of_a_shell_is_read(home: Home) -> None:
    """In a terminal and in a script; after the removal everything is as before, and plain Codex works."""
    before = home.files()
    home.tap("install", "--yes")
    home.tap("install", "--yes")
    assert home.exec("bash", "-ic", " ".join([*EXEC[:-1], "'say ok'"])) == "ok\n"
    assert (len(home.threads()), home.recorded()) == (1, home.threads())
    home.shell_turn()
    assert (len(home.threads()), home.recorded()) == (2, home.threads())
    assert home.server() is None

    shutil.rmtree(home.checkout)
    assert home.exec("bash", "-ic", " ".join([*EXEC[:-1], "'say ok'"])) == "ok\n"
    assert (len(home.threads()), len(home.recorded())) == (3, 2)

    shutil.copytree(REPOSITORY / "scripts", home.checkout / "scripts")
    shutil.copytree(REPOSITORY / "store", home.checkout / "store")
    home.tap("uninstall", "--keep-data", "--yes")
    assert home.files() == before
    assert home.exec(*EXEC) == "ok\n"
    assert (len(home.threads()), len(home.recorded())) == (4, 2)


@pytest.mark.parametrize(
    "env", [None, b"FOO=bar\r\nHTTPS_PROXY={proxy}\r\nNO_PROXY=localhost,api.openai.com"], ids=["no file", "a file"]
)
def test_every_codex_is_read_by_the_service(home: Home, backend: Backend, env: bytes | None) -> None:
    """Scripts, and the TUI with its background server; without the checkout they work on, unread."""
    if env is not None:
        (home.codex_home / ".env").write_bytes(env.replace(b"{proxy}", backend.proxy_url.encode()))
        (home.codex_home / ".env").chmod(0o640)
        del home.environment["HTTPS_PROXY"]
    before = home.files()
    port = free_port()
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(port))
    output = home.tap(*arguments)
    assert "Nothing listens at that port yet" in output
    assert home.files() == before
    with home.service(installed_line(output)) as service:
        assert f"The service answers at 127.0.0.1:{port}" in home.tap(*arguments)
        assert home.tap(*arguments[:4]).count("already has a block") == 1
        assert home.exec(*EXEC) == "ok\n"
        home.wait_for_turns(1)

        home.turn("codex")
        assert home.server() is not None
        home.wait_for_turns(2)

        home.tap("uninstall", "--keep-data", "--yes")
        wait_until(lambda: service.poll() is not None, lambda: "the service runs on")
    assert home.files() == before
    assert home.exec(*EXEC) == "ok\n"
    home.turn("codex")
    assert (len(home.threads()), len(home.recorded())) == (4, 2)


def test_the_service_outlives_the_checkout(home: Home) -> None:
    """Codex works on through the port, and the installation can be undone by another checkout."""
    before = home.files()
    port = free_port()
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(port))
    with home.service(installed_line(home.tap(*arguments))) as service:
        home.tap(*arguments)
        assert home.exec(*EXEC) == "ok\n"
        wait_until(lambda: len(home.recorded()) == 1, lambda: "the turn is not recorded")
        shutil.rmtree(home.checkout)
        for pid, command in processes_with(str(home.folder)).items():
            if "mitmdump.py" in command:
                os.kill(pid, 9)
        assert home.exec(*EXEC) == "ok\n"
        assert (len(home.threads()), len(home.recorded())) == (2, 1)
        assert service.poll() is None

        shutil.copytree(REPOSITORY / "scripts", home.checkout / "scripts")
        shutil.copytree(REPOSITORY / "store", home.checkout / "store")
        output = home.tap("uninstall", "--yes")
        assert "Deleted." in output
        wait_until(lambda: service.poll() is not None, lambda: "the service runs on")
    assert home.files() == before
    assert home.exec(*EXEC) == "ok\n"


def test_a_turn_that_runs_is_not_interrupted(home: Home, backend: Backend) -> None:
    """The background server restarts after it, and the open session goes on through the service."""
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(free_port()))
    with home.service(installed_line(home.tap(*arguments))), home.terminal("codex") as terminal:
        take_turn(terminal, "first")
        server = home.server()
        backend.answer(Answer(events=[Pause(25)]), account=home.account)
        terminal.enter("second")
        terminal.wait_for("esc to interrupt")
        assert "restarts as soon as its turn has ended" in home.tap(*arguments)
        wait_until(lambda: "esc to interrupt" not in terminal.screen(), terminal.screen, 60)
        assert terminal.screen().count("• ok") == 2
        assert home.recorded() == set()
        backend.answer(Answer(), account=home.account)
        wait_until(lambda: home.server() not in {server, None}, lambda: "the server does not restart")
        terminal.press("third")
        wait_until(lambda: press_enter_until_done(terminal, 3), terminal.screen)
        quit_codex(terminal)
        wait_until(lambda: len(home.recorded()) == 1, lambda: "the third turn is not recorded")
        home.tap("uninstall", "--keep-data", "--yes")
