"""Completion of accounts and threads in a shell: quick, and silent where the database cannot be read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import click
    from click.shell_completion import CompletionItem

_LOCK_SECONDS = 0.05
_MAX_ITEMS = 50


def complete_account(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the labels of the accounts that begin as the word does; where none does, their keys and token keys."""
    from scripts.support.database import open_for_reading
    from store.queries.accounts import load_accounts

    with contextlib.suppress(Exception), open_for_reading(_database(context), _LOCK_SECONDS) as connection:
        known = load_accounts(connection)
        labels = ((account.label, account.plan_type) for account in known)
        others = ((name, account.label) for account in known for name in (account.email, account.key) if name)
        return _matching(labels, incomplete) or _matching(others, incomplete)
    return []


def complete_thread(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of the newest threads that begin as the word does; where none does, their ids."""
    from scripts.support.database import open_for_reading
    from store.queries.threads import thread_names

    with contextlib.suppress(Exception), open_for_reading(_database(context), _LOCK_SECONDS) as connection:
        known = thread_names(connection)
        names = ((name, thread) for thread, name in known if name)
        return _matching(names, incomplete) or _matching(((thread, name) for thread, name in known), incomplete)
    return []


def _database(context: click.Context | None) -> Path:
    """Return the database that the command line names so far, in the command or in front of it."""
    from store.settings import default_database

    while context is not None:
        given: Path | None = context.params.get("database")
        if given is not None:
            return given
        context = context.parent
    return default_database()


def _matching(words: Iterable[tuple[str, str | None]], incomplete: str) -> list[CompletionItem]:
    """Return the words that begin with what is typed; a shell cannot complete one with a blank in it."""
    from click.shell_completion import CompletionItem

    start = incomplete.casefold()
    fitting = {word: note for word, note in words if word.casefold().startswith(start) and _is_one_word(word)}
    return [CompletionItem(word, help=note) for word, note in list(fitting.items())[:_MAX_ITEMS]]


def _is_one_word(word: str) -> bool:
    return word.isprintable() and not any(each.isspace() or each in "\"'\\$`,;&|<>()#!*?[]{}" for each in word)
