"""`codex-tap guard` as a command that the real Codex runs for its agent."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, WireWindow, limit_headers
from tests.support.harness import REPOSITORY, Proxy, codex_environment, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend

ACCOUNT = "acct-agent"
NOW = int(time.time())


def told(used: float, **fields: Any) -> Answer:
    """A turn over HTTP that tells the used percent of a week."""
    return Answer(upgrade=426, headers=limit_headers(WireWindow(used, 10_080, NOW + 300_000), plan="plus"), **fields)


def shell_call(command: str) -> dict[str, Any]:
    """The event with which the model asks Codex to run a command."""
    name = secrets.token_hex(4)
    call = {"type": "function_call", "id": f"fc_{name}", "call_id": f"call_{name}", "name": "exec_command"}
    return {"type": "response.output_item.done", "item": {**call, "arguments": json.dumps({"cmd": command})}}


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell")
def test_an_agent_asks_for_its_own_thread(codex: str, backend: Backend, tmp_path: Path) -> None:
    """It gets what its own thread has used of the account of this Codex, and the exit code says so."""
    path, home = tmp_path / "tap.sqlite3", tmp_path / "home"
    log_in(home, ACCOUNT, "user-1", email="agent@example.com")
    (home / "config.toml").write_text('sandbox_mode = "danger-full-access"\napproval_policy = "never"\n', "utf-8")
    guard = [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "guard", "--db", str(path), "--budget", "3%/week"]
    asked = shlex.join(guard)
    ask = f"{asked} --json > {tmp_path}/json; {asked} > {tmp_path}/text; echo $? > {tmp_path}/code"
    commands = [
        f"{command}; touch {tmp_path}/ran-{n}; while [ ! -e {tmp_path}/go-{n} ]; do sleep 0.05; done"
        for n, command in enumerate(("true", ask))
    ]
    # A reading that comes with the start of a response does not count it yet.
    answers = [told(10, events=[shell_call(commands[0])]), told(14, events=[shell_call(commands[1])]), told(16)]

    def answer_step_by_step() -> None:
        for number, answer in enumerate(answers[1:]):
            wait_until((tmp_path / f"ran-{number}").exists, lambda: "the command did not run")
            backend.answer(answer, account=ACCOUNT)
            (tmp_path / f"go-{number}").touch()

    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        backend.answer(answers[0], account=ACCOUNT)
        helper = threading.Thread(target=answer_step_by_step, daemon=True)
        helper.start()
        turn = exec_turn(codex, home, "ask", codex_environment(proxy, home))
        helper.join(30)
        assert turn.returncode == 0, turn.stderr
        assert proxy.stop() == 0

    document = json.loads((tmp_path / "json").read_text("utf-8"))
    budget = document["budget"]
    (session,) = [line.split()[-1] for line in turn.stderr.splitlines() if line.startswith("session id: ")]
    assert (budget["scope"], budget["key"], budget["used"], budget["seen"]) == ("thread", session, 4, True)
    assert (document["answer"], document["selected_by"]) == ("below", "codex_home")
    assert (tmp_path / "code").read_text("utf-8") == "1\n"
    text = (tmp_path / "text").read_text("utf-8")
    assert text.startswith(f"below: agent@example.com (login of {home}), 86 % of 7 d left")
    assert f"budget: 4 of 3 % of the 7 d window used this week by thread {session[:8]}" in text
