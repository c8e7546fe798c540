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

from scripts.launch import closing_line, holder
from scripts.launch.certificates import (
    MAX_BUNDLE_BYTES,
    CorporateCa,
    ca_certificate,
    command_bundle,
    ensure_authority,
    node_bundle,
)
from scripts.launch.codex_env_file import Bypass, find_bypass
from scripts.launch.codex_program import without_daemon
from scripts.launch.command import Command, Signals, find_program, shell_exit_code
from scripts.launch.environment import (
    Shell,
    Upstream,
    command_environment,
    find_node_ca,
    parse_proxy_url,
    shell_lines,
    shim_line,
)
from scripts.launch.held_proxy import HeldProxy, Outcome, socket_address
from scripts.launch.proxy_options import (
    UPSTREAM_CA_OPTION,
    UpstreamConfig,
    proxy_arguments,
    proxy_environ,
    proxy_options,
    read_corporate_ca,
    sets_data,
    sets_listening,
    sets_mode,
)
from scripts.launch.proxy_process import ProxyProcess
from scripts.launch.running_proxies import (
    RunningProxy,
    ask,
    describe,
    has_certificate,
    new_instance,
    publish,
    published,
)
from scripts.launch.shared_proxy import find_shared, refuse_second
from scripts.launch.shim import place_shim, search_path, with_shim
from scripts.launch.sidecar import AlertsProcess, OtlpProcess, PageProcess, ShipProcess
from scripts.support.beside import NOTHING_BESIDE
from scripts.support.errors import WRONG_USE, LaunchError
from scripts.support.loopback import is_loopback
from scripts.support.output_queue import STDERR, STDOUT, drained_at_exit
from scripts.support.shutdown import on_stdin_eof
from store.files import certificate_folder, probed_programs, read_whole
from store.settings import WATCHED_HOSTS, checked_host, default_database

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from scripts.launch.running_proxies import Kind
    from scripts.launch.sidecar import SidecarProcess
    from scripts.support.beside import Beside

__all__ = [
    "LaunchError",
    "Shell",
    "environment_lines",
    "installed_proxy",
    "managed_proxy",
    "probe",
    "proxy",
    "run",
    "shell_bypass",
]

_WINDOWS = sys.platform == "win32"
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
    """A command that ended, and what the proxy that was started for it did."""

    exit_code: int
    bypass: Bypass | None
    outcome: Outcome


@drained_at_exit()
def run(
    command: Sequence[str],
    *,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    proxy: str | None = None,
    ca_file: Path | None = None,
    own: bool = False,
    beside: Beside = NOTHING_BESIDE,
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
        proxy: ``host:port`` of a running ``codex-tap proxy``; None is one that records to the same database, or a proxy
            for this command.
        ca_file: the CA certificate of that running proxy; None is that in the user's data folder.
        own: start a proxy for this command in any case.
        beside: what else runs while the command does.
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
    address = proxy
    if proxy is None and (shared := find_shared(environ, recorded, hosts, own=own)):
        address, hosts = shared.proxy.address, shared.proxy.hosts
        if shared.warning:
            print(f"codex-tap: {shared.warning}", file=sys.stderr, flush=True)
    elif proxy is not None:
        probe(proxy, ca_file or ca_certificate(certificate_folder()))
    try:
        with _sidecars(database, environ, beside) as sidecars:
            if address is not None:
                certificate = ca_file or ca_certificate(certificate_folder())
                route = _Route(address, certificate, config.corporate, hosts)
                variables, _ = _command_variables(route, environ, strict=strict)
                tapped = Command(without_daemon(program, probed_programs(), environ), variables)
                _announce(sidecars)
                return _run_through_shared_proxy(tapped, recorded, is_shown=is_shown)
            with _own_proxy(database, hosts, config, environ) as own_proxy:
                route = _Route(own_proxy.address, ca_certificate(certificate_folder()), config.corporate, hosts)
                variables, bypass = _command_variables(route, environ, strict=strict)
                tapped = Command(without_daemon(program, probed_programs(), environ), variables)
                _announce(sidecars)  # before the command takes over the terminal
                done = _run_through_own_proxy(tapped, own_proxy, bypass)
    except KeyboardInterrupt:
        return _INTERRUPTED  # the command was not started yet
    _report(done, recorded, is_shown=is_shown)
    return done.exit_code


@contextlib.contextmanager
def _own_proxy(
    database: Path | None, hosts: Sequence[str], config: UpstreamConfig, environ: Mapping[str, str]
) -> Iterator[HeldProxy]:
    """Start a proxy for one command; its port accepts connections at once.

    Raises:
        LaunchError: it could not record or serve.
    """
    recorded, folder, instance = database or default_database(environ), certificate_folder(), new_instance()
    _check_recording(recorded, hosts)
    ensure_authority(folder)
    listener = holder.listen("127.0.0.1", 0)
    options = proxy_options("127.0.0.1", listener.getsockname()[1], folder, recorded, config)
    start = _starter(proxy_arguments(options, hosts), environ, config, listener)
    with HeldProxy(
        listener, start, upstream=config.upstream, upstream_ca=options.get(UPSTREAM_CA_OPTION), instance=instance
    ) as held:
        mine = describe(held.address, recorded, hosts, kind="run", instance=instance, upstream=_url(config.upstream))
        with published(mine):
            yield held


def _starter(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    config: UpstreamConfig,
    listener: socket.socket,
    *,
    echo: bool = False,
) -> Callable[[], ProxyProcess]:
    """Return what starts one process of a proxy."""
    variables, auth = proxy_environ(environ), config.upstream.auth if config.upstream else None
    return lambda: ProxyProcess(arguments, variables, listener=listener, upstream_auth=auth, echo=echo)


def _url(upstream: Upstream | None) -> str | None:
    return upstream.url if upstream else None


def _check_recording(database: Path, hosts: Sequence[str]) -> None:
    """Check what the addon checks at its start, so that the command is not started in vain.

    Raises:
        LaunchError: the database or a host name cannot be used.
    """
    from store.database import open_writer
    from store.errors import DamagedError, DatabaseError, FullError, LockedError

    try:
        for host in hosts:
            checked_host(host)
        with contextlib.suppress(DamagedError, FullError, LockedError):  # the recorder finds a way
            open_writer(database).close()
    except (DatabaseError, ValueError) as error:
        raise LaunchError(f"the proxy did not start: {error}") from error


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
    auth = config.upstream.auth if config.upstream else None
    with ProxyProcess(proxy_arguments(options, hosts), proxy_environ(environ), upstream_auth=auth) as own:
        yield own


@drained_at_exit()
def proxy(
    arguments: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    beside: Beside = NOTHING_BESIDE,
    quiet: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run mitmdump with the addon until Ctrl-C and return its exit code.

    Args:
        arguments: mitmdump's own; they take precedence over the other parameters.
        host: the address to listen at.
        port: the port to listen at; 0 is a free one.
        database: the file to record to; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        beside: what else runs.
        quiet: leave out the line that says where it listens.
        environ: the environment that the proxy's environment is based on, and that configures an upstream proxy.

    Raises:
        LaunchError: exit code 4, it could not start; 2, others than this machine could use it without a password.
    """
    recorded = database or default_database(environ)
    refuse_second(environ, recorded, f"{host}:{port}")
    config = _without_loop(UpstreamConfig.read(environ), host, port)
    if sets_mode(arguments):  # mitmdump would not use the upstream, so it does not get the password either
        config = config.without_upstream()
    ensure_authority(certificate_folder())
    setup = _ProxySetup(arguments, recorded, hosts, config, environ, quiet)
    with _sidecars(database, environ, beside, echo=True) as sidecars:
        if sets_listening(arguments) or not is_loopback(host) or host == "localhost":
            return _serve_by_mitmdump(setup, host, port, sidecars)
        return _serve_held(setup, _listen(host, port), sidecars)


@drained_at_exit()
def installed_proxy(
    *,
    database: Path | None = None,
    hosts: Sequence[str] = (),
    beside: Beside = NOTHING_BESIDE,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run mitmdump with the addon at the socket that the installed service holds, until it ends or stdin does.

    The service (`scripts.launch.holder`) hands over the socket and its upstream proxy on stdin. It passes connections
    through itself, and starts this process again when it has ended, as it does when mitmdump ends.

    Args:
        database: the file to record to; None leaves it to the environment and the default.
        hosts: gateways to watch beside Codex's own hosts.
        beside: what else runs.
        environ: the environment that the proxy's environment is based on.

    Raises:
        LaunchError: exit code 4, it could not start; 2, it was not started by the service.
    """
    try:
        listener, values = holder.take_over()
    except (OSError, ValueError) as error:
        raise LaunchError("--held-socket is for the installed service alone", WRONG_USE) from error
    if listener is None:
        raise LaunchError("--held-socket is for the installed service alone", WRONG_USE)
    upstream = parse_proxy_url(values["upstream"]) if values.get("upstream") else None
    if upstream is not None and values.get("upstream_auth"):
        upstream = Upstream(upstream.url, values["upstream_auth"])
    config = UpstreamConfig(upstream, read_corporate_ca(environ))
    recorded = database or default_database(environ)
    _check_recording(recorded, hosts)
    ensure_authority(certificate_folder())
    setup = _ProxySetup((), recorded, hosts, config, environ)
    mine = setup.describe(listener, kind="installed", instance=values.get("instance", ""), pid=values.get("holder"))
    arguments = proxy_arguments(setup.options(*listener.getsockname()[:2]), hosts)
    with (
        _sidecars(database, environ, beside, echo=True) as sidecars,
        _starter(arguments, environ, config, listener, echo=True)() as process,
        Signals(lambda _number: process.ask_to_end(), stay_ignored=["SIGHUP"]),
    ):
        on_stdin_eof(process.ask_to_end)
        if _announce_proxy(process, setup, sidecars):
            publish(mine)  # for as long as the service holds the port
        return shell_exit_code(process.wait())


class _ProxySetup(NamedTuple):
    """What a proxy in the foreground is started with; ``arguments`` are the user's own arguments of mitmdump."""

    arguments: Sequence[str]
    database: Path
    hosts: Sequence[str]
    config: UpstreamConfig
    environ: Mapping[str, str]
    quiet: bool = False

    def options(self, host: str, port: int) -> dict[str, str]:
        """Return mitmproxy's options."""
        return proxy_options(host, port, certificate_folder(), self.database, self.config)

    def describe(self, listener: socket.socket, *, kind: Kind, instance: str, pid: int | None = None) -> RunningProxy:
        """Return the description by which commands find the proxy."""
        upstream = _url(self.config.upstream)
        address = socket_address(listener)
        return describe(address, self.database, self.hosts, kind=kind, instance=instance, upstream=upstream, pid=pid)


def _serve_by_mitmdump(setup: _ProxySetup, host: str, port: int, sidecars: Sequence[SidecarProcess]) -> int:
    """Run a mitmdump that listens by itself, as the user's arguments say, to its end."""
    arguments = proxy_arguments(setup.options(host, port), setup.hosts, setup.arguments)
    auth = setup.config.upstream.auth if setup.config.upstream else None
    with (
        ProxyProcess(arguments, proxy_environ(setup.environ), upstream_auth=auth, echo=True) as process,
        # A shell starts background jobs with Ctrl-C ignored; a SIGINT that is sent to this process is meant for it.
        Signals(lambda _number: process.ask_to_end(), stay_ignored=["SIGHUP"]),
    ):
        if not _announce_proxy(process, setup, sidecars):
            return 0
        return process.wait()


def _serve_held(setup: _ProxySetup, listener: socket.socket, sidecars: Sequence[SidecarProcess]) -> int:
    """Run mitmdump at a socket that this process holds, until it is asked to end."""
    options = setup.options(*listener.getsockname()[:2])
    arguments = proxy_arguments(options, setup.hosts, setup.arguments)
    mine = setup.describe(listener, kind="proxy", instance=new_instance())
    with (
        HeldProxy(
            listener,
            _starter(arguments, setup.environ, setup.config, listener, echo=True),
            upstream=setup.config.upstream,
            upstream_ca=options.get(UPSTREAM_CA_OPTION),
            instance=mine.instance,
            persists=False,
            note=lambda text: STDERR.put(f"codex-tap: {text}"),
        ) as held,
        Signals(lambda _number: held.ask_to_end(), stay_ignored=["SIGHUP"]),
    ):
        if not _announce_proxy(held.first, setup, sidecars):
            return 0
        # Where the user's arguments say what is recorded, other commands cannot know it.
        with contextlib.nullcontext() if sets_data(setup.arguments) else published(mine):
            return held.wait()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        LaunchError: the address is in use or forbidden.
    """
    try:
        return holder.listen(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LaunchError(
            f"the proxy cannot listen on {host}:{port}: {reason}; use another port with --port"
        ) from error


def probe(address: str, ca_file: Path, *, seconds: float = 5.0) -> None:
    """Check that the proxy at ``host:port`` responds and that its CA certificate is ``ca_file``.

    Raises:
        LaunchError: exit code 4; the message says which of these does not hold and how to start a proxy.
    """
    advice = "start one with: codex-tap proxy"
    try:
        answer = ask(address, seconds)
    except OSError as error:
        raise LaunchError(f"no proxy responds at {address} ({error}); {advice}") from error
    try:
        expected = read_whole(ca_file, MAX_BUNDLE_BYTES)
    except OSError as error:
        raise LaunchError(f"{ca_file} cannot be read: {error.strerror}; {advice}") from error
    if not has_certificate(answer, expected):
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


def _run_through_own_proxy(command: Command, own: HeldProxy, bypass: Bypass | None) -> _FinishedRun:
    """Run the command, then stop the proxy."""
    with Signals(command.receive):
        own.report_command(command.start())
        code = command.wait()
        own.report_end()
        outcome = own.stop()  # while signals do not end this process yet
    return _FinishedRun(code, bypass, outcome)


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
    lines = done.outcome.lines
    if len(lines) > _MAX_SHOWN_LINES:
        STDERR.put(f"codex-tap: proxy: {len(lines) - _MAX_SHOWN_LINES} earlier lines are left out")
    for line in lines[-_MAX_SHOWN_LINES:]:
        STDERR.put(f"codex-tap: proxy: {line}")
    if is_shown:
        closing_line.show_own(done.outcome, database, bypass=done.bypass)
    elif problems := closing_line.problems(done.outcome):
        STDERR.put(f"codex-tap: {problems}")


@contextlib.contextmanager
def _sidecars(
    database: Path | None, environ: Mapping[str, str], beside: Beside, *, echo: bool = False
) -> Iterator[Sequence[SidecarProcess]]:
    """Start the sidecars that are asked for; one that cannot be started is reported, and the rest goes on."""
    started: list[SidecarProcess] = []
    with contextlib.ExitStack() as stack:
        try:
            if beside.serve:
                started.append(stack.enter_context(PageProcess(database, environ)))
            if beside.alerts:
                started.append(stack.enter_context(AlertsProcess(database, environ, echo=echo)))
            if beside.otlp:
                started.append(stack.enter_context(OtlpProcess(database, environ, echo=echo)))
            if beside.ship is not None:
                started.append(stack.enter_context(ShipProcess(database, environ, beside.ship, echo=echo)))
        except LaunchError as error:
            STDERR.put(f"codex-tap: {error}")
        yield started


def _announce(sidecars: Sequence[SidecarProcess]) -> None:
    for sidecar in sidecars:
        sidecar.announce()
    STDERR.drain()


def _announce_proxy(process: ProxyProcess, setup: _ProxySetup, sidecars: Sequence[SidecarProcess]) -> bool:
    """Report that the proxy is ready; return False if it ended in order before that.

    Raises:
        LaunchError: it did not start.
    """
    try:
        address = process.wait_until_ready()
    except LaunchError as error:
        if process.poll() != 0:
            raise _listen_error(process.lines) or error from None
        print(*process.lines, sep="\n")  # it only printed its options or version, or was ended at once
        return False
    if not setup.quiet:
        watched = ", ".join((*WATCHED_HOSTS, *setup.hosts))
        STDOUT.put(f"codex-tap: listening at {address}, recording to {setup.database}, watching {watched}")
    _announce(sidecars)
    return True


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
