"""The first step, `codex-tap install`: a ``codex`` first in PATH that runs through codex-tap."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.install import tapped_codex, windows_path
from scripts.install.file_change import FileChange, plan_block
from scripts.install.start_up_files import block_lines, start_up_files
from scripts.launch.shim import place_installed
from scripts.support.errors import FAILED, CommandError
from scripts.support.installation import Installation, load_installation, save_installation
from store.files import installed_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.install.start_up_files import ShellName
    from scripts.install.windows_path import UserPath

PROGRAM = Path(tapped_codex.__file__).resolve()


@dataclass(frozen=True)
class ShellPlan:
    """What is going to change."""

    folder: Path
    """The folder of the new ``codex``."""

    lines: Sequence[str]
    """The lines of the block."""

    files: Sequence[FileChange]
    """The start-up files."""

    user_path: str | None
    """The new PATH in the registry of Windows; None if it is not changed."""

    gateways: Sequence[str]


def plan_shell(
    shell: ShellName, gateways: Sequence[str], environ: Mapping[str, str], registry: UserPath | None = None
) -> ShellPlan:
    """Find out what is to be changed for a shell.

    Args:
        shell: the shell.
        gateways: gateways to watch beside Codex's own hosts.
        environ: the environment.
        registry: the PATH of the user on Windows, where no start-up file is changed; None on other systems.

    Raises:
        CommandError: a file is not the user's to change.
    """
    folder, recorded = installed_folder().absolute(), load_installation().blocks
    lines = block_lines(shell, folder)
    if registry is not None:
        before = registry.read()
        after = windows_path.put_first(before, str(folder))
        return ShellPlan(folder, lines, (), after if after != before else None, gateways)
    paths = start_up_files(shell, environ, sys.platform)
    files = [plan_block(path, lines, recorded.get(str(path))) for path in paths]
    return ShellPlan(folder, lines, files, None, gateways)


def apply_shell(plan: ShellPlan, registry: UserPath | None = None) -> None:
    """Carry the plan out: first the program and the record, so that nothing leads to what is not there.

    Raises:
        CommandError: something cannot be written; each file is as before or as planned.
    """
    installed = load_installation()
    for change in plan.files:
        installed = installed.with_block(str(change.file.path), plan.lines)
    in_user_path = str(plan.folder) if registry is not None else installed.in_user_path
    try:
        place_installed(PROGRAM)
        save_installation(replace(installed, in_user_path=in_user_path, gateways=tuple(plan.gateways)))
        for change in plan.files:
            change.file.replace(change.after)
        if registry is not None and plan.user_path is not None:
            registry.write(plan.user_path)
    except (OSError, ValueError) as error:
        raise CommandError(f"codex-tap cannot be installed: {error}", FAILED) from error


def shells_installed(installation: Installation) -> bool:
    """Return True if the first step is installed."""
    always = installation.always
    files = installation.blocks.keys() - ({always.env_file} if always else set())
    return bool(files) or installation.in_user_path is not None
