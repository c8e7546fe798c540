"""The shim: a script ``codex``, first in the PATH of a command, that starts the next ``codex`` with ``--no-daemon``.

It has a folder of its own in the data folder and stays there, so a killed ``codex-tap run`` leaves nothing to clean up.
If codex-tap or its Python is removed, the script starts the next ``codex`` without changes.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch import codex_program
from scripts.launch.codex_program import DEPTH_VARIABLE, MAX_DEPTH, without_shims
from store.files import SHIM_MARKER, probed_programs, shim_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROGRAM = Path(codex_program.__file__).resolve()

# `-ef` keeps it from starting itself through a link elsewhere in PATH, and the dots end a cycle of copies.
_POSIX = """\
#!/bin/sh
# Made by codex-tap: starts the next codex in PATH, with --no-daemon if it accepts that flag.
found=
case ${depth} in
{dots}*) ;;
*)
    IFS=:
    set -f
    places=$PATH:
    for folder in $places; do
        folder=${{folder:-.}}
        if [ -e "$folder/{marker}" ] || [ "$folder/codex" -ef "$0" ]; then continue; fi
        if [ -f "$folder/codex" ] && [ -x "$folder/codex" ]; then
            found=$folder/codex
            break
        fi
    done
    unset IFS
    set +f
    ;;
esac
if [ -z "$found" ]; then
    echo "codex-tap: codex was not found; get it with: npm install -g @openai/codex" >&2
    exit 127
fi
flag=$({python} -I -S {program} flag {cache} "$found" "$@" </dev/null 2>/dev/null)
[ "$flag" = --no-daemon ] || flag=
{variable}=${depth}.
export {variable}
exec "$found" ${{flag:+"$flag"}} "$@"
"""

_WINDOWS = """\
@echo off
rem Made by codex-tap: starts the next codex in PATH, with --no-daemon if it accepts that flag.
setlocal DisableDelayedExpansion
if exist {python} if exist {program} goto tapped
set "CODEX_TAP_FOUND="
for %%D in ("%PATH:;=" "%") do if not exist "%%~D\\{marker}" for %%E in (exe cmd) do (
    if not defined CODEX_TAP_FOUND if exist "%%~D\\codex.%%E" set "CODEX_TAP_FOUND=%%~D\\codex.%%E"
)
if not defined CODEX_TAP_FOUND exit /b 127
"%CODEX_TAP_FOUND%" %*
exit /b
:tapped
{python} -I -S {program} start {cache} %*
exit /b
"""


def search_path(environ: Mapping[str, str]) -> str | None:
    """Return the PATH without the folders of shims."""
    path = environ.get("PATH")
    return path and without_shims(path)


def with_shim(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the folder of the shim first in PATH, or unchanged if that is impossible."""
    path, folder = search_path(environ), place_shim()
    if not path or folder is None:
        return dict(environ)
    return {**environ, "PATH": os.pathsep.join((str(folder), path))}


def place_shim() -> Path | None:
    """Write the shim if it is missing or outdated; return its folder, or None if it cannot be written or be in PATH."""
    folder = shim_folder().absolute()
    if os.pathsep in str(folder):
        return None
    try:
        # The marker is written first: without it the shim would start itself as the next codex.
        for name, content in ((SHIM_MARKER, b""), _windows() if sys.platform == "win32" else _posix()):
            if not _has_content(folder / name, content):
                write_private(folder / name, content, executable=bool(content))
    except (OSError, ValueError):
        return None
    return folder


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _posix() -> tuple[str, bytes]:
    text = _POSIX.format(
        marker=SHIM_MARKER,
        dots="." * MAX_DEPTH,
        depth=f"{{{DEPTH_VARIABLE}-}}",
        variable=DEPTH_VARIABLE,
        python=shlex.quote(sys.executable),
        program=shlex.quote(str(_PROGRAM)),
        cache=shlex.quote(str(probed_programs().absolute())),
    )
    return "codex", os.fsencode(text)


def _windows() -> tuple[str, bytes]:
    text = _WINDOWS.format(
        marker=SHIM_MARKER,
        python=_batch_quote(sys.executable),
        program=_batch_quote(str(_PROGRAM)),
        cache=_batch_quote(str(probed_programs().absolute())),
    )
    return "codex.cmd", text.replace("\n", "\r\n").encode("oem" if sys.platform == "win32" else "utf-8")


def _batch_quote(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'
