"""The proxies that run on this machine: each has a small private file, by which ``run`` and ``env`` find it.

Two proxies in a row that record to the same database would record each turn twice. So a command whose environment leads
to a running proxy already uses that one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from scripts.launch.holder import INSTANCE_HEADER, PROBED_HOST
from scripts.support.errors import WRONG_USE, LaunchError
from store.files import create_private_folder, ownership_problem, proxies_folder, proxy_file, read_regular
from store.settings import plain_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Kind = Literal["run", "proxy", "installed"]
"""A proxy of one command, one for several commands, or the installed service."""

_CERTIFICATE_REQUEST = f"GET http://{PROBED_HOST}/cert/pem HTTP/1.0\r\nHost: {PROBED_HOST}\r\n\r\n".encode()
_MAX_RESPONSE_BYTES = 65_536
_MAX_FILE_BYTES = 1_000_000


class Answer(NamedTuple):
    """A proxy's response to the request for its certificate; ``headers`` are the lines of its head."""

    headers: Sequence[str]
    body: bytes


class RunningProxy(NamedTuple):
    """A proxy, as its file describes it.

    ``pid`` is the process that holds the port; ``upstream`` is a URL without a password; ``instance`` is a text that
    the proxy alone sends while it passes connections through unread.
    """

    address: str
    pid: int
    kind: Kind
    database: str
    hosts: Sequence[str]
    upstream: str | None
    instance: str

    def watches(self, hosts: Sequence[str]) -> bool:
        """Return True if all of these gateways are watched."""
        return {plain_host(each) for each in hosts} <= set(self.hosts)

    def records_to(self, database: Path) -> bool:
        """Return True if it records to a database."""
        return self.database == _database_name(database)

    @property
    def file(self) -> Path:
        """Its file."""
        return proxy_file(self.pid, int(self.address.rpartition(":")[2]))


def new_instance() -> str:
    """Return a new text that recognises a proxy."""
    return os.urandom(16).hex()


def describe(
    address: str,
    database: Path,
    hosts: Sequence[str],
    *,
    kind: Kind,
    instance: str,
    upstream: str | None = None,
    pid: int | None = None,
) -> RunningProxy:
    """Return the description of a proxy of this process, or of the process `pid`."""
    names = [plain_host(each) for each in hosts]
    return RunningProxy(address, pid or os.getpid(), kind, _database_name(database), names, upstream, instance)


def publish(proxy: RunningProxy) -> None:
    """Write the file of a proxy; one that cannot be written is left out, because the proxy works without it."""
    path = proxy.file
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with contextlib.suppress(OSError):
        create_private_folder(path.parent)
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump({"version": 1, **proxy._asdict()}, file)


def withdraw(proxy: RunningProxy) -> None:
    """Delete the file of a proxy that ends."""
    with contextlib.suppress(OSError):
        proxy.file.unlink()


@contextlib.contextmanager
def published(proxy: RunningProxy) -> Iterator[None]:
    """Have a file for a proxy while the context is active."""
    publish(proxy)
    try:
        yield
    finally:
        withdraw(proxy)


def running_proxies() -> list[RunningProxy]:
    """Return the proxies whose process runs, the installed one first; files of other processes are deleted."""
    found = []
    try:
        names = sorted(os.listdir(proxies_folder()))  # noqa: PTH208 - a missing folder is the usual case
    except OSError:
        return []
    for name in names:
        path = proxies_folder() / name
        proxy = _read(path)
        if proxy is None:
            continue
        if is_alive(proxy.pid):
            found.append(proxy)
        else:
            withdraw(proxy)
    return sorted(found, key=lambda each: get_args(Kind)[::-1].index(each.kind))


def ask(address: str, seconds: float) -> Answer:
    """Return the response of the proxy at ``host:port`` to the request for its certificate.

    Raises:
        LaunchError: exit code 2, this is not an address.
        OSError: it does not respond in time, however much of a response has come.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise LaunchError(f"{address} is not a proxy's address; write HOST:PORT, such as 127.0.0.1:8080", WRONG_USE)
    response, deadline = bytearray(), time.monotonic() + seconds
    with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds) as connection:
        connection.sendall(_CERTIFICATE_REQUEST)
        while len(response) < _MAX_RESPONSE_BYTES and (data := connection.recv(_MAX_RESPONSE_BYTES)):
            response += data
            connection.settimeout(max(0.001, deadline - time.monotonic()))
    head, _, body = bytes(response).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1."):
        raise OSError("it is not an HTTP proxy")
    return Answer(head.decode("latin-1").split("\r\n"), body)


def passes_through(proxy: RunningProxy, answer: Answer) -> bool:
    """Return True if the proxy passes connections through unread, as it does until mitmdump has started again."""
    expected = f"{INSTANCE_HEADER}: {proxy.instance}".lower()
    return bool(proxy.instance) and expected in (line.lower() for line in answer.headers[1:])


def is_tunnel(answer: Answer) -> bool:
    """Return True if a codex-tap that holds a port passes connections through unread, whichever it is."""
    return any(line.lower().startswith(f"{INSTANCE_HEADER}:".lower()) for line in answer.headers[1:])


def has_certificate(answer: Answer, certificate: bytes) -> bool:
    """Return True if the response is this certificate (PEM)."""
    return answer.body.split() == certificate.split()


def _database_name(database: Path) -> str:
    return os.path.realpath(database)


def _read(path: Path) -> RunningProxy | None:
    """Return the proxy of a file, or None if it is not one of ours, or not written completely."""
    try:
        if ownership_problem(path):
            return None
        values = json.loads(read_regular(path, _MAX_FILE_BYTES))
        proxy = RunningProxy(**{name: values[name] for name in RunningProxy._fields})
        return proxy if _is_valid(proxy) and proxy.file == path else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_valid(proxy: RunningProxy) -> bool:
    texts = (proxy.address, proxy.database, proxy.instance, *cast("Any", proxy.hosts))
    return (
        all(isinstance(each, str) for each in texts)
        and isinstance(proxy.hosts, list)
        and isinstance(proxy.pid, int)
        and proxy.pid > 0
        and proxy.kind in get_args(Kind)
        and isinstance(proxy.upstream, str | None)
    )


def is_alive(pid: int) -> bool:
    """Return True if a process of this user runs; on Windows that is assumed."""
    if sys.platform == "win32":  # a signal would end the process; who asks the proxy finds out
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # a process of another user, which ours is not
        return False
    return True
