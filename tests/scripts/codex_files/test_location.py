from __future__ import annotations

from pathlib import Path

import pytest

from scripts.codex_files.location import codex_home


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
