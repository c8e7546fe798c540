"""Interactive sessions of the real Codex, in a terminal and offline, with and without ``codex-tap run``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import log_in
from scripts.demo.replies import Answer, Pause
from store.database import open_reader
from store.errors import MissingError
from tests.support.harness import LONG, REPOSITORY, processes_with, wait_until
from tests.support.otlp_receiver import Receiver

if sys.platform == "win32":
    pytest.skip("a terminal of Windows is another matter", allow_module_level=True)

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend
    from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.timeout(300)  # a busy machine

TAP = [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "run"]
READY = (
    "· ~/work"  # stands behind the model's name; the screen is drawn before the session is loaded and takes all keys
)
LAST_LINE = "? for shortcuts"


class Machine:
    """A user's home with Codex in PATH and the stand-in as its upstream, like a corporate proxy with its own CA."""

    def __init__(self, folder: Path, codex: str, backend: Backend, account: str) -> None:
        self.folder, self.backend, self.account = folder, backend, account
        self.codex_home, self.work, self.database = folder / "codex", folder / "work", folder / "tap.sqlite3"
        for each in (self.work, folder / "bin"):
            each.mkdir()
        (folder / "bin" / "codex").symlink_to(codex)
        self.asked_to_end: set[int] = set()
        log_in(self.codex_home, account, f"user-of-{account}")
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "CODEX_HOME": str(self.codex_home),
            "CODEX_TAP_DB": str(self.database),
            "HTTPS_PROXY": backend.proxy_url,
            "CODEX_CA_CERTIFICATE": str(backend.ca_file),
        }

    def terminal(self, *command: str) -> Terminal:
        """The command in a terminal, in an empty folder."""
        return Terminal(command, self.environment, self.work)

    def turn(self, *command: str) -> Terminal:
        """A session of one turn, from its start to its end with exit code 0."""
        with self.terminal(*command) as terminal:
            take_turn(terminal)
            terminal.enter("/quit")
            assert terminal.wait() == 0, terminal.screen()
        return terminal

    def threads(self) -> set[str]:
        """The threads that Codex itself has written down."""
        return {path.stem[-36:] for path in (self.codex_home / "sessions").rglob("*.jsonl")}

    def recorded(self) -> set[str]:
        """Those threads of Codex's with a turn that the tap has recorded."""
        try:
            reader = open_reader(self.database)
        except MissingError:
            return set()
        with contextlib.closing(reader) as connection:
            rows = connection.execute("SELECT thread FROM requests WHERE NOT warm_up AND output_tokens > 0").fetchall()
        return {row[0] for row in rows} & self.threads()

    def server(self) -> int | None:
        """The process id of Codex's background server, where there is one."""
        return self._pid("daemon.pid")

    def end(self) -> None:
        """End the background server and its updater, and delete what they copied."""
        try:
            wait_until(self._ended, lambda: f"left behind: {processes_with(str(self.folder))}")
        finally:
            for pid in processes_with(str(self.folder)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.codex_home)

    def _ended(self) -> bool:
        # The updater may start late. SIGTERM lets the server delete its socket, which is outside CODEX_HOME.
        for name in ("daemon.pid", "daemon-updater.pid"):
            pid = self._pid(name)
            if pid is not None and pid not in self.asked_to_end:
                self.asked_to_end.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        return not processes_with(str(self.folder)) and not any(map(is_alive, self.asked_to_end))

    def _pid(self, name: str) -> int | None:
        try:
            return int(json.loads((self.codex_home / "app-server-daemon" / name).read_bytes())["pid"])
        except (OSError, ValueError):
            return None


def is_alive(pid: int) -> bool:
    """Return True if a process, which need not be a child of this one, is running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(name="machine")
def _machine(tmp_path: Path, codex: str, backend: Backend, request: pytest.FixtureRequest) -> Iterator[Machine]:
    machine = Machine(tmp_path, codex, backend, account=f"acct-{re.sub(r'[^a-z0-9]+', '-', request.node.name)}")
    yield machine
    machine.end()


def take_turn(terminal: Terminal, prompt: str = "say ok") -> None:
    """Take one turn, in a session that starts or waits."""
    terminal.wait_for(READY)
    terminal.enter(prompt)
    terminal.wait_for("• ok")
    terminal.wait_for("Worked for")  # until then the turn has not ended


def test_a_session_is_recorded_and_leaves_no_server(machine: Machine) -> None:
    """Codex starts no background server under the tap, so plain Codex works afterwards with its own."""
    machine.turn(*TAP, "codex")
    first = machine.threads()
    assert (len(first), machine.recorded()) == (1, first)
    assert machine.server() is None

    machine.turn("codex")
    assert machine.server() is not None
    assert (len(machine.threads()), machine.recorded()) == (2, first)


def test_a_running_background_server_is_not_used(machine: Machine) -> None:
    """It bypasses the tap: the session works without it, and plain Codex continues to use it."""
    machine.turn("codex")
    server, before = machine.server(), machine.threads()
    assert server is not None
    assert machine.recorded() == set()

    machine.turn(*TAP, "codex")
    recorded = machine.threads() - before
    assert (len(recorded), machine.recorded()) == (1, recorded)

    machine.turn("codex")
    assert (len(machine.threads()), machine.recorded()) == (3, recorded)
    assert machine.server() == server

    shown = subprocess.run(
        [*TAP[:-1], "env"], env=machine.environment, capture_output=True, text=True, check=True, timeout=60
    )
    for output in (shown.stdout, shown.stderr):
        assert "background server is running" in output


def test_a_renamed_thread_while_codex_is_open(machine: Machine) -> None:
    """Its name is shown while Codex writes its database; the turn that made a title has a name of its own."""

    def titles() -> dict[str, str | None]:
        command = [*TAP[:-1], "threads", "--json"]
        shown = subprocess.run(
            command, env=machine.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return {each["thread"]: each["title"] for each in json.loads(shown.stdout)}

    with machine.terminal(*TAP, "codex") as terminal:
        take_turn(terminal)
        wait_until(lambda: "thread_title" in titles(), lambda: str(titles()))
        terminal.enter("/rename tidy up the shop")
        (thread,) = machine.threads()
        wait_until(lambda: titles().get(thread) == "tidy up the shop", lambda: str(titles()))
        terminal.enter("/quit")
        assert terminal.wait() == 0, terminal.screen()
    assert titles() == {thread: "tidy up the shop", "thread_title": None}


def test_a_session_is_sent_on(machine: Machine, postgres_server: PostgresServer, team_database: str) -> None:
    """With a shipper and a sender of metrics beside it, a session looks as before; its last turn reaches both."""
    with Receiver() as receiver:
        machine.environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            # The stand-in for Codex's backend is the upstream of everything else.
            "NO_PROXY": "127.0.0.1",
        }
        terminal = machine.turn(*TAP, "--otlp", "--ship", postgres_server.url(team_database), "codex")
        last = receiver.exports[-1]
    assert [point.number for point in last.points["gen_ai.client.operation.duration"].values()] == [1]
    assert "metrics go to" not in terminal.screen()
    assert machine.recorded() == machine.threads()
    shipped = "SELECT thread FROM codex_tap.requests WHERE warm_up = 0 AND output_tokens > 0"
    assert {row[0] for row in postgres_server.execute(shipped, team_database)} == machine.threads()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the shell that it is typed in")
def test_codex_typed_in_a_shell_under_the_tap(machine: Machine) -> None:
    """It is recorded like a Codex that is the command itself, and starts no background server."""
    with machine.terminal(*TAP, "bash", "--norc", "--noprofile", "-i") as terminal:
        terminal.press("PS1='shell> '\r")
        terminal.wait_for("shell> ")
        terminal.press("codex\r")
        take_turn(terminal)
        terminal.enter("/quit")
        terminal.wait_for("codex resume")
        terminal.press("exit 3\r")
        assert terminal.wait() == 3
    assert len(machine.threads()) == 1
    assert machine.recorded() == machine.threads()
    assert machine.server() is None


def quit_after_a_turn(terminal: Terminal) -> None:
    take_turn(terminal)
    terminal.enter("/quit")


def press_ctrl_c_twice(terminal: Terminal) -> None:
    terminal.press_until_ended("\x03\x03")


def press_ctrl_d(terminal: Terminal) -> None:
    terminal.press_until_ended("\x04")


ENDINGS = (quit_after_a_turn, press_ctrl_c_twice, press_ctrl_d)
SESSIONS = 6 if LONG else 3


# Codex prints this line, or does not, when a session ends before its first turn.
SOMETIMES = "Session ID: ID"


def test_sessions_end_like_plain_codex(machine: Machine) -> None:
    """The exit code, the terminal's modes and its lines are the same, except for lines that begin with our name."""
    plain = [end_of_session(machine, ending, "codex", "--no-daemon") for ending in ENDINGS]
    tapped = [end_of_session(machine, ENDINGS[number % len(ENDINGS)], *TAP, "codex") for number in range(SESSIONS)]
    assert [each[:2] for each in plain + tapped] == [(0, True)] * (len(ENDINGS) + SESSIONS)
    for number, (_, _, lines) in enumerate(tapped):
        assert [line for line in lines if line not in {*plain[number % len(ENDINGS)][2], SOMETIMES}] == []
    assert "codex resume ID" in tapped[0][2]
    assert len(machine.recorded()) == -(-SESSIONS // len(ENDINGS))  # one of the endings follows a turn


def end_of_session(machine: Machine, ending: Callable[[Terminal], None], *command: str) -> tuple[int, bool, list[str]]:
    """Return the exit code, whether the terminal's modes are unchanged, and the lines in it."""
    with machine.terminal(*command) as terminal:
        terminal.wait_for(READY)
        ending(terminal)
        return terminal.wait(), terminal.is_as_before, of_codex(terminal)


@pytest.mark.parametrize("words", [["--no-such-option"], ["resume", "--no-such-option"], ["exec", "--no-such-option"]])
def test_wrong_use_is_reported_by_codex(machine: Machine, words: list[str]) -> None:
    """The message and the exit code are Codex's own."""
    ends = []
    for before in ([], TAP):
        with machine.terminal(*before, "codex", *words) as terminal:
            ends.append((terminal.wait(), of_codex(terminal)))
    assert ends[0] == ends[1]
    assert ends[0][0] == 2


def is_ours(line: str) -> bool:
    """Return True if the line is codex-tap's own; mitmproxy's messages, which it passes on, are not."""
    return line.startswith("codex-tap: ") and not line.startswith("codex-tap: proxy: ")


def of_codex(terminal: Terminal) -> list[str]:
    """Return the output in the terminal, without the parts that differ between sessions and without the tap's lines."""
    lines = [line for line in terminal.lines() if not is_ours(line)]
    return [re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", line) for line in lines]


def test_keys_and_size_reach_codex(machine: Machine, backend: Backend) -> None:
    """Codex draws in the new size, and Ctrl-C ends the running turn but not the session."""
    backend.answer(Answer(events=[Pause(60)]), account=machine.account)
    with machine.terminal(*TAP, "codex") as terminal:
        terminal.wait_for(READY)
        for rows, columns in ((24, 80), (50, 160)):
            terminal.resize(rows, columns)
            wait_until(lambda: LAST_LINE in terminal.screen().splitlines()[-1], terminal.screen)
        terminal.enter("say something long")
        terminal.wait_for("esc to interrupt")
        terminal.press("\x03")
        terminal.wait_for("Conversation interrupted")
        backend.answer(Answer(), account=machine.account)
        terminal.enter("say ok")
        terminal.wait_for("• ok")
        terminal.enter("/quit")
        assert terminal.wait() == 0
        assert terminal.is_as_before
    assert len(machine.recorded()) == 1


EXECUTIONS = 24 if LONG else 10
TWO_AT_ONCE = """
for lane in 1 2; do
    for ((number = 0; number < $0; number += 2)); do
        codex exec --skip-git-repo-check "say ok" 2>/dev/null || echo "exit code $?"
    done &
done
wait
"""


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("bash") is None, reason="the shell that starts them")
def test_no_stray_line_of_many_executions(machine: Machine) -> None:
    """Their output is complete, and all lines of the tap begin with its name."""
    done = subprocess.run(
        [*TAP, "bash", "-c", TWO_AT_ONCE, str(EXECUTIONS)],
        cwd=machine.work,
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n" * EXECUTIONS)
    assert [line for line in done.stderr.splitlines() if not is_ours(line)] == []
    assert len(machine.recorded()) == EXECUTIONS
