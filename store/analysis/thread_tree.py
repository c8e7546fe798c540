"""Which thread was started by which: the turns of sub-agents and reviews count for the session that started them.

A turn of a sub-agent names the thread that started it. Codex makes the titles of threads in threads of their own, which
name no other: together they are the sub-agents of `TITLES`, a thread that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

TITLES = "thread_title"
"""The kind of the sub-agents that make titles of threads, and the thread that their use is shown under."""


MAX_DEPTH = 20
"""Threads further down are shown as if the thread at the top had started them; Codex itself allows fewer levels."""


class ThreadOrigin(NamedTuple):
    """What a turn says of where its thread comes from; None is unknown."""

    thread: str | None
    session: str | None
    parent_thread: str | None
    subagent: str | None


class Branch(NamedTuple):
    """A thread below a session. `depth` is 1 for a thread that the session itself started."""

    thread: str
    parent: str
    depth: int


class ThreadTree:
    """The parents of threads. What other programs wrote may name a circle: one of its threads has no parent here."""

    def __init__(self, origins: Iterable[ThreadOrigin]) -> None:
        """Collect the parents, in the order of the turns: the last word about a thread counts."""
        self.kinds: dict[str, str] = {}
        """By thread, the kind of sub-agent: ``review``, say. Threads of people are left out."""
        parents: dict[str, str] = {}
        sessions: dict[str, str] = {}
        for thread, session, parent, subagent in dict.fromkeys(origins):
            if thread is None or (parent is None and subagent is None):
                continue
            if subagent:
                self.kinds[thread] = subagent
            starter = TITLES if subagent == TITLES else parent or session
            if starter and starter != thread:
                parents[thread] = starter
                # A thread between the session and this one may have had no turn in the time range.
                if session and session not in (thread, starter) and starter != TITLES:
                    sessions[starter] = session
        self._roots: dict[str, str] = {}
        self._parents = _without_circles({**sessions, **parents})
        self._parents |= {thread: self.root(thread) for thread in _too_deep(self._parents)}

    def root(self, thread: str) -> str:
        """Return the thread at the top, which is the thread itself where no other started it."""
        if thread not in self._parents:  # nearly always
            return thread
        path = []
        while thread in self._parents and thread not in self._roots:
            path.append(thread)
            thread = self._parents[thread]
        found = self._roots.get(thread, thread)
        self._roots.update(dict.fromkeys(path, found))
        return found

    def parent(self, thread: str) -> str | None:
        """Return the thread that started a thread; None where no other did."""
        return self._parents.get(thread)

    def started(self) -> Collection[str]:
        """Return the threads that others started."""
        return self._parents.keys()

    def branches(
        self, threads: Iterable[str], rank: Callable[[str], tuple[float | str, ...]]
    ) -> dict[str, list[Branch]]:
        """Return by thread at the top the branches with the given threads, each before those below it.

        Args:
            threads: Those whose branches are wanted; what is between them and their top is added.
            rank: Gives the order of threads with the same parent.
        """
        below: dict[str, list[str]] = {}
        seen = set[str]()
        for each in threads:
            thread = each
            while thread not in seen and thread in self._parents:
                seen.add(thread)
                below.setdefault(self._parents[thread], []).append(thread)
                thread = self._parents[thread]
        return {root: list(_descend(root, below, rank)) for root in below if root not in self._parents}


def _descend(
    root: str, below: Mapping[str, list[str]], rank: Callable[[str], tuple[float | str, ...]]
) -> Iterable[Branch]:
    waiting = [Branch(root, root, 0)]
    while waiting:
        found = waiting.pop()
        if found.depth:
            yield found
        children = sorted(below.get(found.thread, []), key=rank, reverse=True)
        waiting += [Branch(child, found.thread, found.depth + 1) for child in children]


def _too_deep(parents: Mapping[str, str]) -> list[str]:
    """Return the threads that are more than `MAX_DEPTH` below the thread at their top."""
    depths: dict[str, int] = {}
    for start in parents:
        path = []
        thread = start
        while thread in parents and thread not in depths:
            path.append(thread)
            thread = parents[thread]
        above = depths.get(thread, 0)
        depths |= {each: depth for depth, each in enumerate(reversed(path), above + 1)}
    return [thread for thread, depth in depths.items() if depth > MAX_DEPTH]


def _without_circles(parents: Mapping[str, str]) -> dict[str, str]:
    """Return the parents without that of the first thread, by its id, of each circle."""
    kept = dict(parents)
    settled = set[str]()
    for start in parents:
        path: dict[str, None] = {}
        thread = start
        while thread in kept and thread not in settled:
            if thread in path:
                trail = list(path)
                del kept[min(trail[trail.index(thread) :])]
                break
            path[thread] = None
            thread = kept[thread]
        settled.update(path)
    return kept
