"""The recorded outputs of commands and endpoints have the documented types."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from store import documents

if TYPE_CHECKING:
    from collections.abc import Iterator

PINNED = Path(__file__).parents[1] / "data" / "pinned"

TYPES: dict[str, Any] = {
    "cli/status": documents.StatusCommandDocument,
    "cli/forecast": documents.ForecastDocument,
    "cli/usage": documents.UsageDocument,
    "cli/events": documents.EventsDocument,
    "cli/history": list[documents.HistoryEntry],
    "cli/accounts": list[documents.AccountEntry],
    "cli/threads": list[documents.ThreadEntry],
    "cli/next": documents.NextCommandDocument,
    "cli/guard": documents.GuardDocument,
    "cli/statusline": documents.StatuslineDocument | documents.UnknownStatuslineDocument | documents.WaybarDocument,
    "cli/alerts-check": documents.AlertCheckDocument,
    "cli/doctor": documents.DoctorDocument,
    "api/usage": documents.StatusDocument,
    "api/history": documents.HistoryPointsDocument,
    "api/requests": documents.TurnsDocument,
    "api/breakdown": documents.UsageDocument,
    "api/forecast": documents.ForecastDocument,
    "api/events": documents.EventsPageDocument,
    "api/next": documents.NextDocument,
    "api/health": documents.HealthDocument,
}


def outputs(name: str) -> Iterator[Any]:
    """Yield the JSON documents in a file of recorded outputs, without problems and rows for other formats."""
    for section in re.split(r"\n(?=\$ |> )", (PINNED / f"{name}.txt").read_text("utf-8")):
        found = re.search(r"^(\{|\[$|\[\]$)", section, re.MULTILINE)
        if not found or "--ndjson" in section or "--csv" in section:
            continue
        document, _ = json.JSONDecoder().raw_decode(section[found.start() :])
        if "detail" not in document:
            yield document


@pytest.mark.parametrize("name", TYPES)
def test_recorded_documents_have_their_type(name: str) -> None:
    """Each field is documented and of its type, and none is missing."""
    adapter = TypeAdapter[Any](TYPES[name])
    found = list(outputs(name))
    assert found
    for document in found:
        # Validation drops the fields that the type does not have.
        assert adapter.validate_python(document, strict=True) == document
