"""What threads are called on a terminal: by the name that a person gave, else the title in Codex, else a short id."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from scripts.render.console import truncate
from scripts.support.sanitize import sanitize
from store.analysis.thread_tree import TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.render.console import Glyphs

SHORT_ID = 8
"""Characters of a thread's id that are shown, unless another id has the same prefix."""

TITLES_LABEL = "titles of threads"
_REVIEW, _ANY_REVIEW = "review", "Review the current code changes"
"""The first message of a review that Codex words itself tells nothing."""

_KINDS = {
    "collab_spawn": "sub-agent",
    "thread_spawn": "sub-agent",
    "compact": "compaction",
    "memory_consolidation": "memory",
    TITLES: "title of a thread",
}


class LabelledThread(NamedTuple):
    """What the label of a thread is made of; `kind` is that of a sub-agent, `depth` how far it is indented."""

    thread: str
    name: str | None
    title: str | None
    kind: str | None = None
    depth: int = 0


def kind_label(kind: str) -> str:
    """Return the words for a kind of sub-agent."""
    return _KINDS.get(kind, sanitize(kind).replace("_", " "))


def thread_labels(
    threads: Sequence[LabelledThread], width: int, glyphs: Glyphs, *, beside_ids: bool = False
) -> dict[str, str]:
    """Return the label of each thread by its id, at most so wide.

    A short id stands for what has no name and no title, and tells apart what would look the same; `beside_ids` leaves
    both out.
    """
    short = short_ids(each.thread for each in threads)
    whole = {each.thread: _label(each, "" if beside_ids else short[each.thread]) for each in threads}
    looks = Counter(truncate(label, width, glyphs).strip() for label in whole.values())
    for thread, label in whole.items():
        shown = truncate(label, width, glyphs)
        if looks[shown.strip()] > 1 and not beside_ids:
            shown = f"{truncate(label, max(0, width - len(short[thread]) - 1), glyphs)} {short[thread]}"
        whole[thread] = shown
    return whole


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return for each id its shortest unique prefix of at least `SHORT_ID` characters."""
    ordered = sorted(set(ids))
    found = {}
    for before, each, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        length = max(SHORT_ID, 1 + max(_common(before, each), _common(each, after)))
        found[each] = sanitize(each[:length])
    return found


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _label(each: LabelledThread, short_id: str) -> str:
    title = "" if each.kind == _REVIEW and (each.title or "").startswith(_ANY_REVIEW) else each.title
    words = sanitize(each.name or title or "")
    if each.thread == TITLES:
        label = TITLES_LABEL
    elif each.kind and not each.name:
        label = f"{kind_label(each.kind)}: {words}" if words else f"{kind_label(each.kind)} {short_id}".rstrip()
    else:
        label = words or short_id
    return f"{'  ' * each.depth}{label}"
