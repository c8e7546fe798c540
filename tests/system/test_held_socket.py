"""A proxy that starts late, crashes or is missing: the real Codex works all the same, and is read where it can be."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import log_in
from scripts.demo.replies import Answer, Pause
from store.database import open_reader
from store.errors import MissingError
from tests.support.command_line import in_terminal, needs_terminal
from tests.support.harness import LONG, wait_until
from tests.support.launcher import mitmdump_of, read_line, started
from tests.system.test_real_codex import CLI, answer, has_asked, run_environment

if sys.platform == "win32":
    pytest.skip("processes are found and killed as POSIX does", allow_module_level=True)

from tests.system.test_tui import READY, TAP, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

EXEC = "exec --skip-git-repo-check"
MANY = 50 if LONG else 16

# A command that says whether its proxy answers already, and then runs Codex.
EARLY = """
import os, socket, subprocess, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
with socket.create_connection((proxy.hostname, proxy.port), 5) as early:
    early.sendall(b"GET http://mitm.it/ HTTP/1.0\\r\\n\\r\\n")
    early.settimeout(0.05)
    try:
        print("answered", early.recv(1), flush=True)
    except TimeoutError:
        print("not yet", flush=True)
sys.exit(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode)
"""


def turns(path: Path, account: str | None = None) -> int:
    """How many turns are recorded, without warm-ups."""
    try:
        reader = open_reader(path)
    except MissingError:
        return 0
    with contextlib.closing(reader) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM requests r JOIN accounts a ON a.id = r.account"
            " WHERE NOT warm_up AND output_tokens > 0 AND (:account IS NULL OR a.account_id = :account)",
            {"account": account},
        ).fetchone()
    return int(count)


def kill_mitmdump(pid: int) -> None:
    """Kill it, and wait until another has taken its place."""
    first = mitmdump_of(pid)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: mitmdump_of(pid) not in {None, first}, lambda: "it is not started again")


@pytest.fixture(name="environ")
def _environ(backend: Backend, tmp_path: Path) -> dict[str, str]:
    return {
        **run_environment(backend, tmp_path, tmp_path / "tap.sqlite3"),
        "CODEX_TAP_DB": str(tmp_path / "tap.sqlite3"),
    }


def test_the_command_starts_before_the_proxy_and_is_read(
    codex: str, backend: Backend, environ: dict[str, str], tmp_path: Path
) -> None:
    """The first turn waits for the proxy and is recorded."""
    backend.answer(answer(13, "plus", upgrade=101), account="acct-early")
    log_in(tmp_path / "home", "acct-early", "user-1")
    command = [sys.executable, str(CLI), "run", sys.executable, "-c", EARLY, codex, *EXEC.split(), "say ok"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "not yet\nok\n"), done.stderr
    assert "passed through" not in done.stderr
    assert turns(tmp_path / "tap.sqlite3", "acct-early") == 1


def test_a_proxy_that_is_killed_under_codex_exec(
    codex: str, backend: Backend, environ: dict[str, str], tmp_path: Path
) -> None:
    """Codex finishes its turn, which is read, as is the next one; what happened is told."""
    told = answer(13, "plus", upgrade=101)
    backend.answer(Answer(upgrade=101, headers=told.headers, events=[*told.events, Pause(4.0)]), account="acct-killed")
    log_in(tmp_path / "home", "acct-killed", "user-1")
    twice = f'"$0" {EXEC} "say ok" </dev/null; echo "first $?"; read line; "$0" {EXEC} "say ok" </dev/null'
    with started(
        sys.executable, str(CLI), "run", "sh", "-c", twice, codex, environ=environ, stderr=subprocess.PIPE
    ) as process:
        wait_until(lambda: has_asked(backend, "acct-killed"), lambda: "no turn", seconds=60)
        kill_mitmdump(process.pid)
        assert read_line(process, "first ") == "first 0"
        backend.answer(told, account="acct-killed")
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(100) == 0
        error = process.stderr.read()
        process.stderr.close()
    assert "codex-tap: the proxy ended (signal 9) and was started again" in error
    assert turns(tmp_path / "tap.sqlite3", "acct-killed") >= 2


@pytest.fixture(name="machine")
def _machine(tmp_path: Path, codex: str, backend: Backend) -> Iterator[Machine]:
    machine = Machine(tmp_path, codex, backend, account="acct-tui-killed")
    yield machine
    machine.end()


def test_a_proxy_that_is_killed_under_the_tui(machine: Machine, backend: Backend) -> None:
    """The session goes on, and its next turns are read."""
    backend.answer(Answer(upgrade=101, events=[Pause(4.0)]), account=machine.account)
    with machine.terminal(*TAP, "codex") as terminal:
        terminal.wait_for(READY)
        terminal.enter("say ok")
        wait_until(lambda: has_asked(backend, machine.account), lambda: "no turn", seconds=60)
        kill_mitmdump(terminal.process.pid)
        terminal.wait_for("Worked for")
        backend.answer(Answer(upgrade=101), account=machine.account)
        recorded = turns(machine.database)
        terminal.enter("say it again")
        wait_until(lambda: turns(machine.database) > recorded, terminal.screen, seconds=60)
        terminal.enter("/quit")
        assert terminal.wait() == 0, terminal.screen()
    assert "the proxy ended (signal 9) and was started again" in "\n".join(terminal.lines())


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_proxy_that_never_starts(codex: str, backend: Backend, environ: dict[str, str], tmp_path: Path) -> None:
    """Codex works, unread, and the closing line says so and why."""
    assert (
        subprocess.run([sys.executable, str(CLI), "run", "true"], env=environ, check=False, timeout=60).returncode == 0
    )
    (authority,) = tmp_path.rglob("mitmproxy-ca-cert.pem")
    (authority.parent / "config.yaml").write_text("no_such_option: [\n")
    backend.answer(answer(13, "plus", upgrade=101), account="acct-never")
    log_in(tmp_path / "home", "acct-never", "user-1")
    code, text = in_terminal("run", codex, *EXEC.split(), "say ok", **environ)
    assert code == 0, text
    assert "\nok\r\n" in text
    last = text.splitlines()[-1]
    assert last.startswith("codex-tap: nothing was read: the proxy did not start: ")
    assert re.search(r"; \d+ connections were passed through unread$", last)
    assert turns(tmp_path / "tap.sqlite3") == 0


@pytest.mark.timeout(300)
def test_many_at_once(codex: str, environ: dict[str, str], tmp_path: Path) -> None:
    """All succeed, and all are read."""
    homes = [tmp_path / f"home-{number}" for number in range(MANY)]
    for number, home in enumerate(homes):
        log_in(home, f"acct-many-{number}", "user-1")
    failures: list[str] = []

    def take_turn(home: Path) -> None:
        done = subprocess.run(
            [sys.executable, str(CLI), "run", codex, *EXEC.split(), "say ok"],
            env={**environ, "CODEX_HOME": str(home)},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if (done.returncode, done.stdout) != (0, "ok\n"):
            failures.append(done.stderr)

    with started(sys.executable, str(CLI), "proxy", "--port", "0", environ=environ) as process:
        read_line(process, "codex-tap: listening at ")
        threads = [threading.Thread(target=take_turn, args=[home]) for home in homes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert failures == []
    assert turns(tmp_path / "tap.sqlite3") == MANY
