"""How fast turns are, and whether they are slower than usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from store.analysis.speed import (
    Change,
    KindSamples,
    Measure,
    Quantiles,
    compare,
    is_rerouted,
    measure,
    outcome,
    quantiles,
)
from tests.support.speed_factories import day_of_samples, timing, weeks_of_samples

if TYPE_CHECKING:
    from store.analysis.speed import TurnTiming


@pytest.mark.parametrize(
    ("status", "error_type", "expected"),
    [
        (200, None, "answered"),
        (None, None, "answered"),
        (200, "max_output_tokens", "answered"),
        (None, "interrupted", "interrupted"),
        (200, "interrupted", "interrupted"),
        (429, None, "refused"),
        (429, "usage_limit_reached", "refused"),
        (None, "usage_limit_reached", "refused"),
        (403, "workspace_owner_credits_depleted", "refused"),
        (403, "usage_not_included", "refused"),
        (500, None, "failed"),
        (503, "server_is_overloaded", "failed"),
        (None, "server_error", "failed"),
        (401, "token_expired", "failed"),
    ],
)
def test_outcome(status: int | None, error_type: str | None, expected: str) -> None:
    """What the limits refuse is no failure, and neither is a turn that was interrupted or cut at its maximum."""
    assert outcome(status, error_type) == expected


@pytest.mark.parametrize(
    ("model", "response", "rerouted"),
    [
        ("gpt-a", None, False),
        (None, "gpt-a", False),
        ("gpt-a", "gpt-a-2026-11-20", False),
        ("gpt-a", "gpt-a-20261120", False),
        ("gpt-a", "gpt-a-2026", False),
        ("gpt-a-2026-11-20", "gpt-a", False),
        ("gpt-a", "gpt-a-mini", True),
        ("gpt-a", "gpt-b", True),
    ],
)
def test_rerouted(model: str | None, response: str | None, rerouted: bool) -> None:
    """Another model responded; the same one with a date in its name did not."""
    assert is_rerouted(model, response) is rerouted


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        pytest.param(timing(2, 10, 500), Measure(12, 2, 50), id="usual"),
        pytest.param(timing(2, 10, 49), Measure(12, 2, None), id="few tokens"),
        pytest.param(timing(2, 10, 50), Measure(12, 2, 5), id="just enough tokens"),
        pytest.param(timing(2, 0.4, 500), Measure(2.4, 2, None), id="written at once"),
        pytest.param(timing(2, 0.5, 500), Measure(2.5, 2, 1_000), id="just long enough"),
        pytest.param(timing(2, 0.0, 500), Measure(2, None, None), id="in one piece"),
        pytest.param(timing(2, 0.0, 8), Measure(2, 2, None), id="one piece of few tokens"),
        pytest.param(timing(0, 10, 500), Measure(10, 0, 50), id="no wait"),
        pytest.param(timing(2, 10, None), None, id="no tokens reported"),
        pytest.param(timing(2, 10, first_byte_at=None), None, id="no response"),
        pytest.param(timing(-1, 10), None, id="clock set back before the response"),
        pytest.param(timing(5, -1), None, id="clock set back within the response"),
        pytest.param(timing(5, -9), None, id="clock set back beyond the request"),
    ],
)
def test_measure(turn: TurnTiming, expected: Measure | None) -> None:
    """A figure that a turn does not tell is left out, and the turn keeps the others."""
    found = measure(turn.started_at, turn.first_byte_at, turn.ended_at, turn.output_tokens)
    assert found == pytest.approx(expected or (None, None, None))


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([], Quantiles(0, None, None)),
        ([3.0], Quantiles(1, 3, 3)),
        ([2.0, 4.0], Quantiles(2, 3, 3.9)),
        ([*map(float, range(101))], Quantiles(101, 50, 95)),
    ],
)
def test_quantiles(figures: list[float], expected: Quantiles) -> None:
    """The median and the 95th percentile, between two figures where need be."""
    assert quantiles(figures) == pytest.approx(expected)


SEEDS = range(40)


def verdicts(**today: Any) -> list[str]:
    """Return the verdicts of simulated days after four weeks of usual ones."""
    return [compare(day_of_samples(-1 - seed, **today), weeks_of_samples(seed)).verdict for seed in SEEDS]


@pytest.mark.parametrize(
    ("today", "expected", "at_least"),
    [
        pytest.param({}, "usual", 38, id="a usual day"),
        pytest.param({"slower": 2.0}, "slower", 38, id="twice as slow"),
        pytest.param({"slower": 0.5}, "faster", 38, id="twice as fast"),
        pytest.param({"input_tokens": 60_000}, "usual", 38, id="larger inputs"),
        pytest.param({"input_tokens": 500_000}, "unknown", 30, id="inputs larger than ever"),
        pytest.param({"turns": 9}, "unknown", 40, id="few turns"),
    ],
)
def test_verdict(today: dict[str, Any], expected: str, at_least: int) -> None:
    """Of 40 days, nearly all get the right verdict: a usual day is hardly ever called slow, a slow one always is."""
    found = verdicts(**today)
    assert found.count(expected) >= at_least, found
    assert expected == "slower" or found.count("slower") <= 2


def test_larger_inputs_are_ones_own() -> None:
    """Turns take longer than usual, those of the same size do not, and the comparison says what has changed."""
    earlier = weeks_of_samples(1) + weeks_of_samples(2, turns=3, input_tokens=120_000)
    found = compare(day_of_samples(-1, input_tokens=120_000), earlier)
    assert (found.verdict, found.is_own) == ("usual", True)
    (change,) = found.changes
    assert (change.what, change.now) == ("input_tokens", 120_000)
    assert 20_000 < change.usual < 50_000


@pytest.mark.parametrize(("what", "value"), [("model", "n"), ("reasoning_effort", "high"), ("tier", "priority")])
def test_what_changed(what: str, value: str) -> None:
    """A value of many more turns than usual is named, with its share then and now."""
    fields: dict[str, Any] = {what: value}
    recent = day_of_samples(-1, 10) + day_of_samples(-2, 30, **fields)
    earlier = weeks_of_samples(1) + weeks_of_samples(2, days=5, turns=20, **fields)
    found = compare(recent, earlier)
    assert [each for each in found.changes if each.what == what] == [Change(what, value, 0.75, 0.2)]  # type: ignore[arg-type]


def test_a_new_kind_of_turn_has_no_usual() -> None:
    """Turns of a model that was never used before are not measured against those of another."""
    found = compare(day_of_samples(-1, model="new"), weeks_of_samples(1))
    assert (found.verdict, found.first_byte.slowdown, found.is_own) == ("unknown", None, False)
    assert found.first_byte.turns == 20


@pytest.mark.parametrize(("days", "expected"), [(4, "unknown"), (5, "slower")])
def test_days_that_are_needed(days: int, expected: str) -> None:
    """However many turns there are, those of a few days do not say what is usual."""
    found = compare(day_of_samples(-1, 100, slower=3.0), weeks_of_samples(1, days=days, turns=100))
    assert (found.verdict, found.first_byte.days) == (expected, days)


@pytest.mark.parametrize(
    ("failed", "of", "earlier_failed", "more"),
    [
        (0, 20, 0, False),
        (2, 20, 0, False),
        (3, 20, 2, True),
        (3, 20, 40, False),
        (12, 20, 40, True),
        (20, 20, 400, False),
    ],
)
def test_failures(failed: int, of: int, earlier_failed: int, more: bool) -> None:
    """More failures than chance explains are said to be more; two are never."""
    now = _with_failures(day_of_samples(-1, of), failed)
    earlier = _with_failures(weeks_of_samples(1), earlier_failed)
    found = compare(now, earlier)
    assert (found.failed, found.turns, found.more_failures) == (failed, of, more)
    assert found.usual_failed == earlier_failed / 400


def _with_failures(samples: list[KindSamples], failed: int) -> list[KindSamples]:
    return [each._replace(failed=True) for each in samples[:failed]] + samples[failed:]


def test_nothing() -> None:
    """Without any turn nothing is known."""
    found = compare([], [])
    assert (found.verdict, found.turns, found.usual_failed, found.changes) == ("unknown", 0, None, [])
