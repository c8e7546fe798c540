"""`codex-tap env`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import WINDOWS, in_terminal, invoke, needs_terminal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--proxy", "nowhere"], "nowhere is not a proxy's address"),
        (["--shell", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_wrong_use(arguments: list[str], error: str) -> None:
    """The exit code is 2, and the error names the problem."""
    result = invoke("env", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize(
    ("shell", "variable", "line"),
    [
        ("/usr/bin/fish", None, "set -gx HTTPS_PROXY 'http://127.0.0.1:9'"),
        ("/bin/zsh", None, "export HTTPS_PROXY=http://127.0.0.1:9"),
        ("/bin/bash", "powershell", "$env:HTTPS_PROXY = 'http://127.0.0.1:9'"),
        ("", None, "$env:HTTPS_PROXY = 'http://127.0.0.1:9'" if WINDOWS else "export HTTPS_PROXY=http://127.0.0.1:9"),
    ],
)
def test_lines_for_each_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, variable: str | None, line: str
) -> None:
    """The shell is guessed or given; a note on an unreachable proxy goes to standard error, which is not evaluated."""
    monkeypatch.setenv("SHELL", shell)
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    named = ["--shell", variable] if variable else []
    result = invoke("env", "--proxy", "127.0.0.1:9", "--ca", authority, *named)
    assert result.exit_code == 0
    assert line in result.stdout.splitlines()
    assert result.stderr.startswith("Note: no proxy responds at 127.0.0.1:9 ")


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_hint_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal, a hint says that a shell has to evaluate the output."""
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    code, text = in_terminal("env", "--shell", "sh", "--proxy", "127.0.0.1:9", "--ca", str(authority))
    assert code == 0
    assert 'evaluate them:  eval "$(codex-tap env)"' in text
