"""The output queue."""

from __future__ import annotations

import threading

import pytest

from scripts.support.output_queue import OutputQueue


class Terminal:
    """Accepts text as soon as its gate is open."""

    def __init__(self) -> None:
        self.gate, self.busy = threading.Event(), threading.Event()
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        """Accept text, but not before the gate is open."""
        self.busy.set()
        self.gate.wait(30)
        self.lines.append(text)


def test_a_line_never_waits_and_dropped_lines_are_counted() -> None:
    """A blocked output keeps lines up to the capacity; their reader learns how many were dropped."""
    terminal = Terminal()
    queue = OutputQueue(terminal.write, max_characters=30)
    queue.put("a line that is written at once")
    assert terminal.busy.wait(30)
    for number in range(10):
        queue.put(f"{number}" * 10)
    assert not queue.drain(0)

    terminal.gate.set()
    assert queue.drain(30)
    assert terminal.lines == [
        "a line that is written at once\n",
        "0000000000\n",
        "1111111111\n",
        "2222222222\n",
        "codex-tap: 7 lines were dropped: the output was blocked\n",
    ]
    queue.put("another line")
    assert queue.drain(30)
    assert terminal.lines[-1] == "another line\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_closed_output_ends_nothing(error: Exception) -> None:
    """Each line is tried; a failure does not reach the thread that queued it."""
    tried = []

    def write(text: str) -> None:
        tried.append(text)
        raise error

    queue = OutputQueue(write)
    queue.put("one")
    queue.put("two")
    assert queue.drain(30)
    assert tried == ["one\n", "two\n"]


def test_a_line_longer_than_the_limit_is_written() -> None:
    """The capacity limits the queue, not a single line."""
    lines: list[str] = []
    queue = OutputQueue(lines.append, max_characters=5)
    queue.put("longer than five")
    assert queue.drain(30)
    assert lines == ["longer than five\n"]
