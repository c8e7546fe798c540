"""Starts ``codex`` with ``--no-daemon`` if it accepts that flag.

Without the flag an interactive Codex works through a background server, which keeps the environment of the process that
started it: a server that runs already bypasses the proxy, and a server that a tapped Codex starts needs the proxy until
it ends.

The shim runs this file as a program at every start of Codex, with ``-I -S``: it imports only the standard library,
and the slow parts of it only where they are needed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TYPE_CHECKING = False  # importing it from typing takes 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

NO_DAEMON = "--no-daemon"

MARKER = ".codex-tap-shim"
"""The file that marks the folder of a shim, whatever the folder is called in ``PATH`` (`store.files.SHIM_MARKER`)."""

DEPTH_VARIABLE = "CODEX_TAP_SHIM_DEPTH"
"""Environment variable with one dot for each shim that a process was started through."""

MAX_DEPTH = 20

_NAMES = ("codex", "codex.exe", "codex.cmd", "codex.bat", "codex.ps1")
# These subcommands use no background server, or manage it. Any other argument may follow the flag.
_WITHOUT_SERVER = frozenset({
    *("-h", "--help", "-V", "--version", "help"),
    *("exec", "e", "review", "app-server", "exec-server", "remote-control", "mcp", "login", "logout"),
    *("apply", "a", "completion", "debug", "doctor", "features", "sandbox", "update"),
})  # fmt: skip
WITHOUT_TURNS = frozenset({
    *("-h", "--help", "-V", "--version", "help", "mcp", "login", "logout", "apply", "a", "completion", "debug"),
    *("doctor", "features", "sandbox", "update"),
})  # fmt: skip
"""Subcommands that take no turn, so that there is nothing to read."""

# Combined with one of these options, the flag is an error.
_EXCLUDES_FLAG = (NO_DAEMON, "--remote")

_ACCEPTED, _REFUSED = 0, 2  # exit codes of `codex --no-daemon --version`
_PROBE_SECONDS = 5.0
# The launcher of a version manager stays the same file while the Codex that it starts changes.
_MAX_AGE_SECONDS = 86_400.0
_MAX_ENTRIES = 32
_MAX_BYTES = 65_536


def without_daemon(command: Sequence[str], cache: Path, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return ``command``, with ``--no-daemon`` as its first argument if Codex would use its background server.

    Args:
        command: the path of a program and its arguments.
        cache: the file with the results for the programs that were probed before.
        environ: the environment for probing the program.
    """
    program, *arguments = command
    if is_codex(program) and is_flag_useful(arguments) and accepts_flag(program, cache, environ):
        return [program, NO_DAEMON, *arguments]
    return [program, *arguments]


def is_codex(program: str) -> bool:
    """Return True if the program has Codex's name."""
    return Path(program).name.lower() in _NAMES


def is_flag_useful(arguments: Sequence[str]) -> bool:
    """Return True if ``--no-daemon`` is allowed before these arguments of Codex and has an effect."""
    if arguments and arguments[0] in _WITHOUT_SERVER:
        return False
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return not any(option.partition("=")[0] in _EXCLUDES_FLAG for option in options)


def takes_turns(arguments: Sequence[str]) -> bool:
    """Return True if Codex may take a turn with these arguments.

    The command that starts the background server must not be tapped either: the server would keep the environment.
    """
    return not arguments or (arguments[0] not in WITHOUT_TURNS and tuple(arguments[:2]) != ("app-server", "daemon"))


def accepts_flag(program: str, cache: Path, environ: Mapping[str, str] = os.environ) -> bool | None:
    """Return whether the program accepts ``--no-daemon``; None if the probe fails.

    The program is probed once, and again after it has changed or a day has passed.
    """
    import time

    path = str(Path(program).absolute())  # the link's own path: some launchers act by the name that they are called by
    identity, now = _identity(path), time.time()
    entries = _read_entries(cache)
    entry = entries.pop(path, None)
    if entry and entry["identity"] == identity and 0 <= now - entry["probed_at"] < _MAX_AGE_SECONDS:
        return bool(entry["knows"])
    code = _probe(path, environ)
    if code not in {_ACCEPTED, _REFUSED}:
        return None
    entries[path] = {"identity": identity, "knows": code == _ACCEPTED, "probed_at": now}
    _write_entries(cache, entries)
    return code == _ACCEPTED


def without_shims(search_path: str) -> str:
    """Return ``PATH`` without the folders of shims."""
    return os.pathsep.join(folder for folder in search_path.split(os.pathsep) if not _is_shim_folder(folder))


def _is_shim_folder(folder: str) -> bool:
    return bool(folder) and os.path.exists(f"{folder}{os.sep}{MARKER}")  # noqa: PTH110 (Path's raises where access is denied)


def _identity(program: str) -> list[str | int | None]:
    """Return values of which at least one changes when the program is updated."""
    try:
        resolved = Path(program).resolve(strict=True)
        status = resolved.stat()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        return []
    return [str(resolved), status.st_size, status.st_mtime_ns, _npm_version(resolved)]


def _npm_version(launcher: Path) -> str | None:
    """Return the version of the npm package around a launcher, or None.

    The size of the launcher is the same in most versions, and some package managers give all files the same date.
    """
    package = Path("@openai", "codex", "package.json")
    for place in (
        launcher.parent.parent / "package.json",  # of bin/codex.js, which npm links to
        launcher.parent / "node_modules" / package,  # of codex.cmd, installed globally on Windows
        launcher.parent.parent / package,  # of node_modules/.bin/codex.cmd
    ):
        version = _read_json(place).get("version")
        if isinstance(version, str):
            return version
    return None


def _probe(program: str, environ: Mapping[str, str]) -> int | None:
    """Return the exit code of ``codex --no-daemon --version``, or None if it cannot be run or does not end in time."""
    import signal
    import subprocess
    from contextlib import suppress

    try:
        process = subprocess.Popen(
            [program, NO_DAEMON, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=sys.platform != "win32",  # without a terminal, and killed with all that it starts
        )
    except (OSError, ValueError):
        return None
    try:
        return process.wait(_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            with suppress(OSError):
                if sys.platform == "win32":
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _read_entries(cache: Path) -> dict[str, dict[str, Any]]:
    """Return the valid entries, oldest first."""
    return {path: entry for path, entry in _read_json(cache).items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("identity"), list)
        and isinstance(entry.get("knows"), bool)
        and isinstance(entry.get("probed_at"), (int, float))
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a small file; an empty object if there is none."""
    import json

    try:
        if not path.is_file():  # a named pipe would wait for a writer
            return {}
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_entries(cache: Path, entries: Mapping[str, dict[str, Any]]) -> None:
    """Write the newest entries, if that is possible."""
    import json
    from contextlib import suppress

    newest = dict(list(entries.items())[-_MAX_ENTRIES:])
    with suppress(OSError):
        _write_private(cache, json.dumps(newest, indent=1).encode())


def _write_private(path: Path, content: bytes) -> None:
    """Write a private file in one step, as `store.files.write_private` does, which this program cannot import.

    Raises:
        OSError: it cannot be written; an earlier file is still there.
    """
    import tempfile

    for folder in (path.parent.parent, path.parent):  # the mode that `mkdir` is given does not apply to parents
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _start(cache: Path, arguments: Sequence[str]) -> int:
    """Run the next Codex in ``PATH`` and return its exit code; Windows cannot replace this process by it."""
    import shutil
    import signal
    import subprocess

    depth = os.environ.get(DEPTH_VARIABLE, "")
    program = shutil.which("codex", path=without_shims(os.environ.get("PATH", os.defpath)))
    if program is None or len(depth) >= MAX_DEPTH:
        print("codex-tap: codex was not found; get it with: npm install -g @openai/codex", file=sys.stderr)
        return 127
    command = without_daemon([program, *arguments], cache)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C reaches Codex as well, which decides
    return subprocess.call(command, env={**os.environ, DEPTH_VARIABLE: f"{depth}."})


def main() -> int:
    """Run what the shim requests: ``flag CACHE CODEX ARGUMENTS…`` or ``start CACHE ARGUMENTS…``."""
    action, cache, *command = sys.argv[1:]
    if action == "start":
        return _start(Path(cache), command)
    if without_daemon(command, Path(cache))[1:2] == [NO_DAEMON] != command[1:2]:
        print(NO_DAEMON)
    return 0


if __name__ == "__main__":
    sys.exit(main())
