"""Promises of the parsers for any input, checked by the property tests and by the fuzzer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from addon.raw_fields import MAX_RAW_CHARACTERS
from addon.unknown_fields import MAX_UNKNOWN
from store.coerce import MAX_FAMILIES, MAX_TEXT_LENGTH
from store.models import Identity, RateLimits, Snapshot, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOMEBODY = Identity(token_key="key")


def check_reading(reading: RateLimits | None, observed_at: float) -> None:
    """Check that a reading is valid as a model, can be stored as JSON and text, and is harmless to a terminal."""
    if reading is None:
        return
    assert RateLimits.model_validate(reading.model_dump()) == reading
    Snapshot(identity=_SOMEBODY, observed_at=observed_at, source=Source.HEADERS, reading=reading)
    written = json.dumps(reading.model_dump(), allow_nan=False, ensure_ascii=False)
    written.encode()
    assert written.isprintable()
    assert len(json.dumps(reading.raw, allow_nan=False)) <= 2 * MAX_RAW_CHARACTERS
    # Beside those of the message: the limit that is refused, and the budget.
    assert len(reading.limits) <= MAX_FAMILIES + 2
    assert len(reading.unknown_fields) <= MAX_UNKNOWN
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name) for name in reading.unknown_fields)


def check_identity(found: Identity) -> None:
    """Check that an identity is valid as a model, and that its texts are short, can be stored, and steer nothing."""
    assert Identity.model_validate({**found.model_dump(), "former_key": found.former_key}) == found
    check_texts(value for value in found.model_dump().values() if isinstance(value, str))


def check_texts(texts: Iterable[str | None]) -> None:
    """Check that texts, where there are any, are short, can be stored, and are harmless to a terminal."""
    for text in texts:
        if text is not None:
            assert len(text) <= MAX_TEXT_LENGTH
            assert text.isprintable()
            text.encode()
