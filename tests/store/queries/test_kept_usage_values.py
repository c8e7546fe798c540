"""The values of many things that a kept row has."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from store.analysis.usage_cells import thread_number
from store.queries.kept_usage_values import add_functions, quarter_numbers, real_numbers, thread_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        add_functions(connection)
        yield connection


def test_threads(connection: sqlite3.Connection) -> None:
    """Each known thread has its number once; values of several rows can be joined."""
    query = "SELECT thread_set(column1) FROM (VALUES ('a'), ('b'), ('a'), (NULL))"
    (value,) = connection.execute(query).fetchone()
    assert sorted(thread_numbers(value)) == sorted(map(thread_number, "ab"))
    assert len(thread_numbers(value + value)) == 4
    assert not thread_numbers(None)


def test_real_numbers(connection: sqlite3.Connection) -> None:
    """They keep their order, and every digit."""
    (value,) = connection.execute("SELECT number_list(column1) FROM (VALUES (0.1 + 0.2), (-1e300), (0))").fetchone()
    assert list(real_numbers(value)) == [0.1 + 0.2, -1e300, 0]


def test_quarters(connection: sqlite3.Connection) -> None:
    """Those of several values are one set, from the first one on."""
    query = "SELECT quarter_set(column1) FROM (VALUES {}) GROUP BY column1 / 1000 ORDER BY 1"
    values = [value for (value,) in connection.execute(query.format("(7), (5), (7), (1005), (1000)"))]
    first, bits = quarter_numbers(values)
    assert [first + bit for bit in range(bits.bit_length()) if bits >> bit & 1] == [5, 7, 1000, 1005]
    assert quarter_numbers([]) == (0, 0)


@pytest.mark.parametrize("value", ["not hexadecimal", "00"])
def test_threads_that_were_never_written(value: str) -> None:
    """They count as damage, which `ask_kept` knows by this error."""
    with pytest.raises(ValueError, match=r"hexadecimal|multiple"):
        thread_numbers(value)


def test_quarters_that_were_never_written() -> None:
    """Nothing is computed of centuries."""
    with pytest.raises(ValueError, match="another century"):
        quarter_numbers([bytes(8) + b"\1", b"\xff" * 7 + b"\x7f\1"])
