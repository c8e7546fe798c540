"""JSON, CSV and NDJSON."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.export import Form, iso, write_rows
from store.models import Identity
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import limit, snapshot, windows

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("name", "points", "elsewhere", "models", "nested", "absent")

ROWS: list[dict[str, Any]] = [
    {"name": "work", "points": 1.5, "elsewhere": False, "models": ["a", "b"], "nested": {"x": 1}, "other": 3},
    {"name": None, "points": -2, "elsewhere": True, "models": [], "nested": None},
]


def written(form: Form, rows: list[dict[str, Any]] = ROWS) -> str:
    out = io.StringIO()
    write_rows(rows, out, form, COLUMNS)
    return out.getvalue()


def test_json_and_ndjson_hold_the_same_rows() -> None:
    """JSON is an array, NDJSON has a line for each row; both have all values."""
    assert json.loads(written("json")) == ROWS
    assert [json.loads(line) for line in written("ndjson").splitlines()] == ROWS


@pytest.mark.parametrize(("form", "empty"), [("json", "[]\n"), ("ndjson", ""), ("csv", ",".join(COLUMNS) + "\n")])
def test_no_rows_are_a_valid_output(form: Form, empty: str) -> None:
    """An output without rows is valid."""
    assert written(form, []) == empty


def test_csv_cells() -> None:
    """Booleans are 0 and 1, lists of words are joined, nested values are JSON, missing values are empty."""
    first, second = csv.DictReader(io.StringIO(written("csv")))
    assert first == {
        "name": "work",
        "points": "1.5",
        "elsewhere": "0",
        "models": "a b",
        "nested": '{"x": 1}',
        "absent": "",
    }
    assert (second["name"], second["points"], second["elsewhere"], second["models"]) == ("", "-2", "1", "")


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text: str) -> None:
    """A spreadsheet reads a text cell as text, unless it is a number."""
    out = io.StringIO()
    write_rows([{"name": text, "models": [text]}], out, "csv", ("name", "models"))
    (_, row) = csv.reader(io.StringIO(out.getvalue()))
    for cell in row:
        if cell.startswith(("=", "+", "-", "@")):
            float(cell)


@pytest.mark.parametrize(
    ("at", "expected"), [(None, None), (0, "1970-01-01T00:00:00+00:00"), (1e300, None), (-1e300, None)]
)
def test_iso(at: float | None, expected: str | None) -> None:
    """A timestamp outside the calendar is empty, not an error."""
    assert iso(at) == expected


@pytest.fixture
def increasing(path: Path) -> Path:
    """A database with three readings of a limit."""
    at = time.time()
    readings = [snapshot(limit(windows(used, 40, at=at)), at=at - 100 + used) for used in (1, 2, 3)]
    return record(path, *readings)


def test_each_form_of_the_history_has_the_same_rows(increasing: Path) -> None:
    """All forms have the same readings in the same order."""
    entries = json.loads(invoke("history", "--json", "--db", increasing).stdout)
    assert [json.loads(line) for line in invoke("history", "--ndjson").stdout.splitlines()] == entries
    rows = list(csv.DictReader(io.StringIO(invoke("history", "--csv").stdout)))
    assert [float(row["used_5h_percent"]) for row in rows] == [1, 2, 3]
    assert [int(row["id"]) for row in rows] == [entry["id"] for entry in entries]


def test_csv_has_each_timestamp_twice_and_no_formula(path: Path) -> None:
    """Unix seconds and ISO 8601 agree; formulas and control characters are neutralized."""
    hostile = Identity(token_key="k~1", account_id="a", email="=cmd|' /C calc'!A1\x1b]0;x\x07")
    at = 1_795_262_400
    seen = snapshot(
        limit({**windows(5, -0.0, at=at), "30d": windows(7, at=at)["5h"]}, allowed=True),
        who=hostile,
        at=at,
        plan_type="-1",
    )
    record(path, seen)
    (row,) = csv.DictReader(io.StringIO(invoke("history", "--csv").stdout))
    assert (row["first_seen"], row["first_seen_at"]) == ("2026-11-21T12:00:00+00:00", "1795262400.0")
    assert (row["resets_5h"], row["resets_5h_at"]) == ("2026-11-21T14:30:00+00:00", "1795271400")
    assert row["email"] == "'=cmd|' /C calc'!A1�]0;x�"
    assert (row["plan_type"], row["allowed"], row["limit_reached"], row["reached_type"]) == ("-1", "1", "", "")
    assert json.loads(row["other_windows"])["30d"]["used_percent"] == 7
