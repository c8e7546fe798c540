"""The budget of a shell: whose use counts for it, and what that has used.

That is the thread whose command the shell is, else the project of its folder, else the account.
"""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from scripts.codex_files.names import load_names
from scripts.codex_files.projects import folder_projects, short_names
from scripts.support.database import session
from scripts.support.errors import WRONG_USE, CommandError
from store.errors import MissingError
from store.queries.accounts import AccountError
from store.queries.guard_budget import BudgetUser, load_budget_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scripts.support.place import Place
    from store.analysis.guard_budget import BudgetScope, BudgetWindow, GuardBudget
    from store.documents import BudgetUse

THREAD_VARIABLE, SESSION_VARIABLE = "CODEX_THREAD_ID", "CODEX_SESSION_ID"
"""What Codex sets for the commands that it runs: the thread, which may be a sub-agent's, and that of its session."""


class ShellBudget(NamedTuple):
    """A budget, whose use counts for it, and whether Codex's own files are read for names and projects."""

    budget: GuardBudget
    user: BudgetUser
    names_on: bool

    def used(self, place: Place, account_key: str, window: BudgetWindow) -> BudgetUse | None:
        """Return what was used of it in an account's window; None where that is not known."""
        try:
            with session(place, [account_key]) as known:
                (account,) = known.accounts
                found = load_budget_use(
                    known.connection,
                    time.time(),
                    account,
                    budget=self.budget,
                    window=window,
                    user=self.user,
                    projects_of=self._projects_of,
                )
        except (MissingError, AccountError):  # deleted since the account was asked for
            return None
        return _named(found) if found and self.names_on else found

    def _projects_of(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the projects of threads; those of threads in this shell's repository have one key.

        Their project may have another: a name that a person gave it in Codex, or the remote of an earlier time.
        """
        own, root = self.user.keys[0], PurePath(self.user.keys[-1])
        found = {}
        for thread, info in load_names(ids).threads.items():
            if info.project in self.user.keys or (info.folder and PurePath(info.folder).is_relative_to(root)):
                found[thread] = own
            elif info.project:
                found[thread] = info.project
        return found


def budget_user(
    scope: BudgetScope | None, *, names_on: bool = True, environ: Mapping[str, str] = os.environ
) -> BudgetUser:
    """Return whose use counts for a budget: what was asked for, else what this shell belongs to.

    Args:
        scope: What was asked for; None is the first of thread, project and account that this shell has.
        names_on: Whether Codex's own files may be read, which alone tell of projects.
        environ: The environment of the shell.

    Raises:
        CommandError: This shell does not belong to what was asked for.

    """
    threads = _shell_threads(environ) if scope in {None, "thread"} else ()
    if threads:
        return BudgetUser("thread", threads)
    if scope == "thread":
        raise CommandError(
            f"a budget for the thread needs {THREAD_VARIABLE}, which Codex sets for its commands", WRONG_USE
        )
    if scope == "project" and not names_on:
        raise CommandError("a budget for the project needs Codex's own files, which --names off leaves out", WRONG_USE)
    projects = _shell_projects() if scope != "account" and names_on else ()
    if projects:
        return BudgetUser("project", projects)
    if scope == "project":
        raise CommandError("a budget for the project needs a working directory in a git repository", WRONG_USE)
    return BudgetUser("account")


def _shell_threads(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the thread of the session whose command this is, then that of its sub-agent; none outside of Codex."""
    if not environ.get(THREAD_VARIABLE, "").strip():
        return ()
    found = (environ.get(name, "").strip() for name in (SESSION_VARIABLE, THREAD_VARIABLE))
    return tuple(dict.fromkeys(each for each in found if each))


def _shell_projects() -> tuple[str, ...]:
    """Return the keys that the project of the working directory may have; none outside of a repository."""
    try:
        return folder_projects(str(Path.cwd()))
    except OSError:  # the folder was deleted
        return ()


def _named(use: BudgetUse) -> BudgetUse:
    """Return what was used with the name that Codex's own files have for the thread or the project."""
    if use["scope"] == "thread":
        return {**use, "name": use["name"] or load_names([use["key"]]).words(use["key"])["title"]}
    return {**use, "name": short_names([use["key"]])[use["key"]]} if use["scope"] == "project" else use
