"""Output and log of the proxy: they quote no traffic, and the output has only codex-tap's own lines by default."""

from __future__ import annotations

import stat
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from addon.log_redaction import reduced
from scripts.demo.http_heads import read_head
from scripts.launch.proxy_log import log_files
from store.files import LOG_FOLDER, certificate_folder
from store.settings import data_folder
from tests.support.harness import Listener, Proxy, free_port, wait_until
from tests.support.launcher import GET, POSIX, environment, launcher, python, read_line, run, started
from tests.system.test_unread_output import behind

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

MARK = "the-marked-token-of-this-test"

# Malformed requests, each with a token where mitmproxy quotes what it does not understand.
REQUESTS = [
    f"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\nAuthorization Bearer {MARK}\r\n\r\n",
    f"GET {MARK}\r\n\r\n",
    f"GET http://other.example/ HTTP/1.1\r\nAuthorization: Bearer {MARK}",
    f"POST http://other.example/ HTTP/1.1\r\nHost: other.example\r\nContent-Length: {MARK}\r\n\r\n",
    f"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n({MARK}): 1\r\n\r\n",
    f"CONNECT chatgpt.com:443 HTTP/1.1\r\n\r\n\x16\x03\x01\x00\x20{MARK}{MARK}",
    "GET http://line.example/ HTTP/1.1\r\nHost: line.example\r\n\r\n",
    "GET http://header.example/ HTTP/1.1\r\nHost: header.example\r\n\r\n",
    "GET http://half.example/ HTTP/1.1\r\nHost: half.example\r\n\r\n",
]
RESPONSES = {
    b"line.example": f"{MARK}\r\n\r\n",
    b"header.example": f"HTTP/1.1 200 OK\r\nSet-Cookie {MARK}\r\n\r\n",
    b"half.example": f"HTTP/1.1 200 OK\r\nSet-Cookie: {MARK}",
}

SEND = f"""
import os, socket, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
for request in {REQUESTS!r}:
    with socket.create_connection((proxy.hostname, proxy.port), 30) as client:
        client.sendall(request.encode("latin-1"))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
"""

# Failures whose words hold a token: in a task, in a callback, and in a hook of somebody else's addon.
FAILING = f"""
import asyncio

async def fail():
    raise ValueError({MARK!r})

def call():
    raise KeyError({MARK!r})

def running():
    global task
    loop = asyncio.get_running_loop()
    loop.call_later(0.2, call)

def requestheaders(flow):
    asyncio.get_running_loop().create_task(fail())
    raise ValueError({MARK!r})
"""


def _respond(client: socket.socket) -> None:
    with client:
        head = read_head(client)
        for host, response in RESPONSES.items():
            if host in head.partition(b"\r\n")[0]:
                client.sendall(response.encode())


@pytest.fixture
def upstream() -> Iterator[Any]:
    """An upstream proxy whose responses are malformed."""
    listener = Listener(_respond)
    ca_file = certificate_folder() / "mitmproxy-ca-cert.pem"
    yield SimpleNamespace(proxy_url=f"http://127.0.0.1:{listener.port}", ca_file=ca_file)
    listener.close()


@pytest.fixture
def failing(tmp_path: Path) -> list[str]:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    return ["-s", str(script)]


def logs() -> str:
    """Return the content of the log files."""
    return "".join(path.read_text() for path in log_files(data_folder() / LOG_FOLDER))


def send(proxy_url: str) -> None:
    subprocess.run(python(SEND), env=environment(HTTPS_PROXY=proxy_url), check=True, timeout=60)


def assert_unquoted(text: str) -> None:
    assert MARK not in text
    assert MARK.encode().hex() not in text


@pytest.mark.parametrize(
    "options", [{}, {"termlog_verbosity": "debug", "proxy_debug": "true"}], ids=["default", "debug"]
)
def test_plain_mitmdump_quotes_no_traffic(
    upstream: Any, failing: list[str], tmp_path: Path, options: dict[str, str]
) -> None:
    """With mitmdump's defaults and with full output, messages keep their kind and lose their quotes."""
    from scripts.launch.certificates import ensure_authority

    ensure_authority(certificate_folder())  # any certificate will do
    with Proxy(upstream, database=tmp_path / "tap.sqlite3", arguments=failing, options=options) as proxy:
        proxy.wait_for_output("Unhandled error in task (KeyError at ")
        send(proxy.proxy_url)
        assert proxy.stop() == 0
        output = proxy.output()
    assert_unquoted(output)
    for kind in ("Invalid header line", "Bad HTTP request line", "Client closed connection before completing"):
        assert kind in output
    assert "Addon error (ValueError at failing.py:" in output


@pytest.mark.parametrize(
    "asked",
    [[], ["--set", "termlog_verbosity=debug", "--set", "proxy_debug=true", "--flow-detail", "1"]],
    ids=["unasked", "asked-for-all"],
)
def test_the_proxy_quotes_no_traffic(upstream: Any, failing: list[str], asked: list[str]) -> None:
    """The terminal has only codex-tap's own lines unless mitmdump is set to print more; the log file has the rest."""
    port = free_port()
    command = launcher("proxy", [*failing, *asked], port=port)
    with started(*command, environ=environment(HTTPS_PROXY=upstream.proxy_url), stderr=subprocess.STDOUT) as process:
        read_line(process, "codex-tap: listening at")
        wait_until(lambda: "KeyError" in logs(), lambda: f"nothing was logged:\n{logs()}")
        send(f"http://127.0.0.1:{port}")
        process.terminate()
        output = process.stdout.read() if process.stdout else ""
        assert process.wait(20) == 0
    assert_unquoted(output)
    assert_unquoted(logs())
    lines = output.splitlines()
    if asked:
        assert any("client connect" in line for line in lines)
        assert any("Invalid header line" in line for line in lines)
    else:
        assert [line for line in lines if not line.startswith("codex-tap: ")] == []
    assert "Unhandled error in task (KeyError at failing.py:" in logs()
    assert "Addon error (ValueError at failing.py:" in logs()


def test_run_quotes_no_traffic(upstream: Any) -> None:
    """The command's terminal has no lines of the proxy."""
    done = run(*python(SEND), environ=environment(HTTPS_PROXY=upstream.proxy_url))
    assert (done.returncode, done.stdout) == (0, "")
    assert [line for line in done.stderr.splitlines() if not line.startswith("codex-tap: ")] == []
    assert_unquoted(done.stderr + logs())


# A command that leaves a connection through the proxy to a process that outlives it, as Codex's own helpers do.
HOLDING = """
import os, socket, subprocess, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
client = socket.create_connection((proxy.hostname, proxy.port))
client.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\\r\\n\\r\\n" % int(sys.argv[1]))
assert b" 200 " in client.recv(1000)
keeper = [sys.executable, "-c", "import sys; sys.stdin.read()"]
subprocess.Popen(keeper, stdin=client.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


@POSIX
def test_a_connection_that_is_open_at_the_end_is_not_reported(backend: Backend) -> None:
    """Python before 3.12.2 reports each as a failure of 21 lines."""
    done = run(*python(HOLDING, str(backend.port)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert logs() == ""


@pytest.mark.parametrize("kind", ["run", "proxy"])
def test_a_client_without_trust_is_reported(backend: Backend, kind: str) -> None:
    """A line reports, once for each host, that a client does not trust the proxy's certificate."""
    untrusting = GET.replace('os.environ["CODEX_CA_CERTIFICATE"]', "None")
    expected = "a client does not trust the proxy's certificate for chatgpt.com"
    words = python(untrusting, "https://chatgpt.com/")
    if kind == "run":
        done = run(*words, environ=behind(backend))
        assert done.stderr.splitlines()[-1] == f"codex-tap: proxy: {expected}"
        return
    port = free_port()
    with started(*launcher("proxy", [], port=port), environ=behind(backend)) as process:
        read_line(process, "codex-tap: listening at")
        for _ in range(2):
            subprocess.run(
                words, env=environment(HTTPS_PROXY=f"http://127.0.0.1:{port}"), check=False, stderr=subprocess.DEVNULL
            )
        process.terminate()
        assert process.stdout
        assert process.stdout.read() == f"codex-tap: {expected}\n"


def test_an_upstream_without_trust_is_reported(backend: Backend) -> None:
    """Behind a company's authority that is not configured, the line has OpenSSL's reason."""
    done = run(*python(GET, "https://chatgpt.com/"), environ=environment(HTTPS_PROXY=backend.proxy_url))
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("codex-tap: ")]
    assert line.startswith("codex-tap: proxy: no TLS connection to chatgpt.com: Certificate verify failed: ")


@POSIX
def test_the_log_is_private_and_optional(backend: Backend, failing: list[str]) -> None:
    """It has mode 0600 in a folder of 0700; if it cannot be written, the proxy works without it."""
    folder = data_folder() / LOG_FOLDER
    for writable in (True, False):
        if not writable:
            for path in log_files(folder):
                path.unlink()
            folder.rmdir()
            folder.write_text("in the way")
        port = free_port()
        with started(*launcher("proxy", failing, port=port), environ=behind(backend)) as process:
            read_line(process, "codex-tap: listening at")
            if writable:
                wait_until(lambda: "KeyError" in logs(), lambda: "nothing was logged")
                (path,) = log_files(folder)
                assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, path)] == [0o700, 0o600]
            done = run(*python(GET, "https://other.example/"), proxy=f"127.0.0.1:{port}", environ=behind(backend))
            assert done.stdout == "200 a page of other.example\n"
            process.terminate()
            assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("client connect", "client connect"),
        ("server connect chatgpt.com:443 (192.0.2.1:443)", "server connect"),
        (f"127.0.0.1:4711: Invalid header line: b'Authorization: {MARK}'", "Invalid header line"),
        (f"[::1]:4711: HTTP/2 protocol error: {MARK}", "HTTP/2 protocol error"),
        ("Server TLS handshake failed. Certificate verify failed: self-signed certificate", None),
        (f"Client TLS handshake failed. The client does not trust the proxy's certificate for {MARK} (x)", None),
        ("stream reset by client (CANCEL)", "stream reset by client (CANCEL)"),
        (f"stream reset by client ({MARK})", "stream reset by client"),
        ("Connection killed.", "Connection killed."),
        (f"Received WebSocket ping from client (payload: b'{MARK}')", "Received WebSocket ping from client"),
        (f"{MARK}: client connect", ""),
        (MARK, ""),
        ("", ""),
    ],
)
def test_the_kind_of_a_message(message: str, kind: str | None) -> None:
    """A known message keeps its beginning, an unknown one is left out."""
    found = reduced(message)
    assert_unquoted(found)
    assert found and message.startswith(found) if kind is None else found == kind
