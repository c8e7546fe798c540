"""The MCP server of ``codex-tap mcp``: the tools of `scripts.agent.tools`, described for an agent, over stdio.

Only the protocol goes to stdout. The server ends when stdin does. It works with both lines of the official SDK: 2.x
needs an h11 that mitmproxy 11 does not allow, so that Python 3.11 has 1.x.
"""

# The SDK reads the annotations of the tools at run time: they are no strings here.

import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from scripts.agent.tools import AgentTools, Reply, ToolError, UsageBy
from scripts.support.version import version
from store import documents

if TYPE_CHECKING:
    from scripts.support.place import Place

INSTRUCTIONS = """\
How much of the user's Codex limits is left: ask guard before long or parallel work, and every half hour of it.
It is read from Codex's own traffic; asking uses up nothing. Percent are 0 to 100, timestamps Unix seconds.\
"""
"""Codex shows the model the first line of it with the name of the server, and all of it with each tool."""

Account = Annotated[
    str | None,
    Field(
        description="Account name, or a prefix of its key. Leave it out for the account that Codex is logged in with."
    ),
]
IncludeNames = Annotated[
    bool,
    Field(description="True also gives e-mail addresses, titles and folders. Only if the user asks for them."),
]
By = Annotated[UsageBy, Field(description="What a row stands for; project needs include_names.")]
Since = Annotated[str, Field(description="Start: 24h, 7d, 90min before now, or a date such as 2026-11-20.")]
MinRemaining = Annotated[float, Field(ge=0, le=100, description="Percent that have to be left.")]
Window = Annotated[str | None, Field(description="Only this window: 5h, 7d, 30d. Leave it out for all of them.")]

_READ_ONLY = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
_INTERRUPTED = 130


def serve(place: "Place", *, names_on: bool) -> None:
    """Serve an agent over stdin and stdout until stdin ends.

    Args:
        place: the database, which may be made later.
        names_on: whether titles and folders may be told to an agent that asks for them.
    """
    # A thread waits in a read of stdin, which would keep the process; there is nothing to save.
    signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    make_server(AgentTools(place, os.environ, names_on=names_on)).run("stdio")


def make_server(tools: AgentTools) -> Any:
    """Return a server of the SDK with the tools."""
    make, error_class = _sdk()
    server = make("codex-tap", instructions=INSTRUCTIONS, log_level="ERROR")
    for tool in _described(tools, error_class):
        server.add_tool(tool, annotations=ToolAnnotations.model_validate(_READ_ONLY), structured_output=True)
    return server


def _sdk() -> tuple[Callable[..., Any], type[Exception]]:
    """Return the function that makes a server of the SDK, and its exception for a failed tool.

    Both have other names in 1.x, whose servers cannot tell a version of their own.
    """
    try:
        package = importlib.import_module("mcp.server.mcpserver")
        make: Callable[..., Any] = functools.partial(package.MCPServer, version=version())
    except ModuleNotFoundError:
        package = importlib.import_module("mcp.server.fastmcp")
        make = package.FastMCP
    errors = importlib.import_module(f"{package.__name__}.exceptions")
    return make, cast("type[Exception]", errors.ToolError)


def _described(tools: AgentTools, error_class: type[Exception]) -> list[Callable[..., CallToolResult]]:
    """Return the tools as the SDK registers them: by name, description, arguments and result."""

    def result(ask: Callable[[], Reply[Any]]) -> CallToolResult:
        try:
            document, text = ask()
        except ToolError as problem:
            raise error_class(str(problem)) from None
        content = [{"type": "text", "text": text}]
        return CallToolResult.model_validate({"content": content, "structuredContent": document})

    def limits(
        account: Account = None, include_names: IncludeNames = False
    ) -> Annotated[CallToolResult, documents.AgentLimits]:
        """Tell how much of each Codex limit is left (percent), and when its windows reset."""
        return result(functools.partial(tools.limits, account, include_names=include_names))

    def forecast(
        account: Account = None, include_names: IncludeNames = False
    ) -> Annotated[CallToolResult, documents.AgentForecast]:
        """Tell whether each window lasts until its reset at the usual pace, or when it runs out."""
        return result(functools.partial(tools.forecast, account, include_names=include_names))

    def usage(
        by: By = "model", since: Since = "24h", account: Account = None, include_names: IncludeNames = False
    ) -> Annotated[CallToolResult, documents.AgentUsage]:
        """Tell what used the limit: points (percent of the window), turns and tokens, the most first."""
        return result(functools.partial(tools.usage, by, since, account, include_names=include_names))

    def guard(
        min_remaining: MinRemaining = 10.0,
        window: Window = None,
        account: Account = None,
        include_names: IncludeNames = False,
    ) -> Annotated[CallToolResult, documents.AgentGuard]:
        """Say whether enough is left to go on (go, below, old or unknown), why, and what to do then."""
        return result(functools.partial(tools.guard, min_remaining, window, account, include_names=include_names))

    return [limits, forecast, usage, guard]
