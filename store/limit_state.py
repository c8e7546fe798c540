"""Is this limit closed? The one place that says so: for recording, and for every command, alert, page and metric.

A limit is in one of four states: **open**; **refused**, by something and perhaps until a time; **on credits**, when the
included usage is used up and credits carry the use; **unknown**. The latest word decides, and a contrary older one goes
with all its parts. What does not contradict an older word completes it.

What a message says of a limit (its `LimitVerdict`), and what becomes of the word before it:

===========================================  =============================  ============================================
message                                      source                         effect
===========================================  =============================  ============================================
refused: usage limit reached                 error, headers of status 400   refused, until the time and by the window
                                             and above, response.failed     that it names
a reached type that credits do not help      any                            refused; by credits, where those ran out
(all but ``rate_limit_reached``)
``allowed`` true or ``limit_reached`` false  websocket, sse, usage          open; ends a refusal
``allowed`` false, ``limit_reached`` true,   websocket, sse, usage          used up: refused unless credits carry; a
or ``rate_limit_reached``                                                   refusal before it stays
response of a status below 400               headers                        ends a refusal older than the request, and
                                                                            "used up" that no credits carry
turn completed by the server                 the end of the turn            as a response of a status below 400
other windows are full                       any                            ends "open"
a full window is full no longer              any                            ends a refusal and "used up"
nothing of these                             any                            none: the word before it holds
===========================================  =============================  ============================================

What becomes of it by the clock and by the figures, when it is asked (`limit_state`), from the top:

=====================================================================  =================================================
condition                                                              state
=====================================================================  =================================================
the time that the server gave is over                                  the word is forgotten
no time given, a window was due since, and none is full                the word is forgotten
refused; without a time given, only if no window is as in the next     refused by the named or full window, else by
row                                                                    "limit"; until the time given, else the resets
                                                                       of the full windows
a window was reported after the reset that it names, an hour ago       unknown, unless another window is full
used up or a window full; credits are left and no cap is reached       on credits, until the full windows reset
used up or a window full; "allowed" alone is said                      open
used up or a window full                                               refused by the full window, else by "limit"
nothing is known: no figure and no word                                unknown
any other                                                              open
=====================================================================  =================================================

A time given that lies more than two minutes before the refusal is ignored: a clock is wrong.

Refusals of earlier versions have no time at which they came (``refused_at``), and perhaps an older "allowed" beside
them: a time given, or a reached type that credits do not help, says that they are refusals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from store.constants import is_full, is_zero, same_length
from store.reset_times import same_reset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class AccountFacts(Protocol):
        """What is known of an account's credits, and of the caps on spending them; None is unknown."""

        @property
        def has_credits(self) -> bool | None:
            """Whether there are any."""

        @property
        def credits_unlimited(self) -> bool | None:
            """Whether they are without limit."""

        @property
        def credits_balance(self) -> str | None:
            """How many are left: the server's decimal string."""

        @property
        def overage_limit_reached(self) -> bool | None:
            """Whether a cap on spending them is reached."""

        @property
        def spend_control_reached(self) -> bool | None:
            """Whether the workspace's cap on spending is reached."""


State = Literal["open", "refused", "on_credits", "unknown"]

ANY_REFUSAL = "usage_limit_reached"
"""The server's name of any refusal: unlike a reached type it gives no reason."""

USED_UP_TYPE = "rate_limit_reached"
"""The reached type that says no more than that included usage is used up."""

UNKNOWN_AFTER_SECONDS = 3_600
"""How long a figure counts that was reported after its own reset: then it is not known what became of the window."""


class LimitVerdict(NamedTuple):
    """What the server says of a limit being open or closed, in the latest message and what that leaves standing.

    ``refused_at`` is when it last refused a request because of the limit, in Unix seconds; ``reached_until`` and
    ``reached_window_minutes`` are until when, and the length of the window that is used up.
    """

    allowed: bool | None = None
    limit_reached: bool | None = None
    reached_type: str | None = None
    reached_until: int | None = None
    reached_window_minutes: int | None = None
    refused_at: float | None = None

    @property
    def refuses(self) -> bool:
        """Whether it is a refusal, which credits do not help."""
        return self.refused_at is not None or self.reached_until is not None or refuses_for(self.reached_type)

    @property
    def closes(self) -> bool:
        """Whether it says that the included usage is used up, or refuses."""
        _, limit_reached, reached_type, reached_until, _, refused_at = self
        if self.allowed is False or limit_reached:
            return True
        return not (reached_type is None and reached_until is None and refused_at is None)

    @property
    def opens(self) -> bool:
        """Whether a part of it says outright that the limit is open."""
        return self.allowed is True or self.limit_reached is False


NO_VERDICT = LimitVerdict()


class WindowFigures(NamedTuple):
    """A window as it is when the state is asked for.

    ``was_reset`` is true where its reset has passed since it was last reported, ``overdue`` where it was reported after
    the reset that it names, and ``age_seconds`` is how long ago that was.
    """

    used_percent: float | None
    window_minutes: int | None
    resets_at: int | None
    was_reset: bool = False
    overdue: bool = False
    age_seconds: float = 0.0

    @property
    def is_unknown(self) -> bool:
        """Whether it is not known what became of the window since it was due."""
        return self.overdue and self.age_seconds >= UNKNOWN_AFTER_SECONDS


class LimitState(NamedTuple):
    """The state of a limit.

    ``by`` is what refuses: the slot of a window, ``"credits"`` where those ran out, ``"limit"`` where the server names
    no window; None in any other state. ``until`` is when the included usage comes back, in Unix seconds; None where
    that is unknown, and for an open limit. ``lapsed`` is true where the server's word is over.
    """

    state: State
    by: str | None = None
    until: int | None = None
    lapsed: bool = False


# What a message leaves standing


def refuses_for(reached_type: str | None) -> bool:
    """Return True if a reached type names a reason that credits do not help."""
    return reached_type is not None and reached_type != USED_UP_TYPE


def next_verdict(new: LimitVerdict, held: LimitVerdict) -> LimitVerdict:
    """Return the verdict after a message.

    Args:
        new: What the message says.
        held: What still holds of the verdict before it.

    """
    if not (new.closes or new.opens):
        return held
    if (new.opens and not new.refuses) or held.opens:
        return new
    merged = LimitVerdict._make(old if value is None else value for value, old in zip(new, held, strict=True))
    # The window that an earlier refusal named goes with its time.
    return merged if _same_end(new, held) else merged._replace(reached_window_minutes=new.reached_window_minutes)


def _same_end(new: LimitVerdict, held: LimitVerdict) -> bool:
    return new.reached_until is None or held.reached_until is None or same_reset(new.reached_until, held.reached_until)


def ended_by_turn(held: LimitVerdict, requested_at: float | None, *, on_credits: bool) -> bool:
    """Return True if a turn that the server answered ends a verdict.

    Args:
        held: The verdict.
        requested_at: When the turn was requested; a refusal since then is the later word.
        on_credits: Whether credits carry a limit that is used up: then both are true, and nothing is contradicted.

    """
    if held.refused_at is not None:
        return requested_at is None or requested_at >= held.refused_at
    return held.closes and (held.refuses or not on_credits)


def credits_carry(facts: AccountFacts) -> bool:
    """Return True if credits carry a limit that is used up: some are left, and no cap on spending them is reached."""
    if facts.overage_limit_reached or facts.spend_control_reached:
        return False
    return credits_left(facts.has_credits, facts.credits_unlimited, facts.credits_balance)


def credits_left(has_credits: bool | None, unlimited: bool | None, balance: str | None) -> bool:
    """Return True if credits are known to be left."""
    return bool(unlimited or (has_credits and not is_zero(balance)))


# The state


def limit_state(
    verdict: LimitVerdict, windows: Mapping[str, WindowFigures], *, credits_carry: bool, now: float
) -> LimitState:
    """Return the state of a limit at `now` (Unix seconds), by the table above.

    Args:
        verdict: The server's latest word.
        windows: The limit's windows by slot.
        credits_carry: Whether credits are left, and no cap on spending them is reached.
        now: When it is asked.

    """
    lapsed = _lapsed(verdict, windows, now)
    word = NO_VERDICT if lapsed else verdict
    full = {slot: window for slot, window in windows.items() if is_full(window.used_percent) and not window.is_unknown}
    found = _state(word, windows, full, credits_carry=credits_carry)
    return found._replace(lapsed=lapsed)


def _state(
    word: LimitVerdict,
    windows: Mapping[str, WindowFigures],
    full: Mapping[str, WindowFigures],
    *,
    credits_carry: bool,
) -> LimitState:
    unclear = any(window.is_unknown for window in windows.values())
    until = _until(word, full)
    if word.refuses and (word.reached_until is not None or not unclear):
        return LimitState("refused", _refused_by(word, windows, full), until)
    if unclear and not full:
        return LimitState("unknown")
    if full or word.closes:
        if credits_carry:
            return LimitState("on_credits", None, until)
        if word.allowed and not word.closes:
            return LimitState("open")
        return LimitState("refused", _fullest(full) or "limit", until)
    known = word.opens or any(window.used_percent is not None for window in windows.values())
    return LimitState("open" if known else "unknown")


def _lapsed(verdict: LimitVerdict, windows: Mapping[str, WindowFigures], now: float) -> bool:
    """Return True if the server's word is over: at the time it gave, else with the reset of its windows."""
    if verdict.reached_until is not None:
        return verdict.reached_until <= now
    none_full = not any(is_full(window.used_percent) for window in windows.values())
    return none_full and any(window.was_reset for window in windows.values())


def _refused_by(word: LimitVerdict, windows: Mapping[str, WindowFigures], full: Mapping[str, WindowFigures]) -> str:
    if "credits" in (word.reached_type or ""):
        return "credits"
    if word.reached_window_minutes:
        return _slot_of(word.reached_window_minutes, windows)
    return _fullest(full) or "limit"


def _slot_of(minutes: int, windows: Mapping[str, WindowFigures]) -> str:
    """Return the slot of the window of a length, which may not have been reported yet."""
    for slot, window in windows.items():
        if window.window_minutes is not None and same_length(window.window_minutes, minutes):
            return slot
    return f"{minutes // 1_440}d" if minutes % 1_440 == 0 else f"{minutes // 60}h" if minutes % 60 == 0 else "limit"


def _fullest(full: Mapping[str, WindowFigures]) -> str | None:
    """Return the slot of the full window that is available again last; None where none is full."""
    return max(full, key=lambda slot: _available_at(full[slot]) or float("inf"), default=None)


def _available_at(window: WindowFigures) -> int | None:
    return None if window.overdue else window.resets_at


def _until(word: LimitVerdict, full: Mapping[str, WindowFigures]) -> int | None:
    """Return when the included usage comes back: after the resets of the full windows, and at the time given."""
    ends = [_available_at(window) for window in full.values()]
    known = [end for end in (*ends, word.reached_until) if end is not None]
    return None if not known or (None in ends and word.reached_until is None) else max(known)
