"""What the screen shows, as it is loaded."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from scripts.support.errors import NOTHING_YET
from scripts.top import loader
from scripts.top.loader import Loader, midnight
from store.errors import LockedError
from store.queries.accounts import AccountError
from store.turns_under_way import TurnUnderWay, write_turns
from tests.support.databases import record
from tests.support.factories import BOB
from tests.support.harness import wait_until
from tests.support.readings import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MakeLoader = Callable[..., Loader]

NOW = time.time()


def labels(found: Loader) -> list[str]:
    return [account["label"] for account in found.shown.status["accounts"]]


@pytest.fixture
def loaders() -> Iterator[MakeLoader]:
    """Return a function that makes loaders, which are stopped afterwards."""
    with contextlib.ExitStack() as stack:

        def make(*arguments: Any) -> Loader:
            found = Loader(*arguments)
            stack.callback(found.stop)
            return found

        yield make


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count how often status and use are loaded."""
    counts = {"load_status": 0, "load_usage": 0}
    for name in counts:
        original = getattr(loader, name)

        def counting(*arguments: Any, name: str = name, original: Any = original, **options: Any) -> Any:
            counts[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(loader, name, counting)
    return counts


def test_a_database_comes_and_goes(path: Path, loaders: MakeLoader) -> None:
    """What is missing is said, what appears, is replaced or deleted is followed."""
    found = loaders(path)
    found.load(NOW)
    assert (labels(found), found.shown.problem) == ([], NOTHING_YET)
    record(path, reading())
    found.load(NOW + 1)
    assert (labels(found), found.shown.problem) == (["alice@example.com"], None)
    other = record(path.with_name("other.sqlite3"), reading(who=BOB))
    other.replace(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    found.load(NOW + 2)
    assert labels(found) == ["bob@example.com"]
    path.unlink()
    found.load(NOW + 3)
    assert (labels(found), found.shown.problem) == ([], NOTHING_YET)


def test_a_change_is_shown(path: Path, loaders: MakeLoader) -> None:
    """The next poll has it; `number` tells that there is something else to draw."""
    record(path, reading(13))
    found = loaders(path)
    found.load(NOW)
    before = found.number
    found.load(NOW + 1)
    assert found.number == before
    record(path, reading(77))
    found.load(NOW + 2)
    (account,) = found.shown.status["accounts"]
    assert account["limits"][0]["windows"]["5h"]["used_percent"] == 77
    assert found.number > before


def test_what_cannot_be_read_leaves_what_was(path: Path, loaders: MakeLoader) -> None:
    """A database that is damaged, and one that is there again."""
    record(path, reading())
    found = loaders(path)
    found.load(NOW)
    content = path.read_bytes()
    path.write_text("a file of somebody else\n" * 100)
    found.load(NOW + 1)
    assert labels(found) == ["alice@example.com"]
    assert "is not a SQLite database" in (found.shown.problem or "")
    path.write_bytes(content)
    found.load(NOW + 2)
    assert (labels(found), found.shown.problem) == (["alice@example.com"], None)


def test_a_lock_leaves_what_was(path: Path, loaders: MakeLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen says what is the matter until the lock is gone."""
    record(path, reading())
    found = loaders(path)
    found.load(NOW)
    with monkeypatch.context() as patch:
        patch.setattr(loader, "session", Mock(side_effect=LockedError("the database is locked")))
        found.load(NOW + 100)
        assert labels(found) == ["alice@example.com"]
        assert found.shown.problem == "the database is locked"
    found.load(NOW + 101)
    assert found.shown.problem is None


def test_nothing_is_loaded_while_nothing_changes(path: Path, loaders: MakeLoader, counted: dict[str, int]) -> None:
    """After a minute the status is, and after five what takes longer."""
    record(path, reading())
    found = loaders(path)
    for second in range(59):
        found.load(NOW + second)
    assert counted == {"load_status": 1, "load_usage": 1}
    found.load(NOW + 61)
    assert counted == {"load_status": 2, "load_usage": 1}
    found.load(NOW + 361)
    assert counted["load_usage"] == 2


def test_use_is_loaded_at_most_in_a_tenth_of_the_time(
    path: Path, loaders: MakeLoader, counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy proxy with a long history does not keep the loader busy; the last change is shown in the end."""
    seconds = iter(range(0, 1_000, 3))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    record(path, reading(1))
    found = loaders(path)
    found.load(NOW)
    for second in range(1, 29):
        record(path, reading(second))
        found.load(NOW + second)
    assert counted == {"load_status": 29, "load_usage": 1}
    found.load(NOW + 31)
    assert counted["load_usage"] == 2
    found.load(NOW + 62)
    assert counted["load_usage"] == 2


def test_one_account_is_chosen(path: Path, loaders: MakeLoader, counted: dict[str, int]) -> None:
    """Its use of today is loaded at once, and that of all afterwards."""
    record(path, reading(), reading(who=BOB))
    found = loaders(path)
    found.load(NOW)
    found.choose("acct-b/user-b")
    found.load(NOW + 1)
    assert [each["account"] for each in found.shown.usage["accounts"]] == ["acct-b/user-b"]
    assert len(labels(found)) == 2
    found.choose(None)
    found.load(NOW + 2)
    assert len(found.shown.usage["accounts"]) == 2
    assert counted["load_usage"] == 3


def test_accounts_by_prefixes(path: Path, loaders: MakeLoader) -> None:
    """Only these are shown; one that does not exist is an error at the start."""
    record(path, reading(), reading(who=BOB))
    found = loaders(path, ["bob"])
    found.load(NOW)
    assert labels(found) == ["bob@example.com"]
    with pytest.raises(AccountError, match="carol"):
        loaders(path, ["carol"]).load(NOW)


def test_turns_under_way(path: Path, loaders: MakeLoader) -> None:
    """They come and go without a change of the database."""
    record(path, reading())
    found = loaders(path)
    found.load(NOW)
    turn = TurnUnderWay("acct-a", "user-a", "t-1", None, "m", None, NOW - 5, None)
    write_turns(path, os.getpid(), [turn], NOW)
    found.load(NOW + 1)
    assert found.shown.turns == [turn]
    assert found.shown.labels[turn.account] == "alice@example.com"
    write_turns(path, os.getpid(), [], NOW)
    found.load(NOW + 2)
    assert found.shown.turns == []


def test_it_goes_on_in_a_thread(path: Path, loaders: MakeLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that nobody expects is shown, and the next poll tries again."""
    monkeypatch.setattr(loader, "POLL_SECONDS", 0.01)
    record(path, reading())
    found = loaders(path)
    found.load(time.time())
    found.start()
    try:
        record(path, reading(who=BOB))
        wait_until(lambda: len(labels(found)) == 2, lambda: "the change is not shown")
        with monkeypatch.context() as patch:
            patch.setattr(loader, "load_turns", lambda *_: 1 / 0)
            wait_until(lambda: "ZeroDivisionError" in str(found.shown.problem), lambda: "no problem is shown")
        wait_until(lambda: found.shown.problem is None, lambda: "the problem stays")
    finally:
        found.stop()


def test_midnight() -> None:
    """The day begins at midnight of the machine."""
    local = time.localtime(midnight(NOW))
    assert (local.tm_hour, local.tm_min, local.tm_sec) == (0, 0, 0)
    assert 0 <= NOW - midnight(NOW) < 90_000
