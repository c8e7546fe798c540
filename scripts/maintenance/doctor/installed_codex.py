"""The check of the ``codex`` that `codex-tap install` puts first in PATH."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.install.marked_block import has_block
from scripts.install.shell_step import PROGRAM, shells_installed
from scripts.launch.shim import installed_programs
from scripts.maintenance.doctor.check import Check
from scripts.support.installation import load_installation
from store.files import installed_folder, read_regular, shim_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.support.installation import Installation

_NAME = "shells"
_REPAIR = "repair it: codex-tap install"
# Of a definition that begins with `codex` itself, the shell still runs the first codex in PATH.
_DEFINITION = re.compile(
    rb"""^\s*(alias\s+codex(=|\s+)['"]?+(?!codex\b)\S|function\s+codex\b|codex\s*\(\))""", re.MULTILINE
)
_BESIDE = (".bash_aliases", ".zsh_aliases", ".aliases")
_MAX_BYTES = 1_000_000


def check_installed_codex(environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that a ``codex`` typed in this shell runs through codex-tap."""
    installed = load_installation()
    if not shells_installed(installed):
        if installed.always:
            yield Check(_NAME, "off", "not installed; with the service it is not needed")
        else:
            message = "not installed: only codex-tap run codex is read"
            yield Check(_NAME, "off", message, "to read every codex that you type: codex-tap install")
        return
    problem = _program_problem() or _path_problem(environ, installed)
    if problem and installed.always:
        problem = problem._replace(level="note")  # the service reads the other codex as well
    yield problem or Check(_NAME, "ok", "a codex typed in this shell runs through codex-tap")
    for path in _definitions(installed):
        message = f"{path} defines codex as an alias or a function, which a shell prefers to the one of codex-tap"
        yield Check(_NAME, "note", message, "remove it, or let it start codex without a path")


def _program_problem() -> Check | None:
    programs = installed_programs()
    if not programs:
        return Check(_NAME, "problem", f"{installed_folder()} has no codex of codex-tap", _REPAIR)
    missing = next((each for each in programs if not each.exists()), None)
    if missing is not None:
        return Check(_NAME, "problem", f"codex runs without codex-tap, because {missing} does not exist", _REPAIR)
    if programs[-1] != PROGRAM:
        return Check(_NAME, "note", f"codex runs through another copy of codex-tap, {programs[-1]}", _REPAIR)
    return None


def _path_problem(environ: Mapping[str, str], installed: Installation) -> Check | None:
    """Return why the first ``codex`` in PATH is not the installed one."""
    path = environ.get("PATH", "")
    first = shutil.which("codex", path=path)
    if first is None or Path(first).parent in {installed_folder().absolute(), shim_folder().absolute()}:
        return None  # a command under the tap has the shim's folder before
    if str(installed_folder().absolute()) in path.split(os.pathsep):
        return Check(_NAME, "problem", f"PATH has {first} before the codex of codex-tap", _REPAIR)
    lost = next((each for each in _start_up_files(installed) if not has_block(read_bounded(each) or b"")), None)
    if lost is not None:
        return Check(_NAME, "problem", f"{lost} no longer puts the codex of codex-tap into PATH", _REPAIR)
    message = f"the PATH of this shell does not have the codex of codex-tap, but {first}"
    return Check(_NAME, "note", message, "open a new shell")


def _definitions(installed: Installation) -> Iterator[Path]:
    files = _start_up_files(installed)
    beside = [path.with_name(name) for path in files for name in _BESIDE]
    yield from (each for each in dict.fromkeys([*files, *beside]) if _DEFINITION.search(read_bounded(each) or b""))


def _start_up_files(installed: Installation) -> list[Path]:
    always = installed.always
    return [Path(path) for path in installed.blocks if always is None or path != always.env_file]


def read_bounded(path: Path) -> bytes | None:
    """Return the content of a file of the user's, at most a megabyte; None if there is no such file."""
    try:
        return read_regular(path, _MAX_BYTES)
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return None
