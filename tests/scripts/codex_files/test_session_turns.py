"""Turns and limits out of the lines of a session file."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from scripts.codex_files.session_lines import SessionLines
from scripts.codex_files.session_turns import SessionTurns
from store.imports import ImportedLimit, ImportedTurn, Owner
from store.models import Window
from tests.support.factories import NOON
from tests.support.session_files import WEEK, SessionText, limits, thread_id, usage

TOKENS = (1_000, 800, 50, 20, 7)
COUNTS = (1_000, 800, 7, 50, 20)
"""The same in the order of `ImportedTurn`."""


def read(
    content: bytes | SessionText, since: float = 0.0, state: str | None = None, thread: str | None = None
) -> SessionTurns:
    """Feed all lines of a file."""
    found = SessionTurns(thread or thread_id(1), since, NOON + 1_000_000)
    if state:
        found.resume(json.loads(state))
    lines = SessionLines(io.BytesIO(content if isinstance(content, bytes) else content.content))
    for line in lines:
        found.feed(line)
    found.note_input(lines.input_head)
    return found


def taken(content: bytes | SessionText, **options: Any) -> tuple[list[ImportedTurn], list[ImportedLimit]]:
    return read(content, **options).take()


def week(used: float) -> dict[str, Window]:
    return {"7d": Window(used_percent=used, window_minutes=10_080, resets_at=WEEK["resets_at"])}


def test_a_session() -> None:
    """Each response is a turn with its tokens; the limits that came with its beginning held when it was asked for."""
    text = SessionText().begin(NOON).ask(NOON + 1, effort="high").tier(NOON + 1, "priority")
    text.respond(NOON + 5, TOKENS, response="resp_1", limits=limits(40)).output(NOON + 8)
    text.respond(NOON + 12, TOKENS, response="resp_2", limits=limits(41))
    found = read(text)
    turns, told = found.take()

    about = ("gpt-6.1-sol", "high", "priority")
    assert turns == [
        ImportedTurn(*about, NOON + 1, NOON + 5, "resp_1", *COUNTS),
        ImportedTurn(*about, NOON + 8, NOON + 12, "resp_2", *COUNTS),
    ]
    assert told == [
        ImportedLimit("codex", None, NOON + 1, NOON + 1, week(40)),
        ImportedLimit("codex", None, NOON + 8, NOON + 8, week(41)),
    ]
    info = found.info
    assert (info.thread, info.session, info.client, info.owner) == (
        *(thread_id(1), thread_id(1), "codex_exec"),
        Owner("acct-a", "user-a"),
    )
    assert found.damaged == 0


def test_a_session_without_records() -> None:
    """Before there were records, counts told the tokens; one that only brings a limit repeats those before it."""
    text = SessionText(account=None, ordinals=False).begin(NOON).ask(NOON + 1)
    text.count(NOON + 2, None, limits=limits(40)).respond(NOON + 5, TOKENS, limits=limits(40), record=False)
    text.ask(NOON + 9).count(NOON + 10, TOKENS, limits=limits(41))
    text.respond(NOON + 12, TOKENS, limits=limits(41), record=False)
    turns, told = taken(text)

    assert [(turn.started_at, turn.ended_at, turn.response_id) for turn in turns] == [
        (NOON + 1, NOON + 5, None),
        (NOON + 9, NOON + 12, None),
    ]
    assert [(each.first_seen_at, each.last_seen_at, each.windows) for each in told] == [
        (NOON + 2, NOON + 2, week(40)),
        (NOON + 10, NOON + 10, week(41)),
    ]
    assert read(text).info.owner is None


def test_a_session_that_was_continued_by_a_newer_version() -> None:
    """Its older turns are told by counts, its newer ones by records, and each is one turn."""
    text = SessionText().begin(NOON).ask(NOON + 1).respond(NOON + 5, TOKENS, limits=limits(), record=False)
    text.ask(NOON + 10).count(NOON + 11, TOKENS, limits=limits(41)).respond(NOON + 15, TOKENS, response="resp_2")
    turns, _ = taken(text)
    assert [turn.response_id for turn in turns] == [None, "resp_2"]


def test_a_fork_that_begins_with_a_copy() -> None:
    """The copied lines have the time of the fork: their turns and limits are those of the parent's file."""
    parent = SessionText(thread_id(7)).begin(NOON + 100)
    parent.ask(NOON + 100).respond(NOON + 100, TOKENS, limits=limits(10), record=False)
    fork = SessionText(totals=list(parent.totals)).begin(NOON + 100, forked_from_id=thread_id(7))
    fork.lines += parent.lines
    fork.ask(NOON + 100.02).respond(NOON + 104, (7_777, 0, 7, 0), limits=limits(10), record=False)
    turns, told = taken(fork)
    assert [(turn.ended_at, turn.input_tokens) for turn in turns] == [(NOON + 104, 7_777)]
    assert [(each.first_seen_at, each.windows) for each in told] == [(NOON + 100.02, week(10))]


def test_a_record_of_another_thread() -> None:
    """It is in the file of that thread as well."""
    text = SessionText().begin(NOON).ask(NOON + 1)
    text.add(NOON + 2, "token_usage_record", {"thread_id": thread_id(2), "response_id": "r", "usage": usage(TOKENS)})
    assert taken(text)[0] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("exec", None),
        ({"subagent": "review"}, "review"),
        ({"subagent": {"thread_spawn": {"depth": 1}}}, "thread_spawn"),
        ({"subagent": 7}, None),
        (None, None),
    ],
    ids=["none", "a word", "an object", "a number", "null"],
)
def test_sub_agents(source: object, expected: str | None) -> None:
    """The kind is a word, or the name of the one field."""
    info = read(SessionText().begin(NOON, source=source, parent_thread_id=thread_id(2))).info
    assert (info.subagent, info.parent_thread) == (expected, thread_id(2))


FOX = {"limit_id": "codex_bengalfox", "limit_name": "GPT-5.3-Codex-Spark"}
FIVE = {"used_percent": 12, "window_minutes": 300, "resets_at": int(NOON) + 9_000}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (limits(40, secondary=FIVE), ("codex", None, {"5h": 12.0, "7d": 40.0})),
        (limits(40, **FOX), ("codex_bengalfox", "GPT-5.3-Codex-Spark", {"7d": 40.0})),
        (limits(40, limit_id=None), ("codex", None, {"7d": 40.0})),
        ({"primary": {**FIVE, "resets_at": None, "resets_in_seconds": 60}}, ("codex", None, {"5h": 12.0})),
        ({"limit_id": "premium", "primary": None, "secondary": None}, None),
        (None, None),
        ({"primary": [1], "secondary": "x", "limit_id": {}}, None),
        ({"primary": {"used_percent": 1e400, "window_minutes": -5, "resets_at": "soon"}}, None),
    ],
    ids=["two windows", "another limit", "no id", "seconds", "a refusal", "null", "wrong types", "absurd"],
)
def test_limits(told: dict[str, Any] | None, expected: tuple[str, str | None, dict[str, float]] | None) -> None:
    """They are in the slots of their lengths; a refusal, which Codex writes without windows, says nothing."""
    text = SessionText().begin(NOON).ask(NOON).respond(NOON + 5, TOKENS, response="r", limits=told)
    _, found = taken(text)
    shown = [
        (each.limit_id, each.limit_name, {slot: window.used_percent for slot, window in each.windows.items()})
        for each in found
    ]
    assert shown == ([expected] if expected else [])


def test_a_limit_that_stays() -> None:
    """It is one reading, from the first to the last time, until something else was told."""
    text = SessionText().begin(NOON)
    for number, used in enumerate((40, 40, None, 40)):
        told = None if used is None else limits(used)
        text.ask(NOON + 10 * number).respond(NOON + 10 * number + 5, TOKENS, response=f"r{number}", limits=told)
    assert [(each.first_seen_at, each.last_seen_at) for each in taken(text)[1]] == [(NOON, NOON + 10), (NOON + 30,) * 2]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"input_tokens": 10, "output_tokens": 2}, (10, None, None, 2, None)),
        ({"input_tokens": 10**30, "output_tokens": -1, "cached_input_tokens": "8"}, (None, 8, None, None, None)),
        ({"input_tokens": None, "output_tokens": [2], "reasoning_output_tokens": True}, (None,) * 5),
    ],
    ids=["few", "giant", "wrong types"],
)
def test_odd_tokens(found: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    """A value that cannot be is left out, its neighbours stay."""
    text = SessionText().begin(NOON).ask(NOON)
    text.add(NOON + 1, "token_usage_record", {"thread_id": thread_id(1), "response_id": "r", "usage": found})
    (turn,) = taken(text)[0]
    assert turn[-5:] == expected


@pytest.mark.parametrize(
    "line",
    [
        b'{"timestamp":"never","type":"turn_context","payload":{"model":"other"}}',
        b'{"timestamp":"2126-11-21T12:00:00Z","type":"turn_context","payload":{"model":"other"}}',
        b'{"timestamp":"2026-11-21T12:00:00Z","type":"turn_context","payload":{"model":"oth',
        b'{"timestamp":"2026-11-21T12:00:00Z","type":"turn_context","payload":"\xff\xfe"}',
        b'{"timestamp":"2026-11-21T12:00:00Z","type":"turn_context","payload":7}',
        b'{"timestamp":"2026-11-21T12:00:00Z","type":"turn_context","payload":' + b"[" * 100_000,
        b'{"timestamp":"2026-11-21T12:00:00Z","type":"token_usage_record","payload":{}}',
    ],
    ids=["no time", "a century ahead", "cut off", "no text", "no object", "deep", "no usage"],
)
def test_damaged_lines(line: bytes) -> None:
    """They are counted and have no effect."""
    text = SessionText().begin(NOON).ask(NOON)
    text.lines.append(line + b"\n")
    found = read(text.respond(NOON + 5, TOKENS, response="r"))
    (turn,) = found.take()[0]
    assert (turn.model, found.damaged) == ("gpt-6.1-sol", 1)


def test_what_is_older_is_passed_over() -> None:
    """A reading that still stood at the time that was asked for is kept."""
    text = SessionText().begin(NOON)
    for number, used in enumerate((40, 41)):
        text.ask(NOON + 10 * number).respond(NOON + 10 * number + 5, TOKENS, response=f"r{number}", limits=limits(used))
    found = read(text, since=NOON + 10)
    turns, told = found.take()
    assert ([turn.response_id for turn in turns], [each.windows for each in told]) == (["r1"], [week(41)])
    assert found.passed_over
    assert not read(text, since=NOON - 10).passed_over


@pytest.mark.parametrize("record", [True, False], ids=["with records", "without records"])
def test_a_file_is_read_on_at_any_line(record: bool) -> None:
    """Two readings of its parts, the second with the state after the first, find what one of the whole finds."""
    text = SessionText().begin(NOON).tier(NOON, "priority")
    for number in range(4):
        at = NOON + 20 * number
        text.ask(at, model=f"m{number // 2}", effort="low").output(at + 2)
        told = limits(40 + number)
        text.respond(at + 9, (100 + number,), response=f"r{number}" if record else None, limits=told, record=record)
    whole, _ = taken(text)
    for parts in range(1, len(text.lines)):
        first = read(b"".join(text.lines[:parts]))
        rest = read(b"".join(text.lines[parts:]), state=first.state)
        assert [*first.take()[0], *rest.take()[0]] == whole, parts
