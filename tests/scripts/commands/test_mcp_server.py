"""`codex-tap mcp`."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from tests.support.command_line import invoke

if TYPE_CHECKING:
    import pytest


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to get the package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = invoke("mcp")
    assert (result.exit_code, result.stdout) == (4, "")
    advice = f'"{sys.executable}" -m pip install "mcp>=1.30,<3"'
    assert result.stderr == f"Error: codex-tap mcp needs the package mcp. Install it:  {advice}\n"
