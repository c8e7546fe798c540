"""The proxy and the user's command, started and stopped together.

It imports nothing heavy: what a person waits for at the start of ``codex-tap run`` are mitmproxy's imports,
in its own process.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch import closing_line
from scripts.launch.alerts_process import AlertsProcess
from scripts.launch.certificates import (
    CorporateCa,
    ca_certificate,
    command_bundle,
    ensure_authority,
    node_bundle,
    upstream_bundle,
)
from scripts.launch.codex_env_file import Bypass, find_bypass
from scripts.launch.codex_program import without_daemon
from scripts.launch.command import Command, Signals, find_program
from scripts.launch.environment import (
    Shell,
    Upstream,
    command_environment,
    find_corporate_ca,
    find_node_ca,
    find_upstream,
    shell_lines,
    shim_line,
)
from scripts.launch.page_process import PageProcess
from scripts.launch.proxy_process import ProxyProcess
from scripts.launch.shim import place_shim, search_path, with_shim
from scripts.support.errors import LaunchError
from scripts.support.output_queue import STDERR, STDOUT, drained_at_exit
from store.settings import (
    LOG_FOLDER,
    UPSTREAM_AUTH_VARIABLE,
    WATCHED_HOSTS,
    certificate_folder,
    default_database,
    probed_programs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "LaunchError",
    "Shell",
    "environment_lines",
    "managed_proxy",
    "probe",
    "proxy",
    "run",
    "shell_bypass",
]

_WINDOWS = sys.platform == "win32"
_ADDON = Path(__file__).resolve().parents[2] / "addon" / "codex_tap.py"
_CERTIFICATE_URL = "http://mitm.it/cert/pem"  # mitmproxy answers it itself, and nobody else does
_CERTIFICATE_BYTES = 65536  # far more than a certificate has
_NOT_LISTENING = re.compile(r"failed to listen on (\S+) with .*?([^:\]]+)$")
_INTERRUPTED = 130
_SHOWN_LINES = 20


@dataclass(frozen=True)
class _UpstreamConfig:
    """What the user's environment says of how to get out of here."""

    upstream: Upstream | None
    corporate: CorporateCa | None


@drained_at_exit()
def run(
    command: Sequence[str],
    *,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    proxy: str | None = None,
    ca_file: Path | None = None,
    serve: bool = False,
    alerts: bool = False,
    quiet: bool = False,
    strict: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run ``command`` with its traffic to Codex tapped and return its exit code (128 + N after signal N).

    Args:
        command: the program and its arguments.
        database: where to record, or where the running proxy does; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        proxy: ``host:port`` of a running ``codex-tap proxy``; None starts a proxy for this command.
        ca_file: the certificate of that running proxy's authority, if it is not the one of our folder.
        serve: show the page beside a proxy of its own, as long as that runs.
        alerts: tell what the user's alerts file asks for, as long as that runs.
        quiet: leave out the closing line.
        strict: refuse to run a command that would bypass the tap, instead of a warning.
        environ: what the command's environment is made of.

    Raises:
        LaunchError: exit code 127 or 126 for the command, 4 for the proxy and for a bypass of it.
    """
    if not command:
        raise LaunchError("there is no command to run", 2)
    program = [find_program(command[0], search_path(environ)), *command[1:]]
    way_out = _upstream_config(environ)
    recorded, is_shown = database or default_database(environ), closing_line.is_shown(quiet=quiet)
    if proxy is not None:
        trusted = ca_file or ca_certificate(certificate_folder())
        probe(proxy, trusted)
        variables = with_shim(_environment(environ, proxy, trusted, way_out.corporate, hosts))
        _warn_of_bypass(variables, proxy, hosts, strict=strict)
        tapped = Command(without_daemon(program, probed_programs(), environ), variables)
        return _run_through_shared(tapped, recorded, is_shown=is_shown)
    try:
        with (
            _page(serve, database, environ) as page,
            _alerts(alerts, database, environ, echo=False) as watch,
            managed_proxy(database=database, hosts=hosts, environ=environ) as own,
        ):
            program = without_daemon(program, probed_programs(), environ)  # while the proxy starts
            address, certificate = own.wait_until_ready(), ca_certificate(certificate_folder())
            variables = with_shim(_environment(environ, address, certificate, way_out.corporate, hosts))
            bypass = _warn_of_bypass(variables, address, hosts, strict=strict)
            _announce(page, watch)  # later the terminal is the command's
            code, ended_early = _run_through(Command(program, variables), own)
    except KeyboardInterrupt:
        return _INTERRUPTED  # before the command was there to decide
    _report(own.lines)
    if is_shown:
        closing_line.show_own(own.summary, recorded, exit_code=ended_early, bypass=bypass)
    elif ended_early is not None:
        STDERR.put(f"codex-tap: the proxy ended before the command (exit code {ended_early})")
    return code


@contextlib.contextmanager
def managed_proxy(
    *,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    folder: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[ProxyProcess]:
    """Start a proxy with the addon on a free loopback port; on leaving it is ended, all it has seen on disk.

    Args:
        database: where to record; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        folder: where its certificate authority is, or is made; None is the user's.
        environ: what the proxy's environment is made of; it also says how to get out of here.

    Raises:
        LaunchError: exit code 4.
    """
    way_out, ca_folder = _upstream_config(environ), folder or certificate_folder()
    ensure_authority(ca_folder)
    options = _proxy_options("127.0.0.1", 0, ca_folder, database, way_out)
    with ProxyProcess(_arguments(options, hosts), _proxy_environ(environ, way_out)) as own:
        yield own


@drained_at_exit()
def proxy(
    arguments: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    serve: bool = False,
    alerts: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run mitmdump with the addon until Ctrl-C and return its exit code.

    ``arguments`` are mitmdump's own and win over what else is said here. With ``serve`` the page is shown beside
    it, with ``alerts`` the user's alerts are told.

    Raises:
        LaunchError: exit code 4, it could not start; 2, it would let in others than this machine without a password.
    """
    way_out = _ignore_self(_upstream_config(environ), host, port)
    if _gives_mode(arguments):  # then the password is for a proxy that is not used
        way_out = _UpstreamConfig(None, way_out.corporate)
    folder = certificate_folder()
    ensure_authority(folder)
    options = _proxy_options(host, port, folder, database, way_out)
    mine = _arguments(options, hosts, yielding_to=arguments)
    with (
        _page(serve, database, environ) as page,
        _alerts(alerts, database, environ, echo=True) as watch,
        ProxyProcess([*mine, *arguments], _proxy_environ(environ, way_out), echo=True) as process,
        # A shell's background job ignores Ctrl-C from its start; whoever sends it to this one means it.
        Signals(lambda _number: process.ask_to_end(), stay_ignored=["SIGHUP"]),
    ):
        return _serve(process, database or default_database(environ), hosts, page, watch)


def probe(address: str, ca_file: Path, *, seconds: float = 5.0) -> None:
    """Check that a proxy answers at ``host:port`` and that its authority's certificate is ``ca_file``.

    Raises:
        LaunchError: exit code 4; the message says which of these does not hold and how to start one.
    """
    import http.client

    start_one = "start one with: codex-tap proxy"
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise LaunchError(f"{address} is no address of a proxy; it looks like 127.0.0.1:8080", 2)
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=seconds)
    try:
        connection.request("GET", _CERTIFICATE_URL)
        answer = connection.getresponse().read(_CERTIFICATE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise LaunchError(f"no proxy answers at {address} ({error}); {start_one}") from error
    finally:
        connection.close()
    try:
        expected = ca_file.read_bytes()
    except OSError as error:
        raise LaunchError(f"{ca_file} cannot be read: {error.strerror}; {start_one}") from error
    if answer.split() != expected.split():
        raise LaunchError(f"what answers at {address} is not a codex-tap proxy with {ca_file}; {start_one}")


def environment_lines(
    shell: Shell,
    *,
    address: str = "127.0.0.1:8080",
    ca_file: Path | None = None,
    hosts: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Return the lines that a shell evaluates to use the proxy at ``address`` from then on.

    Raises:
        LaunchError: exit code 4, a file that the environment names is not what it should be.
    """
    lines = shell_lines(shell, environ, _shell_environment(address, ca_file, hosts, environ))
    shim = place_shim()
    return lines + (shim_line(shell, str(shim)) if shim and environ.get("PATH") else "")


def shell_bypass(
    *,
    address: str = "127.0.0.1:8080",
    ca_file: Path | None = None,
    hosts: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Bypass | None:
    """Return the setting of Codex's ``.env`` that undoes what those lines do, or None.

    Raises:
        LaunchError: exit code 4, a file that the environment names is not what it should be.
    """
    return _find_bypass(_shell_environment(address, ca_file, hosts, environ), address, hosts)


def _shell_environment(
    address: str, ca_file: Path | None, hosts: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
    certificate = ca_file or ca_certificate(certificate_folder())
    return _environment(environ, address, certificate, _corporate_ca(environ), hosts)


def _find_bypass(environ: Mapping[str, str], address: str, hosts: Sequence[str]) -> Bypass | None:
    return find_bypass(environ, address, (*WATCHED_HOSTS, *hosts), windows=_WINDOWS)


def _warn_of_bypass(variables: Mapping[str, str], address: str, hosts: Sequence[str], *, strict: bool) -> Bypass | None:
    bypass = _find_bypass(variables, address, hosts)
    if bypass and strict:
        raise LaunchError(bypass.warning)
    if bypass:
        print(f"codex-tap: {bypass.warning}", file=sys.stderr, flush=True)
    return bypass


def _run_through(command: Command, own: ProxyProcess) -> tuple[int, int | None]:
    """Run the command, then end the proxy; return the command's exit code, and the proxy's if that ended first."""
    with Signals(command.receive):
        own.report_command(command.start())
        code = command.wait()
        own.report_end()
        ended_early = own.poll()
        own.stop()  # before the signals are our end again
    return code, ended_early


def _run_through_shared(command: Command, database: Path, *, is_shown: bool) -> int:
    """Run the command through a proxy that goes on afterwards and return the command's exit code."""
    line = closing_line.SharedProxyLine(database) if is_shown else None
    with Signals(command.receive):
        command.start()
        code = command.wait()
    if line:
        line.show()
    return code


def _page(
    serve: bool, database: Path | None, environ: Mapping[str, str]
) -> contextlib.AbstractContextManager[PageProcess | None]:
    return PageProcess(database, environ) if serve else contextlib.nullcontext()


def _alerts(
    alerts: bool, database: Path | None, environ: Mapping[str, str], *, echo: bool
) -> contextlib.AbstractContextManager[AlertsProcess | None]:
    return AlertsProcess(database, environ, echo=echo) if alerts else contextlib.nullcontext()


def _announce(page: PageProcess | None, watch: AlertsProcess | None) -> None:
    for beside in (page, watch):
        if beside:
            beside.announce()
    STDERR.drain()


def _serve(
    process: ProxyProcess,
    database: Path,
    hosts: Sequence[str],
    page: PageProcess | None,
    watch: AlertsProcess | None,
) -> int:
    try:
        address = process.wait_until_ready()
    except LaunchError as error:
        if process.poll() != 0:
            raise _why_not_listening(process.lines) or error from None
        print(*process.lines, sep="\n")  # it was only asked for its options or version, or to end at once
        return 0
    watched = ", ".join((*WATCHED_HOSTS, *hosts))
    STDOUT.put(f"codex-tap: listening at {address}, recording to {database}, watching {watched}")
    _announce(page, watch)
    return process.wait()


def _why_not_listening(lines: Sequence[str]) -> LaunchError | None:
    for line in lines:
        told = _NOT_LISTENING.search(line)
        if told:
            address, reason = told[1], told[2].strip()
            return LaunchError(f"the proxy cannot listen at {address}: {reason}; choose another port with --port")
    return None


def _upstream_config(environ: Mapping[str, str]) -> _UpstreamConfig:
    return _UpstreamConfig(find_upstream(environ, windows=_WINDOWS), _corporate_ca(environ))


def _corporate_ca(environ: Mapping[str, str]) -> CorporateCa | None:
    named = find_corporate_ca(environ, windows=_WINDOWS)
    return CorporateCa.read(*named) if named else None


def _ignore_self(way_out: _UpstreamConfig, host: str, port: int) -> _UpstreamConfig:
    """Drop an upstream that is this very proxy: the shell it is started in may have evaluated ``env``."""
    itself = way_out.upstream is not None and way_out.upstream.url == f"http://{host}:{port}"
    return _UpstreamConfig(None, way_out.corporate) if itself else way_out


def _proxy_options(
    host: str, port: int, folder: Path, database: Path | None, way_out: _UpstreamConfig
) -> dict[str, str]:
    """Return mitmproxy's options; all through ``--set``, whose place a flag of the user takes."""
    options = {
        "confdir": str(folder.absolute()),  # and with it no config.yaml of the user's own mitmproxy
        "listen_host": host,
        "listen_port": str(port),
        "flow_detail": "0",
        "codex_tap_lifeline": "true",
        "codex_tap_log_folder": str((folder.parent / LOG_FOLDER).absolute()),
    }
    if database is not None:
        options["codex_tap_db"] = str(database.absolute())
    if way_out.upstream is not None:
        options["mode"] = f"upstream:{way_out.upstream.url}"
    if way_out.corporate is not None:
        options["ssl_verify_upstream_trusted_ca"] = str(upstream_bundle(folder, way_out.corporate).absolute())
    return options


def _arguments(options: Mapping[str, str], hosts: Sequence[str], yielding_to: Sequence[str] = ()) -> list[str]:
    # mitmproxy refuses an option that is `--set` twice, so ours makes room.
    taken = set(_options_set(yielding_to))
    settings = [f"{name}={value}" for name, value in options.items() if name not in taken]
    settings += [f"codex_tap_hosts={host}" for host in hosts]
    return [part for setting in settings for part in ("--set", setting)] + ["--scripts", str(_ADDON)]


def _options_set(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the names of the options that mitmdump's ``arguments`` set with ``--set``."""
    for flag, following in pairwise((*arguments, "")):
        if flag == "--set":
            yield following.partition("=")[0]
        elif flag.startswith("--set="):
            yield flag.removeprefix("--set=").partition("=")[0]


def _gives_mode(arguments: Sequence[str]) -> bool:
    flags = any(each.startswith(("--mode", "-m")) for each in arguments)
    return flags or "mode" in _options_set(arguments)


def _proxy_environ(environ: Mapping[str, str], way_out: _UpstreamConfig) -> dict[str, str]:
    """Return the proxy's environment: the password of an upstream is not for the list of processes."""
    changed = {name: value for name, value in environ.items() if name != UPSTREAM_AUTH_VARIABLE}
    if way_out.upstream is not None and way_out.upstream.auth is not None:
        changed[UPSTREAM_AUTH_VARIABLE] = way_out.upstream.auth
    return changed


def _environment(
    environ: Mapping[str, str],
    address: str,
    certificate: Path,
    corporate: CorporateCa | None,
    hosts: Sequence[str],
) -> dict[str, str]:
    folder = certificate_folder()
    trusted = command_bundle(folder, certificate, corporate)
    trusted_by_node = node_bundle(folder, certificate, find_node_ca(environ, windows=_WINDOWS))
    return command_environment(
        environ,
        proxy_url=f"http://{address}",
        ca_file=str(trusted.absolute()),
        node_ca_file=str(trusted_by_node.absolute()),
        gateways=hosts,
        windows=_WINDOWS,
    )


def _report(lines: Sequence[str]) -> None:
    """Print what the proxy had to say while the terminal was the command's."""
    if len(lines) > _SHOWN_LINES:
        STDERR.put(f"codex-tap: proxy: {len(lines) - _SHOWN_LINES} earlier lines are left out")
    for line in lines[-_SHOWN_LINES:]:
        STDERR.put(f"codex-tap: proxy: {line}")
