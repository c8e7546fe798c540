"""Bare mitmdump that streams, the reference: both directions pass through as they come, and nothing else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow


class Streaming:
    """Streams every request and answer, with the same two hooks that the tap needs for it."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Stream the request."""
        flow.request.stream = True

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream the answer; the upgrade of a websocket has no body."""
        if flow.response and flow.response.status_code != 101:
            flow.response.stream = True


addons = [Streaming()]
