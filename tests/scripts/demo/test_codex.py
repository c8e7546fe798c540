"""The real Codex CLI against the stand-in backend, through mitmdump."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from scripts.demo.backend import Backend
from scripts.demo.codex import app_server_rate_limits, exec_turn, log_in, session_rate_limits
from scripts.demo.replies import Answer, WireWindow, limit_headers, rate_limits_event, usage_document, usage_limit
from tests.support.demo import RESET_AT
from tests.support.harness import Proxy, codex_environment, require_codex

if TYPE_CHECKING:
    from pathlib import Path


def windows(rate_limits: dict[str, Any]) -> list[tuple[float, int, int] | None]:
    """Return the primary and the secondary window of limits that Codex stored."""
    found = [rate_limits["primary"], rate_limits["secondary"]]
    return [w and (w["used_percent"], w["window_minutes"], w["resets_at"]) for w in found]


def test_real_codex_over_websocket(backend: Backend, tmp_path: Path) -> None:
    """The real Codex takes a turn over the websocket through mitmdump, and stores the limits of a message."""
    codex, home = require_codex(), tmp_path / "codex"
    reset_at = int(time.time()) + 9000
    backend.answer(Answer(events=[rate_limits_event(WireWindow(7.5, 10080, reset_at))]), account="account-a")
    token = log_in(home, "account-a", "user-a")
    with Proxy(backend) as proxy:
        done = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
        assert proxy.stop() == 0
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr
    assert [windows(found) for found in session_rate_limits(home)] == [[(7.5, 10080, reset_at), None]]
    upgrade, *messages = [request for request in backend.requests if request.transport == "ws"]
    assert upgrade.headers["authorization"] == f"Bearer {token}"
    assert upgrade.headers["chatgpt-account-id"] == "account-a"
    assert [json.loads(message.body).get("generate") for message in messages] == [False, None]


def test_real_codex_over_http(http2: bool, tmp_path: Path) -> None:
    """Without the websocket the real Codex takes its turn over POST, and stores the limits of the headers."""
    codex, home = require_codex(), tmp_path / "codex"
    reset_at = int(time.time()) + 9000
    headers = limit_headers(WireWindow(13, 300, reset_at), WireWindow(44, 10080, reset_at + 1))
    log_in(home, "account-a", "user-a")
    with Backend(http2=http2) as backend, Proxy(backend) as proxy:
        backend.answer(Answer(upgrade=426, headers=headers))
        done = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
        (post,) = [request for request in backend.requests if request.path.endswith("/codex/responses")][1:]
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr
    expected = [(13.0, 300, reset_at), (44.0, 10080, reset_at + 1)]
    assert [windows(found) for found in session_rate_limits(home)] == [expected]
    assert (post.method, post.transport) == ("POST", "h2" if http2 else "h1")
    assert post.headers["content-encoding"] == "zstd"


def test_real_codex_app_server(backend: Backend, tmp_path: Path) -> None:
    """The real `codex app-server` reads the usage document through mitmdump."""
    codex, home = require_codex(), tmp_path / "codex"
    spark = usage_limit("GPT-5.3-Codex-Spark", "codex_bengalfox", WireWindow(3, 300, RESET_AT, 60))
    backend.answer(Answer(usage=usage_document(WireWindow(41, 10080, RESET_AT, 60), additional=[spark])))
    log_in(home, "account-a", "user-a")
    with Proxy(backend) as proxy:
        found = app_server_rate_limits(codex, home, codex_environment(proxy, home))["rateLimitsByLimitId"]
    used = {limit: figures["primary"]["usedPercent"] for limit, figures in found.items()}
    assert used == {"codex": 41, "codex_bengalfox": 3}
