"""The settings of ``codex-tap otlp``: the usual ``OTEL_*`` variables, most of which OpenTelemetry's SDK reads itself.

No message quotes a value: an endpoint may contain a password, and headers nearly always do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.packages import how_to_install, is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTTP, _GRPC = "http/protobuf", "grpc"
_PACKAGES = {_HTTP: "opentelemetry-exporter-otlp-proto-http", _GRPC: "opentelemetry-exporter-otlp-proto-grpc"}
_MODULES = {_HTTP: "opentelemetry.exporter.otlp.proto.http", _GRPC: "opentelemetry.exporter.otlp.proto.grpc"}
_VERSIONS = ">=1.45,<2"
_DEFAULT_ENDPOINTS = {_HTTP: "http://localhost:4318", _GRPC: "http://localhost:4317"}

_PREFIX = "OTEL_EXPORTER_OTLP_"
_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_INTERVAL = "60000"
_DISABLED = "OTEL_SDK_DISABLED"

_HEADERS = tuple(f"{_PREFIX}{signal}HEADERS" for signal in ("METRICS_", ""))


class Settings(NamedTuple):
    """What the variables say. ``endpoint`` is ``scheme://host:port`` without a password, for messages."""

    endpoint: str
    uses_grpc: bool
    interval_seconds: float


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables, and check that the packages for them are installed.

    Raises:
        CommandError: A variable has a value that cannot be used (exit code 2), or a package is missing (4).
    """
    if environ.get(_DISABLED, "").strip().lower() == "true":
        raise CommandError(f"{_DISABLED} is set, so nothing would be sent; unset it", WRONG_USE)
    protocol = _protocol(environ)
    return Settings(_endpoint(environ, protocol), protocol == _GRPC, _interval_seconds(environ))


def service_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the ``OTEL_*`` variables that the always-on service is started with; they are stored in its configuration.

    Raises:
        CommandError: One of them has a password, which is not stored (exit code 2).
    """
    for name in _HEADERS:
        if environ.get(name):
            raise CommandError(f"{name} has a password, which codex-tap does not store; {_ELSEWHERE}", WRONG_USE)
    name, url = _first_set(environ, "ENDPOINT")
    if urlsplit(url).username is not None:
        raise CommandError(f"{name} has a password, which codex-tap does not store; {_ELSEWHERE}", WRONG_USE)
    return {name: value for name, value in environ.items() if name.startswith("OTEL_")}


_ELSEWHERE = "send to a collector on this machine, or run codex-tap otlp yourself"


def _protocol(environ: Mapping[str, str]) -> str:
    """Return the protocol; the package of it is installed."""
    name, asked = _first_set(environ, "PROTOCOL")
    protocol = asked.strip().lower() or _HTTP
    if protocol not in _PACKAGES:
        raise CommandError(f"{name} is not a protocol that codex-tap can send by; use {_HTTP} or {_GRPC}", WRONG_USE)
    if not is_installed(_MODULES[protocol]):
        package = _PACKAGES[protocol]
        because = f", because {name} is {_GRPC}" if protocol == _GRPC else ""
        advice = how_to_install(f"{package}{_VERSIONS}")
        raise CommandError(f"codex-tap otlp needs the package {package}{because}. Install it:  {advice}", FAILED)
    return protocol


def _endpoint(environ: Mapping[str, str], protocol: str) -> str:
    name, url = _first_set(environ, "ENDPOINT")
    try:
        # gRPC also takes an endpoint without a scheme.
        parts = urlsplit(url if "://" in url or protocol == _HTTP else f"http://{url}") if url else None
        if parts is None:
            return _DEFAULT_ENDPOINTS[protocol]
        port = parts.port
    except ValueError:  # its message would quote the URL
        parts, port = None, None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(f"{name} is not the URL of a collector, such as http://localhost:4318", WRONG_USE)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def _interval_seconds(environ: Mapping[str, str]) -> float:
    try:
        milliseconds = float(environ.get(_INTERVAL) or _DEFAULT_INTERVAL)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise CommandError(f"{_INTERVAL} is not a number of milliseconds, such as {_DEFAULT_INTERVAL}", WRONG_USE)
    return milliseconds / 1000


def _first_set(environ: Mapping[str, str], setting: str) -> tuple[str, str]:
    """Return the variable of a setting and its value: that for metrics comes first, as in the SDK."""
    names = [f"{_PREFIX}METRICS_{setting}", f"{_PREFIX}{setting}"]
    name = next((name for name in names if environ.get(name)), names[-1])
    return name, environ.get(name, "")
