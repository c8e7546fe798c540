"""`codex-tap guard`."""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import log_in
from scripts.support.errors import NOTHING_YET, RUN_ONCE
from store.models import Window
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from store.models import Identity, Snapshot

CLI = Path(__file__).resolve().parents[3] / "scripts" / "cli.py"


def seen(used: float, *, who: Identity = ALICE, ago: float = 60, resets_in: float = 9_000) -> Snapshot:
    now = time.time()
    found = {"5h": Window(used_percent=used, window_minutes=300, resets_at=int(now + resets_in))}
    return snapshot(limit(found), who=who, at=now - ago)


@pytest.mark.parametrize(
    ("words", "exit_code", "start"),
    [
        ([], 0, "go: alice@example.com (seen last), 80 % of 5 h left, resets in 2 h"),
        (["bob"], 1, "below: bob@example.com, 5 % of 5 h left"),
        (["bob", "--min-remaining", "5"], 0, "go: bob@example.com"),
        (
            ["--window", "7d"],
            3,
            "unknown: alice@example.com (seen last), no window 7d has been reported; there are: 5 h",
        ),
        (["--max-age", "30min"], 0, "go: "),
        (["--max-age", "0.5min"], 3, "too old: alice@example.com (seen last), 80 % of 5 h left"),
        (["--limit", "other"], 3, "unknown: alice@example.com (seen last), nothing is known of the limit other"),
        (["carol"], 2, "Error: no account matches 'carol'"),
        (["--max-age", "0.5min", "--fail-open"], 0, "too old: alice@example.com (seen last), 80 % of 5 h left"),
        (["--limit", "other", "--fail-open"], 0, "unknown: "),
        (["bob", "--fail-open"], 1, "below: bob@example.com, 5 % of 5 h left"),
        (["--max-age", "long"], 2, "Usage: "),
        (["--min-remaining", "101"], 2, "Usage: "),
    ],
)
def test_the_exit_code_is_the_verdict(path: Path, words: list[str], exit_code: int, start: str) -> None:
    """One line has the reason. Without an account, the account seen last is checked."""
    record(path, seen(95, who=BOB, ago=600), seen(20))
    result = invoke("guard", *words)
    assert (result.exit_code, result.output.startswith(start)) == (exit_code, True)
    quiet = invoke("guard", *words, "--quiet")
    assert quiet.exit_code == exit_code
    assert quiet.output == "" or exit_code == 2


def test_nothing_seen_is_unknown(path: Path) -> None:
    """The exit code is 3, also with --wait: there is no reset to wait for."""
    for words in ([], ["--wait"], ["--wait", "--quiet"]):
        assert invoke("guard", *words, "--db", path).exit_code == 3
    assert invoke("guard").stderr == f"{NOTHING_YET}\n"


def test_failing_open(path: Path) -> None:
    """Exit code 3 becomes 0, whatever the reason; the answer stays."""
    result = invoke("guard", "--fail-open", "--json", "--db", path)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["exit_code"], document["answer"]) == (0, 0, "unknown")
    assert invoke("guard", "--fail-open", "--wait", "--quiet").exit_code == 0
    record(path, seen(20, ago=7_200))
    document = json.loads(invoke("guard", "--fail-open", "--max-age", "1h", "--json").stdout)
    assert (document["exit_code"], document["answer"], document["max_age_seconds"]) == (0, "old", 3_600)


def test_json(path: Path) -> None:
    """The document has the account, the decisive window and the policy."""
    record(path, seen(95))
    result = invoke("guard", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"] == 1
    assert (document["account"], document["answer"], document["window"]) == ("acct-a/user-a", "below", "5h")
    assert (document["remaining_percent"], document["min_remaining"]) == (5.0, 10.0)
    assert document["wait_until"] == document["resets_at"]
    assert (document["selected_by"], document["selection"]) == (
        "last_seen",
        "for alice@example.com, the account seen last",
    )
    assert document["max_age_seconds"] is None


def test_wait_ends_with_the_reset(path: Path) -> None:
    """The command prints the time of the reset, sleeps until then, and ends with exit code 0."""
    record(path, seen(95, resets_in=2.5))
    result = invoke("guard", "--wait")
    assert (result.exit_code, result.stdout) == (
        0,
        "go: alice@example.com (seen last), 100 % of 5 h left, reset, not seen since\n",
    )
    assert result.stderr.startswith("below: alice@example.com (seen last), 5 % of 5 h left")
    assert "; waiting until 20" in result.stderr


def test_wait_notices_new_readings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is open again before its reset ends the wait."""
    monkeypatch.setattr("scripts.commands.guard._POLL_SECONDS", 1.0)
    record(path, seen(95))
    later = threading.Timer(0.5, record, [path, seen(1, ago=0)])
    later.start()
    result = invoke("guard", "--wait", "--quiet")
    later.join()
    assert (result.exit_code, result.output) == (0, "")


def test_wait_without_a_known_reset(path: Path) -> None:
    """The command ends at once: it would wait for ever."""
    found = {"5h": Window(used_percent=95.0, window_minutes=300)}
    record(path, snapshot(limit(found), at=time.time()))
    assert invoke("guard", "--wait").exit_code == 1


@pytest.mark.skipif(
    sys.platform == "win32", reason="a program cannot be sent Ctrl-C there without its console's others"
)
def test_ctrl_c_ends_the_wait(path: Path) -> None:
    """The exit code is 130, without a traceback."""
    record(path, seen(95))
    command = [sys.executable, str(CLI), "guard", "--wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        assert "waiting until" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(20)) == ("", 130)


@pytest.mark.parametrize(("asked", "exit_code"), [("30d", 1), ("30 d", 1), ("7d", 1), ("5h", 3)])
def test_a_window_goes_by_its_length_or_its_slot(path: Path, asked: str, exit_code: int) -> None:
    """A Free plan's month is in the slot of the week."""
    now = time.time()
    month = {"7d": Window(used_percent=95, window_minutes=43_200, resets_at=int(now + 900_000))}
    record(path, snapshot(limit(month), at=now - 60))
    document = json.loads(invoke("guard", "--window", asked, "--json").stdout)
    assert document["exit_code"] == exit_code
    assert (document["window"], document["length"]) == (("7d", "30d") if exit_code == 1 else (None, None))


def test_the_account_that_is_logged_in_here(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked instead of the one seen last; nothing is known of one that was not seen yet."""
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    log_in(tmp_path, "acct-b", "user-b")
    record(path, seen(95, who=BOB, ago=600), seen(20))
    result = invoke("guard")
    assert (result.exit_code, result.stdout[:46]) == (1, f"below: bob@example.com (login of {tmp_path}), 5 %"[:46])
    assert invoke("guard", "alice").exit_code == 0
    assert invoke("guard", "--any").stdout.startswith("go: alice@example.com (seen last), 80 %")
    assert invoke("guard", "alice", "--any").exit_code == 2
    document = json.loads(invoke("guard", "--json").stdout)
    assert (document["label"], document["selected_by"]) == ("bob@example.com", "codex_home")
    log_in(tmp_path, "acct-x", "user-x")
    result = invoke("guard")
    assert (result.exit_code, result.stdout, result.stderr) == (
        3,
        "",
        f"the account that {tmp_path} is logged in with has not been seen yet. {RUN_ONCE}\n",
    )
    document = json.loads(invoke("guard", "--json").stdout)
    assert (document["account"], document["answer"], document["selected_by"]) == (None, "unknown", "codex_home")
    (tmp_path / "auth.json").write_text("{", "utf-8")
    result = invoke("guard")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "cannot be read" in result.stderr
    assert invoke("guard", "--quiet").output == ""


# The clock


class Clock:
    """A clock that moves only while the command sleeps; `events` happen at their time, one after another."""

    def __init__(self, patch: pytest.MonkeyPatch, events: Mapping[float, Callable[[float], object]]) -> None:
        self.started = self.now = float(int(time.time()))
        self._events = sorted(events.items())
        patch.setattr("scripts.commands.guard._POLL_SECONDS", 300.0)
        patch.setattr(time, "time", lambda: self.now)
        patch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert self.now < self.started + 30 * 86_400, "it waits for ever"
        self.now += seconds
        while self._events and self.started + self._events[0][0] <= self.now:
            self._events.pop(0)[1](self.now)

    @property
    def waited(self) -> float:
        """Seconds since the start."""
        return self.now - self.started


HOUR = 3_600


def at(used: float, now: float, resets_in: float | None, **fields: Any) -> Snapshot:
    """A reading of `now`."""
    resets_at = None if resets_in is None else int(now + resets_in)
    window = {"5h": Window(used_percent=used, window_minutes=300, resets_at=resets_at)}
    return snapshot(limit(window), at=now, **fields)


@pytest.mark.parametrize(
    ("events", "exit_code", "hours"),
    [
        ({}, 0, 2),
        ({HOUR: lambda path, now: record(path, at(1, now, 4 * HOUR))}, 0, 1),
        ({HOUR: lambda path, now: record(path, at(99, now, 3 * HOUR))}, 0, 4),
        ({HOUR: lambda path, now: record(path, at(99, now, None))}, 3, 2),
        # Codex told again after the reset what it told before: that one did not take place.
        ({2 * HOUR: lambda path, now: record(path, at(99, now, -10))}, 3, 3),
        ({HOUR: lambda path, _: path.unlink()}, 3, 1),
    ],
    ids=["reset", "reset early", "reset later", "a reading without a reset", "not reset", "the file is gone"],
)
def test_waiting_ends(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    events: Mapping[float, Callable[[Path, float], object]],
    exit_code: int,
    hours: float,
) -> None:
    """With 0 when enough is left, with 3 when nothing is known any more; never later than an hour after a reset."""
    clock = Clock(monkeypatch, {after: partial(event, path) for after, event in events.items()})
    record(path, at(99, clock.now - 60, 2 * HOUR + 60))
    result = invoke("guard", "--wait", "--quiet")
    assert (result.exit_code, round(clock.waited / HOUR, 1)) == (exit_code, hours)


def test_waiting_follows_the_login(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who logs in to an account with enough left does not wait for the other one."""
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    log_in(tmp_path, "acct-a", "user-a")
    clock = Clock(monkeypatch, {300: lambda _: log_in(tmp_path, "acct-b", "user-b")})
    record(path, at(5, clock.now, HOUR, who=BOB), at(99, clock.now, HOUR))
    result = invoke("guard", "--wait")
    assert (result.exit_code, clock.waited) == (0, 300)
    assert result.stdout.startswith("go: bob@example.com (login of ")


# A budget


@pytest.fixture(name="spent")
def _spent(path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """At noon, record 3 points of today and 4 of yesterday by one thread, and 2 of today by another."""
    clock = Clock(monkeypatch, {})
    # A day on which no zone changes its clocks.
    noon = dt.datetime(2026, 11, 21, 12).astimezone().timestamp()
    clock.started = clock.now = noon
    for hours, thread, percent in ((30, "", 40), (20, THREAD, 44), (3, "", 44), (2, THREAD, 47), (1, "0199c001", 49)):
        at = noon - hours * HOUR
        week = {"7d": Window(used_percent=percent, window_minutes=10_080, resets_at=int(noon + 48 * HOUR))}
        record(path, *([turn(thread, at=at - 60)] if thread else []), snapshot(limit(week), at=at))
    return clock


THREAD = "0199b3f7-90aa-7b02-8d11-2f4c8a9e5d02"


@pytest.mark.parametrize(
    ("words", "variables", "exit_code", "said"),
    [
        (
            ["3%/day"],
            {"CODEX_THREAD_ID": THREAD},
            0,
            "budget: 3 of 3 % of the 7 d window used today by thread 0199b3f7",
        ),
        (["2.9%/day"], {"CODEX_THREAD_ID": THREAD}, 1, "budget: 3 of 2.9 % of the 7 d window used today by thread"),
        (["20%"], {"CODEX_THREAD_ID": THREAD}, 0, "budget: 7 of 20 % of the 7 d window used by thread 0199b3f7"),
        (["6%"], {"CODEX_THREAD_ID": THREAD}, 1, "budget: 7 of 6 %"),
        (
            ["1%"],
            {"CODEX_THREAD_ID": "0199ffff"},
            0,
            "0 of 1 % of the 7 d window used by thread 0199ffff, which has not",
        ),
        (["5%/day"], {}, 0, "budget: 5 of 5 % of the 7 d window used today by this account"),
        (
            ["4%/day", "--budget-for", "account"],
            {"CODEX_THREAD_ID": THREAD},
            1,
            "5 of 4 % of the 7 d window used today",
        ),
        (["4%/day", "--window", "30d"], {}, 3, "the budget cannot be checked: no window with a known length"),
        (["5%/month"], {}, 2, "'5%/month' is not a budget; use 20%, 5%/day, 2%/hour or 10%/week"),
        (["5%", "--budget-for", "thread"], {}, 2, "needs CODEX_THREAD_ID, which Codex sets for its commands"),
        (["5%", "--budget-for", "project"], {}, 2, "needs a working directory in a git repository"),
        (["5%", "--budget-for", "project", "--names", "off"], {}, 2, "which --names off leaves out"),
    ],
)
def test_a_budget(
    spent: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    variables: dict[str, str],
    exit_code: int,
    said: str,
) -> None:
    """The use of the thread, the project or the account counts; a day is one of the calendar."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = invoke("guard", "--budget", *words)
    assert (result.exit_code, said in result.output) == (exit_code, True), result.output
    assert spent.waited == 0


def test_a_budget_as_json(spent: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document has what was used, by whom, and in which period; it is null without a budget."""
    monkeypatch.setenv("CODEX_THREAD_ID", THREAD)
    document = json.loads(invoke("guard", "--budget", "2%/day", "--json").stdout)
    midnight = int(spent.now + 12 * HOUR)
    assert document["budget"] == {
        "points": 2.0,
        "used": 3.0,
        "period": "day",
        "since": midnight - 24 * HOUR,
        "until": midnight,
        "window": "7d",
        "window_minutes": 10_080,
        "length": "7d",
        "scope": "thread",
        "key": THREAD,
        "name": None,
        "seen": True,
    }
    assert (document["answer"], document["wait_until"], document["exit_code"]) == ("below", midnight, 1)
    assert json.loads(invoke("guard", "--json").stdout)["budget"] is None
    assert invoke("guard", "--budget-for", "account").exit_code == 2


def test_waiting_for_a_new_day(spent: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget is whole again at midnight."""
    monkeypatch.setenv("CODEX_THREAD_ID", THREAD)
    result = invoke("guard", "--budget", "2%/day", "--wait")
    assert (result.exit_code, round(spent.waited / HOUR, 1)) == (0, 12)
    assert "used today by thread 0199b3f7, until 20" in result.stderr


RECIPE = re.compile(r"^0 6 \* \* \* +codex-tap (.*?) && ", re.MULTILINE)


@pytest.mark.parametrize(
    ("used", "week", "exit_code", "said"),
    [(60, 40, 0, "seen 9 h ago"), (100, 40, 0, "seen 9 h ago"), (60, 95, 1, "seen 9 h ago")],
    ids=["enough", "full in the evening", "a week that is used up"],
)
def test_the_recipe_for_cron_works_after_the_pause_of_a_night(
    path: Path, monkeypatch: pytest.MonkeyPatch, used: float, week: float, exit_code: int, said: str
) -> None:
    """Nothing was seen since the evening, and the 5 h window has been reset since."""
    clock = Clock(monkeypatch, {})
    evening = clock.now - 9 * HOUR
    found = {
        "5h": Window(used_percent=used, window_minutes=300, resets_at=int(evening + 2 * HOUR)),
        "7d": Window(used_percent=week, window_minutes=10_080, resets_at=int(evening + 72 * HOUR)),
    }
    record(path, snapshot(limit(found), at=evening))
    shown = (CLI.parents[1] / "docs" / "commands.md").read_text("utf-8")
    (recipe,) = RECIPE.findall(shown)
    result = invoke(*recipe.split())
    assert (result.exit_code, clock.waited) == (exit_code, 0)
    assert said in invoke("guard").stdout
