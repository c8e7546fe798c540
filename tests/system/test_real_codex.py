"""The real Codex CLI through a real, unpatched mitmdump with the tap, offline."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import exec_turn, log_in, session_rate_limits
from scripts.demo.replies import (
    Answer,
    Pause,
    WireWindow,
    credits_object,
    error_body,
    error_event,
    limit_headers,
    rate_limits_event,
    token_counts,
)
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.usage import load_usage
from tests.support.harness import REPOSITORY, Proxy, codex_environment, processes_with, wait_until
from tests.support.prices import PriceTable

if TYPE_CHECKING:
    from scripts.demo.backend import Backend

CLI = REPOSITORY / "scripts" / "cli.py"
PREFIX = b"eyJhbGciOiJSUzI1NiIs"
UPGRADE = {"websocket": 101, "http": 426}
NOW = int(time.time())


def status(path: Path) -> dict[str, Any]:
    """Return the document of ``codex-tap status --json``."""
    command = [sys.executable, str(CLI), "status", "--json", "--db", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode in {0, 3}, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def account_status(path: Path, account_id: str) -> dict[str, Any]:
    (found,) = [each for each in status(path)["accounts"] if each["account"].startswith(f"{account_id}/")]
    return dict(found)


def figures(windows: dict[str, Any]) -> dict[str, tuple[float, int, int]]:
    """Return used percent, minutes and reset of each window, by its minutes."""
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
    """The tap reports of each account what the stand-in sent and what Codex itself logged."""
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


@pytest.mark.parametrize("transport", UPGRADE)
def test_turns_and_what_they_used(codex: str, backend: Backend, tmp_path: Path, transport: str) -> None:
    """Each turn of several threads and accounts is a row with its tokens, and what they used adds up to the rise."""
    path = tmp_path / "tap.sqlite3"
    asked = {"acct-one": (1_000, 50), "acct-two": (3_000, 200)}
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        for account_id, (inputs, outputs) in asked.items():
            home = tmp_path / account_id
            log_in(home, account_id, "user-1", email=f"{account_id}@example.com", plan="plus")
            for number in range(3):
                told = answer(10 + 4 * number, "plus", upgrade=UPGRADE[transport])
                backend.answer(replace(told, tokens=token_counts(inputs, 800, outputs, 20)), account=account_id)
                turn = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
                assert turn.returncode == 0, turn.stderr
        assert proxy.stop() == 0

    with contextlib.closing(open_reader(path)) as connection:
        turns = connection.execute(
            "SELECT account_id, transport, thread, model, input_tokens, cached_tokens, output_tokens, reasoning_tokens,"
            " started_at <= first_byte_at AND first_byte_at <= ended_at AS in_order FROM requests r"
            " JOIN accounts a ON a.id = r.account WHERE NOT warm_up ORDER BY r.id"
        ).fetchall()
        warm_ups = connection.execute("SELECT input_tokens FROM requests WHERE warm_up").fetchall()
        accounts = load_accounts(connection)
        document = load_usage(connection, time.time(), accounts=accounts, since=NOW - 60, prices=PriceTable())
    threads = {turn["thread"] for turn in turns}
    assert (len(turns), len(threads)) == (6, 6)
    assert [tuple(warm_up) for warm_up in warm_ups] == ([(0,)] * 6 if transport == "websocket" else [])
    for turn in turns:
        inputs, outputs = asked[turn["account_id"]]
        assert tuple(turn)[3:] == ("gpt-6.1-sol", inputs, 800, outputs, 20, 1)
        assert turn["transport"] == transport

    # Three turns of each account, at 2 dollars per million input tokens, 0.10 for cached ones, and 10 for output.
    dollars = sum(3 * ((inputs - 800) * 2 + 800 * 0.1 + outputs * 10) for inputs, outputs in asked.values()) / 1e6
    assert math.isclose(document["total"]["api_value_usd"] or 0, dollars)
    assert document["not_priced"] == []

    # The 7d window rises by two points a turn, and each answer tells it as it was before its own turn.
    assert math.isclose(sum(row["points"] for row in document["rows"]), 8.0, abs_tol=1e-9)
    assert {row["key"] for row in document["rows"] if row["points"]} <= threads
    assert len([row for row in document["rows"] if row["points"]]) == 4


DETAILS = (
    "thread",
    "session",
    "model",
    "response_model",
    "reasoning_effort",
    "tier",
    "subagent",
    "parent_thread",
    "client",
)


@pytest.mark.parametrize("transport", UPGRADE)
def test_what_a_turn_says_of_itself(codex: str, backend: Backend, tmp_path: Path, transport: str) -> None:
    """Effort and Fast mode as they were asked for, and a review as the sub-agent of the thread that started it."""
    path, home = tmp_path / "tap.sqlite3", tmp_path / "home"
    log_in(home, "acct-details", "user-1")
    work = home / "work"
    work.mkdir()
    (work / "a.txt").write_text("a change to review\n")
    subprocess.run(["git", "init", "--quiet", "."], cwd=work, check=True)  # noqa: S607 (the one in the PATH)
    backend.answer(answer(13, "plus", upgrade=UPGRADE[transport]), account="acct-details")
    fast = ["-c", "model_reasoning_effort=high", "-c", "service_tier=fast", "--skip-git-repo-check", "say ok"]
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        environment = {**codex_environment(proxy, home), "CODEX_HOME": str(home)}
        for words in (fast, ["review", "--uncommitted"]):
            command = [codex, "exec", *words]
            done = subprocess.run(
                command,
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
        assert proxy.stop() == 0

    with contextlib.closing(open_reader(path)) as connection:
        query = f"SELECT {', '.join(DETAILS)} FROM requests WHERE NOT warm_up ORDER BY id"  # noqa: S608 (our own columns)
        found = [dict(row) for row in connection.execute(query)]
        warm_ups = connection.execute("SELECT thread, session FROM requests WHERE warm_up ORDER BY id").fetchall()
    asked, reviewed = found
    assert asked["thread"] == asked["session"]
    assert (asked["reasoning_effort"], asked["tier"], asked["subagent"], asked["parent_thread"]) == (
        *("high", "priority"),
        *(None, None),
    )
    assert (reviewed["tier"], reviewed["subagent"]) == (None, "review")
    assert reviewed["parent_thread"] == reviewed["session"] != reviewed["thread"]
    assert reviewed["parent_thread"] in {row["thread"] for row in warm_ups} or transport == "http"
    assert {(each["model"], each["client"]) for each in found} == {("gpt-6.1-sol", "codex_exec")}
    assert str(work).encode() not in b"".join(each.read_bytes() for each in tmp_path.glob("tap.sqlite3*"))


def wait_for_state(path: Path, state: str) -> dict[str, Any]:
    """Return the one limit of the one account, once it is in a state."""

    def found() -> list[dict[str, Any]]:
        return [limit for account in status(path)["accounts"] for limit in account["limits"]]

    wait_until(lambda: [limit["state"] for limit in found()] == [state], lambda: str(found()))
    return found()[0]


def said(path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the document of a command."""
    command = [sys.executable, str(CLI), *words, "--json", "--db", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return found.returncode, json.loads(found.stdout)


@pytest.mark.parametrize("transport", UPGRADE)
def test_refused_and_then_carried_by_credits(codex: str, backend: Backend, tmp_path: Path, transport: str) -> None:
    """A refusal after "allowed" closes the limit; a turn that completes on credits ends it, whatever else is said."""
    path, home, until = tmp_path / "tap.sqlite3", tmp_path / "home", int(time.time()) + 345_600
    free, full = WireWindow(25, 10_080, until), WireWindow(100, 300, NOW + 9_000)
    money = credits_object(has=True, balance="12.5")
    over_http = transport == "http"
    allowed = rate_limits_event(free, plan="pro")
    refused = Answer(
        upgrade=UPGRADE[transport],
        status=429 if over_http else 200,
        headers=limit_headers(free, plan="pro"),
        body=error_body(plan="pro", resets_at=until, resets_in=345_600) if over_http else {},
        events=[] if over_http else [allowed, error_event(plan="pro", resets_at=until, resets_in=345_600)],
        completes=False,
    )
    used_up = rate_limits_event(full, plan="pro", allowed=False, limit_reached=True, credits=money)
    carried = Answer(
        upgrade=UPGRADE[transport],
        headers=limit_headers(full, plan="pro", credits=money) if over_http else {},
        events=[used_up],
    )
    log_in(home, "acct-pro", "user-1", email="pro@example.com", plan="pro")
    states: list[tuple[object, ...]] = []
    with Proxy(backend, database=path, arguments=["-q"]) as proxy:
        for told, state in ((refused, "refused"), (carried, "on_credits")):
            backend.answer(told, account="acct-pro")
            exec_turn(codex, home, "say ok", codex_environment(proxy, home))
            limit = wait_for_state(path, state)
            code, verdict = said(path, "guard")
            _, ranked = said(path, "next", "--credits", "all")
            states.append((limit["state"], limit["state_until"], limit["blocked_by"], code, verdict["blocked_by"]))
            states.append((ranked["ranking"][0]["usage"],))

    assert states == [
        ("refused", until, "limit", 1, "limit"),
        ("blocked",),
        ("on_credits", NOW + 9_000, None, 0, None),
        ("credits",),
    ]


@pytest.mark.parametrize("transport", UPGRADE)
def test_no_secret_is_kept(codex: str, backend: Backend, tmp_path: Path, transport: str) -> None:
    """No token, cookie, prompt, answer, path or git URL is in any file, the log or the list of processes."""
    secrets = {kind: f"the-marked-{kind}-of-this-test" for kind in ("prompt", "answer", "cookie", "path", "remote")}
    path = tmp_path / "kept" / "tap.sqlite3"
    told = answer(13, "plus", upgrade=UPGRADE[transport])
    assert isinstance(told.headers, dict)
    headers = {**told.headers, "set-cookie": f"session={secrets['cookie']}; Path=/; Secure"}
    events = [*told.events, Pause(1)]  # time to look while the proxy is at work
    backend.answer(replace(told, headers=headers, events=events, text=secrets["answer"]), account="acct-secret")
    token = log_in(tmp_path / "home", "acct-secret", "user-1")
    refresh_token = json.loads((tmp_path / "home" / "auth.json").read_text())["tokens"]["refresh_token"]
    workspace = make_repository(tmp_path / "home" / secrets["path"], f"https://git.example/{secrets['remote']}.git")

    command = [sys.executable, str(CLI), "run", codex, "exec", "--skip-git-repo-check", f"say {secrets['prompt']}"]
    with subprocess.Popen(
        command,
        cwd=workspace,
        env=run_environment(backend, tmp_path, path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        wait_for_rows(path)
        written = files_but(tmp_path, tmp_path / "home") | processes_of_the_proxy(str(tmp_path))
        output, log = run.communicate(timeout=60)
    written |= {f"{name}, afterwards": content for name, content in files_but(tmp_path, tmp_path / "home").items()}
    written["log"] = b"\n".join(line for line in log.splitlines() if line.startswith(b"codex-tap"))

    assert secrets["answer"] in output.decode(), log.decode()
    sent = "".join(f"{asked.headers} {asked.body!r}" for asked in backend.requests)
    assert [kind for kind in ("path", "remote") if secrets[kind] not in sent] == [], "Codex did not send it"
    assert token in sent
    assert {path.name, f"{path.name}-wal"} <= {Path(name).name for name in written}
    assert any(PREFIX in content for content in written.values())
    beyond = token.encode()[len(PREFIX) :]
    parts = [beyond[start : start + 12] for start in range(len(beyond) - 12)]
    for name, content in written.items():
        assert not [part for part in parts if part in content], name
        assert not [kind for kind, secret in secrets.items() if secret.encode() in content], name
        assert refresh_token.encode() not in content, name


def make_repository(folder: Path, remote: str) -> Path:
    """Create a git repository that Codex reports to the backend: it has a remote and a commit."""
    if shutil.which("git") is None:
        pytest.skip("git tells Codex of the repository")
    folder.mkdir(parents=True)
    someone = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
    for words in (["init", "-q"], ["remote", "add", "origin", remote], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *someone, *words], cwd=folder, check=True)  # noqa: S607 (it is where PATH has it)
    return folder


def files_but(folder: Path, left_out: Path) -> dict[str, bytes]:
    """Return the content of all files in a folder except those of Codex itself."""
    return {
        str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file() and left_out not in each.parents
    }


def processes_of_the_proxy(marker: str) -> dict[str, bytes]:
    """The command line and the environment of the proxy with this in its environment, where /proc tells of them."""
    if not Path("/proc/self/environ").exists():
        return {}
    found = {}
    for pid, command in processes_with(marker).items():
        if "mitmdump" in command:
            for name in ("cmdline", "environ"):
                found[f"{name} of the proxy"] = Path(f"/proc/{pid}/{name}").read_bytes()
    assert len(found) == 2
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by Linux's /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sent: sent.name)
def test_no_process_is_left(codex: str, backend: Backend, tmp_path: Path, sent: signal.Signals) -> None:
    """However ``codex-tap run`` ends, the proxy, Codex and what Codex started end with it, and its readings stay."""
    path = tmp_path / "tap.sqlite3"
    told = answer(13, "plus", upgrade=101)
    account = f"acct-ended-{sent.name.lower()}"
    backend.answer(replace(told, events=[*told.events, Pause(60)]), account=account)
    log_in(tmp_path / "home", account, "user-1")
    environment = run_environment(backend, tmp_path, path)
    command = [sys.executable, str(CLI), "run", codex, "exec", "--skip-git-repo-check", "say ok"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        wait_until(lambda: has_asked(backend, account), lambda: "no turn")  # Codex heeds no interrupt before one
        wait_for_rows(path)
        assert len(processes_with(str(tmp_path))) >= 3
        run.send_signal(sent)
        run.wait(30)
        wait_until(lambda: not processes_with(str(tmp_path)), lambda: f"left behind: {processes_with(str(tmp_path))}")

    (limit,) = account_status(path, account)["limits"]
    assert limit["windows"]["5h"]["used_percent"] == 13.0


def run_environment(backend: Backend, folder: Path, path: Path) -> dict[str, str]:
    """Return a user's environment whose upstream proxy is the stand-in, like a corporate proxy with its own CA."""
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


def has_asked(backend: Backend, account: str) -> bool:
    """Return True if a turn of an account, which is no warm-up, has arrived at the stand-in over a websocket."""
    return any(
        each.method == "MESSAGE"
        and each.headers.get("chatgpt-account-id") == account
        and b'"generate":false' not in each.body
        for each in backend.requests
    )


def wait_for_rows(path: Path) -> None:
    wait_until(lambda: path.exists() and bool(status(path)["accounts"]), lambda: "nothing was recorded")
