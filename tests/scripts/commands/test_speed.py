"""`codex-tap speed`."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING

from scripts.render.export import SPEED_COLUMNS
from scripts.support.errors import NOTHING_YET
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, used
from tests.support.speed_factories import recorded

if TYPE_CHECKING:
    from pathlib import Path


def test_text(path: Path) -> None:
    """What is known of the last hours, and a line for each model."""
    now = time.time()
    record(path, used(5.0, at=now), *(recorded(now - number, model=f"m{number % 2}") for number in range(1, 5)))
    result = invoke("speed")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Too little to tell: 2.0 s to the first byte and 50 tokens a second in the last 24 h, 4")
    assert [line.split()[:5] for line in lines if line.startswith(("m0", "m1", "total"))] == [
        ["m0", "2", "2.0", "s", "2.0"],
        ["m1", "2", "2.0", "s", "2.0"],
        ["total", "4", "2.0", "s", "2.0"],
    ]


def test_an_account(path: Path) -> None:
    """Only the turns of the account that is asked for."""
    now = time.time()
    record(path, used(5.0, at=now), recorded(now - 1), recorded(now - 2, who=BOB))
    document = json.loads(invoke("speed", "bob@", "--json").stdout)
    assert ([each["email"] for each in document["accounts"]], document["total"]["turns"]) == (["bob@example.com"], 1)


def test_csv(path: Path) -> None:
    """A line for each row, with all columns."""
    now = time.time()
    record(path, used(5.0, at=now), recorded(now - 1), recorded(now - 2, output=None, status=503))
    (row,) = csv.DictReader(io.StringIO(invoke("speed", "--csv").stdout))
    assert tuple(row) == SPEED_COLUMNS
    assert (row["key"], row["turns"], row["failed"], row["errors"]) == ("m", "2", "1", '{"503": 1}')
    assert (row["first_byte_seconds_median"], row["first_byte_seconds_usual"]) == ("2.0", "")


def test_nothing(path: Path) -> None:
    """Without a database there is nothing yet; without turns in the time range, that is said."""
    assert (invoke("speed").exit_code, invoke("speed").stdout) == (3, f"{NOTHING_YET}\n")
    record(path, used(5.0, at=time.time()))
    assert (invoke("speed").exit_code, invoke("speed").stderr) == (0, "No turns in that time range.\n")


def test_the_future() -> None:
    """A time range that has not begun is a usage error."""
    assert invoke("speed", "--since", "2999-01-01").exit_code == 2
