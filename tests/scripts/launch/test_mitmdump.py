"""The mitmdump of the launcher, which requires a password for clients elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy.options import Options
from mitmproxy.proxy import mode_servers

from scripts.launch import holder, mitmdump
from scripts.launch.mitmdump import why_refused
from tests.support.harness import free_port
from tests.support.launcher import environment, launcher, running_proxy

if TYPE_CHECKING:
    from scripts.demo.backend import Backend


def proxy_fails(*arguments: str, **named: object) -> subprocess.CompletedProcess[str]:
    """A `codex-tap proxy` that does not start."""
    return subprocess.run(
        launcher("proxy", arguments, port=free_port(), **named),
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "host"),
    [([], "0.0.0.0"), (["--listen-h", "::"], "127.0.0.1")],  # noqa: S104 (what is refused)
    ids=["ours", "mitmdumps-own-shortened"],
)
def test_other_machines_need_a_password(arguments: list[str], host: str) -> None:
    """Listening for other machines without a password is wrong use, and the message says what to do."""
    done = proxy_fails(*arguments, host=host)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"codex-tap: refusing to listen at {arguments[-1] if arguments else host}: ")
    assert "-- --set proxyauth=USER:PASSWORD" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"listen_host": "127.0.0.1"}, None),
        ({"listen_host": "127.0.0.2"}, None),
        ({"listen_host": "::1"}, None),
        ({"listen_host": "localhost"}, None),
        ({"listen_host": "127.0.0.1", "mode": ["upstream:http://proxy.example:3128", "socks5@127.0.0.1:1080"]}, None),
        ({"listen_host": "", "server": False}, None),
        ({"listen_host": "", "mode": ["local"]}, None),
        ({"listen_host": "", "proxyauth": "someone:hush"}, None),
        ({"listen_host": "0.0.0.0", "proxyauth": "@htpasswd"}, None),  # noqa: S104
        ({"listen_host": ""}, "all addresses"),
        ({"listen_host": "0.0.0.0"}, "0.0.0.0"),  # noqa: S104
        ({"listen_host": "::"}, "::"),
        ({"listen_host": "::", "proxyauth": ""}, "::"),
        ({"listen_host": "::", "proxyauth": "any"}, "::"),
        ({"listen_host": "192.0.2.1"}, "192.0.2.1"),
        ({"listen_host": "localhost.example"}, "localhost.example"),
        ({"listen_host": "127.0.0.1", "mode": ["regular@0.0.0.0:8080"]}, "0.0.0.0"),  # noqa: S104
        ({"listen_host": "127.0.0.1", "mode": ["regular", "socks5@192.0.2.1:1080"]}, "192.0.2.1"),
        ({"listen_host": "127.0.0.1", "mode": ["reverse:https://chatgpt.com@[::]:8080"]}, "[::]"),
    ],
    ids=str,
)
def test_which_addresses_are_refused(options: dict[str, object], refused: str | None) -> None:
    """Loopback needs no password; any other address does, and `any`, which accepts every password, does not count."""
    known = Options()
    known.add_option("proxyauth", str | None, None, "")
    known.update(**options)
    why = why_refused(known)
    assert (why and why.split(": other machines")[0]) == (refused and f"refusing to listen at {refused}")


def test_a_password_is_required(backend: Backend) -> None:
    """With it the proxy can be used, and without it not even a tunnel can be opened."""
    with running_proxy("--set", "proxyauth=someone:hush") as (_, address):
        host, _, port = address.rpartition(":")
        answers = []
        for password in ("", "Proxy-Authorization: Basic c29tZW9uZTpodXNo\r\n"):  # someone:hush
            with socket.create_connection((host, int(port)), 10) as client:
                client.sendall(f"CONNECT 127.0.0.1:{backend.port} HTTP/1.1\r\n{password}\r\n".encode())
                answers.append(client.recv(100).split()[1])
        assert answers == [b"407", b"200"]


def test_the_version_of_mitmdump() -> None:
    """An option that makes mitmdump print and exit does just that."""
    done = subprocess.run(
        launcher("proxy", ["--version"]), env=environment(), capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.startswith("Mitmproxy: ")


@pytest.mark.parametrize("by_thread", [False, True], ids=["by-the-loop", "by-a-thread"])
def test_a_listening_socket_is_adopted(monkeypatch: pytest.MonkeyPatch, *, by_thread: bool) -> None:
    """Connections that waited are served, and the socket still listens when the server is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4))
        writer.close()

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ping")
        with contextlib.closing(writer):
            return await reader.read()

    async def main(listener: socket.socket) -> list[bytes]:
        port = listener.getsockname()[1]
        instance: Any = SimpleNamespace(handle_stream=serve)
        server: Any
        answers = []
        for _ in range(2):  # a second server takes the place of the first one
            asked = [asyncio.ensure_future(ask(port)) for _ in range(3)]
            await asyncio.sleep(0.05)
            (server,) = await mode_servers.AsyncioServerInstance.listen(instance, "", 0)
            assert server.sockets[0].getsockname()[1] == port
            answers += await asyncio.gather(*asked)
            server.close()
            await asyncio.sleep(0.05)
        return answers

    before = mode_servers.AsyncioServerInstance.listen
    monkeypatch.setattr(mode_servers.AsyncioServerInstance, "listen", before)
    with holder.listen("127.0.0.1", 0) as listener:
        mitmdump.adopt(listener, by_thread=by_thread)
        assert asyncio.run(main(listener)) == [b"ping"] * 6


def test_an_exit_that_hangs_is_ended() -> None:
    """The port would stay open without anybody who accepts."""
    program = "import atexit, threading; from scripts.launch.mitmdump import end_in_time; end_in_time(0.5); "
    program += "atexit.register(threading.Event().wait)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1
