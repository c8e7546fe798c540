"""Checks of the programs: codex-tap itself, and Codex."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from scripts.launch.shim import search_path
from scripts.maintenance.doctor.bounded_program import ProgramError, program_output
from scripts.maintenance.doctor.check import Check
from scripts.support.version import version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CODEX_SECONDS = 4.0


def check_versions() -> Iterator[Check]:
    """Report the versions of codex-tap and of what it runs on."""
    mitmproxy = metadata.version("mitmproxy")
    message = f"codex-tap {version()}, Python {platform.python_version()}, mitmproxy {mitmproxy}"
    if sys.version_info < (3, 12):
        advice = "this works; Python 3.12 or newer gets a newer mitmproxy with newer libraries"
        yield Check("versions", "note", message, advice)
    else:
        yield Check("versions", "ok", message)


def check_codex(environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that there is a Codex that can be started."""
    codex = shutil.which("codex", path=search_path(environ))
    if codex is None:
        yield Check("codex", "problem", "not found", "get it with: npm install -g @openai/codex")
        return
    try:
        output = program_output([codex, "--version"], environ, _CODEX_SECONDS)
    except ProgramError as error:
        advice = "reinstall it with: npm install -g @openai/codex"
        yield Check("codex", "problem", f"{codex} --version fails: {error}", advice)
        return
    match = re.search(r"\d+\.\d+\.\d+\S*", output)
    yield Check("codex", "ok", f"{match[0] if match else 'unknown version'} ({codex})")
