"""Real clients of the same backend from npm, under ``codex-tap run`` with a stand-in for chatgpt.com.

docs/clients.md says of each whether it was run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import log_in, make_token
from scripts.demo.replies import Answer, WireWindow, limit_headers, rate_limits_event
from store.database import open_reader
from tests.support.command_line import CLI
from tests.support.harness import required
from tests.support.launcher import environment

if TYPE_CHECKING:
    from scripts.demo.backend import Backend

ACCOUNT = "acct-client"
WINDOW = WireWindow(13, 300, 1_895_252_200, 9_000)
SECONDS = 100  # a cold start of opencode takes some 20

SDK_TURN = """
const { Codex } = await import(process.argv[1]);
const thread = new Codex({ codexPathOverride: process.argv[2] }).startThread({ skipGitRepoCheck: true });
console.log((await thread.run("say ok")).finalResponse);
"""


def program(variable: str, package: str) -> str:
    """Return the path that a variable names; without it, skip the test."""
    named = os.environ.get(variable)
    return required(named or None, f"no {package} from npm: name it in {variable}", "CODEX_TAP_REQUIRE_CLIENTS")


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    return home


def tapped(backend: Backend, home: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a client under the tap, with nothing in its environment but what `codex-tap run` sets."""
    backend.answer(
        Answer(
            headers=limit_headers(WINDOW, plan="plus", active="premium"),
            events=[rate_limits_event(WINDOW, plan="plus")],
        ),
        account=ACCOUNT,
    )
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "CONFIG", "CACHE", "STATE")}
    environ = environment(
        HOME=str(home),
        USERPROFILE=str(home),
        CODEX_TAP_DB=str(home / "tap.sqlite3"),
        HTTPS_PROXY=backend.proxy_url,
        SSL_CERT_FILE=str(backend.ca_file),
        **folders,
        **more,
    )
    return subprocess.run(
        [sys.executable, str(CLI), "run", *command],
        cwd=home / "project",
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def recorded(home: Path) -> tuple[set[float], set[str], int]:
    """Return the used percents, the accounts and the number of turns that were recorded."""
    with closing(open_reader(home / "tap.sqlite3")) as connection:
        percents = {row[0] for row in connection.execute("SELECT used_5h_percent FROM snapshots")}
        accounts = {row[0] for row in connection.execute("SELECT account_id FROM accounts")}
        (turns,) = connection.execute("SELECT count(*) FROM requests WHERE input_tokens > 0").fetchone()
    return percents, accounts, turns


def oauth() -> dict[str, object]:
    """Return a made-up login as both opencode and pi store it."""
    expires_at = int(time.time()) + 86_400
    access = make_token(ACCOUNT, "user-1", expires_at=expires_at)
    return {"type": "oauth", "access": access, "refresh": "made-up", "expires": expires_at * 1000, "accountId": ACCOUNT}


def write_login(path: Path, provider: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({provider: oauth()}), encoding="utf-8")


def test_pi(backend: Backend, home: Path) -> None:
    """Its turn is read."""
    pi = program("CODEX_TAP_PI", "@mariozechner/pi-coding-agent")
    write_login(home / ".pi" / "agent" / "auth.json", "openai-codex")
    done = tapped(backend, home, pi, "--provider", "openai-codex", "--model", "gpt-5.2", "-p", "say ok")
    assert done.returncode == 0, done.stderr
    assert recorded(home) == ({13.0}, {ACCOUNT}, 1)


def test_opencode(backend: Backend, home: Path) -> None:
    """Its turns are read, that for the title of its session among them."""
    opencode = program("CODEX_TAP_OPENCODE", "opencode-ai")
    write_login(home / "data" / "opencode" / "auth.json", "openai")
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    done = tapped(backend, home, opencode, "run", "-m", "openai/gpt-5.4", "say ok", **quiet)
    assert done.returncode == 0, done.stderr
    percents, accounts, turns = recorded(home)
    assert (percents, accounts) == ({13.0}, {ACCOUNT})
    assert turns in {1, 2}


def test_codex_sdk(codex: str, backend: Backend, home: Path) -> None:
    """The SDK starts Codex, which inherits the environment."""
    sdk = Path(program("CODEX_TAP_SDK", "@openai/codex-sdk")).as_uri()
    node = required(os.environ.get("CODEX_TAP_NODE") or "node", "no Node.js", "CODEX_TAP_REQUIRE_CLIENTS")
    log_in(home / ".codex", ACCOUNT, "user-1")
    command = [node, "--input-type=module", "-e", SDK_TURN, sdk, codex]
    done = tapped(backend, home, *command, CODEX_HOME=str(home / ".codex"))
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr
    assert recorded(home) == ({13.0}, {ACCOUNT}, 1)
