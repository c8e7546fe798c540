"""Stand-ins for Codex's program, which record how they were called."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = "/usr/bin:/bin"

ACCEPTS, REFUSES = "exit 0", "exit 2"


def make_codex(folder: Path, probe: str = ACCEPTS, name: str = "codex") -> Path:
    """Make a program that records and prints its arguments, and runs `probe` when it is probed for the flag."""
    folder.mkdir(parents=True, exist_ok=True)
    calls = shlex.quote(str(folder / "calls"))
    program = folder / name
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\n[ "$*" = "--no-daemon --version" ] && {{ {probe}; }}\n'
        f'printf "<%s>" {shlex.quote(folder.name)} "$@"\nexit 7\n'
    )
    program.chmod(0o755)
    return program


def probes(folder: Path) -> int:
    """Return how often the program in a folder was probed."""
    calls = folder / "calls"
    return calls.read_text().splitlines().count("--no-daemon --version") if calls.exists() else 0


def call(path: str, *arguments: str, program: str = "codex", **variables: str) -> tuple[int, str]:
    """Run the first `codex` in PATH, as a shell would; return its exit code and output."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@"', "-", program, *arguments],  # noqa: S607 (it is where PATH has it)
        env={"PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr
