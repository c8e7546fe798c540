"""A real, unpatched mitmdump in front of the stand-in backend, Codex behind it, and helpers of process tests."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from scripts.demo.client import CodexClient
from scripts.demo.codex import find_codex, make_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from scripts.demo.backend import Backend

LONG = bool(os.environ.get("CODEX_TAP_LONG"))
"""True runs tests of chance and of many cases in full, which takes hours; the gate takes a part of them."""

REPOSITORY = Path(__file__).resolve().parents[2]
ADDON = REPOSITORY / "addon" / "codex_tap.py"

# -P keeps the current folder off sys.path: mitmdump must work the same wherever it is started.
MITMDUMP = [
    sys.executable,
    "-P",
    "-c",
    "import sys; from mitmproxy.tools.main import mitmdump; sys.exit(mitmdump())",
]
_STOP_SECONDS = 15
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_CODEX_VARIABLES = (
    "codex_ca_certificate",
    "ssl_cert_file",
    "openai_api_key",
    "codex_api_key",
    "codex_access_token",
)


class Proxy:
    """mitmdump as a program on a free loopback port, led to `backend` by upstream mode, while the `with` block lasts.

    database: loads the addon with this `codex_tap_db`; None is bare mitmdump.
    options: further options, as for `--set`.
    arguments: further arguments; `["-q"]` silences mitmdump's own dumper.
    environment: of the process; the caller's own by default.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        database: Path | None = None,
        options: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="codex-tap-proxy-", ignore_cleanup_errors=True)
        self.confdir = Path(self._folder.name)
        self.ca_file = self.confdir / "mitmproxy-ca-cert.pem"
        self.port = free_port()
        self.proxy_url = f"http://127.0.0.1:{self.port}"
        settings = {
            "confdir": str(self.confdir),
            "ssl_verify_upstream_trusted_ca": str(backend.ca_file),
            **({} if database is None else {"codex_tap_db": str(database)}),
            **(options or {}),
        }
        self._command = [
            *MITMDUMP,
            *("--mode", f"upstream:{backend.proxy_url}", "--listen-host", "127.0.0.1"),
            *("--listen-port", str(self.port)),
            *([] if database is None else ["-s", str(ADDON)]),
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
            *arguments,
        ]
        # Python holds lines for a pipe back; the tests wait for them.
        self._environment = {**(os.environ if environment is None else environment), "PYTHONUNBUFFERED": "1"}
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=self.confdir,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_until_it_listens()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run_to_the_end(self) -> tuple[int, str]:
        """Run it until it ends by itself, without a client; return its exit code and output."""
        with self._folder:
            done = subprocess.run(
                self._command,
                cwd=self.confdir,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=30,
                check=False,
            )
        return done.returncode, done.stdout

    def stop(self, sent: int = signal.SIGTERM) -> int:
        """Stop it by SIGTERM or another signal, read the rest of its output, and return the exit code."""
        self.process.send_signal(sent)
        code = self.process.wait(_STOP_SECONDS)
        self._reader.join(_STOP_SECONDS)
        return code

    def kill(self) -> None:
        """Kill it: it cannot clean up."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)

    def output(self) -> str:
        """Return its standard output and error so far."""
        return "".join(self._lines)

    def wait_for_output(self, text: str) -> None:
        """Wait until its output contains `text`; raise `TimeoutError` if it never does."""
        wait_until(lambda: text in self.output(), lambda: f"mitmdump never said {text!r}:\n{self.output()}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    def _wait_until_it_listens(self) -> None:
        def ended_or_listens() -> bool:
            return self.process.poll() is not None or _listens(self.port)

        wait_until(ended_or_listens, lambda: f"mitmdump does not listen:\n{self.output()}")
        if self.process.poll() is not None:
            self._reader.join(_STOP_SECONDS)
            raise RuntimeError(f"mitmdump ended with {self.process.returncode}:\n{self.output()}")

    def _end(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self._reader.join(_STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._folder.cleanup()


class Listener:
    """Accepts connections on a free loopback port until it is closed, and serves each in a thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        # Closing the socket alone does not wake the accepting thread.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()


def connected(proxy: Proxy, backend: Backend, account: str, *, http2: bool = False, timeout: float = 30) -> CodexClient:
    """Return a client with its own login, which trusts the proxy and, for tunnelled hosts, the stand-in."""
    token = make_token(account, f"user-of-{account}", expires_at=int(time.time()) + 864_000)
    authorities = [proxy.ca_file, backend.ca_file]
    return CodexClient(proxy.proxy_url, authorities, token=token, account_id=account, http2=http2, timeout=timeout)


def codex_environment(proxy: Proxy, home: Path) -> dict[str, str]:
    """Return an environment for Codex behind `proxy` with CODEX_HOME `home`, without the user's Codex and proxies."""
    dropped = (*_PROXY_VARIABLES, *_CODEX_VARIABLES)
    kept = {name: value for name, value in os.environ.items() if name.lower() not in dropped}
    user = home.parent / f"{home.name}-user"
    user.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        "HOME": str(user),
        "USERPROFILE": str(user),
        "CODEX_HOME": str(home),
        "CODEX_CA_CERTIFICATE": str(proxy.ca_file),
        "HTTPS_PROXY": proxy.proxy_url,
    }


def require_codex() -> str:
    """Return the real Codex; without one, skip the test, or fail it if `CODEX_TAP_REQUIRE_CODEX` is 1."""
    return required(find_codex(), "no Codex CLI: install it, or name it in CODEX_TAP_CODEX", "CODEX_TAP_REQUIRE_CODEX")


def required(program: str | None, reason: str, variable: str) -> str:
    """Return the program; if it is None, skip the test for that reason, or fail it if the variable is 1."""
    if program is not None:
        return program
    if os.environ.get(variable) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a free loopback port below the range of outgoing connections."""
    # The seeded `random` gives every test process the same ports at the same time.
    for port in random.SystemRandom().sample(range(20_000, 32_000), 50):
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def wait_until(holds: Callable[[], bool], failure: Callable[[], str], seconds: float = 30) -> None:
    """Wait until `holds()` is true; raise `TimeoutError` with the text of `failure()` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(failure())
        time.sleep(0.02)


def processes_with(marker: str) -> dict[int, str]:
    """Return the command lines of the processes whose environment contains a text, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end in the middle of this.
        with suppress(OSError):
            if marker.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
