"""Databases that the tests of several commands share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.databases import record
from tests.support.factories import BOB, limit, snapshot, windows
from tests.support.readings import reading

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two(path: Path) -> Path:
    """A database with two accounts; Bob's has two limits."""
    bob = snapshot(
        limit(windows(90, 20, at=time.time())),
        limit(windows(1, 2, at=time.time()), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark"),
        who=BOB,
        at=time.time() - 50,
        plan_type="pro",
    )
    return record(path, reading(plan_type="plus"), bob)
