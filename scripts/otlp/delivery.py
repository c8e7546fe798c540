"""Sending metrics to a collector by OpenTelemetry's exporters, and why that failed, in words without a secret."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import requests
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExporter, MetricExportResult

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

    from scripts.otlp.settings import Settings


class Delivery:
    """Collects the metrics of a `reader` and sends them."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the exporter; nothing is sent yet."""
        # Its lines quote URLs, which may have a password; `send` returns what went wrong.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._session = _Session()
        self._exporter = _grpc_exporter() if settings.uses_grpc else _http_exporter(self._session)
        self._reader = InMemoryMetricReader(
            # As in the SDK's own reader: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE and the like.
            preferred_temporality=self._exporter._preferred_temporality,  # noqa: SLF001
            preferred_aggregation=self._exporter._preferred_aggregation,  # noqa: SLF001
        )

    @property
    def reader(self) -> MetricReader:
        """What a `MeterProvider` is given, so that its metrics are sent."""
        return self._reader

    def send(self) -> str | None:
        """Send the metrics as they are now, and return why that failed, or None.

        The exporter tries again for `OTEL_EXPORTER_OTLP_TIMEOUT` seconds (10) where that may help.
        """
        data = self._reader.get_metrics_data()
        if data is None:  # no metric has a value yet
            return None
        self._session.problem = None
        if self._exporter.export(data) is MetricExportResult.SUCCESS:
            return None
        return self._session.problem or "they were not delivered"

    def close(self) -> None:
        """Release the connection; what is being sent is not tried again."""
        self._exporter.shutdown()


class _Session(requests.Session):
    """A session of HTTP requests that remembers why the last one failed."""

    def __init__(self) -> None:
        super().__init__()
        self.problem: str | None = None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request."""
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            self.problem = _reason(error)
            raise
        self.problem = None if response.ok else f"HTTP status {response.status_code}"
        return response


_REASONS = (
    (requests.exceptions.ProxyError, "the proxy cannot be used"),
    (requests.exceptions.SSLError, "TLS failed"),
    (requests.exceptions.Timeout, "no response in time"),
    (requests.exceptions.ConnectionError, "no connection"),
)


def _reason(error: requests.RequestException) -> str:
    """Return what failed; the error's own text quotes the URL."""
    text = next((text for kind, text in _REASONS if isinstance(error, kind)), "the request cannot be sent")
    reason = _system_reason(error)
    return f"{text} ({reason.lower()})" if reason else text


def _system_reason(error: BaseException | None) -> str | None:
    """Return what the operating system reported, such as "Connection refused"."""
    while error is not None and not isinstance(error, ssl.SSLError):
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        causes = (error.__cause__, error.__context__, *error.args)
        error = next((each for each in causes if isinstance(each, BaseException)), None)
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else None


def _http_exporter(session: requests.Session) -> MetricExporter:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(session=session)


def _grpc_exporter() -> MetricExporter:
    import importlib

    module = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.metric_exporter")
    exporter = module.OTLPMetricExporter()
    assert isinstance(exporter, MetricExporter)
    return exporter
