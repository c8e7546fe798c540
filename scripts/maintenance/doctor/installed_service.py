"""Checks of what `codex-tap install --always` has set up: the service, its port, Codex's ``.env``, the certificates."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.install import env_block, trusted_bundle
from scripts.install.always_step import HOST, own_environment
from scripts.install.service_manager import Launchd, Systemd, TaskScheduler, manager_named
from scripts.launch.certificates import CorporateCa
from scripts.launch.codex_env_file import env_file, exempting_list, find_bypass, parse
from scripts.launch.environment import CA_VARIABLE
from scripts.launch.running_proxies import is_alive, running_proxies
from scripts.launch.service_status import load_service_status
from scripts.maintenance.doctor.bounded_program import ProgramError, program_output
from scripts.maintenance.doctor.check import Check, age
from scripts.maintenance.doctor.installed_codex import read_bounded
from scripts.maintenance.doctor.proxy import proxy_state, trusts
from scripts.support.installation import load_installation
from store.analysis.formatting import DAY
from store.files import trusted_file
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scripts.install.service_manager import Outcome, ServiceManager
    from scripts.launch.service_status import ServiceStatus
    from scripts.support.installation import AlwaysOn, Installation

_WINDOWS = sys.platform == "win32"
_AGAIN = "codex-tap install --always"
_REPAIR = f"repair it: {_AGAIN}"
_MANAGER_SECONDS = 2.0
_PORT_SECONDS = 5.0  # the service lets a connection wait for 3 s before it passes it through
_NO_ADDRESS = "127.0.0.1:0"
_NOT_STARTED = 127


def check_service(environ: Mapping[str, str], now: float) -> Iterator[Check]:
    """Check that the service is set up to run at all times; report its restarts and its last error."""
    name, always = "service", load_installation().always
    if always is None:
        yield Check(name, "off", "not installed: the Codex of an editor is not read", f"to read it: {_AGAIN}")
        return
    unanswered: list[str] = []
    manager = _bounded(manager_named(always.service, environ), unanswered)
    if manager.file is not None and not manager.file.exists():
        yield Check(name, "problem", f"{manager.file} is missing, so nothing starts the service", _REPAIR)
        return
    reason = manager.why_not()
    if unanswered:
        yield Check(name, "note", f"{manager.name} cannot be asked about the service: {unanswered[0]}")
        return
    if reason:
        message, _, advice = reason.rpartition("; ")
        yield Check(name, "problem", message, advice)
        return
    run_by = f"{always.service} runs the service" if manager.file else "you run the service"
    status = load_service_status()
    if status is None or status.pid is None:
        yield Check(name, "note", f"{run_by}; {'it has ended' if status else 'it has not reported its state'}")
        return
    if not is_alive(status.pid):
        yield Check(name, "problem", f"{run_by}; it has ended without a report", _REPAIR)
        return
    yield _judge_status(run_by, status, now)


def _judge_status(run_by: str, status: ServiceStatus, now: float) -> Check:
    parts = [f"{run_by}, for {age(now - status.started_at)}"]
    if status.restarts:
        parts.append(f"its proxy was started again {_times(status.restarts)}")
    if status.last_error is not None:
        at = "" if status.last_error_at is None else f", {age(now - status.last_error_at)} ago"
        parts.append(f"the last error{at}: {status.last_error}")
    if status.tunnelled:
        at = "" if status.last_tunnelled_at is None else f", the last one {age(now - status.last_tunnelled_at)} ago"
        parts.append(f"connections that were passed through unread: {status.tunnelled:,}{at}")
    recent = (at for at in (status.last_error_at, status.last_tunnelled_at) if at is not None and now - at < DAY)
    return Check("service", "note" if any(recent) else "ok", "; ".join(parts))


def check_port(certificate: Path) -> Iterator[Check]:
    """Check that the proxy of codex-tap reads what goes to the port of the service."""
    always = load_installation().always
    if always is None:
        return
    name, address = "port", f"{HOST}:{always.port}"
    start = f"start the service: {_AGAIN}"
    match proxy_state(address, certificate, _PORT_SECONDS):
        case "reads":
            yield Check(name, "ok", f"codex-tap listens at {address}, and reads")
        case "unread":
            message = f"{address} passes everything through unread, because no proxy runs behind it"
            yield Check(name, "problem", message, "if it lasts, the line of the service has the reason")
        case "missing":
            message = f"nothing listens at {address}: a Codex that its .env leads there has no network"
            yield Check(name, "problem", message, f"{start}, or undo it: codex-tap uninstall --keep-data")
        case "silent":
            yield Check(name, "problem", f"what listens at {address} does not respond like a proxy", start)
        case "other":
            yield Check(name, "problem", f"another program listens at {address}", start)


def check_env_file(environ: Mapping[str, str], certificate: Path) -> Iterator[Check]:
    """Check that Codex's own ``.env`` leads every Codex to the service, or at least not round codex-tap."""
    installed = load_installation()
    if installed.always is None:
        yield from _check_without_service(environ)
        return
    always, path = installed.always, Path(installed.always.env_file)
    content = read_bounded(path)
    if content is None or not env_block.has_traces(content, installed.blocks.get(str(path))):
        yield Check(".env", "problem", f"{path} does not lead Codex to the service any more", _REPAIR)
        return
    found = list(_block_problems(content, installed, always, own_environment(environ, always), certificate))
    if not found and path != env_file(environ):
        message = f"{path} leads Codex to the service; CODEX_HOME of this shell is another folder"
        found.append(Check(".env", "note", message, "a Codex with that CODEX_HOME is not led there"))
    yield from found or [Check(".env", "ok", f"every Codex is led to {HOST}:{always.port}")]


def _check_without_service(environ: Mapping[str, str]) -> Iterator[Check]:
    path = env_file(environ)
    content = read_bounded(path)
    if content is None:
        return
    if env_block.has_traces(content, None):
        message = f"{path} has lines of codex-tap, although the service is not installed"
        yield Check(".env", "problem", message, "codex-tap uninstall --keep-data")
        return
    # A running proxy may be named there by hand.
    addresses = [_NO_ADDRESS, *(each.address for each in running_proxies())]
    bypasses = [find_bypass(environ, each, WATCHED_HOSTS, windows=_WINDOWS) for each in addresses]
    bypass = bypasses[0]
    if bypass is not None and all(bypasses):
        problem, _, advice = bypass.warning.rpartition("; ")
        yield Check(".env", "problem", problem, advice)


def _block_problems(
    content: bytes, installed: Installation, always: AlwaysOn, environ: Mapping[str, str], certificate: Path
) -> Iterator[Check]:
    """Yield what keeps Codex from using the block as it was written; no value is shown, it may be a password."""
    text = content.decode("utf-8", "surrogateescape")
    lines = installed.blocks.get(always.env_file, [])
    found, expected = parse(text, environ), parse("\n".join(lines), {})
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    if wrong:
        yield Check(
            ".env", "problem", f"{always.env_file} no longer sets {', '.join(wrong)} as codex-tap wrote it", _REPAIR
        )
    if exempting_list(environ, found, (*WATCHED_HOSTS, *installed.gateways)) is not None:
        yield Check(".env", "problem", "NO_PROXY makes a Codex of this shell bypass the service", _REPAIR)
    if environ.get(CA_VARIABLE) and not trusts(environ[CA_VARIABLE], certificate):
        message = f"{CA_VARIABLE} keeps a Codex of this shell from trusting the service"
        yield Check(
            ".env", "problem", message, "set SSL_CERT_FILE to that file instead, then codex-tap install --always"
        )
    edited = env_block.restore(content, lines).edited
    if edited and not wrong:
        message = f"{always.env_file}: {len(edited)} of the lines in the block of codex-tap are not its own"
        yield Check(".env", "note", message, "move them out of the block")


def check_bundle(certificate: Path) -> Iterator[Check]:
    """Check the file of certificates that Codex trusts: ours, and all that the system trusts now."""
    if load_installation().always is None:
        return
    name, path = "bundle", trusted_file().absolute()
    if not path.exists():
        yield Check(name, "problem", f"{path} is missing: Codex cannot connect to anything", _REPAIR)
    elif not trusts(str(path), certificate):
        yield Check(
            name, "problem", f"{path} does not have the certificate of codex-tap: Codex cannot connect", _REPAIR
        )
    else:
        own = set(CorporateCa.read(name, str(path)).certificates)
        missing = [each for each in trusted_bundle.system_roots() if each not in own]
        if missing:
            message = f"{path} lacks certificates that the system trusts by now: {len(missing)}"
            yield Check(name, "note", message, _REPAIR)
        else:
            yield Check(name, "ok", "all certificates of the system are there, and that of codex-tap")


def _bounded(manager: ServiceManager, unanswered: list[str]) -> ServiceManager:
    """Return the manager, with programs that are given two seconds each.

    Args:
        manager: the manager.
        unanswered: gets the reason of each program that does not start or does not end in time.
    """

    def run(command: Sequence[str]) -> Outcome:
        try:
            return 0, program_output(command, os.environ, _MANAGER_SECONDS).strip()
        except ProgramError as error:
            if error.exit_code is None:
                unanswered.append(str(error))
            return error.exit_code or _NOT_STARTED, str(error)

    return replace(manager, run=run) if isinstance(manager, Systemd | Launchd | TaskScheduler) else manager


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
