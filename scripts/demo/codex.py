"""The real Codex CLI, offline: a CODEX_HOME with a made-up login, a turn, and the limits that Codex reports."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import os
import queue
import secrets
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from scripts.support.process_tree import kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TOKEN_SECONDS = 864_000  # Codex refreshes one that is about to expire
_TURN_SECONDS = 60
_REPLY_SECONDS = 30
_STOP_SECONDS = 5


def make_token(
    account_id: str,
    user_id: str,
    *,
    email: str = "someone@example.com",
    plan: str = "plus",
    expires_at: int,
) -> str:
    """Return a bearer token like Codex's, with readable claims and a random signature; each call returns another one.

    Like every token of a ChatGPT account it starts with `eyJhbGciOiJSUzI1NiIs`. `expires_at` is in Unix seconds.
    """
    claims = {
        "exp": expires_at,
        "https://api.openai.com/auth": {
            "chatgpt_account_id": account_id,
            "chatgpt_user_id": user_id,
            "chatgpt_plan_type": plan,
        },
        "https://api.openai.com/profile": {"email": email, "email_verified": True},
        "email": email,
    }
    header = {"alg": "RS256", "typ": "JWT"}
    return ".".join([_segment(header), _segment(claims), _base64(secrets.token_bytes(256))])


def log_in(home: Path, account_id: str, user_id: str, *, email: str = "someone@example.com", plan: str = "plus") -> str:
    """Make `home` a CODEX_HOME with a new login; return the token, which differs each time."""
    now = dt.datetime.now(dt.UTC)
    expires_at = int(now.timestamp()) + _TOKEN_SECONDS
    token = make_token(account_id, user_id, email=email, plan=plan, expires_at=expires_at)
    home.mkdir(parents=True, exist_ok=True)
    tokens = {
        "id_token": token,
        "access_token": token,
        "refresh_token": secrets.token_urlsafe(32),
        "account_id": account_id,
    }
    last_refresh = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    login = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": last_refresh}
    (home / "auth.json").write_text(json.dumps(login), encoding="utf-8")
    return token


def _segment(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def find_codex() -> str | None:
    """Return the path of Codex: `CODEX_TAP_CODEX`, else the one in the PATH; None if there is none."""
    return shutil.which(os.environ.get("CODEX_TAP_CODEX") or "codex")


def exec_turn(codex: str, home: Path, prompt: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `codex exec PROMPT` with `home` as its CODEX_HOME, in an empty folder there.

    Raises:
        subprocess.TimeoutExpired: it took more than a minute, and was killed.
    """
    command = [codex, "exec", "--skip-git-repo-check", prompt]
    with _started(command, home, environment, stdin=subprocess.DEVNULL) as process:
        output, errors = process.communicate(timeout=_TURN_SECONDS)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def session_rate_limits(home: Path) -> list[dict[str, Any]]:
    """Return the `rate_limits` that Codex wrote to its session files, in the order of the files' names and lines.

    Each is `{"limit_id", "limit_name", "primary": {"used_percent", "window_minutes", "resets_at"} | None, "secondary",
    "credits", "plan_type", …}`.
    """
    return [
        payload["rate_limits"]
        for path in sorted((home / "sessions").rglob("*.jsonl"))
        for payload in _payloads(path)
        if payload.get("type") == "token_count" and payload.get("rate_limits") is not None
    ]


def _payloads(session: Path) -> Iterator[dict[str, Any]]:
    for line in session.read_text(encoding="utf-8").splitlines():
        payload = json.loads(line).get("payload")
        if isinstance(payload, dict):
            yield payload


def app_server_rate_limits(codex: str, home: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the response of `codex app-server` to `account/rateLimits/read`.

    It has the form `{"rateLimits", "rateLimitsByLimitId", …}`.

    Raises:
        RuntimeError: the response is an error.
        queue.Empty: there is no response within half a minute.
    """
    lines: queue.Queue[str] = queue.Queue()
    with _started(
        [codex, "app-server"], home, environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        reader = threading.Thread(target=_read_lines, args=(process, lines), daemon=True)
        reader.start()
        try:
            return _read_rate_limits(process, lines)
        finally:
            kill_tree(process)
            reader.join(_STOP_SECONDS)


def _read_rate_limits(process: subprocess.Popen[str], lines: queue.Queue[str]) -> dict[str, Any]:
    client = {"name": "codex-tap", "title": "codex-tap", "version": "0"}
    _send(process, {"id": 0, "method": "initialize", "params": {"clientInfo": client}})
    _wait_for_result(lines, 0)
    _send(process, {"method": "initialized"})
    _send(process, {"id": 1, "method": "account/rateLimits/read"})
    return _wait_for_result(lines, 1)


def _send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)


def _wait_for_result(lines: queue.Queue[str], request: int) -> dict[str, Any]:
    while True:  # notifications may precede the response
        message = json.loads(lines.get(timeout=_REPLY_SECONDS))
        if message.get("id") == request:
            if "error" in message:
                raise RuntimeError(f"codex app-server: {message['error']}")
            result: dict[str, Any] = message["result"]
            return result


@contextlib.contextmanager
def _started(
    command: list[str], home: Path, environment: Mapping[str, str], *, stdin: int, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process group of its own; at the end of the block the whole group is killed."""
    folder = home / "work"
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "CODEX_HOME": str(home)},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # ignored on Windows, where taskkill ends the process tree instead
    ) as process:
        try:
            yield process
        finally:
            kill_tree(process)
