"""Which codex-tap this is."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def version() -> str:
    """Return the version: a checkout's own, else that of what is installed."""
    if _PROJECT.exists():
        project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
        if project["name"] == "codex-tap":
            return str(project["version"])
    return metadata.version("codex-tap")
