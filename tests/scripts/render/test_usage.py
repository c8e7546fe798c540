"""The text of `usage`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.render.usage import render_usage
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.usage import empty_usage, load_usage
from tests.support.factories import NOON, AccountHistory, insert_history
from tests.support.rendering import UTC
from tests.support.usage_factories import sample, turn

if TYPE_CHECKING:
    from pathlib import Path

    from store.constants import GroupBy
    from store.documents import UsageDocument

HOUR = 3_600


def shown(path: Path, by: GroupBy, **options: Any) -> list[str]:
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
    rows = shown(path, "thread")
    assert rows[0].startswith("0000001e")
    assert rows[19].startswith("0000000b")
    assert rows[20].split() == ["…", "and", "10", "more", "(--all)", "5.5", "10", "0", "0", "550"]
    assert rows[21].split() == ["total", "46.5", "30", "0", "0", "4,650"]


def test_a_long_list_by_time(path: Path) -> None:
    """The earliest hours are the row at the beginning."""
    rows = shown(path, "hour")
    assert rows[0].split()[:5] == ["…", "and", "10", "more", "(--all)"]
    assert rows[20].startswith("2026-11-21 10:00")
    assert rows[21].startswith("total")


@pytest.mark.parametrize(
    "options", [{"all_rows": True}, {"profile": UTC._replace(unlimited=True)}], ids=["all", "pipe"]
)
def test_a_whole_list(path: Path, options: dict[str, Any]) -> None:
    """`--all`, and a pipe, have each row."""
    rows = shown(path, "thread", **options)
    assert rows[29].startswith("00000001")
    assert rows[30].startswith("total")


def document() -> UsageDocument:
    return empty_usage(NOON, by="thread", since=NOON - 86_400)


def test_without_rows() -> None:
    head, columns, total, *_ = render_usage(document(), UTC).plain.splitlines()
    assert columns.split()[0] == "Thread"
    assert total.split() == ["total", "0.0", "0", "0", "0", "0"]
    assert head
