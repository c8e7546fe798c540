"""`codex-tap install`, and its end by `codex-tap uninstall`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.install import undo
from scripts.install.service_manager import Systemd
from scripts.launch.codex_env_file import parse
from store import files
from tests.support.command_line import invoke
from tests.support.harness import free_port, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="start-up files of POSIX")


@pytest.fixture(autouse=True)
def _bash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")


@pytest.fixture(name="bashrc")
def _bashrc() -> Path:
    path = Path.home() / ".bashrc"
    path.write_bytes(b"alias x=y")
    return path


@pytest.fixture(name="env")
def _env() -> Path:
    return Path(os.environ["CODEX_HOME"]) / ".env"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--port", "8080"], "--port requires --always"),
        (["--serve"], "--serve requires --always"),
        (["--alerts"], "--alerts requires --always"),
        (["--otlp"], "--otlp requires --always"),
        (["--no-service"], "--no-service requires --always"),
        (["--always", "--print"], "--print cannot be combined with --always"),
        (["--always", "--shell", "bash"], "--shell cannot be combined with --always"),
        (["--always", "--port", "0"], "0 is not in the range"),
        (["--shell", "tcsh"], "'tcsh' is not one of"),
        (["--host", "https://gateway.example/"], "is not a host name"),
    ],
)
def test_wrong_use(arguments: list[str], error: str) -> None:
    """The exit code is 2, and the error names the problem."""
    result = invoke("install", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_an_unknown_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be named."""
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    result = invoke("install", "--yes")
    assert (result.exit_code, "name it with --shell" in result.stderr) == (2, True)


def test_it_shows_and_asks_first(bashrc: Path) -> None:
    """Without a confirmation nothing is changed."""
    result = invoke("install", answer="n\n")
    assert result.exit_code == 1
    assert f"{bashrc}: gets a block" in result.stdout
    assert bashrc.read_bytes() == b"alias x=y"
    assert not files.installed_folder().exists()


def test_it_is_repeated_and_undone(bashrc: Path) -> None:
    """A second time adds no second block; undoing it keeps what was recorded, and a second time does nothing."""
    assert invoke("install", answer="y\n").exit_code == 0
    once = bashrc.read_bytes()
    again = invoke("install", "--yes")
    assert (again.exit_code, bashrc.read_bytes()) == (0, once)
    assert f"{bashrc}: already has a block" in again.stdout

    declined = invoke("uninstall", "--keep-data", answer="n\n")
    assert (declined.exit_code, bashrc.read_bytes()) == (1, once)
    undone = invoke("uninstall", "--keep-data", "--yes")
    assert (undone.exit_code, bashrc.read_bytes()) == (0, b"alias x=y")
    assert undone.stdout == (
        f"This takes the block of codex-tap out of:\n  {bashrc}\n"
        "Close the shells that are open, or type in them:  hash -r\nUndone.\n"
    )
    assert invoke("uninstall", "--keep-data").stdout == "Nothing is installed.\n"


def test_a_link_is_followed(bashrc: Path) -> None:
    """The file that changes is named."""
    target = bashrc.with_name("repository")
    bashrc.rename(target)
    bashrc.symlink_to(target)
    assert f"    (a link to {target}, which is changed)\n" in invoke("install", "--yes").stdout
    assert bashrc.is_symlink()
    assert target.read_bytes() != b"alias x=y"


def test_edited_lines_are_counted(bashrc: Path) -> None:
    """They stay."""
    invoke("install", "--yes")
    bashrc.write_bytes(bashrc.read_bytes().replace(b"PATH=", b"alias mine=1\nPATH=", 1))
    again = invoke("install", "--yes")
    assert f"Lines of yours in the block of {bashrc} stay, above it: 1.\n" in again.stdout
    invoke("uninstall", "--keep-data", "--yes")
    assert bashrc.read_bytes() == b"alias x=y\nalias mine=1\n"


@pytest.mark.parametrize("shell", ["bash", "fish", "powershell"])
def test_the_line_is_printed(bashrc: Path, shell: str) -> None:
    """For a start-up file that a person or another program writes; only the program is put into its place."""
    result = invoke("install", "--print", "--shell", shell)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert str(files.installed_folder()) in result.stdout
    assert (files.installed_folder() / "codex").exists()
    assert bashrc.read_bytes() == b"alias x=y"


def test_uninstall_undoes_it_as_well(bashrc: Path) -> None:
    """Together with the deletion of everything else."""
    invoke("install", "--yes")
    result = invoke("uninstall", "--yes")
    assert result.exit_code == 0
    assert bashrc.read_bytes() == b"alias x=y"
    assert "Not created by codex-tap" not in result.stdout
    assert not files.installed_folder().parent.exists()


def test_without_a_service_manager(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is printed; once it runs, .env is written; the upstream's password is nowhere in the output."""
    monkeypatch.setattr(undo, "processes_using", lambda *_: [])
    env.write_text("HTTPS_PROXY=http://me:s3cret@127.0.0.1:9\n")
    before, port = env.read_bytes(), free_port()
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(port))
    first = invoke(*arguments)
    assert first.exit_code == 0
    assert "The service forwards everything to your proxy http://127.0.0.1:9.\n" in first.stdout
    assert env.read_bytes() == before
    (command,) = re.findall(r"^  (\S+ -I -S .*)$", first.stdout, re.MULTILINE)
    with subprocess.Popen(command.split()) as service:
        try:
            wait_until((files.service_folder() / files.HOLDER_STATUS).exists, lambda: "no status")
            second = invoke(*arguments)
            assert f"Done. The service answers at 127.0.0.1:{port}" in second.stdout
            assert parse(env.read_text(), {})["HTTPS_PROXY"] == f"http://127.0.0.1:{port}"
            last = invoke("uninstall", "--yes")
            assert (last.exit_code, env.read_bytes()) == (0, before), last.stderr
            assert service.wait(30) is not None
        finally:
            service.terminate()
    assert "s3cret" not in first.output + second.output + last.output
    assert f"This stops the service at port {port}.\n" in last.stdout
    assert not files.service_folder().exists()


def test_a_repeat_says_what_it_keeps(bashrc: Path) -> None:
    """Options of either step stay for both, unless it is to begin anew."""
    assert bashrc.exists()
    kept = "Kept from before, unless you add --fresh: "
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(free_port()))
    first = invoke("install", "--yes", "--host", "gateway.example")
    second = invoke(*arguments, "--serve")
    third = invoke(*arguments, "--host", "other.example")
    shell = invoke("install", "--yes")
    fresh = invoke(*arguments, "--fresh")
    last = invoke(*arguments)
    assert [each.exit_code for each in (first, second, third, shell, fresh, last)] == [0] * 6, third.stderr
    assert kept not in first.stdout + fresh.stdout + last.stdout
    assert f"{kept}--host gateway.example\n" in second.stdout
    assert f"{kept}--host gateway.example --serve\n" in third.stdout
    assert f"{kept}--host gateway.example --host other.example\n" in shell.stdout


def test_a_service_that_would_end_at_logout(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the error, and nothing is changed."""
    monkeypatch.setattr(Systemd, "why_not", lambda _self: "the service would end when you log out")
    monkeypatch.setattr(sys, "platform", "linux")
    result = invoke("install", "--always", "--yes")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "Error: the service would end when you log out\n"
    assert not env.exists()
    assert not files.service_folder().exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the shell that is set up")
def test_a_new_shell_finds_it(bashrc: Path) -> None:
    """Before any other codex."""
    assert bashrc.exists()
    invoke("install", "--yes")
    found = subprocess.run(
        ["bash", "-ic", "command -v codex"],  # noqa: S607 (as a user types it)
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.strip() == str(files.installed_folder() / "codex")
