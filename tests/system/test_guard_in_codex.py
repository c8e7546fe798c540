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
from scripts.demo.replies import Answer, Pause, WireWindow, limit_headers
from tests.support.harness import REPOSITORY, Proxy, codex_environment, wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from scripts.demo.backend import Backend

ACCOUNT = "acct-agent"
NOW = int(time.time())


def told(used: float, **fields: Any) -> Answer:
    """A turn over HTTP that tells the used percent of a week."""
    return Answer(upgrade=426, headers=limit_headers(WireWindow(used, 10_080, NOW + 300_000), plan="plus"), **fields)


def call(name: str, arguments: dict[str, str], **fields: str) -> dict[str, Any]:
    """The event with which the model calls one of Codex's tools."""
    call_id = secrets.token_hex(4)
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": f"call_{call_id}", "name": name, **fields}
    return {"type": "response.output_item.done", "item": {**item, "arguments": json.dumps(arguments)}}


def shell_call(command: str) -> dict[str, Any]:
    """The event with which the model asks Codex to run a command."""
    return call("exec_command", {"cmd": command})


def logged_in(home: Path) -> Path:
    """Make a CODEX_HOME whose agent may run any command."""
    log_in(home, ACCOUNT, "user-1", email="agent@example.com")
    (home / "config.toml").write_text('sandbox_mode = "danger-full-access"\napproval_policy = "never"\n', "utf-8")
    return home


def guard(path: Path) -> str:
    """The command of the agent."""
    program = [sys.executable, str(REPOSITORY / "scripts" / "cli.py")]
    return shlex.join([*program, "guard", "--db", str(path), "--budget", "3%/week"])


def session_id(turn: subprocess.CompletedProcess[str]) -> str:
    (found,) = [line.split()[-1] for line in turn.stderr.splitlines() if line.startswith("session id: ")]
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell")
def test_an_agent_asks_for_its_own_thread(codex: str, backend: Backend, tmp_path: Path) -> None:
    """It gets what its own thread has used of the account of this Codex, and the exit code says so."""
    path, home = tmp_path / "tap.sqlite3", logged_in(tmp_path / "home")
    ask = f"{guard(path)} --json > {tmp_path}/json; {guard(path)} > {tmp_path}/text; echo $? > {tmp_path}/code"
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
    budget, session = document["budget"], session_id(turn)
    assert (budget["scope"], budget["key"], budget["used"], budget["seen"]) == ("thread", session, 4, True)
    assert (document["answer"], document["selected_by"]) == ("below", "codex_home")
    assert (tmp_path / "code").read_text("utf-8") == "1\n"
    text = (tmp_path / "text").read_text("utf-8")
    assert text.startswith(f"below: agent@example.com (login of {home}), 86 % of 7 d left")
    assert f"budget: 4 of 3 % of the 7 d window used this week by thread {session[:8]}" in text


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell")
def test_a_sub_agent_asks_for_its_session(codex: str, backend: Backend, tmp_path: Path) -> None:
    """It gets what the session has used that started it, as the session itself does."""
    path, home, done = tmp_path / "tap.sqlite3", logged_in(tmp_path / "home"), tmp_path / "done"
    replies = tmp_path / "replies"
    replies.mkdir()
    command = (
        f"{guard(path)} --json > {tmp_path}/$CODEX_THREAD_ID; mv {tmp_path}/$CODEX_THREAD_ID {replies};"
        f" while [ ! -e {done} ]; do sleep 0.05; done"
    )
    before = len(backend.requests)

    def turns() -> int:
        asked = [request for request in backend.requests[before:] if request.method == "POST"]
        return sum(request.path.endswith("/responses") for request in asked)

    def answer_step_by_step() -> None:
        wait_until(lambda: turns() > 0, lambda: "there was no turn")
        backend.answer(told(14, events=[shell_call(command)]), account=ACCOUNT)
        wait_until(lambda: len(list(replies.iterdir())) == 2, lambda: "not both of them asked")
        backend.answer(told(16), account=ACCOUNT)
        done.touch()

    spawn = call("spawn_agent", {"task_name": "child", "message": "ask as well"}, namespace="collaboration")
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        # The pause is for the next answer: both agents request it as soon as the second one is there.
        backend.answer(told(10, events=[Pause(2), spawn]), account=ACCOUNT)
        helper = threading.Thread(target=answer_step_by_step, daemon=True)
        helper.start()
        turn = exec_turn(codex, home, "ask", codex_environment(proxy, home))
        helper.join(30)
        assert turn.returncode == 0, turn.stderr
        assert proxy.stop() == 0

    found = {reply.name: json.loads(reply.read_text("utf-8"))["budget"] for reply in replies.iterdir()}
    assert len(found) == 2
    assert {(each["scope"], each["key"], each["seen"]) for each in found.values()} == {
        ("thread", session_id(turn), True)
    }
