"""Turns under way, from a real proxy to the screen of `codex-tap top`."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, Pause, WireWindow, limit_headers
from scripts.demo.transport import InterruptedTurnError
from store.files import turns_files
from store.turns_under_way import STALE_SECONDS, load_turns
from tests.support.command_line import started
from tests.support.harness import Proxy, codex_environment, connected, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend
    from scripts.demo.client import CodexClient

WINDOW = WireWindow(13, 300, time.time() + 9_000)


def waiting_turn(client: CodexClient, *, over_http: bool) -> threading.Thread:
    """Start a turn that the backend does not answer for a while."""

    def run() -> None:
        with suppress(InterruptedTurnError, OSError):
            client.http_turn("wait") if over_http else client.websocket_turn("wait")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("over_http", [False, True], ids=["websocket", "http"])
def test_a_turn_is_shown_while_it_runs(backend: Backend, tmp_path: Path, over_http: bool) -> None:
    """It is listed after a second, and gone with its end."""
    path = tmp_path / "tap.sqlite3"
    backend.answer(Answer(headers=limit_headers(WINDOW, plan="plus"), events=[Pause(8)]))
    with Proxy(backend, database=path) as proxy, connected(proxy, backend, "acct-1") as client:
        thread = waiting_turn(client, over_http=over_http)
        wait_until(lambda: bool(load_turns(path, time.time())), lambda: "no turn is reported")
        (turn,) = load_turns(path, time.time())
        assert turn.account == "acct-1/user-of-acct-1"
        assert time.time() - turn.started_at < 60
        wait_until(lambda: path.exists() and "Turns under way\n" in started("top", "--db", path).stdout, lambda: "")
        thread.join()
        wait_until(lambda: turns_files(path) == [], lambda: "the turn is still reported")
        assert "Turns under way · none" in started("top", "--db", path).stdout


def test_a_killed_proxy_leaves_no_turn(backend: Backend, tmp_path: Path) -> None:
    """Its file counts as none after a while, and the next proxy deletes it."""
    path = tmp_path / "tap.sqlite3"
    backend.answer(Answer(events=[Pause(60)]))
    with Proxy(backend, database=path) as proxy, connected(proxy, backend, "acct-1") as client:
        thread = waiting_turn(client, over_http=False)
        wait_until(lambda: bool(load_turns(path, time.time())), lambda: "no turn is reported")
        proxy.process.kill()
        thread.join()
    (left,) = turns_files(path)
    assert load_turns(path, time.time() + STALE_SECONDS) == []
    os.utime(left, (time.time() - STALE_SECONDS - 1,) * 2)
    with Proxy(backend, database=path):
        wait_until(lambda: not left.exists(), lambda: "the file of the killed proxy is still there")


def test_a_turn_of_codex_is_called_by_its_title(codex: str, backend: Backend, tmp_path: Path) -> None:
    """While the real Codex waits, the screen has its thread by the words that it began with."""
    path, home = tmp_path / "tap.sqlite3", tmp_path / "codex"
    backend.answer(Answer(headers=limit_headers(WINDOW, plan="plus"), events=[Pause(12)]), account="acct-1")
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        environment = codex_environment(proxy, home)
        log_in(home, "acct-1", "user-1")
        thread = threading.Thread(target=exec_turn, args=(codex, home, "mend the checkout", environment))
        thread.start()
        try:
            wait_until(
                lambda: bool(load_turns(path, time.time())) and "mend the checkout" in shown(path, environment),
                lambda: shown(path, environment),
            )
        finally:
            thread.join()
        wait_until(lambda: "Turns under way · none" in shown(path, environment), lambda: shown(path, environment))
        assert "mend the checkout" in shown(path, environment).partition("Used today")[2]


def shown(path: Path, environment: dict[str, str]) -> str:
    """Return what `codex-tap top` prints in a pipe."""
    return started("top", "--db", path, env=environment).stdout
