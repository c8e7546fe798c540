"""Programs other than Codex under ``codex-tap run``: Node.js over HTTPS, and clients of plain HTTP."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.demo.http_heads import read_head
from scripts.launch.certificates import ensure_authority, node_bundle
from scripts.support.errors import LaunchError
from store.database import open_reader
from store.files import certificate_folder
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from store.settings import default_database
from tests.support.harness import REPOSITORY, Listener, required, wait_until
from tests.support.launcher import environment, python, run

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

# A client that tunnels through HTTPS_PROXY and trusts what Node trusts by itself.
NODE = """
const http = require("http"), tls = require("tls"), proxy = new URL(process.env.HTTPS_PROXY);
async function ask(host) {
  const socket = await new Promise((resolve, reject) => {
    const asked = http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: `${host}:443` });
    asked.on("connect", (_answer, socket) => resolve(socket)).on("error", reject).end();
  });
  await new Promise((resolve) => {
    const secure = tls.connect({ socket, servername: host }, () => {
      console.log(host, secure.getPeerCertificate().issuer.CN);
      secure.end();
      resolve();
    });
    secure.on("error", (error) => { console.log(host, error.code); resolve(); });
  });
}
(async () => { for (const host of process.argv.slice(1)) await ask(host); })();
"""


@pytest.fixture(name="node", scope="module")
def _node() -> str:
    return required(shutil.which("node"), "no Node.js", "CODEX_TAP_REQUIRE_NODE")


def test_node_trusts_the_tap_and_the_users_certificates(node: str, backend: Backend, tmp_path: Path) -> None:
    """For decrypted and for tunnelled hosts; a file that Node cannot use is ignored."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
    way_out = {"HTTPS_PROXY": backend.proxy_url, "SSL_CERT_FILE": str(backend.ca_file)}
    issuers = {}
    for name, before in (("none", None), ("nonsense", nonsense), ("company", backend.ca_file)):
        environ = environment(**way_out, **({} if before is None else {"NODE_EXTRA_CA_CERTS": str(before)}))
        done = run(node, "-e", NODE, "chatgpt.com", "registry.example", environ=environ)
        assert done.returncode == 0
        issuers[name] = dict(line.split(None, 1) for line in done.stdout.splitlines())
    own = "mitmproxy"
    assert [found["chatgpt.com"] for found in issuers.values()] == [own, own, own], issuers
    assert issuers["none"]["registry.example"] == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    assert issuers["nonsense"]["registry.example"] == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    assert issuers["company"]["registry.example"] not in {own, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"}


def test_nodes_bundle(backend: Backend, tmp_path: Path) -> None:
    """It is the authority's certificate, alone or with the user's; a bundle made from a bundle is the same."""
    folder = certificate_folder()
    own = ensure_authority(folder)
    empty = tmp_path / "empty.pem"
    empty.touch()
    for unusable in (None, str(empty), str(tmp_path / "missing"), str(tmp_path), str(own)):
        assert node_bundle(folder, own, unusable) == own
    bundle = node_bundle(folder, own, str(backend.ca_file))
    assert bundle.parent == folder
    assert node_bundle(folder, own, str(bundle)) == bundle
    context = ssl.create_default_context(cafile=bundle)
    assert len(context.get_ca_certs()) == 2


def test_without_an_authority_there_is_no_bundle(backend: Backend, tmp_path: Path) -> None:
    """A shell can be set up before the first proxy creates one."""
    own = tmp_path / "ca" / "mitmproxy-ca-cert.pem"
    assert node_bundle(own.parent, own, str(backend.ca_file)) == own


def test_a_bundle_that_cannot_be_written(backend: Backend, tmp_path: Path) -> None:
    """Without it, certificates that the user relies on would be missing."""
    own = ensure_authority(certificate_folder())
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match="cannot be written"):
        node_bundle(tmp_path / "file", own, str(backend.ca_file))


# Plain HTTP

ASK = """
import http.client, os, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ[sys.argv[1]])
connection = http.client.HTTPConnection(proxy.hostname, proxy.port, timeout=20)
def pieces():
    for number in range(40):
        yield bytes(range(256)) * 64
connection.request("POST", sys.argv[2], body=pieces(), encode_chunked=True, headers={
    "Transfer-Encoding": "chunked", "X-Odd": "a  b",
    "Authorization": "Bearer made-up", "chatgpt-account-id": "acct-plain",
})
response = connection.getresponse()
first = response.read(5)
print(response.status, response.getheader("X-Odd"), response.getheader("Content-Encoding"), first, flush=True)
os.unlink(sys.argv[3])  # the server sends the rest only then
print(response.read())
"""


class PlainServer(Listener):
    """Responds to a chunked POST with a body that contradicts its header, the second half once a file is deleted."""

    def __init__(self, signal: Path) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._signal = signal
        super().__init__(self._answer)

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self.heads.append(read_head(client).decode())
            self.bodies.append(read_chunks(client))
            client.sendall(
                b"HTTP/1.1 200 OK\r\nX-Odd: c  d\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n"
                b"x-codex-primary-used-percent: 13\r\nx-codex-primary-window-minutes: 300\r\n\r\nfirst"
            )
            wait_until(lambda: not self._signal.exists(), lambda: "the client never got the first half")
            client.sendall(b"other")


def read_chunks(client: socket.socket) -> bytes:
    body = b""
    with client.makefile("rb") as lines:
        while size := int(lines.readline(), 16):
            body += lines.read(size)
            lines.readline()
        lines.readline()
    return body


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[PlainServer]:
    signal = tmp_path / "signal"
    signal.touch()
    server = PlainServer(signal)
    yield server
    server.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize(("host", "limits"), [("127.0.0.1", 0), ("localhost", 1)], ids=["foreign", "gateway"])
def test_plain_http_passes_unchanged(
    tmp_path: Path, server: PlainServer, variable: str, host: str, limits: int
) -> None:
    """With a gateway it is streamed through the tap byte for byte, and only the gateway's limits are read."""
    url = f"http://{host}:{server.port}/v1/codex/responses?a=%20b"
    done = run(*python(ASK, variable, url, str(tmp_path / "signal")), hosts=["localhost"])
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["200 c  d gzip b'first'", "b'other'"]
    (head,), (body,) = server.heads, server.bodies
    assert head.startswith("POST /v1/codex/responses?a=%20b HTTP/1.1\r\n")
    assert f"Host: {host}:{server.port}\r\n" in head
    assert "X-Odd: a  b\r\n" in head
    assert body == bytes(range(256)) * 64 * 40
    assert count_limits() == limits


def count_limits() -> int:
    with contextlib.suppress(Exception), contextlib.closing(open_reader(default_database())) as connection:
        return sum(
            len(account["limits"]) for account in load_status(connection, 0, load_accounts(connection))["accounts"]
        )
    return 0


SHOW = "import os; print(os.environ.get('HTTP_PROXY'), os.environ.get('http_proxy'))"


@pytest.mark.skipif(sys.platform == "win32", reason="one variable there")
def test_without_a_gateway_plain_http_does_not_use_the_tap() -> None:
    """The variables are unchanged, or unset."""
    assert run(*python(SHOW)).stdout == "None None\n"
    environ = environment(http_proxy="http://127.0.0.1:9")
    assert run(*python(SHOW), environ=environ).stdout == "None http://127.0.0.1:9\n"


def test_plain_http_goes_out_through_the_users_proxy(backend: Backend) -> None:
    """The tap forwards it to a proxy that both HTTPS_PROXY and HTTP_PROXY name."""
    program = (
        "import os, urllib.request; print(os.environ['http_proxy']);"
        "print(urllib.request.urlopen('http://other.example/').read().decode().strip())"
    )
    environ = environment(HTTPS_PROXY=backend.proxy_url, HTTP_PROXY=backend.proxy_url, http_proxy=backend.proxy_url)
    done = run(*python(program), hosts=["gateway.example"], environ=environ)
    proxy, page = done.stdout.splitlines()
    assert proxy not in {backend.proxy_url, ""}
    assert page == "a page of other.example"


def test_env_prints_the_variables(tmp_path: Path) -> None:
    """A shell gets the same variables as a command."""
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    options = ["--shell", "sh", "--proxy", "127.0.0.1:9", "--ca", str(authority), "--host", "gateway.example"]
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "env", *options],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    names = {line.split("=")[0].removeprefix("export ") for line in lines} - {"PATH"}
    both = {"HTTPS_PROXY", "HTTP_PROXY"}
    lower = set() if sys.platform == "win32" else {name.lower() for name in both}
    assert names == {"CODEX_CA_CERTIFICATE", "NODE_EXTRA_CA_CERTS", "CODEX_TAP_PROXY", *both, *lower}
