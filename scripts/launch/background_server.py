"""What Codex's background server keeps from a shell that evaluated ``codex-tap env``."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch.codex_program import knows_flag
from scripts.launch.shim import place_shim, search_path
from store.files import probed_programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONNECT_SECONDS = 1.0


def warnings(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield what is not recorded although the shell's environment leads to the proxy."""
    codex, runs = shutil.which("codex", path=search_path(environ)), server_runs(environ)
    if codex is not None:
        reason = _why_not_embedded(codex, environ)
        if reason is not None:
            yield (
                f"{reason}, so an interactive codex may use Codex's background server: one that runs already "
                "goes around the proxy, one that this shell starts needs the proxy as long as it lives"
            )
    if runs:
        yield (
            "Codex's background server is running; a Codex that this shell starts by another way than its name "
            "(npx codex, a path, an alias) uses that server, and its turns are not recorded"
        )


def server_runs(environ: Mapping[str, str]) -> bool:
    """Return True if the background server of this ``CODEX_HOME`` takes connections."""
    family = getattr(socket, "AF_UNIX", None)  # Python on Windows has none
    if family is None:
        return False
    home = Path(environ.get("CODEX_HOME") or "~/.codex").expanduser()
    with contextlib.suppress(OSError, RuntimeError), socket.socket(family) as client:
        # The link may be longer than a socket's path can be.
        place = (home / "app-server-control" / "app-server-control.sock").resolve()
        client.settimeout(_CONNECT_SECONDS)
        client.connect(str(place))
        return True
    return False


def _why_not_embedded(codex: str, environ: Mapping[str, str]) -> str | None:
    if place_shim() is None:
        return "codex-tap's data folder cannot hold a codex for this shell's PATH"
    knows = knows_flag(codex, probed_programs(), environ)
    if knows is None:
        return f"{codex} does not tell whether it knows --no-daemon"
    return None if knows else f"{codex} does not know --no-daemon"
