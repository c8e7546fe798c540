"""What a closed connection leaves behind in a real proxy."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from addon.connection_cleanup import ConnectionCleanup
from tests.support.harness import Proxy, connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

CONNECTIONS = 12

# The collector is off, so that only the tap's own cleanup can free the TLS objects.
_WATCH = """
import gc
from OpenSSL import SSL
from mitmproxy import ctx

closed = 0

class Watch:
    def running(self):
        gc.disable()

    def client_disconnected(self, client):
        ctx.master.event_loop.call_later(1.5, self.report)

    def report(self):
        global closed
        closed += 1
        alive = sum(isinstance(each, SSL.Connection) for each in gc.get_objects())
        print(f"closed {closed}, alive {alive}", flush=True)

addons = [Watch()]
"""


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1", "HTTP/2"])
def test_the_tls_of_a_closed_connection_is_freed(backend: Backend, tmp_path: Path, http2: bool) -> None:
    """No TLS object of a closed connection is left, with its client or with a server."""
    script = tmp_path / "watch.py"
    script.write_text(_WATCH, encoding="utf-8")
    with Proxy(backend, database=tmp_path / "tap.sqlite3", arguments=["-s", str(script)]) as proxy:
        for number in range(CONNECTIONS):
            with connected(proxy, backend, f"acct-{number}", http2=http2) as client:
                client.http_turn("hi")
        # One more: the connection by which the test sees that the proxy listens.
        proxy.wait_for_output(f"closed {CONNECTIONS + 1},")
        assert f"closed {CONNECTIONS + 1}, alive 0" in proxy.output()


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


class Circle:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("unfrozen")
def test_objects_of_the_start_are_left_out() -> None:
    """Collections skip the objects of the program itself; a second start leaves out no others."""
    cleanup = ConnectionCleanup(lambda _seconds, _free: None)
    before = weakref.ref(Circle())
    cleanup.begin()
    assert before() is None
    frozen = gc.get_freeze_count()
    assert frozen > 0
    kept = [Circle() for _ in range(100)]
    cleanup.begin()
    assert gc.get_freeze_count() <= frozen
    assert len(kept) == 100
