"""The arguments and the environment of the proxy, and the upstream proxy that the user's environment configures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch.certificates import CorporateCa, upstream_bundle
from scripts.launch.environment import Upstream, find_corporate_ca, find_upstream
from store.files import LOG_FOLDER
from store.settings import DATABASE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UPSTREAM_CA_OPTION = "ssl_verify_upstream_trusted_ca"
"""mitmproxy's option with the file of certificates that it trusts."""

_LISTEN_FLAGS = ("--mode", "--listen-host", "--listen-port", "--proxyauth", "--server", "--no-server")
_LISTEN_SHORT_FLAGS = ("-m", "-p", "-n")
_LISTEN_OPTIONS = frozenset({"mode", "listen_host", "listen_port", "proxyauth", "server"})
_DATA_OPTIONS = frozenset({"codex_tap_db", "codex_tap_hosts", "confdir"})

_KEPT_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP", DATABASE_VARIABLE),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "__PYVENV_LAUNCHER__"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "USERNAME", "HOMEDRIVE"),
        *("HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
    }
)
_KEPT_PREFIXES = ("LC_", "XDG_", "SSL_", "OPENSSL_", "WIN_PD_OVERRIDE_")

_WINDOWS = sys.platform == "win32"
_ADDON = Path(__file__).resolve().parents[2] / "addon" / "codex_tap.py"


@dataclass(frozen=True)
class UpstreamConfig:
    """The upstream proxy and the additional certificates that the user's environment configures."""

    upstream: Upstream | None
    corporate: CorporateCa | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> UpstreamConfig:
        """Read them from an environment.

        Raises:
            LaunchError: a variable names a proxy or a file that cannot be used.
        """
        return cls(find_upstream(environ, windows=_WINDOWS), read_corporate_ca(environ))

    def without_upstream(self) -> UpstreamConfig:
        """Return the same certificates without an upstream proxy."""
        return UpstreamConfig(None, self.corporate)


def read_corporate_ca(environ: Mapping[str, str]) -> CorporateCa | None:
    """Read the certificates that Codex is configured to trust, if any.

    Raises:
        LaunchError: the file cannot be used.
    """
    named = find_corporate_ca(environ, windows=_WINDOWS)
    return CorporateCa.read(*named) if named else None


def proxy_options(
    host: str, port: int, ca_folder: Path, database: Path | None, config: UpstreamConfig
) -> dict[str, str]:
    """Return mitmproxy's options; all are passed with ``--set``, so that a flag of the user's takes precedence."""
    options = {
        "confdir": str(ca_folder.absolute()),  # also keeps out the config.yaml of the user's own mitmproxy
        "listen_host": host,
        "listen_port": str(port),
        "flow_detail": "0",
        "codex_tap_lifeline": "true",
        "codex_tap_log_folder": str((ca_folder.parent / LOG_FOLDER).absolute()),
    }
    if database is not None:
        options["codex_tap_db"] = str(database.absolute())
    if config.upstream is not None:
        options["mode"] = f"upstream:{config.upstream.url}"
    if config.corporate is not None:
        options[UPSTREAM_CA_OPTION] = str(upstream_bundle(ca_folder, config.corporate).absolute())
    return options


def proxy_arguments(options: Mapping[str, str], hosts: Sequence[str], user_arguments: Sequence[str] = ()) -> list[str]:
    """Return mitmdump's arguments.

    Args:
        options: the launcher's options; those that the user sets as well are left out, because mitmproxy refuses an
            option that is set twice.
        hosts: gateways to watch beside Codex's own hosts.
        user_arguments: the user's own arguments of mitmdump.
    """
    set_by_user = set(_options_set(user_arguments))
    settings = [f"{name}={value}" for name, value in options.items() if name not in set_by_user]
    settings += [f"codex_tap_hosts={host}" for host in hosts]
    own = [part for setting in settings for part in ("--set", setting)]
    return [*own, "--scripts", str(_ADDON), *user_arguments]


def sets_mode(arguments: Sequence[str]) -> bool:
    """Return True if mitmdump's ``arguments`` set its mode."""
    return any(each.startswith(("--mode", "-m")) for each in arguments) or "mode" in _options_set(arguments)


def sets_listening(arguments: Sequence[str]) -> bool:
    """Return True if mitmdump's ``arguments`` set where it listens, in which mode, or who may connect."""
    flags = [each.partition("=")[0] for each in arguments if each.startswith("-")]
    return (
        any(each.startswith(_LISTEN_SHORT_FLAGS) and not each.startswith("--") for each in flags)
        # mitmdump knows each flag by any beginning of it
        or any(known.startswith(each) for each in flags if len(each) > 2 for known in _LISTEN_FLAGS)
        or not _LISTEN_OPTIONS.isdisjoint(_options_set(arguments))
    )


def sets_data(arguments: Sequence[str]) -> bool:
    """Return True if mitmdump's ``arguments`` set the database, the watched hosts or the certificate authority."""
    return not _DATA_OPTIONS.isdisjoint(_options_set(arguments))


def proxy_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the environment that the proxy needs: no login, password or setting of Python."""
    return {
        name: value
        for name, value in environ.items()
        if name.upper() in _KEPT_VARIABLES or name.upper().startswith(_KEPT_PREFIXES)
    }


def _options_set(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the names of the options that mitmdump's ``arguments`` set with ``--set``."""
    for flag, following in pairwise((*arguments, "")):
        if flag == "--set":
            yield following.partition("=")[0]
        elif flag.startswith("--set="):
            yield flag.removeprefix("--set=").partition("=")[0]
