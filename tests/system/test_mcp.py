"""`codex-tap mcp` in the real Codex: added by `codex mcp add`, asked by the model, with the skill beside it."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import zstandard

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, WireWindow, limit_headers
from tests.support.harness import REPOSITORY, Proxy, codex_environment, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend

ACCOUNT = "acct-agent"
NOW = int(time.time())
SKILL = REPOSITORY / "docs" / "skill" / "SKILL.md"
ASK = """\
const guard = tools.mcp__codex_tap__guard;
if (guard) { text(await guard({})); } else { await new Promise((done) => setTimeout(done, 1000)); text("not yet"); }
"""
"""Codex begins its turn before a server is there, so that the model asks again until it is."""


def script_call(script: str) -> dict[str, Any]:
    """Return the event with which the model asks Codex to run a script that calls tools."""
    name = secrets.token_hex(4)
    call = {"type": "custom_tool_call", "id": f"ctc_{name}", "call_id": f"call_{name}", "name": "exec"}
    return {"type": "response.output_item.done", "item": {**call, "status": "completed", "input": script}}


def asked(backend: Backend) -> list[dict[str, Any]]:
    """Return the documents of the turns over HTTP so far."""
    return [
        json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(request.body))
        for request in backend.requests
        if request.method == "POST" and request.path.endswith("/responses")
    ]


def guard_answers(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the tool answered so far: Codex hands it to the model with its next request."""
    outputs = [
        part["text"]
        for turn in turns
        for item in turn["input"]
        if item["type"] == "custom_tool_call_output"
        for part in item["output"]
    ]
    return [json.loads(text) for text in outputs if text.startswith("{")]


def test_the_agent_asks(codex: str, backend: Backend, tmp_path: Path) -> None:
    """It gets the figures of the account of this Codex, without being asked for approval, and knows when to ask."""
    path, home = tmp_path / "tap.sqlite3", tmp_path / "home"
    log_in(home, ACCOUNT, "user-1", email="agent@example.com")
    skill = home / "skills" / "codex-tap"
    skill.mkdir(parents=True)
    shutil.copy(SKILL, skill)
    told = limit_headers(WireWindow(95, 10_080, NOW + 300_000), plan="plus")
    ended = threading.Event()

    def answer_until_told() -> None:
        wait_until(lambda: bool(guard_answers(asked(backend))), lambda: "the model was not told", seconds=100)
        backend.answer(Answer(upgrade=426, headers=told), account=ACCOUNT)
        ended.set()

    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        environment = codex_environment(proxy, home)
        server = [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "mcp", "--db", str(path)]
        # Codex hands few variables on to its servers, and CODEX_HOME is none of them.
        add = [codex, "mcp", "add", "codex-tap", "--env", f"CODEX_HOME={home}", "--", *server]
        subprocess.run(add, env=environment, check=True, capture_output=True, timeout=60)
        backend.answer(Answer(upgrade=426, headers=told, events=[script_call(ASK)]), account=ACCOUNT)
        helper = threading.Thread(target=answer_until_told, daemon=True)
        helper.start()
        turn = exec_turn(codex, home, "ask", environment)
        helper.join(100)
        assert turn.returncode == 0, turn.stderr
        assert proxy.stop() == 0

    assert ended.is_set()
    assert "mcp: codex-tap/guard (completed)" in turn.stderr
    turns = asked(backend)
    result = guard_answers(turns)[-1]
    document = result["structuredContent"]
    assert (document["known"], document["chosen_by"], document["account"]) == (
        True,
        "codex_home",
        f"{ACCOUNT}/user-1",
    )
    assert (document["answer"], document["remaining_percent"]) == ("below", 5.0)
    assert result["content"][0]["text"].startswith("below: 5 % of 7 d left, resets in ")
    assert "agent@example.com" not in json.dumps(result)
    # The skill's description is what makes the model open it.
    (description,) = [line for line in SKILL.read_text("utf-8").splitlines() if line.startswith("description: ")]
    assert description.removeprefix("description: ") in json.dumps(turns[0], ensure_ascii=False)
