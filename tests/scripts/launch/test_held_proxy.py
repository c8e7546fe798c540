"""The proxy at a held socket: started again, and replaced by a tunnel, as a command of `run` sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from scripts.launch import holder
from scripts.launch.certificates import ca_certificate, ensure_authority
from scripts.launch.held_proxy import HeldProxy
from scripts.launch.proxy_options import UpstreamConfig, proxy_arguments, proxy_environ, proxy_options
from scripts.launch.proxy_process import ProxyProcess
from scripts.launch.running_proxies import ask, has_certificate
from scripts.support.errors import LaunchError
from store.files import certificate_folder
from tests.support.harness import wait_until
from tests.support.launcher import (
    POSIX,
    descendants,
    launcher,
    mitmdump_of,
    python,
    read_line,
    run,
    running_proxy,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.launch.held_proxy import Outcome

pytestmark = POSIX


class Held:
    """A proxy of this process, whose mitmdump has these further arguments."""

    def __init__(self, path: Path, *more: str, persists: bool = True) -> None:
        ensure_authority(certificate_folder())
        listener = holder.listen("127.0.0.1", 0)
        config = UpstreamConfig(None, None)
        options = proxy_options("127.0.0.1", listener.getsockname()[1], certificate_folder(), path, config)
        self.processes: list[ProxyProcess] = []
        self.notes: list[str] = []
        self.arguments = proxy_arguments(options, (), more)

        def start() -> ProxyProcess:
            self.processes.append(ProxyProcess(self.arguments, proxy_environ(os.environ), listener=listener))
            return self.processes[-1]

        self.proxy = HeldProxy(listener, start, persists=persists, note=self.notes.append, instance="abc")

    def certificate(self) -> bool:
        """Return True if mitmdump responds, or False if a tunnel is in its place."""
        answer = ask(self.proxy.address, 60)
        return has_certificate(answer, ca_certificate(certificate_folder()).read_bytes())

    def kill(self) -> None:
        """Kill mitmdump."""
        os.kill(self.processes[-1]._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def held(path: Path, *more: str, persists: bool = True) -> Iterator[Held]:
    found = Held(path, *more, persists=persists)
    try:
        yield found
    finally:
        found.proxy.stop()


def test_a_killed_mitmdump_is_started_again(path: Path) -> None:
    """A connection that comes meanwhile waits for it; the outcome tells of it, and its port is closed at the end."""
    with held(path) as found:
        address = found.proxy.address
        assert found.certificate()
        found.kill()
        assert found.certificate()
        assert len(found.processes) == 2
        outcome: Outcome = found.proxy.stop()
        assert (outcome.failures, outcome.restarts, outcome.tunnelled) == (["the proxy ended (signal 9)"], 1, 0)
        assert outcome.was_ready
        assert outcome.summaries, "the second one ended in order"
        assert found.notes[0].startswith("the proxy ended (signal 9); until it is started again, ")
        with pytest.raises(OSError, match="refused"):
            ask(address, 5)


def test_a_mitmdump_that_never_starts(path: Path) -> None:
    """Connections are passed through as soon as nobody can come in time; the reason is kept."""
    (certificate_folder()).mkdir(parents=True)
    ensure_authority(certificate_folder())
    (certificate_folder() / "config.yaml").write_text("no_such_option: [\n")
    with held(path) as found:
        assert not found.certificate()
        outcome = found.proxy.stop()
        assert outcome.failures[-1].startswith("the proxy did not start: ")
        assert not outcome.was_ready
        assert outcome.tunnelled == 0, "the probe goes nowhere"


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--no-such-option"], 1)])
def test_a_foreground_proxy_does_not_insist(path: Path, arguments: list[str], code: int) -> None:
    """One that only prints something, or is used wrongly, is not started again."""
    with held(path, *arguments, persists=False) as found:
        assert found.proxy.wait() == code
        assert len(found.processes) == 1
        with pytest.raises(LaunchError):
            found.proxy.first.wait_until_ready()


def test_an_orderly_end_is_final(path: Path) -> None:
    """Nothing is started any more, and the exit code is that of mitmdump."""
    with held(path, persists=False) as found:
        found.proxy.first.wait_until_ready()
        threading.Timer(0.1, found.proxy.ask_to_end).start()
        assert found.proxy.wait() == 0
        assert len(found.processes) == 1


# Whole programs

KILL_PROXY = """
import os, signal, socket, sys, time, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
def ask():
    with socket.create_connection((proxy.hostname, proxy.port), 60) as client:
        client.sendall(b"GET http://mitm.it/cert/pem HTTP/1.0\\r\\n\\r\\n")
        return client.recv(12).decode()
print(ask(), flush=True)
input()
print(ask(), flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print("ended", ask(), flush=True), sys.exit(0)))
time.sleep(60)
"""


def test_a_proxy_that_was_started_again_knows_the_command(path: Path) -> None:
    """If the launcher is killed after that, it serves on until the command has ended, and leaves nothing behind."""
    with started(*launcher("run", python(KILL_PROXY), database=path)) as process:
        assert process.stdin is not None
        assert read_line(process, "HTTP") == "HTTP/1.1 200"
        first = mitmdump_of(process.pid)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        process.stdin.write("\n")
        process.stdin.flush()
        assert read_line(process, "HTTP") == "HTTP/1.1 200"
        family = descendants(process.pid)
        process.kill()
        assert read_line(process, "ended") == "ended HTTP/1.1 200"
        wait_until(lambda: all(not _is_alive(pid) for pid in family), lambda: "left behind")


def test_a_foreground_proxy_starts_its_mitmdump_again() -> None:
    """The port is never closed, and the user is told."""
    with running_proxy() as (process, address):
        first = mitmdump_of(process.pid)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert ask(address, 60).headers[0].split()[1] == "200"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_command_that_ends_before_its_proxy_is_ready() -> None:
    """Nobody waits for the proxy, and nothing is told."""
    done = run(sys.executable, "-c", "exit(7)")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
