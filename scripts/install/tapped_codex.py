"""What the installed ``codex`` runs: ``codex-tap run codex``, or Codex alone where that is not possible.

It is run as a program, with the path of Codex and its arguments. Whatever keeps codex-tap from starting, a missing
dependency or a mistake in it included, costs the user one line and not the session: until the command has started,
every failure ends in Codex itself.
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
_CONNECT_SECONDS = 1.0


def main(command: Sequence[str]) -> int:
    """Run Codex, given by its path and arguments, and return its exit code; on POSIX this process may become Codex."""
    sys.path[:] = [_ROOT, *(each for each in sys.path if each != _ROOT)]
    try:
        return _run(command)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if _has_started():
            raise
        print(f"codex-tap: codex runs without codex-tap, which cannot start: {_reason(error)}", file=sys.stderr)
    sys.stderr.flush()
    return _become(command)


def _run(command: Sequence[str]) -> int:
    from scripts.launch import session
    from scripts.launch.codex_program import takes_turns, without_daemon
    from scripts.launch.environment import leads_through_tap, without_tap
    from store.files import probed_programs

    if not takes_turns(command[1:]):
        return _become(command)
    service = _service_of_codex()
    if service is not None:
        if not _is_open(service):
            print(
                f"codex-tap: nothing listens at {service}, to which Codex's own .env leads; start the service, "
                "or undo it with: codex-tap uninstall --keep-data",
                file=sys.stderr,
                flush=True,
            )
        return _become(command)
    if leads_through_tap(os.environ) and _is_open(os.environ["HTTPS_PROXY"]):
        return _become(without_daemon(command, probed_programs()))
    # A program that outlives a `codex-tap run`, such as a terminal multiplexer, hands on the address of a closed port.
    return session.run(command, hosts=_gateways(), environ=without_tap(os.environ))


def _is_open(proxy: str) -> bool:
    """Return True if something listens at the URL of a proxy on this machine."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(proxy)
    try:
        socket.create_connection((parts.hostname, parts.port or 80), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _service_of_codex() -> str | None:
    """Return the URL of the always-on service if Codex's own ``.env`` leads there, or None."""
    from scripts.launch.codex_env_file import env_file, is_led_to
    from scripts.support.installation import load_installation

    always = load_installation().always
    if always is None or not is_led_to(env_file(os.environ), f"127.0.0.1:{always.port}"):
        return None
    return f"http://127.0.0.1:{always.port}"


def _gateways() -> Sequence[str]:
    from scripts.support.installation import load_installation

    return load_installation().gateways


def _has_started() -> bool:
    """Return True if the user's command has started in this process."""
    command = sys.modules.get("scripts.launch.command")
    return bool(getattr(getattr(command, "Command", None), "has_started", False))


def _reason(error: Exception) -> str:
    """Return the message of an expected failure, or the kind of any other, in one line."""
    is_expected = hasattr(error, "exit_code")
    return " ".join(str(error).split()) if is_expected else type(error).__name__


def _become(command: Sequence[str]) -> int:
    if sys.platform != "win32":
        os.execv(command[0], [*command])  # noqa: S606 (the user's own program)
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C reaches Codex as well, which decides
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
