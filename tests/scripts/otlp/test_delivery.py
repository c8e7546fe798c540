"""Sending to a collector."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from scripts.otlp.delivery import Delivery
from scripts.otlp.settings import load_settings
from tests.support.harness import Listener, free_port
from tests.support.otlp_receiver import Histogram, Receiver

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from scripts.demo.backend import Backend

SECRET = "made-up-password"


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.8")


def sent(monkeypatch: pytest.MonkeyPatch, endpoint: str, **environ: str) -> str | None:
    """Send one metric to an endpoint, and return the problem."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    delivery = Delivery(load_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}))
    provider = MeterProvider(metric_readers=[delivery.reader], shutdown_on_exit=False)
    provider.get_meter("test").create_histogram("sizes", "By").record(7, {"kind": "small"})
    try:
        return delivery.send()
    finally:
        delivery.close()
        provider.shutdown()


def test_nothing_to_send() -> None:
    """Without metrics no request is made."""
    delivery = Delivery(load_settings({}))
    provider = MeterProvider(metric_readers=[delivery.reader], shutdown_on_exit=False)
    assert delivery.send() is None
    delivery.close()
    provider.shutdown()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_metrics_arrive(monkeypatch: pytest.MonkeyPatch, compression: str) -> None:
    """With the headers and the compression of the variables."""
    named = {"OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}", "OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    with Receiver() as receiver:
        assert sent(monkeypatch, receiver.endpoint, **named) is None
        (export,) = receiver.exports
    assert (export.path, export.headers["api-key"], export.units) == ("/v1/metrics", SECRET, {"sizes": "By"})
    assert export.points["sizes"] == {(("kind", "small"),): Histogram(1, 7)}


def test_a_collector_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the protocol asks for."""
    with Receiver(503) as receiver:
        assert sent(monkeypatch, receiver.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="10") is None
    assert (receiver.refused, len(receiver.exports)) == (1, 1)


def _hang_up(client: socket.socket) -> None:
    client.close()


@pytest.fixture(name="endpoint")
def _endpoint(request: pytest.FixtureRequest, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "refused":
        yield f"http://ann:{SECRET}@127.0.0.1:{free_port()}/{SECRET}"
    elif request.param == "unknown host":
        yield f"http://ann:{SECRET}@no-such-host.invalid/"
    elif request.param == "untrusted":
        monkeypatch.setenv("HTTPS_PROXY", backend.proxy_url)
        yield f"https://ann:{SECRET}@otel.example"
    elif request.param == "hangs up":
        with closing(Listener(_hang_up)) as listener:
            yield f"http://127.0.0.1:{listener.port}/{SECRET}"
    else:
        with Receiver(int(request.param)) as receiver:
            yield receiver.endpoint.replace("//", f"//ann:{SECRET}@")


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("refused", "no connection (connection refused)"),
        ("unknown host", "no connection ("),
        ("untrusted", "TLS failed ("),
        ("hangs up", "no connection"),
        ("401", "HTTP status 401"),
        ("500", "HTTP status 500"),
    ],
    indirect=["endpoint"],
)
def test_problems(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    endpoint: str,
    problem: str,
) -> None:
    """The reason is told; neither it nor a log line quotes the URL."""
    found = sent(monkeypatch, endpoint, OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}")
    assert found is not None
    assert found.startswith(problem)
    assert SECRET not in found
    assert (caplog.text, capfd.readouterr()) == ("", ("", ""))
