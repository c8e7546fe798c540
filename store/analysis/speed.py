"""How fast turns were, and whether Codex is slower than usual: pure functions over turns.

A turn is measured if the server completed it and reported its output tokens (`measure`): seconds from the request to
the first byte of the response, seconds in all, and output tokens a second from the first byte to the end. How the other
turns ended is counted (`outcome`).

`compare` asks whether the turns of the last hours were slower than those of the same hours of earlier days. Each turn
is measured against the median of its own kind: the same model, effort, tier and size of input. So a larger input or a
higher effort makes no turn "slow". The turns of one day have much in common, so their number alone proves little:
slower than usual is what exceeds the usual by a third, and nearly all earlier days, and what chance does not explain (a
sign test).
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from store.constants import INTERRUPTED
from store.limit_state import ANY_REFUSAL, USED_UP_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Outcome = Literal["answered", "failed", "refused", "interrupted"]
Verdict = Literal["slower", "usual", "faster", "unknown"]

MIN_OUTPUT_TOKENS = 50
MIN_OUTPUT_SECONDS = 0.5
"""With fewer tokens, or in less time, a turn does not tell how many tokens there are a second."""

MAX_RATE = 20_000.0
"""Tokens a second above which a response came in one piece: its first byte does not tell when it began."""

MIN_TURNS = 10
"""With fewer turns `compare` gives no verdict."""

MIN_DAYS = 5
"""With fewer earlier days `compare` gives no verdict."""

MIN_DAY_TURNS = 3
"""With fewer turns in the hours a day does not count."""

MIN_KIND_TURNS = 10
"""With fewer earlier turns a kind has no usual value."""

SIZE_STEP = 1.5
"""Inputs of one kind of turn differ by no more than this, or by its cube where there are too few of them."""

NOTABLE = 1.33
"""What is slower, or faster, by less is as usual."""

_EXCEEDED = 0.9
_LARGER = 1.5
_SHIFT = 0.25
_CHANCE = 0.01
_MIN_FAILURES = 3
_TURN_LIMIT_STATUS = 429
_REFUSALS = frozenset(
    {
        ANY_REFUSAL,
        USED_UP_TYPE,
        "usage_limit_exceeded",
        "usage_not_included",
        "rate_limit_exceeded",
        "insufficient_quota",
    }
)
_INCOMPLETE = frozenset({"max_output_tokens", "content_filter"})
"""Why the server completes a response before its end: not a failure of the server."""

_DATED = re.compile(r"-\d{4}(?:-?\d\d-?\d\d)?\Z")
"""The end of a model's full name, which responses may have: ``-2026-11-20``."""


def short_model(name: str) -> str:
    """Return the name of a model without a date."""
    return _DATED.sub("", name)


class TurnTiming(NamedTuple):
    """A turn, as it is stored; None is unknown, timestamps are Unix seconds."""

    started_at: float
    first_byte_at: float | None
    ended_at: float
    status: int | None
    error_type: str | None
    model: str | None
    response_model: str | None
    reasoning_effort: str | None
    tier: str | None
    input_tokens: int | None
    output_tokens: int | None


class Measure(NamedTuple):
    """How fast a turn was; None where it does not tell."""

    seconds: float | None
    first_byte_seconds: float | None
    tokens_per_second: float | None


@functools.lru_cache(maxsize=256)
def outcome(status: int | None, error_type: str | None) -> Outcome:
    """Return how a turn ended.

    ``refused`` is a turn that the limits did not let through, ``interrupted`` one whose end was never seen, ``failed``
    any other with an error. Which side interrupted a turn is not known.
    """
    if error_type == INTERRUPTED:
        return "interrupted"
    if status == _TURN_LIMIT_STATUS or error_type in _REFUSALS or (error_type or "").endswith("_credits_depleted"):
        return "refused"
    if (status or 0) >= 400 or not (error_type is None or error_type in _INCOMPLETE):
        return "failed"
    return "answered"


def failure_name(status: int | None, error_type: str | None) -> str:
    """Return what a failed turn is counted under: the server's type of the error, or the status."""
    return error_type or str(status)


def is_rerouted(model: str | None, response_model: str | None) -> bool:
    """Return True if another model responded than the requested one; the full name of that one is the same model."""
    if not model or not response_model:
        return False
    return short_model(response_model) != short_model(model)


NOT_MEASURED = Measure(None, None, None)
"""What is known of a turn without output tokens, or whose clock was set back."""


def measure(started_at: float, first_byte_at: float | None, ended_at: float, output_tokens: int | None) -> Measure:
    """Return how fast an answered turn was, by the fields of `TurnTiming`."""
    seconds = ended_at - started_at
    if output_tokens is None or first_byte_at is None or seconds < 0:
        return NOT_MEASURED
    waited, written = first_byte_at - started_at, ended_at - first_byte_at
    if waited < 0 or written < 0:
        return NOT_MEASURED
    if output_tokens < MIN_OUTPUT_TOKENS:
        return Measure(seconds, waited, None)
    if output_tokens > written * MAX_RATE:
        return Measure(seconds, None, None)
    return Measure(seconds, waited, output_tokens / written if written >= MIN_OUTPUT_SECONDS else None)


# Adding up


class Quantiles(NamedTuple):
    """The median of figures, and the value that the slowest twentieth exceeds; None where there are no figures."""

    turns: int
    median: float | None
    slow: float | None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of sorted figures is, interpolated between two of them."""
    place = share * (len(ordered) - 1)
    below = int(place)
    figure, rest = ordered[below], place - below
    return figure + (ordered[below + 1] - figure) * rest if rest else figure


def median(figures: Iterable[float]) -> float | None:
    """Return the median of figures, or None if there are none."""
    ordered = sorted(figures)
    return quantile(ordered, 0.5) if ordered else None


def quantiles(ordered: Sequence[float], *, slow: float = 0.95) -> Quantiles:
    """Return the median of sorted figures and their quantile `slow`: 0.95 of seconds, 0.05 of a speed."""
    if not ordered:
        return Quantiles(0, None, None)
    return Quantiles(len(ordered), quantile(ordered, 0.5), quantile(ordered, slow))


# Slower than usual?


class KindSamples(NamedTuple):
    """Turns of one kind for `compare`: what they have in common, and columns of their days and of how fast they were.

    A figure that a turn does not tell is not a number.
    """

    model: str | None
    reasoning_effort: str | None
    tier: str | None
    failed: bool
    days: Sequence[str | None]
    input_tokens: Sequence[float]
    first_byte_seconds: Sequence[float]
    tokens_per_second: Sequence[float]


class MetricComparison(NamedTuple):
    """A figure of the last hours beside the usual one.

    ``slowdown`` is how many times as long as usual turns of the same kind take: above 1 they are slower. It is exceeded
    by that of ``days`` less ``days_exceeded`` earlier days.
    """

    verdict: Verdict
    turns: int
    median: float | None
    usual: Quantiles
    slowdown: float | None
    days: int
    days_exceeded: int


OwnChoice = Literal["model", "reasoning_effort", "tier"]
_OWN_CHOICES: tuple[OwnChoice, ...] = get_args(OwnChoice)


class Change(NamedTuple):
    """What is different about the user's own turns: ``input_tokens`` (medians), or a value's share of the turns."""

    what: Literal["input_tokens"] | OwnChoice
    value: str | None
    now: float
    usual: float


class Comparison(NamedTuple):
    """The turns of the last hours beside those of the same hours of the days before.

    ``is_own`` is true if they take longer than usual, and turns of the same kind do not.
    """

    first_byte: MetricComparison
    tokens_per_second: MetricComparison
    failed: int
    turns: int
    usual_failed: float | None
    more_failures: bool
    changes: list[Change]

    @property
    def verdict(self) -> Verdict:
        """The verdict of both figures: the slower one decides."""
        verdicts = (self.first_byte.verdict, self.tokens_per_second.verdict)
        order: tuple[Verdict, ...] = ("slower", "faster", "usual", "unknown")
        return next(each for each in order if each in verdicts)

    @property
    def is_own(self) -> bool:
        """Return True if turns take longer than usual, and turns of the same kind do not."""
        found = self.first_byte
        if self.verdict == "slower" or not found.median or not found.usual.median or not found.slowdown:
            return False
        return found.median >= NOTABLE * found.usual.median and bool(self.changes)


def compare(recent: Sequence[KindSamples], earlier: Sequence[KindSamples]) -> Comparison:
    """Compare the turns of the last hours with those of the same hours of the days before."""
    turns, earlier_turns = _number(recent), _number(earlier)
    failed, earlier_failed = (_number([each for each in of if each.failed]) for of in (recent, earlier))
    waits, rates = _by_kind(recent)
    earlier_waits, earlier_rates = _by_kind(earlier)
    return Comparison(
        _compare_metric(waits, earlier_waits, inverse=False),
        _compare_metric(rates, earlier_rates, inverse=True),
        failed,
        turns,
        earlier_failed / earlier_turns if earlier_turns else None,
        _are_more(failed, turns, earlier_failed, earlier_turns),
        _changes(recent, earlier) if min(turns, earlier_turns) >= MIN_TURNS else [],
    )


def _number(samples: Sequence[KindSamples]) -> int:
    return sum(len(each.days) for each in samples)


_Kind = tuple[str | None, str | None, str | None, int | None]
"""A model, effort and tier, and the size of the input in steps."""


class _Figures(NamedTuple):
    """A figure of turns of one kind, and the days of the turns."""

    days: list[str | None]
    figures: list[float]


def _by_kind(samples: Sequence[KindSamples]) -> tuple[dict[_Kind, _Figures], dict[_Kind, _Figures]]:
    """Return the seconds to the first byte and the tokens a second of turns by their kind, as far as they tell them."""
    waits: dict[_Kind, _Figures] = {}
    rates: dict[_Kind, _Figures] = {}
    for model, effort, tier, _, days, tokens, *both in samples:
        sizes = _sizes(tokens)
        kinds: dict[int | None, _Kind] = {size: (model, effort, tier, size) for size in set(sizes)}
        for found, column in zip((waits, rates), both, strict=True):
            of_size = {size: found.setdefault(kind, _Figures([], [])) for size, kind in kinds.items()}
            for size, day, figure in zip(sizes, days, column, strict=True):
                if figure == figure:  # noqa: PLR0124 (an unknown one is not)
                    own = of_size[size]
                    own[0].append(day)
                    own[1].append(figure)
    return waits, rates


def _compare_metric(
    recent: Mapping[_Kind, _Figures], earlier: Mapping[_Kind, _Figures], *, inverse: bool
) -> MetricComparison:
    """Compare a figure; `inverse` is for one of which less is slower."""
    now, before = (
        {kind: _Figures(days, _slowness(figures, inverse=inverse)) for kind, (days, figures) in of.items()}
        for of in (recent, earlier)
    )
    usual = {kind: found for kind in {*now, *before} if (found := _usual_slowness(before, kind))}
    ratios = [ratio for _, of_kind in _ratios(now, usual) for ratio in of_kind]
    by_day: dict[str | None, list[float]] = {}
    for days_of_kind, of_kind in _ratios(before, usual):
        for day, ratio in zip(days_of_kind, of_kind, strict=True):
            by_day.setdefault(day, []).append(ratio)
    slowdown = median(ratios)
    days = [middle for each in by_day.values() if len(each) >= MIN_DAY_TURNS and (middle := median(each))]
    figures, earlier_figures = (
        sorted(chain.from_iterable(each.figures for each in of.values())) for of in (recent, earlier)
    )
    return MetricComparison(
        _verdict(ratios, slowdown or 0.0, days),
        len(figures),
        quantiles(figures).median,
        quantiles(earlier_figures, slow=0.05 if inverse else 0.95),
        slowdown,
        len(days),
        sum(day < (slowdown or 0) for day in days),
    )


def _slowness(figures: list[float], *, inverse: bool) -> list[float]:
    """Return seconds as they are, of a speed its reciprocal."""
    return [1 / figure for figure in figures] if inverse else figures


def _ratios(
    figures: Mapping[_Kind, _Figures], usual: Mapping[_Kind, float]
) -> Iterator[tuple[list[str | None], list[float]]]:
    """Yield how many times as slow turns are as their kind usually is, with their days.

    Turns of an unknown kind are left out.
    """
    for kind, (days, slowness) in figures.items():
        middle = usual.get(kind)
        if middle is not None:
            yield days, [each / middle for each in slowness]


def _usual_slowness(earlier: Mapping[_Kind, _Figures], kind: _Kind) -> float | None:
    """Return the usual slowness of a kind of turn; None where too few of them are known.

    Kinds differ in the size of their inputs by one step or more. One that has too few turns is taken together with its
    neighbours in size.
    """
    own = earlier[kind].figures if kind in earlier else []
    if len(own) < MIN_KIND_TURNS:
        near = (earlier[each].figures for each in (kind, *_neighbours(kind)) if each in earlier)
        own = [figure for figures in near for figure in figures]
    return median(own) if len(own) >= MIN_KIND_TURNS else None


def _verdict(ratios: list[float], slowdown: float, days: list[float]) -> Verdict:
    """Return the verdict on turns by how many times as slow as usual each is.

    Args:
        ratios: those of the turns.
        slowdown: their median.
        days: the medians of earlier days.

    """
    if len(ratios) < MIN_TURNS or len(days) < MIN_DAYS:
        return "unknown"
    turns, enough = len(ratios), _EXCEEDED * len(days)
    slower, faster = sum(ratio > 1 for ratio in ratios), sum(ratio < 1 for ratio in ratios)
    if slowdown >= NOTABLE and sum(day < slowdown for day in days) >= enough and _is_beyond_chance(slower, turns, 0.5):
        return "slower"
    if (
        slowdown <= 1 / NOTABLE
        and sum(day > slowdown for day in days) >= enough
        and _is_beyond_chance(faster, turns, 0.5)
    ):
        return "faster"
    return "usual"


def _sizes(tokens: Sequence[float]) -> list[int | None]:
    """Return the sizes of inputs in steps."""
    return [round(math.log(each, SIZE_STEP)) if each > 1 else None if math.isnan(each) else 0 for each in tokens]


def _neighbours(kind: _Kind) -> list[_Kind]:
    """Return the kinds whose inputs are a step smaller or larger."""
    *same, size = kind
    return [] if size is None else [(*same, size - 1), (*same, size + 1)]  # type: ignore[list-item]


def _are_more(failed: int, turns: int, earlier_failed: int, earlier_turns: int) -> bool:
    """Return True if so many failures are beyond chance (1 in 100) where the usual share holds."""
    if failed < _MIN_FAILURES or earlier_turns < MIN_TURNS:
        return False
    # With one failure more among the earlier turns: none was ever seen does not mean that none ever happens.
    share = min(1.0, (earlier_failed + 1) / (earlier_turns + 1))
    return _is_beyond_chance(failed, turns, share)


def _is_beyond_chance(count: int, turns: int, share: float) -> bool:
    """Return True if so many of the turns, or more, come about less than once in 100 times.

    Args:
        count: how many of them.
        turns: the number of turns.
        share: the probability of each of them.

    """
    return math.fsum(_binomial(each, turns, share) for each in range(count, turns + 1)) < _CHANCE


def _binomial(count: int, turns: int, share: float) -> float:
    if share >= 1:
        return float(count == turns)
    ways = math.lgamma(turns + 1) - math.lgamma(count + 1) - math.lgamma(turns - count + 1)
    return math.exp(ways + count * math.log(share) + (turns - count) * math.log1p(-share))


def _changes(recent: Sequence[KindSamples], earlier: Sequence[KindSamples]) -> list[Change]:
    """Return what is different about the user's own turns, and may make them slower."""
    changes = []
    now, usual = (
        median(tokens for each in of for tokens in each.input_tokens if tokens > 0) for of in (recent, earlier)
    )
    if now and usual and now >= _LARGER * usual:
        changes.append(Change("input_tokens", None, now, usual))
    for what in _OWN_CHOICES:
        of_recent, of_earlier = _shares(recent, what), _shares(earlier, what)
        more = {value: share - of_earlier.get(value, 0.0) for value, share in of_recent.items()}
        value = max(more, key=lambda each: more[each])
        if more[value] >= _SHIFT:
            changes.append(Change(what, value, of_recent[value], of_earlier.get(value, 0.0)))
    return changes


def _shares(samples: Sequence[KindSamples], what: OwnChoice) -> dict[str | None, float]:
    """Return the share of the turns that each model, effort or tier has."""
    counts: Counter[str | None] = Counter()
    for each in samples:
        counts[getattr(each, what)] += len(each.days)
    total = counts.total()
    return {value: count / total for value, count in counts.items()}
