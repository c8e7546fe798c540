"""Scripts ``codex`` that are first in PATH and start the next ``codex`` there.

The shim is first in the PATH of a command under the tap, and adds ``--no-daemon``. The installed script is first in the
PATH of the user's shells, and runs ``codex-tap run codex``.

Each has a folder of its own in the data folder and stays there, so a killed ``codex-tap run`` leaves nothing to clean
up. If codex-tap or its Python is removed, both start the next ``codex`` without changes.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch import codex_program
from scripts.launch.codex_program import DEPTH_VARIABLE, MAX_DEPTH, WITHOUT_TURNS, without_shims
from store.files import (
    SHIM_MARKER,
    has_content,
    installed_folder,
    probed_programs,
    read_regular,
    shim_folder,
    write_private,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_BYTES = 1_000_000
_PROGRAM = Path(codex_program.__file__).resolve()

# `-ef` keeps it from starting itself through a link elsewhere in PATH, and the dots end a cycle of copies.
_POSIX = """\
#!/bin/sh
# Made by codex-tap: {purpose}.
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
{variable}=${depth}.
export {variable}
{action}"""

_ADD_FLAG = """\
flag=$({python} -I -S {program} flag {cache} "$found" "$@" </dev/null 2>/dev/null)
[ "$flag" = --no-daemon ] || flag=
exec "$found" ${{flag:+"$flag"}} "$@"
"""

# Python is started once before, because a damaged one cannot be replaced by Codex any more after `exec`.
_RUN_TAPPED = """\
case ${{1-}} in
{plain}) exec "$found" "$@" ;;
app-server) [ "${{2-}}" != daemon ] || exec "$found" "$@" ;;
esac
if [ -f {tapped} ] && {python} -I -S -c "" </dev/null >/dev/null 2>&1; then
    exec {python} -E -P {tapped} "$found" "$@"
fi
if [ -t 2 ]; then
    echo "codex-tap: codex runs without codex-tap, which is not at" {root} "any more" >&2
fi
exec "$found" "$@"
"""

_POSIX_PROGRAMS = re.compile(r"^if \[ -f (?P<program>.+) \] && (?P<python>.+) -I -S -c ", re.MULTILINE)
_WINDOWS_PROGRAMS = re.compile(r"^if exist (?P<python>\"[^\"]+\") if exist (?P<program>\"[^\"]+\") ", re.MULTILINE)

_WINDOWS = """\
@echo off
rem Made by codex-tap: {purpose}.
setlocal DisableDelayedExpansion
set "CODEX_TAP_FOUND="
for %%D in ("%PATH:;=" "%") do if not exist "%%~D\\{marker}" for %%E in (exe cmd) do (
    if not defined CODEX_TAP_FOUND if exist "%%~D\\codex.%%E" set "CODEX_TAP_FOUND=%%~D\\codex.%%E"
)
if not defined CODEX_TAP_FOUND exit /b 127
if exist {python} if exist {program} goto tapped
"%CODEX_TAP_FOUND%" %*
exit /b
:tapped
{python} {options} {program} {arguments}%*
exit /b
"""

_SHIM_PURPOSE = "starts the next codex in PATH, with --no-daemon if it accepts that flag"
_INSTALLED_PURPOSE = "runs the next codex in PATH through codex-tap; `codex-tap uninstall` removes it"


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
    try:
        return _place(shim_folder(), *(_windows_shim() if sys.platform == "win32" else _posix_shim()))
    except (OSError, ValueError):
        return None


def place_installed(tapped: Path) -> Path:
    """Write the script that runs Codex through codex-tap, and return its folder.

    Args:
        tapped: the program that the script starts with the path of Codex and its arguments.

    Raises:
        OSError: it cannot be written.
        ValueError: its folder cannot be in PATH.
    """
    script = _windows_installed(tapped) if sys.platform == "win32" else _posix_installed(tapped)
    return _place(installed_folder(), *script)


def installed_programs() -> tuple[Path, ...]:
    """Return what the installed script starts, a Python and its program; nothing if there is no such script.

    A script of another version or another copy of codex-tap names those of that one.
    """
    folder = installed_folder()
    if sys.platform == "win32":
        return _found(folder / "codex.cmd", _WINDOWS_PROGRAMS, lambda quoted: quoted[1:-1].replace("%%", "%"))
    return _found(folder / "codex", _POSIX_PROGRAMS, lambda quoted: shlex.split(quoted)[0])


def _found(script: Path, pattern: re.Pattern[str], unquote: Callable[[str], str]) -> tuple[Path, ...]:
    try:
        match = pattern.search(os.fsdecode(read_regular(script, _MAX_BYTES)))
        return () if match is None else (Path(unquote(match["python"])), Path(unquote(match["program"])))
    except (OSError, ValueError, IndexError):
        return ()


def _place(place: Path, name: str, content: bytes) -> Path:
    folder = place.absolute()
    if os.pathsep in str(folder):
        raise ValueError(f"{folder} cannot be in PATH, because its name has {os.pathsep!r} in it")
    # The marker is written first: without it the script would start itself as the next codex.
    for each, wanted in ((SHIM_MARKER, b""), (name, content)):
        if not has_content(folder / each, wanted):
            write_private(folder / each, wanted, executable=bool(wanted))
    return folder


def _posix_shim() -> tuple[str, bytes]:
    return _posix(_SHIM_PURPOSE, _add_flag())


def _posix_installed(tapped: Path) -> tuple[str, bytes]:
    action = _RUN_TAPPED.format(
        plain="|".join(sorted(WITHOUT_TURNS)),
        tapped=shlex.quote(str(tapped)),
        python=shlex.quote(sys.executable),
        root=shlex.quote(str(tapped.parents[2])),
    )
    return _posix(_INSTALLED_PURPOSE, action)


def _posix(purpose: str, action: str) -> tuple[str, bytes]:
    text = _POSIX.format(
        purpose=purpose,
        action=action,
        marker=SHIM_MARKER,
        dots="." * MAX_DEPTH,
        depth=f"{{{DEPTH_VARIABLE}-}}",
        variable=DEPTH_VARIABLE,
    )
    return "codex", os.fsencode(text)


def _add_flag() -> str:
    return _ADD_FLAG.format(
        python=shlex.quote(sys.executable),
        program=shlex.quote(str(_PROGRAM)),
        cache=shlex.quote(str(probed_programs().absolute())),
    )


def _windows_shim() -> tuple[str, bytes]:
    cache = _batch_quote(str(probed_programs().absolute()))
    return _windows(_SHIM_PURPOSE, _PROGRAM, "-I -S", f"start {cache} ")


def _windows_installed(tapped: Path) -> tuple[str, bytes]:
    return _windows(_INSTALLED_PURPOSE, tapped, "-E -P", '"%CODEX_TAP_FOUND%" ')


def _windows(purpose: str, program: Path, options: str, arguments: str) -> tuple[str, bytes]:
    text = _WINDOWS.format(
        purpose=purpose,
        marker=SHIM_MARKER,
        python=_batch_quote(sys.executable),
        options=options,
        program=_batch_quote(str(program)),
        arguments=arguments,
    )
    return "codex.cmd", text.replace("\n", "\r\n").encode("oem" if sys.platform == "win32" else "utf-8")


def _batch_quote(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'
