"""The promises of SECURITY.md, each checked on real programs: trusted hosts, access, and leftovers."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from mitmproxy.http import Headers

from addon.tap import Tap
from scripts.demo.certificates import Authority
from scripts.demo.client import RESPONSES, CodexClient
from scripts.demo.codex import make_token
from scripts.demo.http_heads import read_head
from scripts.demo.replies import Answer, WireWindow, limit_headers, rate_limits_event
from scripts.demo.transport import InterruptedTurnError
from store.database import open_reader
from store.errors import MissingError
from tests.support.harness import REPOSITORY, Listener, Proxy, connected, wait_until
from tests.support.tap_line import Line, request, upgraded
from tests.support.tap_line import proxy as taps_proxy

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from scripts.demo.backend import Backend
    from scripts.demo.transport import Reply

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes, owners and links are a POSIX matter here")
NOW = int(time.time())
ADDRESS = "203.0.113.7"  # set aside for documentation: nobody is there
FOREIGN = "other.example"
HONEST = 77.0
_SECONDS = 10  # of a client, where an answer may never come
_numbers = itertools.count()


def figures(used: float) -> dict[str, str]:
    """Return the headers of a response with its own used percent."""
    return limit_headers(WireWindow(used, 300, NOW + 9_000), plan="plus", active="premium")


def readings(path: Path, account: str) -> list[float | None]:
    """Return the stored figures of an account, in the order of their arrival."""
    query = (
        "SELECT used_5h_percent FROM snapshots JOIN accounts ON accounts.id = snapshots.account"
        " WHERE account_id = ? ORDER BY snapshots.id"
    )
    try:
        with contextlib.closing(open_reader(path)) as connection:
            return [row[0] for row in connection.execute(query, (account,))]
    except (MissingError, sqlite3.OperationalError):
        return []


# Who is believed


@pytest.fixture(scope="module", name="path")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("believed") / "tap.sqlite3"


@pytest.fixture(scope="module", name="proxy")
def _proxy(backend: Backend, path: Path) -> Iterator[Proxy]:
    with Proxy(backend, database=path) as proxy:
        yield proxy


@pytest.fixture(params=["http1", "http2", "websocket"], name="transport")
def _transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Names(NamedTuple):
    """What a request goes by: the target of the CONNECT, the SNI, the host of the request; the target where None."""

    target: str = "chatgpt.com"
    sni: str | None = None
    host: str | None = None


def ask(client: CodexClient, transport: str, names: Names, headers: dict[str, str] | None = None) -> Reply:
    """Take a turn, at a place that answers on any host, by these names."""
    url = RESPONSES.replace("chatgpt.com", names.target)
    turn = client.websocket_turn if transport == "websocket" else client.http_turn
    return turn("say ok", url=url, sni=names.sni, host=names.host, headers=list((headers or {}).items()))


def kept_of(
    proxy: Proxy, backend: Backend, path: Path, transport: str, told: Sequence[Names], **more: Any
) -> list[Any]:
    """Take a turn by each of these names, the first told 1 %, the next 2 %, …, then one as Codex does; what is kept.

    A proxy may also refuse to deal with such names.
    """
    account = f"acct-{next(_numbers)}"
    for used, names in enumerate(told, 1):
        backend.answer(Answer(headers=figures(used)))
        client = connected(proxy, backend, account, http2=transport == "http2", timeout=_SECONDS)
        with client, contextlib.suppress(InterruptedTurnError, OSError):
            ask(client, transport, names, **more)
    backend.answer(Answer(headers=figures(HONEST)))
    with connected(proxy, backend, account) as client:
        client.http_turn("say ok")
    wait_until(lambda: HONEST in readings(path, account), lambda: f"never recorded: {readings(path, account)}")
    return readings(path, account)


BELIEVED = {
    "as-codex-does": Names(),
    "upper-case": Names(sni="ChatGPT.com", host="CHATGPT.COM"),
    "with-port": Names(host="chatgpt.com:443"),
    "trailing-dot": Names(target="chatgpt.com.", sni="chatgpt.com", host="chatgpt.com."),
    "its-address": Names(target=ADDRESS, sni="chatgpt.com", host="chatgpt.com"),
    "another-watched-host": Names(host="api.openai.com"),
}

NOT_BELIEVED = {
    "foreign": Names(FOREIGN),
    "foreign-target": Names(FOREIGN, host="chatgpt.com"),
    "foreign-target-and-host": Names(FOREIGN, sni="chatgpt.com"),
    "foreign-sni": Names(sni=FOREIGN),
    "foreign-host": Names(host=FOREIGN),
    "address-foreign-sni": Names(ADDRESS, sni=FOREIGN, host="chatgpt.com"),
    "address-no-sni": Names(ADDRESS, sni="", host="chatgpt.com"),
    "address-as-host": Names(ADDRESS, sni="chatgpt.com", host=ADDRESS),
    "longer": Names("chatgpt.com.evil.example"),
    "longer-host": Names(host="chatgpt.com.evil.example"),
    "prefixed": Names("notchatgpt.com"),
    "prefixed-host": Names(host="notchatgpt.com"),
    "below": Names("ab.chatgpt.com"),
    "user-of-foreign": Names(host="chatgpt.com@other.example"),
    "user-of-watched": Names(host="other.example@chatgpt.com"),
    "password": Names(host="chatgpt.com:443@other.example"),
    "path": Names(host="other.example/chatgpt.com"),
    "two-ports": Names(host="chatgpt.com:443:443"),
    "list": Names(host="chatgpt.com, other.example"),
    "nul": Names(host="chatgpt.com\x00.evil.example"),
    "look-alike-punycode": Names("xn--hatgpt-h1e.com"),
}


def test_watched_hosts_are_believed(proxy: Proxy, backend: Backend, path: Path, transport: str) -> None:
    """Case, a port, a final dot and an address whose certificate is checked against the SNI make no difference."""
    kept = kept_of(proxy, backend, path, transport, list(BELIEVED.values()))
    assert [name for used, name in enumerate(BELIEVED, 1) if used not in kept] == []


def test_others_are_not_believed(proxy: Proxy, backend: Backend, path: Path, transport: str) -> None:
    """One name that is not a watched host's, whichever it is and however it looks, and nothing is kept."""
    kept = kept_of(proxy, backend, path, transport, list(NOT_BELIEVED.values()))
    assert [name for used, name in enumerate(NOT_BELIEVED, 1) if used in kept] == []


@pytest.mark.parametrize("transport", ["http1", "http2"])
def test_look_alikes_are_not_believed(proxy: Proxy, backend: Backend, path: Path, transport: str) -> None:
    """No letter that looks like another, or that some rules of Unicode make into it, is that letter."""
    # A Cyrillic letter, a full-width one, one without its dot, and a sign behind the name.
    looks = ["\u0441hatgpt.com", "\uff43hatgpt.com", "ap\u0131.openai.com", "chatgpt.com\u212a"]
    # The client writes UTF-8 over HTTP/1.1 and Latin-1 over HTTP/2.
    sent = [Names(host=look if transport == "http1" else look.encode().decode("latin-1")) for look in looks]
    assert kept_of(proxy, backend, path, transport, sent) == [HONEST]


@pytest.mark.parametrize(
    ("names", "host"),
    [(Names(), FOREIGN), (Names(host=FOREIGN), "chatgpt.com"), (Names(host=""), FOREIGN)],
    ids=["foreign-host", "foreign-authority", "empty-authority"],
)
def test_http2_authority_and_host_must_agree(
    proxy: Proxy, backend: Backend, path: Path, names: Names, host: str
) -> None:
    """HTTP/2 has two places for the name; a foreign one in either is enough."""
    assert kept_of(proxy, backend, path, "http2", [names], headers={"host": host}) == [HONEST]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"http://{FOREIGN}/backend-api/codex/responses", "chatgpt.com"),
        ("http://chatgpt.com/backend-api/codex/responses", FOREIGN),
        ("http://chatgpt.com@other.example/backend-api/codex/responses", "chatgpt.com"),
        ("http://chatgpt.com.evil.example/backend-api/codex/responses", "chatgpt.com"),
    ],
)
def test_absolute_form_and_host_must_agree(proxy: Proxy, backend: Backend, path: Path, url: str, host: str) -> None:
    """A request without TLS names its host twice, too."""
    account = f"acct-{next(_numbers)}"
    backend.answer(Answer(headers=figures(13)))
    with (
        connected(proxy, backend, account, timeout=_SECONDS) as client,
        contextlib.suppress(InterruptedTurnError, OSError),
    ):
        client.http_turn("say ok", url=url, host=host)
    backend.answer(Answer(headers=figures(77)))
    with connected(proxy, backend, account) as client:
        client.http_turn("say ok")
    wait_until(lambda: 77.0 in readings(path, account), lambda: "never recorded")
    assert readings(path, account) == [77.0]


class Raw:
    """A backend that sends what it is told to, byte by byte, behind TLS with one certificate for whoever asks.

    answers: by the path that is asked for.
    """

    def __init__(self, folder: Path, host: str, answers: dict[str, bytes]) -> None:
        authority = Authority(folder)
        self.ca_file = authority.ca_file
        self._context = authority.server_context(host, ["http/1.1"])
        self._answers = answers
        self._listener = Listener(self._serve)
        self.proxy_url = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> Backend:
        return cast("Backend", self)  # as far as a proxy is led to it

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            read_head(client)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self._context.wrap_socket(client, server_side=True) as secure:
                while head := read_head(secure):
                    secure.sendall(self._answers[head.split()[1].decode()])


def answer(headers: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + headers + b"content-length: 2\r\n\r\nok" + more


def wire(used: float, end: bytes = b"\r\n", colon: bytes = b": ") -> bytes:
    """Return the headers of a response with line ends and colons that HTTP does not allow."""
    return b"".join(name.encode() + colon + value.encode() + end for name, value in figures(used).items())


@pytest.mark.parametrize(("host", "kept"), [("chatgpt.com", [13.0]), (FOREIGN, [])])
def test_an_address_is_believed_for_its_certificate(tmp_path: Path, host: str, kept: list[float]) -> None:
    """Whoever answers at an address has to show the certificate of the watched host that the SNI names."""
    path = tmp_path / "tap.sqlite3"
    with Raw(tmp_path, host, {"/": answer(wire(13))}) as backend, Proxy(backend, database=path) as proxy:
        with (
            connected(proxy, backend, "acct", timeout=_SECONDS) as client,
            contextlib.suppress(InterruptedTurnError, OSError),
        ):
            client.get(f"https://{ADDRESS}/", sni="chatgpt.com", host="chatgpt.com")
        proxy.stop()
        assert ("Certificate verify failed" in proxy.output()) == (not kept)
    assert readings(path, "acct") == kept


BROKEN = {
    "/unasked-answer": answer(b"", more=answer(wire(1))),
    "/bare-cr": answer(b"x-note: a\r" + wire(2, end=b"\r") + b"\n"),
    "/bare-lf-and-nul": answer(b"x-note: a\0" + wire(3, end=b"\0") + b"\r\n"),
    "/folded": answer(b"x-note: a\r\n " + wire(4, end=b"\r\n ") + b"\r\n"),
    "/space-before-colon": answer(wire(5, colon=b" : ")),
    "/no-colon": answer(wire(6, colon=b"= ")),
}


def test_what_only_looks_like_a_header_is_none(tmp_path: Path) -> None:
    """A second answer behind the first, and broken lines, tell nothing even where they come from a watched host."""
    path = tmp_path / "tap.sqlite3"
    with (
        Raw(tmp_path, "chatgpt.com", {**BROKEN, "/honest": answer(wire(13))}) as backend,
        Proxy(backend, database=path) as proxy,
    ):
        for place in (*BROKEN, "/honest"):
            with (
                connected(proxy, backend, "acct", timeout=_SECONDS) as client,
                contextlib.suppress(InterruptedTurnError, OSError),
            ):
                client.get(f"https://chatgpt.com{place}")
        proxy.stop()
        assert "Traceback" not in proxy.output()
    assert readings(path, "acct") == [13.0]


@pytest.fixture(name="line")
def _line(tmp_path: Path) -> Iterator[Line]:
    tap = Tap()
    with taps_proxy(tap) as context:
        line = Line(tap, context, tmp_path / "readings.sqlite3")
        line.configure(codex_tap_db=str(line.database))
        yield line
        tap.done()


def test_trailers_are_not_read(line: Line) -> None:
    """HTTP/2 can send headers behind the body, where no backend tells of limits."""
    flow = line.open(request())
    line.respond(flow, {})
    assert flow.response
    flow.response.trailers = Headers([(name.encode(), value.encode()) for name, value in figures(13).items()])
    line.tap.response(flow)
    line.complete(request(), figures(77))
    assert line.rows("used_5h_percent") == [(77.0,)]


# What is left behind


def parts(token: str) -> list[bytes]:
    """What a token consists of beyond its header and the beginning of its claims, which all of them share."""
    beyond = token.encode().partition(b".")[2][16:]
    return [beyond[start : start + 12] for start in range(len(beyond) - 12)]


def texts_within(*roots: object) -> bytes:
    """Return all texts and bytes that some objects and the tap's modules refer to, caches included."""
    ours = [vars(module) for name, module in sys.modules.items() if name.startswith(("addon.", "store."))]
    waiting, seen, found = [*roots, *ours], set[int](), list[bytes]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not _is_ours(each):
            continue
        seen.add(id(each))
        if isinstance(each, str):
            found.append(each.encode("utf-8", "surrogatepass"))
        elif isinstance(each, (bytes, bytearray)):
            found.append(bytes(each))
        else:
            waiting += gc.get_referents(each)
    return b"\n".join(found)


def _is_ours(each: object) -> bool:
    """Return True to search an object; modules, and classes and functions of libraries, lead everywhere."""
    if isinstance(each, types.ModuleType):
        return False
    if isinstance(each, (type, types.FunctionType)):
        return each.__module__.startswith(("addon", "store"))
    return True


SECRETS: dict[str, Any] = {
    "cookie": "session=the-marked-cookie",
    "set_cookie": "session=the-marked-answer-cookie",
    "x_codex_turn_metadata": json.dumps(
        {"turn_id": "turn-1", "workspaces": {"/home/the-marked-path": {"origin": "https://git.example/the-marked-url"}}}
    ),
}
MARKED = b"the-marked-"


def test_memory_holds_no_secret(line: Line) -> None:
    """No queue and no cache holds a token, a cookie, a path, a prompt or a response."""
    token = make_token("acct", "user", expires_at=NOW + 864_000)
    limits = json.dumps(rate_limits_event(WireWindow(14, 300, NOW + 9_000), None)).encode()
    delta = b'{"type":"response.output_text.delta","delta":"the-marked-answer"}'
    told = {**figures(13), "set-cookie": SECRETS["set_cookie"], "content-type": "text/event-stream"}
    with contextlib.closing(sqlite3.connect(line.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # so that all of it has to wait
        line.complete(
            request(token=token, **SECRETS), told, chunks=[b"data: " + delta + b"\n\n", b"data: " + limits + b"\n\n"]
        )
        line.complete(
            request(token=token, **SECRETS), {}, status=429, chunks=[b'{"error":{"message":"the-marked-answer"}}']
        )
        socket_flow = upgraded(line, told, token=token, **SECRETS)
        line.say(socket_flow, b'{"type":"response.create","model":"gpt","input":"the-marked-prompt"}', from_client=True)
        line.say(socket_flow, delta)
        line.say(socket_flow, limits)
        del socket_flow.websocket
        recorder = line.tap._recorder
        wait_until(
            lambda: line.tap._recorder is not None and b"acct" in texts_within(recorder), lambda: "nothing waits"
        )
        held = texts_within(line.tap)
        other.execute("ROLLBACK")

    assert b"gpt" in held
    assert MARKED not in held
    assert not [part for part in parts(token) if part in held]
    assert [row[0] for row in line.rows("source")] == ["headers", "sse", "upgrade", "websocket"]


SABOTAGE = """
import sys

def fail(*told, **named):
    try:
        raise KeyError(repr([getattr(each, "get_state", lambda: each)() for each in told]))
    except KeyError as error:
        raise ValueError(str(error), *map(repr, told)) from error

module, name = {place!r}
assert callable(getattr(sys.modules[module], name))
setattr(sys.modules[module], name, fail)
"""


@pytest.mark.parametrize(
    "place",
    [
        ("addon.flows", "Exchange"),
        ("addon.headers", "read"),
        ("addon.messages", "read_event"),
    ],
    ids=".".join,
)
def test_a_crash_tells_no_secret(backend: Backend, tmp_path: Path, place: tuple[str, str]) -> None:
    """Whatever an exception has in its words and in those of its causes, the log says where it was and no more."""
    path, script = tmp_path / "tap.sqlite3", tmp_path / "sabotage.py"
    script.write_text(SABOTAGE.format(place=place))
    limits = rate_limits_event(WireWindow(14, 300, NOW + 9_000), None)
    headers = {**figures(13), "set-cookie": SECRETS["set_cookie"]}
    # The model is in each event, and so in the very first that a parser fails at.
    backend.answer(Answer(headers=headers, events=[limits], text="the-marked-answer", model="the-marked-model"))
    with Proxy(
        backend,
        database=path,
        arguments=["-s", str(script)],
        options={"termlog_verbosity": "debug", "flow_detail": "1"},
    ) as proxy:
        token = make_token("acct", "user", expires_at=NOW + 864_000)
        told = [(name.replace("_", "-"), value) for name, value in SECRETS.items()]
        authorities = [proxy.ca_file, backend.ca_file]
        with CodexClient(proxy.proxy_url, authorities, token=token, account_id="acct", http2=True) as client:
            for turn in (client.http_turn, client.websocket_turn):
                reply = turn("say the-marked-prompt", headers=told)
                assert reply.messages("response.completed"), "traffic comes first"
        assert proxy.stop() == 0
        output = proxy.output()

    assert "(ValueError" in output, "that it failed is told"
    assert MARKED.decode() not in output
    assert not [part for part in parts(token) if part.decode() in output]


@POSIX
def test_files_are_private_from_the_start(backend: Backend, tmp_path: Path) -> None:
    """Even with an umask of 0, only the user can read the files that a command writes."""
    program = (
        "import json, pathlib, sys;"
        "print(json.dumps([(str(each), each.lstat().st_mode) for each in pathlib.Path(sys.argv[1]).rglob('*')]))"
    )
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "TMPDIR": str(home),
        "HTTPS_PROXY": backend.proxy_url,
        "CODEX_CA_CERTIFICATE": str(backend.ca_file),
    }
    environment.pop("CODEX_TAP_DB")
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "run", sys.executable, "-c", program, str(home)],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
        umask=0,
    )
    modes = {Path(path): mode for path, mode in json.loads(done.stdout)}
    open_to_others = {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert open_to_others == {}
    names = {re.sub("-[0-9a-f]{16}[.]pem", "", path.name) for path in modes}
    assert {"mitmproxy-ca.pem", "mitmproxy-ca-cert.pem", "codex-tap.sqlite3", "upstream", "command"} <= names


@POSIX
def test_a_proxy_refuses_a_link(backend: Backend, tmp_path: Path) -> None:
    """What somebody else laid in the database's place is neither followed nor changed."""
    target, path = tmp_path / "elsewhere.txt", tmp_path / "tap.sqlite3"
    target.write_text("theirs")
    path.symlink_to(target)
    with contextlib.suppress(RuntimeError), Proxy(backend, database=path) as proxy:
        proxy.process.wait(30)
    assert proxy.process.returncode == 1
    assert f"{path} is a link" in proxy.output()
    assert target.read_text() == "theirs"
