"""``run``, ``proxy`` and ``env``: the proxy and the user's command, started and stopped together.

Nothing heavy is imported: the user waits for the start of ``codex-tap run``, and mitmproxy's imports happen in the
proxy's own process.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from scripts.launch import closing_line
from scripts.launch.certificates import CorporateCa, ca_certificate, command_bundle, ensure_authority, node_bundle
from scripts.launch.codex_env_file import Bypass, find_bypass
from scripts.launch.codex_program import without_daemon
from scripts.launch.command import Command, Signals, find_program
from scripts.launch.environment import Shell, command_environment, find_node_ca, shell_lines, shim_line
from scripts.launch.proxy_options import (
    UpstreamConfig,
    proxy_arguments,
    proxy_environ,
    proxy_options,
    read_corporate_ca,
    sets_mode,
)
from scripts.launch.proxy_process import ProxyProcess
from scripts.launch.shim import place_shim, search_path, with_shim
from scripts.launch.sidecar import AlertsProcess, PageProcess
from scripts.support.errors import WRONG_USE, LaunchError
from scripts.support.output_queue import STDERR, STDOUT, drained_at_exit
from store.files import certificate_folder, probed_programs
from store.settings import WATCHED_HOSTS, default_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scripts.launch.sidecar import SidecarProcess

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
_CERTIFICATE_URL = "http://mitm.it/cert/pem"  # a mitmproxy responds to it itself, and no other server does
_MAX_CERTIFICATE_BYTES = 65_536
_LISTEN_FAILED = re.compile(r"failed to listen on (\S+) with .*?([^:\]]+)$")
_INTERRUPTED = 130
_MAX_SHOWN_LINES = 20


class _Route(NamedTuple):
    """The way of a command's traffic through a proxy: ``address`` is ``host:port``, ``hosts`` are gateways."""

    address: str
    certificate: Path
    corporate: CorporateCa | None
    hosts: Sequence[str]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return ``environ`` with the variables that lead a command through the proxy."""
        folder = certificate_folder()
        trusted = command_bundle(folder, self.certificate, self.corporate)
        trusted_by_node = node_bundle(folder, self.certificate, find_node_ca(environ, windows=_WINDOWS))
        return command_environment(
            environ,
            proxy_url=f"http://{self.address}",
            ca_file=str(trusted.absolute()),
            node_ca_file=str(trusted_by_node.absolute()),
            gateways=self.hosts,
            windows=_WINDOWS,
        )

    def find_bypass(self, variables: Mapping[str, str]) -> Bypass | None:
        """Return the setting of Codex's ``.env`` that makes it bypass the proxy in spite of ``variables``, or None."""
        return find_bypass(variables, self.address, (*WATCHED_HOSTS, *self.hosts), windows=_WINDOWS)


class _FinishedRun(NamedTuple):
    """A command that ended, and the proxy that was started for it.

    ``proxy_exit_code`` is None unless the proxy ended before the command.
    """

    exit_code: int
    proxy_exit_code: int | None
    bypass: Bypass | None
    proxy: ProxyProcess


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
        database: the file to record to, or the file that the running proxy records to; None leaves it to the
            environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        proxy: ``host:port`` of a running ``codex-tap proxy``; None starts a proxy for this command.
        ca_file: the CA certificate of that running proxy; None is that in the user's data folder.
        serve: also serve the web page while the command runs.
        alerts: also send alerts while the command runs.
        quiet: leave out the closing line.
        strict: refuse to run a command that would bypass the tap, instead of a warning.
        environ: the environment that the command's environment is based on.

    Raises:
        LaunchError: exit code 127 or 126 for the command, 4 for the proxy and for a bypass of it.
    """
    if not command:
        raise LaunchError("there is no command to run", WRONG_USE)
    program = [find_program(command[0], search_path(environ)), *command[1:]]
    config = UpstreamConfig.read(environ)
    recorded, is_shown = database or default_database(environ), closing_line.is_shown(quiet=quiet)
    if proxy is not None:
        certificate = ca_file or ca_certificate(certificate_folder())
        probe(proxy, certificate)
        route = _Route(proxy, certificate, config.corporate, hosts)
        variables, _ = _command_variables(route, environ, strict=strict)
        tapped = Command(without_daemon(program, probed_programs(), environ), variables)
        return _run_through_shared_proxy(tapped, recorded, is_shown=is_shown)
    try:
        with (
            _sidecars(database, environ, serve=serve, alerts=alerts) as sidecars,
            managed_proxy(database=database, hosts=hosts, environ=environ) as own,
        ):
            arguments = without_daemon(program, probed_programs(), environ)  # while the proxy starts
            certificate = ca_certificate(certificate_folder())
            route = _Route(own.wait_until_ready(), certificate, config.corporate, hosts)
            variables, bypass = _command_variables(route, environ, strict=strict)
            _announce(sidecars)  # before the command takes over the terminal
            done = _run_through_own_proxy(Command(arguments, variables), own, bypass)
    except KeyboardInterrupt:
        return _INTERRUPTED  # the command was not started yet
    _report(done, recorded, is_shown=is_shown)
    return done.exit_code


@contextlib.contextmanager
def managed_proxy(
    *,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    folder: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[ProxyProcess]:
    """Start a proxy with the addon on a free loopback port; on leaving, it writes all that it has seen and is stopped.

    Args:
        database: the file to record to; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        folder: the folder of its certificate authority, which is created if it is missing; None is the user's.
        environ: the environment that the proxy's environment is based on, and that configures an upstream proxy.

    Raises:
        LaunchError: exit code 4.
    """
    config, ca_folder = UpstreamConfig.read(environ), folder or certificate_folder()
    ensure_authority(ca_folder)
    options = proxy_options("127.0.0.1", 0, ca_folder, database, config)
    with ProxyProcess(proxy_arguments(options, hosts), proxy_environ(environ, config)) as own:
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

    Args:
        arguments: mitmdump's own; they take precedence over the other parameters.
        host: the address to listen at.
        port: the port to listen at; 0 is a free one.
        database: the file to record to; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        serve: also serve the web page.
        alerts: also send alerts.
        environ: the environment that the proxy's environment is based on, and that configures an upstream proxy.

    Raises:
        LaunchError: exit code 4, it could not start; 2, others than this machine could use it without a password.
    """
    config = _without_loop(UpstreamConfig.read(environ), host, port)
    if sets_mode(arguments):  # mitmdump would not use the upstream, so it does not get the password either
        config = config.without_upstream()
    folder = certificate_folder()
    ensure_authority(folder)
    options = proxy_options(host, port, folder, database, config)
    with (
        _sidecars(database, environ, serve=serve, alerts=alerts, echo_alerts=True) as sidecars,
        ProxyProcess(proxy_arguments(options, hosts, arguments), proxy_environ(environ, config), echo=True) as process,
        # A shell starts background jobs with Ctrl-C ignored; a SIGINT that is sent to this process is meant for it.
        Signals(lambda _number: process.ask_to_end(), stay_ignored=["SIGHUP"]),
    ):
        return _wait_for_proxy(process, database or default_database(environ), hosts, sidecars)


def probe(address: str, ca_file: Path, *, seconds: float = 5.0) -> None:
    """Check that the proxy at ``host:port`` responds and that its CA certificate is ``ca_file``.

    Raises:
        LaunchError: exit code 4; the message says which of these does not hold and how to start a proxy.
    """
    advice = "start one with: codex-tap proxy"
    certificate = _fetch_certificate(address, seconds, advice)
    try:
        expected = ca_file.read_bytes()
    except OSError as error:
        raise LaunchError(f"{ca_file} cannot be read: {error.strerror}; {advice}") from error
    if certificate.split() != expected.split():
        raise LaunchError(f"{address} is not a codex-tap proxy with the CA certificate {ca_file}; {advice}")


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
        LaunchError: exit code 4, a file that the environment names cannot be used.
    """
    lines = shell_lines(shell, environ, _shell_route(address, ca_file, hosts, environ).environment(environ))
    shim = place_shim()
    return lines + (shim_line(shell, str(shim)) if shim and environ.get("PATH") else "")


def shell_bypass(
    *,
    address: str = "127.0.0.1:8080",
    ca_file: Path | None = None,
    hosts: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Bypass | None:
    """Return the setting of Codex's ``.env`` that undoes the effect of `environment_lines`, or None.

    Raises:
        LaunchError: exit code 4, a file that the environment names cannot be used.
    """
    route = _shell_route(address, ca_file, hosts, environ)
    return route.find_bypass(route.environment(environ))


def _shell_route(address: str, ca_file: Path | None, hosts: Sequence[str], environ: Mapping[str, str]) -> _Route:
    certificate = ca_file or ca_certificate(certificate_folder())
    return _Route(address, certificate, read_corporate_ca(environ), hosts)


def _command_variables(
    route: _Route, environ: Mapping[str, str], *, strict: bool
) -> tuple[dict[str, str], Bypass | None]:
    """Return the command's environment, and the bypass that the user was warned of.

    Raises:
        LaunchError: there is a bypass, and ``strict`` does not allow that.
    """
    variables = with_shim(route.environment(environ))
    bypass = route.find_bypass(variables)
    if bypass and strict:
        raise LaunchError(bypass.warning)
    if bypass:
        print(f"codex-tap: {bypass.warning}", file=sys.stderr, flush=True)
    return variables, bypass


def _run_through_own_proxy(command: Command, own: ProxyProcess, bypass: Bypass | None) -> _FinishedRun:
    """Run the command, then stop the proxy."""
    with Signals(command.receive):
        own.report_command(command.start())
        code = command.wait()
        own.report_end()
        proxy_exit_code = own.poll()
        own.stop()  # while signals do not end this process yet
    return _FinishedRun(code, proxy_exit_code, bypass, own)


def _run_through_shared_proxy(command: Command, database: Path, *, is_shown: bool) -> int:
    """Run the command through a proxy that goes on afterwards and return the command's exit code."""
    line = closing_line.SharedProxyLine(database) if is_shown else None
    with Signals(command.receive):
        command.start()
        code = command.wait()
    if line:
        line.show()
    return code


def _report(done: _FinishedRun, database: Path, *, is_shown: bool) -> None:
    """Print the proxy's messages, held back while the command had the terminal, and the closing line."""
    lines = done.proxy.lines
    if len(lines) > _MAX_SHOWN_LINES:
        STDERR.put(f"codex-tap: proxy: {len(lines) - _MAX_SHOWN_LINES} earlier lines are left out")
    for line in lines[-_MAX_SHOWN_LINES:]:
        STDERR.put(f"codex-tap: proxy: {line}")
    if is_shown:
        closing_line.show_own(done.proxy.summary, database, exit_code=done.proxy_exit_code, bypass=done.bypass)
    elif done.proxy_exit_code is not None:
        STDERR.put(f"codex-tap: the proxy ended before the command (exit code {done.proxy_exit_code})")


@contextlib.contextmanager
def _sidecars(
    database: Path | None, environ: Mapping[str, str], *, serve: bool, alerts: bool, echo_alerts: bool = False
) -> Iterator[Sequence[SidecarProcess]]:
    """Start the sidecars that are asked for; one that cannot be started is reported, and the rest goes on."""
    started: list[SidecarProcess] = []
    with contextlib.ExitStack() as stack:
        try:
            if serve:
                started.append(stack.enter_context(PageProcess(database, environ)))
            if alerts:
                started.append(stack.enter_context(AlertsProcess(database, environ, echo=echo_alerts)))
        except LaunchError as error:
            STDERR.put(f"codex-tap: {error}")
        yield started


def _announce(sidecars: Sequence[SidecarProcess]) -> None:
    for sidecar in sidecars:
        sidecar.announce()
    STDERR.drain()


def _wait_for_proxy(
    process: ProxyProcess, database: Path, hosts: Sequence[str], sidecars: Sequence[SidecarProcess]
) -> int:
    """Report that the proxy is ready, wait for its end and return its exit code."""
    try:
        address = process.wait_until_ready()
    except LaunchError as error:
        if process.poll() != 0:
            raise _listen_error(process.lines) or error from None
        print(*process.lines, sep="\n")  # it only printed its options or version, or was ended at once
        return 0
    watched = ", ".join((*WATCHED_HOSTS, *hosts))
    STDOUT.put(f"codex-tap: listening at {address}, recording to {database}, watching {watched}")
    _announce(sidecars)
    return process.wait()


def _listen_error(lines: Sequence[str]) -> LaunchError | None:
    """Return the error of a proxy whose address is in use or forbidden, or None if its output shows no such error."""
    for line in lines:
        match = _LISTEN_FAILED.search(line)
        if match:
            address, reason = match[1], match[2].strip()
            return LaunchError(f"the proxy cannot listen on {address}: {reason}; use another port with --port")
    return None


def _without_loop(config: UpstreamConfig, host: str, port: int) -> UpstreamConfig:
    """Drop an upstream that is the new proxy itself: the shell may have evaluated ``codex-tap env``."""
    is_itself = config.upstream is not None and config.upstream.url == f"http://{host}:{port}"
    return config.without_upstream() if is_itself else config


def _fetch_certificate(address: str, seconds: float, advice: str) -> bytes:
    import http.client

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise LaunchError(f"{address} is not a proxy's address; write HOST:PORT, such as 127.0.0.1:8080", WRONG_USE)
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=seconds)
    try:
        connection.request("GET", _CERTIFICATE_URL)
        return connection.getresponse().read(_MAX_CERTIFICATE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise LaunchError(f"no proxy responds at {address} ({error}); {advice}") from error
    finally:
        connection.close()
