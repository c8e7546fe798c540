"""`codex-tap mcp`."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.support.command_line import invoke


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [
        ("/home/ann/.local/share/pipx/venvs/codex-tap", 'pipx inject codex-tap "mcp>=1.30,<3"'),
        ("C:\\Users\\Ann\\pipx\\venvs\\codex-tap", 'pipx inject codex-tap "mcp>=1.30,<3"'),
        ("/home/ann/.local/share/uv/tools/codex-tap", 'uv tool install codex-tap --with "mcp>=1.30,<3"'),
        ("/home/ann/codex-tap/.venv", f'"{sys.executable}" -m pip install "mcp>=1.30,<3"'),
    ],
)
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, prefix: str, advice: str) -> None:
    """It says how to get the package to where codex-tap was installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "prefix", prefix)
    result = invoke("mcp")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == f"Error: codex-tap mcp needs the package mcp. Install it:  {advice}\n"
