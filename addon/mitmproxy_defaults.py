"""Harmless values for defaults of mitmproxy that a client would notice, compared with a direct connection.

A value chosen by the user stays. An option that this version of mitmproxy does not have is a constant there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import optmanager
from mitmproxy.proxy import server

if TYPE_CHECKING:
    from mitmproxy.options import Options

IDLE_SECONDS = 7 * 86_400
"""How long a connection may be silent. Codex's websocket is silent between turns, a tunnel for any time; a connection
that its peer has forgotten is released in the end."""

_MITMPROXY_IDLE_SECONDS = 600


def set_harmless(options: Options) -> None:
    """Set the defaults, in mitmproxy's options and constants."""
    if "tcp_timeout" not in options:  # before 12
        if getattr(server, "TCP_TIMEOUT", None) == _MITMPROXY_IDLE_SECONDS:
            vars(server)["TCP_TIMEOUT"] = IDLE_SECONDS
    elif _is_default(options, "tcp_timeout"):
        options.update(tcp_timeout=IDLE_SECONDS)


def _is_default(options: Options, name: str) -> bool:
    """Return True if nobody set the option, not even to its default value."""
    return options._options[name].value is optmanager.unset  # noqa: SLF001 (there is no public way)
