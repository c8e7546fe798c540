"""Packages that the base install may lack."""

from __future__ import annotations

import sys

import pytest

from scripts.support.packages import how_to_install, is_installed


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [
        ("/home/ann/.local/share/pipx/venvs/codex-tap", 'pipx inject codex-tap "thing>=1"'),
        ("C:\\Users\\Ann\\pipx\\venvs\\codex-tap", 'pipx inject codex-tap "thing>=1"'),
        ("/home/ann/.local/share/uv/tools/codex-tap", 'uv tool install codex-tap --with "thing>=1"'),
        ("/home/ann/codex-tap/.venv", f'"{sys.executable}" -m pip install "thing>=1"'),
    ],
    ids=["pipx", "pipx on Windows", "uv", "a virtual environment"],
)
def test_how_to_install(monkeypatch: pytest.MonkeyPatch, prefix: str, advice: str) -> None:
    """The command adds the package to where codex-tap was installed."""
    monkeypatch.setattr(sys, "prefix", prefix)
    assert how_to_install("thing>=1") == advice


@pytest.mark.parametrize(
    ("module", "found"), [("json.decoder", True), ("json.no_such_module", False), ("no_such_package.module", False)]
)
def test_is_installed(module: str, found: bool) -> None:
    """A missing parent package is a missing module."""
    assert is_installed(module) is found
