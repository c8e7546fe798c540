"""The environment a command needs to go through the tap, and what its own environment says of the way out.

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
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Shell = Literal["sh", "fish", "powershell"]

CA_VARIABLE = "CODEX_CA_CERTIFICATE"

NODE_CA_VARIABLE = "NODE_EXTRA_CA_CERTS"
"""Names certificates that Node.js trusts beside its own; opencode and pi need it."""

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy")
# Many clients read only the lower-case name of this one.
_PLAIN_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY")
# In the order in which Codex looks; the first that is set decides.
_UPSTREAM_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
_CA_VARIABLES = (CA_VARIABLE, "SSL_CERT_FILE")

_HTTPS_PORT = "443"
_CHAINABLE = ("http", "https")  # the schemes of mitmproxy's upstream mode


@dataclass(frozen=True)
class Upstream:
    """A proxy on the way out, as ``http://host:port``, and its ``user:password`` where it has one."""

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
    """Return ``environ`` with what leads the watched hosts through the proxy; everything else is as it was.

    Gateways may be spoken to in plain HTTP, which a variable of its own leads through a proxy.
    """
    changed = dict(environ)
    plain = _PLAIN_PROXY_VARIABLES if gateways and _plain_http_follows(environ, windows=windows) else ()
    for name in (*_PROXY_VARIABLES, *plain):
        _set(changed, name, proxy_url, windows=windows)
    _set(changed, CA_VARIABLE, ca_file, windows=windows)
    _set(changed, NODE_CA_VARIABLE, node_ca_file, windows=windows)
    watched = (*WATCHED_HOSTS, *gateways)
    for name in [name for name in changed if name.upper() == "NO_PROXY"]:
        if name in _NO_PROXY_VARIABLES or windows:
            _narrow(changed, name, watched)
    return changed


def without_bypasses(no_proxy: str, hosts: Sequence[str]) -> str:
    """Return the ``NO_PROXY`` list without the entries under which one of ``hosts`` avoids the proxy."""
    entries = [entry for entry in re.split(r"[,\s]+", no_proxy) if entry]
    kept = [entry for entry in entries if not any(_bypasses(entry, host) for host in hosts)]
    return no_proxy if len(kept) == len(entries) else ",".join(kept)


def find_upstream(environ: Mapping[str, str], *, windows: bool) -> Upstream | None:
    """Return the proxy that Codex would use by itself, or None.

    Raises:
        LaunchError: the variable holds no URL of a proxy that mitmproxy can chain to.
    """
    name, url = _first_set(environ, _UPSTREAM_VARIABLES, windows=windows)
    _, no_proxy = _first_set(environ, _NO_PROXY_VARIABLES, windows=windows)
    if not url or "*" in re.split(r"[,\s]+", no_proxy):
        return None
    try:
        return parse_proxy_url(url)
    except ValueError as problem:
        # The URL itself stays out of the message: it may hold a password.
        raise LaunchError(f"{name} names a proxy that cannot be chained: {problem}") from None


def find_corporate_ca(environ: Mapping[str, str], *, windows: bool) -> tuple[str, str] | None:
    """Return (variable, path) of the certificates that Codex was told to trust, or None."""
    name, path = _first_set(environ, _CA_VARIABLES, windows=windows)
    return (name, path) if path else None


def find_node_ca(environ: Mapping[str, str], *, windows: bool) -> str | None:
    """Return the path of the certificates that Node.js was told to trust beside its own, or None."""
    _, path = _first_set(environ, (NODE_CA_VARIABLE,), windows=windows)
    return path or None


def shell_lines(shell: Shell, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return the lines that, evaluated by ``shell``, make ``before`` into ``after``.

    The variables that lead to the proxy are always among them, so that the output tells what is so.
    """
    set_line, unset_line = _SHELLS[shell]
    always = (*_PROXY_VARIABLES, CA_VARIABLE, NODE_CA_VARIABLE)
    told = [name for name in after if name in always or after[name] != before.get(name)]
    # Forgetting comes first: where case does not count, one variable can be in both lists.
    lines = [unset_line(name) for name in sorted(before.keys() - after.keys())]
    lines += [set_line(name, after[name]) for name in sorted(told)]
    return "".join(f"{line}\n" for line in lines)


def shim_line(shell: Shell, folder: str) -> str:
    """Return the line that puts a folder first in the shell's PATH; evaluated again it changes nothing."""
    return f"{_PUT_FIRST[shell](folder)}\n"


def _set(environ: dict[str, str], name: str, value: str, *, windows: bool) -> None:
    if windows:
        for same in [same for same in environ if same.upper() == name.upper()]:
            del environ[same]
        name = name.upper()
    environ[name] = value


def _narrow(environ: dict[str, str], name: str, hosts: Sequence[str]) -> None:
    kept = without_bypasses(environ[name], hosts)
    if kept or not environ[name]:
        environ[name] = kept
    else:
        del environ[name]


def _plain_http_follows(environ: Mapping[str, str], *, windows: bool) -> bool:
    """Return True if plain HTTP may take the way of HTTPS: it has no proxy of its own, or the same one.

    The tap goes out through the proxy of HTTPS alone; what needs another one would not arrive through it.
    """
    _, url = _first_set(environ, _PLAIN_PROXY_VARIABLES, windows=windows)
    if not url:
        return True
    try:
        return find_upstream(environ, windows=windows) == parse_proxy_url(url)
    except (LaunchError, ValueError):
        return False


def _first_set(environ: Mapping[str, str], names: Iterable[str], *, windows: bool) -> tuple[str, str]:
    """Return the first of ``names`` that has a value, and its value; two empty strings when none has."""
    if windows:
        environ = {name.upper(): value for name, value in environ.items()}
        names = (name.upper() for name in names)
    return next(((name, environ[name]) for name in names if environ.get(name)), ("", ""))


def _bypasses(entry: str, host: str) -> bool:
    """Tell whether a ``NO_PROXY`` entry covers the host in the reading of any common client."""
    name, colon, port = entry.lower().rpartition(":")
    if not colon or ":" in name:  # no port, or an IPv6 address
        name, port = entry.lower(), _HTTPS_PORT
    if port != _HTTPS_PORT and host in WATCHED_HOSTS:  # a gateway may have any port
        return False
    if name == "*":
        return True
    domain = name.removeprefix("*").strip(".")
    host = host.lower()
    return bool(domain) and (host == domain or host.endswith("." + domain))


def parse_proxy_url(url: str) -> Upstream:
    """Return the proxy that a URL, with or without its scheme, names.

    Raises:
        ValueError: it names none that mitmproxy can chain to; the message says why and quotes nothing of it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:  # its text would quote from the URL
        raise ValueError("it is no URL") from None
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
"""How each shell sets a variable and how it forgets one."""

_PUT_FIRST: dict[Shell, Callable[[str], str]] = {
    "sh": lambda folder: "PATH={0}:${{PATH#{0}:}}; export PATH".format(shlex.quote(folder)),
    "fish": lambda folder: 'test "$PATH[1]" = {0}; or set -gx PATH {0} $PATH'.format(_fish_quote(folder)),
    "powershell": lambda folder: 'if (-not "$env:PATH".StartsWith({0})) {{ $env:PATH = {0} + $env:PATH }}'.format(
        _powershell_quote(f"{folder}{os.pathsep}")
    ),
}
"""How each shell puts a folder first in PATH, where it is not first already."""
