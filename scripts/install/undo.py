"""Everything that `codex-tap install` has changed, changed back: first what leads Codex, then what it is led to."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.install import env_block, windows_path
from scripts.install.always_step import HOST, delete_service, is_open, own_environment
from scripts.install.codex_processes import processes_using, seconds_since_boot
from scripts.install.file_change import FileChange, plan_removal
from scripts.install.service_manager import NoManager, manager_named, manager_of
from scripts.install.start_up_files import SHELL_NAMES, start_up_files
from scripts.install.user_files import UserFile
from scripts.launch.background_server import Restart, restart_server
from scripts.launch.codex_env_file import env_file
from scripts.launch.service_status import load_service_status
from scripts.support.errors import FAILED, CommandError
from scripts.support.installation import Installation, load_installation, save_installation
from store import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.install.service_manager import ServiceManager
    from scripts.install.windows_path import UserPath

_ENV_MODE = 0o600
_END_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class UndoPlan:
    """What is changed back."""

    installed: Installation
    env: FileChange | None
    """Codex's own ``.env``."""

    start_up: Sequence[FileChange]
    manager: ServiceManager
    problems: Mapping[str, str]
    """Start-up files that cannot be changed back, with the reason; they are left alone, and stay on record."""

    @property
    def is_empty(self) -> bool:
        """Return True if nothing is installed."""
        return self.installed == Installation() and self.env is None and not self.start_up


@dataclass(frozen=True)
class Undone:
    """What has become of it."""

    server: Restart
    users: Sequence[int] | None
    """The processes that may still use the service and its certificates; None where the system does not tell."""

    kept: Path | None
    """The file of certificates, if it stays for them."""

    still_listens: bool = False
    """Whether something listens at the port of the service still, such as one that the user runs."""


def plan_undo(environ: Mapping[str, str]) -> UndoPlan:
    """Find out what is to be changed back: what is on record, and blocks in the usual places, should that be lost.

    Raises:
        CommandError: Codex's own ``.env`` cannot be changed back, so that the service has to go on.
    """
    installed = load_installation()
    always = installed.always
    # A service that the user runs may have been run by the system before.
    if always is None or always.service == NoManager.name:
        manager = manager_of(sys.platform, environ)
    else:
        manager = manager_named(always.service, environ)
    env = _plan_env(Path(always.env_file) if always else env_file(environ).absolute(), installed)
    start_up: list[FileChange] = []
    problems: dict[str, str] = {}
    usual = [str(path) for shell in SHELL_NAMES for path in start_up_files(shell, environ, sys.platform)]
    for path in dict.fromkeys([*installed.blocks, *usual]):
        if always is not None and path == always.env_file:
            continue
        try:
            change = plan_removal(Path(path), installed.blocks.get(path))
        except CommandError as error:
            if path in installed.blocks:
                problems[path] = f"{error}; delete the block of codex-tap there yourself"
        else:
            if change.is_needed:
                start_up.append(change)
    return UndoPlan(installed, env, start_up, manager, problems)


def apply_undo(plan: UndoPlan, environ: Mapping[str, str], registry: UserPath | None = None) -> Undone:
    """Change everything back.

    Raises:
        CommandError: something cannot be written or stopped; what was not done yet is still on record.
    """
    always = plan.installed.always
    server: Restart = "none"
    if plan.env is not None:
        plan.env.file.replace(plan.env.after)
    restored_at = seconds_since_boot()
    if always is not None or plan.env is not None:
        server = restart_server(own_environment(environ, always))
        plan.manager.stop()
        _end_holder()
    delete_service()
    for change in plan.start_up:
        change.file.replace(change.after)
    if registry is not None and plan.installed.in_user_path is not None:
        before = registry.read()
        after = windows_path.take_out(before, plan.installed.in_user_path)
        if after != before:
            registry.write(after)
    _delete_program()
    users, kept = _settle_certificates(restored_at, was_always=always is not None or plan.env is not None)
    _forget(plan)
    return Undone(server, users, kept, always is not None and is_open(f"{HOST}:{always.port}"))


def _end_holder() -> None:
    """End a service that the user runs, where the system tells that a process is one."""
    status = load_service_status()
    if status is None or status.pid is None:
        return
    pid = status.pid
    deadline = time.monotonic() + _END_SECONDS
    with contextlib.suppress(OSError):
        if _is_holder(pid):
            os.kill(pid, signal.SIGTERM)
        while _is_holder(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _is_holder(pid: int) -> bool:
    program = os.fsencode(files.service_folder().absolute() / files.HOLDER_PROGRAM)
    try:
        return program in Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _plan_env(path: Path, installed: Installation) -> FileChange | None:
    try:
        file = UserFile.read(path, follow_links=False, new_mode=_ENV_MODE)
    except CommandError as error:
        if str(path) not in installed.blocks:  # it is not known to have a block
            return None
        raise CommandError(
            f"{error}; nothing is undone, because that file leads Codex to the service", FAILED
        ) from error
    recorded = installed.blocks.get(str(path))
    if file.content is None or not env_block.has_traces(file.content, recorded):
        return None
    restored = env_block.restore(file.content, recorded)
    return FileChange(file, restored.content, restored.edited)


def _settle_certificates(restored_at: float, *, was_always: bool) -> tuple[list[int] | None, Path | None]:
    """Delete the certificates, unless a process may still read them: a missing file would cut it off."""
    path = files.trusted_file().absolute()
    if not path.exists():
        return [], None
    users = processes_using(path, restored_at)
    if users or (users is None and was_always):
        return users, path
    path.unlink(missing_ok=True)
    return [], None


def _delete_program() -> None:
    folder = files.installed_folder()
    try:
        for name in ("codex", "codex.cmd", files.SHIM_MARKER):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be deleted: {error.strerror}", FAILED) from error
    with contextlib.suppress(OSError):  # it has foreign files
        folder.rmdir()


def _forget(plan: UndoPlan) -> None:
    try:
        save_installation(Installation({path: plan.installed.blocks[path] for path in plan.problems}))
    except OSError as error:
        raise CommandError(f"{files.installation_file()} cannot be deleted: {error.strerror}", FAILED) from error


def user_registry() -> UserPath | None:
    """Return the PATH of the user on Windows; None on other systems."""
    return windows_path.Registry() if sys.platform == "win32" else None
