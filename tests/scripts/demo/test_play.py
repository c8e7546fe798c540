"""The demo: its output, with and without the real Codex."""

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
    """The folder for this test's temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def without_codex(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide an installed Codex."""
    monkeypatch.setenv("CODEX_TAP_CODEX", "no-such-codex")


def shown() -> tuple[list[str], list[str | None]]:
    """Run the demo; return its messages and the accounts in its document."""
    messages: list[str] = []
    document = play(messages.append)
    return messages, [account["email"] for account in document["accounts"]]


@pytest.mark.usefixtures("without_codex")
def test_the_demo_without_codex(temporary: Path) -> None:
    """The output has two accounts and names the client; no files are left."""
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
    """An installed Codex takes the turns, with a login of the demo."""
    monkeypatch.setenv("CODEX_TAP_CODEX", require_codex())
    messages, accounts = shown()
    assert accounts == PEOPLE
    assert [line for line in messages if "took a turn" in line] == [
        "The real Codex CLI took a turn as ann@example.com (plus).",
        "The real Codex CLI took a turn as ben@example.com (pro).",
    ]
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a script is not a program there")
def test_a_codex_that_fails_does_not_spoil_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small client takes its place, and a message says so."""
    broken = tmp_path / "codex"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CODEX_TAP_CODEX", str(broken))
    messages, accounts = shown()
    assert accounts == PEOPLE
    assert "This Codex did not finish its turn, so a small client takes its place." in messages
    assert sum("small client took a turn" in line for line in messages) == 2


@pytest.mark.usefixtures("without_codex")
def test_the_demo_has_its_own_database() -> None:
    """The user's own database is neither shown nor changed."""
    assert shown()[1] == PEOPLE
    assert not Path(os.environ["CODEX_TAP_DB"]).exists()
