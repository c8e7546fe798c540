"""Turns of known speed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from store.analysis.speed import KindSamples, TurnTiming
from store.models import Tokens, Transport, Turn
from tests.support.factories import ALICE

if TYPE_CHECKING:
    from collections.abc import Iterator


def timing(
    waited: float = 2.0, written: float = 10.0, output: int | None = 500, *, at: float = 0.0, **fields: Any
) -> TurnTiming:
    """Return a turn that started at `at`, waited for its first byte, and was then written."""
    values: dict[str, Any] = {
        "status": 200,
        "error_type": None,
        "model": "m",
        "response_model": None,
        "reasoning_effort": "medium",
        "tier": None,
        "input_tokens": 30_000,
        **fields,
    }
    return TurnTiming(
        started_at=at,
        first_byte_at=values.pop("first_byte_at", at + waited),
        ended_at=at + waited + written,
        output_tokens=output,
        **values,
    )


def day_of_samples(
    seed: int, turns: int = 20, *, slower: float = 1.0, day: str = "now", **fields: Any
) -> list[KindSamples]:
    """Return the turns of a few hours of one day; `slower` multiplies the seconds to the first byte and for a token.

    A day is by itself up to a tenth slower or faster than others, and a turn of 30,000 input tokens takes some 2 s.
    """
    dice = random.Random(seed)  # noqa: S311 (a simulation)
    mood = dice.uniform(0.9, 1.1) * slower
    return list(_samples(dice, turns, mood, day, fields))


def _samples(dice: random.Random, turns: int, mood: float, day: str, fields: dict[str, Any]) -> Iterator[KindSamples]:
    for _ in range(turns):
        tokens = fields.get("input_tokens") or int(dice.lognormvariate(10.3, 0.6))
        effort = {"low": 0.5, "medium": 1.0, "high": 3.0}[fields.get("reasoning_effort", "medium")]
        wait = dice.lognormvariate(0, 0.5) * (0.5 + tokens / 20_000) * effort * mood
        values: dict[str, Any] = {
            "model": "m",
            "reasoning_effort": "medium",
            "tier": None,
            "failed": False,
            "first_byte_seconds": [wait],
            "tokens_per_second": [dice.lognormvariate(4, 0.3) / mood],
            **fields,
            "input_tokens": [tokens],
        }
        yield KindSamples(days=[day], **values)


def weeks_of_samples(seed: int, days: int = 20, turns: int = 20, **fields: Any) -> list[KindSamples]:
    """Return the turns of the same hours on some earlier days."""
    return [
        each
        for number in range(days)
        for each in day_of_samples(seed * 1_000 + number, turns, day=f"day {number}", **fields)
    ]


def recorded(at: float, waited: float = 2.0, output: int | None = 500, **fields: Any) -> Turn:
    """Return a turn to record: it ended at `at`, after ten seconds of writing."""
    values: dict[str, Any] = {"model": "m", "status": 200, "reasoning_effort": "medium", **fields}
    tokens = Tokens(input=None if output is None else 30_000, output=output)
    return Turn(
        identity=values.pop("who", ALICE),
        transport=Transport.WEBSOCKET,
        started_at=at - 10 - waited,
        first_byte_at=at - 10,
        ended_at=at,
        tokens=tokens,
        **values,
    )


def weeks_of_turns(now: float, *, days: int = 20, turns: int = 5, waited: float = 2.0) -> list[Turn]:
    """Return turns of the last hour of `now`, on each of the days before."""
    return [
        recorded(now - day * 86_400 - 600 * number - 60, waited * (1 + day % 3 / 100))
        for day in range(days, 0, -1)
        for number in range(turns)
    ]
