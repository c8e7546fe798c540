"""A database, a certificate authority, and programs and servers that stand in for Codex and its proxy."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.launch.certificates import ca_certificate, ensure_authority
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


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, which takes a second to make."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    ensure_authority(folder)
    return folder


@pytest.fixture
def certificate(authority_folder: Path) -> Path:
    """The files of a certificate authority in the user's folder."""
    shutil.copytree(authority_folder, certificate_folder())
    return ca_certificate(certificate_folder())


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
