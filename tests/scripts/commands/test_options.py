"""Options that commands share."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click
import pytest

from scripts.commands.options import require_past
from scripts.demo.codex import log_in
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, NOON
from tests.support.readings import reading


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
    ("arguments", "same_as"),
    [
        (["--db", "{other}", "status"], ["status", "--db", "{other}"]),
        (["--json", "status"], ["status", "--json"]),
        (["--json", "history"], ["history", "--json"]),
        (["--json", "--db", "{other}", "accounts"], ["accounts", "--json", "--db", "{other}"]),
        (["--db", "{other}", "accounts", "name", "alice", "x"], ["accounts", "name", "alice", "x", "--db", "{other}"]),
        (["accounts", "--db", "{other}", "name", "bo", "x"], ["accounts", "name", "bo", "x", "--db", "{other}"]),
        (["--db", "{other}", "status", "--db", "{two}"], ["status", "--db", "{two}"]),
    ],
    ids=" ".join,
)
def test_an_option_in_front_of_its_command(
    two: Path, tmp_path: Path, arguments: list[str], same_as: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the same effect as after the command, and loses against one that is there."""
    other = record(tmp_path / "other.sqlite3", reading(77, who=BOB))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)

    def run(words: list[str]) -> tuple[int, str, str]:
        result = invoke(*(word.format(other=other, two=two) for word in words))
        return result.exit_code, result.stdout, result.stderr

    assert run(arguments) == run(same_as)


@pytest.mark.skipif(os.name != "posix", reason="the file's command is one of POSIX")
def test_a_database_in_front_of_a_group_without_that_option(path: Path, tmp_path: Path) -> None:
    """`codex-tap --db X alerts check` reads X."""
    record(path, reading())
    config = tmp_path / "alerts.toml"
    config.write_text('[targets]\nlog = ["true"]\n[[rules]]\nat = [5]\n')
    config.chmod(0o600)
    missing = tmp_path / "missing.sqlite3"
    assert invoke("alerts", "check", "--config", config).exit_code == 1
    assert invoke("--db", missing, "alerts", "check", "--config", config).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--json", "run", "true"], "run has no option --json."),
        (["--watch", "3", "usage"], "usage has no option --watch."),
        (["--db", "x", "demo"], "demo has no option --db."),
        (["accounts", "--json", "name", "a", "b"], "accounts name has no option --json."),
        (["--json", "accounts", "name", "a", "b"], "accounts name has no option --json."),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_an_option_that_the_command_lacks_is_wrong_use(arguments: list[str], error: str) -> None:
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


@pytest.mark.parametrize("is_damaged", [False, True], ids=["a login", "a damaged login"])
def test_nothing_of_the_login_but_the_account(two: Path, is_damaged: bool) -> None:
    """No command shows any other value of the file, in any form, or in the note on a file that cannot be read."""
    assert two.exists()
    home = Path(os.environ["CODEX_HOME"])
    log_in(home, BOB.account_id, "user-of-the-login", email="login@example.com", plan="secret-plan")
    content = (home / "auth.json").read_text("utf-8")
    login = json.loads(content)
    secrets = [*login["tokens"].values(), "user-of-the-login", "login@example.com", "secret-plan"]
    secrets.remove(BOB.account_id)
    if is_damaged:
        (home / "auth.json").write_text(content[:-1], "utf-8")
    lines = ("status", "status --json", "guard", "guard --json", "guard --wait", "next", "next --json", "statusline")
    forms = [f"statusline --format {form}" for form in ("tmux", "waybar", "json")]
    output = "".join(invoke(*line.split()).output for line in (*lines, *forms))
    assert "login of ~" in output
    assert ("cannot be read" in output) == is_damaged
    assert [each for each in secrets if each in output] == []
