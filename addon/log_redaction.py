"""Reduces log messages of mitmproxy and its libraries to the part that quotes no traffic.

Such a message may hold a header line, a URL, a host, or the text of an exception with any of them. Only the part listed
in `_KINDS` remains; a message that is not listed becomes its place in the code. Messages of codex-tap and of the user's
own scripts stay as they are. So do messages from before there is traffic: they say why the proxy does not start.
"""

from __future__ import annotations

import logging
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mitmproxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_OWN_LOGGERS = ("addon.", "store.", "scripts.")
_SCRIPT_LOGGERS = "__mitmproxy_script__."
_LIBRARIES = (sysconfig.get_path("stdlib"), str(Path(mitmproxy.__file__).parents[1]))
_MAX_FRAMES = 6

_ADDRESS = re.compile(r"(\[[0-9a-f:.%]+\]|[\w.-]+):\d{1,5}: ", re.ASCII)
"""The address at the beginning of some messages."""

_KINDS = (
    # connections
    r"client (connect|disconnect|kill connection)",
    r"server (connect|disconnect)",
    r"server closed connection",
    r"closing transports\.\.\.|transports closed!",
    r"Cannot open connection, no hostname given\.",
    r"error establishing server connection",
    r"Closing connection due to inactivity",
    r"half-closing",
    r"connection (closed|cancelled)",
    r"Client connection from(?= .* killed by block)",
    r"Client disconnected\.|peer closed connection|Connection killed\.|killed",
    r"Request destination unknown\.",
    # TLS
    r"(Server TLS handshake failed\. )?Certificate verify failed: [A-Za-z0-9 ,()-]+",
    r"Client TLS handshake failed\. The client (does|may) not trust the proxy's certificate",
    r"Client TLS handshake failed\. The client disconnected during the handshake\.",
    r"Client TLS handshake failed\. Client and mitmproxy cannot agree on a TLS version to use\.",
    r"Client TLS handshake failed\. Cannot parse ClientHello",
    r"(Server TLS handshake failed\. )?The remote server does not speak TLS\.",
    r"(Server TLS handshake failed\. )?The remote server and mitmproxy cannot agree on a TLS version to use\.",
    r"(Client|Server) TLS handshake failed\.",
    r"Unable to establish TLS connection with server",
    r"No TLS context was provided, failing connection\.",
    r"TLS Error",
    # HTTP
    r"Streaming (request to|response from)",
    r"Client closed connection before completing (request headers|SOCKS5 handshake)",
    r"Unexpected data from server|unexpected server response",
    r"Invalid header line|Invalid headers",
    r"Bad HTTP (request|response) line",
    r"Unknown HTTP version",
    r"HTTP/1 protocol error|HTTP/2 protocol error|HTTP/2 connection closed",
    r"Cannot parse HTTP response",
    r"(Request|Response) body exceeds mitmproxy's body_size_limit\.",
    r"HTTP request has no host header, destination unknown\.",
    r"Received HTTP/2 (data frame, expected headers|push promise, even though we signalled no support)\.",
    r"Received HTTP/2 Alt-Svc frame, which will not be forwarded\.",
    r"Received unexpected HTTP/2 response\.",
    r"(Received )?(invalid|multiple|unknown|unexpected) (content-length|transfer-encoding|header)",
    r"Invalid HTTP/2 (request|response) headers",
    r"Ignoring unknown HTTP/2 frame type",
    r"Swallowing HTTP/2 informational response",
    r"Send HTTP/2 keep-alive PING",
    r"stream reset by client( \([A-Z_]+\))?",
    r"HTTP/2 cleartext connections \(h2c upgrade requests\) are currently not supported\.",
    r"Initiating HTTP/2 connections with prior knowledge are currently not supported\.",
    r"Sent HTTP 101 response, but no protocol is enabled to upgrade to\.",
    r"Ignoring unknown WebSocket extension",
    r"Received WebSocket (ping|pong) from (client|server)",
    # failures
    r"mitmproxy has crashed!|connection handler has crashed",
    r"Addon error|error in script|(Loading|Removing|Un-loading) script",
    r"Unhandled (error in task|asyncio error|exception)",
    r"Exception in callback|Task exception was never retrieved|Task was destroyed but it is pending",
    r"socket\.send\(\) raised exception\.|Fatal (read|write) error on",
)
"""The beginnings of messages that quote nothing, as patterns: an allow-list, of mitmproxy 11 and 12."""

_KIND = re.compile("|".join(_KINDS))


class LogRedaction:
    """Passes every log record of this process through the reduction.

    One instance per process, not per load of the script.
    """

    def __init__(self, has_connections: Callable[[], bool]) -> None:
        """Prepare the reduction; `install` applies it.

        Args:
            has_connections: Returns True if a client is connected.
        """
        self._has_connections = has_connections
        self._is_running = self._is_installed = False

    def install(self) -> None:
        """Apply the reduction from now on, also for handlers that are added later."""
        if not self._is_installed:
            self._is_installed = True
            self._create = logging.getLogRecordFactory()
            logging.setLogRecordFactory(self._make_record)

    def begin(self) -> None:
        """Mark the end of the start: from now on every message may quote traffic."""
        self._is_running = True

    def _make_record(
        self, name: str, level: int, path: str, line: int, message: object, *rest: Any, **named: Any
    ) -> logging.LogRecord:
        record = self._create(name, level, path, line, message, *rest, **named)
        try:
            if not _is_trusted(record) and (self._is_running or self._has_connections()):
                _reduce(record)
        except Exception:  # noqa: BLE001 (traffic first: the caller is in the middle of it)
            record.msg, record.args, record.exc_info, record.stack_info = "a message is left out", (), None, None
        return record


def reduced(message: str) -> str:
    """Return the kind of a message or error of mitmproxy, or "" if it is unknown."""
    address = _ADDRESS.match(message)
    kind = _KIND.match(message, address.end() if address else 0)
    return kind[0].rstrip() if kind else ""


def _is_trusted(record: logging.LogRecord) -> bool:
    """Return True for a record of codex-tap or of a script of the user's."""
    if record.name == "root":  # mitmproxy's addons use it as well
        return not record.pathname.startswith(_LIBRARIES)
    return record.name.startswith((*_OWN_LOGGERS, _SCRIPT_LOGGERS))


def _reduce(record: logging.LogRecord) -> None:
    kind = reduced(record.getMessage())
    text = kind or f"a message of {record.name} is left out ({Path(record.pathname).name}:{record.lineno})"
    if record.exc_info and record.exc_info[0]:
        _, error, trace = record.exc_info
        text = f"{text} ({type(error).__name__} at {_place(trace)})"
    record.msg, record.args, record.exc_info, record.stack_info = text, (), None, None


def _place(trace: TracebackType | None) -> str:
    """Return the innermost places of a traceback, without their source lines."""
    places = [f"{Path(name).name}:{line}" for name, line in _frames(trace)]
    return " < ".join(places[: -_MAX_FRAMES - 1 : -1]) or "?"


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
