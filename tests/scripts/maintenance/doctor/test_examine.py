"""All checks together: their order, and the exit code of the command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.maintenance.doctor.examine import examine
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_line_says_whether_codex_is_read(path: Path, address: str, codex: str) -> None:
    """The others follow the way of the traffic."""
    found = [each.name for each in examine(path, address, {**os.environ, "PATH": codex}, NOON)]
    way = ["shells", "service", "proxy", "environment", "server", "codex", "versions", "certificate", "database"]
    assert found == ["reading", *way]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_exit_code_is_1_with_a_problem(
    path: Path, address: str, codex: str, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """It is 0 without problems, also with notes, and 1 with a problem."""
    monkeypatch.setenv("CODEX_TAP_DB", str(path))
    monkeypatch.setenv("PATH", codex)
    fine = CliRunner().invoke(cli, ["doctor", "--proxy", address, *flags], catch_exceptions=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
    wrong = CliRunner().invoke(cli, ["doctor", "--proxy", address, *flags], catch_exceptions=False)
    assert (fine.exit_code, wrong.exit_code) == (0, 1)
    if flags:
        assert [json.loads(result.stdout)["healthy"] for result in (fine, wrong)] == [True, False]
        assert set(json.loads(wrong.stdout)["checks"][0]) == {"name", "level", "message", "advice"}
    else:
        assert "problem  environment  this shell uses the proxy" in wrong.stdout
