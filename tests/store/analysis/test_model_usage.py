"""Models that an account cannot use now."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from store.analysis.model_usage import unavailable_models, unavailable_text
from tests.support.factories import NOON

LATER = NOON + 7_200


@pytest.mark.parametrize(
    ("usage", "texts"),
    [
        ({"astra": [False, LATER, True]}, ["astra is not available until 14:00, or with credits"]),
        ({"astra": [False, LATER, False]}, ["astra is not available until 14:00"]),
        ({"astra": [False, LATER, None]}, ["astra is not available until 14:00"]),
        ({"astra": [False, None, None]}, ["astra is not available"]),
        ({"astra": [False, NOON, None], "sol": [False, NOON - 5, True]}, []),
        ({"astra": [True, LATER, None], "sol": [None, LATER, None]}, []),
        ({}, []),
        (None, []),
    ],
)
def test_unavailable(usage: dict[str, list[object]] | None, texts: list[str]) -> None:
    """A model counts until its time has come; what is unknown is left out."""
    found = unavailable_models(None if usage is None else json.dumps(usage), NOON)
    assert [unavailable_text(each, NOON, dt.UTC) for each in found] == texts
