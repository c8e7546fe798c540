"""An OpenTelemetry collector on loopback that decodes what it is sent."""

from __future__ import annotations

import gzip
import http.server
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from tests.support.harness import wait_until
from tests.support.http_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Attributes = tuple[tuple[str, Any], ...]


class Histogram(NamedTuple):
    """A point of a histogram: the number of values, and their sum."""

    number: int
    total: float


class Export(NamedTuple):
    """One request: its path, its headers with names in lower case, the resource, and each metric's unit and points."""

    path: str
    headers: Mapping[str, str]
    resource: Mapping[str, Any]
    units: Mapping[str, str]
    points: Mapping[str, Mapping[Attributes, Any]]

    def values(self, name: str, *by: str) -> dict[Any, Any]:
        """Return the values of a metric by the values of these attributes."""
        return {tuple(dict(key).get(each) for each in by): value for key, value in self.points.get(name, {}).items()}


class Receiver(LoopbackServer):
    """Decodes each request with OpenTelemetry's own messages; responses have the next of `statuses`, then 200."""

    def __init__(self, *statuses: int, port: int = 0) -> None:
        self.exports: list[Export] = []
        self.refused = 0
        waiting, receiver = list(statuses), self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = waiting.pop(0) if waiting else 200
                if status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.exports.append(_decoded(self.path, headers, body))
                else:
                    receiver.refused += 1
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler, port)
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def wait_for(self, number: int) -> Export:
        """Wait until so many requests have come, and return the last one."""
        wait_until(lambda: len(self.exports) >= number, lambda: f"{len(self.exports)} of {number} requests have come")
        return self.exports[-1]


def _decoded(path: str, headers: Mapping[str, str], body: bytes) -> Export:
    packed = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
    (resource,) = ExportMetricsServiceRequest.FromString(packed).resource_metrics
    metrics = [metric for scope in resource.scope_metrics for metric in scope.metrics]
    return Export(
        path,
        headers,
        dict(_attributes(resource.resource.attributes)),
        {metric.name: metric.unit for metric in metrics},
        {metric.name: dict(map(_point, _points(metric))) for metric in metrics},
    )


def _points(metric: Any) -> Any:
    return getattr(metric, metric.WhichOneof("data")).data_points


def _point(point: Any) -> tuple[Attributes, Any]:
    value = (
        Histogram(point.count, point.sum)
        if hasattr(point, "bucket_counts")
        else getattr(point, point.WhichOneof("value"))
    )
    return _attributes(point.attributes), value


def _attributes(found: Iterable[Any]) -> Attributes:
    return tuple(sorted((each.key, getattr(each.value, each.value.WhichOneof("value"))) for each in found))
