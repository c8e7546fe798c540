"""Options that commands share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from scripts.commands.options import require_past
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, NOON
from tests.support.readings import reading

if TYPE_CHECKING:
    from pathlib import Path


def test_db_beats_the_environment(two: Path, tmp_path: Path) -> None:
    """--db takes precedence over CODEX_TAP_DB."""
    other = record(tmp_path / "other.sqlite3", reading(77, who=BOB))
    assert [account["email"] for account in json.loads(invoke("--json", "--db", other).stdout)["accounts"]] == [
        BOB.email
    ]
    assert len(json.loads(invoke("--json").stdout)["accounts"]) == 2
    assert two != other


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "-1d", "2026-13-01", "7days ago"])
def test_since_something_else_is_wrong_use(path: Path, text: str) -> None:
    """The error lists the accepted forms."""
    result = invoke("history", "--since", text, "--db", path)
    assert result.exit_code == 2
    assert "use 7d, 36h, 90min, 2026-11-20 or 2026-11-20T14:05" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--json", "history"], "Options come after the command: history --json"),
        (["accounts", "--json", "name", "a", "b"], "Options come after the command: name --json"),
    ],
)
def test_an_option_in_front_of_its_command_is_wrong_use(arguments: list[str], error: str) -> None:
    """The error names the command and the option."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--json", "--csv"], "--json cannot be combined with --csv"),
        (["--json", "--ndjson"], "--json cannot be combined with --ndjson"),
        (["--csv", "--ndjson"], "--csv cannot be combined with --ndjson"),
        (["--plot", "--csv"], "--plot cannot be combined with --csv"),
    ],
)
def test_one_form_at_a_time(path: Path, flags: list[str], error: str) -> None:
    """Two forms at once are a usage error."""
    result = invoke("history", *flags, "--db", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_a_home_folder_in_a_path_is_expanded(two: Path) -> None:
    """A shell leaves `--db=~/…` as it is."""
    assert invoke(f"--db=~/{two.name}").exit_code == 0


@pytest.mark.parametrize("timestamp", [NOON, NOON + 1])
def test_a_timestamp_that_is_not_in_the_past_is_wrong_use(timestamp: float) -> None:
    """The error names the option; an earlier timestamp is accepted."""
    with pytest.raises(click.BadParameter, match="must be in the past") as raised:
        require_past(timestamp, NOON, "--since")
    assert raised.value.param_hint == "'--since'"
    require_past(NOON - 1, NOON, "--since")
