"""JSON, CSV and NDJSON."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.export import Form, iso, write_rows
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import limit, snapshot, windows

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
def path() -> Path:
    at = time.time()
    readings = [snapshot(limit(windows(used, 40, at=at)), at=at - 100 + used) for used in (1, 2, 3)]
    return record(Path(os.environ["CODEX_TAP_DB"]), *readings)


def test_each_form_of_the_history_has_the_same_rows(path: Path) -> None:
    """All forms have the same readings in the same order."""
    entries = json.loads(invoke("history", "--json", "--db", path).stdout)
    assert [json.loads(line) for line in invoke("history", "--ndjson").stdout.splitlines()] == entries
    rows = list(csv.DictReader(io.StringIO(invoke("history", "--csv").stdout)))
    assert [float(row["used_5h_percent"]) for row in rows] == [1, 2, 3]
    assert [int(row["id"]) for row in rows] == [entry["id"] for entry in entries]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--json", "--ndjson"], "--json cannot be combined with --ndjson"),
        (["--csv", "--ndjson"], "--csv cannot be combined with --ndjson"),
        (["--plot", "--csv"], "--plot cannot be combined with --csv"),
    ],
)
def test_one_form_at_a_time(path: Path, flags: list[str], error: str) -> None:
    """Two forms at once are a usage error."""
    result = invoke("history", *flags, "--db", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_ndjson_with_nothing_known(tmp_path: Path) -> None:
    """The exit code is 3, standard output is empty, and standard error has the message."""
    result = invoke("history", "--ndjson", "--db", tmp_path / "none.sqlite3")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Nothing seen yet" in result.stderr
