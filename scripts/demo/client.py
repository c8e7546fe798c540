"""A small client that makes requests as Codex does, where Codex is not installed and for tests of unusual requests.

    with CodexClient(proxy_url, [ca_file], token="…", account_id="…") as client:
        client.websocket_turn("say ok")         # Codex's default transport; the next turn uses the same socket
        client.http_turn("say ok")              # POST; the response is server-sent events
        client.get("https://chatgpt.com/backend-api/wham/usage")

Its methods block, one at a time, and it keeps its connections until `close`. Several clients may run in threads.
"""

from __future__ import annotations

import json
import socket
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from scripts.demo.http_heads import Pairs, WireHeaders, wire_headers
from scripts.demo.transport import (
    ClientRequest,
    Http1Client,
    Http2Client,
    InterruptedTurnError,
    Origin,
    Reply,
    WebsocketConnection,
    Wire,
    tunnelled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["MODEL", "RESPONSES", "CodexClient", "InterruptedTurnError", "Pairs", "Reply"]

RESPONSES = "https://chatgpt.com/backend-api/codex/responses"
MODEL = "gpt-6.1-sol"
_VERSION = "0.169.0"

_WORKSPACE = {"/home/someone/project": {"associated_remote_urls": {"origin": "https://git.example/project.git"}}}
"""The part of Codex's turn metadata that describes the user's machine, which the tap must never store."""


class CodexClient:
    """Sends requests through a proxy.

    Headers that are given to a request replace Codex's of the same name; a name may be repeated, and bytes are sent
    unchanged. `host` is the `Host` header and `sni` the name in the TLS hello if they differ from the URL's.
    """

    def __init__(
        self,
        proxy_url: str,
        ca_files: Sequence[Path | str],
        *,
        token: str | None = None,
        account_id: str | None = None,
        http2: bool = False,
        thread_id: str | None = None,
        timeout: float = 30,
    ) -> None:
        """Prepare the client.

        Args:
            proxy_url: the URL of the proxy.
            ca_files: the only certificates that it trusts.
            token: for the `Authorization` header; None leaves the header out.
            account_id: for the `chatgpt-account-id` header; None leaves the header out.
            http2: offer HTTP/2, except for the websocket.
            thread_id: the id of its thread; None is a random one.
            timeout: seconds without a byte after which a request fails.
        """
        proxy = urlsplit(proxy_url)
        self._proxy = (proxy.hostname or "127.0.0.1", proxy.port or 80)
        self._ca_files = [str(path) for path in ca_files]
        self._token = token
        self._account_id = account_id
        self._protocols = ("h2", "http/1.1") if http2 else ("http/1.1",)
        self._thread_id = thread_id or str(uuid.uuid4())
        self._timeout = timeout
        self._connections: dict[Origin, Http1Client | Http2Client] = {}
        self._websockets: dict[str, WebsocketConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, as Codex does: without a websocket close frame."""
        for connection in [*self._connections.values(), *self._websockets.values()]:
            connection.wire.close()
        self._connections.clear()
        self._websockets.clear()

    def get(self, url: str, *, headers: Pairs = (), sni: str | None = None, host: str | None = None) -> Reply:
        """Send a GET request (`request`)."""
        return self.request("GET", url, headers=headers, sni=sni, host=host)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Pairs = (),
        body: bytes = b"",
        sni: str | None = None,
        host: str | None = None,
    ) -> Reply:
        """Send a request to `http://` or `https://`, with the token and the account as its only headers of Codex's.

        Raises:
            InterruptedTurnError: the response is interrupted.
        """
        return self._ask(method, url, _replaced(self._login(), headers), body, sni=sni, host=host)

    def http_turn(
        self,
        prompt: str,
        *,
        url: str = RESPONSES,
        headers: Pairs = (),
        model: str = MODEL,
        cancel: bool = False,
        sni: str | None = None,
        host: str | None = None,
    ) -> Reply:
        """Take a turn over POST. `cancel` resets the HTTP/2 stream at `response.completed`, as Codex does.

        Raises:
            InterruptedTurnError: the response is interrupted.
        """
        turn = self._turn(model, "turn")
        body = json.dumps({"model": model, "stream": True, "input": _input(prompt)}).encode()
        accepted = [(b"accept", b"text/event-stream"), (b"content-type", b"application/json")]
        return self._ask("POST", url, _replaced([*turn, *accepted], headers), body, sni=sni, host=host, cancel=cancel)

    def websocket_turn(
        self,
        prompt: str,
        *,
        url: str = RESPONSES,
        headers: Pairs = (),
        model: str = MODEL,
        generate: bool = True,
        deflate: bool = True,
        sni: str | None = None,
        host: str | None = None,
    ) -> Reply:
        """Take a turn over the websocket to `url`, which is opened if need be; without `generate` it is a warm-up.

        The status and headers are those of the upgrade. The reply to a refused upgrade has no events.

        Raises:
            InterruptedTurnError: the websocket ends before the turn.
        """
        kind = "turn" if generate else "prewarm"
        websocket = self._websockets.get(url)
        if websocket is None or not websocket.wire.is_open():
            wire = self._open(_origin(url, sni, ("http/1.1",)))
            sent = _replaced(self._turn(model, kind), headers)
            websocket = WebsocketConnection(wire, host or urlsplit(url).netloc, _target(url), sent, deflate=deflate)
            if websocket.upgrade.status != HTTPStatus.SWITCHING_PROTOCOLS:
                wire.close()
                return websocket.upgrade
            self._websockets[url] = websocket
        asked = {
            "type": "response.create",
            "model": model,
            "stream": True,
            "input": _input(prompt) if generate else [],
            "client_metadata": {"x-codex-turn-metadata": self._metadata(model, kind)},
        }
        return websocket.turn(asked if generate else {**asked, "generate": False})

    def _ask(
        self,
        method: str,
        url: str,
        headers: WireHeaders,
        body: bytes,
        *,
        sni: str | None,
        host: str | None,
        cancel: bool = False,
    ) -> Reply:
        origin = _origin(url, sni, self._protocols)
        connection = self._connections.get(origin)
        if connection is None or not connection.reusable():
            if connection is not None:
                connection.wire.close()
            wire = self._open(origin)
            connection = (Http2Client if wire.protocol == "h2" else Http1Client)(wire)
            self._connections[origin] = connection
        target = url if origin.scheme == "http" else _target(url)
        request = ClientRequest(method, host or urlsplit(url).netloc, target, headers, body)
        return connection.ask(request, cancel=cancel)

    def _open(self, origin: Origin) -> Wire:
        raw = socket.create_connection(self._proxy, self._timeout)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Wire(raw) if origin.scheme == "http" else tunnelled(raw, origin, self._ca_files)
        except BaseException:
            raw.close()
            raise

    def _login(self) -> WireHeaders:
        fields = [
            ("authorization", self._token and f"Bearer {self._token}"),
            ("chatgpt-account-id", self._account_id),
        ]
        return [(name.encode(), value.encode()) for name, value in fields if value is not None]

    def _turn(self, model: str, kind: str) -> WireHeaders:
        ours = {
            "originator": "codex_exec",
            "user-agent": f"codex_exec/{_VERSION}",
            "version": _VERSION,
            "session-id": self._thread_id,
            "thread-id": self._thread_id,
            "x-client-request-id": self._thread_id,
            "x-codex-routing-hint": f"model={model}",
            "x-codex-turn-metadata": self._metadata(model, kind),
        }
        return [*self._login(), *((name.encode(), value.encode()) for name, value in ours.items())]

    def _metadata(self, model: str, kind: str) -> str:
        return json.dumps(
            {
                "session_id": self._thread_id,
                "thread_id": self._thread_id,
                "turn_id": "" if kind == "prewarm" else str(uuid.uuid4()),
                "agent_name": "/root",
                "request_kind": kind,
                "model": model,
                "workspaces": _WORKSPACE,
            }
        )


def _input(prompt: str) -> list[dict[str, Any]]:
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}]


def _origin(url: str, sni: str | None, protocols: tuple[str, ...]) -> Origin:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, host, port, host if sni is None else sni, protocols)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _replaced(codex_headers: WireHeaders, given: Pairs) -> WireHeaders:
    """Return Codex's headers without those of a given name, then the given ones."""
    wire = wire_headers(given)
    names = {name for name, _ in wire}
    return [(name, value) for name, value in codex_headers if name not in names] + wire
