"""The older shape of the limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from addon import headers
from store.models import Source
from tests.support.databases import record
from tests.support.factories import ALICE, snapshot
from tests.support.web_server import Site

if TYPE_CHECKING:
    from pathlib import Path

SWAPPED = {
    "x-codex-primary-used-percent": "41.5",
    "x-codex-primary-window-minutes": "10080",
    "x-codex-primary-reset-after-seconds": "300000",
    "x-codex-secondary-used-percent": "13",
    "x-codex-secondary-window-minutes": "300",
    "x-codex-secondary-reset-after-seconds": "9000",
    "x-codex-primary-over-secondary-limit-percent": "2.5",
}

WITHOUT_SECOND = {name: value for name, value in SWAPPED.items() if "primary-" in name and "secondary" not in name}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            SWAPPED,
            {
                "codex_5h_used_percent": 13.0,
                "codex_5h_window_minutes": 300,
                "codex_7d_used_percent": 41.5,
                "codex_7d_window_minutes": 10_080,
                "primary_used_percent": 41.5,
                "primary_window_minutes": 10_080,
                "secondary_used_percent": 13.0,
                "secondary_window_minutes": 300,
                "primary_over_secondary_percent": 2.5,
            },
        ),
        (
            WITHOUT_SECOND,
            {
                "codex_5h_used_percent": None,
                "codex_7d_used_percent": 41.5,
                "primary_window_minutes": 10_080,
                "secondary_used_percent": None,
                "secondary_window_minutes": None,
                "primary_over_secondary_percent": None,
            },
        ),
    ],
)
def test_the_older_shape_has_slots_and_positions(
    tmp_path: Path, sent: dict[str, str], expected: dict[str, float | None]
) -> None:
    """`codex_…` fields depend on window lengths, `primary_…` and `secondary_…` fields on positions."""
    at = time.time() - 10
    reading = headers.read(headers.collect([(name.encode(), value.encode()) for name, value in sent.items()]), at)
    assert reading
    seen = snapshot(at=at, source=Source.HEADERS).model_copy(update={"reading": reading})
    with Site(record(tmp_path / "web.sqlite3", seen)) as site:
        found = site.get(f"/codex/usage/{ALICE.token_key[:7]}").document
    assert found["status"] == "success"
    assert list(found["data"]) == [ALICE.token_key]
    record_found = found["data"][ALICE.token_key]
    assert {name: record_found[name] for name in expected} == expected
    assert 299_900 < record_found["codex_7d_reset_after_seconds"] <= 300_000
    assert record_found["primary_reset_after_seconds"] == record_found["codex_7d_reset_after_seconds"]
    assert record_found["token_name"] == ALICE.email
