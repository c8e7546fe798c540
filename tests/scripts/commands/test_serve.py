"""`codex-tap serve`: its errors, and its token."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.support.codex_state import write_state
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import turn, used
from tests.support.web_server import Program, ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one account."""
    return record(tmp_path / "web.sqlite3", used(13))


def test_a_port_in_use_is_an_error(path: Path) -> None:
    """The exit code is 4, and the message names the option for another port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", str(port), "--db", path)
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert result.stderr.endswith("use another port with --port\n")


def test_an_unknown_host_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 4, and the message names the host."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "x" * 20)
    result = invoke("serve", "--host", "no.such.host.invalid", "--db", path)
    assert result.exit_code == 4
    assert "no.such.host.invalid" in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "box.example"])  # noqa: S104 (refused)
def test_other_machines_need_a_token(host: str) -> None:
    """The exit code is 2, and the message says what to do."""
    result = invoke("serve", "--host", host)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "without a token; set CODEX_TAP_TOKEN" in result.stderr
    assert "CODEX_TAP_TOKEN" in result.stderr


def test_a_short_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not contain the token."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "hunter2")
    result = invoke("serve")
    assert result.exit_code == 2
    assert "too short" in result.stderr
    assert "hunter2" not in result.stderr


def test_the_token_of_the_environment_is_required(path: Path) -> None:
    """Requests from this machine need the token as well."""
    token = "made-up-token-for-tests"
    with Program("--db", path, "--host", "localhost", CODEX_TAP_TOKEN=token) as program:
        assert ask(program.port, "GET", "/api/usage").status == 401
        assert ask(program.port, "GET", "/api/usage", {"Authorization": f"Bearer {token}"}).status == 200
        assert token not in program.said


@pytest.mark.parametrize(
    ("words", "environment", "shown"),
    [
        ([], {}, True),
        (["--names", "off"], {}, False),
        ([], {"CODEX_TAP_NAMES": "off"}, False),
        (["--host", "0.0.0.0"], {}, False),  # noqa: S104 (with a token)
        (["--host", "0.0.0.0", "--names", "on"], {}, True),  # noqa: S104 (with a token)
    ],
    ids=["this machine", "off", "off by the variable", "other machines", "on for other machines"],
)
def test_who_gets_the_titles_of_threads(path: Path, words: list[str], environment: dict[str, str], shown: bool) -> None:
    """Those who may be at another machine get none, unless that is asked for."""
    record(path, turn("t-1", at=time.time() - 60))
    home = Path(os.environ["CODEX_HOME"])
    write_state(home, {"id": "t-1", "title": "Fix the tests"})
    token = "made-up-token-for-tests"
    with Program("--db", path, *words, CODEX_TAP_TOKEN=token, CODEX_HOME=str(home), **environment) as program:
        answer = ask(program.port, "GET", "/api/requests", {"Authorization": f"Bearer {token}"})
    assert answer.status == 200
    assert ("Fix the tests" in answer.text) == shown
