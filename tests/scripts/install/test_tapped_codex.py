"""The installed ``codex``: through codex-tap where that is possible, and Codex in any case."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.install.shell_step import PROGRAM
from scripts.launch.codex_program import DEPTH_VARIABLE, MAX_DEPTH
from scripts.launch.shim import place_installed
from scripts.support.installation import AlwaysOn, Installation, save_installation
from tests.support.codex_programs import SYSTEM
from tests.support.harness import REPOSITORY, wait_until
from tests.support.launcher import read_line, started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")

CODEX = """#!/bin/sh
[ "$1 $2" = "--no-daemon --version" ] && exit 0
printf '%s|' tapped=${CODEX_TAP_PROXY:+yes} proxy=${HTTPS_PROXY:+yes} "$@"
[ "$1" = read ] && cat
exit 7
"""


class Home:
    """A home with a stand-in for Codex, and the installed ``codex`` in front of it."""

    def __init__(self, tmp_path: Path, root: Path = REPOSITORY, python: str = sys.executable) -> None:
        self.folder = tmp_path
        real = tmp_path / "real"
        real.mkdir()
        (real / "codex").write_text(CODEX)
        (real / "codex").chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", python)
            self.installed = place_installed(root / PROGRAM.relative_to(REPOSITORY))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "PATH": f"{self.installed}:{real}:{SYSTEM}",
            "CODEX_HOME": str(tmp_path),
        }

    def codex(self, *arguments: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
        """Run the installed codex; return its exit code, stdout and stderr."""
        done = subprocess.run(
            [self.installed / "codex", *arguments],
            env=self.environ | more,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_codex_is_tapped(home: Home) -> None:
    """Arguments, stdin, stdout and the exit code are its own."""
    odd = ["a  b", "*", "it's", '"', "", "-n", "$HOME", "\\"]
    assert home.codex("exec", *odd) == (7, f"tapped=yes|proxy=yes|exec|{''.join(f'{each}|' for each in odd)}", "")
    assert home.codex("read", stdin="typed") == (7, "tapped=yes|proxy=yes|--no-daemon|read|", "")


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["login", "status"], ["mcp", "list"], ["completion", "bash"], ["app-server", "daemon", "restart"]],
)
def test_what_takes_no_turn_is_not_tapped(home: Home, arguments: list[str]) -> None:
    """Nothing is started for it; a background server must not get the environment of a tap."""
    assert home.codex(*arguments) == (7, f"tapped=|proxy=|{''.join(f'{each}|' for each in arguments)}", "")


@pytest.mark.parametrize("search_path", ["installed", "shim"])
def test_under_the_tap_it_is_not_tapped_again(home: Home, search_path: str) -> None:
    """A start-up file may have put it first again; the flag for an interactive session stays."""
    command = 'PATH="$0:$PATH"; export PATH; codex one; codex exec two' if search_path == "installed" else "codex one"
    run = [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "run", "sh", "-c", command, str(home.installed)]
    done = subprocess.run(run, env=home.environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("tapped=yes|proxy=yes|--no-daemon|one|")
    assert done.stderr == ""
    assert "CODEX_TAP" not in done.stdout


def test_a_changed_environment_is_tapped(home: Home) -> None:
    """The variable counts only while the environment leads to that proxy."""
    code, output, _ = home.codex("exec", CODEX_TAP_PROXY="http://127.0.0.1:9")
    assert (code, output) == (7, "tapped=yes|proxy=yes|exec|")


def test_a_tap_that_has_ended_is_left_behind(home: Home) -> None:
    """A terminal multiplexer hands its variables on for days; Codex gets a proxy that is there."""
    closed = "http://127.0.0.1:9"
    (home.folder / "real" / "codex").write_text('#!/bin/sh\necho "$HTTPS_PROXY"\n')
    code, output, errors = home.codex("exec", CODEX_TAP_PROXY=closed, HTTPS_PROXY=closed, https_proxy=closed)
    assert (code, errors) == (0, "")
    assert output.startswith("http://127.0.0.1:")
    assert output.strip() != closed


def make_damaged(root: Path) -> None:
    (root / "scripts" / "launch" / "session.py").write_text("import a_dependency_that_is_gone")


def make_older(root: Path) -> None:
    (root / "scripts" / "launch" / "session.py").write_text("")


def make_broken(root: Path) -> None:
    (root / "scripts" / "launch" / "command.py").write_text("not Python")


def make_useless(root: Path) -> None:
    for each in ("scripts", "store", "addon"):
        for module in (root / each).rglob("*.py"):
            if module.name != PROGRAM.name:  # deleted ones would be found where the tests' own checkout is installed
                module.write_text("raise ImportError")


@pytest.mark.parametrize("damage", [make_damaged, make_older, make_broken, make_useless, shutil.rmtree])
def test_without_codex_tap_codex_still_works(tmp_path: Path, damage: object) -> None:
    """Whatever is wrong with the checkout; a line says so, unless there is nobody to say it."""
    assert callable(damage)
    root = tmp_path / "checkout"
    for each in ("scripts", "store", "addon"):
        shutil.copytree(REPOSITORY / each, root / each, ignore=shutil.ignore_patterns("__pycache__"))
    home = Home(tmp_path, root)
    assert home.codex("exec", "x")[:2] == (7, "tapped=yes|proxy=yes|exec|x|")
    damage(root)
    code, output, errors = home.codex("exec", "x")
    assert (code, output) == (7, "tapped=|proxy=|exec|x|")
    assert len(errors.splitlines()) <= 1
    assert errors == "" or errors.startswith("codex-tap: codex runs without codex-tap")


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/dev/null"])
def test_without_its_python_codex_still_works(tmp_path: Path, python: str) -> None:
    """A deleted environment, or one whose interpreter does not run."""
    assert Home(tmp_path, python=python).codex("exec", "x") == (7, "tapped=|proxy=|exec|x|", "")


def test_a_proxy_that_cannot_start(home: Home) -> None:
    """The reason is one line, with exit code and output those of Codex."""
    (home.folder / "no.pem").write_text("no certificate")
    code, output, errors = home.codex("exec", "x", SSL_CERT_FILE=str(home.folder / "no.pem"))
    assert (code, output) == (7, "tapped=|proxy=|exec|x|")
    assert errors == (
        "codex-tap: codex runs without codex-tap, which cannot start: "
        f"SSL_CERT_FILE names {home.folder / 'no.pem'}, which has no usable certificate (PEM)\n"
    )


def test_without_codex(home: Home) -> None:
    """The message is one line, and the exit code that of a shell."""
    (home.folder / "real" / "codex").unlink()
    code, output, errors = home.codex("exec")
    assert (code, output) == (127, "")
    assert errors == "codex-tap: codex was not found; get it with: npm install -g @openai/codex\n"


def test_copies_of_it_end(home: Home) -> None:
    """A copy without the marker does not start itself for ever."""
    copy = home.folder / "copy"
    copy.mkdir()
    shutil.copy(home.installed / "codex", copy / "codex")
    code, _, errors = home.codex("--version", PATH=f"{home.installed}:{copy}:{SYSTEM}")
    assert (code, "was not found" in errors) == (127, True)
    assert home.codex("exec", **{DEPTH_VARIABLE: "." * MAX_DEPTH})[0] == 127


@pytest.mark.parametrize("listens", [True, False])
def test_with_the_service_codex_is_read_there(home: Home, listens: bool) -> None:
    """Codex's own .env beats the environment, so a proxy of its own would stand idle; a closed port is reported."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, env = server.getsockname()[1], home.folder / ".env"
        env.write_text(f"HTTPS_PROXY=http://127.0.0.1:{port}\n")
        save_installation(Installation(always=AlwaysOn(port, str(env), "none")))
        if not listens:
            server.close()
        code, output, errors = home.codex("exec")
    assert (code, output) == (7, "tapped=|proxy=|exec|")
    assert errors.startswith("" if listens else f"codex-tap: nothing listens at http://127.0.0.1:{port}")
    assert len(errors.splitlines()) == (0 if listens else 1)


def test_another_proxy_in_env_is_not_the_service(home: Home) -> None:
    """There Codex gets a proxy of its own, as with `codex-tap run`."""
    env = home.folder / ".env"
    env.write_text("HTTPS_PROXY=http://127.0.0.1:9\n")
    save_installation(Installation(always=AlwaysOn(26339, str(env), "none")))
    assert home.codex("exec")[1].startswith("tapped=yes|")


def test_the_users_own_variables_do_no_harm(home: Home) -> None:
    """A project whose folder has modules of the same names, and warnings as errors."""
    project = home.folder / "project"
    for name in ("store", "scripts", "addon"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise SystemExit(9)")
    found = home.codex("exec", PYTHONPATH=str(project), PYTHONWARNINGS="error", PYTHONSAFEPATH="")
    assert found[:2] == (7, "tapped=yes|proxy=yes|exec|")


LIVELY = """#!/bin/sh
trap 'echo got $1; exit 5' INT TERM HUP
echo up $$
while :; do sleep 0.1; done
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_codex(home: Home, number: signal.Signals) -> None:
    """As they do without codex-tap."""
    (home.folder / "real" / "codex").write_text(LIVELY)
    with started(str(home.installed / "codex"), "exec", environ=home.environ) as process:
        read_line(process, "up")
        process.send_signal(number)
        assert read_line(process, "got") == "got exec"
        wait_until(lambda: process.poll() is not None, lambda: "it goes on")
        assert process.returncode == 5


def test_gateways_are_watched(home: Home) -> None:
    """Those that were named at the installation."""
    save_installation(Installation(gateways=("gateway.example",)))
    (home.folder / "real" / "codex").write_text('#!/bin/sh\necho "plain=${HTTP_PROXY:+yes}"\n')
    assert home.codex("exec")[1] == "plain=yes\n"
