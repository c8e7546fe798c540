"""The sentences of events: one for each kind, and one for each doubt about an event."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from store.analysis.formatting import clock_time, decimal_amount, duration, in_points, percent, window_length
from store.constants import BUDGET_SLOT, MAIN_LIMIT
from store.reset_times import same_reset

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from store.analysis.events import Event
    from store.constants import EventKind

    Sentence = Callable[[Event, dt.tzinfo | None], str]


def event_text(event: Event, zone: dt.tzinfo | None = None) -> str:
    """Return the sentence of an event; its times are those of `zone`, by default the machine's own."""
    return _SENTENCES[event.kind](event, zone)


def text_beside_time(text: str, event: Event, zone: dt.tzinfo | None = None) -> str:
    """Return the sentence `text` of an event for a line that begins with its time: it does not repeat that."""
    return text.replace(f", {clock_time(event.at, zone)},", ",")


def event_note(event: Event) -> str | None:
    """Return the sentence about what is not sure; None where all is."""
    if event.doubt is None:
        return None
    if event.doubt.kind == "far_apart":
        return f"It happened at some time in the {duration(event.doubt.seconds)} before it was seen."
    return _NOTES[event.doubt.kind]


def limit_suffix(limit_id: str | None, limit_name: str | None) -> str:
    """Return the words that name a limit behind its window: `` of GPT-5.3-Codex-Spark``, none for the main limit."""
    return "" if limit_id == MAIN_LIMIT else f" of {limit_name or limit_id}"


_NOTES = {
    "clock_set_back": "The clock was set back in between, so it is not known whether that was on time.",
    "reset_unknown": "Without both reset times it is not known whether that was a reset.",
}


# Words


def _window(event: Event) -> str:
    """Return ``7 d window``, with the limit if it is not the main one; a budget is called as its limit."""
    if event.slot == BUDGET_SLOT:
        return event.limit_name or BUDGET_SLOT
    return f"{_length(event)} window{limit_suffix(event.limit_id, event.limit_name)}"


def _length(event: Event) -> str:
    return window_length(event.slot or "", event.window_minutes)


def _limit(event: Event) -> str:
    return f"limit{limit_suffix(event.limit_id, event.limit_name)}"


def _time(at: float | None, zone: dt.tzinfo | None) -> str:
    return "at an unknown time" if at is None else clock_time(at, zone)


def _from_to(event: Event) -> str:
    return f"from {percent(event.before.used_percent)} used to {percent(event.after.used_percent)}"


# Sentences


def _limit_reached(event: Event, zone: dt.tzinfo | None) -> str:
    after = event.after
    if event.slot is None:
        kind = f" ({after.reached_type})" if after.reached_type else ""
        until = "" if after.reached_until is None else f", until {_time(after.reached_until, zone)}"
        return f"The {_limit(event)} is reached, as the server says{kind}{until}."
    resets = "its reset time is unknown" if after.resets_at is None else f"it resets {_time(after.resets_at, zone)}"
    return f"The {_window(event)} is full, at {percent(after.used_percent)} used; {resets}."


def _limit_freed(event: Event, _zone: dt.tzinfo | None) -> str:
    opened = f"The {_limit(event)} is open again"
    if event.slot is not None:
        return f"{opened}: its {_length(event)} window was reset."
    if event.at < event.after.seen_at:
        return f"{opened}: the time that the server gave has passed."
    return f"{opened}, as the server says."


def _window_reset(event: Event, zone: dt.tzinfo | None) -> str:
    due = event.before.resets_at
    if event.doubt is not None and event.doubt.kind == "clock_set_back":
        return f"The {_window(event)} was reset, {_from_to(event)}."
    if due is None:
        return f"The {_window(event)} was reset, {_from_to(event)}; when it was due is unknown."
    return f"The {_window(event)} was reset when it was due, {_time(due, zone)}, {_from_to(event)}."


def _window_reset_early(event: Event, zone: dt.tzinfo | None) -> str:
    return (
        f"The {_window(event)} was reset {duration(event.seconds or 0.0)} before it was due, {_from_to(event)}: it was"
        f" due {_time(event.before.resets_at, zone)}, and the next reset is {_time(event.after.resets_at, zone)}."
    )


def _banked_reset_used(event: Event, _zone: dt.tzinfo | None) -> str:
    return f"A banked reset was used: the {_window(event)} was reset, {_from_to(event)}."


def _window_moved(event: Event, zone: dt.tzinfo | None) -> str:
    moved = event.seconds or 0.0
    return (
        f"The {_window(event)} now resets {duration(abs(moved))} {'later' if moved > 0 else 'sooner'},"
        f" {_time(event.after.resets_at, zone)} instead of {_time(event.before.resets_at, zone)},"
        f" at {percent(event.after.used_percent)} used after {percent(event.before.used_percent)}."
    )


def _window_not_reset(event: Event, zone: dt.tzinfo | None) -> str:
    was, now = event.before.used_percent, event.after.used_percent
    course = f"still {percent(now)} used" if was == now else f"{percent(now)} used after {percent(was)}"
    return (
        f"The {_window(event)} was due {_time(event.before.resets_at, zone)} and was not reset, {course};"
        f" now due {_time(event.after.resets_at, zone)}."
    )


def _used_percent_fell(event: Event, zone: dt.tzinfo | None) -> str:
    was, now = event.before.resets_at, event.after.resets_at
    if was is None or now is None:
        resets = "its reset time is unknown"
    elif same_reset(was, now):
        resets = f"its reset stays {_time(now, zone)}"
    else:
        resets = f"it now resets {_time(now, zone)} instead of {_time(was, zone)}"
    return f"The {_window(event)} fell {_from_to(event)}; {resets}."


def _window_appeared(event: Event, zone: dt.tzinfo | None) -> str:
    resets_at = event.after.resets_at
    resets = "" if resets_at is None else f", and it resets {_time(resets_at, zone)}"
    return f"The {_window(event)} is new: {percent(event.after.used_percent)} of it is used{resets}."


def _window_vanished(event: Event, _zone: dt.tzinfo | None) -> str:
    return f"The {_window(event)} no longer exists; it was last seen at {percent(event.before.used_percent)} used."


def _plan_changed(event: Event, _zone: dt.tzinfo | None) -> str:
    return f"The plan changed from {event.before.plan_type} to {event.after.plan_type}."


def _credits_changed(event: Event, _zone: dt.tzinfo | None) -> str:
    # A balance that was not sent is 0 here: such an account has no credits.
    had, has = (Decimal(each.credits_balance or 0) for each in (event.before, event.after))
    bought = "bought" if has > had else "spent"
    return f"{decimal_amount(event.credits or '')} credits were {bought}: {had:,f} before, {has:,f} now."


def _used_elsewhere(event: Event, _zone: dt.tzinfo | None) -> str:
    was, now = event.before.used_percent, event.after.used_percent
    reset = event.points == now and bool(was)
    between = "used, then a reset," if reset else "used before,"
    course = f"{percent(was)} {between} {percent(now)} now"
    points = f"{in_points(event.points or 0.0)} of the {_window(event)}"
    return f"Used elsewhere: {points} ({course}), and no turn was seen meanwhile."


def _token_refreshed(event: Event, _zone: dt.tzinfo | None) -> str:
    return f"A new token was seen, {event.after.token_key}, after {event.before.token_key}."


_SENTENCES: dict[EventKind, Sentence] = {
    "limit_reached": _limit_reached,
    "limit_freed": _limit_freed,
    "window_reset": _window_reset,
    "window_reset_early": _window_reset_early,
    "banked_reset_used": _banked_reset_used,
    "window_moved": _window_moved,
    "window_not_reset": _window_not_reset,
    "used_percent_fell": _used_percent_fell,
    "window_appeared": _window_appeared,
    "window_vanished": _window_vanished,
    "plan_changed": _plan_changed,
    "credits_bought": _credits_changed,
    "credits_spent": _credits_changed,
    "used_elsewhere": _used_elsewhere,
    "token_refreshed": _token_refreshed,
}
