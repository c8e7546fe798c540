"""`codex-tap doctor` on a machine with the real Codex: its session files, and its background server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, Pause
from tests.support.harness import REPOSITORY, free_port, processes_with, wait_until
from tests.system.test_install import EXEC, Home, installed_line

if not sys.platform.startswith("linux"):
    pytest.skip("the environment of Codex's background server can be read on Linux alone", allow_module_level=True)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scripts.demo.backend import Backend

TAP = [sys.executable, str(REPOSITORY / "scripts" / "cli.py")]
HOURS = 7_200
UNKNOWN_FIELD = "x-codex-primary-carryover"


@pytest.fixture(name="environment")
def _environment(tmp_path: Path, codex: str, backend: Backend) -> Iterator[dict[str, str]]:
    """A user's home with Codex in PATH and the stand-in as its upstream; ends what is left, and deletes it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "codex").symlink_to(codex)
    log_in(tmp_path / "codex", "acct-doctor", "user-doctor")
    # A turn of the real backend takes longer than the creation of a session file.
    backend.answer(Answer(events=[Pause(1.5)], headers={UNKNOWN_FIELD: "4711"}), account="acct-doctor")
    yield {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "CODEX_HOME": str(tmp_path / "codex"),
        "CODEX_TAP_DB": str(tmp_path / "tap.sqlite3"),
        "HTTPS_PROXY": backend.proxy_url,
        "CODEX_CA_CERTIFICATE": str(backend.ca_file),
    }
    end_processes(tmp_path)
    shutil.rmtree(tmp_path / "codex")


@pytest.fixture(name="home")
def _home(tmp_path: Path, codex: str, backend: Backend, request: pytest.FixtureRequest) -> Iterator[Home]:
    account = f"acct-{request.node.name}".replace("_", "-")
    backend.answer(Answer(events=[Pause(1.5)]), account=account)
    home = Home(tmp_path, codex, backend, account)
    yield home
    home.end()


def end_processes(home: Path) -> None:
    """End the background server and its updater."""
    asked = set[int]()

    def all_ended() -> bool:
        # The updater may start late. SIGTERM lets the server delete its socket, which is outside CODEX_HOME.
        for pid in processes_with(str(home)).keys() - asked:
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return not processes_with(str(home))

    wait_until(all_ended, lambda: f"left behind: {processes_with(str(home))}")


def doctor(environment: Mapping[str, str], checkout: Path = REPOSITORY) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code of the command, and the level and message of each check."""
    done = subprocess.run(
        [
            sys.executable,
            str(checkout / "scripts" / "cli.py"),
            "doctor",
            "--json",
            "--proxy",
            f"127.0.0.1:{free_port()}",
        ],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {each["name"]: (each["level"], each["message"]) for each in checks}


def take_turn(codex: str, environment: Mapping[str, str], home: Path) -> None:
    done = exec_turn(codex, home, "say ok", environment)
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr


def test_a_codex_that_goes_round_the_tap(codex: str, environment: dict[str, str], tmp_path: Path) -> None:
    """A turn under the tap is read; hours later, one without it is not, and a look into the archive is no turn."""
    code, found = doctor(environment)
    assert (code, found["reading"]) == (0, ("note", "nothing was read yet"))

    tapped = subprocess.run(
        [*TAP, "run", "codex", "exec", "--skip-git-repo-check", "say ok"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (tapped.returncode, tapped.stdout.strip()) == (0, "ok"), tapped.stderr
    code, found = doctor(environment)
    assert (code, found["reading"][0]) == (0, "ok")
    assert found["reading"][1].startswith("Codex is read: it worked ")
    assert found["fields"][1].startswith(f"fields that look like limits and are not read: {UNKNOWN_FIELD} (")
    assert "4711" not in str(found)

    with contextlib.closing(sqlite3.connect(tmp_path / "tap.sqlite3")) as connection:
        for statement in (
            "UPDATE snapshots SET first_seen_at = first_seen_at - :hours, last_seen_at = last_seen_at - :hours",
            "UPDATE requests SET started_at = started_at - :hours, ended_at = ended_at - :hours",
            "UPDATE threads SET last_seen_at = last_seen_at - :hours",
        ):
            connection.execute(statement, {"hours": HOURS})
        connection.commit()
    (session,) = (tmp_path / "codex" / "sessions").rglob("*.jsonl")
    for action in ("archive", "unarchive"):
        subprocess.run(
            [codex, action, session.stem[-36:]], env=environment, check=True, capture_output=True, timeout=60
        )
    code, found = doctor(environment)
    assert (code, found["reading"]) == (0, ("ok", "the last response was read 2 h ago"))

    take_turn(codex, environment, tmp_path / "codex")
    code, found = doctor(environment)
    assert (code, found["reading"][0]) == (1, "problem")
    assert found["reading"][1].endswith("ago, the last response was read 2 h ago: it goes round the tap")


def test_the_background_server_has_a_proxy_that_ended(environment: dict[str, str], tmp_path: Path) -> None:
    """It got it from Codex's own `.env`, which has changed since."""
    code, found = doctor(environment)
    assert (code, found["server"]) == (0, ("ok", "Codex's background server does not run"))

    dead = f"http://127.0.0.1:{free_port()}"
    env_file = tmp_path / "codex" / ".env"
    env_file.write_text(f"HTTPS_PROXY={dead}\n")
    start = [str(tmp_path / "bin" / "codex"), "app-server", "daemon", "start"]
    subprocess.run(start, env=environment, check=True, capture_output=True, timeout=100)
    env_file.unlink()
    code, found = doctor(environment)
    assert (code, found["server"][0]) == (1, "problem")
    assert found["server"][1].startswith(f"Codex's background server uses the proxy {dead}, which does not respond")


@pytest.mark.timeout(180)
def test_a_machine_with_the_service(home: Home) -> None:
    """Everything is in order after the installation; then Codex's `.env` is overridden, and the checkout deleted."""
    port = free_port()
    arguments = ("install", "--always", "--no-service", "--yes", "--port", str(port))
    with home.service(installed_line(home.tap(*arguments))):
        home.tap(*arguments)
        assert home.exec(*EXEC) == "ok\n"
        home.turn("codex")
        code, found = doctor(home.environment)
        assert (code, {name for name, (level, _) in found.items() if level not in {"ok", "note"}}) == (
            0,
            {"shells", "proxy"},
        )
        for name in ("reading", "port", ".env", "bundle", "server", "certificate", "database"):
            assert found[name][0] == "ok", found[name]
        assert found["server"][1].endswith(f"http://127.0.0.1:{port}, which is codex-tap's")

        with (home.codex_home / ".env").open("a") as file:
            file.write("HTTPS_PROXY=http://127.0.0.1:1\n")
        shutil.rmtree(home.checkout)
        for pid, command in processes_with(str(home.folder)).items():
            if "mitmdump.py" in command:
                os.kill(pid, signal.SIGKILL)
        code, found = doctor(home.environment)
        assert code == 1
        assert found[".env"][0] == found["port"][0] == "problem"
        assert found["port"][1].startswith(f"127.0.0.1:{port} passes everything through unread")
        # The service writes its state once a second.
        wait_until(
            lambda: "the proxy ended with" in doctor(home.environment)[1]["service"][1], lambda: str(found["service"])
        )


def test_a_codex_that_is_typed(home: Home) -> None:
    """In a shell that was there before, the installed codex is not in PATH."""
    home.tap("install", "--yes")
    code, found = doctor(home.environment, home.checkout)
    assert (code, found["shells"][0]) == (0, "note")
    home.environment["PATH"] = f"{home.data / 'bin'}:{home.environment['PATH']}"
    assert home.exec(*EXEC) == "ok\n"
    code, found = doctor(home.environment, home.checkout)
    assert (code, found["shells"]) == (0, ("ok", "a codex typed in this shell runs through codex-tap"))
    assert found["codex"][0] == "ok"
