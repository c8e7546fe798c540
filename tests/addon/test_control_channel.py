"""The lifeline in a process of its own, whose stdin the test holds."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from addon import control_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]

PROXY = """
import sys, threading
from addon.control_channel import ControlChannel

ended = threading.Event()
line = ControlChannel(ended.set, patience=0.5)
line.start(("127.0.0.1", 40123))
print("watching", line.start(("127.0.0.1", 40123)), flush=True)
if sys.argv[1:] == ["exit"]:
    sys.exit(0)
ended.wait(20)
print("said to nobody, which must not fail" * 10_000, flush=True)
sys.exit(3 if ended.is_set() else 4)
"""
ENDED_BY_THE_LIFELINE = 3

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def python(
        program: str, *arguments: str, stdin: int = subprocess.PIPE, stderr: int | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        return process

    yield python
    for process in started:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()


def proxy_ready(start: Callable[..., subprocess.Popen[str]]) -> subprocess.Popen[str]:
    proxy = start(PROXY)
    assert proxy.stdout is not None
    assert proxy.stdout.readline() == "codex-tap ready 127.0.0.1:40123\n"
    assert proxy.stdout.readline() == "watching True\n"
    return proxy


def command_up(start: Callable[..., subprocess.Popen[str]], program: str) -> subprocess.Popen[str]:
    command = start(program)
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    return command


def say(proxy: subprocess.Popen[str], *lines: str) -> None:
    assert proxy.stdin is not None
    proxy.stdin.write("".join(f"{line}\n" for line in lines))
    proxy.stdin.flush()


def hang_up(proxy: subprocess.Popen[str], *, listening: bool = True) -> int:
    assert proxy.stdin is not None
    assert proxy.stdout is not None
    proxy.stdin.close()
    if listening:
        proxy.stdout.read()
    else:
        proxy.stdout.close()  # as a launcher that was killed
    return proxy.wait(20)


def test_end_of_file_ends_the_command_and_then_the_proxy(start: Callable[..., subprocess.Popen[str]]) -> None:
    """A killed launcher leaves neither its command nor its proxy running."""
    proxy, command = proxy_ready(start), command_up(start, SLEEPER)
    say(proxy, f"command {command.pid}")
    assert hang_up(proxy, listening=False) == ENDED_BY_THE_LIFELINE
    assert command.wait(20) != 0


@pytest.mark.parametrize("words", [("goodbye",), ("ended",), ("ended", "goodbye")])
def test_a_command_that_has_been_released_is_left_alone(
    start: Callable[..., subprocess.Popen[str]], words: tuple[str, ...]
) -> None:
    """After a goodbye, or after the command's end, its process id is not touched; the proxy ends."""
    proxy, other = proxy_ready(start), command_up(start, SLEEPER)
    say(proxy, f"command {other.pid}", *words)
    assert hang_up(proxy) == ENDED_BY_THE_LIFELINE
    assert other.poll() is None


def test_goodbye_ends_the_proxy_before_the_pipe_does(start: Callable[..., subprocess.Popen[str]]) -> None:
    """The word alone ends the proxy, as no signal can on Windows."""
    proxy = proxy_ready(start)
    say(proxy, "goodbye")
    assert proxy.stdout is not None
    assert proxy.stdout.read().startswith("said to nobody")
    assert proxy.wait(20) == ENDED_BY_THE_LIFELINE


@pytest.mark.skipif(sys.platform == "win32", reason="nothing can refuse to end there")
def test_a_command_that_will_not_end_does_not_keep_the_proxy(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    """The proxy waits for the command to end, for a limited time."""
    proxy, command = proxy_ready(start), command_up(start, STUBBORN)
    say(proxy, f"command {command.pid}")
    assert hang_up(proxy, listening=False) == ENDED_BY_THE_LIFELINE
    assert command.poll() is None


@pytest.mark.skipif(sys.platform == "win32", reason="there a command is ended, not asked")
def test_the_proxy_outlives_the_commands_cleanup(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """The command's cleanup after the request to end comes before the proxy's end."""
    last_words = tmp_path / "last words"
    program = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    time.sleep(0.2); pathlib.Path({str(last_words)!r}).write_text('said'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n" + SLEEPER
    )
    proxy, command = proxy_ready(start), command_up(start, program)
    say(proxy, f"command {command.pid}")
    assert proxy.stdin is not None
    proxy.stdin.close()
    command.wait(20)  # a process is there until its parent knows of its end
    assert last_words.read_text() == "said"
    assert proxy.wait(20) == ENDED_BY_THE_LIFELINE


def test_nonsense_on_the_line_is_passed_over(start: Callable[..., subprocess.Popen[str]]) -> None:
    """An unknown word and an invalid process id are ignored."""
    proxy = proxy_ready(start)
    say(proxy, "", "command", "command x", "what?", "goodbye")
    assert hang_up(proxy) == ENDED_BY_THE_LIFELINE


def test_a_proxy_can_exit_by_itself(start: Callable[..., subprocess.Popen[str]]) -> None:
    """The thread that reads stdin does not keep the interpreter from exiting."""
    proxy = start(PROXY, "exit")
    assert proxy.wait(20) == 0


def test_without_a_pipe_nothing_is_watched(start: Callable[..., subprocess.Popen[str]]) -> None:
    """A proxy whose stdin is a file goes on at the end of the file."""
    proxy = start(PROXY, stdin=subprocess.DEVNULL)
    assert proxy.stdout is not None
    assert proxy.stdout.readline() == "codex-tap ready 127.0.0.1:40123\n"
    time.sleep(0.3)
    assert proxy.poll() is None


def test_the_summary_comes_last(start: Callable[..., subprocess.Popen[str]]) -> None:
    """The summary is made at the very end, so that the latest counts are in it."""
    program = (
        "from addon.control_channel import ControlChannel; counts = ['{}'];"
        "ControlChannel(lambda: None).start(None, lambda: counts[-1]); print('said'); counts.append('{\"turns\": 1}')"
    )
    proxy = start(program)
    assert proxy.stdout is not None
    assert proxy.stdout.read().splitlines() == ["codex-tap ready", "said", 'codex-tap ended {"turns": 1}']


COUNTING = """
import sys
from addon.control_channel import ControlChannel

channel = ControlChannel(lambda: None)
channel.start(None, lambda: "the end")
for number in range(5_000):
    channel.report_counts(lambda: f"{number:>1000}")
sys.stderr.write("not blocked\\n")
sys.stdin.read()
"""
"""5 MB of counts: more than a pipe holds."""


def test_counts_that_are_not_read_do_not_block(start: Callable[..., subprocess.Popen[str]]) -> None:
    """The turns of a stopped launcher's proxy go on; later, the launcher reads the latest counts, then the last."""
    proxy = start(COUNTING, stderr=subprocess.PIPE)
    assert proxy.stdout is not None
    assert proxy.stderr is not None
    killer = threading.Timer(20, proxy.kill)
    killer.start()
    assert proxy.stderr.readline() == "not blocked\n"
    assert proxy.stdout.readline() == "codex-tap ready\n"
    while (line := proxy.stdout.readline()) and line != f"codex-tap counted {4_999:>1000}\n":
        assert line.startswith("codex-tap counted ")
    assert hang_up(proxy) == 0
    killer.cancel()


def test_the_summary_follows_the_counts(start: Callable[..., subprocess.Popen[str]]) -> None:
    """No counts are reported after the summary: they would replace it."""
    program = (
        "from addon.control_channel import ControlChannel; channel = ControlChannel(lambda: None);"
        "channel.start(None, lambda: 'the end'); [channel.report_counts(lambda: str(n)) for n in range(1_000)]"
    )
    proxy = start(program)
    assert proxy.stdout is not None
    assert proxy.stdout.read().splitlines()[-1] == "codex-tap ended the end"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (("127.0.0.1", 8080), "codex-tap ready 127.0.0.1:8080"),
        (("::1", 8080), "codex-tap ready [::1]:8080"),
        (None, "codex-tap ready"),
    ],
)
def test_the_ready_line(address: tuple[str, int] | None, line: str) -> None:
    """The ready line has the address as a URL needs it; without one it has the words alone."""
    assert control_channel.ready_line(address) == line
