"""The closing line of ``codex-tap run``."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import log_in
from scripts.demo.replies import Answer, WireWindow, limit_headers
from scripts.launch.closing_line import Counts, SharedProxyLine, figures, opening, problems, show_own
from scripts.launch.codex_env_file import Bypass
from scripts.launch.held_proxy import Outcome
from scripts.support.output_queue import STDERR
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from tests.support.command_line import in_terminal
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.harness import REPOSITORY, Proxy
from tests.system.test_real_codex import answer, run_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.demo.backend import Backend
    from store.documents import AccountStatus
    from store.record.writer import Entry

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals there")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

BYPASS = Bypass(Path("/home/ann/.codex/.env"), "HTTPS_PROXY")

OPENINGS: list[tuple[Counts, dict[str, Any], str]] = [
    (Counts(turns=1, limits=True), {}, "1 turn read"),
    (Counts(turns=1_200, limits=True), {}, "1,200 turns read"),
    (Counts(turns=2), {"bypass": BYPASS}, "2 turns read"),
    (Counts(limits=True, connections=1), {}, "limits read, no turns"),
    (Counts(), {}, "nothing was read: the command did not use the proxy"),
    (Counts(), {"bypass": BYPASS}, "nothing was read: the command bypassed the proxy because of HTTPS_PROXY in /home/"),
    (Counts(connections=9), {"bypass": BYPASS}, "nothing was read: the command bypassed the proxy"),
    (Counts(connections=9), {}, "nothing was read: the command connected only to hosts that are not watched"),
    (Counts(connections=9, watched=1), {}, "nothing was read: no response contained rate limits"),
    (
        Counts(connections=9, watched=2, refused=1),
        {},
        "nothing was read: the command does not trust the proxy's certificate",
    ),
    (Counts(), {"failure": "the proxy did not start: x"}, "nothing was read: the proxy did not start: x"),
]

KILLED, NEVER = "the proxy ended (signal 9)", "the proxy did not start: x"
READY = Outcome([], [], restarts=0, tunnelled=0, lines=[], was_ready=True)
PROBLEMS: list[tuple[Outcome, str]] = [
    (READY, ""),
    (READY._replace(failures=[KILLED]), KILLED),
    (READY._replace(failures=[KILLED], restarts=1), f"{KILLED} and was started again"),
    (READY._replace(failures=[NEVER, KILLED], restarts=2), f"{KILLED} and was started again 2 times"),
    (READY._replace(tunnelled=1), "1 connection was passed through unread"),
    (
        READY._replace(failures=[NEVER], restarts=3, was_ready=False, tunnelled=1_200),
        f"{NEVER}; 1,200 connections were passed through unread",
    ),
]


@pytest.mark.parametrize(("counts", "more", "begin"), OPENINGS, ids=str)
def test_what_was_read_or_why_nothing_was(counts: Counts, more: dict[str, Any], begin: str) -> None:
    assert opening(counts, **more).startswith(begin)


@pytest.mark.parametrize(("outcome", "text"), PROBLEMS, ids=str)
def test_what_went_wrong(outcome: Outcome, text: str) -> None:
    """Without a closing line, this alone is told."""
    assert problems(outcome) == text


@pytest.mark.parametrize(
    ("counts", "outcome", "line"),
    [
        (2, READY._replace(failures=[KILLED], restarts=1), f"2 turns read; {KILLED} and was started again"),
        (
            0,
            READY._replace(failures=[NEVER], was_ready=False, tunnelled=2),
            f"nothing was read: {NEVER}; 2 connections",
        ),
        (0, READY._replace(tunnelled=1), "nothing was read: the proxy was not ready in time; 1 connection was"),
    ],
    ids=["killed", "never", "late"],
)
def test_a_proxy_that_was_not_always_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: int, outcome: Outcome, line: str
) -> None:
    """The closing line tells of it once."""
    summaries = [json.dumps({"turns": counts})] if counts else []
    show_own(outcome._replace(summaries=summaries), tmp_path / "none.sqlite3", bypass=None)
    assert printed(capsys).startswith(f"codex-tap: {line}")


@pytest.mark.parametrize("summary", ["", "[]", "3", "{", '{"nonsense": 1}'])
def test_invalid_counts(summary: str) -> None:
    """They are left out; those of the other processes of the proxy are added up."""
    assert Counts.sum([summary]) == Counts(token_keys=[])
    both = Counts.sum([summary_of(3, "a"), summary, summary_of(4, "b")])
    assert both == Counts(turns=7, limits=True, token_keys=["a", "b"])


def status(path: Path, now: float) -> list[AccountStatus]:
    with contextlib.closing(open_reader(path)) as connection:
        return load_status(connection, now, load_accounts(connection))["accounts"]


FIGURES: dict[str, tuple[list[Entry], float, list[str]]] = {
    "both windows": (
        [used(15.25, 40)],
        NOON,
        ["5 h 15.2 % used, 84.8 % left, resets 14:30; 7 d 40 % used, 60 % left, resets Tue 23:20"],
    ),
    "nothing of the main limit": ([snapshot(limit(windows(5), limit_id="codex_bengalfox"))], NOON, []),
    "two accounts": (
        [used(15, 40), snapshot(limit(windows(62)), who=BOB)],
        NOON,
        [
            "alice@example.com: 5 h 15 % used, 85 % left, resets 14:30; 7 d 40 % used, 60 % left, resets Tue 23:20",
            "bob@example.com: 5 h 62 % used, 38 % left, resets 14:30",
        ],
    ),
    "blocked": (
        [snapshot(limit(windows(100, 40), allowed=False, limit_reached=True), status=429)],
        NOON,
        ["blocked by 5 h until 14:30; 7 d 40 % used, 60 % left, resets Tue 23:20"],
    ),
    "refused": (
        [snapshot(limit(windows(50), reached_type="rate_limit_reached", reached_until=NOON + 3_600), status=429)],
        NOON,
        ["refused until 13:00; 5 h 50 % used, 50 % left, resets 14:30"],
    ),
    "an old reading": (
        [used(15, 40)],
        NOON + 7_200,
        ["5 h 15 % used, 85 % left, resets 14:30; 7 d 40 % used, 60 % left, resets Tue 23:20; seen 2 h ago"],
    ),
    "reset since": ([snapshot(limit(windows(15)))], NOON + 9_100, ["5 h reset, not seen since; seen 2 h 31 min ago"]),
}


@pytest.mark.parametrize(("entries", "now", "lines"), FIGURES.values(), ids=list(FIGURES))
def test_the_status_of_the_main_limit(tmp_path: Path, entries: list[Entry], now: float, lines: list[str]) -> None:
    accounts = status(record(tmp_path / "tap.sqlite3", *entries), now)
    assert figures(accounts, now, dt.UTC) == lines


def test_in_a_narrow_terminal_the_tightest_window_is_enough(tmp_path: Path) -> None:
    accounts = status(record(tmp_path / "tap.sqlite3", used(15, 96)), NOON)
    assert figures(accounts, NOON, dt.UTC, tightest_only=True) == ["7 d 96 % used, 4 % left, resets Tue 23:20"]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the output on stderr, once the queue of lines is written."""
    assert STDERR.drain()
    return capsys.readouterr().err


def summary_of(turns: int, *keys: str) -> str:
    return json.dumps({"turns": turns, "limits": True, "token_keys": keys})


def test_the_accounts_are_those_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The database also has accounts that another proxy recorded."""
    now = time.time()
    path = record(tmp_path / "tap.sqlite3", used(15, at=now), used(62, who=BOB, at=now))
    show_own(READY._replace(summaries=[summary_of(3, BOB.token_key)]), path, bypass=None)
    (line,) = printed(capsys).splitlines()
    assert line.startswith("codex-tap: 3 turns read · ")
    assert "alice" not in line
    assert "bob" not in line, "a name is for telling several apart"


def locked(path: Path) -> contextlib.AbstractContextManager[object]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("BEGIN EXCLUSIVE")
    return contextlib.closing(connection)


def damaged(path: Path) -> contextlib.AbstractContextManager[object]:
    damage(path)
    return contextlib.nullcontext()


def deleted(path: Path) -> contextlib.AbstractContextManager[object]:
    path.unlink()
    return contextlib.nullcontext()


@pytest.mark.parametrize("harm", [locked, damaged, deleted])
def test_without_a_database_the_line_has_the_turns(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], contextlib.AbstractContextManager[object]],
) -> None:
    path = record(tmp_path / "tap.sqlite3", used(15))
    with harm(path):
        show_own(READY._replace(summaries=[summary_of(3, ALICE.token_key)]), path, bypass=None)
        SharedProxyLine(path).show()
    assert printed(capsys) == "codex-tap: 3 turns read\n"


def test_the_turns_of_a_shared_proxy_are_those_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line counts the turns during the run, without warm-ups; without turns there is no line."""
    now = time.time()
    path = record(tmp_path / "tap.sqlite3", used(15), turn(at=now))
    SharedProxyLine(path).show()
    assert printed(capsys) == ""
    line = SharedProxyLine(path)
    seen = snapshot(limit(windows(16, at=now)), who=BOB, at=now)
    record(path, seen, turn(who=BOB, at=now), turn(who=BOB, at=now, warm_up=True))
    line.show()
    assert re.match(r"codex-tap: 1 turn read · 5 h 16 % used, 84 % left, resets ", printed(capsys))


# Whole runs in a terminal

CLIENT = """
import os, sys, time
from scripts.demo.client import CodexClient
from scripts.demo.codex import make_token
with CodexClient(
    os.environ["HTTPS_PROXY"],
    [os.environ.get(sys.argv[1], "") or sys.argv[1]],
    token=make_token("acct-line", "user-1", expires_at=int(time.time()) + 864_000),
    account_id="acct-line",
) as client:
    for word in sys.argv[2:]:
        try:
            getattr(client, word)("say ok") if word.endswith("turn") else client.get(word)
        except OSError as error:
            print(type(error).__name__)
"""

DIE = """
import os, signal, socket, subprocess, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
with socket.create_connection((proxy.hostname, proxy.port), 30) as ready:
    ready.sendall(b"GET http://mitm.it/ HTTP/1.0\\r\\n\\r\\n")
    ready.recv(1)
def listed(*options):
    return subprocess.run(["ps", *options], capture_output=True, check=False, text=True).stdout.splitlines()
for pid, parent, args in (line.split(None, 2) for line in listed("-A", "-ww", "-o", "pid=,ppid=,args=")):
    if int(parent) == os.getppid() and int(pid) != os.getpid() and "mitmdump" in args:
        os.kill(int(pid), signal.SIGKILL)
        # A zombie with threads left ("Zl") has not ended yet.
        while any(stat[:1] != "Z" or "l" in stat for stat in listed("-o", "stat=", "-p", pid)):
            pass
"""

USAGE = "https://chatgpt.com/backend-api/wham/usage"
OURS = "CODEX_CA_CERTIFICATE"
FIVE = r"5 h 13 % used, 87 % left, resets [^;]*"
RUNS = {
    "turns": ([OURS, "http_turn", "websocket_turn"], rf"2 turns read · {FIVE}$"),
    "a usage document alone": ([OURS, USAGE], rf"limits read, no turns · {FIVE}$"),
    "nothing": (["x"], "nothing was read: the command did not use the proxy: "),
    "another authority": (["@CA", USAGE], "nothing was read: the command does not trust the proxy's certificate; "),
    "no limits": ([OURS, "https://chatgpt.com/nothing"], "nothing was read: no response contained rate limits, "),
    "other hosts": (
        ["@CA", "https://other.example/"],
        "nothing was read: the command connected only to hosts that are not watched; ",
    ),
}


def usage_document() -> dict[str, Any]:
    window = {"used_percent": 13, "limit_window_seconds": 18_000, "reset_after_seconds": 9_000}
    reset = {"reset_at": int(time.time()) + 9_000}
    return {"plan_type": "plus", "rate_limit": {"allowed": True, "primary_window": {**window, **reset}}}


def closing_lines(text: str) -> list[str]:
    """Return the closing lines in the output of a terminal; the proxy's warnings are left out."""
    return [
        line.removeprefix("codex-tap: ")
        for line in text.splitlines()
        if line.startswith("codex-tap: ") and not line.startswith("codex-tap: proxy: ")
    ]


@pytest.fixture(name="ready")
def _ready(backend: Backend, tmp_path: Path) -> dict[str, str]:
    """An environment with the stand-in as its upstream, which sends the same limits over every transport."""
    reset = int(time.time()) + 9_000
    headers = limit_headers(WireWindow(13, 300, reset, 9_000), plan="plus")
    backend.answer(Answer(headers=headers, usage=usage_document()), account="acct-line")
    return {**run_environment(backend, tmp_path, tmp_path / "tap.sqlite3"), "PYTHONPATH": str(REPOSITORY)}


@needs_terminal
@pytest.mark.parametrize(("words", "line"), RUNS.values(), ids=list(RUNS))
def test_a_run(backend: Backend, ready: dict[str, str], words: list[str], line: str) -> None:
    """The closing line is the last one, and is about this run's own proxy."""
    words = [word.replace("@CA", str(backend.ca_file)) for word in words]
    code, text = in_terminal("run", sys.executable, "-c", CLIENT, *words, **ready)
    assert code == 0, text
    (found,) = closing_lines(text)
    assert re.match(line, found)
    assert text.splitlines()[-1] == f"codex-tap: {found}"


@needs_terminal
def test_quiet_leaves_it_out(ready: dict[str, str]) -> None:
    for option in ("-q", "--quiet"):
        assert in_terminal("run", option, sys.executable, "-c", "exit(7)", **ready) == (7, "")


@needs_terminal
def test_the_exit_code_stays_the_commands(ready: dict[str, str]) -> None:
    code, text = in_terminal("run", sys.executable, "-c", "exit(7)", **ready)
    assert (code, len(closing_lines(text))) == (7, 1)


@needs_terminal
def test_a_proxy_that_died(ready: dict[str, str]) -> None:
    """The reason is told once, also where no closing line is."""
    code, text = in_terminal("run", sys.executable, "-c", DIE, **ready)
    assert (code, closing_lines(text)) == (0, ["nothing was read: the proxy ended (signal 9)"])
    code, text = in_terminal("run", "--quiet", sys.executable, "-c", DIE, **ready)
    (line,) = closing_lines(text)
    assert re.fullmatch(r"the proxy ended \(signal 9\)( and was started again)?", line)


@needs_terminal
def test_a_bypass_is_the_reason(backend: Backend, ready: dict[str, str]) -> None:
    """The bypass of the warning at the start is the reason at the end."""
    path = Path(ready["CODEX_HOME"]) / ".env"
    path.parent.mkdir()
    path.write_text(f"HTTPS_PROXY={backend.proxy_url}\n")
    _, text = in_terminal("run", sys.executable, "-c", "", **ready)
    warning, line = closing_lines(text)
    assert warning.startswith(f"{path} sets HTTPS_PROXY, ")
    assert line == f"nothing was read: the command bypassed the proxy because of HTTPS_PROXY in {path}"


@needs_terminal
def test_a_run_through_a_running_proxy(backend: Backend, ready: dict[str, str], tmp_path: Path) -> None:
    """The turns are those recorded during the run; without any there is no line."""
    path = tmp_path / "shared.sqlite3"
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        options = ["--proxy", proxy.proxy_url.removeprefix("http://"), "--ca", str(proxy.ca_file), "--db", str(path)]
        command = ["run", *options, sys.executable, "-c", CLIENT, str(proxy.ca_file)]
        turns, nothing = (in_terminal(*command, *asked, **ready) for asked in (["http_turn", "http_turn"], [USAGE]))
    assert (turns[0], nothing) == (0, (0, "")), turns
    (line,) = closing_lines(turns[1])
    assert re.match(rf"2 turns read · {FIVE}$", line)


@needs_terminal
def test_the_real_codex(codex: str, backend: Backend, tmp_path: Path) -> None:
    """One turn counts as one, although a warm-up precedes it."""
    backend.answer(answer(63, "plus", upgrade=101), account="acct-turn")
    log_in(tmp_path / "home", "acct-turn", "user-1")
    path = tmp_path / "tap.sqlite3"
    environ = run_environment(backend, tmp_path, path)
    code, text = in_terminal("run", codex, "exec", "--skip-git-repo-check", "say ok", **environ)
    assert code == 0, text
    (line,) = closing_lines(text)
    assert re.match("1 turn read · 5 h 63 % used, 37 % left, resets [^;]*", line)
    with contextlib.closing(open_reader(path)) as connection:
        warm_ups = connection.execute("SELECT warm_up FROM requests ORDER BY id").fetchall()
    assert [bool(each[0]) for each in warm_ups] == [True, False]
