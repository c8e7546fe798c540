"""A tap whose hooks are called as mitmproxy calls them, and the requests of Codex that it sees."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from mitmproxy.http import Headers
from mitmproxy.test import taddons, tflow, tutils
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from scripts.demo.codex import make_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mitmproxy.http import HTTPFlow

    from addon.tap import Tap


NOW = 1_795_243_200.0
TOKEN = make_token("acct", "user", expires_at=1_800_000_000)
PLUS = {
    "x-codex-primary-used-percent": "13",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1795252200",
    "x-codex-plan-type": "plus",
}


@contextmanager
def proxy(*addons: object) -> Iterator[taddons.context]:
    """Provide a proxy with these addons; close its event loop afterwards, which mitmproxy 11 does not do."""
    with taddons.context(*addons) as context:
        yield context
    context.master.event_loop.close()


class Line:
    """A tap that is the only addon of its proxy, with a database of its own."""

    def __init__(self, tap: Tap, context: taddons.context, database: Path) -> None:
        self.tap = tap
        self.context = context
        self.database = database

    def configure(self, **options: object) -> None:
        """Set options as a person would."""
        self.context.configure(self.tap, **options)

    def open(self, flow: HTTPFlow) -> HTTPFlow:
        """Show the tap a request."""
        self.tap.requestheaders(flow)
        return flow

    def respond(
        self,
        flow: HTTPFlow,
        fields: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        chunks: Sequence[bytes] = (),
    ) -> HTTPFlow:
        """Show the tap a response and its body in chunks, without the end of the body."""
        flow.response = tutils.tresp(
            status_code=status,
            headers=Headers([(name.encode(), value.encode()) for name, value in (fields or {}).items()]),
            timestamp_start=NOW,
        )
        self.tap.responseheaders(flow)
        for chunk in chunks:
            self.stream(flow, chunk)
        return flow

    def stream(self, flow: HTTPFlow, chunk: bytes) -> None:
        """Show the tap a chunk of the body; an empty one is the end."""
        assert flow.response
        shown = flow.response.stream(chunk) if callable(flow.response.stream) else chunk
        assert shown == chunk

    def complete(self, flow: HTTPFlow, fields: Mapping[str, str] | None = None, **response: Any) -> None:
        """Show the tap a request and its whole response."""
        self.open(flow)
        self.respond(flow, fields, **response)
        assert flow.response
        if callable(flow.response.stream):
            assert flow.response.stream(b"") == b""
        self.tap.response(flow)

    def say(self, flow: HTTPFlow, content: bytes, *, from_client: bool = False, at: float = NOW + 1) -> None:
        """Show the tap a message of a websocket."""
        assert flow.websocket
        flow.websocket.messages.append(WebSocketMessage(Opcode.TEXT, from_client, content, at))
        self.tap.websocket_message(flow)

    def rows(self, *columns: str, table: str = "snapshots") -> list[tuple[Any, ...]]:
        """Stop recording and return these columns of the recorded rows."""
        self.tap.done()
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY id").fetchall()  # noqa: S608 (our own columns)

    @property
    def holds_nothing(self) -> bool:
        """Return True if the tap holds no state of any flow."""
        return not self.tap._exchanges


def request(
    path: str = "/backend-api/codex/responses",
    *,
    method: bytes = b"POST",
    host: str = "chatgpt.com",
    named: str | None = "chatgpt.com",
    authority: str = "",
    sni: str | None = "chatgpt.com",
    token: str | None = TOKEN,
    **more: str,
) -> HTTPFlow:
    """Return a request of Codex; `named` is its Host header, `authority` the one of HTTP/2."""
    fields = {"host": named, "authorization": None if token is None else f"Bearer {token}"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    made = tutils.treq(
        host=host,
        port=443,
        scheme=b"https",
        method=method,
        path=path.encode(),
        authority=authority.encode(),
        headers=Headers([(name.encode(), value.encode()) for name, value in fields.items() if value is not None]),
    )
    flow = tflow.tflow(req=made)
    flow.client_conn.sni = sni
    return flow


def upgraded(line: Line, fields: Mapping[str, str] | None = None, **more: Any) -> HTTPFlow:
    """Return a flow of Codex that the tap saw become a websocket."""
    flow = request(method=b"GET", **more)
    line.respond(line.open(flow), fields, status=101)
    flow.websocket = tflow.twebsocket(messages=False)
    line.tap.response(flow)
    return flow
