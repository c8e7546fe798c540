"""Metrics of a real proxy, as a collector decodes them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from scripts.demo.client import CodexClient
from scripts.demo.replies import Answer, WireWindow, limit_headers, token_counts
from scripts.launch.certificates import ca_certificate
from store.files import certificate_folder
from tests.support.command_line import CLI
from tests.support.harness import free_port
from tests.support.launcher import POSIX, read_line, started
from tests.support.otlp_receiver import Histogram, Receiver
from tests.system.test_unread_output import behind

if TYPE_CHECKING:
    from scripts.demo.backend import Backend


@POSIX
def test_a_proxy_sends_metrics_of_its_turns(backend: Backend) -> None:
    """The limits and the turns of `proxy --otlp` arrive; what came just before its end is in the last metrics."""
    backend.answer(
        Answer(
            headers=limit_headers(WireWindow(13, 300, 4_000_000_000), WireWindow(41, 10_080, 4_000_100_000)),
            tokens=token_counts(1_000, 800, 50, 20),
        )
    )
    with Receiver() as receiver:
        port = free_port()
        environ = {**behind(backend), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        command = [sys.executable, str(CLI), "proxy", "--otlp", "--port", str(port)]
        with started(*command, environ=environ, stderr=subprocess.PIPE) as process:
            assert process.stderr
            assert process.stderr.readline() == f"codex-tap: metrics go to {receiver.endpoint}\n"
            read_line(process, "codex-tap: listening at")
            ca_file = ca_certificate(certificate_folder())
            with CodexClient(
                f"http://127.0.0.1:{port}", [ca_file], token="sk-made-up-for-this", account_id="acct"
            ) as client:
                for _ in range(2):
                    assert client.http_turn("say ok").messages("response.completed")
            process.terminate()
            with process.stderr as errors:
                assert (process.wait(20), errors.read()) == (0, "")
        last = receiver.exports[-1]
    assert last.values("codex.limit.utilization", "codex.limit.window") == {("5h",): 0.13, ("7d",): 0.41}
    assert last.values("gen_ai.client.token.usage", "gen_ai.token.type") == {
        ("input",): Histogram(2, 2_000),
        ("output",): Histogram(2, 100),
    }
    assert [point.number for point in last.points["gen_ai.client.operation.duration"].values()] == [2]
    assert "sk-made-up-for-this" not in repr(receiver.exports)
