"""`codex-tap guard`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from store.models import Window
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot

if TYPE_CHECKING:
    from store.models import Identity, Snapshot

CLI = Path(__file__).resolve().parents[3] / "scripts" / "cli.py"


def seen(used: float, *, who: Identity = ALICE, ago: float = 60, resets_in: float = 9_000) -> Snapshot:
    now = time.time()
    found = {"5h": Window(used_percent=used, window_minutes=300, resets_at=int(now + resets_in))}
    return snapshot(limit(found), who=who, at=now - ago)


@pytest.mark.parametrize(
    ("words", "exit_code", "start"),
    [
        ([], 0, "go: alice@example.com, 80 % of 5 h left, resets in 2 h"),
        (["bob"], 1, "below: bob@example.com, 5 % of 5 h left"),
        (["bob", "--min-remaining", "5"], 0, "go: bob@example.com"),
        (["--window", "7d"], 3, "unknown: alice@example.com, no window 7d has been reported; there are: 5 h"),
        (["--max-age", "30min"], 0, "go: "),
        (["--max-age", "0.5min"], 3, "too old: alice@example.com, 80 % of 5 h left"),
        (["--limit", "other"], 3, "unknown: alice@example.com, nothing is known of the limit other"),
        (["carol"], 2, "Error: no account matches 'carol'"),
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


def test_json(path: Path) -> None:
    """The document has the account, the decisive window and the policy."""
    record(path, seen(95))
    result = invoke("guard", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"] == 1
    assert (document["account"], document["answer"], document["window"]) == ("acct-a/user-a", "below", "5h")
    assert (document["remaining_percent"], document["min_remaining"]) == (5.0, 10.0)
    assert document["wait_until"] == document["resets_at"]


def test_wait_ends_with_the_reset(path: Path) -> None:
    """The command prints the time of the reset, sleeps until then, and ends with exit code 0."""
    record(path, seen(95, resets_in=2.5))
    result = invoke("guard", "--wait")
    assert (result.exit_code, result.stdout) == (
        0,
        "go: alice@example.com, 100 % of 5 h left, reset, not seen since\n",
    )
    assert result.stderr.startswith("below: alice@example.com, 5 % of 5 h left")
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
