"""The version of a JSON document."""

from __future__ import annotations

import pytest

from scripts.support.json_document import versioned


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": 1}, {"document_version": 1, "a": 1}),
        ({}, {"document_version": 1}),
        ([{"a": 1}], [{"a": 1}]),
        (None, None),
    ],
)
def test_an_object_begins_with_its_version(document: object, expected: object) -> None:
    """An array stays as it is."""
    assert versioned(document) == expected
    if isinstance(expected, dict):
        found = versioned(document)
        assert isinstance(found, dict)
        assert list(found) == list(expected)
