"""The choice of a running proxy for a command or a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from scripts.launch import codex_env_file
from scripts.launch.certificates import MAX_BUNDLE_BYTES, ca_certificate
from scripts.launch.environment import find_upstream, without_tap
from scripts.launch.holder import START_SECONDS
from scripts.launch.running_proxies import RunningProxy, ask, has_certificate, passes_through, running_proxies, withdraw
from scripts.support.errors import WRONG_USE, LaunchError
from store.files import certificate_folder, read_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_WINDOWS = sys.platform == "win32"
_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_PROBE_SECONDS = START_SECONDS + 2  # more than a connection waits for mitmdump


class SharedProxy(NamedTuple):
    """A running proxy to use, and True if it passes connections through unread at the moment."""

    proxy: RunningProxy
    is_unread: bool

    @property
    def warning(self) -> str | None:
        """What to tell the user, or None."""
        if not self.is_unread:
            return None
        return (
            f"the proxy at {self.proxy.address} passes connections through unread at the moment; "
            "new connections are read as soon as it has started again"
        )


def find_shared(
    environ: Mapping[str, str], database: Path, hosts: Sequence[str], *, own: bool = False
) -> SharedProxy | None:
    """Return the running proxy that a command is to use, or None if it needs one of its own.

    Args:
        environ: the command's environment; a proxy that it leads to is used, because two proxies in a row would record
            each turn twice.
        database: the database to record to.
        hosts: gateways that the proxy has to watch.
        own: the user asks for a proxy of the command's own.

    Raises:
        LaunchError: exit code 2, the environment leads to a running proxy that cannot be used.
    """
    running = [each for each in running_proxies() if each.records_to(database)]
    if not running:
        return None
    led_to = _led_to(environ, running)
    if led_to is not None:
        # That of an outer `run` may not be ready yet, which is nothing to wait for: it accepts connections.
        state = "read" if led_to.kind == "run" else _state(led_to)
        if state is not None:
            _check_use(led_to, hosts, own=own)
            return SharedProxy(led_to, state == "unread")
    if own:
        return None
    upstream = find_upstream(environ, windows=_WINDOWS)
    for proxy in running:
        if proxy.kind == "run" or not proxy.watches(hosts):
            continue
        if upstream is not None and upstream.url != proxy.upstream:
            continue  # it would lead round the user's own proxy
        state = _state(proxy)
        if state is not None:
            return SharedProxy(proxy, state == "unread")
    return None


def refuse_second(environ: Mapping[str, str], database: Path, address: str) -> None:
    """Refuse to start a proxy at ``address`` whose upstream would be a running proxy of the same database.

    Raises:
        LaunchError: exit code 2.
    """
    running = [each for each in running_proxies() if each.records_to(database) and each.address != address]
    upstream = find_upstream(environ, windows=_WINDOWS) if running else None
    for proxy in running:
        if upstream is not None and codex_env_file.leads_to(upstream.url, proxy.address):
            raise LaunchError(
                f"HTTPS_PROXY leads to the running proxy at {proxy.address}, which records to the same database: each "
                "turn would be recorded twice; unset HTTPS_PROXY and https_proxy, or use that proxy",
                WRONG_USE,
            )


def without_running_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the upstream of a running proxy, if any, in place of the proxy itself."""
    direct = dict(environ)
    for proxy in running_proxies():
        for name, value in environ.items():
            if name.lower() in _PROXY_VARIABLES and codex_env_file.leads_to(value, proxy.address):
                direct[name] = proxy.upstream or ""
    return {name: value for name, value in without_tap(direct).items() if value or environ[name] == value}


def _led_to(environ: Mapping[str, str], running: Sequence[RunningProxy]) -> RunningProxy | None:
    """Return the proxy that the environment leads Codex to, whose own ``.env`` comes first, or None."""
    for variables in ({**environ, **codex_env_file.variables(environ)}, environ):
        try:
            upstream = find_upstream(variables, windows=_WINDOWS)
        except LaunchError:  # it is told where the upstream is needed
            continue
        for proxy in running:
            if upstream is not None and codex_env_file.leads_to(upstream.url, proxy.address):
                return proxy
    return None


def _check_use(proxy: RunningProxy, hosts: Sequence[str], *, own: bool) -> None:
    if own:
        raise LaunchError(
            f"HTTPS_PROXY leads to the running proxy at {proxy.address}, which records to the same database: with a "
            "second proxy, each turn would be recorded twice; leave out --own, or unset HTTPS_PROXY and https_proxy",
            WRONG_USE,
        )
    missing = [each for each in hosts if not proxy.watches([each])]
    if missing:
        raise LaunchError(
            f"HTTPS_PROXY leads to the running proxy at {proxy.address}, which does not watch {', '.join(missing)}; "
            "give --host to that proxy",
            WRONG_USE,
        )


def _state(proxy: RunningProxy) -> str | None:
    """Return "read" or "unread", or None if this is not the proxy that its file describes."""
    try:
        answer = ask(proxy.address, _PROBE_SECONDS)
        certificate = read_whole(ca_certificate(certificate_folder()), MAX_BUNDLE_BYTES)
    except ConnectionRefusedError:
        withdraw(proxy)
        return None
    except (OSError, LaunchError):
        return None
    if has_certificate(answer, certificate):
        return "read"
    return "unread" if passes_through(proxy, answer) else None
