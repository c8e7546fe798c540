"""The rows that measures give, and how they are printed: a Markdown table, or JSON."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.figures import Pairs

_HEADINGS = ("measure", "bare", "with the tap", "difference", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    unit: of `bare`, `tap` and `difference`.
    bare, tap: median and quartiles; None where there is nothing to compare with.
    difference, ratio: of the pairs, median and quartiles.
    target: in words; met: None where a row is for information.
    """

    measure: str
    unit: str
    tap: Spread | None = None
    bare: Spread | None = None
    difference: Spread | None = None
    ratio: Spread | None = None
    target: str = ""
    met: bool | None = None


def bounded_row(measure: str, pairs: Pairs, times: float) -> Row:
    """Return the row of a measure in milliseconds whose median ratio to bare is to be at most so many times."""
    ratios = pairs.ratios()
    return Row(
        measure,
        "ms",
        Spread.of(pairs.tap),
        Spread.of(pairs.bare),
        pairs.differences(),
        ratios,
        target=f"at most {times:g} times",
        met=ratios.median <= times,
    )


def as_table(rows: Sequence[Row]) -> str:
    """A Markdown table, its columns aligned."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def machine() -> dict[str, Any]:
    """What figures depend on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load_average": load,
        "python": platform.python_version(),
        "mitmproxy": version("mitmproxy"),
    }


def heading(found: dict[str, Any]) -> str:
    """`machine`, in one line."""
    load = "" if found["load_average"] is None else f", load average {found['load_average']:.1f}"
    return (
        f"{found['cores']} cores, {found['system']}, Python {found['python']}, mitmproxy {found['mitmproxy']}{load}; "
        "medians, in brackets the quartiles"
    )


def say(line: str) -> None:
    """Tell the person who waits what is under way."""
    print(line, file=sys.stderr, flush=True)


def _cells(row: Row) -> tuple[str, ...]:
    difference = "" if row.difference is None else _spread(row.difference, row.unit, signed=True)
    ratio = "" if row.ratio is None else _spread(row.ratio, "", digits=3)
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return (row.measure, _of(row.bare, row.unit), _of(row.tap, row.unit), difference, ratio, row.target, met)


def _of(spread: Spread | None, unit: str) -> str:
    return "" if spread is None else _spread(spread, unit)


def _spread(spread: Spread, unit: str, *, signed: bool = False, digits: int = 0) -> str:
    shown = [_number(figure, signed=signed, digits=digits) for figure in (spread.median, spread.low, spread.high)]
    around = "" if spread.low == spread.median == spread.high else f" ({shown[1]} … {shown[2]})"
    return f"{shown[0]}{f' {unit}' if unit else ''}{around}"


def _number(figure: float, *, signed: bool, digits: int) -> str:
    if figure == 0:
        return "0"
    places = digits or (2 if abs(figure) < 10 else 1 if abs(figure) < 100 else 0)
    return f"{figure:{'+' if signed else ''},.{places}f}"
