"""The version that codex-tap reports."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from scripts.support.version import version

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_a_checkout_has_its_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the version of the project file, whichever version is installed."""

    def not_installed(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_installed)
    assert version() == tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
