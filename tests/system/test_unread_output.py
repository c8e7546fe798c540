"""Traffic while the proxy's output is not read: a real `codex-tap proxy` and `run` with a full pipe or terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.demo.client import CodexClient
from scripts.demo.replies import Answer, WireWindow, limit_headers
from scripts.launch.certificates import ca_certificate
from store.database import open_reader
from store.files import certificate_folder
from store.settings import default_database
from tests.support.harness import free_port
from tests.support.launcher import GET, descendants, environment, launcher, python, read_line, started, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

# As much output for each response as a debugging script of the user's may have.
CHATTY = """
import logging
def responseheaders(flow):
    logging.getLogger(__name__).warning("x" * 20_000)
"""
TURNS = 30  # 600 kB: more than both pipes and a terminal hold, and than may wait


@pytest.fixture
def chatty(tmp_path: Path) -> list[str]:
    script = tmp_path / "chatty.py"
    script.write_text(CHATTY)
    return ["--set", "termlog_verbosity=warn", "-s", str(script)]


def behind(backend: Backend) -> dict[str, str]:
    """An environment with the stand-in as the upstream proxy."""
    return environment(HTTPS_PROXY=backend.proxy_url, CODEX_CA_CERTIFICATE=str(backend.ca_file))


def take_turns(backend: Backend, port: int, count: int) -> None:
    """Take turns, each with a figure of its own, through the proxy at a port."""
    ca_file = ca_certificate(certificate_folder())
    with CodexClient(f"http://127.0.0.1:{port}", [ca_file], token="sk-made-up-for-this", account_id="acct") as client:
        for used in range(1, count + 1):
            backend.answer(Answer(headers=limit_headers(WireWindow(used, 300, 4_000_000_000))))
            assert client.http_turn("say ok").messages("response.completed")


def figures() -> list[float]:
    with contextlib.closing(open_reader(default_database())) as connection:
        return [used for (used,) in connection.execute("SELECT used_5h_percent FROM snapshots ORDER BY id")]


@contextlib.contextmanager
def unread(kind: str) -> Iterator[tuple[int, int]]:
    """Open a pipe or a terminal; yield its end for reading and its end for writing."""
    reading, writing = os.pipe() if kind == "pipe" else os.openpty()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(end)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_the_output_of_the_proxy_is_not_read(backend: Backend, chatty: list[str], kind: str) -> None:
    """Traffic continues, SIGTERM ends the proxy, and all limits are recorded."""
    port = free_port()
    with (
        unread(kind) as (reading, writing),
        subprocess.Popen(
            launcher("proxy", chatty, port=port), env=behind(backend), stdin=subprocess.DEVNULL, stdout=writing
        ) as process,
    ):
        try:
            assert b"codex-tap: listening at" in os.read(reading, 1_000)
            take_turns(backend, port, TURNS)
            family = descendants(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            wait_until_gone(family)
        finally:
            process.kill()
    assert figures() == list(map(float, range(1, TURNS + 1)))


def test_dropped_lines_are_reported_to_a_later_reader(backend: Backend, chatty: list[str]) -> None:
    """A line among the others has their number."""
    port = free_port()
    with started(*launcher("proxy", chatty, port=port), environ=behind(backend)) as process:
        read_line(process, "codex-tap: listening at")
        take_turns(backend, port, 2 * TURNS)
        line = read_line(process, "codex-tap: ")
        assert line.endswith(" lines were dropped: the output was blocked")
        assert int(line.split()[1]) > 0


def test_a_stopped_launcher_does_not_stop_the_traffic(backend: Backend, chatty: list[str]) -> None:
    """Ctrl-Z stops the launcher, which reads the proxy's output, but not the proxy."""
    port = free_port()
    with started(*launcher("proxy", chatty, port=port), environ=behind(backend)) as process:
        read_line(process, "codex-tap: listening at")
        process.send_signal(signal.SIGSTOP)
        try:
            take_turns(backend, port, TURNS)
        finally:
            process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert len(figures()) == TURNS


def test_the_report_of_run_is_not_read(backend: Backend) -> None:
    """The report at the end is dropped; the exit code is the command's."""
    distrusting = GET.replace('os.environ["CODEX_CA_CERTIFICATE"]', "None")
    with unread("pipe") as (_, writing):
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        words = python(
            f"import sys; sys.stderr = None\ntry:\n    exec({distrusting!r})\nexcept OSError:\n    sys.exit(7)"
        )
        done = subprocess.run(
            launcher("run", [*words, "https://chatgpt.com/"]),
            env=behind(backend),
            stderr=writing,
            check=False,
            timeout=60,
        )
    assert done.returncode == 7
