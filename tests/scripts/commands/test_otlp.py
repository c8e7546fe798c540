"""`codex-tap otlp`."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.otlp.program import sender_lock
from tests.support.command_line import CLI, invoke, started
from tests.support.databases import record
from tests.support.factories import turn
from tests.support.harness import free_port
from tests.support.launcher import POSIX
from tests.support.otlp_receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SECRET = "made-up-password"


@pytest.fixture(name="receiver")
def _receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as found:
        monkeypatch.setenv(ENDPOINT, found.endpoint)
        yield found


def test_once(receiver: Receiver, two: Path) -> None:
    """It sends the limits, and prints nothing."""
    done = started("otlp", "--once", "--db", two)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (export,) = receiver.exports
    assert len(export.points["codex.limit.utilization"]) == 6


def test_once_without_data(receiver: Receiver) -> None:
    """The exit code is 3, and nothing is sent."""
    result = invoke("otlp", "--once")
    assert (result.exit_code, receiver.exports) == (3, [])
    assert "Nothing seen yet" in result.stderr


def test_once_without_a_collector(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 4; the message has the address without its password, once."""
    port = free_port()
    monkeypatch.setenv(ENDPOINT, f"http://ann:{SECRET}@127.0.0.1:{port}/{SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    result = invoke("otlp", "--once", "--db", two)
    assert (result.exit_code, result.stdout) == (4, "")
    address = f"http://127.0.0.1:{port}"
    assert result.stderr == f"Error: metrics cannot be sent to {address}: no connection (connection refused)\n"


@pytest.mark.parametrize("arguments", [["otlp"], ["run", "--otlp", "codex"], ["proxy", "--otlp"]], ids=" ".join)
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """It says how to get the package, before anything is started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (4, "")
    package = "opentelemetry-exporter-otlp-proto-http"
    advice = f'"{sys.executable}" -m pip install "{package}>=1.45,<2"'
    assert result.stderr == f"Error: codex-tap otlp needs the package {package}. Install it:  {advice}\n"


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_until_it_is_stopped(receiver: Receiver, two: Path, number: signal.Signals) -> None:
    """It says where it sends to, and the last metrics have the turns until its end; the exit code is 0."""
    command = [sys.executable, str(CLI), "otlp", "--db", str(two)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        said = f"codex-tap: sending metrics to {receiver.endpoint} every 60 s; press Ctrl-C to stop\n"
        assert process.stderr.readline() == said
        receiver.wait_for(1)
        record(two, turn(at=time.time() + 1))
        process.send_signal(number)
        assert (process.wait(20), process.stderr.read()) == (0, "")
    (duration,) = receiver.exports[-1].points["gen_ai.client.operation.duration"].values()
    assert (len(receiver.exports), duration.number) == (2, 1)


def test_a_second_sender_is_refused(receiver: Receiver, two: Path) -> None:
    """It would send every turn twice."""
    with sender_lock(two):
        result = invoke("otlp", "--db", two)
    assert (result.exit_code, receiver.exports) == (4, [])
    assert result.stderr == f"Error: another codex-tap already sends the metrics of {two}\n"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_it_does_not_send_through_the_tap(
    receiver: Receiver, two: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In a shell whose traffic goes through the tap, it goes round it."""
    tap = f"http://127.0.0.1:{free_port()}"  # nothing listens there: what went through it would fail
    for each in ("HTTPS_PROXY", "CODEX_TAP_PROXY", name):
        monkeypatch.setenv(each, tap)
    assert started("otlp", "--once", "--db", two).returncode == 0
    assert len(receiver.exports) == 1


def test_run_with_a_running_proxy_refuses_metrics() -> None:
    """The database of the running proxy may be another one."""
    result = invoke("run", "--proxy", "127.0.0.1:8080", "--otlp", "codex")
    assert (result.exit_code, "--otlp" in result.stderr) == (2, True)


def test_run_sends_metrics(receiver: Receiver, two: Path) -> None:
    """Where they go is printed, and the last ones are sent when the command has ended."""
    script = (
        "import time; from pathlib import Path; from tests.support.factories import turn; "
        f"from tests.support.databases import record; record(Path({str(two)!r}), turn(at=time.time() + 1))"
    )
    done = started("run", "--otlp", "--own", "--db", two, sys.executable, "-c", script)
    assert re.fullmatch(rf"codex-tap: metrics go to {receiver.endpoint}\n", done.stderr), done.stderr
    assert done.returncode == 0
    assert "gen_ai.client.operation.duration" in receiver.exports[-1].points
