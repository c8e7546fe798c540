"""Child processes of the launcher, with small programs in place of the proxy and the sidecars."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.launch.child_process import ChildProcess
from scripts.launch.proxy_process import ProxyProcess
from scripts.launch.sidecar import AlertsProcess, PageProcess
from scripts.support.errors import LaunchError
from scripts.support.output_queue import STDERR, OutputQueue

if TYPE_CHECKING:
    from collections.abc import Callable

READY_THEN = "print('before'); print('ready at home', flush=True); "

# Each is ready once its handlers are in place.
POLITE = READY_THEN + "import sys; sys.stdin.read()"
DEAF_TO_STDIN = READY_THEN + "import time; time.sleep(600)"
DEAF_TO_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY_THEN + "time.sleep(600)"
)


class Program(ChildProcess):
    """A Python program, given as text."""

    name = "the program"
    ready_prefix = "ready"
    start_seconds = 20.0
    stop_seconds = 0.2
    max_lines = 2

    def __init__(self, program: str, echo: OutputQueue | None = None) -> None:
        super().__init__(["-c", program], dict(os.environ), echo=echo)

    def wait_until_ready(self) -> str | None:
        """Return the text behind the ready prefix, or None if the program has ended."""
        assert self._ready_or_exited.wait(self.start_seconds)
        return self._ready_text

    @property
    def lines(self) -> list[str]:
        """The stored output."""
        return list(self._lines)


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        pytest.param(POLITE, {0}, id="asked"),
        pytest.param(DEAF_TO_STDIN, {-15, 1}, id="terminated"),
        pytest.param(
            DEAF_TO_SIGTERM, {-9}, id="killed", marks=pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
        ),
    ],
)
def test_stopping_escalates(program: str, codes: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is asked, terminated and killed, in this order, until it has ended."""
    monkeypatch.setattr("scripts.launch.child_process._TERMINATE_SECONDS", 0.2)
    with Program(program) as process:
        assert process.wait_until_ready() == "at home"
        assert process.poll() is None
    assert process.poll() in codes


def test_output_after_the_ready_line_is_printed() -> None:
    """The output that precedes it is stored; without an echo the last lines of both are."""
    program = READY_THEN + "print('one'); print('two'); print('three')"
    printed: list[str] = []
    echo = OutputQueue(printed.append)
    with Program(program, echo) as process:
        assert process.wait() == 0
    assert echo.drain()
    assert (process.lines, printed) == (["before"], ["one\n", "two\n", "three\n"])
    with Program(program) as process:
        assert process.wait() == 0
    assert process.lines == ["two", "three"]


def test_the_end_before_the_ready_line_is_noticed() -> None:
    """The wait for the ready line ends."""
    with Program("print('no luck'); raise SystemExit(3)") as process:
        assert process.wait_until_ready() is None
        assert (process.wait(), process.lines) == (3, ["no luck"])


STARTS: list[tuple[Callable[[], object], str]] = [
    (lambda: ProxyProcess([], {}), "the proxy cannot be started: "),
    (lambda: PageProcess(None, {}), "the page cannot be started: "),
    (lambda: AlertsProcess(None, {}), "the watch for alerts cannot be started: "),
]


@pytest.mark.parametrize(("start", "begin"), STARTS, ids=[begin for _, begin in STARTS])
def test_a_program_that_cannot_be_started(
    start: Callable[[], object], begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", os.devnull)
    with pytest.raises(LaunchError, match=begin):
        start()


def test_a_sidecar_that_is_not_ready_names_its_last_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PageProcess, "command", ("no-such-command",))
    with PageProcess(None, dict(os.environ)) as page:
        page.announce()
    assert STDERR.drain()
    printed = capsys.readouterr().err
    assert printed.startswith("codex-tap: the page is not served: ")
    assert "no-such-command" in printed
