"""The bounds of the models' figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from store.models import Credits, Identity, Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window

if TYPE_CHECKING:
    from store.models import Model

WHO = Identity(token_key="opaque~0000000001")


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Window, {"used_percent": -1}),
        (Window, {"used_percent": float("nan")}),
        (Window, {"used_percent": float("inf")}),
        (Window, {"window_minutes": 0}),
        (Window, {"window_minutes": 0.5}),
        (Window, {"resets_at": 0}),
        (Limit, {"reached_until": 0}),
        (Limit, {"windows": {"5h": {"used_percent": -1}}}),
        (RateLimits, {"reset_credits": -1}),
        (RateLimits, {"server_time": float("inf")}),
        (Credits, {"balance": 9.5}),
        (Identity, {"token_key": "opaque~0000000001", "expires_at": -1}),
        (Snapshot, {"identity": WHO, "observed_at": -1, "source": Source.SSE, "reading": RateLimits()}),
        (Snapshot, {"identity": WHO, "observed_at": 1, "source": "guess", "reading": RateLimits()}),
        (Tokens, {"input": -1}),
        (Turn, {"identity": WHO, "transport": Transport.HTTP, "started_at": float("nan"), "ended_at": 1}),
        (Window, {"unknown": 1}),
    ],
)
def test_out_of_bounds(model: type[Model], fields: dict[str, Any]) -> None:
    """A figure that cannot be true, and a field that does not exist, are refused."""
    with pytest.raises(ValidationError):
        model(**fields)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Window, {"used_percent": 130.5, "window_minutes": 1, "resets_at": 1}),
        (Limit, {"windows": {}}),
        (RateLimits, {"reset_credits": 0, "server_time": 0}),
        (Tokens, {"input": 0, "cached": 0, "output": 0, "reasoning": 0}),
    ],
)
def test_at_the_bounds(model: type[Model], fields: dict[str, Any]) -> None:
    """The least figures are stored as they are, and so is a use above 100 percent."""
    assert model(**fields).model_dump(exclude_unset=True) == fields


def test_unknown_is_not_zero() -> None:
    """A message that mentions nothing has None everywhere, and no windows rather than none."""
    assert set(Window().model_dump().values()) == {None}
    assert set(Tokens().model_dump().values()) == {None}
    assert Limit().windows is None
    assert Limit() != Limit(windows={})


def test_values_do_not_change() -> None:
    """A model cannot be changed; a copy with other values can be made."""
    window = Window(used_percent=13)
    with pytest.raises(ValidationError):
        window.used_percent = 14  # type: ignore[misc]
    assert window.model_copy(update={"used_percent": 14}) != window == Window(used_percent=13)
