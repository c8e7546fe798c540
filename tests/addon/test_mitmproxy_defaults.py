"""Defaults of mitmproxy that would change the traffic, in a real mitmdump whose idle time runs 600 times faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mitmproxy.options import Options

from scripts.demo.transport import InterruptedTurnError
from tests.support.harness import Proxy, connected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.demo.backend import Backend
    from scripts.demo.client import CodexClient

# Ten minutes become a second. Three seconds after a connection has come, the proxy says that its time is over.
HURRY = """
import asyncio
from mitmproxy.proxy import server

class Hurried(server.TimeoutWatchdog):
    def __init__(self, timeout, callback):
        super().__init__(timeout / 600, callback)

server.TimeoutWatchdog = Hurried

def websocket_start(flow):
    asyncio.get_running_loop().call_later(3, lambda: print("the idle time is over", flush=True))

def tls_clienthello(data):
    if data.context.server.address[0] == "other.example":
        asyncio.get_running_loop().call_later(3, lambda: print("the idle time is over", flush=True))
"""


def websocket_turn(client: CodexClient) -> None:
    assert client.websocket_turn("say ok").messages("response.completed")


def tunnelled_request(client: CodexClient) -> None:
    assert client.get("https://other.example/").status == 200


def connections(backend: Backend) -> tuple[int, int]:
    """How many websockets were opened, and how many tunnels to the host that is not watched."""
    upgrades = [asked for asked in backend.requests if asked.transport == "ws" and asked.method == "GET"]
    return len(upgrades), len([tunnel for tunnel in backend.tunnels if tunnel.target == "other.example:443"])


@pytest.fixture
def hurry(tmp_path: Path) -> list[str]:
    script = tmp_path / "hurry.py"
    script.write_text(HURRY)
    return ["-s", str(script)]


@pytest.mark.parametrize("use", [websocket_turn, tunnelled_request])
def test_an_idle_connection_is_kept(
    backend: Backend, tmp_path: Path, hurry: list[str], use: Callable[[CodexClient], None]
) -> None:
    """Codex's websocket between two turns, and a tunnel, outlast the ten minutes that mitmproxy allows."""
    with (
        Proxy(backend, database=tmp_path / "tap.sqlite3", arguments=hurry) as proxy,
        connected(proxy, backend, "acct-idle") as client,
    ):
        use(client)
        before = connections(backend)
        proxy.wait_for_output("the idle time is over")
        use(client)
        assert connections(backend) == before


@pytest.mark.skipif("tcp_timeout" not in Options(), reason="mitmproxy 11 has no such option")
def test_an_idle_time_of_the_user_s_own_stays(backend: Backend, tmp_path: Path, hurry: list[str]) -> None:
    """Whoever asks for the very value that is mitmproxy's default gets it."""
    with (
        Proxy(backend, database=tmp_path / "tap.sqlite3", arguments=hurry, options={"tcp_timeout": "600"}) as proxy,
        connected(proxy, backend, "acct-idle") as client,
    ):
        websocket_turn(client)
        proxy.wait_for_output("the idle time is over")
        with pytest.raises(InterruptedTurnError):
            websocket_turn(client)
