"""`codex-tap statusline`."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import store.queries.forecast
from scripts.codex_files.login import Login
from scripts.commands.statusline import _WRITERS, _Outlook
from scripts.demo.codex import log_in
from scripts.support.database import Selected
from store.database import open_writer
from store.edits import rename_account
from store.models import Credits, Identity, Window
from store.queries.forecast import sample_history
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot
from tests.support.status_factories import any_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import AccountStatus, LimitStatus
    from store.models import Snapshot
    from store.queries.forecast import SampledRow

HOUR, DAY = 3_600, 86_400


def seen(five: float | None, seven: float, *, who: Identity = ALICE, ago: float = 10, **fields: Any) -> Snapshot:
    """A reading of the main limit, `ago` seconds old: 5h resets in about 2 h 10 min, 7d in about 3 d."""
    now = time.time()
    found = {"7d": Window(used_percent=seven, window_minutes=10_080, resets_at=int(now + 3 * DAY + 30))}
    if five is not None:
        found["5h"] = Window(used_percent=five, window_minutes=300, resets_at=int(now + 2 * HOUR + 630))
    return snapshot(limit(found), who=who, at=now - ago, **fields)


@pytest.fixture
def work(path: Path) -> Path:
    """A database with an account named work, and another one seen before it."""
    record(path, seen(1, 2, who=BOB, ago=500), seen(63.5, 41))
    with closing(open_writer(path)) as connection:
        rename_account(connection, 1, "other")
        rename_account(connection, 2, "work")
    return path


def test_the_account_in_use_in_one_line(work: Path) -> None:
    """The line has the used percent of each window and the time until its reset."""
    assert invoke("statusline", "--db", work).stdout == "work 5h 63 % (2h10m) 7d 41 % (3d)\n"
    assert invoke("statusline", "oth").stdout == "other 5h 1 % (2h10m) 7d 2 % (3d)\n"


def test_tmux_gets_its_colours(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are tmux styles, absent with NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    line = "work 5h #[fg=yellow]63 %#[default] (2h10m) 7d #[fg=green]41 %#[default] (3d)\n"
    assert invoke("statusline", "--format", "tmux", "--db", work).stdout == line
    monkeypatch.setenv("NO_COLOR", "1")
    assert "#" not in invoke("statusline", "--format", "tmux").stdout


def test_tmux_takes_no_commands_from_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `#` in a name is escaped."""
    monkeypatch.setenv("NO_COLOR", "1")
    record(path, seen(1, 2, who=Identity(token_key="k~1", account_id="a", email="#(reboot)@example.com")))
    assert invoke("statusline", "--format", "tmux").stdout.startswith("##(reboot)@example.com 5h")


def test_waybar_gets_its_json(work: Path) -> None:
    """The JSON has text, tooltip, class and percentage, on one line."""
    result = invoke("statusline", "--format", "waybar", "--db", work)
    assert result.stdout.count("\n") == 1
    shown = json.loads(result.stdout)
    assert set(shown) == {"text", "tooltip", "class", "percentage"}
    assert (shown["text"], shown["class"], shown["percentage"]) == ("work 5h 63 % (2h10m) 7d 41 % (3d)", "medium", 63)
    assert shown["tooltip"].splitlines()[:2] == ["work · seen last", "36.5 % of 5 h left, resets in 2 h 10 min"]


@pytest.mark.parametrize(
    ("snapshots", "kind", "percentage"),
    [
        ((13, 41), "low", 41),
        ((85, 41), "high", 85),
        ((13, 100), "blocked", 100),
        ((13, 120), "blocked", 100),
    ],
)
def test_waybar_gets_a_class(path: Path, snapshots: tuple[float, float], kind: str, percentage: int) -> None:
    """Without a forecast the class is that of the tightest window, unless the limit is blocked."""
    record(path, seen(*snapshots))
    shown = json.loads(invoke("statusline", "--format", "waybar").stdout)
    assert (shown["class"], shown["percentage"]) == (kind, percentage)


def test_the_forecast_decides_the_colour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is nearly full and lasts is green, one that is nearly empty and runs dry is red."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    now = int(time.time())
    record(path, *(week(number, now - 60 - (35 - number) * 2 * HOUR, 85, now + HOUR) for number in range(36)))
    assert "7d #[fg=green]85 %#[default]" in invoke("statusline", "--format", "tmux").stdout
    assert json.loads(invoke("statusline", "--format", "waybar").stdout)["class"] == "low"
    record(path, *(week(number, now - 60 - (35 - number) * 2 * HOUR, number, now + 7 * DAY) for number in range(36)))
    assert "7d #[fg=red]35 %#[default]" in invoke("statusline", "bob", "--format", "tmux").stdout
    assert json.loads(invoke("statusline", "bob", "--format", "waybar").stdout)["class"] == "high"


def week(number: int, at: float, used: float, resets_at: int) -> Snapshot:
    """A reading of a week's window: of Alice, evenly up to `used`, or of Bob."""
    is_alice = used == 85
    figure = used * (number + 1) / 36 if is_alice else used
    window = {"7d": Window(used_percent=figure, window_minutes=10_080, resets_at=resets_at)}
    return snapshot(limit(window), who=ALICE if is_alice else BOB, at=at)


def test_waybar_gets_no_markup_from_the_wire(path: Path) -> None:
    """Characters of Pango markup are escaped."""
    record(
        path, seen(1, 2, who=Identity(token_key="k~1", account_id="a", email="<b>&'\"@example.com"), plan_type="<i>")
    )
    shown = json.loads(invoke("statusline", "--format", "waybar").stdout)
    for text in (shown["text"], shown["tooltip"]):
        assert "<b>&'\"@example.com" in "".join(ET.fromstring(f"<x>{text}</x>").itertext())  # noqa: S314 (made right here)


def test_programs_get_the_figures(work: Path) -> None:
    """The JSON is one line, with the windows as in ``status``."""
    result = invoke("statusline", "--format", "json", "--db", work)
    assert result.stdout.count("\n") == 1
    figures = json.loads(result.stdout)
    assert (figures["name"], figures["stale"], figures["blocked_by"]) == ("work", False, None)
    assert figures["windows"]["5h"]["used_percent"] == 63.5


def test_what_is_not_as_usual_is_marked(path: Path) -> None:
    """A blocked limit, credits, an old reading and an unseen reset are marked."""
    record(path, seen(None, 100))
    assert invoke("statusline").stdout == "alice@example.com 7d 100 %! (3d)\n"
    record(path, seen(None, 100, credits=Credits(has_credits=True, unlimited=False, balance="5")))
    assert invoke("statusline").stdout == "alice@example.com 7d 100 % (3d) credits\n"
    record(path, seen(12, 34, who=BOB, ago=3 * HOUR))
    assert invoke("statusline", "bob").stdout == "bob@example.com 5h 12 % (2h10m) 7d 34 % (3d) 3h old\n"
    past = {"5h": Window(used_percent=80, window_minutes=300, resets_at=int(time.time() - 60))}
    record(path, snapshot(limit(past), who=BOB, at=time.time() - 2 * HOUR))
    assert invoke("statusline", "bob").stdout == "bob@example.com 5h 0 % (reset) 2h old\n"


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("text", "-"),
        ("tmux", "-"),
        (
            "json",
            (
                '{"document_version": 1, "account": null, "selected_by": "last_seen",'
                ' "selection": "nothing is known of any account"}'
            ),
        ),
    ],
)
def test_a_bar_stays_whole_while_nothing_is_known(path: Path, form: str, line: str) -> None:
    """The output has the bar's format, and the exit code is 0."""
    result = invoke("statusline", "--format", form, "--db", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{line}\n", "")
    shown = json.loads(invoke("statusline", "anybody", "--format", "waybar").stdout)
    assert (shown["text"], shown["class"], shown["percentage"]) == ("-", "unknown", 0)


def test_an_unknown_account_is_wrong_use(work: Path) -> None:
    """A misconfigured bar shows an error."""
    assert invoke("statusline", "carol", "--db", work).exit_code == 2


@given(any_accounts, st.sampled_from(sorted(_WRITERS)))
def test_any_account_is_one_line(accounts: list[dict[str, Any]], form: str) -> None:
    """Any status of an account makes one line."""
    for each in accounts:
        for main in each["limits"]:
            who = cast("AccountStatus", each)
            selected = Selected(who, "last_seen")
            line = _WRITERS[form](_Outlook(who, cast("LimitStatus", main), {}, selected, Login("~/.codex")))
            assert line
            assert "\n" not in line


@pytest.mark.parametrize(("form", "forecast"), [("text", 0), ("json", 0), ("tmux", 1), ("waybar", 1)])
def test_only_levels_take_a_forecast(work: Path, monkeypatch: pytest.MonkeyPatch, form: str, forecast: int) -> None:
    """A form without levels does not forecast; one with levels forecasts the windows of one limit of one account."""
    walked: list[tuple[Any, ...]] = []

    def walk(*given: Any) -> list[SampledRow]:
        walked.append(given[1:3])
        return sample_history(*given)

    monkeypatch.setattr(store.queries.forecast, "sample_history", walk)
    assert invoke("statusline", "--format", form, "--db", work).exit_code == 0
    assert walked == [(2, "codex")] * forecast


def test_the_account_that_is_logged_in_here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown instead of the one seen last; one that was not seen yet is not replaced by another."""
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    log_in(tmp_path, "acct-b", "user-b")
    assert invoke("statusline", "--db", work).stdout.startswith("other 5h")
    assert invoke("statusline", "--any").stdout.startswith("work 5h")
    assert invoke("statusline", "work").stdout.startswith("work 5h")
    assert invoke("statusline", "work", "--any").exit_code == 2
    document = json.loads(invoke("statusline", "--format", "json").stdout)
    assert (document["label"], document["selected_by"]) == ("other", "codex_home")
    assert document["selection"] == f"for other, the login of {tmp_path}"
    assert f"other · login of {tmp_path}" in json.loads(invoke("statusline", "--format", "waybar").stdout)["tooltip"]
    log_in(tmp_path, "acct-x", "user-x")
    assert invoke("statusline").stdout == "-\n"
    assert "has not been seen yet" in json.loads(invoke("statusline", "--format", "waybar").stdout)["tooltip"]
    (tmp_path / "auth.json").write_text("{", "utf-8")
    result = invoke("statusline")
    assert (result.stdout[:8], result.stderr.count("\n")) == ("work 5h ", 1)
    assert "cannot be read" in result.stderr
