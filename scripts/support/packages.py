"""Packages that a command needs and the base install may lack: whether one is there, and how to get it."""

from __future__ import annotations

import importlib.util
import sys


def is_installed(module: str) -> bool:
    """Return True if a module can be imported; its parent packages are imported to find out."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def how_to_install(requirement: str) -> str:
    """Return the command that adds a package to where codex-tap runs from."""
    folders = sys.prefix.replace("\\", "/").lower().split("/")
    if "pipx" in folders:
        return f'pipx inject codex-tap "{requirement}"'
    if "uv" in folders and "tools" in folders:
        return f'uv tool install codex-tap --with "{requirement}"'
    return f'"{sys.executable}" -m pip install "{requirement}"'
