"""Responses that are given again: only those of the same state, for a minute, and never more than so many bytes."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from scripts.web.response_memory import SECONDS, ResponseMemory


def kept(memory: ResponseMemory, asked: str, size: int = 10) -> None:
    memory.keep(asked, "state", 100.0, Response(b"x" * size, headers={"ETag": f'W/"{asked}"'}))


@pytest.mark.parametrize(
    ("asked", "state", "now", "found"),
    [
        ("a", "state", 100.0, True),
        ("a", "state", 100.0 + SECONDS - 1, True),
        ("a", "state", 100.0 + SECONDS, False),
        ("a", "another", 100.0, False),
        ("b", "state", 100.0, False),
    ],
)
def test_the_same_question_in_the_same_state(asked: str, state: str, now: float, *, found: bool) -> None:
    """A response of another state, or of more than a minute ago, is not given again."""
    memory = ResponseMemory()
    kept(memory, "a")
    response = memory.find(asked, state, now)
    assert (response is not None) == found
    if response is not None:
        assert (response.body, response.headers["ETag"], response.headers["content-length"]) == (
            b"x" * 10,
            'W/"a"',
            "10",
        )


def test_a_newer_response_takes_the_place_of_an_older_one() -> None:
    """Its bytes are counted once."""
    memory = ResponseMemory(20)
    for _ in range(3):
        kept(memory, "a")
    kept(memory, "b")
    assert all(memory.find(asked, "state", 101.0) for asked in "ab")


def test_the_bytes_are_bounded() -> None:
    """What was used least recently is forgotten first; what is larger than all that may be kept is not kept."""
    memory = ResponseMemory(25)
    kept(memory, "a")
    kept(memory, "b")
    assert memory.find("a", "state", 101.0)
    kept(memory, "c")
    kept(memory, "large", 26)
    assert {asked: memory.find(asked, "state", 101.0) is not None for asked in ("a", "b", "c", "large")} == {
        "a": True,
        "b": False,
        "c": True,
        "large": False,
    }
