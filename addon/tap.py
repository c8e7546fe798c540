"""The hooks: a few calls each. What they call is in the other modules of this folder.

`@guarded` keeps a failure of a hook from the proxy and from its log, which would show some of the traffic.

Each figure is read in one place: headers in `responseheaders` (the websocket upgrade included), messages in
`websocket_message`, bodies in the stream callable that `responseheaders` sets. A turn is recorded when it has ended.
The hooks give plain data to the recorder, whose thread parses it with `addon.observations.parse`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import signal
import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from mitmproxy import ctx, exceptions

from addon import bodies, headers, hosts, messages, mitmproxy_defaults, observations, turns
from addon.connection_cleanup import ConnectionCleanup
from addon.control_channel import ControlChannel, listen_address
from addon.flows import FlowClassifier
from addon.hosts import Hosts
from addon.identity import with_reported_user
from addon.log_redaction import LogRedaction, reduced
from addon.observations import EndedTurn, ObservedHeaders, ObservedMessage, SeenName
from addon.open_turns import OpenTurnsReport
from addon.traffic_counts import TrafficCounts
from store.database import open_reader
from store.errors import DatabaseError, SettingError, error_place
from store.files import load_token_secret
from store.models import SightingKind, Source
from store.queries.sightings import load_learned_hosts
from store.record.recorder import Recorder
from store.settings import DATABASE_VARIABLE, WATCHED_HOSTS, database_path, default_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mitmproxy.addonmanager import Loader
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow
    from mitmproxy.tls import ClientHelloData, TlsData

    from addon.exchange import Exchange, OpenTurn
    from addon.observations import Observation

logger = logging.getLogger(__name__)

Data = TypeVar("Data")

_EVENTS = b"text/event-stream"
_EVENT_MARKS = re.compile(b"|".join(map(re.escape, (*messages.EVENT_MARKS, *turns.END_MARKS))))
_DISTRUST = ("unknown ca", "bad certificate", "certificate unknown")
"""OpenSSL's words for the alerts of a client that does not trust a certificate."""

_LEARNED_SECONDS = 0.5
"""How long a start waits for a locked database to name the learned hosts."""

# One of each for the process: a reload of the script makes a new tap, and two watchers would share out stdin's lines.
_lifeline = ControlChannel(lambda: ctx.master.shutdown())  # noqa: PLW0108 (there is no master yet)
_counts = TrafficCounts()
_cleanup = ConnectionCleanup(lambda seconds, free: ctx.master.event_loop.call_later(seconds, free))  # noqa: PLW0108 (as above)
_log_redaction = LogRedaction(lambda: bool(getattr(ctx.master.addons.get("proxyserver"), "connections", ())))


def _end_on_hangup() -> None:
    """Shut down on SIGHUP as on SIGTERM; mitmproxy has no handler, and a closed terminal would kill it on the spot.

    An ignored SIGHUP stays ignored (nohup), and another program's handler stays in place.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
        # Signals belong to the main thread, which may not be the one of the proxy.
        with contextlib.suppress(RuntimeError, ValueError):
            ctx.master.event_loop.add_signal_handler(hangup, ctx.master.shutdown)


def _is_event_stream(fields: headers.HeaderFields) -> bool:
    return fields.content_type[: len(_EVENTS)].lower() == _EVENTS


def _begin(turn: OpenTurn, is_stream: bool, chunk: bytes) -> bool:
    """Note when the response of a turn begins; return True for the chunk that begins it.

    A stream begins with an event of its response, any other body with its first byte.
    """
    if is_stream and not turns.begins_response(chunk):
        return False
    turn.note_arrival(time.time(), begins=True)
    return True


def guarded(hook: Callable[[Tap, Data], None]) -> Callable[[Tap, Data], None]:
    """Make a hook log its failures, once for each kind, instead of raising them."""

    @functools.wraps(hook)
    def run(tap: Tap, data: Data) -> None:
        try:
            hook(tap, data)
        except Exception as error:  # noqa: BLE001 (traffic first)
            tap._log_failure_once(hook.__name__, error)  # noqa: SLF001 (of this module)

    return run


class Tap:
    """Reads Codex's limits from the traffic and gives them to the recorder."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._token_secret = os.urandom(32)
        self._flows = FlowClassifier(self._hosts, self._token_secret)
        self._exchanges: dict[str, Exchange] = {}
        self._path: Path | None = None
        self._recorder: Recorder[Observation] | None = None
        self._open_turns = OpenTurnsReport(self._exchanges)
        self._running = False
        self._logged: set[str] = set()
        self._failures: set[tuple[str, str]] = set()

    def load(self, loader: Loader) -> None:
        """Register the options, and correct those of mitmproxy that would do harm."""
        _log_redaction.install()
        mitmproxy_defaults.set_harmless(ctx.options)
        loader.add_option(
            "codex_tap_db",
            str,
            "",
            f"Database file; default: {DATABASE_VARIABLE}, else the platform's data folder.",
        )
        loader.add_option(
            "codex_tap_hosts",
            Sequence[str],
            [],
            f"Hosts to watch in addition to {', '.join(WATCHED_HOSTS)}: gateways that forward the rate-limit headers.",
        )
        loader.add_option(
            "codex_tap_keep_days",
            int,
            0,
            "Delete data older than this many days, except the newest of each limit; 0 keeps everything.",
        )
        loader.add_option(
            "codex_tap_lifeline",
            bool,
            False,
            "Report the port on stdout when ready, and end when stdin ends (set by codex-tap run).",
        )

    def configure(self, updated: set[str]) -> None:
        """Check and apply the options."""
        if "codex_tap_hosts" in updated:
            try:
                self._hosts = Hosts(ctx.options.codex_tap_hosts)
                self._flows = FlowClassifier(self._hosts, self._token_secret)
                self._learn_stored_hosts()
            except ValueError as error:
                self._reject_option(f"codex_tap_hosts: {error}")
        if ctx.options.codex_tap_keep_days < 0:
            self._reject_option("codex_tap_keep_days: give a number of days, or 0 to keep everything")
        if "codex_tap_db" in updated:
            self._open_database(ctx.options.codex_tap_db)
        if self._recorder:
            self._recorder.keep_days = max(0, ctx.options.codex_tap_keep_days)

    def running(self) -> None:
        """Log the watched hosts and the database in one line."""
        self._running = True
        _end_on_hangup()
        _cleanup.begin()
        _log_redaction.begin()
        logger.info("codex-tap: reading the limits of %s into %s", self._hosts, self._path)
        if ctx.options.codex_tap_lifeline:
            _lifeline.start(listen_address(ctx.master), _counts.summary)

    def done(self) -> None:
        """Flush everything recorded so far. Responses still in flight may be recorded afterwards."""
        self._open_turns.stop()
        if self._recorder:
            self._recorder.close()

    def client_connected(self, _client: Client) -> None:
        """Count a connection."""
        _counts.connections += 1

    @guarded
    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Tunnel connections to other hosts: git, npm and curl keep their own TLS."""
        # Tunnelled until it is known to be Codex's: if anything fails here, nobody's TLS is touched.
        decided_by_others, data.ignore_connection = data.ignore_connection, True
        address = data.context.server.address
        if self._hosts.watches(address[0] if address else None, data.client_hello.sni):
            data.ignore_connection = decided_by_others
            _counts.watched += 1

    @guarded
    def tls_start_client(self, data: TlsData) -> None:
        """Remember what is to be freed after the connection."""
        _cleanup.tls_started(data)

    @guarded
    def tls_start_server(self, data: TlsData) -> None:
        """Remember what is to be freed after the connection."""
        _cleanup.tls_started(data)

    @guarded
    def tls_failed_client(self, data: TlsData) -> None:
        """Count a client that refused the proxy's certificate, and log it once for each host."""
        _counts.refused += 1
        host, failure = data.context.client.sni, data.conn.error or ""
        if self._hosts.watches(None, host) and any(each in failure for each in _DISTRUST):
            self._log_once(logging.WARNING, f"a client does not trust the proxy's certificate for {host}")

    @guarded
    def tls_failed_server(self, data: TlsData) -> None:
        """Log, once for each host, why there is no TLS connection to it."""
        host = data.context.server.sni
        if self._hosts.watches(None, host):
            reason = reduced(data.conn.error or "") or "handshake failed"
            self._log_once(logging.WARNING, f"no TLS connection to {host}: {reason}")

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Stream the request; its headers are read together with its response."""
        flow.request.stream = True

    @guarded
    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream the response, read its headers, and look into a body that may contain limits or tokens."""
        response = flow.response
        if response is None:
            return
        # An upgrade has no body; the websocket's messages follow it.
        status = response.data.status_code
        is_upgrade = status == 101
        if not is_upgrade:
            response.stream = True
        exchange = self._flows.classify(flow)
        if exchange is None:
            return
        _counts.watched += exchange.info.unknown_login is None
        self._exchanges[flow.id] = exchange
        at = response.data.timestamp_start
        fields = exchange.fields = headers.collect(response.data.headers.fields)
        if fields.limits:
            self._put(exchange, ObservedHeaders(exchange.info, exchange.requested_at, fields, at, status))
        turn = exchange.turn
        if turn:
            turn.status, turn.first_byte_at = status, at
        is_stream = _is_event_stream(fields)
        feed = None if is_upgrade else self._body_reader(exchange, at, status, is_stream=is_stream)
        if feed:
            begin = functools.partial(_begin, turn, is_stream) if turn else None
            response.stream = bodies.BodyTap(feed, fields.content_encoding, begin)

    @guarded
    def response(self, flow: HTTPFlow) -> None:
        """Release a completed request; an upgrade lives on as a websocket."""
        if flow.websocket is None:
            self._release(flow, turns.NO_RESULT)

    @guarded
    def error(self, flow: HTTPFlow) -> None:
        """Release a request that was cut off, as Codex does to each HTTP/2 stream once its turn is complete."""
        waiting = self._flows.classify(flow) if flow.response is None else None
        if waiting:
            self._end_turn(waiting, turns.INTERRUPTION, time.time())
        self._release(flow, turns.INTERRUPTION)
        if flow.error:  # mitmproxy's dumper, whose turn comes next, prints it, and it may quote a header line
            flow.error.msg = reduced(flow.error.msg) or "error"

    @guarded
    def websocket_message(self, flow: HTTPFlow) -> None:
        """Read a message, and drop the earlier ones, which mitmproxy would hold until the socket closes."""
        if flow.websocket is None:
            return
        held = flow.websocket.messages
        message = held[-1]
        del held[:-1]
        exchange = self._exchanges.get(flow.id)
        if exchange is None:
            return
        content = message.content
        if message.from_client:
            self._open_turn(exchange, content, message.timestamp)
            return
        turn = exchange.turn
        if turn and not turn.has_begun:
            turn.note_arrival(message.timestamp, begins=turns.begins_response(content))
        if not content.startswith(messages.OUTPUT_EVENT_PREFIXES):
            self._read_event(exchange, content, message.timestamp, Source.WEBSOCKET, None)

    @guarded
    def websocket_end(self, flow: HTTPFlow) -> None:
        """Release a websocket; Codex ends each with close code 1006."""
        self._release(flow, turns.INTERRUPTION)
        if flow.websocket:
            flow.websocket.messages.clear()

    @guarded
    def client_disconnected(self, client: Client) -> None:
        """Schedule the end of the connection's TLS."""
        _cleanup.client_disconnected(client)

    def _log_once(self, level: int, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            logger.log(level, "codex-tap: %s", message)

    def _log_failure_once(self, hook: str, error: Exception) -> None:
        """Log a failure once for each hook and kind, without a word of the traffic."""
        kind = (hook, type(error).__name__)
        if kind not in self._failures:
            self._failures.add(kind)
            logger.error("codex-tap: %s failed (%s at %s); traffic goes on", *kind, error_place(error))

    def _body_reader(
        self, exchange: Exchange, at: float, status: int, *, is_stream: bool
    ) -> Callable[[bytes], None] | None:
        """Return the reader of a body, or None if the body cannot contain limits or tokens."""
        if is_stream:
            return bodies.events(functools.partial(self._read_sse, exchange, status), _EVENT_MARKS)
        if status >= 400 or exchange.turn:
            return bodies.Document(functools.partial(self._read_body, exchange, at, status))
        if exchange.info.is_usage_request:
            return bodies.Document(functools.partial(self._read_usage, exchange, at, status))
        if exchange.info.is_accounts_check and status == 200:
            return bodies.Document(functools.partial(self._read_accounts, at))
        return None

    def _read_body(self, exchange: Exchange, at: float, status: int, body: bytes) -> None:
        if status >= 400:
            self._record(exchange, messages.read_error_body(body, at, exchange.billed_limit_id), at, status)
        self._end_turn(exchange, turns.parse_turn_body(body), time.time())

    def _read_usage(self, exchange: Exchange, at: float, status: int, body: bytes) -> None:
        exchange.info = exchange.info._replace(identity=with_reported_user(exchange.info.identity, body))
        self._record(exchange, messages.read_usage(body, at), at, status)

    def _read_accounts(self, at: float, body: bytes) -> None:
        """Learn the hosts that Codex will use instead of chatgpt.com."""
        before = self._hosts.learned
        for origin in hosts.backend_origins(body):
            seen = self._hosts.sight(origin)
            if seen and self._recorder:
                self._recorder.put(SeenName(*seen, at))
        if self._hosts.learned != before:
            self._flows.forget()
            logger.info("codex-tap: watching also %s", ", ".join(sorted(self._hosts.learned - before)))

    def _read_sse(self, exchange: Exchange, status: int, data: bytes) -> None:
        if not data.startswith(messages.OUTPUT_EVENT_PREFIXES):
            self._read_event(exchange, data, time.time(), Source.SSE, status)

    def _read_event(self, exchange: Exchange, content: bytes, at: float, source: Source, status: int | None) -> None:
        """Record the limits of an event, and the end of the turn."""
        if messages.may_contain_limits(content):
            self._record(exchange, messages.read_event(content, at, source, exchange.billed_limit_id), at, status)
        result = turns.parse_turn_end(content)
        if result:
            self._end_turn(exchange, result, at)

    def _record(
        self, exchange: Exchange, message: messages.ParsedMessage | None, observed_at: float, status: int | None
    ) -> None:
        if message:
            self._put(exchange, ObservedMessage(exchange.info, exchange.requested_at, message, observed_at, status))

    def _put(self, exchange: Exchange, observed: ObservedHeaders | ObservedMessage) -> None:
        """Give limits to the recorder; where the login names no account, only that they were seen."""
        scheme = exchange.info.unknown_login
        if self._recorder is None:
            return
        if scheme is None:
            _counts.note_limits(exchange.info.identity)
            self._recorder.put(observed)
        elif not exchange.is_sighted:
            exchange.is_sighted = True
            self._recorder.put(SeenName(SightingKind.UNKNOWN_LOGIN, scheme, observed.observed_at))

    def _open_turn(self, exchange: Exchange, content: bytes, at: float) -> None:
        """Start the turn requested by a client message. A turn still open is recorded as interrupted."""
        turn = turns.parse_response_create(content, at, exchange.info) if exchange.info.is_codex else None
        if turn:
            self._end_turn(exchange, turns.INTERRUPTION, at)
            exchange.turn, exchange.info, exchange.requested_at = turn, turn.info, at

    def _end_turn(self, exchange: Exchange, result: turns.TurnResult, at: float) -> None:
        turn, exchange.turn = exchange.turn, None
        if turn and self._recorder:
            _counts.count_turn(turn)
            self._recorder.put(EndedTurn(turn, exchange.fields, result, at))
            _lifeline.report_counts(_counts.summary)

    def _release(self, flow: HTTPFlow, result: turns.TurnResult) -> None:
        """Forget a flow, and end the turn that is still open."""
        exchange = self._exchanges.pop(flow.id, None)
        if exchange and exchange.turn:
            self._end_turn(exchange, result, time.time())

    def _open_database(self, chosen: str) -> None:
        try:
            path = database_path(chosen) if chosen else default_database()
        except SettingError as error:
            self._reject_option(str(error))
        else:
            self._open_recorder(path)

    def _open_recorder(self, path: Path) -> None:
        """Record into a database from now on; the recorder of the previous one is closed first."""
        if path == self._path:
            return
        recorder = Recorder(path, observations.parse)
        try:
            recorder.start()
        except DatabaseError as error:
            self._reject_option(str(error))
            return
        self.done()
        self._path, self._recorder = path, recorder
        self._open_turns.start(path)
        self._load_token_secret(path)
        self._learn_stored_hosts()

    def _load_token_secret(self, path: Path) -> None:
        """Key the digests of short tokens with the secret beside the database, or with one that ends with the proxy."""
        try:
            self._token_secret = load_token_secret(path)
        except OSError as error:
            reason = f"the secret beside the database cannot be used ({error.strerror or error})"
            self._log_once(logging.WARNING, f"{reason}; a short token is a new account after each start")
        self._flows = FlowClassifier(self._hosts, self._token_secret)

    def _learn_stored_hosts(self) -> None:
        """Watch the hosts that earlier proxies learned."""
        if self._path is None:
            return
        try:
            with contextlib.closing(open_reader(self._path, _LEARNED_SECONDS)) as connection:
                stored = load_learned_hosts(connection)
        except (DatabaseError, sqlite3.Error) as error:  # the next accounts/check response names them again
            logger.info("codex-tap: cannot read the learned hosts (%s)", type(error).__name__)
            return
        for host in stored:
            self._hosts.learn(host)

    def _reject_option(self, message: str) -> None:
        """Reject an option: at start by the error line that makes mitmproxy exit, later by restoring the old value."""
        if self._running:
            raise exceptions.OptionsError(message)
        self._log_once(logging.ERROR, message)
