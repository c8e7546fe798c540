"""The path of the database, by the environment or the platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.settings import data_folder, default_database, may_be_learned


@pytest.mark.parametrize("environ", [{}, {"CODEX_TAP_DB": ""}], ids=["unset", "empty"])
def test_default(environ: dict[str, str]) -> None:
    """Without the variable the database lies in the data folder, which is not created."""
    assert default_database(environ) == data_folder() / "codex-tap.sqlite3"
    assert "codex-tap" in data_folder().parts
    assert not data_folder().exists()


def test_variable(tmp_path: Path) -> None:
    """The variable names the file itself."""
    chosen = tmp_path / "other.sqlite3"
    assert default_database({"CODEX_TAP_DB": str(chosen)}) == chosen


def test_home_in_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde in the variable is the home folder."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert default_database({"CODEX_TAP_DB": str(Path("~", "tap.sqlite3"))}) == tmp_path / "tap.sqlite3"


@pytest.mark.parametrize(
    ("host", "learnable"),
    [
        ("au.chatgpt.com", True),
        ("sg.api.openai.com", True),
        ("a-b.9.chatgpt.com", True),
        ("chatgpt.com", False),
        ("openai.com", False),
        (".chatgpt.com", False),
        ("a..chatgpt.com", False),
        ("-a.chatgpt.com", False),
        ("a-.chatgpt.com", False),
        ("xn--a.chatgpt.com", False),
        ("A.chatgpt.com", False),
        ("ä.chatgpt.com", False),
        ("a_b.chatgpt.com", False),
        ("a.chatgpt.com.", False),
        ("a.chatgpt.com\n", False),
        ("a:443.chatgpt.com", False),
        ("u@a.chatgpt.com", False),
        ("achatgpt.com", False),
        ("a.chatgpt.com.example", False),
        ("ab.chatgpt.com", False),
        ("x.ab.chatgpt.com", False),
        ("xab.chatgpt.com", True),
        ("auth.openai.com", False),
        ("a" * 64 + ".chatgpt.com", False),
        ("a." * 125 + "chatgpt.com", False),
        ("login.chatgpt.com", False),
        ("eu.auth.chatgpt.com", False),
        ("accounts.openai.com", False),
        ("sso.openai.com", False),
        ("platform.openai.com", False),
        ("loginless.chatgpt.com", True),
        ("", False),
    ],
)
def test_may_be_learned(host: str, *, learnable: bool) -> None:
    """A host of the backend is a plain name under one of two domains; telemetry and logins are left alone."""
    assert may_be_learned(host) is learnable
