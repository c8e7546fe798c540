from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scripts.demo.play import play
from tests.support.harness import require_codex

CLI = Path(__file__).resolve().parents[3] / "scripts" / "cli.py"
PEOPLE = ["ann@example.com", "ben@example.com"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def without_codex(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it look as if Codex were not installed."""
    monkeypatch.setenv("CODEX_TAP_CODEX", "no-such-codex")


def shown() -> tuple[list[str], list[str | None]]:
    """What the demo said, and the accounts in its document."""
    said: list[str] = []
    document = play(said.append)
    return said, [account["email"] for account in document["accounts"]]


@pytest.mark.usefixtures("without_codex")
def test_the_demo_without_codex(temporary: Path) -> None:
    """A newcomer without Codex or an account sees two accounts, is told what asked, and nothing is left behind."""
    result = subprocess.run(
        [sys.executable, str(CLI), "demo"],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "chatgpt.com"},
        timeout=90,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Codex was not found here, so a small client takes its place.\n" in result.stdout
    assert "\nann@example.com · plus\n  codex · seen " in result.stdout
    assert "  GPT-5.3-Codex-Spark (codex_bengalfox) · seen " in result.stdout
    assert list(temporary.iterdir()) == []
    home = Path(os.environ["HOME"])
    assert list(home.rglob("*")) == []


def test_the_demo_with_the_real_codex(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """Where Codex is found it takes the turns itself, with a login of the demo's own."""
    monkeypatch.setenv("CODEX_TAP_CODEX", require_codex())
    said, accounts = shown()
    assert accounts == PEOPLE
    assert [line for line in said if "took a turn" in line] == [
        "The real Codex CLI took a turn as ann@example.com (plus).",
        "The real Codex CLI took a turn as ben@example.com (pro).",
    ]
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_a_codex_that_fails_does_not_spoil_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small client takes over, and it is said."""
    broken = tmp_path / "codex"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CODEX_TAP_CODEX", str(broken))
    said, accounts = shown()
    assert accounts == PEOPLE
    assert "This Codex did not finish its turn, so a small client takes its place." in said
    assert sum("small client took a turn" in line for line in said) == 2


@pytest.mark.usefixtures("without_codex")
def test_the_demo_keeps_to_its_own_database() -> None:
    """The user's own readings are neither shown nor touched."""
    assert shown()[1] == PEOPLE
    assert not Path(os.environ["CODEX_TAP_DB"]).exists()
