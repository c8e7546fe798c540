"""The kinds of rows that are kept."""

from __future__ import annotations

from store.queries.kept_kinds import KINDS


def test_names_and_tables_are_unique() -> None:
    """They share one file; the tables of a kind begin with its name."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    tables = [table for kind in KINDS for table in kind.tables]
    assert len(set(tables)) == len(tables)
    assert all(table.startswith(f"{kind.name}_") for kind in KINDS for table in kind.tables)
