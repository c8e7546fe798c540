"""Checks of the proxy: its certificate authority, its address, the shell's way to it, and its log."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from scripts.launch import authority
from scripts.launch.certificates import MAX_BUNDLE_BYTES, CorporateCa
from scripts.launch.codex_env_file import leads_to
from scripts.launch.environment import CA_VARIABLE, find_corporate_ca, find_upstream, without_bypasses
from scripts.launch.proxy_log import log_files
from scripts.launch.running_proxies import ask, has_certificate, is_tunnel, running_proxies
from scripts.maintenance.doctor.check import Check, age
from scripts.maintenance.doctor.recorded import is_private
from scripts.support.errors import LaunchError
from scripts.support.loopback import is_loopback
from store.files import read_whole
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WINDOWS = sys.platform == "win32"
PROBE_SECONDS = 2.0
_CONNECT_SECONDS = 1.0
_PORTS = {"http": 80, "https": 443}

_LOG_LINE = re.compile(r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ (?P<level>ERROR|CRITICAL) \S+: (?P<text>.+)")
_MAX_LOG_BYTES = 65_536
_MAX_LOG_TEXT = 200


def check_authority(certificate: Path) -> Iterator[Check]:
    """Check the files of the certificate authority."""
    name, key = "certificate", certificate.with_name(authority.KEY)
    if authority.is_missing(certificate.parent):
        yield Check(name, "note", "no certificate authority yet; the first start of the proxy creates it")
        return
    damage = authority.find_damage(certificate.parent)
    if damage is not None:
        advice = "the next start of the proxy makes a new one; then restart the commands that run through codex-tap"
        yield Check(name, "problem", f"the certificate authority in {key.parent} is unusable: {damage.reason}", advice)
    elif not is_private(key):
        yield Check(name, "problem", f"other users can read its key {key}", f"chmod 600 {key}")
    else:
        yield Check(name, "ok", f"{certificate}, its key is private")


def check_log(folder: Path, now: float) -> Iterator[Check]:
    """Report the last error in the newest log file; a proxy creates its file with its first warning."""
    for path in itertools.islice(log_files(folder), 1):
        name, advice = "log", "no action is needed while Codex works"
        found = _last_error(path)
        if found is None:
            yield Check(name, "note", f"the proxy's warnings are in {path}", advice)
        else:
            at, text = found
            yield Check(name, "note", f"the last error of a proxy, {age(now - at)} ago: {text}; more in {path}", advice)


def _last_error(path: Path) -> tuple[float, str] | None:
    """Return the time (Unix seconds) and the first line of the last error at the end of a log file."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_LOG_BYTES))
        lines = file.read(_MAX_LOG_BYTES).decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        match = _LOG_LINE.match(line)
        if match:
            with contextlib.suppress(ValueError, OverflowError):
                at = time.mktime(time.strptime(match["at"], "%Y-%m-%d %H:%M:%S"))
                return at, match["text"][:_MAX_LOG_TEXT]
    return None


def check_way(environ: Mapping[str, str], address: str, certificate: Path) -> Iterator[Check]:
    """Check the proxy at an address, and whether Codex in this shell goes through it.

    Raises:
        LaunchError: with exit code 2, ``address`` is not ``host:port``.
    """
    yield _judge_proxy(address, proxy_state(address, certificate, PROBE_SECONDS))
    yield from _check_environment(environ, address, certificate)


def _judge_proxy(address: str, state: ProxyState) -> Check:
    not_needed = "codex-tap run does not need it, it starts its own proxy"
    match state:
        case "reads":
            return Check("proxy", "ok", f"a codex-tap proxy runs at {address}")
        case "unread":
            message = f"the codex-tap proxy at {address} passes everything through unread, until it has started again"
            return Check("proxy", "problem", message, "if it lasts, start it anew: codex-tap proxy")
        case "missing":
            others = ", ".join(each.address for each in running_proxies() if each.kind == "proxy")
            found = f"; there is one at {others}" if others else ""
            return Check("proxy", "off", f"no codex-tap proxy runs at {address}{found}", not_needed)
        case "silent":
            return Check("proxy", "note", f"what listens at {address} does not respond like a proxy", not_needed)
        case "other":
            return Check("proxy", "note", f"what listens at {address} is not a codex-tap proxy of yours", not_needed)


ProxyState = Literal["reads", "unread", "missing", "silent", "other"]
"""What is at an address: a proxy of ours, one that passes everything through, nothing, no proxy, another proxy."""


def proxy_state(address: str, certificate: Path, seconds: float) -> ProxyState:
    """Return what is at an address.

    Args:
        address: ``host:port``.
        certificate: the certificate of the proxy's authority; it need not exist.
        seconds: how long to wait for a response.

    Raises:
        LaunchError: with exit code 2, ``address`` is not ``host:port``.
    """
    try:
        answer = ask(address, seconds)
    except ConnectionRefusedError:
        return "missing"
    except OSError:
        return "silent"
    with contextlib.suppress(OSError):
        if has_certificate(answer, read_whole(certificate, MAX_BUNDLE_BYTES)):
            return "reads"
    return "unread" if is_tunnel(answer) else "other"


def _check_environment(environ: Mapping[str, str], address: str, certificate: Path) -> Iterator[Check]:
    name = "environment"
    try:
        upstream = find_upstream(environ, windows=_WINDOWS)
        corporate = find_corporate_ca(environ, windows=_WINDOWS)
        if corporate:
            CorporateCa.read(*corporate)
    except LaunchError as error:
        yield Check(name, "problem", str(error), "correct the variable, or unset it")
        return
    if upstream is None:
        yield Check(name, "ok", "this shell uses no proxy")
    elif is_loopback(urlsplit(upstream.url).hostname or "") and not listens(upstream.url):
        message = f"this shell uses the proxy {upstream.url}, which does not run: its programs have no network access"
        yield Check(name, "problem", message, "start the proxy, or unset HTTPS_PROXY https_proxy")
    elif _is_ours(upstream.url, address, certificate):
        used = upstream.url.removeprefix("http://")
        yield from _check_route(environ, certificate, f'eval "$(codex-tap env --proxy {used})"')
    else:
        yield Check(name, "ok", f"this shell uses the proxy {upstream.url}; the tap forwards everything to it")


def _is_ours(url: str, address: str, certificate: Path) -> bool:
    """Return True if a proxy's URL is that of a proxy of codex-tap."""
    if any(leads_to(url, each.address) for each in running_proxies()):
        return True
    return leads_to(url, address) and proxy_state(address, certificate, PROBE_SECONDS) in {"reads", "unread"}


def listens(url: str) -> bool:
    """Return True if something accepts connections at the address of a proxy's URL."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or _PORTS[parts.scheme]), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _check_route(environ: Mapping[str, str], certificate: Path, advice: str) -> Iterator[Check]:
    """Check that Codex in a shell that uses the proxy goes through it and trusts its certificate."""
    name, found = "environment", False
    for variable in ("NO_PROXY", "no_proxy"):
        value = environ.get(variable, "")
        if without_bypasses(value, WATCHED_HOSTS) != value:
            found = True
            yield Check(name, "problem", f"{variable}={value} makes Codex bypass the proxy", advice)
    if not trusts(environ.get(CA_VARIABLE), certificate):
        found = True
        yield Check(name, "problem", f"{CA_VARIABLE} does not name the proxy's certificate", advice)
    if not found:
        yield Check(name, "ok", "Codex in this shell goes through the proxy")


def trusts(named: str | None, certificate: Path) -> bool:
    """Return True if the file that a variable names has the proxy's certificate, alone or among others."""
    try:
        own, trusted = (read_whole(each, MAX_BUNDLE_BYTES) for each in (certificate, Path(named or "")))
        return b"".join(own.split()) in b"".join(trusted.split())
    except OSError:
        return False
