"""The text of `usage`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.usage import render_usage
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.usage import empty_usage, load_usage
from tests.support.factories import NOON, AccountHistory, insert_history
from tests.support.rendering import UTC, lines
from tests.support.usage_factories import sample, turn

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.render.console import TerminalProfile
    from store.constants import GroupBy
    from store.documents import UsageDocument, UsageEntry, UsageRow

NARROW, PIPE = UTC._replace(width=60), UTC._replace(unlimited=True)


def entry(key: str | None, points: float = 1.0, **fields: Any) -> UsageEntry:
    """A thread with one turn."""
    usual = empty_usage(0, by="thread", since=-1)["total"]
    words = dict.fromkeys(("name", "title", "folder", "project", "kind", "parent"))
    flags = {"elsewhere": False, "pending": False, "depth": 0}
    found = {**usual, **words, **flags, "key": key, "points": points, "turns": 1, "input_tokens": 12_000, **fields}
    return cast("UsageEntry", found)


def row(key: str | None, points: float = 1.0, *tree: UsageEntry, **fields: Any) -> UsageRow:
    return {**entry(key, points, **fields), "tree": list(tree), "by_model": [], "start": None, "end": None}


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
        row("0199aaaa-1", 8, review, agent, title="Fix the flaky checkout tests", api_value_usd=1234.56),
        row("0199bbbb-1", 4, name="docs", title="Write the docs"),
        row("0199cccc-1", 2),
        row("thread_title", 1),
        row(None, 1),
        row(None, 3, elsewhere=True),
    ]
    assert shown(*rows) == lines("""
        Thread                  Points          Turns   Input  Cached  Output  API value
        Fix the flaky checkou…     8.0  ██████      1  12,000       0       0  $1,234.56
          review: Review the …     2.0  ██          1  12,000       0       0
            sub-agent 0199eeee     1.0  █           1  12,000       0       0
        docs                       4.0  ███         1  12,000       0       0
        0199cccc                   2.0  ██          1  12,000       0       0
        titles of threads          1.0  █           1  12,000       0       0
        thread not reported        1.0  █           1  12,000       0       0
        used elsewhere             3.0  ██
        total                      0.0              0       0       0       0
    """)


def test_a_narrow_terminal_has_labels_in_place_of_bars_and_columns() -> None:
    rows = [row("0199aaaa-1", 8, title="Fix the flaky checkout tests"), row("0199cccc-1", 2)]
    assert shown(*rows, profile=NARROW) == lines("""
        Thread              Points  Turns   Input  Output  API value
        Fix the flaky che…     8.0      1  12,000       0
        0199cccc               2.0      1  12,000       0
        total                  0.0      0       0       0
    """)
    assert shown(*rows, profile=UTC._replace(width=50)) == lines("""
        Thread            Points  Turns  Output  API value
        Fix the flaky c…     8.0      1       0
        0199cccc             2.0      1       0
        total                0.0      0       0
    """)


@pytest.mark.parametrize("profile", [UTC, NARROW, PIPE], ids=["80", "60", "pipe"])
def test_equal_titles_are_told_apart(profile: TerminalProfile) -> None:
    text = shown(*(row(f"0199aaa{number}-1", title=("say ok " * 10).strip()) for number in range(3)), profile=profile)
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
        ("machine", "Machine", ["laptop", None], ["laptop", "this file"]),
    ],
)
def test_other_rows(by: GroupBy, heading: str, keys: list[str | None], labels: list[str]) -> None:
    names = {"/work/shop": "shop"}
    text = shown(*(row(key, name=names.get(key or "")) for key in keys), by=by)
    assert [line.split("   ")[0] for line in text.splitlines()] == [heading, *labels, "total"]


HOUR = 3_600


def recorded(path: Path, by: GroupBy, **options: Any) -> list[str]:
    """Return the rows of 30 threads, one an hour, of which each used a point more than the one before."""
    used = [sum(range(number + 1)) / 10 for number in range(31)]
    begin = NOON - 31 * HOUR
    samples = [sample(each, begin + number * HOUR, resets_at=None) for number, each in enumerate(used)]
    turns = [
        turn(begin + number * HOUR - 900, begin + number * HOUR - 600, number * 10, thread=f"{number:08x}")
        for number in range(1, 31)
    ]
    insert_history(path, AccountHistory(samples, turns))
    with closing(open_reader(path)) as connection:
        document = load_usage(
            connection, NOON, accounts=load_accounts(connection), by=by, since=NOON - 48 * HOUR, zone=UTC.zone
        )
    return render_usage(document, **{"profile": UTC, **options}).plain.splitlines()[2:]


def test_a_long_list_on_a_terminal(path: Path) -> None:
    """The rows that used least are one, with their sums; all is still the total."""
    rows = recorded(path, "thread")
    assert rows[0].startswith("0000001e")
    assert rows[19].startswith("0000000b")
    assert rows[20].split() == ["…", "and", "10", "more", "(--all)", "5.5", "10", "0", "0", "550"]
    assert rows[21].split() == ["total", "46.5", "30", "0", "0", "4,650"]


def test_a_long_list_by_time(path: Path) -> None:
    """The earliest hours are the row at the beginning."""
    rows = recorded(path, "hour")
    assert rows[0].split()[:5] == ["…", "and", "10", "more", "(--all)"]
    assert rows[20].startswith("2026-11-21 10:00")
    assert rows[21].startswith("total")


@pytest.mark.parametrize(
    "options", [{"all_rows": True}, {"profile": UTC._replace(unlimited=True)}], ids=["all", "pipe"]
)
def test_a_whole_list(path: Path, options: dict[str, Any]) -> None:
    """`--all`, and a pipe, have each row."""
    rows = recorded(path, "thread", **options)
    assert rows[29].startswith("00000001")
    assert rows[30].startswith("total")


def test_what_is_left_out_stands_in_one_line() -> None:
    rows = [row(f"{number:08}-1", 2, entry("below", kind="review", depth=1)) for number in range(30)]
    elsewhere = row(None, 3, elsewhere=True)
    *_, rest, other, total = shown(*rows, elsewhere).splitlines()
    assert rest.split() == ["…", "and", "10", "more", "(--all)", "20.0", "10", "120", "k", "0", "0"]
    assert (other.split()[0], total.split()[0]) == ("used", "total")
    assert "more" not in shown(*rows, elsewhere, all_rows=True)
    assert "more" not in shown(*rows, elsewhere, profile=PIPE)


def valued(document: UsageDocument) -> list[str]:
    """The lines below the table."""
    return render_usage(document, PIPE).plain.partition("\n\n")[2].splitlines()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (("model", "gpt-x", None), "12 turns of gpt-x (no price known)"),
        (("tier", "gpt-x", "ultra\x1b[31mfast"), "12 turns of gpt-x at tier ultra\ufffd[31mfast (no price known)"),
        (("model_not_reported", None, None), "12 turns without a reported model"),
        (("tokens_not_reported", "gpt-x", None), "12 turns of gpt-x (cut off, no token counts)"),
        (("tokens_not_reported", None, None), "12 turns of an unknown model (cut off, no token counts)"),
    ],
)
def test_a_note_says_what_is_not_priced(reason: tuple[Any, str | None, str | None], text: str) -> None:
    document = empty_usage(NOON, by="thread", since=0)
    document["not_priced"] = [{"reason": reason[0], "model": reason[1], "tier": reason[2], "turns": 12}]
    (note,) = [line for line in valued(document) if line.startswith("Not priced: ")]
    assert note == f"Not priced: {text}."


def test_many_reasons_are_summed() -> None:
    document = empty_usage(NOON, by="thread", since=0)
    document["not_priced"] = [
        {"reason": "model", "model": f"m{number}", "tier": None, "turns": 1_000 * (6 - number)} for number in range(6)
    ]
    (note,) = [line for line in valued(document) if line.startswith("Not priced: ")]
    assert note.endswith("3,000 turns of m3 (no price known), 3,000 others.")


@pytest.mark.parametrize(
    ("value", "not_priced", "cell", "sentence"),
    [
        (None, 0, "", "In all 0 points, 12,000 tokens."),
        (38.2, 0, "$38.20", "In all 0 points, 12,000 tokens, $38.20 at public API prices."),
        (
            1_234.567,
            1_200,
            "$1,234.57+",
            "In all 0 points, 12,000 tokens, $1,234.57 at public API prices + 1,200 turns not priced.",
        ),
        (0.004, 1, "<$0.01+", "In all 0 points, 12,000 tokens, <$0.01 at public API prices + 1 turn not priced."),
        (0.0, 0, "$0.00", "In all 0 points, 12,000 tokens, $0.00 at public API prices."),
        (None, 3, "?", "In all 0 points, 12,000 tokens."),
    ],
    ids=["nothing asked", "priced", "in part", "below a cent", "free of charge", "not priced"],
)
def test_a_value_says_what_it_leaves_out(value: float | None, not_priced: int, cell: str, sentence: str) -> None:
    figures: Any = {"api_value_usd": value, "not_priced_turns": not_priced, "input_tokens": 12_000}
    document = empty_usage(NOON, by="thread", since=0)
    document["total"] |= figures
    *_, total = render_usage(document, PIPE).plain.partition("\n\n")[0].splitlines()
    assert total.removeprefix("total").split()[5:] == ([cell] if cell else [])
    assert valued(document)[0] == sentence
    assert ("On a plan nothing was paid for it." in "\n".join(valued(document))) == (value is not None)


def test_what_is_left_out_has_a_value_as_well() -> None:
    rows = [
        row(f"{number:08}-1", api_value_usd=None if number % 2 else 0.5, not_priced_turns=number % 2)
        for number in range(30)
    ]
    rest = next(line for line in shown(*rows).splitlines() if "(--all)" in line)
    assert rest.split()[-1] == "$2.50+"


@pytest.mark.parametrize(("keys", "noted"), [([None], True), (["/work/shop", None], False)])
def test_no_project_at_all_has_a_reason(keys: list[str | None], noted: bool) -> None:
    document = empty_usage(NOON, by="project", since=NOON - 86_400)
    document["rows"] = [row(key) for key in keys]
    assert ("None of these threads is known to Codex" in render_usage(document, PIPE).plain) == noted
