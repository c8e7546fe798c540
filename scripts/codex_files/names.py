"""What threads and projects are called in documents, by Codex's own files; nothing where a person turned names off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.codex_files.location import codex_home, state_folder
from scripts.codex_files.projects import short_names
from scripts.codex_files.state_database import state_path
from scripts.codex_files.threads import INDEX, load_threads
from store.files import file_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scripts.codex_files.threads import ThreadInfo
    from store.documents import ThreadBranch, ThreadEntry, ThreadWords, TurnEntry, UsageDocument, UsageEntry


class ThreadNames(NamedTuple):
    """What is known of threads by their ids, and the short name of each project by its key."""

    threads: Mapping[str, ThreadInfo]
    projects: Mapping[str, str]

    def words(self, thread: str | None) -> ThreadWords:
        """Return title, folder and project of a thread as documents have them."""
        info = self.threads.get(thread or "")
        if info is None:
            return {"title": None, "folder": None, "project": None}
        return {"title": info.title, "folder": info.folder, "project": self.projects.get(info.project or "")}


NO_NAMES = ThreadNames({}, {})


def load_names(ids: Iterable[str | None], environ: Mapping[str, str] = os.environ) -> ThreadNames:
    """Return the names of threads by their ids (None is left out), from the folders that the environment names."""
    try:
        home, state = codex_home(environ), state_folder(environ)
        threads = load_threads(home, (each for each in ids if each is not None), state)
        return ThreadNames(threads, short_names(info.project for info in threads.values() if info.project))
    except RuntimeError:  # without a home folder, Codex has no files
        return NO_NAMES


def names_state(environ: Mapping[str, str] = os.environ) -> object:
    """Return a value that is another one when Codex has written a file that names come from."""
    try:
        home, state = codex_home(environ), state_path(state_folder(environ))
    except RuntimeError:  # without a home folder, Codex has no files
        return None
    paths = [home / INDEX, *([state, Path(f"{state}-wal")] if state else [])]
    return [(path, file_stamp(path)) for path in paths]


def name_usage(document: UsageDocument, environ: Mapping[str, str] = os.environ) -> UsageDocument:
    """Add the titles, folders and projects of threads to the rows of ``usage``, in place; return the document."""
    rows = document["rows"]
    if document["by"] == "thread":
        entries: list[UsageEntry] = [*rows, *(entry for row in rows for entry in row["tree"])]
        names = load_names((each["key"] for each in entries), environ)
        for entry in entries:
            _set_words(entry, names.words(entry["key"]))
    if document["by"] == "project":
        projects = short_names(row["key"] for row in rows if row["key"] is not None)
        for row in rows:
            project = row["project"] = projects.get(row["key"] or "")
            row["name"] = None if project == row["key"] else project
    return document


def name_threads(threads: list[ThreadEntry], environ: Mapping[str, str] = os.environ) -> list[ThreadEntry]:
    """Add titles, folders and projects to the entries of ``threads``, in place; return the entries."""
    entries: list[ThreadBranch] = [*threads, *(branch for each in threads for branch in each["tree"])]
    names = load_names((each["thread"] for each in entries), environ)
    for entry in entries:
        _set_words(entry, names.words(entry["thread"]))
    return threads


def name_turns(turns: list[TurnEntry], environ: Mapping[str, str] = os.environ) -> list[TurnEntry]:
    """Add the titles, folders and projects of their threads to turns, in place; return the turns."""
    names = load_names((each["thread"] for each in turns), environ)
    for turn in turns:
        _set_words(turn, names.words(turn["thread"]))
    return turns


def _set_words(entry: ThreadWords, words: ThreadWords) -> None:
    entry["title"], entry["folder"], entry["project"] = words["title"], words["folder"], words["project"]


def projects_of(ids: Iterable[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the keys of the projects of threads by their ids, where they are known."""
    return {thread: info.project for thread, info in load_names(ids, environ).threads.items() if info.project}
