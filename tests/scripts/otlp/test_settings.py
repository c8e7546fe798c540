"""The ``OTEL_*`` variables."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from scripts.otlp.settings import Settings, load_settings, service_environment
from scripts.support.errors import CommandError

SECRET = "made-up-password"
ENDPOINT, PROTOCOL = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Settings("http://localhost:4318", uses_grpc=False, interval_seconds=60)),
        ({ENDPOINT: ""}, Settings("http://localhost:4318", uses_grpc=False, interval_seconds=60)),
        (
            {ENDPOINT: f"https://ann:{SECRET}@otel.example/x?key={SECRET}", "OTEL_METRIC_EXPORT_INTERVAL": "1500"},
            Settings("https://otel.example", uses_grpc=False, interval_seconds=1.5),
        ),
        (
            {ENDPOINT: "http://all.example", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://[::1]:4319/v1/metrics"},
            Settings("http://[::1]:4319", uses_grpc=False, interval_seconds=60),
        ),
        ({PROTOCOL: "HTTP/Protobuf "}, Settings("http://localhost:4318", uses_grpc=False, interval_seconds=60)),
    ],
    ids=["defaults", "empty is unset", "no secret", "that for metrics first", "protocol"],
)
def test_settings(environ: dict[str, str], expected: Settings) -> None:
    """The endpoint is shown without its password, path and query."""
    assert load_settings(environ) == expected


@pytest.mark.parametrize("endpoint", ["", "collector:4317", "http://collector:4317"])
def test_grpc_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """It has a port of its own, and an endpoint without a scheme."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: sys)
    found = load_settings({PROTOCOL: "grpc", ENDPOINT: endpoint})
    assert found == Settings(
        "http://collector:4317" if endpoint else "http://localhost:4317", uses_grpc=True, interval_seconds=60
    )


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({ENDPOINT: f"ftp://{SECRET}@x"}, f"{ENDPOINT} is not the URL of a collector, such as http://localhost:4318"),
        ({ENDPOINT: f"http://x:{SECRET}"}, f"{ENDPOINT} is not the URL of a collector, such as http://localhost:4318"),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": SECRET},
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is not the URL of a collector, such as http://localhost:4318",
        ),
        (
            {PROTOCOL: "http/json"},
            f"{PROTOCOL} is not a protocol that codex-tap can send by; use http/protobuf or grpc",
        ),
        (
            {"OTEL_METRIC_EXPORT_INTERVAL": "soon"},
            "OTEL_METRIC_EXPORT_INTERVAL is not a number of milliseconds, such as 60000",
        ),
        (
            {"OTEL_METRIC_EXPORT_INTERVAL": "-1"},
            "OTEL_METRIC_EXPORT_INTERVAL is not a number of milliseconds, such as 60000",
        ),
        ({"OTEL_SDK_DISABLED": "True"}, "OTEL_SDK_DISABLED is set, so nothing would be sent; unset it"),
    ],
)
def test_wrong_values(environ: dict[str, str], error: str) -> None:
    """The message names the variable and says what to write, without its value."""
    with pytest.raises(CommandError) as caught:
        load_settings(environ)
    assert (str(caught.value), caught.value.exit_code) == (error, 2)


@pytest.mark.parametrize(
    ("environ", "package", "because"),
    [
        ({}, "opentelemetry-exporter-otlp-proto-http", ""),
        ({PROTOCOL: "grpc"}, "opentelemetry-exporter-otlp-proto-grpc", f", because {PROTOCOL} is grpc"),
    ],
    ids=["http", "grpc"],
)
def test_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], package: str, because: str
) -> None:
    """The message says how to get it to where codex-tap is."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "prefix", "/home/ann/.local/share/pipx/venvs/codex-tap")
    with pytest.raises(CommandError) as caught:
        load_settings(environ)
    advice = f'pipx inject codex-tap "{package}>=1.45,<2"'
    expected = f"codex-tap otlp needs the package {package}{because}. Install it:  {advice}"
    assert (str(caught.value), caught.value.exit_code) == (expected, 4)


def test_variables_of_the_service() -> None:
    """The service is started with all of them."""
    own = {ENDPOINT: "http://127.0.0.1:4318", "OTEL_SERVICE_NAME": "tap"}
    assert service_environment({**own, "HOME": "/home/ann", "OTHER_KEY": SECRET}) == own


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={SECRET}"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", f"api-key={SECRET}"),
        (ENDPOINT, f"https://ann:{SECRET}@otel.example"),
    ],
)
def test_a_password_is_not_stored(name: str, value: str) -> None:
    """The service would have to store it in its configuration."""
    with pytest.raises(CommandError) as caught:
        service_environment({name: value})
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"{name} has a password, which codex-tap does not store; "
        "send to a collector on this machine, or run codex-tap otlp yourself"
    )
