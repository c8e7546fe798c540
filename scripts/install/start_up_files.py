"""The start-up files of the user's shells, and the lines in them that put the installed ``codex`` first in PATH."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from scripts.launch.environment import shim_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.launch.environment import Shell

ShellName = Literal["bash", "zsh", "fish", "powershell"]
SHELL_NAMES: tuple[ShellName, ...] = get_args(ShellName)

_GRAMMAR: dict[ShellName, Shell] = {"bash": "sh", "zsh": "sh", "fish": "fish", "powershell": "powershell"}
# A login shell reads the first one that exists.
_BASH_LOGIN_FILES = (".bash_profile", ".bash_login", ".profile")
_COMMENT = "# Made by codex-tap install: a codex that runs through codex-tap. codex-tap uninstall removes this block."


def guess_shell(environ: Mapping[str, str], platform: str) -> ShellName | None:
    """Return the user's shell, or None if it is none of those that are known.

    Args:
        environ: the environment.
        platform: as `sys.platform`.
    """
    if platform == "win32":
        return "powershell"
    name = Path(environ.get("SHELL", "")).name
    return next((each for each in SHELL_NAMES if name in {each, "pwsh" if each == "powershell" else each}), None)


def start_up_files(shell: ShellName, environ: Mapping[str, str], platform: str) -> list[Path]:
    """Return the files that the shell reads at its start; they need not exist.

    Args:
        shell: the shell.
        environ: the environment, for the folders that it names.
        platform: as `sys.platform`.
    """
    home = Path.home()
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if shell == "zsh":
        return [Path(environ.get("ZDOTDIR") or home) / ".zshrc"]
    if shell == "fish":
        return [config / "fish" / "conf.d" / "codex-tap.fish"]
    if shell == "powershell":
        return [config / "powershell" / "profile.ps1"]
    login = [home / name for name in _BASH_LOGIN_FILES]
    # A terminal on macOS starts a login shell, which does not read .bashrc.
    created = login[:1] if platform == "darwin" else []
    return [home / ".bashrc", *([each for each in login if os.path.lexists(each)][:1] or created)]


def block_lines(shell: ShellName, folder: Path) -> list[str]:
    """Return the lines that put a folder first in PATH, unless it is first already."""
    return [_COMMENT, shim_line(_GRAMMAR[shell], str(folder)).removesuffix("\n")]
