"""The hooks: a guard and a few calls each. What they call is in the other modules of this folder.

The guard keeps a failure of ours from the proxy and from its log, which would show some of the traffic. It stands in
each hook, because a call more costs a microsecond of each message.

Each figure is read in one place: headers in `responseheaders` (the websocket upgrade included), messages in
`websocket_message`, bodies in the stream callable that `responseheaders` sets. A turn is noted when it has ended.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mitmproxy import ctx, exceptions

from addon import bodies, headers, messages, mitmproxy_defaults, turns
from addon.control_channel import ControlChannel, listen_address, take_upstream_auth
from addon.flows import FlowClassifier
from addon.gc_schedule import GcSchedule
from addon.hosts import Hosts
from addon.log_redaction import LogRedaction, reduced
from addon.traffic_counts import TrafficCounts
from store.errors import DatabaseError
from store.models import RateLimits, Snapshot, Source
from store.record.recorder import Recorder
from store.settings import DATABASE_VARIABLE, WATCHED_HOSTS, default_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.addonmanager import Loader
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow
    from mitmproxy.tls import ClientHelloData, TlsData

    from addon.exchange import Exchange, RequestInfo

logger = logging.getLogger(__name__)

_EVENTS = b"text/event-stream"
_DISTRUST = ("unknown ca", "bad certificate", "certificate unknown")
"""In OpenSSL's words for what a client says that does not trust a certificate."""

# One of each for the process: a reload of the script makes a new tap, and two watchers would share out stdin's lines.
_lifeline = ControlChannel(lambda: ctx.master.shutdown())  # noqa: PLW0108 (there is no master yet)
_tally = TrafficCounts()
_garbage = GcSchedule(lambda seconds, collect: ctx.master.event_loop.call_later(seconds, collect))  # noqa: PLW0108 (as above)
_log_redaction = LogRedaction(lambda: bool(getattr(ctx.master.addons.get("proxyserver"), "connections", ())))


def _end_on_hangup() -> None:
    """End on a SIGHUP as on a SIGTERM; mitmproxy has no handler, and a closed terminal would kill it on the spot.

    One that is ignored stays so (nohup), as does another's handler.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
        # Signals belong to the main thread, which may not be the one of the proxy.
        with contextlib.suppress(RuntimeError, ValueError):
            ctx.master.event_loop.add_signal_handler(hangup, ctx.master.shutdown)


class Tap:
    """Reads Codex's limits from the traffic and gives them to the recorder."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._callers = FlowClassifier(self._hosts)
        self._exchanges: dict[str, Exchange] = {}
        self._path: Path | None = None
        self._recorder: Recorder | None = None
        self._running = False
        self._noted: set[tuple[str, ...]] = set()

    def load(self, loader: Loader) -> None:
        """Register the options, and set those of mitmproxy's that would do harm."""
        _log_redaction.install()
        mitmproxy_defaults.set_harmless(ctx.options)
        loader.add_option(
            "codex_tap_db",
            str,
            "",
            f"The database of readings; default: {DATABASE_VARIABLE}, else the platform's data folder.",
        )
        loader.add_option(
            "codex_tap_hosts",
            Sequence[str],
            [],
            f"Hosts to read beside {', '.join(WATCHED_HOSTS)}: gateways that pass the rate-limit headers on.",
        )
        loader.add_option(
            "codex_tap_keep_days",
            int,
            0,
            "Delete readings and turns that are older, but for the newest of each limit; 0 keeps everything.",
        )
        loader.add_option(
            "codex_tap_lifeline",
            bool,
            False,
            "Report the port on stdout when ready, and end when stdin ends (set by codex-tap run).",
        )
        auth = take_upstream_auth()
        if auth:
            ctx.options.update(upstream_auth=auth)

    def configure(self, updated: set[str]) -> None:
        """Check and take the options over."""
        if "codex_tap_hosts" in updated:
            try:
                self._hosts = Hosts(ctx.options.codex_tap_hosts)
                self._callers = FlowClassifier(self._hosts)
            except ValueError as error:
                self._refuse(f"codex_tap_hosts: {error}")
        if ctx.options.codex_tap_keep_days < 0:
            self._refuse("codex_tap_keep_days: give a number of days, or 0 to keep everything")
        if "codex_tap_db" in updated:
            chosen = ctx.options.codex_tap_db
            self._record_into(Path(chosen).expanduser() if chosen else default_database())
        if self._recorder:
            self._recorder.keep_days = max(0, ctx.options.codex_tap_keep_days)

    def running(self) -> None:
        """Say in one line what is watched and where it goes."""
        self._running = True
        _end_on_hangup()
        _garbage.begin()
        _log_redaction.begin()
        logger.info("codex-tap: reading the limits of %s into %s", self._hosts, self._path)
        if ctx.options.codex_tap_lifeline:
            _lifeline.start(listen_address(ctx.master), _tally.summary)

    def done(self) -> None:
        """Bring all that was taken in to the disk; answers that are under way may still come after it."""
        if self._recorder:
            self._recorder.close()

    def client_connected(self, _client: Client) -> None:
        """Count a connection."""
        _tally.connections += 1

    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Tunnel what does not lead to a watched host: git, npm and curl keep their own TLS."""
        try:
            # Until it is known to be Codex's: should anything fail here, nobody's TLS is touched.
            others_say, data.ignore_connection = data.ignore_connection, True
            address = data.context.server.address
            if self._hosts.watches(address[0] if address else None, data.client_hello.sni):
                data.ignore_connection = others_say
                _tally.watched += 1
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("tls_clienthello", error)

    def tls_failed_client(self, data: TlsData) -> None:
        """Count a client that refused the proxy's certificate, and log it once for each host."""
        try:
            _tally.refused += 1
            host, failure = data.context.client.sni, data.conn.error or ""
            if self._hosts.watches(None, host) and any(each in failure for each in _DISTRUST):
                self._log_once(f"a client does not trust the proxy's certificate for {host}")
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("tls_failed_client", error)

    def tls_failed_server(self, data: TlsData) -> None:
        """Log, once for each host, why there is no TLS connection to it."""
        try:
            host = data.context.server.sni
            if self._hosts.watches(None, host):
                self._log_once(f"no TLS connection to {host}: {reduced(data.conn.error or '') or 'handshake failed'}")
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("tls_failed_server", error)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Stream the request; what it says of itself is read with its answer."""
        flow.request.stream = True

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream the answer, read its headers, and look into its body where that may tell of limits or tokens."""
        try:
            response = flow.response
            if response is None:
                return
            # An upgrade has no body; what follows it are the websocket's messages.
            status = response.data.status_code
            upgrade = status == 101
            if not upgrade:
                response.stream = True
            exchange = self._callers.open_exchange(flow)
            if exchange is None:
                return
            _tally.watched += 1
            self._exchanges[flow.id] = exchange
            at = response.data.timestamp_start
            found = exchange.answer = headers.collect(response.data.headers.fields)
            if self._recorder and found.plan.has_limits:
                read = functools.partial(self._read_headers, exchange.caller, exchange.requested_at, found, at, status)
                self._recorder.put(read)
            if exchange.turn:
                exchange.turn.first_byte_at, exchange.turn.status = at, status
            feed = None if upgrade else self._body_reader(exchange, found, at, status)
            if feed:
                response.stream = bodies.BodyTap(feed, found.content_encoding)
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("responseheaders", error)

    def response(self, flow: HTTPFlow) -> None:
        """Release an answered request; an upgrade lives on as a websocket."""
        try:
            if flow.websocket is None:
                self._release(flow, turns.NO_RESULT)
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("response", error)

    def error(self, flow: HTTPFlow) -> None:
        """Release a request that was cut off, as Codex does to each HTTP/2 stream once its turn is complete."""
        try:
            unanswered = self._callers.open_exchange(flow) if flow.response is None else None
            if unanswered:
                self._end_turn(unanswered, turns.INTERRUPTION, time.time())
            self._release(flow, turns.INTERRUPTION)
            if flow.error:  # mitmproxy's dumper, whose turn comes next, prints it, and it may quote a header line
                flow.error.msg = reduced(flow.error.msg) or "error"
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("error", error)

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Read a message, and drop the earlier ones, which mitmproxy would keep until the socket closes."""
        try:
            if flow.websocket is None:
                return
            kept = flow.websocket.messages
            message = kept[-1]
            del kept[:-1]
            exchange = self._exchanges.get(flow.id)
            if exchange is None:
                return
            content = message.content
            if message.from_client:
                self._open_turn(exchange, content, message.timestamp)
                return
            turn = exchange.turn
            if turn and turn.first_byte_at is None:
                turn.first_byte_at = message.timestamp
            if not content.startswith(messages.OUTPUT_EVENT_PREFIXES):
                self._read_event(exchange, content, message.timestamp, Source.WEBSOCKET, None)
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("websocket_message", error)

    def websocket_end(self, flow: HTTPFlow) -> None:
        """Release a websocket; Codex ends each with close code 1006."""
        try:
            self._release(flow, turns.INTERRUPTION)
            if flow.websocket:
                flow.websocket.messages.clear()
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("websocket_end", error)

    def client_disconnected(self, _client: Client) -> None:
        """Let what the connection leaves behind be collected."""
        try:
            _garbage.connection_closed()
        except Exception as error:  # noqa: BLE001 (traffic first)
            self.note_failure("client_disconnected", error)

    def _log_once(self, message: str) -> None:
        if (message,) not in self._noted:
            self._noted.add((message,))
            logger.warning("codex-tap: %s", message)

    def note_failure(self, where: str, error: Exception) -> None:
        """Log a failure of ours, once for each kind, without a word of what was read."""
        kind = (where, type(error).__name__)
        if kind not in self._noted:
            self._noted.add(kind)
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            line = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
            logger.error("codex-tap: %s failed (%s at %s); traffic goes on", where, kind[1], line)

    def _body_reader(
        self, exchange: Exchange, found: headers.HeaderFields, at: float, status: int
    ) -> Callable[[bytes], None] | None:
        """Return what is to be shown the body, or None where it cannot tell of limits or tokens."""
        if found.content_type[: len(_EVENTS)].lower() == _EVENTS:
            return bodies.events(functools.partial(self._read_sse, exchange, status))
        if status >= 400 or exchange.turn:
            return bodies.Document(functools.partial(self._read_answer, exchange, at, status))
        if exchange.caller.asks_for_usage:
            return bodies.Document(functools.partial(self._read_usage, exchange, at, status))
        return None

    def _read_answer(self, exchange: Exchange, at: float, status: int, body: bytes) -> None:
        if status >= 400:
            self._record_told(exchange, messages.read_error_body(body, at, exchange.charged), at, status)
        self._end_turn(exchange, turns.parse_turn_body(body), time.time())

    def _read_usage(self, exchange: Exchange, at: float, status: int, body: bytes) -> None:
        self._record_told(exchange, messages.read_usage(body, at), at, status)

    def _read_sse(self, exchange: Exchange, status: int, data: bytes) -> None:
        if not data.startswith(messages.OUTPUT_EVENT_PREFIXES):
            self._read_event(exchange, data, time.time(), Source.SSE, status)

    def _read_event(self, exchange: Exchange, content: bytes, at: float, source: Source, status: int | None) -> None:
        """Read what an event of the backend says of limits, and whether it ends the turn."""
        if messages.may_contain_limits(content):
            self._record_told(exchange, messages.read_event(content, at, source, exchange.charged), at, status)
        ending = turns.parse_turn_end(content)
        if ending:
            self._end_turn(exchange, ending, at)

    def _record_told(
        self, exchange: Exchange, told: messages.ParsedMessage | None, observed_at: float, status: int | None
    ) -> None:
        if told and self._recorder:
            _tally.note_limits(exchange.caller.identity)
            entry = self._snapshot(
                exchange.caller,
                told.reading,
                observed_at,
                told.source,
                told.status or status,
                requested_at=exchange.requested_at,
            )
            self._recorder.put(entry)

    def _open_turn(self, exchange: Exchange, content: bytes, at: float) -> None:
        """Open the turn that a client's message asks for; one that had not ended never will."""
        turn = turns.parse_response_create(content, at, exchange.caller) if exchange.caller.of_codex else None
        if turn:
            self._end_turn(exchange, turns.INTERRUPTION, at)
            exchange.turn, exchange.caller, exchange.requested_at = turn, turn.caller, at

    def _end_turn(self, exchange: Exchange, ending: turns.TurnResult, at: float) -> None:
        turn, exchange.turn = exchange.turn, None
        if turn and self._recorder:
            _tally.count_turn(turn)
            self._recorder.put(functools.partial(turns.finished_turn, turn, exchange, ending, at))

    def _release(self, flow: HTTPFlow, ending: turns.TurnResult) -> None:
        """Forget a flow; a turn whose end was not told ends with it."""
        exchange = self._exchanges.pop(flow.id, None)
        if exchange and exchange.turn:
            self._end_turn(exchange, ending, time.time())

    def _read_headers(
        self, caller: RequestInfo, requested_at: float, found: headers.HeaderFields, at: float, status: int
    ) -> Snapshot | None:
        """Read collected headers; the recorder's writer calls this."""
        try:
            reading = headers.read(found, at)
            source = Source.UPGRADE if status == 101 else Source.HEADERS
            if reading is None:
                return None
            _tally.note_limits(caller.identity)
            return self._snapshot(caller, reading, at, source, status, requested_at=requested_at)
        except Exception as error:  # noqa: BLE001 (the log is to show nothing of the traffic)
            self.note_failure("headers", error)
            return None

    def _snapshot(
        self,
        caller: RequestInfo,
        reading: RateLimits,
        observed_at: float,
        source: Source,
        status: int | None,
        *,
        requested_at: float,
    ) -> Snapshot:
        if reading.left_out and ("left out",) not in self._noted:
            self._noted.add(("left out",))
            logger.warning("codex-tap: an answer named too many limits; %d were left out", reading.left_out)
        return Snapshot(
            identity=caller.identity,
            observed_at=observed_at,
            requested_at=requested_at,
            source=source,
            reading=reading,
            status=status,
            model=caller.model,
            thread=caller.thread,
        )

    def _record_into(self, path: Path) -> None:
        """Begin to record into a database; the one before is finished first."""
        if path == self._path:
            return
        recorder = Recorder(path)
        try:
            recorder.start()
        except DatabaseError as error:
            self._refuse(str(error))
            return
        self.done()
        self._path, self._recorder = path, recorder

    def _refuse(self, message: str) -> None:
        """Refuse an option: at start by the error line that makes mitmproxy exit, later by giving the option back."""
        if self._running:
            raise exceptions.OptionsError(message)
        if (message,) not in self._noted:
            self._noted.add((message,))
            logger.error("codex-tap: %s", message)
