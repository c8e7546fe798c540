"""The options of what runs beside a proxy."""

from __future__ import annotations

import pytest

from scripts.support.beside import Beside


@pytest.mark.parametrize(
    ("beside", "options"),
    [
        (Beside(), []),
        (Beside(serve=True, otlp=True), [["--serve"], ["--otlp"]]),
        (Beside(alerts=True, ship="postgresql://h/d"), [["--alerts"], ["--ship", "postgresql://h/d"]]),
    ],
    ids=["none", "flags", "with a value"],
)
def test_the_options_that_ask_for_it(beside: Beside, options: list[list[str]]) -> None:
    assert beside.options == options
