"""The text of `usage`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.usage import short_ids, tokens


@pytest.mark.parametrize(
    ("number", "short"),
    [(0, "0"), (999, "999"), (1_000, "1k"), (12_345, "12.3k"), (999_949, "1M"), (1_234_567, "1.23M"), (5e12, "5000G")],
)
def test_tokens_are_written_short(number: int, short: str) -> None:
    """A number has three digits and a letter."""
    assert tokens(number) == short


@given(st.sets(st.uuids().map(str), max_size=20))
def test_short_ids_are_unique(ids: set[str]) -> None:
    """An id has eight characters, or as many more as make it unique."""
    found = short_ids(ids)
    assert set(found) == ids
    assert len(set(found.values())) == len(ids)
    assert all(each.startswith(short) and len(short) >= 8 for each, short in found.items())
