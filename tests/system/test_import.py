"""Session files of the real Codex, offline: what an import finds in them is what the tap saw on the wire."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import log_in
from scripts.demo.replies import Answer, WireWindow, credits_object, limit_headers, rate_limits_event, token_counts
from tests.support.factories import NOON
from tests.support.harness import REPOSITORY, Proxy, codex_environment
from tests.support.recorded_rows import rows

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend

CLI = [sys.executable, str(REPOSITORY / "scripts" / "cli.py")]
PROMPT = "PROMPT-THAT-NOBODY-KEEPS"
UPGRADE = {"websocket": 101, "http": 426}

SAME = (
    *("account_id", "user_id", "thread", "session", "parent_thread", "subagent", "client", "model", "tier"),
    *("limit_id", "response_id", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"),
    *("reasoning_tokens",),
)
TURNS = (
    f"SELECT {', '.join(SAME)}, reasoning_effort, started_at, ended_at, imported FROM requests r"  # noqa: S608 (constants)
    " JOIN accounts a ON a.id = r.account WHERE NOT warm_up ORDER BY ended_at"
)


class Sessions:
    """Turns of the real Codex in one home, each with tokens and limits of its own."""

    def __init__(self, codex: str, backend: Backend, home: Path, account: str, upgrade: int) -> None:
        self._codex, self._backend, self.home, self._account = codex, backend, home, account
        self._upgrade = upgrade
        self._number = 0
        log_in(home, account, "user-1")
        self.work = home / "work"
        self.work.mkdir()
        (self.work / "a.txt").write_text("a change to review\n")
        subprocess.run(["git", "init", "--quiet", "."], cwd=self.work, check=True)  # noqa: S607 (the one in the PATH)

    def run(self, proxy: Proxy, *words: str) -> None:
        """Run Codex once."""
        self._number += 1
        week = WireWindow(20 + self._number, 10_080, int(NOON) + 300_000 + 10**7, 300_000)
        tokens = token_counts(1_000 + self._number, 800, 50 + self._number, 20)
        tokens["input_tokens_details"]["cache_write_tokens"] = 7
        self._backend.answer(
            Answer(
                upgrade=self._upgrade,
                headers=limit_headers(week, plan="plus", active="premium", credits=credits_object()),
                events=[rate_limits_event(week, plan="plus")] if self._upgrade == UPGRADE["websocket"] else [],
                tokens=tokens,
                text="RESPONSE-THAT-NOBODY-KEEPS",
            ),
            account=self._account,
        )
        environment = {**codex_environment(proxy, self.home), "CODEX_HOME": str(self.home)}
        done = subprocess.run(
            [self._codex, *words],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    def threads(self) -> list[str]:
        """Return the threads in the order of their files' names."""
        return [path.stem[-36:] for path in sorted(self.home.rglob("rollout-*"), key=lambda path: path.name)]

    def all_kinds(self, proxy: Proxy) -> None:
        """Take a turn, go on with it, fork it, review, and archive the first thread."""
        self.run(proxy, "exec", "-c", "model_reasoning_effort=high", "-c", "service_tier=fast", PROMPT)
        (first,) = self.threads()
        self.run(proxy, "exec", "resume", first, PROMPT)
        self.run(proxy, "exec", "fork", first, PROMPT)
        self.run(proxy, "exec", "review", "--uncommitted")
        self.run(proxy, "archive", first)


def imported(path: Path, home: Path, *words: str) -> dict[str, Any]:
    command = [*CLI, "import", "--codex-home", str(home), "--db", str(path), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("transport", UPGRADE)
def test_an_import_finds_what_the_tap_saw(codex: str, backend: Backend, tmp_path: Path, transport: str) -> None:
    """Of every kind of session, turn by turn and reading by reading; beside the tap's own rows each counts once."""
    taps, files, home = tmp_path / "tap.sqlite3", tmp_path / "files.sqlite3", tmp_path / "home"
    account = f"acct-import-{transport}"
    sessions = Sessions(codex, backend, home, account, UPGRADE[transport])
    with Proxy(backend, database=taps, arguments=["-q"]) as proxy:
        sessions.all_kinds(proxy)
        assert proxy.stop() == 0
    before = rows(taps, TURNS)

    assert len(before) == 4
    assert (imported(files, home)["new_turns"], imported(files, home)["new_turns"]) == (4, 0)
    found = rows(files, TURNS)
    assert [[row[name] for name in SAME] for row in found] == [[row[name] for name in SAME] for row in before]
    assert [row["reasoning_effort"] for row in found[:1]] == ["high"]
    for theirs, ours in zip(found, before, strict=True):
        assert abs(theirs["ended_at"] - ours["ended_at"]) < 5
        assert theirs["started_at"] <= theirs["ended_at"]
    told = rows(files, "SELECT used_7d_percent FROM imported_limits ORDER BY first_seen_at")
    assert [row["used_7d_percent"] for row in told] == [21, 22, 23, 24]

    known = imported(taps, home)
    assert (known["new_turns"], known["known_turns"]) == (0, 4)
    assert rows(taps, TURNS) == before
    content = b"".join(each.read_bytes() for each in tmp_path.glob("*.sqlite3*"))
    for private in (PROMPT, "RESPONSE-THAT-NOBODY-KEEPS", str(sessions.work)):
        assert private.encode() not in content


def test_an_import_while_codex_is_recorded(codex: str, backend: Backend, tmp_path: Path) -> None:
    """Turns from before the tap are imported, and those that it records meanwhile stay its own."""
    taps, home = tmp_path / "tap.sqlite3", tmp_path / "home"
    sessions = Sessions(codex, backend, home, "acct-import-live", UPGRADE["http"])
    with Proxy(backend, database=tmp_path / "other.sqlite3", arguments=["-q"]) as elsewhere:
        sessions.run(elsewhere, "exec", PROMPT)
        assert elsewhere.stop() == 0
    (first,) = sessions.threads()
    with Proxy(backend, database=taps, arguments=["-q"]) as proxy:
        sessions.run(proxy, "exec", "resume", first, PROMPT)
        imported(taps, home)
        sessions.run(proxy, "exec", "resume", first, PROMPT)
        imported(taps, home)
        assert proxy.stop() == 0
    imported(taps, home)
    found = rows(taps, TURNS)
    assert [(row["input_tokens"], row["imported"]) for row in found] == [(1_001, 1), (1_002, 0), (1_003, 0)]


def test_turns_of_an_older_tap(codex: str, backend: Backend, tmp_path: Path) -> None:
    """Rows without the id of their response are found by their tokens and time."""
    taps, home = tmp_path / "tap.sqlite3", tmp_path / "home"
    sessions = Sessions(codex, backend, home, "acct-import-older", UPGRADE["http"])
    with Proxy(backend, database=taps, arguments=["-q"]) as proxy:
        sessions.all_kinds(proxy)
        assert proxy.stop() == 0
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(taps)) as connection, connection:
        connection.execute("UPDATE requests SET response_id = NULL")
    document = imported(taps, home)
    assert (document["new_turns"], document["known_turns"]) == (0, 4)
