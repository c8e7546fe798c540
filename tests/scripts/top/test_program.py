"""`codex-tap top` as a program in a pseudo terminal: the screen, its keys, and the terminal afterwards."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from store.turns_under_way import TurnUnderWay, write_turns
from tests.support.command_line import CLI, WINDOWS, invoke, started
from tests.support.databases import record
from tests.support.factories import BOB, AccountHistory, insert_history
from tests.support.harness import wait_until
from tests.support.readings import reading
from tests.support.usage_factories import turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.terminal import Terminal

pytestmark = pytest.mark.skipif(WINDOWS, reason="no pseudo terminals there")


@pytest.fixture
def shown(two: Path, tmp_path: Path) -> Iterator[Terminal]:
    """The program over two accounts, once it shows them."""
    with opened(tmp_path, two) as terminal:
        terminal.wait_for("q quit")
        yield terminal


def opened(folder: Path, database: Path, **environment: str) -> Terminal:
    from tests.support.terminal import Terminal

    variables = {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", "CODEX_HOME": str(folder), **environment}
    variables.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    return Terminal([sys.executable, str(CLI), "top", "--db", str(database)], variables, folder)


def size(terminal: Terminal, rows: int, columns: int) -> None:
    """Resize the terminal, and wait until the screen is drawn anew: an emulator moves what was there before."""
    terminal.resize(rows, columns)

    def is_drawn() -> bool:
        lines = terminal.screen().split("\n")
        return len(lines) == rows and lines[1].startswith("Accounts") and "q quit" in lines[-1]

    wait_until(is_drawn, lambda: f"not redrawn:\n{terminal.screen()}")


@pytest.mark.parametrize(("rows", "columns"), [(15, 60), (24, 80), (40, 120)])
def test_sizes(shown: Terminal, rows: int, columns: int) -> None:
    """The screen follows the terminal, and the most pressed account is the first row."""
    size(shown, rows, columns)
    lines = shown.screen().split("\n")
    assert len(lines) == rows
    assert lines[1] == "Accounts · by pressure"
    assert lines[2].startswith("bob@example.com")
    assert "use bob@example.com: 10 % of 5 h left" in lines[0]


def test_a_tiny_terminal(shown: Terminal) -> None:
    """Its part of the screen is shown, without a line that wraps."""
    shown.resize(5, 24)
    wait_until(
        lambda: shown.screen().split("\n")[1:3] == ["Accounts · by pressure ·", "bob@example…  5 h █████░"],
        lambda: f"not redrawn:\n{shown.screen()}",
    )


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("n", "Accounts · by name"),
        ("u", "Accounts · by used"),
        ("r", "Accounts · by reset"),
        ("rp", "Accounts · by pressure"),
        ("a", "Accounts · alice@example.com alone"),
        ("aa", "Accounts · bob@example.com alone"),
        ("aaa", "Accounts · by pressure"),
        ("?", "choose accounts, turns, use of today"),
    ],
)
def test_keys(shown: Terminal, keys: str, text: str) -> None:
    """A key changes what is shown at once."""
    shown.press(keys)
    shown.wait_for(text)
    if keys == "?":
        shown.press("x")
        shown.wait_for("Accounts · by pressure")


def test_scrolling(shown: Terminal) -> None:
    """Arrows and letters move the chosen pane; what is out of sight is counted."""
    size(shown, 9, 60)
    shown.wait_for("by pressure · 2 more below")
    shown.press("\x1b[B")
    shown.wait_for("1 more above, 1 more below")
    shown.press("jj")
    shown.wait_for("by pressure · 2 more above")
    shown.press("\x1b[H")
    shown.wait_for("by pressure · 2 more below")


@pytest.mark.parametrize("how", ["q", "\x03", "SIGTERM", "SIGINT"])
def test_the_terminal_is_put_back(shown: Terminal, how: str) -> None:
    """Echo, line mode, cursor and the main screen are as before, and nothing is printed there."""
    assert not shown.is_as_before
    if how.startswith("SIG"):
        shown.process.send_signal(getattr(signal, how))
    else:
        shown.press(how)
    assert shown.wait() == (128 + signal.SIGTERM if how == "SIGTERM" else 0)
    assert shown.is_as_before
    assert shown.lines() == []


def test_a_crash_puts_the_terminal_back(two: Path, tmp_path: Path) -> None:
    """The traceback is on the main screen, where it can be read."""
    from tests.support.terminal import Terminal

    program = (
        "import sys; sys.argv[0] = 'codex-tap'; import scripts.top.program as program; "
        "program.press = lambda *_: 1 / 0; from scripts.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "top", "--db", str(two)]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(CLI.parents[1])}
    with Terminal(command, environment, tmp_path) as terminal:
        terminal.wait_for("q quit")
        terminal.press("x")
        assert terminal.wait() == 1
        assert terminal.is_as_before
        assert "ZeroDivisionError: division by zero" in terminal.lines()


SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpid())
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    print("stopped", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, child)
    os.killpg(child, signal.SIGCONT)
"""
"""A shell with one job: the kernel stops a program on Ctrl-Z only where somebody could continue it."""


def test_it_stops_and_goes_on(two: Path, tmp_path: Path) -> None:
    """Ctrl-Z gives the terminal back; the screen is drawn again when the program is continued."""
    from tests.support.terminal import Terminal

    command = [sys.executable, "-c", SHELL, sys.executable, str(CLI), "top", "--db", str(two)]
    with Terminal(command, {**os.environ, "TERM": "xterm-256color"}, tmp_path) as terminal:
        for _ in range(2):
            terminal.wait_for("q quit")
            terminal.press("\x1a")
            terminal.wait_for("stopped")
            assert terminal.is_as_before
            terminal.press("\n")
            wait_until(lambda: not terminal.is_as_before, lambda: "the screen is not drawn again")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_as_before


def test_what_happens_is_shown(tmp_path: Path, path: Path) -> None:
    """A database that appears, a change of it, a turn under way and its end, a database that is deleted."""
    with opened(tmp_path, path) as terminal:
        terminal.wait_for(NOTHING_YET[:30])
        record(path, reading(13))
        terminal.wait_for("87 % left")
        record(path, reading(77), reading(5, who=BOB))
        terminal.wait_for("23 % left")
        terminal.wait_for("bob@example.com")
        now = time.time()
        write_turns(path, 99, [TurnUnderWay("acct-a", "user-a", "t-1", None, "model-1", None, now - 61, None)], now)
        terminal.wait_for("waiting")
        seconds = re.search(r"1:(\d\d)  waiting", terminal.screen())
        assert seconds
        wait_until(
            lambda: f"1:{int(seconds[1]) + 1:02}  waiting" in terminal.screen(), lambda: "the seconds do not move"
        )
        write_turns(path, 99, [], now)
        terminal.wait_for("Turns under way · none")
        path.unlink()
        terminal.wait_for(NOTHING_YET[:30])
        terminal.press("q")
        assert terminal.wait() == 0


def test_what_used_it_today(path: Path, tmp_path: Path) -> None:
    """Threads are listed by their names and tokens."""
    now = time.time()
    turns = [turn(now - 5, now - 4, 900, thread="0199aaaa-1"), turn(now - 3, now - 2, 100, thread="0199bbbb-2")]
    insert_history(path, AccountHistory([], turns))
    record(path, reading())
    assert invoke("threads", "name", "0199aaaa-1", "refactor-auth").exit_code == 0
    with opened(tmp_path, path) as terminal:
        terminal.wait_for("refactor-auth")
        terminal.press("t")
        terminal.wait_for("Used today · by tokens of 7 d")
        lines = [line for line in terminal.screen().splitlines() if line.endswith("tokens")]
        assert [line.split()[0] for line in lines] == ["refactor-auth", "0199bbbb"]


def test_no_colours(two: Path, tmp_path: Path) -> None:
    """NO_COLOR leaves bold and reverse, and no colour."""
    for environment, is_coloured in (({"NO_COLOR": "1"}, False), ({}, True)):
        with opened(tmp_path, two, **environment) as terminal:
            terminal.wait_for("q quit")
            assert (b"\x1b[31m" in terminal._seen or b"\x1b[32m" in terminal._seen) == is_coloured
            terminal.press("q")
            terminal.wait()


@pytest.mark.parametrize("variables", [{}, {"TERM": "dumb"}], ids=["a pipe", "a dumb terminal"])
def test_without_a_screen_it_prints_once(two: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    """All rows, and exit code 0."""
    if variables:
        with opened(tmp_path, two, **variables) as terminal:
            assert terminal.wait() == 0
            printed = "\n".join(terminal.lines())
    else:
        result = started("top", "--db", two)
        assert (result.returncode, result.stderr) == (0, "")
        printed = result.stdout
    assert "\x1b" not in printed
    assert "Accounts · by pressure" in printed
    assert "GPT-5.3-Codex-Spark" in printed
    assert "q quit" not in printed
