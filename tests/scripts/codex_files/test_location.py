from __future__ import annotations

from pathlib import Path

import pytest

from scripts.codex_files.location import codex_home, state_folder


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"CODEX_HOME": ""}, None),
        ({"CODEX_HOME": "work/codex"}, Path("work/codex")),
        # Codex takes the value as it is: only a shell expands a tilde.
        ({"CODEX_HOME": "~/codex"}, Path("~/codex")),
    ],
    ids=["unset", "empty", "a folder", "a tilde"],
)
def test_codex_home(environ: dict[str, str], expected: Path | None) -> None:
    assert codex_home(environ) == (expected or Path.home() / ".codex")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CODEX_HOME": "codex"}, Path("codex")),
        ({"CODEX_HOME": "codex", "CODEX_SQLITE_HOME": ""}, Path("codex")),
        ({"CODEX_HOME": "codex", "CODEX_SQLITE_HOME": "state"}, Path("state")),
    ],
    ids=["unset", "empty", "a folder"],
)
def test_state_folder(environ: dict[str, str], expected: Path) -> None:
    assert state_folder(environ) == expected
