"""The files by which running proxies are found."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from scripts.launch.running_proxies import (
    Answer,
    RunningProxy,
    ask,
    describe,
    has_certificate,
    passes_through,
    publish,
    published,
    running_proxies,
    withdraw,
)
from store.files import proxies_folder
from tests.support.harness import Listener
from tests.support.launcher import POSIX

if TYPE_CHECKING:
    import socket
    from pathlib import Path


def proxy(path: Path, port: int = 8080, **changes: Any) -> RunningProxy:
    described = describe(f"127.0.0.1:{port}", path, ["Gateway.Example."], kind="proxy", instance="abc")
    return described._replace(**changes)


def test_a_proxy_is_found_while_it_runs(path: Path) -> None:
    """Its file is private, and is deleted at the end."""
    mine = proxy(path)
    assert running_proxies() == []
    with published(mine):
        assert running_proxies() == [mine]
        assert stat.S_IMODE(mine.file.stat().st_mode) & 0o077 == 0 or sys.platform == "win32"
    assert running_proxies() == []
    assert list(proxies_folder().iterdir()) == []


def test_the_installed_one_comes_first(path: Path) -> None:
    """It is always there; that of a run comes last."""
    kinds = ("run", "installed", "proxy")
    for number, kind in enumerate(kinds):
        publish(proxy(path, 8080 + number, kind=kind))
    assert [each.kind for each in running_proxies()] == ["installed", "proxy", "run"]


def test_what_a_proxy_records_and_watches(path: Path) -> None:
    """The database is the same by any path, and a gateway in any case."""
    mine = proxy(path)
    assert mine.records_to(path.parent / "x" / ".." / path.name)
    assert not mine.records_to(path.with_name("other"))
    assert mine.watches([])
    assert mine.watches(["GATEWAY.example"])
    assert not mine.watches(["gateway.example", "other.example"])


@POSIX
def test_the_file_of_a_proxy_that_was_killed_is_deleted(path: Path) -> None:
    """Nobody else would delete it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = proxy(path, pid=ended.pid)
    publish(stale)
    assert running_proxies() == []
    assert not stale.file.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        " " * 1_000_001 + "{}",
        "{}",
        '{"address": 5}',
        '{"address": "127.0.0.1:8080", "pid": 1, "kind": "proxy", "database": "/x", "hosts": [], "upstream": null}',
    ],
)
def test_an_invalid_file_is_left_out(path: Path, content: str) -> None:
    """It may be written at this moment."""
    mine = proxy(path)
    publish(mine)
    mine.file.write_text(content)
    assert running_proxies() == []
    assert mine.file.read_text() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pid", 0),
        ("kind", "x"),
        ("hosts", "x"),
        ("hosts", [1]),
        ("upstream", 1),
        ("address", "127.0.0.1:9"),
        ("address", "x"),
    ],
)
def test_an_invalid_value_makes_a_file_invalid(path: Path, name: str, value: object) -> None:
    """Also an address that belongs to another file's name."""
    mine = proxy(path)
    publish(mine)
    mine.file.write_text(json.dumps({**mine._asdict(), name: value}))
    assert running_proxies() == []


@POSIX
def test_a_named_pipe_is_not_opened(path: Path) -> None:
    """It would wait for a writer."""
    mine = proxy(path)
    proxies_folder().mkdir(parents=True, exist_ok=True)
    os.mkfifo(mine.file)
    assert running_proxies() == []


@POSIX
def test_a_link_is_not_believed(path: Path, tmp_path: Path) -> None:
    """Somebody else might have made it."""
    mine = proxy(path)
    publish(mine)
    mine.file.rename(tmp_path / "elsewhere")
    mine.file.symlink_to(tmp_path / "elsewhere")
    assert running_proxies() == []


def test_a_file_that_cannot_be_written_is_left_out(path: Path) -> None:
    """The proxy works without it."""
    proxies_folder().parent.mkdir(parents=True, exist_ok=True)
    proxies_folder().write_text("")
    publish(proxy(path))
    assert running_proxies() == []
    withdraw(proxy(path))
    os.unlink(proxies_folder())  # noqa: PTH108 - it is a file where a folder is expected


@pytest.mark.parametrize(
    ("response", "certificate", "passing"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nPEM\r\ntext\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\n\r\nother", False, False),
        (b"HTTP/1.1 503 no\r\nX-Codex-Tap: abc\r\n\r\nx", False, True),
        (b"HTTP/1.1 503 no\r\nX-Codex-Tap: other\r\n\r\nx", False, False),
        (b"HTTP/1.1 503 X-Codex-Tap: abc\r\n\r\nx", False, False),
    ],
)
def test_what_a_proxy_responds(path: Path, response: bytes, *, certificate: bool, passing: bool) -> None:
    """A proxy of ours has the certificate, or knows its own instance."""

    def serve(client: socket.socket) -> None:
        with client:
            client.recv(1_000)
            client.sendall(response)

    listening = Listener(serve)
    answer = ask(f"127.0.0.1:{listening.port}", 30)
    listening.close()
    assert has_certificate(answer, b"PEM\ntext\n") is certificate
    assert passes_through(proxy(path), answer) is passing


def test_a_proxy_without_an_instance_cannot_pass_through(path: Path) -> None:
    """An empty header would be anybody's."""
    assert not passes_through(proxy(path, instance=""), Answer(["", "X-Codex-Tap: "], b""))


def test_a_response_without_an_end_is_given_up() -> None:
    """A time for each piece alone would never be over."""
    ended = threading.Event()

    def drip(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while not ended.wait(0.05):
                client.sendall(b"H")

    listening = Listener(drip)
    try:
        with pytest.raises(TimeoutError):
            ask(f"127.0.0.1:{listening.port}", 0.5)
    finally:
        ended.set()
        listening.close()


@pytest.mark.parametrize("response", [b"", b"nonsense"])
def test_what_is_no_proxy(response: bytes) -> None:
    """Another server has taken the port."""

    def serve(client: socket.socket) -> None:
        with client:
            client.recv(1_000)
            client.sendall(response)

    listening = Listener(serve)
    with pytest.raises(OSError, match="it is not an HTTP proxy"):
        ask(f"127.0.0.1:{listening.port}", 30)
    listening.close()
