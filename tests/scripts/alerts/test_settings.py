"""The alerts file: where it is, how it is read, and its quiet hours."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.alerts.settings import EXAMPLE, QuietHours, SettingsError, default_path, load
from store.analysis.alerting import Rule
from tests.support.alerts import write_settings
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def test_the_example_is_valid(path: Path) -> None:
    """The file of ``alerts init`` can be used as it is, and with all its comments made settings."""
    assert len(load(write_settings(path, EXAMPLE)).rules) == 2
    lines = [line.removeprefix("# ") if " = " in line else line for line in EXAMPLE.splitlines()]
    found = load(write_settings(path, "\n".join(lines).replace("Each rule may have", "# Each rule may have")))
    assert len(found.targets) == 3
    assert found.quiet_hours


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; create it with: codex-tap alerts init"),
        (b"\xff\xfe", "is not in UTF-8; save it in that encoding"),
    ],
)
def test_a_file_that_cannot_be_read(path: Path, content: bytes | None, message: str) -> None:
    """The error says what to do."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load(path)


def test_a_file_as_an_editor_on_windows_saves_it(path: Path) -> None:
    """A byte order mark and CRLF line ends are accepted."""
    path.write_bytes("[[rules]]\r\nat = [80]\r\n".encode("utf-8-sig"))
    assert load(path).rules == (Rule(at=(80.0,)),)


def test_default_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path in the environment, else the platform's configuration folder."""
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
    """They last from their first minute to the next end, across midnight or not."""
    day = dt.datetime.combine(dt.date(2026, 11, 21), dt.time.fromisoformat(clock))
    end = QuietHours(hours[0] * 60, hours[1] * 60).until(day.timestamp())
    assert (None if end is None else time.strftime("%H:%M", time.localtime(end))) == until
    if end is not None:
        assert 0 < end - day.timestamp() <= 24 * 3_600


def test_the_module_is_light() -> None:
    """Commands that only need the path of the file do not import pydantic."""
    program = "import sys, scripts.alerts.settings as found; found.default_path(); print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "text",
    [
        '[targets."{url}"]\n[targets."{url}"]',
        '["{url}"]\n["{url}"]',
        'x = {{ "{url}" = 1, "{url}" = 2 }}',
        '"{url}" = 1\n"{url}" = 2',
        "[targets]\nphone = {url}",
        "[targets]\n{url} = 'phone'",
        '[targets]\n"{url}" = "phone"',
        '[targets]\nphone = ["curl", "{url}\\u0000"]',
        '[[rules]]\nat = [80]\ntargets = ["{url}"]',
        '[[rules]]\nat = [80]\ntargets = "{url}"',
        '[[rules]]\n"{url}" = true',
        '[[rules]]\nat = [80]\nwindow = "{url}"',
        "[[rules]]\naccount = {url}",
        'quiet_hours = "{url}"',
    ],
)
def test_no_error_quotes_a_url(path: Path, text: str) -> None:
    """A URL in a wrong place, as a key or as a value, is not printed: it may be secret."""
    path.write_text(text.format(url="ntfys://user:geheim@host/topic"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert "geheim" not in str(caught.value)
