"""JSON that is stored in a column, in a file that may be damaged."""

from __future__ import annotations

import math
from typing import Any

import pytest

from store.stored_json import is_number, read_json, read_mapping


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("{", None),
        ("", None),
        (None, None),
        (b"{}", None),
        (5, None),
        ("[" * 100_000, None),
        ("9" * 5_000, None),
        ('{"a": [NaN, Infinity, -Infinity, 1e999]}', {"a": [None, None, None, None]}),
        ("1e308", 1e308),
        ("9" * 400 + ".5", None),
        ('["NaN", 1.5, "1e5"]', ["NaN", 1.5, "1e5"]),
    ],
    ids=[
        "good",
        "cut off",
        "empty",
        "null",
        "bytes",
        "number",
        "deep",
        "long number",
        "not finite",
        "greatest",
        "long fraction",
        "texts",
    ],
)
def test_what_cannot_be_read_is_none(written: object, value: Any) -> None:
    """A number without a finite value is none, so that a document of it is JSON again."""
    assert read_json(written) == value


@pytest.mark.parametrize(
    ("written", "found"), [('{"a": 1}', {"a": 1}), ("[1]", {}), ('"a"', {}), ("null", {}), ("{", {}), (None, {})]
)
def test_what_is_no_object_is_an_empty_one(written: object, found: dict[str, Any]) -> None:
    """The caller can ask it for its items."""
    assert read_mapping(written) == found


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (0, True),
        (1.5, True),
        (100, True),
        (101, False),
        (-1, False),
        (True, False),
        ("1", False),
        (None, False),
        (math.inf, False),
        (math.nan, False),
    ],
)
def test_numbers_between_two_others(value: object, is_one: bool) -> None:
    """Both bounds are included; a truth value is no number."""
    assert is_number(value, 0, 100) is is_one
