"""The version of codex-tap."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def version() -> str:
    """Return the version of the checkout, or else of the installed package."""
    if _PROJECT.exists():
        project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
        if project["name"] == "codex-tap":
            return str(project["version"])
    return metadata.version("codex-tap")
