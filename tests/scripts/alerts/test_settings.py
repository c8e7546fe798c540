"""The alerts file: what may stand in it, and how what is wrong is told."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.alerts.settings import EXAMPLE, QuietHours, SettingsError, default_path, load
from store.analysis.alerting import KINDS, Rule

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.toml"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_all_that_may_stand_in_it(path: Path) -> None:
    """Rules without targets are for all of them; thresholds are sorted."""
    found = load(written(path, FULL))
    assert found.quiet_hours == QuietHours(22 * 60, 7 * 60 + 30)
    assert [(each.name, each.shown) for each in found.targets.values()] == [("phone", "ntfys://…"), ("log", "python3")]
    first, second = found.rules
    assert first == Rule(at=(80.5, 95.0), account="work", limit="codex", window="7d", targets=("log",))
    assert second == Rule(kinds=frozenset(KINDS) - {"used"}, elsewhere_points=5.0, targets=("phone", "log"))


def test_the_example_is_right(path: Path) -> None:
    """What ``alerts init`` writes can be used as it is, and with all that is commented out in it."""
    assert len(load(written(path, EXAMPLE)).rules) == 2
    lines = [line.removeprefix("# ") if " = " in line else line for line in EXAMPLE.splitlines()]
    found = load(written(path, "\n".join(lines).replace("Each rule may have", "# Each rule may have")))
    assert len(found.targets) == 3
    assert found.quiet_hours


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[[rules]]\nat = [80\nwindow = 1\n", None, "this is no TOML: "),
        ("quiet_hour = '22:00-07:00'\n", 1, "quiet_hour: there is no such key; did you mean quiet_hours?"),
        ("\nquiet_hours = 'at night'\n", 2, 'quiet_hours: write from when to when, as in "22:00-07:30"'),
        ("quiet_hours = '22:00-22:00'\n", 1, "quiet_hours: write from when"),
        ("quiet_hours = '24:00-07:00'\n", 1, "quiet_hours: write from when"),
        ("[[rules]]\nat=[80]\n\n[[rules]]\n  ats = [80]\n", 5, "rules.ats: there is no such key; did you mean at?"),
        ("[[rules]]\nat=[80]\nzzz=1\n", 3, "rules.zzz: there is no such key; there are: at, runs_dry, "),
        ("[[rules]]\nat = 80\n", 2, "rules.at: write percents above 0 and up to 100 as a list: [80, 95]"),
        ("[[rules]]\nat = []\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [0]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [101]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [nan]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nat = [true]\n", 2, "rules.at: write percents"),
        ("[[rules]]\nruns_dry = 1\n", 2, "rules.runs_dry: write true or false"),
        (
            "[[rules]]\nused_elsewhere = 0\n",
            2,
            "rules.used_elsewhere: write true, false, or how many points it takes: 5",
        ),
        ("[[rules]]\nat = [80]\nwindow = 'week'\n", 3, 'rules.window: write "5h", "7d", or another length'),
        ("[[rules]]\nat = [80]\nwindow = 7\n", 3, 'rules.window: write one in quotes: window = "…"'),
        ("[[rules]]\nat = [80]\naccount = ''\n", 3, "rules.account: write one in quotes"),
        ("# nothing\n[[rules]]\n", 2, "rules: it asks for nothing; give it one of at, runs_dry, "),
        ("[[rules]]\nruns_dry = false\n", 1, "rules: it asks for nothing"),
        ("[rules]\nat = [80]\n", 1, "rules: write each rule as a table, [[rules]]"),
        ("rules = [80]\n", 1, "rules: write it as a table: [[rules]]"),
        ("targets = ['a']\n", 1, "targets: write it as a table: [targets]"),
        ("[targets]\nphone = 'a'\n[[rules]]\nat=[80]\ntargets=['fone']\n", 2, "targets.phone: write an apprise URL"),
        (
            "[targets]\nphone = 'a://b'\n[[rules]]\nat=[80]\ntargets=['fone']\n",
            5,
            "rules.targets: no target is called 'fone'; did you mean phone?",
        ),
        ("[[rules]]\nat=[80]\ntargets=['fone']\n", 3, "rules.targets: no target is called 'fone'; there is none"),
        ("[[rules]]\nat=[80]\ntargets='fone'\n", 3, "rules.targets: write the names of targets as a list"),
        ('[targets]\n"my phone" = "a://b"\n', 2, "targets.my phone: a target's name is of letters"),
        (f"[targets]\nphone = '{SECRET}'\n", 2, 'targets.phone: write an apprise URL in quotes ("ntfys://…")'),
        (f"[targets]\nphone = ['a', '{SECRET}', 1]\n", 2, "targets.phone: write an apprise URL"),
        (f"[targets]\nphone = [['{SECRET}']]\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = []\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = ['']\n", 2, "targets.phone: write an apprise URL"),
        ("[targets]\nphone = {url = 'a://b'}\n", 2, "targets.phone: write an apprise URL"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_key(path: Path, text: str, line: int | None, said: str) -> None:
    """With what to write instead, and without what stands there: it may be a secret."""
    with pytest.raises(SettingsError) as caught:
        load(written(path, text))
    where = f"{path}: " if line is None else f"{path}, line {line}: "
    assert str(caught.value).startswith(where + said)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is not there; make it with: codex-tap alerts init"), (b"\xff\xfe", "is not in UTF-8; save it as that")],
)
def test_a_file_that_cannot_be_read(path: Path, content: bytes | None, said: str) -> None:
    """It says what to do."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        load(path)


def test_a_file_as_an_editor_on_windows_saves_it(path: Path) -> None:
    """A mark at its start and its ends of lines are no matter."""
    path.write_bytes("[[rules]]\r\nat = [80]\r\n".encode("utf-8-sig"))
    assert load(path).rules == (Rule(at=(80.0,)),)


@given(st.text(alphabet="abt=[]{}\"'\n #.,180-", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Never anything but settings or one message."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except SettingsError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 (either is right)


def test_where_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's file, else the platform's configuration folder."""
    assert default_path({"CODEX_TAP_ALERTS": str(path)}) == path
    assert default_path({}).name == "alerts.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path.parent))
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert default_path({}) == path.parent / "codex-tap" / "alerts.toml"


@pytest.mark.parametrize(
    ("hours", "clock", "until"),
    [
        ((22, 7), "21:59", None),
        ((22, 7), "22:00", "07:00"),
        ((22, 7), "23:59", "07:00"),
        ((22, 7), "00:00", "07:00"),
        ((22, 7), "06:59", "07:00"),
        ((22, 7), "07:00", None),
        ((12, 14), "11:59", None),
        ((12, 14), "12:00", "14:00"),
        ((12, 14), "13:59", "14:00"),
        ((12, 14), "14:00", None),
        ((0, 6), "00:00", "06:00"),
        ((22, 0), "23:00", "00:00"),
    ],
)
def test_quiet_hours(hours: tuple[int, int], clock: str, until: str | None) -> None:
    """From their first minute on and to their end, across midnight or not, and the end is the next there is."""
    day = dt.datetime.combine(dt.date(2026, 11, 21), dt.time.fromisoformat(clock))
    end = QuietHours(hours[0] * 60, hours[1] * 60).until(day.timestamp())
    assert (None if end is None else time.strftime("%H:%M", time.localtime(end))) == until
    if end is not None:
        assert 0 < end - day.timestamp() <= 24 * 3_600
