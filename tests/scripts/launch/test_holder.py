"""The socket that outlives the proxy, and the tunnel in its place: with real sockets, and as a program of its own."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from scripts.demo.certificates import Authority
from scripts.demo.http_heads import read_head
from scripts.launch import holder
from scripts.launch.holder import INSTANCE_HEADER, Supervisor, Tunnels, Upstream, Watcher
from tests.support.harness import Listener, free_port, wait_until
from tests.support.launcher import POSIX, Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.demo.backend import Backend

INSTANCE = "0123456789abcdef"
MEGABYTES = 5_000_000
SECONDS = 90
"""How long anything may take on a busy machine, within the time that pytest leaves a test."""


@contextlib.contextmanager
def tunnel(upstream: Upstream | None = None, **named: Any) -> Iterator[tuple[int, Tunnels]]:
    """A held socket that nobody shares, so that every connection is passed through at once; its port."""
    listener = holder.listen("127.0.0.1", 0)
    tunnels = Tunnels(listener.getsockname(), upstream, instance=INSTANCE, **named)
    watcher = Watcher(listener, tunnels, lambda: 0.0)
    watcher.start()
    try:
        yield listener.getsockname()[1], tunnels
    finally:
        watcher.stop()
        tunnels.close()
        listener.close()


@contextlib.contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    listening = Listener(serve)
    try:
        yield listening.port
    finally:
        listening.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def opened(port: int, behind: int, more: str = "") -> socket.socket:
    """A connection to `behind` through the tunnel at `port`."""
    client = connected(port)
    client.sendall(f"CONNECT 127.0.0.1:{behind} HTTP/1.1\r\nHost: 127.0.0.1:{behind}\r\n{more}\r\n".encode())
    assert read_head(client).startswith(b"HTTP/1.1 200 ")
    return client


def answered(port: int, request: str | bytes) -> str:
    """Send bytes and return everything that comes back."""
    with connected(port) as client:
        client.sendall(request if isinstance(request, bytes) else request.encode())
        return read_all(client).decode("latin-1")


def read_all(connection: socket.socket) -> bytes:
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            found += data
    return bytes(found)


def echo(client: socket.socket) -> None:
    """Send everything back when it has ended, which shows that the end is passed on."""
    with client, contextlib.suppress(OSError):  # the test may be over
        client.sendall(read_all(client))


class Web:
    """An HTTP server that stores the heads and bodies that it gets, and closes each connection."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    def __call__(self, client: socket.socket) -> None:
        """Serve a connection."""
        with client:
            head = read_head(client).decode()
            length = next((int(line[16:]) for line in head.splitlines() if line.startswith("Content-Length: ")), 0)
            body = b""
            while len(body) < length:
                body += client.recv(length)
            self.requests.append(head + body.decode())
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


# What is passed through


@pytest.mark.parametrize("size", [0, 1, MEGABYTES], ids=str)
def test_a_tunnel_passes_bytes_and_their_end_both_ways(size: int) -> None:
    """However many there are, and although the other side is silent until the end."""
    data = os.urandom(size)
    with server(echo) as behind, tunnel() as (port, tunnels), opened(port, behind) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        found = read_all(client)
        assert (len(found), found == data) == (size, True)  # megabytes of difference take minutes to explain
        sender.join()
        assert (tunnels.tunnelled, tunnels.first_at) == (1, tunnels.last_at)


def test_bytes_behind_the_head_belong_to_the_tunnel() -> None:
    """A client need not wait for the response to its CONNECT."""
    with server(echo) as behind, tunnel() as (port, _), connected(port) as client:
        client.sendall(f"CONNECT 127.0.0.1:{behind} HTTP/1.1\r\n\r\nearly".encode())
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"HTTP/1.1 200 Connection established\r\n\r\nearly"


@pytest.mark.parametrize(
    ("request_line", "fields", "line", "kept"),
    [
        ("GET {url}/a?b=c", "", "GET /a?b=c HTTP/1.1", ["Connection: close"]),
        ("GET {url}", "Connection: keep-alive\r\nKeep-Alive: 5\r\n", "GET / HTTP/1.1", ["Connection: close"]),
        (
            "GET {url}/x",
            "Proxy-Authorization: Basic eDp5\r\nproxy-connection: keep-alive\r\nX-A: b\r\n",
            "GET /x HTTP/1.1",
            ["X-A: b", "Connection: close"],
        ),
        (
            "GET {url}/socket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "GET /socket HTTP/1.1",
            ["Connection: Upgrade", "Upgrade: websocket"],
        ),
        ("POST {url}/p", "Content-Length: 4\r\n", "POST /p HTTP/1.1", ["Content-Length: 4", "Connection: close"]),
    ],
    ids=["path", "keep-alive", "proxy-fields", "upgrade", "body"],
)
def test_a_plain_request_is_forwarded(request_line: str, fields: str, line: str, kept: list[str]) -> None:
    """In the form for servers, without what is meant for the proxy."""
    web = Web()
    with server(web) as behind, tunnel() as (port, tunnels):
        url = f"http://127.0.0.1:{behind}"
        body = "body" if "POST" in request_line else ""
        sent = f"{request_line.format(url=url)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n{body}"
        assert answered(port, sent).endswith("\r\n\r\nok")
    assert web.requests == ["\r\n".join([line, "Host: 127.0.0.1", *kept, "", body])]
    assert tunnels.tunnelled == 1


def test_an_upstream_proxy_is_respected() -> None:
    """It gets its password, and plain requests in the form for proxies, as mitmproxy sends them."""
    web = Web()
    with server(web) as behind:
        front = Front(behind)
        try:
            with tunnel(Upstream(f"http://127.0.0.1:{front.port}", "some@body:hush")) as (port, _):
                plain = answered(port, "GET http://gateway.example:81/x HTTP/1.1\r\nHost: gateway.example:81\r\n\r\n")
                assert plain.endswith("ok")
                refused = answered(port, "CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
        finally:
            front.close()
    auth = "Proxy-Authorization: Basic c29tZUBib2R5Omh1c2g="
    assert front.heads[0].split("\r\n")[:2] == ["GET http://gateway.example:81/x HTTP/1.1", "Host: gateway.example:81"]
    assert auth in front.heads[0].split("\r\n")
    assert front.heads[1].split("\r\n")[:3] == ["CONNECT chatgpt.com:443 HTTP/1.1", "Host: chatgpt.com:443", auth]
    assert "c29tZ" not in refused


def test_codexs_tls_goes_through_an_upstream_proxy(backend: Backend) -> None:
    """The stand-in backend is such a proxy; the certificate is its own, not that of a tap."""
    context = ssl.create_default_context(cafile=str(backend.ca_file))
    with tunnel(Upstream(backend.proxy_url)) as (port, tunnels), connected(port) as client:
        client.sendall(b"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
        read_head(client)
        with context.wrap_socket(client, server_hostname="chatgpt.com") as secure:
            secure.sendall(b"GET /nothing HTTP/1.1\r\nHost: chatgpt.com\r\nConnection: close\r\n\r\n")
            assert secure.recv(12) == b"HTTP/1.1 404"
    assert tunnels.tunnelled == 1


def test_an_upstream_proxy_behind_tls(backend: Backend, tmp_path: Path) -> None:
    """Its certificate is checked against the given authorities."""
    authority = Authority(tmp_path)
    context = authority.server_context("localhost", ["http/1.1"])

    def front(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + read_head(secure).split(b"\r\n")[0])

    with server(front) as behind:
        url = f"https://localhost:{behind}"
        with tunnel(Upstream(url, None, str(authority.ca_file))) as (port, _):
            found = answered(port, "CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
            assert found.endswith("\r\n\r\nCONNECT chatgpt.com:443 HTTP/1.1")
        with tunnel(Upstream(url, None, str(backend.ca_file))) as (port, _):
            assert answered(port, "CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 502 ")


# What is refused


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: chatgpt.com\r\n\r\n", "400"),
        ("GET https://chatgpt.com/ HTTP/1.1\r\n\r\n", "400"),
        ("GET http:///x HTTP/1.1\r\n\r\n", "400"),
        ("GET http://[::1/ HTTP/1.1\r\n\r\n", "400"),
        ("GET http://host:99999/ HTTP/1.1\r\n\r\n", "400"),
        ("GET http://host/ HTTP/2\r\n\r\n", "400"),
        ("GET http://host/ x HTTP/1.1\r\n\r\n", "400"),
        ("CONNECT chatgpt.com HTTP/1.1\r\n\r\n", "400"),
        ("CONNECT chatgpt.com:0 HTTP/1.1\r\n\r\n", "400"),
        ("CONNECT :443 HTTP/1.1\r\n\r\n", "400"),
        ("CONNECT host:443/x HTTP/1.1\r\n\r\n", "400"),
        ("GET http://127.0.0.1:1/\nX:y HTTP/1.1\r\n\r\n", "400"),
        ("GET http://127.0.0.1:1/ HTTP/1.1\nX:y\r\n\r\n", "400"),
        ("GET http://127.0.0.1:2/ HTTP/1.1\r\nX: y\nProxy-Authorization: Basic z\r\n\r\n", "400"),
        ("GET http://127.0.0.1:3/ HTTP/1.1\r\nX: y\rProxy-Authorization: Basic z\r\n\r\n", "400"),
        ("GET http://127.0.0.1:4/ HTTP/1.1\r\nX: \0\r\n\r\n", "400"),
        ("GET http://127.0.0.1:5/ HTTP/1.1\r\nProxy-Authorization: Basic\r\n eg==\r\n\r\n", "400"),
        ("GET http://127.0.0.1:7/ HTTP/1.1\r\nProxy-Authorization= Basic eg==\r\n\r\n", "400"),
        ("GET http://127.0.0.1:6/ HTTP/1.1\r\nX: y\r\n\tz\r\n\r\n", "400"),
        ("CONNECT chat\ngpt.com:443 HTTP/1.1\r\n\r\n", "400"),
        ("GET http://host/ HTTP/1.1\r\nX: " + "x" * 70_000, "431"),
        ("GET http://host/ HTTP/1.1\r\n" + "X: y\r\n" * 20_000 + "\r\n", "431"),
        ("CONNECT no-such-host.invalid:443 HTTP/1.1\r\n\r\n", "502"),
        ("GET http://mitm.it/cert/pem HTTP/1.1\r\n\r\n", "503"),
        ("CONNECT Mitm.it.:443 HTTP/1.1\r\n\r\n", "503"),
    ],
    ids=lambda value: value[:40].strip(),
)
def test_what_is_not_passed_through(request_head: str, status: str) -> None:
    """A request that no proxy understands gets a response, and counts as nothing."""
    with tunnel() as (port, tunnels):
        found = answered(port, request_head)
        assert found.split()[:2] == ["HTTP/1.1", status]
        assert tunnels.tunnelled == 0
        wait_until(lambda: tunnels.open == 0, lambda: "it is still open")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("", "/"),
        ("/a?", "/a?"),
        ("?x=1", "/?x=1"),
        ("/a;b?c=//d#e", "/a;b?c=//d"),
        ("//x", "//x"),
        ("/%0d%0a", "/%0d%0a"),
    ],
)
def test_a_plain_request_keeps_its_path(target: str, path: str) -> None:
    """To the last character, but for a fragment, which no server gets."""
    web = Web()
    with server(web) as behind, tunnel() as (port, _):
        answered(port, f"GET http://127.0.0.1:{behind}{target} HTTP/1.1\r\n\r\n")
    assert web.requests[0].startswith(f"GET {path} HTTP/1.1\r\n")


def test_a_destination_that_does_not_listen() -> None:
    """The client is told at once."""
    with tunnel() as (port, _):
        assert answered(port, f"CONNECT 127.0.0.1:{free_port()} HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 502 ")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"])  # noqa: S104
def test_it_is_not_its_own_destination(name: str) -> None:
    """Neither as a server nor as the upstream proxy."""
    with tunnel() as (port, tunnels):
        assert answered(port, f"CONNECT {name}:{port} HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 508 ")
        assert tunnels.tunnelled == 0
        own = f"http://{name}:{port}"
        tunnels._upstream = Upstream(own)
        assert answered(port, "CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 508 ")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 503 no\r\nX: y\r\n\r\n", "503"),
        (b"nonsense\r\n\r\n", "no response"),
        (b"", "no response"),
        (b"HTTP/1.1 2", "no response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, "no response"),
    ],
    ids=["407", "503", "nonsense", "nothing", "a-piece", "endless"],
)
def test_an_upstream_proxy_that_refuses(response: bytes, reason: str) -> None:
    """Its status is told, and nothing of its password."""

    def refuse(client: socket.socket) -> None:
        with client:
            read_head(client)
            with contextlib.suppress(ConnectionError):  # nobody reads the whole of a long one
                client.sendall(response)

    with server(refuse) as behind, tunnel(Upstream(f"http://127.0.0.1:{behind}", "a:hush-hush")) as (port, tunnels):
        found = answered(port, "CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n")
        assert found.startswith("HTTP/1.1 502 ")
        assert found.endswith(f"codex-tap: the upstream proxy refused the connection: {reason}\n")
        assert tunnels.tunnelled == 0


def test_the_probe_shows_who_it_is() -> None:
    """Whoever knows the instance knows that the proxy is ours, and that it reads nothing at the moment."""
    with tunnel() as (port, _):
        found = answered(port, "GET http://mitm.it/cert/pem HTTP/1.0\r\n\r\n")
    assert f"\r\n{INSTANCE_HEADER}: {INSTANCE}\r\n" in found


# Connections that end or stay


def test_a_client_that_is_gone_closes_the_connection_behind() -> None:
    """Also if it goes without a word."""
    ended = threading.Event()

    def wait(client: socket.socket) -> None:
        with client:
            read_all(client)
        ended.set()

    with server(wait) as behind, tunnel() as (port, tunnels):
        client = opened(port, behind)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset instead of an end
        client.close()
        assert ended.wait(30)
        wait_until(lambda: tunnels.open == 0, lambda: "it is still open")


def test_a_quiet_tunnel_is_no_garbage() -> None:
    """The event loop refers to a task that waits only weakly: without another reference the collector ends it."""
    with server(echo) as behind, tunnel() as (port, tunnels), opened(port, behind) as client:
        for _ in range(5):
            gc.collect()
        assert tunnels.open == 1
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"


def test_a_client_that_says_nothing_does_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed after a while."""
    monkeypatch.setattr(holder, "_HEAD_SECONDS", 0.2)
    with server(echo) as behind, tunnel() as (port, _), connected(port) as silent, connected(port) as half:
        half.sendall(b"CONNECT 127.0")
        with opened(port, behind) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        assert (read_all(silent), read_all(half)) == (b"", b"")


def test_a_half_closed_tunnel_does_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is gone for good looks like one that only has nothing more to say."""
    monkeypatch.setattr(holder, "_HALF_CLOSED_SECONDS", 0.2)
    held = threading.Event()

    def stay(client: socket.socket) -> None:
        with client:
            held.wait(60)

    with server(stay) as behind, tunnel() as (port, tunnels):
        with opened(port, behind) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
            wait_until(lambda: tunnels.open == 0, lambda: "it is still open")
        held.set()


def test_the_number_of_connections_is_bounded() -> None:
    """Others wait until there is room."""
    with server(echo) as behind, tunnel(most=2) as (port, tunnels):
        first, second = opened(port, behind), opened(port, behind)
        third = connected(port)
        third.sendall(f"CONNECT 127.0.0.1:{behind} HTTP/1.1\r\n\r\n".encode())
        third.settimeout(0.5)
        with pytest.raises(TimeoutError):
            third.recv(1)
        assert tunnels.open == 2
        first.close()
        third.settimeout(30)
        assert third.recv(12) == b"HTTP/1.1 200"
        second.close()
        third.close()


@pytest.mark.parametrize("said", [b"", b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n"], ids=["nothing", "half a request"])
def test_clients_that_say_nothing_make_room_when_there_is_none(said: bytes) -> None:
    """However many there are; an open tunnel stays."""
    with contextlib.ExitStack() as held:
        behind = held.enter_context(server(echo))
        port, tunnels = held.enter_context(tunnel(most=8))
        early = held.enter_context(opened(port, behind))
        silent = [held.enter_context(connected(port)) for _ in range(40)]
        for each in silent:
            each.sendall(said)
        late = held.enter_context(opened(port, behind))
        for client in (early, late):
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"hello"
        assert read_all(silent[0]) == b""
        assert tunnels.open <= 8


def test_who_waited_for_room_does_not_wait_for_the_proxy_again() -> None:
    """The proxy had its time before."""
    listener = holder.listen("127.0.0.1", 0)
    tunnels = Tunnels(listener.getsockname(), instance=INSTANCE, most=2)
    patience = iter([0.0])
    watcher = Watcher(listener, tunnels, lambda: next(patience, 1_000.0))
    with contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(connected(listener.getsockname()[1]))
        watcher.start()
        try:
            assert "503" in answered(listener.getsockname()[1], "GET http://mitm.it/ HTTP/1.1\r\n\r\n")
        finally:
            watcher.stop()
            tunnels.close()
            listener.close()


@POSIX
def test_clients_that_say_nothing_make_room_for_descriptors() -> None:
    """Their number may be bounded by the system before it is here."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as held:
        behind = held.enter_context(server(echo))
        port, tunnels = held.enter_context(tunnel(most=1_000))
        held.enter_context(opened(port, behind))  # what the first one needs is open already
        silent = [held.enter_context(connected(port)) for _ in range(40)]
        wait_until(lambda: tunnels.open == len(silent) + 1, lambda: f"{tunnels.open} are open")
        late = held.enter_context(socket.socket())
        resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, limits[1]))
        try:
            late.connect(("127.0.0.1", port))
            late.sendall(b"GET http://mitm.it/ HTTP/1.1\r\n\r\n")
            late.settimeout(30)
            assert b"503" in late.recv(100)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert read_all(silent[0]) == b""


# The watch


@contextlib.contextmanager
def accepting(listener: socket.socket) -> Iterator[list[int]]:
    """Somebody who shares the socket and accepts what waits, in rounds, as mitmdump does; how many there were."""
    found: list[int] = [0]
    stop = threading.Event()

    def accept() -> None:
        own = listener.dup()
        while not stop.wait(0.02):
            with contextlib.suppress(BlockingIOError):
                while True:
                    client, _ = own.accept()
                    client.close()
                    found[0] += 1
        own.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def test_nothing_is_passed_through_while_somebody_accepts() -> None:
    """Not even under a load that keeps the socket readable most of the time; afterwards it is."""
    listener = holder.listen("127.0.0.1", 0)
    tunnels = Tunnels(listener.getsockname(), instance=INSTANCE)
    watcher = Watcher(listener, tunnels, lambda: 0.5)
    watcher.start()
    port = listener.getsockname()[1]
    try:
        with accepting(listener) as accepted:
            end = time.monotonic() + 2
            made = 0
            while time.monotonic() < end:
                connected(port).close()
                made += 1
                time.sleep(0.005)
            wait_until(lambda: accepted[0] == made, lambda: f"{accepted} of {made}")
        assert "503" in answered(port, "GET http://mitm.it/ HTTP/1.1\r\n\r\n")
        with accepting(listener) as accepted:
            connected(port).close()
            wait_until(lambda: accepted[0] == 1, lambda: "it was not accepted")
    finally:
        watcher.stop()
        tunnels.close()
        listener.close()


@POSIX
def test_a_socket_with_a_high_descriptor() -> None:
    """As it gets in a process that has inherited many open files."""
    import fcntl
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 4_096), limits[1]))
    first = holder.listen("127.0.0.1", 0)
    listener = socket.socket(fileno=fcntl.fcntl(first.fileno(), fcntl.F_DUPFD, 2_000))
    listener.setblocking(False)
    tunnels = Tunnels(listener.getsockname(), instance=INSTANCE)
    watcher = Watcher(listener, tunnels, lambda: 0.0)
    watcher.start()
    try:
        assert "503" in answered(listener.getsockname()[1], "GET http://mitm.it/ HTTP/1.1\r\n\r\n")
    finally:
        watcher.stop()
        tunnels.close()
        listener.close()
        first.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# The child


class Fake:
    """A process that ends when it is told to."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def wait(self) -> int:
        """Return the exit code once it has ended."""
        self.ended.wait(30)
        return 3


def test_a_process_is_started_again() -> None:
    """At once for the first time; connections wait for it while it starts."""
    started: list[Fake] = []
    codes: list[int] = []

    def start() -> Fake:
        started.append(Fake())
        return started[-1]

    def ended(_child: holder.Child, code: int) -> bool:
        codes.append(code)
        return len(codes) < 2

    supervisor = Supervisor(start, ended)
    supervisor.start()
    for number in (1, 2):
        wait_until(lambda number=number: len(started) == number, lambda: "it was not started")  # type: ignore[misc]
        wait_until(lambda: supervisor.patience() == holder.START_SECONDS, lambda: "nobody waits for it")
        started[-1].ended.set()
    supervisor.join(30)
    assert (codes, supervisor.starts) == ([3, 3], 2)


def test_pauses_grow_while_a_process_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, then 1, 2, 4 … 60 s; none again when it has lasted."""
    now = [1_000.0]
    monkeypatch.setattr("scripts.launch.holder.time.monotonic", lambda: now[0])
    supervisor = Supervisor(Fake, lambda _child, _code: True)
    assert [supervisor._pause_after(999.0) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert supervisor._pause_after(900.0) == 0


def test_nobody_waits_for_a_program_that_is_missing() -> None:
    """It is looked for again once a minute, and connections are passed through at once until then."""

    def start() -> Fake:
        raise FileNotFoundError(2, "No such file or directory", "/nowhere/codex-tap")

    supervisor = Supervisor(start, lambda _child, _code: True)
    supervisor.start()
    wait_until(lambda: supervisor.patience() == 0, lambda: "connections still wait")
    assert supervisor.last_error == "/nowhere/codex-tap cannot be started: No such file or directory"
    supervisor.stop()
    supervisor.join(30)


# The program


CHILD = f"""
import os, select, socket, sys
sys.path.insert(0, {str(Path(holder.__file__).parent)!r})
import holder
listener, values = holder.take_over()
print(sorted(values), values["upstream"], os.environ.get("MARK"), flush=True)
while True:
    ready = select.select([listener, 0], [], [])[0]
    if 0 in ready:
        break
    client, _ = listener.accept()
    client.recv(1000)
    client.sendall(b"read by %d" % os.getpid())
    client.close()
"""


class Service:
    """A copy of the holder as a program, in a folder of its own, with a configuration."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.port = changes.get("port") or free_port()
        self.status_file = folder / "status.json"
        self.config = folder / "config.json"
        child = folder / "child.py"
        child.write_text(CHILD)
        config = {
            "version": 1,
            "host": "127.0.0.1",
            "port": self.port,
            "command": [sys.executable, "-P", str(child)],
            "environ": {**os.environ, "MARK": "here"},
            "upstream": None,
            "upstream_auth": None,
            "status": str(self.status_file),
            **changes,
        }
        self.config.write_text(json.dumps(config))
        program = shutil.copy(holder.__file__, folder / "copy.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", program, str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def __enter__(self) -> Self:
        wait_until(self._listens, lambda: "it does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        child = self.status()["child_pid"]
        self.process.kill()
        self.process.communicate()
        if child:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGTERM)

    def status(self) -> dict[str, Any]:
        """Return the content of the status file."""
        found: dict[str, Any] = json.loads(self.status_file.read_text())
        return found

    def wait_for(self, **expected: Any) -> dict[str, Any]:
        """Wait until the status has these values."""

        def holds() -> bool:
            with contextlib.suppress(OSError, ValueError):
                return expected.items() <= self.status().items()
            return False

        wait_until(holds, lambda: f"{self.status()} has not {expected}")
        return self.status()

    def ask(self) -> str:
        """Return what the command says, or the holder in its place."""
        return answered(self.port, "GET http://mitm.it/ HTTP/1.1\r\n\r\n")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            connected(self.port).close()
            return self.status_file.exists()
        return False


@POSIX
def test_the_service_holds_the_socket_for_its_command(tmp_path: Path) -> None:
    """A killed command is started again, and no connection is lost; the status tells of it and is private."""
    with Service(tmp_path, upstream="http://proxy.example:3128", upstream_auth="a:hush") as service:
        first = service.ask()
        assert first.startswith("read by ")
        os.kill(int(first.split()[-1]), signal.SIGKILL)
        second = service.ask()
        assert second.startswith("read by ")
        assert second != first
        status = service.wait_for(child_pid=int(second.split()[-1]), restarts=1)
        assert status["last_error"] == "the proxy ended with signal 9"
        assert (status["host"], status["port"], status["pid"]) == ("127.0.0.1", service.port, service.process.pid)
        assert stat.S_IMODE(service.status_file.stat().st_mode) == 0o600
        assert "hush" not in service.status_file.read_text()
        service.process.send_signal(signal.SIGTERM)
        out, err = service.process.communicate(timeout=30)
        assert (service.process.returncode, err) == (0, "")
        assert (
            out.splitlines()[0] == "['holder', 'instance', 'upstream', 'upstream_auth'] http://proxy.example:3128 here"
        )
        assert service.wait_for(pid=None)["child_pid"] is None
        with pytest.raises(OSError, match="refused"):
            connected(service.port)


@POSIX
def test_without_its_command_the_service_passes_connections_through(tmp_path: Path) -> None:
    """At once, as nobody comes; a checkout that is deleted is the usual case."""
    with server(echo) as behind, Service(tmp_path, command=[str(tmp_path / "gone")]) as service:
        with opened(service.port, behind) as client:
            client.sendall(b"unread")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"unread"
        status = service.wait_for(tunnelled=1, open_tunnels=0, child_pid=None)
        assert status["last_error"] == f"{tmp_path / 'gone'} cannot be started: No such file or directory"
        assert status["first_tunnelled_at"] == status["last_tunnelled_at"]


@POSIX
def test_a_command_that_always_fails(tmp_path: Path) -> None:
    """Connections go on, and the status has the reason."""
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with server(echo) as behind, Service(tmp_path, command=failing) as service:
        with opened(service.port, behind) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        assert service.wait_for(tunnelled=1)["last_error"] == "the proxy ended with exit code 3"


@POSIX
def test_the_service_waits_for_its_port(tmp_path: Path) -> None:
    """An earlier service may still end."""
    earlier = holder.listen("127.0.0.1", 0)
    port = earlier.getsockname()[1]
    threading.Timer(1, earlier.close).start()
    with Service(tmp_path, port=port) as service:
        assert service.ask().startswith("read by ")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 2}, "it is not a configuration of version 1"),
        ({"host": "0.0.0.0"}, "the value of host is not valid"),  # noqa: S104 (what is refused)
        ({"host": 5}, "the value of host is not valid"),
        ({"port": "80"}, "the value of port is not valid"),
        ({"port": 65_536}, "the value of port is not valid"),
        ({"command": []}, "the value of command is not valid"),
        ({"command": "codex-tap"}, "the value of command is not valid"),
        ({"command": [1]}, "the value of command is not valid"),
        ({"command": ["a\0b"]}, "the value of command is not valid"),
        ({"environ": {"A": 1}}, "the value of environ is not valid"),
        ({"environ": []}, "the value of environ is not valid"),
        ({"status": ""}, "the value of status is not valid"),
        ({"upstream": "socks5://hush-hush"}, "the value of upstream is not valid"),
        ({"upstream": "http://hush:99999"}, "the value of upstream is not valid"),
        ({"upstream_auth": 5}, "the value of upstream_auth is not valid"),
    ],
    ids=str,
)
def test_an_invalid_configuration(tmp_path: Path, changes: dict[str, Any], error: str) -> None:
    """The exit code is 4, and the one line says which value it is, without the value."""
    process = Service(tmp_path, **{"port": 1, **changes}).process
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, "")
    assert err == f"codex-tap holder: {tmp_path / 'config.json'} cannot be used: {error}\n"


@pytest.mark.parametrize(
    ("content", "arguments", "error"),
    [
        (b"{", ["c.json"], "c.json cannot be used: it is not JSON"),
        (b"\xff", ["c.json"], "c.json cannot be used: it is not JSON"),
        (b"[" * 100_000, ["c.json"], "c.json cannot be used: it is nested too deeply"),
        (b"[]", ["c.json"], "c.json cannot be used: it is not a configuration of version 1"),
        (None, ["c.json"], "c.json cannot be read: No such file or directory"),
        (None, [], "name the file of the configuration, and nothing else"),
        (None, ["a", "b"], "name the file of the configuration, and nothing else"),
    ],
)
def test_no_configuration(tmp_path: Path, content: bytes | None, arguments: list[str], error: str) -> None:
    """The exit code is 4, and the one line says what is wrong."""
    if content is not None:
        (tmp_path / "c.json").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-I", "-S", holder.__file__, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"codex-tap holder: {error}\n")


# The socket on its way


@POSIX
def test_the_socket_reaches_another_process() -> None:
    """With the values, and with nothing in the arguments or the environment; what follows is left in the pipe."""
    program = f"import os\n{CHILD.split('print', maxsplit=1)[0]}print(listener.getsockname()[1], values, os.read(0, 9))"
    with holder.listen("127.0.0.1", 0) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=holder.inherited(listener),
        )
        assert process.stdin is not None
        holder.hand_over(process.stdin.fileno(), process.pid, listener, {"a": "ü"})
        out, _ = process.communicate(b"next\n", timeout=30)
        assert out.decode() == f"{listener.getsockname()[1]} {{'a': 'ü'}} b'next\\n'\n"


def test_a_long_password_is_handed_over() -> None:
    """A variable of the environment may have 128 KiB."""
    reader, writer = os.pipe()
    values = {"upstream_auth": "x" * 131_072}
    sender = threading.Thread(target=holder.hand_over, args=(writer, 0, None, values))
    sender.start()
    try:
        assert holder.take_over(reader) == (None, values)
    finally:
        sender.join()
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("line", [b"", b"nonsense\n", b"[]\n", b"x" * 1_000_001], ids=lambda line: str(line[:9]))
def test_a_line_that_hands_nothing_over(line: bytes) -> None:
    """Another program may have started this one."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(line)

    threading.Thread(target=write).start()
    try:
        with pytest.raises(ValueError, match=r"."):
            holder.take_over(reader)
    finally:
        os.close(reader)
