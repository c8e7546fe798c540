"""What the installed ``codex`` runs: ``codex-tap run codex``, or Codex alone where that is not possible.

It is run as a program, with the arguments of Codex. Whatever keeps codex-tap from starting, its dependencies or a
mistake in it included, costs the user one line and not the session: until the command has started, every failure ends
in Codex itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = str(Path(__file__).resolve().parents[2])
_INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run Codex with these arguments and return its exit code; on POSIX this process may become Codex."""
    sys.path[:] = [_ROOT, *(each for each in sys.path if each != _ROOT)]
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if _has_started():
            raise
        return _run_alone(arguments, error)


def _run(arguments: Sequence[str]) -> int:
    from scripts.launch import session
    from scripts.launch.codex_program import takes_turns, without_daemon
    from scripts.launch.command import find_program
    from scripts.launch.environment import leads_through_tap
    from scripts.launch.shim import search_path
    from store.files import probed_programs

    codex = find_program("codex", search_path(os.environ))
    if not takes_turns(arguments) or _is_always_read():
        return _become(codex, arguments)
    if leads_through_tap(os.environ):
        return _become(*_split(without_daemon([codex, *arguments], probed_programs())))
    return session.run([codex, *arguments], hosts=_gateways())


def _split(command: list[str]) -> tuple[str, list[str]]:
    return command[0], command[1:]


def _is_always_read() -> bool:
    """Return True if Codex's own ``.env`` leads it to the always-on service."""
    from scripts.launch.codex_env_file import env_file, is_led_to
    from scripts.support.installation import load_installation

    always = load_installation().always
    return always is not None and is_led_to(env_file(os.environ), f"127.0.0.1:{always.port}")


def _gateways() -> Sequence[str]:
    from scripts.support.installation import load_installation

    return load_installation().gateways


def _has_started() -> bool:
    """Return True if the user's command has started in this process."""
    command = sys.modules.get("scripts.launch.command")
    return command is not None and bool(command.Command.has_started)


def _run_alone(arguments: Sequence[str], error: Exception) -> int:
    """Print why codex-tap does not start, in one line, and run Codex."""
    reason = type(error).__name__
    exit_code: int | None = getattr(error, "exit_code", None)
    if exit_code is not None:  # an expected failure, with a message for people
        reason = " ".join(str(error).split())
    codex = _find_codex()
    if codex is None:
        print(f"codex-tap: {reason}", file=sys.stderr)
        return exit_code or 127
    print(f"codex-tap: codex runs without codex-tap, which cannot start: {reason}", file=sys.stderr, flush=True)
    return _become(codex, arguments)


def _find_codex() -> str | None:
    """Return the path of Codex, with the standard library alone and one file that needs no more."""
    import shutil

    try:
        from scripts.launch.codex_program import without_shims
    except Exception:  # noqa: BLE001 (a damaged checkout)
        return None
    return shutil.which("codex", path=without_shims(os.environ.get("PATH", os.defpath)))


def _become(codex: str, arguments: Sequence[str]) -> int:
    if sys.platform != "win32":
        os.execv(codex, [codex, *arguments])  # noqa: S606 (the user's own program)
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C reaches Codex as well, which decides
    return subprocess.call([codex, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
