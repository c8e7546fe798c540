"""The real Codex CLI through a real, unpatched mitmdump with the tap, offline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.answers import Answer, Pause, WireWindow, credits_object, limit_headers, rate_limits_event
from scripts.demo.codex import exec_turn, session_rate_limits
from tests.harness import REPOSITORY, Proxy, codex_environment, log_in, wait_until

if TYPE_CHECKING:
    from scripts.demo.backend import Backend

CLI = REPOSITORY / "scripts" / "cli.py"
PREFIX = b"eyJhbGciOiJSUzI1NiIs"
UPGRADE = {"websocket": 101, "http": 426}
NOW = int(time.time())


def status(path: Path) -> dict[str, Any]:
    """What ``codex-tap status --json`` says."""
    command = [sys.executable, str(CLI), "status", "--json", "--db", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode in {0, 3}, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def account_status(path: Path, account_id: str) -> dict[str, Any]:
    (found,) = [each for each in status(path)["accounts"] if each["account"].startswith(f"{account_id}/")]
    return dict(found)


def figures(windows: dict[str, Any]) -> dict[str, tuple[float, int, int]]:
    """Used percent, minutes and reset of each window that there is, whatever its place is called."""
    return {
        str(found["window_minutes"]): (found["used_percent"], found["window_minutes"], found["resets_at"])
        for found in windows.values()
        if found
    }


def answer(used: float, plan: str, *, upgrade: int) -> Answer:
    """A turn that tells its figures in its headers and, on the websocket, in a message too.

    Codex does not look at the headers of an upgrade, so its session file knows only what a message tells.
    """
    five = WireWindow(used, 300, NOW + 9_000, NOW + 9_000 - int(time.time()))
    seven = WireWindow(used / 2, 10_080, NOW + 300_000, NOW + 300_000 - int(time.time()))
    return Answer(
        upgrade=upgrade,
        headers=limit_headers(five, seven, plan=plan, active="premium", credits=credits_object()),
        events=[rate_limits_event(five, seven, plan=plan)] if upgrade == UPGRADE["websocket"] else [],
    )


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "with-mitmdumps-own-dumper"])
@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_two_accounts(codex: str, backend: Backend, tmp_path: Path, transport: str, quiet: bool) -> None:
    """What the tap says of each account is what the stand-in sent it and what Codex itself wrote down."""
    path = tmp_path / "tap.sqlite3"
    told = {"acct-plus": (13.0, "plus"), "acct-pro": (62.0, "pro")}
    with Proxy(backend, database=path, arguments=["-q"] if quiet else []) as proxy:
        for account_id, (used, plan) in told.items():
            backend.answer(answer(used, plan, upgrade=UPGRADE[transport]), account=account_id)
            home = tmp_path / account_id
            log_in(home, account_id, "user-1", email=f"{plan}@example.com", plan=plan)
            turn = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
            assert (turn.returncode, turn.stdout.strip()) == (0, "ok"), turn.stderr
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.output()

    assert any(asked.transport == ("ws" if transport == "websocket" else "h2") for asked in backend.requests)
    for account_id, (used, plan) in told.items():
        found = account_status(path, account_id)
        assert (found["email"], found["plan_type"]) == (f"{plan}@example.com", plan)
        (limit,) = found["limits"]
        assert (limit["limit_id"], limit["model"]) == ("codex", "gpt-6.1-sol")
        assert figures(limit["windows"]) == {
            "300": (used, 300, NOW + 9_000),
            "10080": (used / 2, 10_080, NOW + 300_000),
        }
        written = session_rate_limits(tmp_path / account_id)[-1]
        assert written["limit_id"] == limit["limit_id"]
        assert figures({place: written[place] for place in ("primary", "secondary")}) == figures(limit["windows"])


def test_no_secret_is_kept(codex: str, backend: Backend, tmp_path: Path) -> None:
    """Neither token nor prompt nor answer is in the database, its companions or the log, whole or in part."""
    folder = tmp_path / "data"
    path = folder / "tap.sqlite3"
    prompt, reply = "the-marked-prompt-of-this-test", "the-marked-answer-of-this-test"
    for upgrade in UPGRADE.values():
        backend.answer(replace(answer(13, "plus", upgrade=upgrade), text=reply))
        home = tmp_path / f"home-{upgrade}"
        token = log_in(home, "acct-secret", "user-1").encode()
        with Proxy(backend, database=path) as proxy:
            turn = exec_turn(codex, home, f"say {prompt}", codex_environment(proxy, home))
            assert reply in turn.stdout
            # Killed, so that the write-ahead log is still there to be searched.
            wait_for_rows(path)
            proxy.kill()
            written = {found.name: found.read_bytes() for found in folder.iterdir()} | {"log": proxy.output().encode()}

        assert {"tap.sqlite3", "tap.sqlite3-wal"} <= written.keys()
        assert any(PREFIX in content for content in written.values())
        parts = [token[start : start + 12] for start in range(len(PREFIX), len(token) - 12)]
        for name, content in written.items():
            assert not [part for part in parts if part in content], name
            assert prompt.encode() not in content, name
            assert reply.encode() not in content, name


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by Linux's /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sent: sent.name)
def test_no_process_is_left(codex: str, backend: Backend, tmp_path: Path, sent: signal.Signals) -> None:
    """However ``codex-tap run`` ends, the proxy, Codex and what Codex started end with it, and its readings stay."""
    path = tmp_path / "tap.sqlite3"
    told = answer(13, "plus", upgrade=101)
    backend.answer(replace(told, events=[*told.events, Pause(60)]), account="acct-ended")
    log_in(tmp_path / "home", "acct-ended", "user-1")
    environment = run_environment(backend, tmp_path, path)
    command = [sys.executable, str(CLI), "run", codex, "exec", "--skip-git-repo-check", "say ok"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        wait_for_rows(path)
        assert len(processes_with(str(tmp_path))) >= 3
        run.send_signal(sent)
        run.wait(30)
        wait_until(lambda: not processes_with(str(tmp_path)), lambda: f"left behind: {processes_with(str(tmp_path))}")

    (limit,) = account_status(path, "acct-ended")["limits"]
    assert limit["windows"]["5h"]["used_percent"] == 13.0


def run_environment(backend: Backend, folder: Path, path: Path) -> dict[str, str]:
    """A user's environment in which the way out is the stand-in, as behind a corporate proxy with its own CA."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in {"no_proxy", "all_proxy"}}
    return {
        **kept,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "CODEX_HOME": str(folder / "home"),
        "CODEX_TAP_DB": str(path),
        "HTTPS_PROXY": backend.proxy_url,
        "SSL_CERT_FILE": str(backend.ca_file),
    }


def processes_with(marker: str) -> dict[int, str]:
    """The processes in whose environment a text occurs, and what they are."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at.
        with contextlib.suppress(OSError):
            if marker.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80]
    return found


def wait_for_rows(path: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and status(path)["accounts"]:
            return
        time.sleep(0.05)
    pytest.fail("nothing was recorded")
