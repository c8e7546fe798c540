"""The MCP server, through the official SDK's client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support.databases import record
from tests.support.factories import used
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CLI = str(REPOSITORY / "scripts" / "cli.py")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def with_client(path: Path, ask: Callable[[ClientSession], Awaitable[None]]) -> None:
    """Start the server on a database, and ask it through a client."""
    home = str(path.parent / "codex")
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[CLI, "mcp", "--db", str(path)],
        env={**os.environ, "CODEX_HOME": home},
    )

    async def run() -> None:
        with anyio.fail_after(100):
            async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
                await session.initialize()
                await ask(session)

    anyio.run(run)


def remove(path: Path) -> None:
    """Delete a database with the files beside it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def test_tools(tmp_path: Path) -> None:
    """Four tools that only read, each with a description of itself, its arguments and its result."""

    async def ask(session: ClientSession) -> None:
        found = (await session.list_tools()).model_dump(by_alias=True)["tools"]
        assert [tool["name"] for tool in found] == ["limits", "forecast", "usage", "guard"]
        for tool in found:
            assert tool["annotations"]["readOnlyHint"] is True
            assert tool["annotations"]["destructiveHint"] is False
            assert tool["annotations"]["openWorldHint"] is False
            assert tool["description"]
            assert {"known", "account", "chosen_by"} <= set(tool["outputSchema"]["properties"])
            for argument in tool["inputSchema"]["properties"].values():
                assert argument["description"]

    with_client(tmp_path / "tap.sqlite3", ask)


def test_questions(tmp_path: Path) -> None:
    """A server that keeps running finds a database that is made later, and one that replaces it."""
    path = tmp_path / "tap.sqlite3"

    async def ask(session: ClientSession) -> None:
        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await session.call_tool(tool, arguments)
            return dict(result.model_dump(by_alias=True))

        nothing = await call("limits")
        assert (nothing["isError"], nothing["structuredContent"]["known"]) == (False, False)
        record(path, used(12.0, 40.0, at=time.time() - 60))
        found = await call("guard", min_remaining=50, window="7d")
        assert (found["structuredContent"]["answer"], found["structuredContent"]["remaining_percent"]) == ("go", 60.0)
        assert found["content"][0]["text"].startswith("go: 60 % of 7 d left")
        remove(path)
        record(path, used(12.0, 95.0, at=time.time() - 60))
        assert (await call("guard"))["structuredContent"]["answer"] == "below"
        for tool in ("limits", "forecast", "usage"):
            assert (await call(tool))["structuredContent"]["known"] is True
        wrong = await call("limits", account="nobody")
        assert (wrong["isError"], "no account matches 'nobody'" in wrong["content"][0]["text"]) == (True, True)

    with_client(path, ask)


def _started(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, CLI, "mcp", "--db", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "codex-tap"
    return process


def test_the_end_of_stdin(tmp_path: Path) -> None:
    """The server ends with its stdin; stdout had the protocol, and stderr nothing."""
    output, errors = _started(tmp_path / "tap.sqlite3").communicate(timeout=60)
    assert (output, errors) == (b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends it at once, without a traceback, though its stdin stays open."""
    with _started(tmp_path / "tap.sqlite3") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr
        assert process.stderr.read() == b""
