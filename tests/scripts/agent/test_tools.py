"""What an agent is told."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.agent.tools import MAX_ROWS, AgentTools, ToolError
from scripts.demo.codex import log_in
from scripts.support.errors import NOTHING_YET
from store.database import open_writer
from tests.support.databases import damage, record
from tests.support.factories import BOB, limit, snapshot, turn, used, windows
from tests.support.pinned_cases import FIRST_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scripts.agent.tools import Reply

TOOLS = ("limits", "forecast", "usage", "guard")


@pytest.fixture
def tools(tmp_path: Path) -> AgentTools:
    """The tools over a database that does not exist yet, and a Codex without a login."""
    return AgentTools(tmp_path / "tap.sqlite3", {"CODEX_HOME": str(tmp_path / "codex")})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the tools look for the database."""
    return tmp_path / "tap.sqlite3"


def seen(path: Path) -> Path:
    """Record two accounts: Alice with 12 and 40 % used and a turn, then Bob, refused."""
    now = time.time()
    full = limit(windows(100.0, 97.0, at=now), limit_reached=True, allowed=False)
    return record(
        path,
        snapshot(limit(windows(11.0, 39.0, at=now)), at=now - 400),
        turn("thread-1", at=now - 310, model="gpt-a", status=200),
        snapshot(limit(windows(12.0, 40.0, at=now)), at=now - 300),
        snapshot(full, who=BOB, at=now - 200),
    )


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_yet(tools: AgentTools, tool: str) -> None:
    """Without a database each document says that nothing is known, and the text what to do."""
    ask: Callable[[], Reply[Any]] = getattr(tools, tool)
    reply = ask()
    assert (reply.document["known"], reply.document["account"], reply.document["chosen_by"]) == (
        False,
        None,
        "last_seen",
    )
    assert NOTHING_YET in reply.text
    assert json.loads(json.dumps(reply.document)) == reply.document


@pytest.mark.parametrize("tool", TOOLS)
def test_an_account_that_was_not_seen(tools: AgentTools, path: Path, tool: str) -> None:
    """Where Codex is logged in with an account that was not seen yet, nobody else's figures are told."""
    log_in(path.parent / "codex", "acct-new", "user-new", email="new@example.com")
    seen(path)
    reply = getattr(tools, tool)()
    assert (reply.document["known"], reply.document["chosen_by"]) == (False, "codex_home")
    assert "has not been seen yet" in reply.text


def test_limits(tools: AgentTools, path: Path) -> None:
    """What is left of each window, by its length."""
    seen(path)
    document, text = tools.limits("acct-a")
    (found,) = document["limits"]
    assert (document["account"], document["chosen_by"]) == ("acct-a/user-a", "argument")
    assert (found["limit_id"], found["state"], found["age_seconds"] // 10) == ("codex", "open", 30)
    assert [(each["window"], each["used_percent"], each["remaining_percent"]) for each in found["windows"]] == [
        ("5h", 12.0, 88.0),
        ("7d", 40.0, 60.0),
    ]
    assert text.startswith("acct-a/user-a: codex 5 h 88 % left, resets in 2 h 29 min, 7 d 60 % left, resets in ")


def test_a_refused_limit(tools: AgentTools, path: Path) -> None:
    """A limit that refuses says so; without a login it is the account seen last that is told of."""
    seen(path)
    document, text = tools.limits()
    assert (document["chosen_by"], document["limits"][0]["state"]) == ("last_seen", "refused")
    assert "codex (refused) 5 h 0 % left" in text


def test_the_account_of_the_login(tools: AgentTools, path: Path) -> None:
    """It is the account that Codex is logged in with, not the one seen last."""
    seen(path)
    log_in(path.parent / "codex", "acct-a", "user-a", email="alice@example.com")
    document = tools.guard().document
    assert (document["account"], document["chosen_by"], document["answer"]) == ("acct-a/user-a", "codex_home", "go")


def test_forecast(tools: AgentTools, path: Path) -> None:
    """With too little history the text says so, and the figures are null."""
    seen(path)
    document, text = tools.forecast("acct-a")
    assert [(each["limit_id"], each["window"]) for each in document["windows"]] == [("codex", "5h"), ("codex", "7d")]
    assert {each["chance_dry_percent"] for each in document["windows"]} == {None}
    assert (
        text
        == "acct-a/user-a: codex 5h: too little history for a forecast; codex 7d: too little history for a forecast"
    )


def test_usage(tools: AgentTools, path: Path) -> None:
    """The rows with the most points come first."""
    seen(path)
    document, text = tools.usage("thread", "24h", "acct-a")
    assert (document["window"], document["by"], document["points"], document["turns"]) == ("7d", "thread", 1.0, 1)
    assert [(row["key"], row["points"], row["title"]) for row in document["rows"]] == [("thread-1", 1.0, None)]
    assert text.startswith("acct-a/user-a: 1.0 points of the 7d window since ")


def test_long_usage(tools: AgentTools, path: Path) -> None:
    """Of many rows the first are given, and the others counted."""
    now = time.time()
    turns = [turn(f"thread-{number}", at=now - 100 - number, status=200) for number in range(MAX_ROWS + 3)]
    record(path, used(10.0, at=now - 900), *turns, used(12.0, 44.0, at=now - 60))
    document = tools.usage("thread").document
    assert (len(document["rows"]), document["left_out"], document["turns"]) == (MAX_ROWS, 3, MAX_ROWS + 3)


@pytest.mark.parametrize(
    ("account", "arguments", "answer", "advice"),
    [
        ("acct-a", {}, "go", "Go on."),
        ("acct-a", {"min_remaining": 70.0}, "below", "Wrap up"),
        ("acct-a", {"min_remaining": 70.0, "window": "5h"}, "go", "Go on."),
        ("acct-b", {}, "below", "Wrap up"),
        ("acct-a", {"window": "30d"}, "unknown", "Nobody knows"),
    ],
)
def test_guard(
    tools: AgentTools, path: Path, account: str, arguments: Mapping[str, Any], answer: str, advice: str
) -> None:
    """The answer, and what to do."""
    seen(path)
    document, text = tools.guard(account=account, **arguments)
    assert document["answer"] == answer
    assert document["advice"].startswith(advice)
    assert text == f"{answer}: {document['reason']}. {document['advice']}"


@pytest.mark.parametrize("tool", TOOLS)
def test_names_only_for_who_asks(tools: AgentTools, path: Path, tool: str) -> None:
    """No e-mail address is told, not even by an error, unless it is asked for; a name that a person gave is."""
    seen(path)
    ask = getattr(tools, tool)
    for prefix in ("acct-a", None):
        assert "example.com" not in json.dumps([*ask(account=prefix)])
    assert ask(account="acct-a", include_names=True).document["account"] == "alice@example.com"
    with pytest.raises(ToolError) as problem:
        ask(account="acct-")
    assert str(problem.value) == "'acct-' matches several accounts"
    with pytest.raises(ToolError, match=r"alice@example\.com"):
        ask(account="acct-", include_names=True)
    connection = open_writer(path)
    connection.execute("UPDATE accounts SET name = 'work' WHERE account_id = 'acct-a'")
    connection.close()
    assert ask(account="acct-a").document["account"] == "work"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"since": "never"}, "'never' is not a valid time"),
        ({"by": "project"}, "ask with include_names"),
        ({"account": "nobody"}, "no account matches 'nobody'"),
    ],
)
def test_wrong_questions(tools: AgentTools, path: Path, arguments: dict[str, Any], problem: str) -> None:
    """Each has an error that says what to do."""
    seen(path)
    with pytest.raises(ToolError, match=problem):
        tools.usage(**arguments)


def test_names_that_are_off(path: Path) -> None:
    """Where the user leaves names out, an agent cannot ask for them."""
    tools = AgentTools(seen(path), {}, names_on=False)
    with pytest.raises(ToolError, match="include_names"):
        tools.usage("project", include_names=True)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_damaged_database(tools: AgentTools, path: Path, tool: str) -> None:
    """It is a problem that is told without the folder; once it is replaced, the tools answer."""
    damage(seen(path))
    with pytest.raises(ToolError, match="the database cannot be used") as problem:
        getattr(tools, tool)()
    assert str(path.parent) not in str(problem.value)
    for file in path.parent.glob("tap.sqlite3*"):
        file.unlink()
    assert not getattr(tools, tool)().document["known"]
    assert getattr(AgentTools(seen(path), {"CODEX_HOME": "/nowhere"}), tool)().document["known"]


def test_a_database_that_is_migrated(tools: AgentTools, path: Path) -> None:
    """One of an older codex-tap is a problem that says what to do; once the proxy has migrated it, the tools answer."""
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_SCHEMA.read_text("utf-8"))
    with pytest.raises(ToolError, match="start the proxy once to migrate it"):
        tools.limits()
    open_writer(path).close()
    assert tools.limits().document["known"]
