"""The text of `usage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.usage import render_usage
from store.queries.usage import empty_usage
from tests.support.factories import NOON
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from scripts.render.console import TerminalProfile
    from store.constants import GroupBy
    from store.documents import UsageEntry, UsageRow

NARROW, PIPE = UTC._replace(width=60), UTC._replace(unlimited=True)


def entry(key: str | None, points: float = 1.0, **fields: Any) -> UsageEntry:
    """A thread with one turn."""
    usual = empty_usage(0, by="thread", since=-1)["total"]
    words = dict.fromkeys(("name", "title", "folder", "project", "kind", "parent"))
    flags = {"elsewhere": False, "pending": False, "depth": 0}
    found = {**usual, **words, **flags, "key": key, "points": points, "turns": 1, "input_tokens": 12_000, **fields}
    return cast("UsageEntry", found)


def row(key: str | None, points: float = 1.0, *tree: UsageEntry, **fields: Any) -> UsageRow:
    return {**entry(key, points, **fields), "tree": list(tree), "start": None, "end": None, "by_model": []}


def shown(*rows: UsageRow, by: GroupBy = "thread", profile: TerminalProfile = UTC, **options: Any) -> str:
    """The table, without the line above it and the notes below."""
    document = empty_usage(NOON, by=by, since=NOON - 86_400)
    document["rows"] = list(rows)
    _, *table = render_usage(document, profile, **options).plain.partition("\n\n")[0].splitlines()
    return "\n".join(table)


def test_threads_go_by_name_title_or_id() -> None:
    review = entry("0199dddd-1", 2, kind="review", title="Review the changes", parent="0199aaaa-1", depth=1)
    agent = entry("0199eeee-1", 1, kind="collab_spawn", parent="0199dddd-1", depth=2)
    rows = [
        row("0199aaaa-1", 8, review, agent, title="Fix the flaky checkout tests"),
        row("0199bbbb-1", 4, name="docs", title="Write the docs"),
        row("0199cccc-1", 2),
        row("thread_title", 1),
        row(None, 1),
        row(None, 3, elsewhere=True),
    ]
    assert shown(*rows) == lines("""
        Thread                        Points               Turns   Input  Cached  Output
        Fix the flaky checkout tests     8.0  ███████████      1  12,000       0       0
          review: Review the changes     2.0  ███              1  12,000       0       0
            sub-agent 0199eeee           1.0  █                1  12,000       0       0
        docs                             4.0  ██████           1  12,000       0       0
        0199cccc                         2.0  ███              1  12,000       0       0
        titles of threads                1.0  █                1  12,000       0       0
        thread not reported              1.0  █                1  12,000       0       0
        used elsewhere                   3.0  ████
        total                            0.0                   0       0       0       0
    """)


def test_a_narrow_terminal_has_labels_in_place_of_bars() -> None:
    rows = [row("0199aaaa-1", 8, title="Fix the flaky checkout tests"), row("0199cccc-1", 2)]
    assert shown(*rows, profile=NARROW) == lines("""
        Thread                 Points  Turns   Input  Cached  Output
        Fix the flaky checko…     8.0      1  12,000       0       0
        0199cccc                  2.0      1  12,000       0       0
        total                     0.0      0       0       0       0
    """)


@pytest.mark.parametrize("profile", [UTC, NARROW, PIPE], ids=["80", "60", "pipe"])
def test_equal_titles_are_told_apart(profile: TerminalProfile) -> None:
    text = shown(*(row(f"0199aaa{number}-1", title="say ok " * 10) for number in range(3)), profile=profile)
    assert [line.split("  ")[0].split()[-1] for line in text.splitlines()[1:4]] == [f"0199aaa{n}" for n in range(3)]


@pytest.mark.parametrize(
    ("by", "heading", "keys", "labels"),
    [
        ("project", "Project", ["/work/shop", None], ["shop", "no project known"]),
        ("effort", "Effort", ["high", None], ["high", "effort not reported"]),
        (
            "subagent",
            "Sub-agent",
            ["collab_spawn", "thread_title", None],
            ["sub-agent", "title of a thread", "no sub-agent"],
        ),
        ("tier", "Tier", ["priority", None], ["priority", "standard"]),
        ("client", "Client", ["codex_exec", None], ["codex_exec", "client not reported"]),
    ],
)
def test_other_rows(by: GroupBy, heading: str, keys: list[str | None], labels: list[str]) -> None:
    names = {"/work/shop": "shop"}
    text = shown(*(row(key, name=names.get(key or "")) for key in keys), by=by)
    assert [line.split("   ")[0] for line in text.splitlines()] == [heading, *labels, "total"]


def test_what_is_left_out_stands_in_one_line() -> None:
    rows = [row(f"{number:08}-1", 2, entry("below", kind="review", depth=1)) for number in range(30)]
    elsewhere = row(None, 3, elsewhere=True)
    *_, rest, other, total = shown(*rows, elsewhere).splitlines()
    assert rest.split() == ["…", "and", "10", "more", "(--all)", "20.0", "10", "120", "k", "0", "0"]
    assert (other.split()[0], total.split()[0]) == ("used", "total")
    assert "more" not in shown(*rows, elsewhere, all_rows=True)
    assert "more" not in shown(*rows, elsewhere, profile=PIPE)
