"""The environment that leads a command through the tap, and the upstream proxy that its own environment names.

Pure functions: a mapping in, a mapping or a value out. ``windows`` is a parameter because the names of
variables are case-insensitive there.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from scripts.support.errors import LaunchError
from store.settings import WATCHED_HOSTS, may_be_learned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Shell = Literal["sh", "fish", "powershell"]

CA_VARIABLE = "CODEX_CA_CERTIFICATE"

TAP_VARIABLE = "CODEX_TAP_PROXY"
"""Variable with the URL of the tap's proxy: while it equals ``HTTPS_PROXY``, the environment leads through the tap."""

NODE_CA_VARIABLE = "NODE_EXTRA_CA_CERTS"
"""Variable that names certificates that Node.js trusts in addition to its own; opencode and pi need it."""

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy")
# Many clients read only the lower-case name.
_PLAIN_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY")
# In the order in which Codex reads them; the first one that is set decides.
_UPSTREAM_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
_CA_VARIABLES = (CA_VARIABLE, "SSL_CERT_FILE")

_HTTPS_PORT = "443"
_CHAINABLE = ("http", "https")  # the schemes of mitmproxy's upstream mode


@dataclass(frozen=True)
class Upstream:
    """A proxy between this machine and the internet: ``http://host:port``, and its ``user:password`` if it has one."""

    url: str
    auth: str | None = field(default=None, repr=False)


def command_environment(
    environ: Mapping[str, str],
    *,
    proxy_url: str,
    ca_file: str,
    node_ca_file: str,
    gateways: Sequence[str],
    windows: bool,
) -> dict[str, str]:
    """Return ``environ`` with the variables that lead the watched hosts through the proxy; all others are unchanged.

    Args:
        environ: the environment to change.
        proxy_url: the URL of the proxy.
        ca_file: the certificates that Codex is to trust.
        node_ca_file: the certificates that Node.js is to trust in addition.
        gateways: further watched hosts; clients may use plain HTTP for them, which has a proxy variable of its own.
        windows: names of variables are case-insensitive.
    """
    changed = dict(environ)
    plain = _PLAIN_PROXY_VARIABLES if gateways and may_redirect_plain_http(environ, windows=windows) else ()
    for name in (*_PROXY_VARIABLES, *plain, TAP_VARIABLE):
        _set(changed, name, proxy_url, windows=windows)
    _set(changed, CA_VARIABLE, ca_file, windows=windows)
    _set(changed, NODE_CA_VARIABLE, node_ca_file, windows=windows)
    watched = (*WATCHED_HOSTS, *gateways)
    for name in [name for name in changed if name.upper() == "NO_PROXY"]:
        if name in _NO_PROXY_VARIABLES or windows:
            _remove_bypasses(changed, name, watched)
    return changed


def leads_through_tap(environ: Mapping[str, str]) -> bool:
    """Return True if the environment is that of a command under the tap."""
    return bool(environ.get(TAP_VARIABLE)) and environ.get("HTTPS_PROXY") == environ[TAP_VARIABLE]


def without_tap(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that lead a command through the tap, if it does."""
    if not leads_through_tap(environ):
        return dict(environ)
    url = environ[TAP_VARIABLE]
    dropped = (TAP_VARIABLE, CA_VARIABLE, NODE_CA_VARIABLE)
    proxies = (*_PROXY_VARIABLES, *_PLAIN_PROXY_VARIABLES)
    return {
        name: value for name, value in environ.items() if name not in dropped and not (name in proxies and value == url)
    }


def without_bypasses(no_proxy: str, hosts: Sequence[str], *, learnable: bool = False) -> str:
    """Return the ``NO_PROXY`` list without the entries that exempt one of ``hosts`` from the proxy.

    Args:
        no_proxy: the list.
        hosts: the watched hosts.
        learnable: leave out the entries of hosts, too, that the tap may learn while the command runs.
    """
    entries = [entry for entry in re.split(r"[,\s]+", no_proxy) if entry]
    kept = [entry for entry in entries if not any(_bypasses(entry, host) for host in hosts)]
    if learnable:
        kept = [entry for entry in kept if not may_be_learned(_domain(entry.removesuffix(f":{_HTTPS_PORT}")))]
    return no_proxy if len(kept) == len(entries) else ",".join(kept)


def find_upstream(environ: Mapping[str, str], *, windows: bool) -> Upstream | None:
    """Return the proxy that Codex would use without the tap, or None.

    Raises:
        LaunchError: the variable is not the URL of a proxy that mitmproxy can use as its upstream.
    """
    name, url = _first_set(environ, _UPSTREAM_VARIABLES, windows=windows)
    _, no_proxy = _first_set(environ, _NO_PROXY_VARIABLES, windows=windows)
    if not url or "*" in re.split(r"[,\s]+", no_proxy):
        return None
    try:
        return parse_proxy_url(url)
    except ValueError as problem:
        # The URL itself is left out of the message: it may contain a password.
        raise LaunchError(f"{name} names a proxy that codex-tap cannot use: {problem}") from None


def find_corporate_ca(environ: Mapping[str, str], *, windows: bool) -> tuple[str, str] | None:
    """Return the variable and the path of the certificates that Codex is configured to trust, or None."""
    name, path = _first_set(environ, _CA_VARIABLES, windows=windows)
    return (name, path) if path else None


def find_node_ca(environ: Mapping[str, str], *, windows: bool) -> str | None:
    """Return the path of the certificates that Node.js is configured to trust in addition to its own, or None."""
    _, path = _first_set(environ, (NODE_CA_VARIABLE,), windows=windows)
    return path or None


def shell_lines(shell: Shell, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return the lines that, evaluated by ``shell``, change the environment ``before`` into ``after``.

    They always set the variables that lead to the proxy, so that the output shows the values.
    """
    set_line, unset_line = _SHELLS[shell]
    always = (*_PROXY_VARIABLES, CA_VARIABLE, NODE_CA_VARIABLE)
    changed = [name for name in after if name in always or after[name] != before.get(name)]
    # Variables are unset first: where names are case-insensitive, one variable can be in both lists.
    lines = [unset_line(name) for name in sorted(before.keys() - after.keys())]
    lines += [set_line(name, after[name]) for name in sorted(changed)]
    return "".join(f"{line}\n" for line in lines)


def shim_line(shell: Shell, folder: str) -> str:
    """Return the line that puts a folder first in the shell's PATH; evaluating it twice changes nothing more."""
    return f"{_PUT_FIRST[shell](folder)}\n"


def _set(environ: dict[str, str], name: str, value: str, *, windows: bool) -> None:
    if windows:
        for same in [same for same in environ if same.upper() == name.upper()]:
            del environ[same]
        name = name.upper()
    environ[name] = value


def _remove_bypasses(environ: dict[str, str], name: str, hosts: Sequence[str]) -> None:
    kept = without_bypasses(environ[name], hosts, learnable=True)
    if kept or not environ[name]:
        environ[name] = kept
    else:
        del environ[name]


def may_redirect_plain_http(environ: Mapping[str, str], *, windows: bool) -> bool:
    """Return True if plain HTTP has no upstream proxy, or the same one as HTTPS.

    The tap has one upstream proxy, that of HTTPS; requests that need another one would not arrive.
    """
    _, url = _first_set(environ, _PLAIN_PROXY_VARIABLES, windows=windows)
    if not url:
        return True
    try:
        return find_upstream(environ, windows=windows) == parse_proxy_url(url)
    except (LaunchError, ValueError):
        return False


def _first_set(environ: Mapping[str, str], names: Iterable[str], *, windows: bool) -> tuple[str, str]:
    """Return the first of ``names`` that has a value, and its value; two empty strings if none has."""
    if windows:
        environ = {name.upper(): value for name, value in environ.items()}
        names = (name.upper() for name in names)
    return next(((name, environ[name]) for name in names if environ.get(name)), ("", ""))


def _bypasses(entry: str, host: str) -> bool:
    """Return True if some common client would exempt the host from the proxy because of a ``NO_PROXY`` entry."""
    name, colon, port = entry.lower().rpartition(":")
    if not colon or ":" in name:  # no port, or an IPv6 address
        name, port = entry.lower(), _HTTPS_PORT
    if port != _HTTPS_PORT and host in WATCHED_HOSTS:  # a gateway may have any port
        return False
    if name == "*":
        return True
    domain = _domain(name)
    host = host.lower()
    return bool(domain) and (host == domain or host.endswith("." + domain))


def _domain(name: str) -> str:
    return name.lower().removeprefix("*").strip(".")


def parse_proxy_url(url: str) -> Upstream:
    """Return the proxy of a URL, with or without its scheme.

    Raises:
        ValueError: mitmproxy cannot use it as an upstream; the message says why and quotes nothing of the URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:  # its message would quote the URL
        raise ValueError("it is not a valid URL") from None
    if parts.scheme not in _CHAINABLE:
        raise ValueError(f"{parts.scheme}:// is not supported, only http:// and https://")
    if not parts.hostname:
        raise ValueError("it has no host")
    if parts.password and not parts.username:
        raise ValueError("it has a password without a user")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return Upstream(address, auth)


def _fish_quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell_quote(value: str) -> str:
    # PowerShell takes typographic single quotes for quotes as well.
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", value) + "'"


_SHELLS: dict[Shell, tuple[Callable[[str, str], str], Callable[[str], str]]] = {
    "sh": (lambda name, value: f"export {name}={shlex.quote(value)}", lambda name: f"unset {name}"),
    "fish": (lambda name, value: f"set -gx {name} {_fish_quote(value)}", lambda name: f"set -e {name}"),
    "powershell": (
        lambda name, value: f"$env:{name} = {_powershell_quote(value)}",
        lambda name: f"Remove-Item Env:{name}",
    ),
}
"""How each shell sets and unsets a variable."""

_PUT_FIRST: dict[Shell, Callable[[str], str]] = {
    "sh": lambda folder: "PATH={0}:${{PATH#{0}:}}; export PATH".format(shlex.quote(folder)),
    "fish": lambda folder: 'test "$PATH[1]" = {0}; or set -gx PATH {0} $PATH'.format(_fish_quote(folder)),
    "powershell": lambda folder: 'if (-not "$env:PATH".StartsWith({0})) {{ $env:PATH = {0} + $env:PATH }}'.format(
        _powershell_quote(f"{folder}{os.pathsep}")
    ),
}
"""How each shell puts a folder first in PATH, unless it is first already."""
