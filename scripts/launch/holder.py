"""Holds a listening socket that a proxy program shares, and passes connections through unread while there is no proxy.

The socket is bound here, and lives as long as this process. The proxy adopts it (`take_over`), so that a proxy that
starts late, crashes or is missing never closes the port. A connection that the proxy does not accept in time is
accepted here and tunnelled untouched: `CONNECT`, and plain HTTP in the form that proxies get it.

This file imports the standard library alone, and nothing of codex-tap: the installed service runs a copy of it with
the base interpreter (``python -I -S holder.py CONFIG.json``), which serves on when codex-tap is deleted. The keys of
the configuration, a private JSON file:

    version         1
    host, port      the address to listen at
    command         the proxy program and its arguments; it gets the socket (`hand_over`) and ends when its stdin ends
    environ         its whole environment, or null for that of this process
    upstream        the URL of the user's own proxy, http://HOST:PORT or https://HOST:PORT, or null
    upstream_auth   its USER:PASSWORD, or null
    upstream_ca     a file of certificates (PEM) that an https:// upstream is checked against; null or absent: the
                    system's
    status          the path of the file with this process's state, JSON as well (`_Service.status`)
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from types import FrameType

WAIT_SECONDS = 3.0
"""How long a connection waits for the proxy."""

START_SECONDS = 8.0
"""How long a connection waits for a proxy that has just been started; Codex waits for 10 s."""

BACKLOG = 1024
"""How many connections may wait for the proxy, where the system allows that many."""

MAX_TUNNELS = 512
PROBED_HOST = "mitm.it"
"""The host that mitmproxy responds for itself; no request for it is passed through."""

INSTANCE_HEADER = "X-Codex-Tap"

_FAILED = 4
_SAMPLE_SECONDS = 0.005
_FULL_SECONDS = 0.2
_HEAD_SECONDS = 30.0
_SILENT_SECONDS = 1.0
_CONNECT_SECONDS = 30.0
_HALF_CLOSED_SECONDS = 300.0
_MAX_HEAD_BYTES = 65_536
_CHUNK_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_MAX_HANDOVER_BYTES = 1_000_000  # the password of an upstream proxy may be as long as a variable

_SECOND_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_SERVED_SECONDS = 60.0
_BIND_SECONDS = 20.0
_BIND_PAUSE = 0.2
_END_SECONDS = 12.0
_TERMINATE_SECONDS = 3.0
_STATUS_SECONDS = 1.0


# The socket on its way to another process


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; connections wait until somebody accepts them.

    Raises:
        OSError: the address is in use or cannot be listened at.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # without it, connections of an earlier process would keep the port for a minute
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def inherited(listener: socket.socket | None) -> Sequence[int]:
    """Return the file descriptors that a process has to inherit to get the socket by `hand_over`."""
    return () if listener is None or sys.platform == "win32" else (listener.fileno(),)


def hand_over(descriptor: int, pid: int, listener: socket.socket | None, values: Mapping[str, Any]) -> None:
    """Write the first line of a process's stdin: the listening socket, and values that others must not see.

    Args:
        descriptor: that of the pipe.
        pid: the process, which has inherited the descriptors of `inherited`.
        listener: the socket, or None for none.
        values: anything that JSON can hold.

    Raises:
        OSError: the process has ended.
    """
    message = dict(values)
    if listener is not None and sys.platform == "win32":
        message["share"] = base64.b64encode(listener.share(pid)).decode()
    elif listener is not None:
        message["descriptor"] = listener.fileno()
    os.write(descriptor, json.dumps(message).encode() + b"\n")


def take_over(descriptor: int = 0) -> tuple[socket.socket | None, dict[str, Any]]:
    """Read what `hand_over` wrote: the socket, or None, and the values; later lines are left in the pipe.

    Raises:
        ValueError: the line is not one of `hand_over`.
        OSError: the socket cannot be used.
    """
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _MAX_HANDOVER_BYTES:
        byte = os.read(descriptor, 1)
        if not byte:
            break
        line += byte
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("the first line on stdin is not an object")  # noqa: TRY004 - one kind for all bad lines
    inherited_descriptor, shared = values.pop("descriptor", None), values.pop("share", None)
    if shared is not None and sys.platform == "win32":
        return socket.fromshare(base64.b64decode(shared)), values
    if inherited_descriptor is None:
        return None, values
    listener = socket.socket(fileno=inherited_descriptor)
    listener.set_inheritable(False)
    return listener, values


# The tunnel


class Upstream(NamedTuple):
    """The user's own proxy: its URL, its ``user:password``, and a file of certificates that it is checked against."""

    url: str
    auth: str | None = None
    ca_file: str | None = None


class _RefusedError(Exception):
    """A request that is not passed through: a status, and text for the client."""

    def __init__(self, status: str, text: str = "", headers: str = "") -> None:
        super().__init__(status)
        body = f"codex-tap: {text or status}\n".encode()
        self.response = (
            f"HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )


class _Request(NamedTuple):
    """The head of a proxy request.

    ``host`` and ``port`` are the destination; ``target`` and ``headers`` are those to send there. ``headers`` have no
    field that is meant for this proxy alone.
    """

    method: str
    host: str
    port: int
    target: str
    path: str
    version: str
    headers: Sequence[str]

    @property
    def is_connect(self) -> bool:
        return self.method == "CONNECT"

    def head(self, target: str, *more: str) -> bytes:
        """Return the head of a plain request, which ends the connection: the next one may be for another server."""
        lines = [f"{self.method} {target} {self.version}", *self.headers, *more]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Tunnels:
    """Passes connections through untouched, and counts them.

    Connections are served by an event loop in a thread of its own, which starts with the first one: the import of
    asyncio would delay every start of codex-tap.
    """

    def __init__(
        self, own: tuple[Any, ...], upstream: Upstream | None = None, *, instance: str = "", most: int = MAX_TUNNELS
    ) -> None:
        """Prepare the tunnels.

        Args:
            own: the address that the socket listens at; nothing is passed through to it.
            upstream: the proxy that everything goes through; None is a direct connection.
            instance: text that tells a client that it has found this process, in the header `INSTANCE_HEADER`.
            most: how many connections are open at most.
        """
        self._own = own
        self._upstream = upstream
        self._instance = instance
        self._most = most
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # With what serves them: the event loop itself refers to a task that waits weakly.
        self._clients: dict[socket.socket, Future[None]] = {}
        self._silent: dict[socket.socket, float] = {}  # oldest first, with the time at which they were accepted
        self._lock = threading.Lock()
        self.tunnelled = 0
        self.first_at: float | None = None
        self.last_at: float | None = None

    @property
    def open(self) -> int:
        """Return the number of connections that are open."""
        return len(self._clients)

    @property
    def are_full(self) -> bool:
        """Return True if there are as many connections as are allowed."""
        return self.open >= self._most

    def serve(self, client: socket.socket) -> None:
        """Serve an accepted connection; returns at once."""
        import asyncio

        loop = self._running_loop()
        with self._lock:
            self._silent[client] = time.monotonic()
            self._clients[client] = asyncio.run_coroutine_threadsafe(self._serve(client), loop)

    def drop_silent(self) -> bool:
        """Close the oldest connection that has not sent its request; return False if none is older than a second.

        Whoever uses a proxy sends the request at once.
        """
        with self._lock:
            client, since = next(iter(self._silent.items()), (None, 0.0))
            if client is None or time.monotonic() - since < _SILENT_SECONDS:
                return False
            del self._silent[client]
            del self._clients[client]
        with contextlib.suppress(OSError):  # it has ended
            client.shutdown(socket.SHUT_RDWR)  # its service closes it
        return True

    def close(self) -> None:
        """Close all connections."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(loop.stop)
        thread.join(_TERMINATE_SECONDS)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio
        import logging

        if self._loop is None:
            # Both report failures of connections on stderr, which may be the terminal of the user's command.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(lambda _loop, _context: None)
            self._loop.set_default_executor(_daemon_threads())
            self._thread = threading.Thread(target=self._run, args=[self._loop], name="tunnels", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        _leave_signals_to_main_thread()
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1))
            loop.run_until_complete(asyncio.sleep(0))  # their connections are closed in the round after
        except TimeoutError:
            pass
        finally:
            loop.close()
            for client in list(self._clients):  # those whose service had not begun
                self._forget(client)

    async def _serve(self, client: socket.socket) -> None:
        import asyncio

        try:
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client, limit=_MAX_HEAD_BYTES)
        except (OSError, ValueError):
            self._forget(client)
            return
        try:
            _keep_alive(writer)
            request = await _read_request(reader)
            self._note_request(client)
            if request is not None:
                await self._pass_through(request, reader, writer)
        except _RefusedError as refusal:
            await _refuse(reader, writer, refusal)
        except Exception:  # noqa: BLE001 - one connection must not harm the others
            writer.transport.abort()
        finally:
            writer.close()
            self._discard(client)

    def _forget(self, client: socket.socket) -> None:
        client.close()
        self._discard(client)

    def _discard(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.pop(client, None)
            self._silent.pop(client, None)

    def _note_request(self, client: socket.socket) -> None:
        with self._lock:
            self._silent.pop(client, None)

    async def _pass_through(
        self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.host.lower().rstrip(".") == PROBED_HOST:
            raise _RefusedError(
                "503 Service Unavailable",
                "the proxy is not there; connections are passed through unread",
                f"{INSTANCE_HEADER}: {self._instance}\r\n" if self._instance else "",
            )
        server_reader, server_writer = await self._connect(request)
        try:
            self._count()
            if request.is_connect:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _exchange(reader, writer, server_reader, server_writer)
        finally:
            server_writer.close()

    def _count(self) -> None:
        self.tunnelled += 1
        self.last_at = time.time()
        self.first_at = self.first_at or self.last_at

    async def _connect(self, request: _Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection that leads to the destination, with the head of a plain request written to it."""
        import asyncio

        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                if self._upstream is None:
                    reader, writer = await self._open(request.host, request.port)
                    if not request.is_connect:
                        writer.write(request.head(request.path))
                    return reader, writer
                return await self._connect_by_upstream(request, self._upstream)
        except TimeoutError:
            raise _RefusedError("504 Gateway Timeout", "the server does not respond") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise _RefusedError("502 Bad Gateway", f"no connection: {reason}") from None

    async def _connect_by_upstream(
        self, request: _Request, upstream: Upstream
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as mitmproxy's upstream mode does: `CONNECT`, but plain requests in the form for proxies."""
        parts = urlsplit(upstream.url)
        is_tls = parts.scheme == "https"
        context = _tls_context(upstream.ca_file) if is_tls else None
        reader, writer = await self._open(parts.hostname or "", parts.port or (443 if is_tls else 80), ssl=context)
        credentials = []
        if upstream.auth:
            credentials = [f"Proxy-Authorization: Basic {base64.b64encode(upstream.auth.encode()).decode()}"]
        if not request.is_connect:
            writer.write(request.head(request.target, *credentials))
            return reader, writer
        try:
            await _ask_for_tunnel(reader, writer, request.target, credentials)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _open(self, host: str, port: int, **named: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        import asyncio

        if named.get("ssl") is None:
            named = {"happy_eyeballs_delay": 0.25}
        reader, writer = await asyncio.open_connection(host, port, limit=_MAX_HEAD_BYTES, **named)
        if self._is_own(writer):
            writer.transport.abort()
            raise _RefusedError("508 Loop Detected", "the destination is this proxy itself")
        _keep_alive(writer)
        return reader, writer

    def _is_own(self, writer: asyncio.StreamWriter) -> bool:
        """Return True if a connection leads to the socket that is held here."""
        import ipaddress

        peer = writer.get_extra_info("peername")
        if peer is None or peer[1] != self._own[1]:  # None: it has ended already
            return False
        address, own = _plain_address(peer[0]), _plain_address(self._own[0])
        if not ipaddress.ip_address(own).is_unspecified:
            return address == own
        here = writer.get_extra_info("sockname")
        return ipaddress.ip_address(address).is_loopback or address == _plain_address(here[0])


def _plain_address(address: str) -> str:
    """Return the one form of an address: without the name of a network card, and IPv4 inside IPv6 as IPv4."""
    import ipaddress

    plain = ipaddress.ip_address(address.partition("%")[0])
    inside = plain.ipv4_mapped if isinstance(plain, ipaddress.IPv6Address) else None
    return str(inside or plain)


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Return a head with its empty line, or None if the connection ended before it."""
    import asyncio

    try:
        async with asyncio.timeout(_HEAD_SECONDS):
            return await reader.readuntil(_HEAD_END)
    except (asyncio.IncompleteReadError, TimeoutError):
        return None
    except asyncio.LimitOverrunError:
        raise _RefusedError("431 Request Header Fields Too Large") from None


async def _read_request(reader: asyncio.StreamReader) -> _Request | None:
    """Return the request, or None if none came.

    Raises:
        _RefusedError: it is not a request for a proxy.
    """
    head = await _read_head(reader)
    return None if head is None else _parse_request(head)


def _parse_request(head: bytes) -> _Request:
    first, *fields = head.removesuffix(_HEAD_END).decode("latin-1").split("\r\n")
    if any(character in head.replace(b"\r\n", b"") for character in (b"\r", b"\n", b"\0")):
        # Another server may take it for the end of a line, and read a field there that is not passed on as one.
        raise _RefusedError("400 Bad Request", "a line has a control character in it")
    if any(field.startswith((" ", "\t")) for field in fields):
        # The rest of the field before it, which may be one that is not passed on.
        raise _RefusedError("400 Bad Request", "a header field goes on in another line")
    if not all(":" in field for field in fields):
        raise _RefusedError("400 Bad Request", "a header field has no colon")
    words = first.split(" ")
    if len(words) != 3 or not words[0].isalpha() or not words[2].startswith("HTTP/1."):
        raise _RefusedError("400 Bad Request", "this is an HTTP proxy")
    method, target, version = words
    try:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _RefusedError("400 Bad Request", "the destination is not valid") from None
    if method == "CONNECT":
        if not host or not port or parts.path or parts.query:
            raise _RefusedError("400 Bad Request", "CONNECT needs HOST:PORT")
        return _Request(method, host, port, target, "", version, ())
    if parts.scheme != "http" or not host:
        raise _RefusedError("400 Bad Request", "a request to a proxy needs an http:// URL")
    path = target.partition("#")[0][len("http://") + len(parts.netloc) :]
    path = path if path.startswith("/") else f"/{path}"
    return _Request(method, host, port or 80, target, path, version, _end_to_end(fields))


def _end_to_end(fields: Sequence[str]) -> list[str]:
    """Return the header fields to pass on: without those for a proxy, and with the end of the connection.

    An upgrade, to a websocket for example, keeps its ``Connection`` field: no further request follows it.
    """
    names = [field.partition(":")[0].strip().lower() for field in fields]
    dropped = {"proxy-authorization", "proxy-connection"}
    if "upgrade" in names:
        return [field for name, field in zip(names, fields, strict=True) if name not in dropped]
    dropped |= {"connection", "keep-alive"}
    kept = [field for name, field in zip(names, fields, strict=True) if name not in dropped]
    return [*kept, "Connection: close"]


async def _ask_for_tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, credentials: Sequence[str]
) -> None:
    """Have an upstream proxy open a tunnel.

    Raises:
        _RefusedError: it does not.
    """
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *credentials, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    try:
        head = await _read_head(reader) or b""
    except _RefusedError:  # its head has no end
        head = b""
    _, code, *_ = [*head.split(b"\r\n", 1)[0].split(b" "), b""]
    if not (code.startswith(b"2") and code.isdigit()):
        reason = code.decode() if code.isdigit() else "no response"
        raise _RefusedError("502 Bad Gateway", f"the upstream proxy refused the connection: {reason}")


async def _exchange(
    client: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    """Pass bytes both ways until both sides have ended, or one has failed.

    There is no limit for silence, except when one side has ended: a client that is gone looks like that, too.
    """
    import asyncio

    moved = [time.monotonic()]
    ways = {
        asyncio.ensure_future(_pump(client, to_server, moved)),
        asyncio.ensure_future(_pump(server, to_client, moved)),
    }
    try:
        done, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        while rest and all(each.result() for each in done):
            silence = time.monotonic() - moved[0]
            if silence > _HALF_CLOSED_SECONDS:
                break
            more, rest = await asyncio.wait(rest, timeout=_HALF_CLOSED_SECONDS - silence + 1)
            done |= more
        is_whole = not rest and all(each.result() for each in done)
    except BaseException:
        is_whole = False
        raise
    finally:
        if not is_whole:
            to_client.transport.abort()
            to_server.transport.abort()
        for way in ways:
            way.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: list[float]) -> bool:
    """Pass bytes on until their end, and the end too; return False if the connection failed."""
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
            moved[0] = time.monotonic()
        if writer.can_write_eof():  # TLS has no such end
            writer.write_eof()
    except (OSError, RuntimeError):
        return False
    return True


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refusal: _RefusedError) -> None:
    """Send a refusal, and read what the client still sends: it would be told of a reset instead of the response."""
    import asyncio

    with contextlib.suppress(OSError, TimeoutError, RuntimeError):
        writer.write(refusal.response)
        writer.write_eof()
        async with asyncio.timeout(_TERMINATE_SECONDS):
            while await reader.read(_CHUNK_BYTES):
                pass


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the system notice that the other machine is gone."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _daemon_threads() -> Any:
    """Return an executor, for look-ups of names, whose threads do not hold up the end of the process."""
    from concurrent.futures import Future, ThreadPoolExecutor

    class DaemonThreads(ThreadPoolExecutor):
        def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
            future: Future[Any] = Future()

            def run() -> None:
                try:
                    future.set_result(call(*args, **named))
                except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
                    future.set_exception(error)

            threading.Thread(target=run, name="look-up", daemon=True).start()
            return future

    return DaemonThreads()


def _tls_context(ca_file: str | None) -> Any:
    import ssl

    if ca_file is not None and not os.path.isfile(ca_file):  # noqa: PTH113 - as in Config.read
        raise OSError(errno.EINVAL, "the certificates for the upstream proxy are not in a regular file")
    return ssl.create_default_context(cafile=ca_file)


# The watch over the socket


class Watcher:
    """Accepts a connection itself if it has waited too long for the proxy, and gives it to the tunnels.

    A proxy accepts all waiting connections in each round of its event loop. A socket that stays readable from one
    sample to the next therefore means that nobody accepts.
    """

    def __init__(self, listener: socket.socket, tunnels: Tunnels, patience: Callable[[], float]) -> None:
        """Prepare the watch; `start` begins it.

        Args:
            listener: the socket, which is not blocking.
            tunnels: what accepted connections are given to.
            patience: returns how many seconds a connection waits, as things are now.
        """
        self._listener = listener
        self._tunnels = tunnels
        self._patience = patience
        self._wake, self._waker = socket.socketpair()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Watch from now on, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing any more."""
        self._stopped.set()
        self._waker.close()
        if self._thread.is_alive():
            self._thread.join(_TERMINATE_SECONDS)
        self._wake.close()

    def _run(self) -> None:
        _leave_signals_to_main_thread()
        while not self._stopped.is_set():
            try:
                _wait_readable(self._listener, self._wake)
                self._wait_for_proxy()
            except (OSError, ValueError):  # the socket is closed, or there are too many files
                self._stopped.wait(_FULL_SECONDS)

    def _wait_for_proxy(self) -> None:
        """Wait until the proxy has accepted the waiting connections, or accept them here."""
        begin = time.monotonic()
        while not self._stopped.is_set() and _wait_readable(self._listener, seconds=0):
            if time.monotonic() - begin >= self._patience():
                self._accept_waiting()
                return
            self._stopped.wait(_SAMPLE_SECONDS)

    def _accept_waiting(self) -> None:
        while not self._stopped.is_set():
            if self._tunnels.are_full and not self._tunnels.drop_silent():
                self._stopped.wait(_FULL_SECONDS)
                if not _wait_readable(self._listener, seconds=0):
                    return  # the proxy is back, or who waited has gone
                continue
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it has ended while it waited
                continue
            except OSError as error:
                if error.errno not in _TOO_MANY_FILES or not self._tunnels.drop_silent():
                    raise
                self._stopped.wait(_SAMPLE_SECONDS)  # until its descriptor is free
                continue
            self._tunnels.serve(client)


def _wait_readable(*sockets: socket.socket, seconds: float | None = None) -> bool:
    """Wait until one of the sockets is readable; return False if none is after a time, None being for ever.

    Raises:
        OSError, ValueError: one of them is closed.
    """
    if sys.platform == "win32":
        return bool(select.select(sockets, [], [], seconds)[0])
    poll = select.poll()  # unlike select, for descriptors above 1023 as well
    for each in sockets:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1_000))


# The child process


class Child(Protocol):
    """A running process."""

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        ...


class Supervisor:
    """Starts a process, and starts it again when it has ended, after pauses that grow while it does not last."""

    def __init__(self, start: Callable[[], Child], ended: Callable[[Child, int], bool]) -> None:
        """Prepare it; `start` begins.

        Args:
            start: starts the process. It may raise an `OSError`.
            ended: called with the process and its exit code at each end; returns False if it is not to be started
                again.
        """
        self._start = start
        self._ended = ended
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._pause = 0.0
        self._failures = 0
        self._next_start: float | None = None
        self._started: float | None = None
        self.child: Child | None = None
        self.starts = 0
        self.last_error: str | None = None

    def start(self) -> None:
        """Start the process, from a thread, and watch over it from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Start nothing any more; a running process runs on until its owner ends it."""
        self._stopped.set()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the process has ended for good."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def patience(self) -> float:
        """Return how many seconds a connection is to wait for the process, as things are now."""
        now, started, next_start = time.monotonic(), self._started, self._next_start
        if started is not None:
            return START_SECONDS if now - started < START_SECONDS else WAIT_SECONDS
        if next_start is not None and next_start - now > WAIT_SECONDS:
            return 0.0  # nobody comes in time
        return WAIT_SECONDS

    def _run(self) -> None:
        _leave_signals_to_main_thread()
        while not self._stopped.is_set():
            self._next_start = None
            if not self._run_once():
                return
            self._next_start = time.monotonic() + self._pause
            self._stopped.wait(self._pause)

    def _run_once(self) -> bool:
        """Run the process to its end; return False if it is not to be started again."""
        self._started = begin = time.monotonic()
        try:
            child = self.child = self._start()
        except OSError as error:
            self._started = None
            self.last_error = f"{error.filename or 'the program'} cannot be started: {error.strerror}"
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            self._pause = _LONGEST_PAUSE if missing else self._pause_after(begin)
            return True
        self.starts += 1
        code = child.wait()
        self._started = None
        self.child = None
        self._pause = self._pause_after(begin)
        return self._ended(child, code)

    def _pause_after(self, begin: float) -> float:
        """Return the pause after a process that was started at ``begin``: none at first, then 1, 2, 4 … 60 s."""
        if time.monotonic() - begin >= _SERVED_SECONDS:
            self._failures = 0
        pause = min(_SECOND_PAUSE * 2 ** (self._failures - 1), _LONGEST_PAUSE) if self._failures else 0.0
        self._failures = min(self._failures + 1, 10)
        return pause


def _leave_signals_to_main_thread() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


# The installed service


class Config(NamedTuple):
    """The configuration, as described above."""

    host: str
    port: int
    command: Sequence[str]
    environ: Mapping[str, str] | None
    upstream: Upstream | None
    status: str

    @classmethod
    def read(cls, path: str) -> Config:
        """Read it from a file.

        Raises:
            OSError: the file cannot be read.
            ValueError: a value is missing or not valid; the message quotes none.
        """
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes a tenth of the time of a start
            values = _parse_json(file.read())
        if not isinstance(values, dict) or values.get("version") != 1:
            raise ValueError("it is not a configuration of version 1")
        host, port, command = (values.get(name) for name in ("host", "port", "command"))
        environ, status = values.get("environ"), values.get("status")
        for name, valid in (
            ("host", isinstance(host, str) and _is_loopback(host)),
            ("port", isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= 65_535),
            ("command", _are_texts(command) and bool(command)),
            ("environ", environ is None or (isinstance(environ, dict) and _are_texts(list(environ.values())))),
            ("status", isinstance(status, str) and bool(status)),
        ):
            if not valid:
                raise ValueError(f"the value of {name} is not valid")
        return cls(str(host), int(port or 0), list(command or ()), environ, _read_upstream(values), str(status))


def _parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, or absurdly nested.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _read_upstream(values: Mapping[str, Any]) -> Upstream | None:
    url, auth, ca_file = (values.get(name) for name in ("upstream", "upstream_auth", "upstream_ca"))
    for name, value in (("upstream", url), ("upstream_auth", auth), ("upstream_ca", ca_file)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"the value of {name} is not valid")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("the value of upstream is not valid")
    return Upstream(url, auth, ca_file)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) and "\0" not in each for each in values)


def _is_loopback(host: str) -> bool:
    import ipaddress

    # A tunnel asks for no password, so no other machine may reach it.
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Service:
    """The installed service: the socket, the proxy program that shares it, and the tunnel."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self._config = config
        self._listener = listener
        self._instance = os.urandom(16).hex()
        self._started_at = time.time()
        self._child_started_at: float | None = None
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._written: str | None = None
        self._ending = threading.Event()
        self._process: _Program | None = None
        self._supervisor = Supervisor(self._start, self._note_end)
        own = listener.getsockname()
        self._tunnels = Tunnels(own, config.upstream, instance=self._instance)
        self._watcher = Watcher(listener, self._tunnels, self._supervisor.patience)

    def run(self) -> None:
        """Serve until `end` is called."""
        self._supervisor.start()
        self._watcher.start()
        while not self._ending.is_set():
            self._write_status()
            # Windows runs signal handlers only between two waits.
            self._ending.wait(_STATUS_SECONDS)
        self._supervisor.stop()
        if self._process is not None:
            self._process.stop()
        self._watcher.stop()
        self._tunnels.close()
        self._supervisor.join(_TERMINATE_SECONDS)
        self._write_status()

    def end(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """End `run`; can be called by a signal."""
        self._ending.set()

    def status(self) -> dict[str, Any]:
        """Return the state of this process; times are Unix seconds."""
        host, port, *_ = self._listener.getsockname()
        child = self._process if self._process is not None and self._process.poll() is None else None
        error = self._supervisor.last_error if self._supervisor.last_error and not child else None
        if error and error != self._last_error:
            self._last_error, self._last_error_at = error, time.time()
        return {
            "version": 1,
            "pid": None if self._ending.is_set() else os.getpid(),
            "host": host,
            "port": port,
            "started_at": self._started_at,
            "child_pid": child.pid if child else None,
            "child_started_at": self._child_started_at if child else None,
            "restarts": max(0, self._supervisor.starts - 1),
            "tunnelled": self._tunnels.tunnelled,
            "open_tunnels": self._tunnels.open,
            "first_tunnelled_at": self._tunnels.first_at,
            "last_tunnelled_at": self._tunnels.last_at,
            "last_error": self._last_error,
            "last_error_at": self._last_error_at,
        }

    def _start(self) -> Child:
        upstream = self._config.upstream
        values = {
            "holder": os.getpid(),
            "instance": self._instance,
            "upstream": upstream.url if upstream else None,
            "upstream_auth": upstream.auth if upstream else None,
        }
        process = self._process = _Program(self._config.command, self._config.environ, self._listener, values)
        self._child_started_at = time.time()
        if self._ending.is_set():
            process.stop()
        return process

    def _note_end(self, _child: Child, code: int) -> bool:
        self._last_error = f"the proxy ended with {exit_text(code)}"
        self._last_error_at = time.time()
        return True

    def _write_status(self) -> None:
        text = json.dumps(self.status(), indent=1)
        if text != self._written:
            with contextlib.suppress(OSError):
                _write_private(self._config.status, text)
                self._written = text


class _Program:
    """A child process that has got the socket."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None,
        listener: socket.socket,
        values: Mapping[str, Any],
    ) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            env=None if environ is None else dict(environ),
            pass_fds=inherited(listener),
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended
            hand_over(self._process.stdin.fileno(), self.pid, listener, values)

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self._process.wait()
        self._close_stdin()
        return code

    def stop(self) -> None:
        """End it: by the end of its stdin, then by SIGTERM, then by SIGKILL."""
        self._close_stdin()
        for end, seconds in ((self._process.terminate, _END_SECONDS), (self._process.kill, _TERMINATE_SECONDS)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                return
            end()
        self._process.wait()

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def exit_text(code: int) -> str:
    """Return how a process ended, for people."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _write_private(path: str, text: str) -> None:
    """Replace a file in one step; only the user can read it."""
    import tempfile

    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - as in Config.read
    descriptor, partial = tempfile.mkstemp(".part", f"{name}.", folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)  # noqa: PTH105 - as in Config.read
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - as in Config.read
        raise


def _listen_patiently(config: Config) -> socket.socket:
    """Listen at the address of the configuration; an earlier process may hold it for some seconds.

    Raises:
        OSError: it holds it for longer, or it cannot be listened at.
    """
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            return listen(config.host, config.port)
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_BIND_PAUSE)


def _fail(message: str) -> NoReturn:
    print(f"codex-tap holder: {message}", file=sys.stderr, flush=True)
    sys.exit(_FAILED)


def main(arguments: Sequence[str]) -> None:
    """Run the service of a configuration until SIGTERM or SIGINT."""
    if len(arguments) != 1:
        _fail("name the file of the configuration, and nothing else")
    path = arguments[0]
    try:
        config = Config.read(path)
    except OSError as error:
        _fail(f"{path} cannot be read: {error.strerror}")
    except ValueError as error:
        reason = "it is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else error
        _fail(f"{path} cannot be used: {reason}")
    try:
        listener = _listen_patiently(config)
    except OSError as error:
        _fail(f"cannot listen at {config.host}:{config.port}: {error.strerror}")
    service = _Service(config, listener)
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, service.end)
    service.run()


if __name__ == "__main__":
    main(sys.argv[1:])
