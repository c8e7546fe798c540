"""The match of a name, or of a prefix of one."""

from __future__ import annotations

import pytest

from store.queries.prefix_match import matching

KNOWN = {"docs": ("docs", "0199-a"), "docs-2": ("docs-2", "0199-b"), "unnamed": ("0198-c",), "street": ("Straße",)}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param("docs", ["docs"], id="an exact name comes first"),
        pytest.param("doc", ["docs", "docs-2"], id="a prefix of several"),
        pytest.param("DOCS-", ["docs-2"], id="in any case"),
        pytest.param("DOCS", ["docs", "docs-2"], id="an exact name has its case"),
        pytest.param("0199", ["docs", "docs-2"], id="any of the names"),
        pytest.param("STRASSE", ["street"], id="case folding"),
        pytest.param("ocs", [], id="the middle of a name"),
        pytest.param("", list(KNOWN), id="everything"),
    ],
)
def test_a_prefix_matches(prefix: str, expected: list[str]) -> None:
    """Each candidate is found once, in the given order."""
    assert matching(KNOWN, prefix, KNOWN.__getitem__) == expected
