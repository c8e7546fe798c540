"""Reading of JSON that is stored in a column: a file may be damaged, or another program's work."""

from __future__ import annotations

import json
import re
from typing import Any


def read_json(written: object) -> Any:
    """Return the value of a JSON text; None if it cannot be read. Numbers without a finite value become None."""
    if not isinstance(written, str):
        return None
    try:
        if _PERHAPS_INFINITE.search(written):
            return json.loads(written, parse_float=_finite, parse_constant=lambda _: None)
        return json.loads(written)
    except (ValueError, RecursionError):
        return None


def read_mapping(written: object) -> dict[str, Any]:
    """Return the object that a JSON text stands for; an empty one if it cannot be read, or is no object."""
    found = read_json(written)
    return found if isinstance(found, dict) else {}


def is_number(value: object, least: float = 0, most: float = float("inf")) -> bool:
    """Return True if a value is a number between two others, both included, and not a truth value."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool) and least <= value <= most


_NUMBERS = (int, float)  # a union of types takes several times as long

# Most texts have none of these, and are read twice as fast without a function for each number.
_PERHAPS_INFINITE = re.compile(r"[0-9][eE]|[0-9]{300}|NaN|Infinity")


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if abs(value) < float("inf") else None
