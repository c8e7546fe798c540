from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.codex_files.shell_budget import ShellBudget, budget_user
from scripts.support.errors import WRONG_USE, CommandError
from store.analysis.guard_budget import BudgetWindow, GuardBudget
from store.queries.guard_budget import BudgetUser
from tests.support.codex_state import write_state
from tests.support.databases import record
from tests.support.factories import BOB, limit, snapshot, turn, windows
from tests.support.status_factories import seven

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.analysis.guard_budget import BudgetScope

IN_THREAD = {"CODEX_THREAD_ID": "t-child", "CODEX_SESSION_ID": "t-root"}


@pytest.fixture(name="shop")
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a repository with a remote."""
    shop = tmp_path / "shop"
    (shop / ".git").mkdir(parents=True)
    (shop / ".git" / "config").write_text('[remote "origin"]\n\turl = git@git.example:acme/shop.git\n', "utf-8")
    monkeypatch.chdir(shop)
    return shop


@pytest.mark.parametrize(
    ("scope", "environ", "expected"),
    [
        (None, IN_THREAD, BudgetUser("thread", ("t-root", "t-child"))),
        ("thread", {"CODEX_THREAD_ID": "t-root", "CODEX_SESSION_ID": "t-root"}, BudgetUser("thread", ("t-root",))),
        (None, {"CODEX_THREAD_ID": " "}, BudgetUser("project", ("git.example/acme/shop", "{shop}"))),
        ("project", IN_THREAD, BudgetUser("project", ("git.example/acme/shop", "{shop}"))),
        ("account", IN_THREAD, BudgetUser("account")),
    ],
    ids=["in a sub-agent", "in a thread", "no thread", "the project asked for", "the account asked for"],
)
def test_whose_use_counts(
    shop: Path, scope: BudgetScope | None, environ: Mapping[str, str], expected: BudgetUser
) -> None:
    """That of the thread, else of the project, else of the account; or what was asked for."""
    keys = tuple(key.format(shop=shop) for key in expected.keys)
    assert budget_user(scope, environ=environ) == expected._replace(keys=keys)


def test_outside_of_threads_and_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the account; a thread or a project that was asked for is wrong use."""
    monkeypatch.chdir(tmp_path)
    assert budget_user(None, environ={}) == BudgetUser("account")
    for scope, reason in (("thread", "needs CODEX_THREAD_ID"), ("project", "a working directory in a git repository")):
        with pytest.raises(CommandError, match=reason) as caught:
            budget_user(scope, environ={})  # type: ignore[arg-type]
        assert caught.value.exit_code == WRONG_USE


def test_without_names(shop: Path) -> None:
    """Codex's own files tell of projects, and are left out."""
    assert shop.exists()
    assert budget_user(None, names_on=False, environ={}) == BudgetUser("account")
    with pytest.raises(CommandError, match="--names off"):
        budget_user("project", names_on=False, environ={})


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to no project."""

    def fail() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", fail)
    assert tmp_path.exists()
    assert budget_user(None, environ={}) == BudgetUser("account")


@pytest.mark.parametrize(
    ("user", "used", "key", "name"),
    [
        (BudgetUser("thread", ("t-root", "t-child")), 6, "t-root", "Refactor login"),
        (BudgetUser("thread", ("t-other",)), 2, "t-other", "say ok"),
        (BudgetUser("thread", ("t-new",)), 0, "t-new", None),
        (BudgetUser("project", ("git.example/acme/shop", "{shop}")), 10, "git.example/acme/shop", "shop"),
        (BudgetUser("project", ("git.example/acme/none", "{shop}/none")), 0, "git.example/acme/none", "none"),
        (BudgetUser("account"), 15, "acct-a/user-a", None),
    ],
    ids=["a sub-agent", "another thread", "a new thread", "a project", "a new project", "the account"],
)
def test_what_was_used(path: Path, shop: Path, user: BudgetUser, used: float, key: str, name: str | None) -> None:
    """Sub-agents count for their session, threads for the repository that they work in, whatever it is called."""
    now = time.time()
    write_state(
        Path.home(),
        {"id": "t-root", "cwd": str(shop), "git_origin_url": "https://git.example/acme/shop", "name": "Refactor login"},
        {"id": "t-moved", "cwd": str(shop / "src"), "project_id": "p1"},
        {"id": "t-other", "cwd": "/elsewhere"},
    )
    child: dict[str, Any] = {"session": "t-root", "parent_thread": "t-root", "subagent": "review"}
    turns: list[tuple[str, dict[str, Any], float]] = [
        ("t-root", {}, 24),
        ("t-child", child, 26),
        ("t-moved", {}, 30),
        ("t-other", {}, 32),
    ]
    record(path, snapshot(limit(windows(seven=20, at=now)), at=now - 9_000))
    for number, (thread, fields, percent) in enumerate(turns):
        at = now - 8_000 + 100 * number
        record(path, turn(thread, at=at, **fields), snapshot(limit(windows(seven=percent, at=now)), at=at + 50))
    record(path, snapshot(limit(windows(seven=35, at=now)), at=now - 5_000))
    window = BudgetWindow("codex", "7d", seven(35, resets_at=int(now) + 300_000)["7d"])
    keys = tuple(each.format(shop=shop) for each in user.keys)
    found = ShellBudget(GuardBudget(5), user._replace(keys=keys), names_on=True).used(path, "acct-a", window)
    assert found is not None
    assert (round(found["used"], 6), found["key"], found["name"]) == (used, key, name)
    assert found["seen"] == (key not in {"t-new", "git.example/acme/none"})


def test_what_was_deleted_meanwhile(path: Path) -> None:
    """Nothing is known of it."""
    window = BudgetWindow("codex", "7d", seven(35)["7d"])
    budget = ShellBudget(GuardBudget(5), BudgetUser("account"), names_on=False)
    assert budget.used(path, "acct-a/user-a", window) is None
    record(path, snapshot(limit(windows(seven=20)), who=BOB))
    assert budget.used(path, "acct-a/user-a", window) is None
