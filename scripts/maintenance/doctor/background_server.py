"""The check of Codex's background server: whether the proxy in its environment responds."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from scripts.launch.background_server import server_environment, server_runs
from scripts.launch.environment import find_corporate_ca, find_upstream, without_bypasses
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.proxy import PROBE_SECONDS, listens, proxy_state, trusts
from scripts.support.errors import LaunchError
from scripts.support.installation import load_installation
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NAME = "server"
_RESTART = "restart it, from a shell without a proxy of codex-tap: codex app-server daemon restart"


def check_background_server(environ: Mapping[str, str], certificate: Path) -> Iterator[Check]:
    """Check the background server, which keeps the environment of the process that started it.

    Args:
        environ: the environment, for CODEX_HOME.
        certificate: the certificate of the proxy's authority.
    """
    if not hasattr(socket, "AF_UNIX"):
        yield Check(_NAME, "note", "whether Codex's background server runs cannot be found out on this system")
    elif not server_runs(environ):
        yield Check(_NAME, "ok", "Codex's background server does not run")
    else:
        found = server_environment(environ)
        if found is None:
            message = "Codex's background server runs; the proxy that it uses cannot be found out here"
            yield Check(_NAME, "note", message, f"if interactive sessions are not read, {_RESTART}")
        else:
            yield _judge(found, certificate)


def _judge(found: Mapping[str, str], certificate: Path) -> Check:
    try:
        upstream = find_upstream(found, windows=False)
    except LaunchError as error:
        return _unread(f"Codex's background server: {error}")
    no_proxy = found.get("NO_PROXY") or found.get("no_proxy") or ""
    if upstream is None or without_bypasses(no_proxy, WATCHED_HOSTS) != no_proxy:
        return _unread("Codex's background server runs without a proxy")
    proxy = f"Codex's background server uses the proxy {upstream.url}"
    if not listens(upstream.url):
        message = f"{proxy}, which does not respond: sessions that use the server wait for the network"
        return Check(_NAME, "problem", message, _RESTART)
    match proxy_state(upstream.url.removeprefix("http://"), certificate, PROBE_SECONDS):
        case "reads" | "unread":
            _, trusted = find_corporate_ca(found, windows=False) or ("", "")
            if not trusts(trusted, certificate):
                return Check(_NAME, "problem", f"{proxy}, whose certificate it does not trust", _RESTART)
            return Check(_NAME, "ok", f"{proxy}, which is codex-tap's")
        case _:
            return _unread(f"{proxy}, which is not codex-tap's")


def _unread(message: str) -> Check:
    """Return the result for a server that works and bypasses the tap, which is a problem only beside the service."""
    if load_installation().always is None:
        return Check(_NAME, "note", message, "sessions that use it are not read; codex-tap run codex does not use it")
    return Check(_NAME, "problem", f"{message}, so sessions that use it are not read", _RESTART)
