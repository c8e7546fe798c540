"""A tap with a database of its own, for the tests of this folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from addon.tap import Tap
from tests.support.tap_line import Line, proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def unready(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Line]:
    """Return a tap that has not opened its database yet."""
    caplog.set_level(logging.INFO, "addon")
    tap = Tap()
    with proxy(tap) as context:
        yield Line(tap, context, tmp_path / "readings.sqlite3")
        tap.done()


@pytest.fixture
def line(unready: Line) -> Line:
    """Return a tap that records into its database."""
    unready.configure(codex_tap_db=str(unready.database))
    return unready
