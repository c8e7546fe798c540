"""The schema of the alerts file, and the errors about invalid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scripts.alerts.settings import QuietHours, SettingsError, load
from scripts.alerts.settings_schema import RuleTable
from store.analysis.alerting import KINDS, Rule
from tests.support.alerts import write_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "tk_not-a-real-one"
FULL = """
quiet_hours = "22:00 - 7:30"
[targets]
phone = "ntfys://tk_not-a-real-one@ntfy.example/topic"
log = ["python3", "note.py", "tk_not-a-real-one"]

[[rules]]
at = [95, 80.5, 80.5]
account = "work"
limit = "codex"
window = "7d"
targets = ["log", "log"]

[[rules]]
runs_dry = true
limit_reached = true
window_reset = true
window_reset_early = true
used_elsewhere = 5
"""


def test_every_key(path: Path) -> None:
    """Rules without targets use all of them; thresholds are sorted."""
    found = load(write_settings(path, FULL))
    assert found.quiet_hours == QuietHours(22 * 60, 7 * 60 + 30)
    assert [(each.name, each.shown) for each in found.targets.values()] == [("phone", "ntfys://…"), ("log", "python3")]
    first, second = found.rules
    assert first == Rule(at=(80.5, 95.0), account="work", limit="codex", window="7d", targets=("log",))
    assert second == Rule(kinds=frozenset(KINDS) - {"used"}, elsewhere_points=5.0, targets=("phone", "log"))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[[rules]]\nat = [80\nwindow = 1\n", None, "invalid TOML: "),
        ("quiet_hour = '22:00-07:00'\n", 1, "quiet_hour: unknown key; did you mean quiet_hours?"),
        (
            "\nquiet_hours = 'at night'\n",
            2,
            'quiet_hours: write the start and the end in quotes, as in "22:00-07:30"; they must differ',
        ),
        ("quiet_hours = '22:00-22:00'\n", 1, "quiet_hours: write the start and the end"),
        ("quiet_hours = '24:00-07:00'\n", 1, "quiet_hours: write the start and the end"),
        ("[[rules]]\nat=[80]\n\n[[rules]]\n  ats = [80]\n", 5, "rules.ats: unknown key; did you mean at?"),
        ("[[rules]]\nat=[80]\nzzz=1\n", 3, "rules.zzz: unknown key; known: at, runs_dry, "),
        ("[[rules]]\nat = 80\n", 2, "rules.at: write percents above 0 and up to 100 as a list: [80, 95]"),
        ("[[rules]]\nat = []\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [0]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [101]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [nan]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [true]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nruns_dry = 1\n", 2, "rules.runs_dry: write true or false"),
        ("[[rules]]\nused_elsewhere = 0\n", 2, "rules.used_elsewhere: write true, false, or a number of points"),
        ("[[rules]]\nused_elsewhere = 101\n", 2, "rules.used_elsewhere: write true"),
        ("[[rules]]\nused_elsewhere = '5'\n", 2, "rules.used_elsewhere: write true"),
        (
            "[[rules]]\nat = [80]\nwindow = 'week'\n",
            3,
            'rules.window: write "5h", "7d", or another window that status shows, in quotes',
        ),
        ("[[rules]]\nat = [80]\nwindow = 7\n", 3, 'rules.window: write "5h", "7d"'),
        ("[[rules]]\nat = [80]\naccount = ''\n", 3, 'rules.account: write one account in quotes: account = "…"'),
        ("# nothing\n[[rules]]\n", 2, "rules: the rule has no condition; add one of at, runs_dry, "),
        ("[[rules]]\nruns_dry = false\n", 1, "rules: the rule has no condition"),
        ("[rules]\nat = [80]\n", 1, "rules: write each rule as a table, [[rules]]"),
        ("rules = [80]\n", 1, "rules: write each rule as a table: [[rules]]"),
        ("targets = ['a']\n", 1, "targets: write at most 50 targets, in the table [targets]"),
        ("[targets]\nphone = 'a'\n[[rules]]\nat=[80]\ntargets=['fone']\n", 2, "targets.phone: write an apprise URL"),
        (
            "[targets]\nphone = 'a://b'\n[[rules]]\nat=[80]\ntargets=['fone']\n",
            5,
            "rules.targets: unknown target 'fone'; did you mean phone?",
        ),
        ("[[rules]]\nat=[80]\ntargets=['fone']\n", 3, "rules.targets: unknown target 'fone'; none are defined"),
        ("[[rules]]\nat=[80]\ntargets='fone'\n", 3, "rules.targets: write the names of targets as a list"),
        ('[targets]\n"my phone" = "a://b"\n', 2, "targets.my phone: a target's name consists of letters"),
        (f"[targets]\nphone = '{SECRET}'\n", 2, 'targets.phone: write an apprise URL in quotes ("ntfys://…")'),
        (f"[targets]\nphone = ['a', '{SECRET}', 1]\n", 2, "targets.phone: write an apprise URL"),
        (f"[targets]\nphone = [['{SECRET}']]\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = []\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = ['']\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = {url = 'a://b'}\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = 'a://b c'\n", 2, "targets.phone: write an apprise URL"),
        ('[targets]\nphone = ["a", "b\\u0000"]\n', 2, "targets.phone: write an apprise URL"),
        (f'[targets]\n"ntfys://{SECRET}" = "phone"\n', 2, "targets.…: a target's name consists of letters"),
        (f'"ntfys://{SECRET}" = "phone"\n', 1, "…: unknown key"),
        (f"[[rules]]\nat=[80]\ntargets=['ntfys://{SECRET}']\n", 3, "rules.targets: write the names of targets"),
        ("zzz = 1\nquiet_hours = 1\n", 1, "zzz: unknown key; known: quiet_hours, targets, rules"),
        ("quiet_hours = 1\nzzz = 1\n", 1, "quiet_hours: write the start"),
        ("rules = " + "[" * 90 + "]" * 90, 1, "rules: write each rule as a table: [[rules]]"),
        ("rules = " + "[" * 99_999, None, "invalid TOML: "),
        (f"[[rules]]\nat = [{'9' * 4_000}]\n", 2, "rules.at: write percents"),
        (f"[[rules]]\nat = [{'9' * 5_000}]\n", None, "invalid TOML: a number is too long"),
        (f"[[rules]]\nused_elsewhere = 0x{'f' * 9_999}\n", 2, "rules.used_elsewhere: write true"),
        ("quiet_hours = 22:00:00\n", 1, "quiet_hours: write the start"),
        ("[[rules]]\nat = [2026-11-21]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [80]\naccount = 2026-11-21T22:00:00\n", 3, "rules.account: write one account"),
        ("[[rules]]\nat = [80]\n[rules.at2]\na = 1\n", 1, "rules.at2: unknown key; did you mean at?"),
        ("[[rules.at]]\na = 1\n", None, "rules: write each rule as a table, [[rules]]"),
        ("[[quiet_hours]]\na = 1\n", 1, "quiet_hours: write the start"),
        ('[[targets]]\nphone = "a://b"\n', 1, "targets: write at most 50 targets"),
        ("[[rules]]\nat=[80]\n" * 201, 1, "rules: write each rule as a table, [[rules]], and at most 200"),
        ('"a\\nb" = 1\n', None, "a\N{REPLACEMENT CHARACTER}b: unknown key"),
        (f"{'k' * 999} = 1\n", 1, f"{'k' * 60}: unknown key"),
        ('x = """' + "\n[" + " " * 50_000 + '"""\nquiet_hours = 1\n', 1, "x: unknown key"),
    ],
)
def test_errors_name_the_line_and_the_key(path: Path, text: str, line: int | None, message: str) -> None:
    """They say what to write, and never show a value: it may be secret."""
    with pytest.raises(SettingsError) as caught:
        load(write_settings(path, text))
    where = f"{path}: " if line is None else f"{path}, line {line}: "
    assert str(caught.value).startswith(where + message)
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(alphabet="abt=[]{}\"'\n #.,180-", max_size=60))
def test_any_text_is_loaded_or_rejected(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """The result is settings or one error."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except SettingsError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 (both are fine)


@pytest.mark.parametrize(
    ("written", "valid"),
    [
        *[(length, True) for length in ("5h", "7d", "30d", "30 d", "90m", "90 min", "1 h 30 min", "budget", "unknown")],
        *[(length, False) for length in ("", "week", "d7", "7 weeks", "7d 1d 1d", "-7d", "7.5d")],
    ],
)
def test_the_window_of_a_rule(written: str, valid: bool) -> None:
    """It is a slot, or a length as it is shown."""
    rule = {"at": [80], "window": written}
    if valid:
        assert RuleTable.model_validate(rule).window == written
    else:
        with pytest.raises(ValidationError):
            RuleTable.model_validate(rule)
