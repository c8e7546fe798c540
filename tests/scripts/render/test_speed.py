"""The text of `codex-tap speed`."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import pytest

from scripts.render.speed import render_speed
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.speed import load_speed
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.rendering import UTC
from tests.support.speed_factories import recorded, weeks_of_turns

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import SpeedDocument


@pytest.fixture
def document(path: Path) -> SpeedDocument:
    """A slow hour after weeks of usual ones, with a turn of each other outcome."""
    now = [recorded(NOON - 100 * number - 10, 5.0) for number in range(24)]
    others = [
        recorded(NOON - 3_600, output=None, status=429, model="gpt\x1b[31m"),
        recorded(NOON - 3_600, output=None, status=503),
        recorded(NOON - 3_600, output=None, status=None, error_type="interrupted"),
        recorded(NOON - 3_600, response_model="other"),
    ]
    record(path, used(5.0), *weeks_of_turns(NOON), *others, *now)
    with contextlib.closing(open_reader(path)) as connection:
        return load_speed(connection, NOON, accounts=load_accounts(connection), since=NOON - 86_400, zone=dt.UTC)


def test_wide(document: SpeedDocument) -> None:
    """The verdict, what it rests on, a line for each model, and notes."""
    head, ground, _, *table, _, medians, failed, refused, cut_off, rerouted = render_speed(
        document, UTC._replace(unlimited=True)
    ).plain.splitlines()
    assert head == (
        "Slower than usual: 5.0 s to the first byte (usually 2.0 s, 95 % within 2.0 s) and 50 tokens a second (usually"
        " 50, 95 % at least 50) in the last 24 h, 26 turns."
    )
    assert ground == (
        "Turns of the same model, effort, tier and size of input take 2.5 times as long to the first byte: more than on"
        " 19 of 19 days."
    )
    assert [line.rsplit(maxsplit=6)[1:] for line in table] == [
        ["usual", "Input", "Failed", "Refused", "Cut", "off", "Rerouted"][-6:],
        ["50", "30,000", "1", "-", "1", "1"],
        ["-", "-", "-", "1", "-", "-"],
        ["50", "30,000", "1", "1", "1", "1"],
    ]
    assert medians.endswith("usual: the same hours of the 28 days of UTC before.")
    assert failed == "Failed: 503 1."
    assert [note.partition(":")[0] for note in (refused, cut_off, rerouted)] == ["Refused", "Cut off", "Rerouted"]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_narrow(document: SpeedDocument, width: int) -> None:
    """No line is longer than the terminal; the columns that matter least go first."""
    found = render_speed(document, UTC._replace(width=width)).plain.splitlines()
    assert max(map(len, found)) <= width
    (head,) = [line for line in found if line.startswith("Model")]
    assert head.split()[1:4] == ["Turns", "First", "byte"]
    assert ("Rerouted" in head) is (width >= 80)
    assert "\x1b" not in "".join(found)
