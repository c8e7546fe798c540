"""The proxy as a process: how it starts, what it reports, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from store.settings import default_database
from tests.support.launcher import (
    GET,
    POSIX,
    descendants,
    environment,
    launcher,
    python,
    run,
    running_proxy,
    wait_until_gone,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend


def test_a_proxy_that_cannot_start(tmp_path: Path) -> None:
    """The command is not started, and the message has the proxy's output."""
    done = run(*python("print('started')"), database=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("codex-tap: the proxy did not start: ")
    assert str(tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_warnings_of_the_proxy_are_printed_after_the_command(backend: Backend) -> None:
    """They do not disturb the command's terminal, and are not lost."""
    program = GET.replace('os.environ["CODEX_CA_CERTIFICATE"]', "None")
    environ = environment(HTTPS_PROXY=backend.proxy_url, CODEX_CA_CERTIFICATE=str(backend.ca_file))
    done = run(*python(program, "https://chatgpt.com/"), environ=environ)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("codex-tap: proxy: ")
    assert "does not trust the proxy's certificate" in last


@POSIX
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_foreground_proxy_ends_cleanly(sent: signal.Signals) -> None:
    """After Ctrl-C, SIGTERM or SIGHUP the exit code is 0 and no process is left."""
    with running_proxy() as (process, _):
        family = descendants(process.pid)
        process.send_signal(sent)
        assert process.wait(20) == 0
        wait_until_gone(family)
    assert default_database().exists()


@POSIX
def test_the_foreground_proxy_does_not_outlive_its_launcher() -> None:
    """When the launcher is killed, the port becomes free."""
    with running_proxy() as (process, _):
        family = descendants(process.pid)
        process.kill()
        wait_until_gone(family)


def test_a_port_in_use_is_an_error() -> None:
    """The message names the address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            launcher("proxy", [], port=port), env=environment(), capture_output=True, check=False, text=True, timeout=60
        )
    assert done.returncode == 4
    assert done.stderr.startswith(f"codex-tap: the proxy cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.endswith("; use another port with --port\n")
