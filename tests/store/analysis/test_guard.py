from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli import cli
from scripts.support.errors import NOTHING_YET
from store.analysis.guard import GuardPolicy, verdict
from store.models import Window
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot
from tests.support.status_factories import HOUR, account, any_accounts, five, seven

if TYPE_CHECKING:
    from store.documents import AccountStatus, WindowStatus
    from store.models import Identity, Snapshot

CLI = Path(__file__).resolve().parents[3] / "scripts" / "cli.py"
OLD: dict[str, Any] = {"age_seconds": 2 * HOUR}
RESET = {"reset_unseen": True, "remaining_percent": 100.0, "resets_in_seconds": 0}


@pytest.mark.parametrize(
    ("windows", "state", "asked", "expected"),
    [
        (five(20) | seven(30), {}, GuardPolicy(), "go"),
        (five(90), {}, GuardPolicy(), "go"),
        (five(90.1), {}, GuardPolicy(), "below"),
        (five(20) | seven(95), {}, GuardPolicy(), "below"),
        (five(20) | seven(95), {}, GuardPolicy(window="5h"), "go"),
        (five(20) | seven(95), {}, GuardPolicy(window="7d"), "below"),
        (five(20) | seven(95), {}, GuardPolicy(min_remaining=5), "go"),
        (five(20) | seven(100), {"blocked_by": "7d"}, GuardPolicy(window="5h"), "below"),
        (five(20), {"blocked_by": "limit"}, GuardPolicy(), "below"),
        ({}, {"blocked_by": "credits"}, GuardPolicy(), "below"),
        (seven(100), {"on_credits": True}, GuardPolicy(), "below"),
        (seven(100), {"on_credits": True}, GuardPolicy(min_remaining=0), "go"),
        (five(20), OLD, GuardPolicy(), "old"),
        (five(95), OLD, GuardPolicy(), "old"),
        (five(20), OLD, GuardPolicy(max_age=3 * HOUR), "go"),
        (five(20, **RESET), OLD, GuardPolicy(), "go"),
        (five(20, **RESET) | seven(20), OLD, GuardPolicy(), "old"),
        (five(20, **RESET) | seven(20), OLD, GuardPolicy(window="5h"), "go"),
        (five(20), {}, GuardPolicy(window="7d"), "unknown"),
        (five(20), {}, GuardPolicy(limit_id="codex_bengalfox"), "unknown"),
        (five(None), {}, GuardPolicy(), "unknown"),
        (five(None) | seven(99), {}, GuardPolicy(), "below"),
        ({}, {}, GuardPolicy(), "unknown"),
        (None, {}, GuardPolicy(), "unknown"),
    ],
)
def test_the_verdict(
    windows: dict[str, WindowStatus] | None, state: dict[str, Any], asked: GuardPolicy, expected: str
) -> None:
    """Go, below, too old, or unknown: what is not known is never a go."""
    assert verdict(account("work", windows, **state), asked).answer == expected


@pytest.mark.parametrize(
    ("windows", "state", "until"),
    [
        (five(95, 2) | seven(10), {}, NOON + 2 * HOUR),
        (five(95, 2) | seven(95, 30), {}, NOON + 30 * HOUR),
        (five(100, 2) | seven(100, 30), {"blocked_by": "7d"}, NOON + 30 * HOUR),
        (five(95, None), {}, None),
        (five(50, 2), {"blocked_by": "limit"}, None),
        (five(50, 2), {"blocked_by": "limit", "reached_until": NOON + 60}, NOON + 60),
        (five(100, 2), {"blocked_by": "5h", "reached_until": NOON + 3 * HOUR}, NOON + 3 * HOUR),
        (five(100, None), {"blocked_by": "5h", "reached_until": NOON + 3 * HOUR}, None),
        (five(50, 2), {}, None),
        (five(95, 2), OLD, NOON + 2 * HOUR),
    ],
)
def test_until_when_to_wait(windows: dict[str, WindowStatus], state: dict[str, Any], until: int | None) -> None:
    """The later reset of what is in the way, where it is told."""
    assert verdict(account("work", windows, **state), GuardPolicy()).wait_until == until


def test_the_reason_names_the_window_that_decides() -> None:
    """What is left of it, and how old that is where that is too old."""
    found = verdict(account("work", five(95) | seven(30)), GuardPolicy())
    assert (found.window, found.remaining_percent, found.reason) == (
        "5h",
        5.0,
        "5 % of 5 h left, resets in 2 h 30 min",
    )
    old = verdict(account("work", five(95), **OLD), GuardPolicy())
    assert old.reason.endswith("resets in 2 h 30 min, seen 2 h ago, but the maximum age is 1 h")


@given(any_accounts, st.sampled_from([None, "5h", "7d", "30d"]), st.floats(0, 100), st.integers(0, 10**7))
def test_a_go_is_always_earned(
    accounts: list[AccountStatus], window: str | None, min_remaining: float, max_age: int
) -> None:
    """Any account gets a verdict; whoever may go on has enough left in an open limit, and a recent reading says so."""
    for each in accounts:
        found = verdict(each, GuardPolicy(window, min_remaining, max_age))
        assert found.reason
        if found.answer == "go":
            (main,) = each["limits"]
            counted = [value for slot, value in main["windows"].items() if window in {None, slot}]
            assert main["blocked_by"] is None
            assert all((value["remaining_percent"] or 0) >= min_remaining for value in counted)
            assert main["age_seconds"] <= max_age


# The command


def invoke(*arguments: str | Path) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words, prog_name="codex-tap", catch_exceptions=False)


def seen(used: float, *, who: Identity = ALICE, ago: float = 60, resets_in: float = 9_000) -> Snapshot:
    now = time.time()
    found = {"5h": Window(used_percent=used, window_minutes=300, resets_at=int(now + resets_in))}
    return snapshot(limit(found), who=who, at=now - ago)


@pytest.fixture
def path() -> Path:
    return Path(os.environ["CODEX_TAP_DB"])


@pytest.mark.parametrize(
    ("words", "exit_code", "start"),
    [
        ([], 0, "go: alice@example.com, 80 % of 5 h left, resets in 2 h"),
        (["bob"], 1, "below: bob@example.com, 5 % of 5 h left"),
        (["bob", "--min-remaining", "5"], 0, "go: bob@example.com"),
        (["--window", "7d"], 3, "unknown: alice@example.com, no window 7d has been reported; there are: 5h"),
        (["--max-age", "30min"], 0, "go: "),
        (["--max-age", "0.5min"], 3, "too old: alice@example.com, 80 % of 5 h left"),
        (["--limit", "other"], 3, "unknown: alice@example.com, nothing is known of the limit other"),
        (["carol"], 2, "Error: no account matches 'carol'"),
        (["--max-age", "long"], 2, "Usage: "),
        (["--min-remaining", "101"], 2, "Usage: "),
    ],
)
def test_the_exit_code_is_the_answer(path: Path, words: list[str], exit_code: int, start: str) -> None:
    """A line says why; without an account it is the one that was seen last."""
    record(path, seen(95, who=BOB, ago=600), seen(20))
    result = invoke("guard", *words)
    assert (result.exit_code, result.output.startswith(start)) == (exit_code, True)
    quiet = invoke("guard", *words, "--quiet")
    assert quiet.exit_code == exit_code
    assert quiet.output == "" or exit_code == 2


def test_nothing_seen_is_unknown(path: Path) -> None:
    """Exit code 3, with --wait as well: nobody knows what to wait for."""
    for words in ([], ["--wait"], ["--wait", "--quiet"]):
        assert invoke("guard", *words, "--db", path).exit_code == 3
    assert invoke("guard").stderr == f"{NOTHING_YET}\n"


def test_programs_get_the_verdict(path: Path) -> None:
    """The account, what decides, and what was asked for."""
    record(path, seen(95))
    result = invoke("guard", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"] == 1
    assert (document["account"], document["answer"], document["window"]) == ("acct-a/user-a", "below", "5h")
    assert (document["remaining_percent"], document["min_remaining"]) == (5.0, 10.0)
    assert document["wait_until"] == document["resets_at"]


def test_wait_ends_with_the_reset(path: Path) -> None:
    """It says until when, sleeps until the window is reset, and goes on."""
    record(path, seen(95, resets_in=2.5))
    result = invoke("guard", "--wait")
    assert (result.exit_code, result.stdout) == (
        0,
        "go: alice@example.com, 100 % of 5 h left, reset, not seen since\n",
    )
    assert result.stderr.startswith("below: alice@example.com, 5 % of 5 h left")
    assert "; waiting until 20" in result.stderr


def test_wait_sees_what_another_proxy_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is open again before its reset ends the wait."""
    monkeypatch.setattr("scripts.commands.guard._POLL_SECONDS", 1.0)
    record(path, seen(95))
    later = threading.Timer(0.5, record, [path, seen(1, ago=0)])
    later.start()
    result = invoke("guard", "--wait", "--quiet")
    later.join()
    assert (result.exit_code, result.output) == (0, "")


def test_wait_ends_where_nothing_tells_until_when(path: Path) -> None:
    """It would be for ever."""
    found = {"5h": Window(used_percent=95.0, window_minutes=300)}
    record(path, snapshot(limit(found), at=time.time()))
    assert invoke("guard", "--wait").exit_code == 1


@pytest.mark.skipif(
    sys.platform == "win32", reason="a program cannot be sent Ctrl-C there without its console's others"
)
def test_ctrl_c_ends_the_wait(path: Path) -> None:
    """With exit code 130 and no traceback."""
    record(path, seen(95))
    command = [sys.executable, str(CLI), "guard", "--wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        assert "waiting until" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(20)) == ("", 130)
