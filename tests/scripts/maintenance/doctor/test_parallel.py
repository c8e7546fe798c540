"""Checks that run at the same time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.parallel import Job, run_all
from scripts.support.errors import FAILED, WRONG_USE, LaunchError

if TYPE_CHECKING:
    from collections.abc import Iterator

FINE = Check("fine", "ok", "yes")


def fine() -> Iterator[Check]:
    yield FINE


def failing(error: Exception) -> Iterator[Check]:
    yield FINE
    raise error


def test_results_have_the_order_of_the_jobs() -> None:
    """The first job waits for the second: they run at the same time."""
    second_ran = threading.Event()

    def first() -> Iterator[Check]:
        assert second_ran.wait(20)
        yield Check("first", "ok", "")

    def second() -> Iterator[Check]:
        second_ran.set()
        yield Check("second", "ok", "")

    assert [each.name for each in run_all([Job("first", first), Job("second", second)], 20)] == ["first", "second"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/etc/shadow"), "Permission denied (/etc/shadow)"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("a line of a private file"), "ValueError"),
        (LaunchError("no proxy responds", FAILED), "no proxy responds"),
    ],
    ids=["a file", "a system call", "a mistake", "an expected failure"],
)
def test_a_check_that_fails_is_a_note(error: Exception, reason: str) -> None:
    """What it found before stays, and the text of an unexpected error, which may quote a file, is left out."""
    found = run_all([Job("bad", lambda: failing(error)), Job("fine", fine)], 20)
    assert found == [FINE, Check("bad", "note", f"not known: the check fails: {reason}"), FINE]


def test_a_check_that_hangs_is_a_note() -> None:
    """The other results are there."""
    ended = threading.Event()

    def hanging() -> Iterator[Check]:
        ended.wait(60)
        yield FINE

    found = run_all([Job("slow", hanging), Job("fine", fine)], 0.2)
    ended.set()
    assert found == [Check("slow", "note", "not known: the check takes longer than 0 s"), FINE]


def test_wrong_use_is_the_error_of_the_command() -> None:
    """An option that cannot be understood is not a result."""
    with pytest.raises(LaunchError, match="not an address"):
        run_all([Job("proxy", lambda: failing(LaunchError("not an address", WRONG_USE)))], 20)
