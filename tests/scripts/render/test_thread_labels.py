"""Labels of threads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scripts.render.thread_labels import short_ids


@given(st.sets(st.uuids().map(str), max_size=20))
def test_short_ids_are_unique(ids: set[str]) -> None:
    """An id has eight characters, or as many more as make it unique."""
    found = short_ids(ids)
    assert set(found) == ids
    assert len(set(found.values())) == len(ids)
    assert all(each.startswith(short) and len(short) >= 8 for each, short in found.items())
