"""The client's protocols: CONNECT to a proxy, TLS, and HTTP/1.1, HTTP/2 or a websocket inside it; all of it blocks."""

from __future__ import annotations

import json
import re
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import h11
import wsproto
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError as Http2ProtocolError
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    TextMessage,
)
from wsproto.events import Event as WebsocketEvent
from wsproto.events import Request as WebsocketRequest
from wsproto.extensions import PerMessageDeflate

from scripts.demo.http_heads import read_head, wire_headers

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    from h2.events import Event as Http2Event

    from scripts.demo.http_heads import Pairs, WireHeaders

_CHUNK = 65536
_MAX_HEAD = 1 << 20
_SSE_END = re.compile(rb"\r?\n\r?\n")
_TURN_ENDS = frozenset({"response.completed", "response.failed", "error"})


@dataclass(frozen=True)
class Arrival:
    """One event of a turn: the message (bytes if it is not JSON) and its arrival in seconds after the request."""

    seconds: float
    message: Any


@dataclass
class Reply:
    """A response. `body` is as it was sent, compressed or not; `issuer` is None over plain HTTP."""

    http_version: str
    issuer: str | None
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    events: list[Arrival] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """Return the first value of the header, or None if it is missing."""
        return next((value for found, value in self.headers if found.lower() == name), None)

    def messages(self, kind: str) -> list[Any]:
        """Return the turn's messages of one type."""
        return [event.message for event in self.events if _kind(event.message) == kind]


class InterruptedTurnError(Exception):
    """The connection ended before the response did; `reply` is the part that arrived."""

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(f"the response was interrupted: {reason}")
        self.reply = reply


@dataclass(frozen=True)
class Origin:
    """The server of a connection: the target of CONNECT, and the name in the TLS hello ("" sends none)."""

    scheme: str
    host: str
    port: int
    sni: str
    protocols: tuple[str, ...]


@dataclass(frozen=True)
class ClientRequest:
    """One request: `target` is that of the request line, `host` that of `Host` or `:authority`."""

    method: str
    host: str
    target: str
    headers: WireHeaders
    body: bytes


@dataclass
class Wire:
    """A socket to the proxy, or through its tunnel; `protocol` is the result of ALPN."""

    raw: socket.socket
    issuer: str | None = None
    protocol: str | None = None

    def send(self, data: bytes | None) -> None:
        """Send all of the data."""
        self.raw.sendall(data or b"")

    def read(self) -> bytes:
        """Wait for data and return it; b"" at the end."""
        return self.raw.recv(_CHUNK)

    def close(self) -> None:
        """Close the socket; as Codex does, without the closing message of TLS."""
        self.raw.close()

    def is_open(self) -> bool:
        """Return True if this side has not closed the socket."""
        return self.raw.fileno() != -1


def tunnelled(raw: socket.socket, origin: Origin, ca_files: list[str]) -> Wire:
    """Open a tunnel with CONNECT, and TLS inside it.

    Raises:
        ConnectionError: the proxy refuses.
        ssl.SSLError: the TLS handshake fails.
    """
    authority = f"{origin.host}:{origin.port}"
    raw.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = read_head(raw)
    if not head:
        raise ConnectionError("the proxy ended the connection")
    if head.split()[1] != b"200":
        raise ConnectionError(f"the proxy refused: {head.decode('latin-1').splitlines()[0]}")
    secure = _tls_context(origin, ca_files).wrap_socket(raw, server_hostname=origin.sni or None)
    return Wire(secure, _issuer(secure), secure.selected_alpn_protocol())


def _tls_context(origin: Origin, ca_files: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = bool(origin.sni)
    for path in ca_files:
        context.load_verify_locations(path)
    context.set_alpn_protocols(list(origin.protocols))
    return context


def _issuer(secure: ssl.SSLSocket) -> str:
    """Return the common name of the issuer of the peer's certificate."""
    certificate: Any = secure.getpeercert()
    names = [value for parts in certificate["issuer"] for name, value in parts if name == "commonName"]
    return str(names[0])


@contextmanager
def _interruption(wire: Wire, reply: Reply) -> Iterator[None]:
    """Convert the errors that end the connection into an `InterruptedTurnError` with the reply so far."""
    try:
        yield
    except (OSError, h11.ProtocolError, Http2ProtocolError, wsproto.utilities.ProtocolError) as error:
        wire.close()
        raise InterruptedTurnError(reply, str(error) or type(error).__name__) from error


class Http1Client:
    """HTTP/1.1 with keep-alive."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    def reusable(self) -> bool:
        """Return True if another request can be sent on the connection."""
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
        return self._connection.our_state is h11.IDLE and self.wire.is_open()

    def ask(self, asked: ClientRequest, *, cancel: bool) -> Reply:
        """Send a request and return the complete response.

        Raises:
            InterruptedTurnError: the response is interrupted.
        """
        del cancel  # HTTP/1.1 has no stream to reset: the body is read to its end
        collector = _Collector(Reply("HTTP/1.1", self.wire.issuer))
        length = [(b"content-length", b"%d" % len(asked.body))] if asked.body else []
        headers = [(b"host", asked.host.encode()), *asked.headers, *length]
        with _interruption(self.wire, collector.reply):
            self._send(h11.Request(method=asked.method, target=asked.target, headers=headers))
            self._send(h11.Data(data=asked.body))
            self._send(h11.EndOfMessage())
            for event in self._events():
                if isinstance(event, h11.Response):
                    collector.head(event.status_code, event.headers)
                elif isinstance(event, h11.Data):
                    collector.body(bytes(event.data))
        return collector.reply

    def _send(self, event: h11.Event) -> None:
        self.wire.send(self._connection.send(event))

    def _events(self) -> Iterator[h11.Event]:
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(self.wire.read())
            elif isinstance(event, h11.EndOfMessage):
                return
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection ended before the response")
            elif isinstance(event, h11.Event):
                yield event


class Http2Client:
    """HTTP/2, one stream at a time."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        # Tests send headers that h2 would refuse.
        self._connection = H2Connection(H2Configuration(header_encoding=None, validate_outbound_headers=False))
        self._connection.initiate_connection()
        self._flush()

    def reusable(self) -> bool:
        """Return True if another request can be sent on the connection."""
        return self.wire.is_open()

    def ask(self, asked: ClientRequest, *, cancel: bool) -> Reply:
        """Send a request and return the complete response; with `cancel` only its part up to the end of the turn.

        Raises:
            InterruptedTurnError: the response is interrupted.
        """
        collector = _Collector(Reply("HTTP/2.0", self.wire.issuer))
        stream = self._connection.get_next_available_stream_id()
        head: Pairs = [
            (b":method", asked.method),
            (b":scheme", b"https"),
            (b":authority", asked.host),
            (b":path", asked.target),
        ]
        self._connection.send_headers(stream, [*wire_headers(head), *asked.headers], end_stream=not asked.body)
        unsent, ended = asked.body, False
        with _interruption(self.wire, collector.reply):
            while not ended:
                unsent = self._send_body(stream, unsent)
                ended = self._receive(stream, collector)
                if cancel and collector.completed and not ended:
                    self._connection.reset_stream(stream, ErrorCodes.CANCEL)
                    self._flush()
                    break
        return collector.reply

    def _send_body(self, stream: int, body: bytes) -> bytes:
        """Send as much as the peer's window allows; return the rest."""
        while body and (window := self._connection.local_flow_control_window(stream)) > 0:
            size = min(window, self._connection.max_outbound_frame_size)
            self._connection.send_data(stream, body[:size], end_stream=size >= len(body))
            body = body[size:]
        self._flush()
        return body

    def _receive(self, stream: int, collector: _Collector) -> bool:
        """Read data; return True if it ended the stream."""
        data = self.wire.read()
        if not data:
            raise ConnectionError("the connection ended")
        ended = False
        for event in self._connection.receive_data(data):
            ended = self._handle(event, stream, collector) or ended
        self._flush()
        return ended

    def _handle(self, event: Http2Event, stream: int, collector: _Collector) -> bool:
        match event:
            case ResponseReceived(stream_id=found) if found == stream:
                fields = [(name, value) for name, value in event.headers if not name.startswith(b":")]
                collector.head(int(dict(event.headers)[b":status"]), fields)
            case DataReceived():
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id == stream:
                    collector.body(event.data)
            case StreamReset(stream_id=found) if found == stream:
                raise ConnectionError(f"the stream was reset: {event.error_code}")
        return isinstance(event, StreamEnded) and event.stream_id == stream

    def _flush(self) -> None:
        self.wire.send(self._connection.data_to_send())


class WebsocketConnection:
    """A websocket, or only `upgrade`, the response, if the server refuses it."""

    def __init__(self, wire: Wire, host: str, target: str, headers: WireHeaders, *, deflate: bool) -> None:
        self.wire = wire
        self.upgrade = Reply("HTTP/1.1", wire.issuer)
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        extensions = [PerMessageDeflate()] if deflate else []
        request = WebsocketRequest(host=host, target=target, extensions=extensions, extra_headers=headers)
        self._incoming = self._events()
        with _interruption(wire, self.upgrade):
            wire.send(self._protocol.send(request))
            if not any(self._is_upgrade_complete(event) for event in self._incoming):
                raise ConnectionError("the connection ended before the response to the upgrade")

    def turn(self, asked: dict[str, Any]) -> Reply:
        """Send the message and collect the events up to the one that ends the turn."""
        reply = replace(self.upgrade, events=[])
        started = time.monotonic()
        with _interruption(self.wire, reply):
            self.wire.send(self._protocol.send(TextMessage(data=json.dumps(asked))))
            for message in self._messages():
                reply.events.append(Arrival(time.monotonic() - started, _parsed(message)))
                if _kind(reply.events[-1].message) in _TURN_ENDS:
                    return reply
            raise ConnectionError("the websocket was closed")

    def _is_upgrade_complete(self, event: WebsocketEvent) -> bool:
        """Add an event to the response to the upgrade; return True if it is the last one."""
        match event:
            case AcceptConnection():
                self.upgrade.status = 101
                # wsproto removes this header from the others.
                accepted = [("sec-websocket-extensions", extension.name) for extension in event.extensions]
                self.upgrade.headers = [*_text(event.extra_headers), *accepted]
                return True
            case RejectConnection():
                self.upgrade.status = event.status_code
                self.upgrade.headers = _text(event.headers)
                return not event.has_body
            case RejectData():
                self.upgrade.body += event.data
                return event.body_finished
        return False

    def _messages(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        for event in self._incoming:
            match event:
                case Ping():
                    self.wire.send(self._protocol.send(event.response()))
                case CloseConnection():
                    self.wire.send(self._protocol.send(event.response()))
                    return
                case Message():
                    parts.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
                    if event.message_finished:
                        yield b"".join(parts)
                        parts.clear()

    def _events(self) -> Iterator[WebsocketEvent]:
        while True:
            yield from self._protocol.events()
            data = self.wire.read()
            if not data:
                return
            self._protocol.receive_data(data)


class _Collector:
    """Builds a reply from its parts; splits server-sent events and notes when each arrived."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.completed = False
        self._started = time.monotonic()
        self._is_sse = False
        self._rest = b""

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.reply.status = status
        self.reply.headers = _text(headers)
        is_plain = self.reply.header("content-encoding") is None
        self._is_sse = is_plain and self.reply.header("content-type") == "text/event-stream"

    def body(self, data: bytes) -> None:
        self.reply.body += data
        if not self._is_sse:
            return
        *blocks, self._rest = _SSE_END.split(self._rest + data)
        for block in blocks:
            lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
            if lines:  # a block without data is a comment
                message = _parsed(b"\n".join(lines))
                self.reply.events.append(Arrival(time.monotonic() - self._started, message))
                self.completed = self.completed or _kind(message) in _TURN_ENDS


def _parsed(message: bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return message


def _kind(message: Any) -> str | None:
    return message.get("type") if isinstance(message, dict) else None


def _text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
