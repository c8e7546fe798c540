"""The stand-in's protocols: an HTTP proxy, TLS inside its tunnels, and HTTP/1.1, HTTP/2 and websockets inside TLS.

Clients connect as to any HTTP proxy. `CONNECT host:port` succeeds for every host, and TLS starts on the same
connection, with a certificate for the host in the SNI; `GET http://…` is served directly. Each complete request is
passed to a handler as a `Responder`, through which the handler sends the response.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import h11
import wsproto
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from h2.events import Event as Http2Event

    from scripts.demo.certificates import Authority
    from scripts.demo.http_heads import WireHeaders

_CHUNK = 65536
_MAX_HEAD = 1 << 20  # a test may send a header far longer than h11's own 16 KiB
_HANDSHAKE_SECONDS = 10
_GOODBYE_SECONDS = 1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request as it arrived.

    method: `MESSAGE` for a message of the client on a websocket, whose upgrade is a `GET` of its own.
    host: the `Host` or `:authority` header, as sent.
    path: with the query.
    headers: names in lower case; the values of repeated names are joined with ", ".
    body: as sent, not decompressed.
    sni: the host in the TLS hello; None for plain HTTP or a hello without one.
    tunnel: the target of the CONNECT, `host:port`; None for plain HTTP.
    """

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    transport: Literal["h1", "h2", "ws"]
    http_version: str
    sni: str | None
    tunnel: str | None


@dataclass(frozen=True)
class Tunnel:
    """One CONNECT: its target, the SNI of the TLS handshake in it, and the error of that handshake, if any."""

    target: str
    sni: str | None
    failure: str | None


class Responder(Protocol):
    """A request, and its response: `start`, any number of `send`, then `finish`; or `reset`."""

    @property
    def request(self) -> Request:
        """The complete request."""

    async def start(self, status: int, headers: WireHeaders) -> None:
        """Send the head."""

    async def send(self, data: bytes) -> None:
        """Send a piece of the body."""

    async def finish(self) -> None:
        """End the response."""

    def reset(self) -> None:
        """Cut the connection, in the middle of the response or before it."""


Handler: TypeAlias = Callable[[Responder], Awaitable[None]]


@dataclass
class TcpConnection:
    """One TCP connection, and the tunnel that it carries."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tunnel: str | None = None
    sni: str | None = None

    async def read(self) -> bytes:
        """Return the data that has arrived; b"" at the end."""
        return await self.reader.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        """Send data; wait while the peer does not read."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        # Windows has two 16-bit fields in `struct linger`, the others two ints.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Server:
    """Accepts connections on one loopback port of the running event loop and serves them until `stop`."""

    def __init__(self, authority: Authority, handler: Handler, *, http2: bool) -> None:
        self._authority = authority
        self._handler = handler
        self._protocols = ["h2", "http/1.1"] if http2 else ["http/1.1"]
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()
        self._connections: set[asyncio.Task[None]] = set()
        self.tunnels: list[Tunnel] = []

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(TcpConnection(reader, writer))
        except (
            OSError,
            EOFError,
            h11.RemoteProtocolError,
            ProtocolError,
            wsproto.utilities.ProtocolError,
        ) as error:
            _logger.debug("connection ended: %r", error)
        except Exception:
            _logger.exception("the stand-in backend failed")
        else:
            await _close(writer)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, tcp: TcpConnection) -> None:
        target = await serve_http1(tcp, self._handler)
        if target is None:
            return
        protocol = await self._start_tls(tcp, target)
        if protocol == "h2":
            await Http2ServerConnection(tcp, self._handler).serve()
        else:
            await serve_http1(tcp, self._handler)

    async def _start_tls(self, tcp: TcpConnection, target: str) -> str | None:
        tcp.tunnel = target
        context = self._context(target.rpartition(":")[0].strip("[]"))
        try:
            await tcp.writer.start_tls(context, ssl_handshake_timeout=_HANDSHAKE_SECONDS)
        except (OSError, EOFError) as error:
            self.tunnels.append(Tunnel(target, None, str(error) or type(error).__name__))
            raise
        session: ssl.SSLObject = tcp.writer.get_extra_info("ssl_object")
        tcp.sni = self._names.get(session)
        self.tunnels.append(Tunnel(target, tcp.sni, None))
        return session.selected_alpn_protocol()

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = self._authority.server_context(host, self._protocols)
            context.sni_callback = self._choose_certificate
            self._contexts[host] = context
        return self._contexts[host]

    def _choose_certificate(self, session: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name is not None:
            self._names[session] = name
            session.context = self._context(name)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close the connection, and wait shortly for the peer's TLS close message, which some peers never send."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await writer.wait_closed()


async def serve_http1(tcp: TcpConnection, handler: Handler) -> str | None:
    """Serve HTTP/1.1 requests; return the target of a CONNECT, or None when the connection has ended."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
    while True:
        responder = await _read_http1(tcp, connection)
        if responder is None:
            return None
        if responder.request.method == "CONNECT":
            # Only the status line: HTTP/1.1 forbids a body, and h11 sends no framing for it.
            await tcp.write(connection.send(h11.Response(status_code=200, headers=[])) or b"")
            return responder.request.path
        await handler(responder)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return None
        connection.start_next_cycle()


async def _read_http1(tcp: TcpConnection, connection: h11.Connection) -> Http1Responder | None:
    """Return the next complete request, or None if there is none."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            await _invite_body(tcp, connection)
            connection.receive_data(await tcp.read())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Http1Responder(tcp, connection, head, bytes(body))
        else:
            return None


async def _invite_body(tcp: TcpConnection, connection: h11.Connection) -> None:
    if connection.they_are_waiting_for_100_continue:
        await tcp.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")


class Http1Responder:
    """A request over HTTP/1.1."""

    def __init__(self, tcp: TcpConnection, connection: h11.Connection, head: h11.Request, body: bytes) -> None:
        self._tcp = tcp
        self._connection = connection
        self._head = head
        headers = _joined(head.headers)
        self.request = Request(
            method=head.method.decode(),
            host=headers.get("host", ""),
            path=head.target.decode("latin-1"),
            headers=headers,
            body=body,
            transport="ws" if headers.get("upgrade", "").lower() == "websocket" else "h1",
            http_version=f"HTTP/{head.http_version.decode()}",
            sni=tcp.sni,
            tunnel=tcp.tunnel,
        )

    async def start(self, status: int, headers: WireHeaders) -> None:
        """Send the head."""
        await self._send(h11.Response(status_code=status, headers=headers))

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, as one chunk if the headers have no length."""
        await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """End the body."""
        await self._send(h11.EndOfMessage())

    async def upgrade(self, headers: WireHeaders) -> ServerWebsocket:
        """Respond with 101 and `headers`; accept permessage-deflate if the client offers it."""
        protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        protocol.initiate_upgrade_connection(list(self._head.headers), self._head.target.decode("latin-1"))
        extensions = [PerMessageDeflate()] if "sec-websocket-extensions" in self.request.headers else []
        await self._tcp.write(protocol.send(AcceptConnection(extensions=list(extensions), extra_headers=headers)))
        early, _ = self._connection.trailing_data
        return ServerWebsocket(self._tcp, protocol, self.request, early)

    def reset(self) -> None:
        """Cut the connection."""
        self._tcp.reset()

    async def _send(self, event: h11.Event) -> None:
        await self._tcp.write(self._connection.send(event) or b"")


class ServerWebsocket:
    """An accepted websocket, server side."""

    def __init__(self, tcp: TcpConnection, protocol: wsproto.WSConnection, upgrade: Request, early: bytes) -> None:
        self._tcp = tcp
        self._protocol = protocol
        self._upgrade = upgrade
        self._early = early

    async def messages(self) -> AsyncIterator[Request]:
        """Yield each complete message of the client as a `MESSAGE` request, until the websocket ends."""
        parts: list[bytes] = []
        data = self._early
        while True:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                if isinstance(event, Ping):
                    await self._tcp.write(self._protocol.send(event.response()))
                elif isinstance(event, CloseConnection):
                    await self._tcp.write(self._protocol.send(event.response()))
                    return
                elif isinstance(event, Message):
                    parts.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
                    if event.message_finished:
                        yield replace(self._upgrade, method="MESSAGE", body=b"".join(parts))
                        parts.clear()
            data = await self._tcp.read()
            if not data:
                return

    async def send(self, message: str | bytes) -> None:
        """Send a text or binary message."""
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        await self._tcp.write(self._protocol.send(event))

    def reset(self) -> None:
        """Cut the connection."""
        self._tcp.reset()


@dataclass
class _Stream:
    headers: WireHeaders
    body: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None


class Http2ServerConnection:
    """HTTP/2 on one connection; each stream has a task of its own."""

    def __init__(self, tcp: TcpConnection, handler: Handler) -> None:
        self._handler = handler
        self._streams: dict[int, _Stream] = {}
        self._window_opened = asyncio.Event()
        self.tcp = tcp
        self.connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))

    async def serve(self) -> None:
        """Serve until the peer ends the connection."""
        self.connection.initiate_connection()
        try:
            await self.flush()
            while data := await self.tcp.read():
                for event in self.connection.receive_data(data):
                    self._handle(event)
                await self.flush()
        finally:
            await self._cancel_streams()

    async def flush(self) -> None:
        """Send the data that h2 has prepared."""
        await self.tcp.write(self.connection.data_to_send())

    async def window(self, stream_id: int) -> int:
        """Wait until data may be sent on the stream; return how many bytes."""
        while (size := self.connection.local_flow_control_window(stream_id)) == 0:
            self._window_opened.clear()
            await self._window_opened.wait()
        return min(size, self.connection.max_outbound_frame_size)

    def _handle(self, event: Http2Event) -> None:
        match event:
            case RequestReceived():
                self._streams[event.stream_id] = _Stream(list(event.headers))
            case DataReceived() if event.stream_id in self._streams:
                self._streams[event.stream_id].body += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded() if event.stream_id in self._streams:
                stream = self._streams[event.stream_id]
                stream.task = asyncio.create_task(self._respond(event.stream_id, stream))
            case StreamReset() if event.stream_id in self._streams:
                self._cancel(self._streams.pop(event.stream_id))
            case WindowUpdated() | RemoteSettingsChanged():
                self._window_opened.set()
            case ConnectionTerminated():
                raise EOFError("the peer ended the HTTP/2 connection")

    async def _respond(self, stream_id: int, stream: _Stream) -> None:
        responder = Http2Responder(self, stream_id, stream.headers, bytes(stream.body))
        try:
            await self._handler(responder)
        except (OSError, ProtocolError) as error:
            _logger.debug("stream %d ended: %r", stream_id, error)
        except Exception:
            _logger.exception("the stand-in backend failed")
            responder.reset()
        finally:
            self._streams.pop(stream_id, None)

    @staticmethod
    def _cancel(stream: _Stream) -> None:
        if stream.task is not None:
            stream.task.cancel()

    async def _cancel_streams(self) -> None:
        streams = list(self._streams.values())
        for stream in streams:
            self._cancel(stream)
        await asyncio.gather(*(stream.task for stream in streams if stream.task), return_exceptions=True)


class Http2Responder:
    """A request on one HTTP/2 stream."""

    def __init__(self, server: Http2ServerConnection, stream_id: int, headers: WireHeaders, body: bytes) -> None:
        self._server = server
        self._id = stream_id
        found = _joined(headers)
        self.request = Request(
            method=found[":method"],
            host=found.get(":authority") or found.get("host", ""),
            path=found[":path"],
            headers={name: value for name, value in found.items() if not name.startswith(":")},
            body=body,
            transport="h2",
            http_version="HTTP/2.0",
            sni=server.tcp.sni,
            tunnel=server.tcp.tunnel,
        )

    async def start(self, status: int, headers: WireHeaders) -> None:
        """Send the head."""
        self._server.connection.send_headers(self._id, [(b":status", b"%d" % status), *headers])
        await self._server.flush()

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, in frames that fit into the peer's window."""
        while data:
            size = await self._server.window(self._id)
            self._server.connection.send_data(self._id, data[:size])
            await self._server.flush()
            data = data[size:]

    async def finish(self) -> None:
        """End the stream."""
        self._server.connection.end_stream(self._id)
        await self._server.flush()

    def reset(self) -> None:
        """Cut the connection, with every stream on it."""
        self._server.tcp.reset()


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers with names in lower case, and the values of repeated names joined."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in found.items()}
