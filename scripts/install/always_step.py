"""The second step, `codex-tap install --always`: one fixed port, which Codex's own ``.env`` names.

The service runs and has answered before ``.env`` names it, so that no Codex is led to a closed port.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.install import env_block, shared_home, trusted_bundle
from scripts.install.file_change import FileChange
from scripts.install.service_manager import NoManager, base_interpreter, without_window
from scripts.install.user_files import UserFile
from scripts.launch import session
from scripts.launch.background_server import Restart, restart_server
from scripts.launch.certificates import CorporateCa, ca_certificate, ensure_authority
from scripts.launch.codex_env_file import env_file, leads_to, parse
from scripts.launch.environment import (
    CA_VARIABLE,
    Upstream,
    find_upstream,
    leads_through_tap,
    may_redirect_plain_http,
)
from scripts.launch.service_status import load_service_status
from scripts.launch.shared_proxy import refuse_second
from scripts.otlp.settings import service_environment
from scripts.support.beside import NOTHING_BESIDE, Beside, beside_of
from scripts.support.errors import FAILED, CommandError, LaunchError
from scripts.support.installation import AlwaysOn, Installation, load_installation, save_installation
from scripts.support.version import version
from store import files
from store.settings import WATCHED_HOSTS, default_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.install.service_manager import ServiceManager

DEFAULT_PORT = 26339
"""The port of the service: CODEX on the keys of a telephone."""

HOST = "127.0.0.1"

_ENV_MODE = 0o600
_MAX_CONFIG_BYTES = 1_000_000
_WINDOWS = sys.platform == "win32"
_HOLDER = Path(session.__file__).with_name("holder.py")
_CLI = Path(__file__).resolve().parents[1] / "cli.py"
_ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 0.2
# Where PostgreSQL's client finds its files; a password stays where it is.
_SHIP_VARIABLES = ("PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")
_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
# What the proxy and the programs beside it need; above all no key and no token.
_HANDED_ON = frozenset({
    *("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TMP", "TEMP", "CODEX_HOME"),
    *("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "CODEX_TAP_DB", "CODEX_TAP_ALERTS"),
    *("USERPROFILE", "USERNAME", "USERDOMAIN", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMROOT", "SYSTEMDRIVE"),
    *("WINDIR", "COMSPEC", "PATHEXT"),
})  # fmt: skip


@dataclass(frozen=True)
class AlwaysPlan:
    """What is going to change."""

    address: str
    """``host:port`` of the service."""

    env: FileChange
    """Codex's own ``.env``."""

    env_lines: Sequence[str]
    upstream: Upstream | None
    trusted_before: str | None
    gateways: Sequence[str]
    config: Mapping[str, Any]
    """The configuration of the service."""

    @property
    def always(self) -> AlwaysOn:
        """The record of the service, without what runs it."""
        port = int(self.address.rpartition(":")[2])
        return AlwaysOn(port, str(self.env.file.path), "none", self.trusted_before)


@dataclass(frozen=True)
class KeptOptions:
    """What a repeated installation keeps of the earlier one."""

    gateways: Sequence[str] = ()
    beside: Beside = NOTHING_BESIDE
    environ: Mapping[str, str] = field(default_factory=dict)
    """The variables of the programs beside the proxy."""

    @property
    def options(self) -> list[str]:
        """The options that asked for it."""
        return _options(self.gateways, self.beside)


NOTHING_KEPT = KeptOptions()


def kept_options() -> KeptOptions:
    """Return the options of what is installed; those of a service only where its configuration can be read."""
    installed = load_installation()
    if installed.always is None:
        return KeptOptions(installed.gateways)
    beside, environ = NOTHING_BESIDE, dict[str, str]()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        config = _read_config()
        beside = beside_of([str(part) for part in config["command"]])
        given = {str(name): str(value) for name, value in config["environ"].items()}
        environ = {name: value for name, value in given.items() if name.startswith("OTEL_") or name in _SHIP_VARIABLES}
    return KeptOptions(installed.gateways, beside, environ)


def plan_always(
    environ: Mapping[str, str],
    *,
    port: int | None,
    gateways: Sequence[str],
    beside: Beside,
    kept: KeptOptions = NOTHING_KEPT,
) -> AlwaysPlan:
    """Find out what is to be changed, and check that it cannot leave Codex without a network.

    Args:
        environ: the environment of the user's shell.
        port: the port of the service; None is that of an earlier installation, or else `DEFAULT_PORT`.
        gateways: gateways to watch beside Codex's own hosts.
        beside: what runs beside the proxy.
        kept: what is kept of an earlier installation, beside that.

    Raises:
        CommandError: it cannot be installed here; the message says why and what to do.
    """
    gateways, beside = list(dict.fromkeys([*kept.gateways, *gateways])), beside.or_else(kept.beside)
    if leads_through_tap(environ):
        raise CommandError("this shell runs under codex-tap; install from another one", FAILED)
    installed = load_installation()
    known = installed.always
    port = port or (known.port if known else DEFAULT_PORT)
    address = f"{HOST}:{port}"
    given, environ = environ, own_environment(environ, known)
    path = env_file(environ).absolute()
    _check_home(path.parent)
    _check_port(port, known)
    _check_trust(environ)

    file = UserFile.read(path, follow_links=False, new_mode=_ENV_MODE)
    before = env_block.Restored(None)
    if file.content is not None:
        before = env_block.restore(file.content, installed.blocks.get(str(path)))
    effective = {**environ, **parse((before.content or b"").decode("utf-8", "replace"), environ)}
    refuse_second(effective, default_database(environ), address)
    upstream = find_upstream(effective, windows=_WINDOWS)
    trusted_before = effective.get("SSL_CERT_FILE")
    if environ != given:  # the variables of the block stand where those of the user's environment stood
        upstream = upstream or _earlier_upstream()
        trusted_before = trusted_before or (known.trusted_before if known else None)
    chosen = env_block.variables(
        environ,
        before.content,
        address=address,
        trusted=str(files.trusted_file().absolute()),
        hosts=(*WATCHED_HOSTS, *gateways),
        plain_http=bool(gateways) and may_redirect_plain_http(effective, windows=_WINDOWS),
    )
    after = env_block.insert(before.content, chosen, environ, path)
    if trusted_before:
        CorporateCa.read("SSL_CERT_FILE", trusted_before)
    command = _command(gateways, beside)
    config = _config(environ, port, upstream, trusted_before, command)
    # Programs of the earlier installation keep their variables, where this shell does not set them.
    environ = {**kept.environ, **environ}
    if beside.otlp:
        config["environ"].update(service_environment(environ))
    if beside.ship is not None:
        config["environ"].update({name: environ[name] for name in _SHIP_VARIABLES if name in environ})
    return AlwaysPlan(
        address,
        FileChange(file, after, before.edited),
        env_block.block_lines(chosen),
        upstream,
        trusted_before,
        gateways,
        config,
    )


def own_environment(environ: Mapping[str, str], known: AlwaysOn | None) -> dict[str, str]:
    """Return the environment without what Codex's ``.env`` gave to the commands that Codex runs."""
    if known is None:
        return dict(environ)
    address, trusted = f"{HOST}:{known.port}", str(files.trusted_file().absolute())
    proxies = ("HTTPS_PROXY", "HTTP_PROXY")
    return {
        name: value
        for name, value in environ.items()
        if not (name in proxies and leads_to(value, address)) and not (name == "SSL_CERT_FILE" and value == trusted)
    }


def write_service(plan: AlwaysPlan) -> Sequence[str]:
    """Write everything that the service needs, and return the command that runs it.

    Raises:
        CommandError: something cannot be written.
    """
    ensure_authority(files.certificate_folder())
    trusted_bundle.refresh(plan.trusted_before)
    folder = files.service_folder().absolute()
    program, config = folder / files.HOLDER_PROGRAM, folder / files.HOLDER_CONFIG
    try:
        files.write_private(program, _HOLDER.read_bytes())
        files.write_private(config, json.dumps(plan.config, indent=1).encode())
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}", FAILED) from error
    return [base_interpreter(), "-I", "-S", str(program), str(config)]


def is_current(plan: AlwaysPlan, manager: ServiceManager) -> bool:
    """Return True if the service is installed as planned, so that its open connections need not be closed."""
    folder = files.service_folder()
    try:
        is_same = files.has_content(folder / files.HOLDER_PROGRAM, _HOLDER.read_bytes())
        config = _read_config()
    except (OSError, ValueError, RecursionError):
        return False
    return bool(is_same and config == plan.config and (manager.file is None or manager.file.exists()))


def start_service(
    plan: AlwaysPlan, manager: ServiceManager, command: Sequence[str], *, is_running: bool = False
) -> bool:
    """Start the service, and return True as soon as it has answered a request; False if nothing runs it yet.

    Args:
        plan: the plan.
        manager: what runs the service.
        command: the command that runs it.
        is_running: the service need not be started if it listens.

    Raises:
        CommandError: it does not start or does not answer; a service that was not there before is stopped again.
    """
    before = load_installation()
    _record(before, replace(plan.always, service=manager.name), plan)
    if isinstance(manager, NoManager) and not is_open(plan.address):
        return False
    try:
        if not (is_running and is_open(plan.address)):
            manager.start(command)
        wait_until_it_answers(plan.address, _ANSWER_SECONDS)
    except CommandError:
        if before.always is None:
            with contextlib.suppress(CommandError):
                manager.stop()
            delete_service()
            save_installation(before)
        raise
    return True


def lead_codex(plan: AlwaysPlan, environ: Mapping[str, str]) -> Restart:
    """Write Codex's ``.env``, and restart its background server.

    Raises:
        CommandError: the file cannot be written.
    """
    plan.env.file.replace(plan.env.after)
    return restart_server(own_environment(environ, load_installation().always))


def delete_service() -> None:
    """Delete the files of the service, whose configuration may have a password.

    Raises:
        CommandError: a file cannot be deleted.
    """
    folder = files.service_folder()
    try:
        for name in (files.HOLDER_PROGRAM, files.HOLDER_CONFIG, files.HOLDER_STATUS):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be deleted: {error.strerror}", FAILED) from error
    with contextlib.suppress(OSError):  # it has foreign files
        folder.rmdir()


def wait_until_it_answers(address: str, seconds: float) -> None:
    """Wait until a request through the port is answered by a proxy with the user's own certificate.

    Raises:
        CommandError: it was not answered in time; the message has the reason.
    """
    certificate = ca_certificate(files.certificate_folder())
    deadline = time.monotonic() + seconds
    while True:
        try:
            session.probe(address, certificate)
        except LaunchError as error:
            if time.monotonic() > deadline:
                status = load_service_status()
                reason = status.last_error if status and status.last_error else error
                raise CommandError(f"the service does not work: {reason}", FAILED) from error
        else:
            return
        time.sleep(_RETRY_SECONDS)


def _record(before: Installation, always: AlwaysOn, plan: AlwaysPlan) -> None:
    if before.always is not None and before.always.env_file != always.env_file:
        raise CommandError(
            f"{before.always.env_file} leads to the service; undo that first: codex-tap uninstall --keep-data", FAILED
        )
    try:
        recorded = before.with_block(always.env_file, plan.env_lines)
        save_installation(replace(recorded, gateways=tuple(plan.gateways), always=always))
    except OSError as error:
        raise CommandError(f"{files.installation_file()} cannot be written: {error.strerror}", FAILED) from error


def _earlier_upstream() -> Upstream | None:
    """Return the upstream proxy of the service as it is installed."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        config = _read_config()
        if config["upstream"]:
            return Upstream(str(config["upstream"]), config.get("upstream_auth"))
    return None


def _read_config() -> Any:
    return json.loads(files.read_whole(files.service_folder() / files.HOLDER_CONFIG, _MAX_CONFIG_BYTES))


def _config(
    environ: Mapping[str, str],
    port: int,
    upstream: Upstream | None,
    trusted_before: str | None,
    command: Sequence[str],
) -> dict[str, Any]:
    handed_on = {name: value for name, value in environ.items() if name.upper() in _HANDED_ON}
    if trusted_before:
        handed_on["SSL_CERT_FILE"] = trusted_before
    return {
        "version": 1,
        "codex_tap": version(),  # another one is started anew
        "host": HOST,
        "port": port,
        "command": list(command),
        "environ": handed_on,
        "upstream": upstream.url if upstream else None,
        "upstream_auth": upstream.auth if upstream else None,
        "upstream_ca": trusted_before,
        "status": str(files.service_folder().absolute() / files.HOLDER_STATUS),
    }


def _command(gateways: Sequence[str], beside: Beside) -> list[str]:
    program = [without_window(sys.executable), "-E", "-P", "-X", "utf8", str(_CLI)]
    return [*program, "proxy", "--held-socket", *_options(gateways, beside)]


def _options(gateways: Sequence[str], beside: Beside) -> list[str]:
    hosts = [part for gateway in gateways for part in ("--host", gateway)]
    return [*hosts, *(part for option in beside.options for part in option)]


def _check_home(folder: Path) -> None:
    path = str(folder.resolve())
    reason = None
    if sys.platform == "win32":
        import ctypes

        if shared_home.is_network_path(path, ctypes.windll.kernel32.GetDriveTypeW(Path(path).anchor)):
            reason = f"{path} is on another machine"
    elif sys.platform == "darwin":
        mounts = shared_home.parse_mac_mounts(_text_of_mounts())
        reason = shared_home.problem(path, mounts, in_container=False)
    else:
        mounts = shared_home.parse_mountinfo(_read_text("/proc/self/mountinfo"))
        in_container = shared_home.is_container(_CONTAINER_FILES, _read_text("/proc/1/cgroup"))
        reason = shared_home.problem(path, mounts, in_container=in_container)
    if reason:
        raise CommandError(f"{reason}; use codex-tap install without --always", FAILED)


def _check_port(port: int, known: AlwaysOn | None) -> None:
    """Refuse a port that another program holds."""
    with socket.socket() as candidate:
        if not _WINDOWS:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError as error:
            if known is None or known.port != port:
                message = f"{HOST}:{port} cannot be used: {error.strerror}; choose another port with --port"
                raise CommandError(message, FAILED) from error


def is_open(address: str) -> bool:
    """Return True if something listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _check_trust(environ: Mapping[str, str]) -> None:
    """Refuse a variable that would keep Codex from trusting the service's certificate."""
    named = environ.get(CA_VARIABLE)
    certificate = ca_certificate(files.certificate_folder())
    if not named:
        return
    trusted = CorporateCa.read(CA_VARIABLE, named).certificates
    own = CorporateCa.read("codex-tap", str(certificate)).certificates if certificate.exists() else ()
    if not own or not set(own) <= set(trusted):
        raise CommandError(
            f"{CA_VARIABLE} is set, and Codex prefers it to the certificates that its .env names; "
            "set SSL_CERT_FILE to that file instead, and remove the variable where it is set",
            FAILED,
        )


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _text_of_mounts() -> str:
    from scripts.install.service_manager import run_program

    return run_program(["/sbin/mount"])[1]
