"""What was computed lately, for a program that asks the same again and again, such as `serve`.

A forecast of an account that nobody uses meanwhile is nearly the same a minute later. So it is used again for a while:
longer the longer the account has been idle. A changed row of the database always makes it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

LEAST_SECONDS, MOST_SECONDS = 60.0, 600.0
"""How long a result is used again at least and at most, as long as nothing has changed."""

_IDLE_SHARE = 0.02
"""For how large a share of the time for which nothing has changed."""

_MAX_RESULTS = 4_096


class Recent:
    """Results by their keys, each with the state of the database that it was computed from."""

    def __init__(self, most: int = _MAX_RESULTS) -> None:
        """Remember nothing yet, and never more than so many results: beyond that all are forgotten."""
        self._most = most
        self._results: dict[Hashable, tuple[object, float, object]] = {}

    def result(
        self, key: Hashable, state: object, now: float, compute: Callable[[], T], *, changed_at: float | None = None
    ) -> T:
        """Return the remembered result of a key; compute it where there is none, or where it is of another state.

        Args:
            key: What is asked.
            state: What it is computed from: another value has another result.
            now: The time, in Unix seconds; a clock that was set back makes results anew.
            compute: Computes the result, which nobody changes.
            changed_at: When what it is computed from last changed, in Unix seconds; None is unknown.

        """
        found = self._results.get(key)
        if found is not None and found[0] == state and 0 <= now - found[1] < _lasting(found[1], changed_at):
            return cast("T", found[2])
        result = compute()
        if len(self._results) >= self._most:
            self._results.clear()
        self._results[key] = state, now, result
        return result


def computed(
    recent: Recent | None, key: Hashable, state: object, now: float, compute: Callable[[], T], **lasting: Any
) -> T:
    """Return `Recent.result`; without a `recent` it is computed."""
    return compute() if recent is None else recent.result(key, state, now, compute, **lasting)


def _lasting(at: float, changed_at: float | None) -> float:
    """Return for how many seconds a result that was computed at a time is used again."""
    idle = 0.0 if changed_at is None else at - changed_at
    return min(max(LEAST_SECONDS, _IDLE_SHARE * idle), MOST_SECONDS)
