"""Checks of the programs: codex-tap itself, and Codex."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor import programs
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.programs import check_codex, check_versions

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_codex_is_a_problem() -> None:
    """The advice is how to install it."""
    assert list(check_codex({"PATH": ""})) == [
        Check("codex", "problem", "not found", "get it with: npm install -g @openai/codex")
    ]


def test_codex_and_its_version(codex: str) -> None:
    """The check has the version and the path."""
    (check,) = check_codex({**os.environ, "PATH": codex})
    assert (check.level, check.message.startswith("0.169.0 (")) == ("ok", True)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Codex is an sh script")
@pytest.mark.parametrize(
    ("script", "reason"),
    [("exit 3", "exit code 3"), ("sleep 600 & wait", "no response in 0 s"), ("echo new", None)],
    ids=["fails", "hangs", "prints no version"],
)
def test_a_codex_that_fails_is_a_problem(
    codex: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str | None
) -> None:
    """A Codex that cannot print its version will not run."""
    (tmp_path / "codex").write_text(f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(programs, "_CODEX_SECONDS", 0.5 if "sleep" in script else 30)
    (check,) = check_codex({**os.environ, "PATH": codex})
    if reason:
        assert (check.level, check.message) == ("problem", f"{tmp_path / 'codex'} --version fails: {reason}")
    else:
        assert (check.level, check.message) == ("ok", f"unknown version ({tmp_path / 'codex'})")


def test_versions_name_an_old_python() -> None:
    """Python 3.11 gets only an older mitmproxy."""
    (check,) = check_versions()
    assert check.level == ("note" if sys.version_info < (3, 12) else "ok")
    assert "mitmproxy" in check.message
