"""Lists in the columns of kept rows: the numbers of threads, points, and quarters of an hour.

A list is bytes in the machine's own order: as JSON, points take five times as long to read. The numbers of threads are
bytes in hexadecimal, so that SQL can join the lists of several rows.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from store.analysis.usage_cells import thread_number

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

_FIRST_BYTES = 8
"""The bytes before the bits of a ``quarter_set``: the number of its first quarter of an hour."""

_MOST_QUARTERS = 100 * 366 * 96
"""The quarters of an hour of a hundred years."""


def add_functions(connection: sqlite3.Connection) -> None:
    """Add the aggregate functions of SQL that make such lists."""
    for name, function in _FUNCTIONS.items():
        connection.create_aggregate(name, 1, function)


def thread_numbers(value: str | None) -> array[int]:
    """Return the numbers of a ``thread_set``, or of several that are joined; none for None.

    Raises:
        ValueError: It is none.

    """
    found: array[int] = array("q")
    found.frombytes(bytes.fromhex(value or ""))
    return found


def real_numbers(value: bytes) -> array[float]:
    """Return the numbers of a ``number_list``.

    Raises:
        ValueError: It is none.

    """
    found: array[float] = array("d")
    found.frombytes(value)
    return found


def quarter_numbers(values: Iterable[bytes]) -> tuple[int, int]:
    """Return the first quarter of an hour of several ``quarter_set``, and all of them as bits, of which it is bit 0.

    Quarters are counted from 1970.

    Raises:
        ValueError: One is none, or has another century.

    """
    found = [(int.from_bytes(value[:_FIRST_BYTES], "little", signed=True), value) for value in values]
    found = [(first, value[_FIRST_BYTES:]) for first, value in found if len(value) > _FIRST_BYTES]
    lowest, highest = (bound((first for first, _ in found), default=0) for bound in (min, max))
    if highest - lowest > _MOST_QUARTERS:
        raise ValueError("a quarter of an hour is in another century")
    bits = 0
    for first, value in found:
        bits |= int.from_bytes(value, "little") << (first - lowest)
    return lowest, bits


class _ThreadSet:
    """``thread_set(thread)``: the numbers of the threads that are known, each once."""

    def __init__(self) -> None:
        self._threads: set[str] = set()

    def step(self, thread: str | None) -> None:
        if thread is not None:
            self._threads.add(thread)

    def finalize(self) -> str:
        return array("q", sorted(map(thread_number, self._threads))).tobytes().hex()


class _NumberList:
    """``number_list(number)``: the numbers in the order of the rows."""

    def __init__(self) -> None:
        self._numbers: array[float] = array("d")

    def step(self, number: float) -> None:
        self._numbers.append(number)

    def finalize(self) -> bytes:
        return self._numbers.tobytes()


class _QuarterSet:
    """``quarter_set(quarter)``: the quarters of an hour, each one bit, after the number of the first."""

    def __init__(self) -> None:
        self._quarters: set[int] = set()

    def step(self, quarter: int) -> None:
        self._quarters.add(quarter)

    def finalize(self) -> bytes:
        first = min(self._quarters, default=0)
        bits = sum(1 << (quarter - first) for quarter in self._quarters)
        return first.to_bytes(_FIRST_BYTES, "little", signed=True) + bits.to_bytes(
            (bits.bit_length() + 7) // 8, "little"
        )


_FUNCTIONS: Mapping[str, Callable[[], Any]] = {
    "thread_set": _ThreadSet,
    "number_list": _NumberList,
    "quarter_set": _QuarterSet,
}
