"""What is kept of the use of windows tells the same as the rows do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from store.constants import GROUP_BY
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.kept_usage import usage_kind
from store.queries.usage import NotSeenError, load_usage
from tests.support.kept_histories import (
    DAY,
    EXAMPLES,
    HISTORIES,
    History,
    Step,
    nearly,
    no_failures,
    pieces_of,
    play,
    without_kept,
)
from tests.support.prices import PriceTable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")]


def document(history: History, **options: Any) -> Any:
    """The document that is asked for; why there is none, as text."""
    with closing(open_reader(history.path)) as connection:
        accounts = load_accounts(connection)
        try:
            return load_usage(connection, history.now, accounts=accounts, prices=PriceTable(), **options)
        except NotSeenError as error:
            return str(error)


def ordered(found: Any) -> Any:
    """The same with rows in the order of their keys: those with the same use may be in any."""
    if isinstance(found, dict):
        return {key: ordered(value) for key, value in found.items()}
    if isinstance(found, list):
        return sorted(map(ordered, found), key=names_of) if found and isinstance(found[0], dict) else found
    return found


def names_of(row: Any) -> str:
    return repr(
        [row.get(name) for name in ("account", "elsewhere", "pending", "key", "model", "parent", "reason", "tier")]
    )


def comparable(found: Any, other: Any) -> Any:
    """The document as it compares to another; where rows with nearly the same use differ, without their other figures.

    Which of these rows are listed is the choice of rounding.
    """
    if isinstance(found, str) or isinstance(other, str) or _keys(found) == _keys(other):
        return ordered(found)
    return {
        "rows": sorted(row["points"] for row in found["rows"]),
        "others": found["others"] and found["others"]["points"],
        **{
            name: ordered(found[name]) for name in ("other_rows", "total", "by_model", "not_priced", "weights", "rises")
        },
    }


def _keys(found: Any) -> Any:
    return {(row["key"], row["pending"], row["elsewhere"]) for row in found["rows"]}


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=HISTORIES,
    days=st.sampled_from((0.5, 3, 30)),
    since=st.floats(0, 80),
    by=st.sampled_from(GROUP_BY),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(("5h", "7d")),
    most=st.sampled_from((None, 1, 2, 5)),
    tree=st.booleans(),
)
@example(
    # turns of two accounts say different things of a thread, of which those of the second one alone are not kept
    steps=[("read", 0), ("read", 0), ("read", 0), ("read", 22), ("fill", 0)],
    days=0.5,
    since=0.0,
    by="thread",
    zone=ZONES[0],
    window="5h",
    most=None,
    tree=False,
)
def test_kept_use_is_that_of_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float, since: float, window: str, **asked: Any
) -> None:
    """Whatever happens to the database, and in whatever pieces it was kept."""
    kind = usage_kind(window)
    assert kind is not None
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        no_failures(patch)
        for history in play(path, [kind], steps):
            for begin in (0.0, history.now - since * DAY):
                found = document(history, since=begin, window=window, **asked)
                with without_kept(patch):
                    expected = document(history, since=begin, window=window, **asked)
                assert comparable(found, expected) == nearly(comparable(expected, found))
