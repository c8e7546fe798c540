"""How long the user's command waits for `codex-tap run`, and what a connection costs that the tunnel passes through.

The reference of the start is how long a bare mitmdump takes until it listens, measured in turns with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch import holder
from tests.bench.figures import Pairs, Spread, in_turns
from tests.bench.table import Row, bounded_row
from tests.support.harness import MITMDUMP, REPOSITORY, Listener, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.sizes import Size

_CLI = str(REPOSITORY / "scripts" / "cli.py")
_COMMAND = ("/bin/sh", "-c", "echo")
_OWN_TARGET, _SHARED_TARGET = 0.35, 0.3
_BYTES = 32_000_000
_CHUNK = bytes(1_000_000)


def starts(size: Size) -> list[Row]:
    """Milliseconds to the command's first instruction, with its own proxy and through a running one."""
    with tempfile.TemporaryDirectory() as folder:
        environ = _environment(Path(folder))
        _until_command(environ, "--own")
        _until_bare_listens(environ)
        own = _in_turns_with_bare(size, environ, "--own")
        with _running_proxy(environ):
            shared = _in_turns_with_bare(size, environ)
    return [
        bounded_row("run to the command (bare: mitmdump listens)", own, _OWN_TARGET),
        bounded_row("… through a running proxy", shared, _SHARED_TARGET),
    ]


def tunnel(size: Size) -> list[Row]:
    """Milliseconds to open a connection, and of its bytes, directly and through the tunnel."""
    server = Listener(_echo_once)
    listener = holder.listen("127.0.0.1", 0)
    tunnels = holder.Tunnels(listener.getsockname())
    watcher = holder.Watcher(listener, tunnels, lambda: 0.0)
    watcher.start()
    port = listener.getsockname()[1]
    try:
        _open(port, server.port)
        opened = in_turns(size.prompts * 5, lambda: _open(server.port, None), lambda: _open(port, server.port))
        sent = in_turns(size.prompts // 2 + 1, lambda: _send(server.port, None), lambda: _send(port, server.port))
    finally:
        watcher.stop()
        tunnels.close()
        listener.close()
        server.close()
    return [
        _row("tunnel: open and ask (bare: direct)", opened),
        _row(f"tunnel: {_BYTES // 1_000_000} MB (bare: direct)", sent),
    ]


def _row(measure: str, pairs: Pairs) -> Row:
    return Row(measure, "ms", Spread.of(pairs.tap), Spread.of(pairs.bare), pairs.differences(), pairs.ratios())


def _environment(folder: Path) -> dict[str, str]:
    """The variables of a user with empty folders, and no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    own = {name: str(folder) for name in ("HOME", "USERPROFILE", "XDG_DATA_HOME", "LOCALAPPDATA", "CODEX_HOME")}
    trust = dict.fromkeys(("SSL_CERT_FILE", "CODEX_CA_CERTIFICATE", "NODE_EXTRA_CA_CERTS"), "")
    return {**kept, **own, **trust, "CODEX_TAP_DB": str(folder / "bench.sqlite3"), "PYTHONPATH": str(REPOSITORY)}


def _in_turns_with_bare(size: Size, environ: Mapping[str, str], *options: str) -> Pairs:
    return in_turns(size.prompts, lambda: _until_bare_listens(environ), lambda: _until_command(environ, *options))


def _until_command(environ: Mapping[str, str], *options: str) -> float:
    begin = time.perf_counter()
    with _started([sys.executable, _CLI, "run", *options, *_COMMAND], environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = time.perf_counter() - begin
        process.wait()
    return taken * 1_000


def _until_bare_listens(environ: Mapping[str, str]) -> float:
    port = free_port()
    options = ["-q", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    begin = time.perf_counter()
    with _started([*MITMDUMP, *options], environ):
        while not _listens(port):
            time.sleep(0.005)
        return (time.perf_counter() - begin) * 1_000


@contextlib.contextmanager
def _running_proxy(environ: Mapping[str, str]) -> Iterator[None]:
    with _started([sys.executable, _CLI, "proxy", "--port", "0"], environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def _started(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _echo_once(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        while data := client.recv(1_000_000):
            client.sendall(data)


def _connected(port: int, behind: int | None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if behind is not None:
        connection.sendall(f"CONNECT 127.0.0.1:{behind} HTTP/1.1\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
    return connection


def _open(port: int, behind: int | None) -> float:
    begin = time.perf_counter()
    with _connected(port, behind) as connection:
        connection.sendall(b"x")
        connection.recv(1)
    return (time.perf_counter() - begin) * 1_000


def _send(port: int, behind: int | None) -> float:
    """Send bytes and receive them again."""
    with _connected(port, behind) as connection:
        begin = time.perf_counter()
        sender = threading.Thread(target=_send_all, args=[connection])
        sender.start()
        rest = _BYTES
        while rest and (data := connection.recv(1_000_000)):
            rest -= len(data)
        sender.join()
    if rest:
        raise RuntimeError("not all came back")
    return (time.perf_counter() - begin) * 1_000


def _send_all(connection: socket.socket) -> None:
    for _ in range(_BYTES // len(_CHUNK)):
        connection.sendall(_CHUNK)
