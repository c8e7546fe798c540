"""Traffic first: whichever function of the addon fails, and wherever a connection breaks, the client gets its bytes."""

from __future__ import annotations

import os
import re
import socket
import struct
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from addon.tap import Tap
from scripts.demo.client import RESPONSES, CodexClient
from scripts.demo.replies import (
    Answer,
    Pause,
    Reset,
    WireWindow,
    error_body,
    limit_headers,
    rate_limits_event,
    usage_document,
)
from scripts.demo.transport import InterruptedTurnError, Origin, Reply, WebsocketConnection, Wire
from tests.support.harness import ADDON, Proxy, connected, wait_until
from tests.support.load import RESETS_AT, Figure, figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.demo.backend import Backend

SCRIPT = Path(__file__).parents[1] / "support" / "fault_injection.py"
USAGE = "https://chatgpt.com/backend-api/wham/usage"
FIVE = WireWindow(13, 300, RESETS_AT)
HEADERS = limit_headers(
    FIVE, plan="plus", active="premium", credits={"has_credits": True, "unlimited": False, "balance": "1"}
)
TOLD = rate_limits_event(FIVE._replace(used=14))
TURN = Answer(headers=HEADERS, events=[TOLD], usage=usage_document(FIVE))
ZIPPED = Answer(headers=HEADERS, events=[TOLD], encoding="gzip")
BROKEN = Answer(headers=HEADERS, events=[TOLD, Pause(0.02), Reset()])
REFUSED = Answer(status=429, headers=HEADERS, body=error_body(resets_at=RESETS_AT))
HOOKS = {
    f"tap.Tap.{name}"
    for name in (
        "tls_clienthello",
        "requestheaders",
        "responseheaders",
        "response",
        "error",
        "websocket_message",
        "websocket_end",
        "client_disconnected",
    )
}


class Ask(NamedTuple):
    """A request of a client, and the response of the backend."""

    do: Callable[[CodexClient], Reply]
    answer: Answer = TURN
    http2: bool = False
    # The length of a response that breaks off depends on the streaming.
    breaks: bool = False


def turn(client: CodexClient) -> Reply:
    return client.http_turn("say ok")


ASKED = {
    "http1": Ask(turn),
    "http2": Ask(lambda client: client.http_turn("say ok", cancel=True), http2=True),
    "websocket": Ask(lambda client: client.websocket_turn("say ok")),
    "compressed": Ask(turn, ZIPPED, http2=True),
    "refused": Ask(turn, REFUSED),
    "usage": Ask(lambda client: client.get(USAGE), http2=True),
    "broken": Ask(turn, BROKEN, http2=True, breaks=True),
    "stranger": Ask(lambda client: client.get("https://registry.example/")),
}


def asked(proxy: Proxy, backend: Backend, name: str) -> object:
    """Return what a client receives that asks on its own connection."""
    ask = ASKED[name]
    backend.answer(ask.answer, account=name)
    with connected(proxy, backend, name, http2=ask.http2) as client:
        try:
            reply = ask.do(client)
        except InterruptedTurnError:
            assert ask.breaks
            return None
    return None if ask.breaks else received(reply)


def received(reply: Reply) -> tuple[Any, ...]:
    """Return the parts of a reply that are equal for each request."""
    body = re.sub(rb"resp_[0-9a-f]+", b"resp_", bytes(reply.body)) if reply.header("content-encoding") is None else b""
    events = re.sub(r"resp_[0-9a-f]+", "resp_", repr([event.message for event in reply.events]))
    return reply.http_version, reply.status, sorted(reply.headers), body, events


def test_whatever_fails(backend: Backend, tmp_path: Path) -> None:
    """Each function that takes part, called or returned by a hook, fails in turn; the client's bytes stay equal."""
    path, fault, notes = (tmp_path / name for name in ("tap.sqlite3", "fault", "notes"))
    fault.write_text("")
    notes.touch()
    environment = {**os.environ, "TEST_FAULT": str(fault), "TEST_NOTES": str(notes)}
    with Proxy(backend) as bare:
        expected = {name: asked(bare, backend, name) for name in ASKED}
    loaded = ["-s", str(SCRIPT), "-s", str(ADDON), "--set", f"codex_tap_db={path}"]
    with Proxy(backend, arguments=loaded, environment=environment) as proxy:
        proxy.wait_for_output("reading the limits of")
        assert {name: asked(proxy, backend, name) for name in ASKED} == expected
        # Cached results are not computed again: the functions called the second time are called every time.
        functions_taking_part(proxy, backend, fault, notes)
        taking_part = functions_taking_part(proxy, backend, fault, notes)
        assert taking_part.keys() >= HOOKS
        for function, where in taking_part.items():
            fault.write_text(function)
            for name in where:
                assert asked(proxy, backend, name) == expected[name], f"{function} fails, {name}"
            wait_until(lambda: f"failed {function}\n" in notes.read_text(), lambda: f"{function} never failed")  # noqa: B023 (used up here)
        fault.write_text("")
        backend.answer(Answer(headers=limit_headers(FIVE._replace(used=77))), account="after")
        with connected(proxy, backend, "after", http2=True) as client:
            client.http_turn("say ok")
        wait_until(lambda: Figure("after", 77.0) in figures(path), proxy.output)
        assert proxy.stop() == 0


def functions_taking_part(proxy: Proxy, backend: Backend, fault: Path, notes: Path) -> dict[str, list[str]]:
    """Return the called functions, each with a request that called it; methods of the tap with up to three."""
    found: dict[str, list[str]] = {}
    fault.write_text("?")
    for name in ASKED:
        notes.write_text("")
        connections = proxy.output().count("client connect")
        asked(proxy, backend, name)
        wait_until(partial(is_read, proxy, notes, connections), proxy.output)
        for function in re.findall(r"^called (.+)$", notes.read_text(), re.MULTILINE):
            where = found.setdefault(function, [])
            if name not in where and len(where) < (3 if function.startswith("tap.Tap.") else 1):
                where.append(name)
    return found


def is_read(proxy: Proxy, notes: Path, connections: int) -> bool:
    """Return True if all connections after the first `connections` have ended and the recorder's queue is read."""
    called = notes.read_text().splitlines()
    ended = called.count("called tap.Tap.client_disconnected")
    return ended >= proxy.output().count("client connect") - connections > 0 and called.count("taken") >= called.count(
        "called Recorder.put"
    )


def test_a_stranger_keeps_their_own_tls_when_we_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose host cannot be determined is not intercepted."""
    tap = Tap()
    monkeypatch.setattr(tap, "_hosts", None)
    hello: Any = SimpleNamespace(ignore_connection=False)

    tap.tls_clienthello(hello)

    assert hello.ignore_connection is True


# Connections that break

LEFTOVERS = """
import gc, os
from collections import Counter
from pathlib import Path

class Leftovers:
    def done(self):
        gc.collect()
        kinds = Counter(type(each).__name__ for each in gc.get_objects())
        wanted = ("Exchange", "Turn", "BodyTap", "EventSplitter", "WebSocketMessage", "HTTPFlow")
        Path(os.environ["TEST_NOTES"]).write_text(str({kind: kinds[kind] for kind in wanted if kinds[kind]}))

addons = [Leftovers()]
"""
"""A mitmproxy script that notes at the end which flows, and objects of the tap for them, are still in memory."""


def gone_mid_answer(client: CodexClient) -> None:
    """A client that gives up in the middle of a response."""
    with pytest.raises(InterruptedTurnError):
        client.http_turn("say ok")


def gone_mid_turn(client: CodexClient) -> None:
    """The same, on a websocket."""
    with pytest.raises(InterruptedTurnError):
        client.websocket_turn("say ok")


def half_a_frame(client: CodexClient) -> None:
    """A client that is cut off within a websocket frame: the head says 200 bytes, none comes."""
    gone_mid_turn(client)
    websocket = WebsocketConnection(*opened(client), [], deflate=False)
    websocket.wire.send(b"\\x81\\xfe\\x00\\xc8\\x01\\x02\\x03\\x04{")
    cut(websocket.wire)


def half_a_request(client: CodexClient) -> None:
    """A client that is cut off within its request's body."""
    wire, host, target = opened(client)
    head = [f"POST {target} HTTP/1.1", f"Host: {host}", "Content-Length: 1000"]
    login = [f"{name.decode()}: {value.decode()}" for name, value in client._login()]
    wire.send("\\r\\n".join([*head, *login, "", "half"]).encode())
    cut(wire)


def opened(client: CodexClient) -> tuple[Wire, str, str]:
    """A connection of the client's to Codex's backend, the host and the path there."""
    target = urlsplit(RESPONSES)
    return client._open(Origin("https", target.netloc, 443, target.netloc, ("http/1.1",))), target.netloc, target.path


def cut(wire: Wire) -> None:
    """Reset the connection."""
    wire.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def test_nothing_is_left_of_what_broke(backend: Backend, tmp_path: Path) -> None:
    """Nothing of a connection stays in memory, however and on whichever side it ends."""
    path, script, notes = (tmp_path / name for name in ("tap.sqlite3", "leftovers.py", "notes"))
    script.write_text(LEFTOVERS)
    stalls = Answer(headers=HEADERS, events=[TOLD, Pause(5)])
    environment = {**os.environ, "TEST_NOTES": str(notes)}
    with Proxy(backend, database=path, arguments=["-s", str(script)], environment=environment) as proxy:
        proxy.wait_for_output("reading the limits of")
        for answer in (stalls, BROKEN):
            backend.answer(answer, account="breaks")
            for breaks in (gone_mid_answer, gone_mid_turn, half_a_frame, half_a_request):
                for http2 in (False, True):
                    with connected(proxy, backend, "breaks", http2=http2, timeout=0.75) as client:
                        breaks(client)
        with connected(proxy, backend, "whole", http2=True) as client:
            client.http_turn("say ok")
        wait_until(
            lambda: proxy.output().count("client disconnect") >= proxy.output().count("client connect"), proxy.output
        )
        assert proxy.stop() == 0
    assert notes.read_text() == "{}"
