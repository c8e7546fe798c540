"""A stand-in for OpenAI's backend on this machine, complete enough for a turn of the real Codex CLI.

    with Backend() as backend:
        backend.answer(Answer(headers=limit_headers(WireWindow(13, 300, reset_at))), account="account-1")
        …                       # Codex behind a proxy with the upstream backend.proxy_url that trusts backend.ca_file
        backend.requests        # the requests so far

It is reached through `backend.proxy_url`, an HTTP proxy that accepts every CONNECT and plays every host. Codex's paths
get Codex's responses on all hosts; any other path is a 404 on OpenAI's hosts and a page on all others.

As a program, `python -m scripts.demo.backend [--http2]` prints one JSON line `{"proxy_url", "ca_file"}` and serves
until its standard input closes. Each line of the input is `{"answer": {…fields of Answer…}, "account"|"token"|"host":
…}`; it is applied and acknowledged with `{"answered": true}`. A number among the events is a pause in seconds.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
import tempfile
import threading
import uuid
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import brotli
import zstandard

from scripts.demo.certificates import Authority
from scripts.demo.http_heads import wire_headers
from scripts.demo.replies import Answer, Encoding, Headers, Json, Page, Pause, Reset, turn_events
from scripts.demo.server import Http1Responder, Request, Responder, Server, ServerWebsocket, Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from scripts.demo.http_heads import WireHeaders

_Key: TypeAlias = tuple[Literal["account", "token", "host"], str]

_OPENAI = (".chatgpt.com", ".openai.com")
_ALSO_LIMITED = ("/responses/compact", "/alpha/search", "/images/generations", "/images/edits")
_START_SECONDS = 10
_STOP_SECONDS = 10


class Backend:
    """The stand-in; it runs in a thread of its own during its `with` block. Its methods are thread-safe."""

    proxy_url: str
    """`http://127.0.0.1:PORT`, the proxy through which it is reached."""

    port: int
    """The port of `proxy_url`."""

    ca_file: Path
    """The certificate (PEM) of the authority that signs for every host."""

    def __init__(self, *, http2: bool = False, record: bool = True) -> None:
        """Prepare the stand-in; the `with` block starts it.

        Args:
            http2: offer HTTP/2 as well as HTTP/1.1.
            record: store `requests` with their bodies.
        """
        self._http2 = http2
        self._record = record
        self._answers: dict[_Key | None, Answer] = {None: Answer()}
        self._requests: list[Request] = []
        self._folder = tempfile.TemporaryDirectory(prefix="codex-tap-backend-")
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stand-in backend", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or self._failure is not None:
            raise RuntimeError("the stand-in backend did not start") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every connection; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(_STOP_SECONDS)
        self._folder.cleanup()

    def answer(
        self, answer: Answer, *, account: str | None = None, token: str | None = None, host: str | None = None
    ) -> None:
        """Set the response to a ChatGPT account, a bearer token or a host; without any of them, to all others.

        A host takes precedence over an account (the `chatgpt-account-id` header), and an account over a token. An open
        websocket uses it from its next turn on. Pages of hosts that are not OpenAI's can only be set by host.
        """
        named: list[_Key | None] = []
        if account is not None:
            named.append(("account", account))
        if token is not None:
            named.append(("token", token))
        if host is not None:
            named.append(("host", host))
        for key in named or [None]:
            self._answers[key] = answer

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order of arrival; those of a websocket are its upgrade and each message."""
        return list(self._requests)

    @property
    def tunnels(self) -> list[Tunnel]:
        """Every CONNECT so far whose TLS handshake has succeeded or failed."""
        return list(self._server.tunnels)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - reported by __enter__, in the thread that waits for it
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        authority = Authority(Path(self._folder.name))
        self._server = Server(authority, self._handle, http2=self._http2)
        self.port = await self._server.start()
        self.proxy_url = f"http://127.0.0.1:{self.port}"
        self.ca_file = authority.ca_file
        self._ready.set()
        await self._stopped.wait()
        await self._server.stop()

    async def _handle(self, responder: Responder) -> None:
        request = responder.request
        self._record_request(request)
        path = request.path.partition("?")[0].removeprefix(f"http://{request.host}")
        answer = self._answer_to(request)
        if path in answer.pages:
            await _send_page(responder, answer.pages[path])
        elif path.endswith("/responses") and isinstance(responder, Http1Responder) and request.transport == "ws":
            await self._websocket(responder, answer)
        elif path.endswith("/responses") and request.method == "POST":
            await _http_turn(responder, answer)
        else:
            await _send_page(responder, self._page(request, path, answer))

    def _record_request(self, request: Request) -> None:
        if self._record:
            self._requests.append(request)

    def _page(self, request: Request, path: str, answer: Answer) -> Page:
        if path.endswith(("/wham/usage", "/api/codex/usage")):
            return _NOT_FOUND if answer.usage is None else Page(body=answer.usage)
        if path.endswith("/wham/accounts/check"):
            return Page(body=_accounts(request))
        if path.endswith(_ALSO_LIMITED) and request.method == "POST":
            return Page(answer.status, answer.headers, answer.body or {})
        if f".{_hostname(request)}".endswith(_OPENAI):
            return _NOT_FOUND
        answer_to_host = self._answers.get(("host", _hostname(request)))
        return answer_to_host.page() if answer_to_host is not None else Page(body=f"a page of {request.host}\n")

    async def _websocket(self, responder: Http1Responder, answer: Answer) -> None:
        if answer.upgrade != HTTPStatus.SWITCHING_PROTOCOLS:
            await _send_page(responder, Page(answer.upgrade, answer.headers, answer.body))
            return
        websocket = await responder.upgrade(_wire(answer.headers))
        async for message in websocket.messages():
            self._record_request(message)
            await _websocket_turn(websocket, json.loads(message.body), self._answer_to(message))

    def _answer_to(self, request: Request) -> Answer:
        keys: list[_Key] = [
            ("host", _hostname(request)),
            ("account", request.headers.get("chatgpt-account-id", "")),
            ("token", _bearer(request)),
        ]
        found = (self._answers[key] for key in keys if key in self._answers)
        return next(found, self._answers[None])


async def _websocket_turn(websocket: ServerWebsocket, asked: Json, answer: Answer) -> None:
    model = answer.model or asked.get("model", "")
    for event in turn_events(answer, model, _response_id(), generate=asked.get("generate", True)):
        match event:
            case Pause():
                await asyncio.sleep(event.seconds)
            case Reset():
                websocket.reset()
            case bytes():
                await websocket.send(event)
            case _:
                await websocket.send(json.dumps(event))


async def _http_turn(responder: Responder, answer: Answer) -> None:
    if answer.status != HTTPStatus.OK:
        await _send_page(responder, answer.page())
        return
    encoder = _ENCODERS[answer.encoding]()
    await responder.start(200, _wire(answer.headers, "text/event-stream", answer.encoding))
    routing = responder.request.headers.get("x-codex-routing-hint", "").removeprefix("model=")
    for event in turn_events(answer, answer.model or routing, _response_id()):
        match event:
            case Pause():
                await asyncio.sleep(event.seconds)
            case Reset():
                responder.reset()
                return
            case bytes():
                await responder.send(encoder.encode(event))
            case _:
                await responder.send(encoder.encode(sse(event)))
    await responder.send(encoder.finish())
    await responder.finish()


def sse(event: Json) -> bytes:
    """Return a JSON message as a server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


async def _send_page(responder: Responder, page: Page) -> None:
    kind = "application/json" if isinstance(page.body, dict) else "text/plain"
    body = json.dumps(page.body) if isinstance(page.body, dict) else page.body
    encoder = _ENCODERS[page.encoding]()
    data = encoder.encode(body.encode() if isinstance(body, str) else body) + encoder.finish()
    length = (b"content-length", b"%d" % len(data))
    await responder.start(page.status, [*_wire(page.headers, kind, page.encoding), length])
    if responder.request.method != "HEAD":
        await responder.send(data)
    await responder.finish()


def _wire(headers: Headers, content_type: str | None = None, encoding: Encoding | None = None) -> WireHeaders:
    """Return the headers as bytes, after a content type and an encoding if the headers do not have these."""
    given = wire_headers(list(headers.items() if isinstance(headers, Mapping) else headers))
    ours = [(b"content-type", content_type), (b"content-encoding", encoding)]
    names = {name for name, _ in given}
    return [(name, value.encode()) for name, value in ours if value is not None and name not in names] + given


_NOT_FOUND = Page(404, body={"detail": "Not Found"})


def _hostname(request: Request) -> str:
    return request.host.partition(":")[0].lower()


def _bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _response_id() -> str:
    return f"resp_{uuid.uuid4().hex}"


def _accounts(request: Request) -> Json:
    """Return the response of `wham/accounts/check`, without which Codex starts no turn."""
    account = request.headers.get("chatgpt-account-id") or _claimed_account(_bearer(request))
    entry = {
        "id": account,
        "workspace_backend_origin": "NO_CONSTRAINT",
        "account_routing_override": "NO_CONSTRAINT",
        "structure": "personal",
    }
    return {"accounts": [entry], "account_ordering": [account], "default_account_id": account}


def _claimed_account(token: str) -> str:
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["https://api.openai.com/auth"]["chatgpt_account_id"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return "unknown"


class _Encoder(Protocol):
    def encode(self, data: bytes) -> bytes:
        """Compress data and flush it, so that the peer can decode all of it at once."""

    def finish(self) -> bytes:
        """Return the end of the stream."""


class _Identity:
    def encode(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._compressor = zlib.compressobj(wbits=window_bits)

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compressor: Any = brotli.Compressor()

    def encode(self, data: bytes) -> bytes:
        piece: bytes = self._compressor.process(data) + self._compressor.flush()
        return piece

    def finish(self) -> bytes:
        last: bytes = self._compressor.finish()
        return last


class _Zstandard:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor().compressobj()

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._compressor.flush()


_ENCODERS: dict[Encoding | None, Callable[[], _Encoder]] = {
    None: _Identity,
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstandard,
}


def _parse_answer(line: str) -> dict[str, Any]:
    """Return the arguments of `Backend.answer` in a line of the program's standard input."""
    asked: Json = json.loads(line)
    fields = asked.pop("answer")
    events = [Pause(event) if isinstance(event, (int, float)) else event for event in fields.pop("events", [])]
    return {"answer": Answer(events=events, **fields), **asked}


def main() -> None:
    """Run as a program, as the module's docstring describes."""
    with Backend(http2="--http2" in sys.argv[1:], record=False) as backend:
        print(json.dumps({"proxy_url": backend.proxy_url, "ca_file": str(backend.ca_file)}), flush=True)
        for line in sys.stdin:
            backend.answer(**_parse_answer(line))
            print(json.dumps({"answered": True}), flush=True)


if __name__ == "__main__":
    main()
