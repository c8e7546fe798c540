"""The sentences of `store.analysis.speed.Comparison`: is Codex slow, or is it me?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import amount, share, whole
from store.analysis.speed import MIN_DAYS, MIN_TURNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.analysis.speed import Change, Comparison, MetricComparison

_HEADS = {
    "slower": "Slower than usual",
    "faster": "Faster than usual",
    "usual": "As fast as usual",
    "unknown": "Too little to tell",
}
_WORDS = {"model": "on {}", "reasoning_effort": "on effort {}", "tier": "on tier {}"}
_STANDARD = {"model": "a model not reported", "reasoning_effort": "effort not reported", "tier": "the standard tier"}


def comparison_text(found: Comparison, seconds: float) -> list[str]:
    """Return what a comparison says, in sentences; `seconds` is the length of the time that is compared."""
    return [*_sentences(found, _span(seconds))]


def in_seconds(value: float) -> str:
    """Format seconds with two digits: ``0.42 s``, ``4.1 s``, ``41 s``."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{whole(value)} s"


def rate(value: float) -> str:
    """Format tokens a second: ``8.4``, ``52``, ``1,200``."""
    return f"{value:.1f}" if value < 10 else f"{whole(value):,}"


def _sentences(found: Comparison, span: str) -> Iterator[str]:
    wait, speed = found.first_byte, found.tokens_per_second
    if not found.turns:
        yield f"No turns in the last {span}."
        return
    head = "Longer than usual, and not by Codex" if found.is_own else _HEADS[found.verdict]
    yield f"{head}: {_figures(wait, speed)} in the last {span}, {_turns(found.turns)}."
    if found.verdict == "unknown":
        yield _unknown(wait)
    else:
        for each, words in ((wait, "to the first byte"), (speed, "for each token")):
            if each.verdict == found.verdict:
                yield _like_for_like(each, words)
    if found.more_failures:
        usually = share(found.usual_failed)
        yield f"More failures than usual: {found.failed} of {_turns(found.turns)}, usually {usually}."
    for change in found.changes:
        yield _change(change)


def _figures(wait: MetricComparison, speed: MetricComparison) -> str:
    parts = []
    if wait.median is not None:
        parts.append(f"{in_seconds(wait.median)} to the first byte{_usually(wait, 'within', in_seconds)}")
    if speed.median is not None:
        parts.append(f"{rate(speed.median)} tokens a second{_usually(speed, 'at least', rate)}")
    return " and ".join(parts) or "no turn that tells its speed"


def _usually(found: MetricComparison, bound: str, written: Callable[[float], str]) -> str:
    _, middle, slow = found.usual
    if middle is None or slow is None:
        return ""
    return f" (usually {written(middle)}, 95 % {bound} {written(slow)})"


def _unknown(wait: MetricComparison) -> str:
    if wait.turns < MIN_TURNS:
        return f"A comparison needs {MIN_TURNS} answered turns."
    if wait.slowdown is None:
        return "No turn of the same kind is known from these hours."
    return f"A comparison needs {MIN_DAYS} earlier days with turns in the same hours; there are {wait.days}."


def _like_for_like(found: MetricComparison, words: str) -> str:
    days = {
        "slower": f": more than on {found.days_exceeded} of {found.days} days",
        "faster": f": less than on {found.days - found.days_exceeded} of {found.days} days",
    }.get(found.verdict, "")
    kind = "Turns of the same model, effort, tier and size of input"
    return f"{kind} take {found.slowdown:.1f} times as long {words}{days}."


def _change(change: Change) -> str:
    if change.what == "input_tokens":
        now, usual = amount(whole(change.now)), amount(whole(change.usual))
        return f"Your turns are larger: {now} input tokens, usually {usual}."
    value = change.value or _STANDARD[change.what]
    where = _WORDS[change.what].format(value) if change.value else f"with {value}"
    return f"More of your turns are {where}: {share(change.now)}, usually {share(change.usual)}."


def _turns(number: int) -> str:
    return f"{number:,} turn" + ("" if number == 1 else "s")


def _span(seconds: float) -> str:
    hours = seconds / 3_600
    if hours >= 1:
        return "hour" if whole(hours) == 1 else f"{whole(hours)} h"
    return f"{max(1, whole(seconds / 60))} min"
