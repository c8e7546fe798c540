"""The stream of changes, over loopback."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING

from scripts.support.database import open_for_writing
from store.edits import rename_account
from tests.support.databases import record
from tests.support.harness import wait_until
from tests.support.web_database import reading
from tests.support.web_server import Site, events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def test_each_change_is_an_event(path: Path) -> None:
    """The stream begins with an event; each change by any program adds one, also to a file that is created later."""
    other = path.with_name("later.sqlite3")
    cases: list[tuple[Path, list[Callable[[], object]]]] = [
        (path, [lambda: record(path, reading(14)), lambda: _rename(path)]),
        (other, [lambda: record(other, reading(1)), lambda: record(other, reading(2))]),
    ]
    for database, changes in cases:
        with Site(database) as site, events(site.port) as lines:
            assert [next(lines) for _ in range(2)] == ["retry: 2000", "event: change"]
            number = _number(next(lines))
            for change in changes:
                change()
                assert next(lines) == "event: change"
                later = _number(next(lines))
                assert later > number
                number = later


def _rename(path: Path) -> None:
    with open_for_writing(path) as connection:
        rename_account(connection, 1, "work")


def _number(line: str) -> int:
    found = re.fullmatch(r'data: \{"number": (\d+), "at": \d+\}', line)
    assert found, line
    return int(found[1])


def test_a_closed_stream_frees_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed streams do not count against the limit; above the limit the response is a 503."""
    monkeypatch.setattr("scripts.web.change_stream.MAX_LISTENERS", 2)
    with Site(path) as site:
        for _ in range(3):
            with events(site.port) as first, events(site.port) as second:
                assert (next(first), next(second)) == ("retry: 2000", "retry: 2000")
                refused = site.get("/api/stream")
                assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
            wait_until(lambda: site.api.state.hub.listeners == 0, lambda: "streams are still held")


def test_many_requests_at_once_get_no_more_streams(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that arrive together share out the places, and the others get a 503."""
    monkeypatch.setattr("scripts.web.change_stream.MAX_LISTENERS", 4)
    request = b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Site(path) as site, contextlib.ExitStack() as clients:
        opened = [
            clients.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", site.port), 20)))
            for _ in range(40)
        ]
        for client in opened:
            client.sendall(request)
        statuses = [client.recv(12)[-3:] for client in opened]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (4, 36)
