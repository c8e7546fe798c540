"""The options of what runs beside a proxy."""

from __future__ import annotations

import pytest

from scripts.support.beside import Beside, beside_of


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
    assert beside_of(["proxy", "--host", "g", *(part for option in options for part in option)]) == beside


def test_an_earlier_choice() -> None:
    """It stays beside a new one, whose value comes first."""
    earlier = Beside(serve=True, ship="postgresql://h/d")
    assert Beside(otlp=True).or_else(earlier) == Beside(serve=True, otlp=True, ship="postgresql://h/d")
    assert Beside(ship="").or_else(earlier).ship == ""
