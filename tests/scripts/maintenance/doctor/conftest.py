"""A database, a certificate authority, and programs and servers that stand in for Codex and its proxy."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.demo.certificates import Authority
from store.files import certificate_folder
from tests.support.databases import record
from tests.support.factories import used
from tests.support.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one reading of noon."""
    return record(tmp_path / "tap.sqlite3", used(13))


@pytest.fixture
def address() -> str:
    """An address without a server."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The files of a certificate authority, as the proxy creates them."""
    folder = certificate_folder()
    folder.mkdir(parents=True)
    key = folder / "mitmproxy-ca.pem"
    key.touch(mode=0o600)
    certificate = folder / "mitmproxy-ca-cert.pem"
    certificate.write_bytes(Authority(tmp_path).ca_file.read_bytes())
    return certificate


@pytest.fixture
def proxy(certificate: Path) -> Iterator[str]:
    """The address of a server that responds like a proxy with that authority."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(certificate.read_bytes())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def codex(tmp_path: Path) -> str:
    """A PATH that begins with a folder with a codex."""
    if sys.platform == "win32":
        (tmp_path / "codex.cmd").write_text("@echo codex-cli 0.169.0\r\n")
    else:
        program = tmp_path / "codex"
        program.write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
        program.chmod(0o700)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
