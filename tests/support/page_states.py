"""Databases with which the page is shown in its states: one account, three, or twenty, with weeks of history."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from store.models import Credits, Identity, Tokens, Window
from tests.support.databases import record
from tests.support.factories import limit, snapshot, turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.record.writer import Entry

HOUR, DAY = 3_600, 86_400
NAMES = ("work", "home", "lab")
MODELS = ("gpt-6.1-sol", "gpt-6.1-luna", "gpt-5.3-codex")
STEP_SECONDS = HOUR
"""The time between two readings."""


def record_accounts(path: Path, number: int, days: int = 12) -> Path:
    """Record so many accounts: every third one is calm, pressed, or closed by its 5 h window at the end."""
    return record(path, *(entry for place in range(number) for entry in _account(place, days)))


def _account(place: int, days: int) -> Iterator[Entry]:
    name = NAMES[place] if place < len(NAMES) else f"team-{place:02}"
    who = Identity(token_key=f"{name}~0", account_id=f"acct-{name}", user_id="user", email=f"{name}@example.com")
    now = round(time.time())
    # What a reading adds to the week, and how long ago the week began.
    pace, begun = (1.0, 1.9, 1.2)[place % 3] + place % 5 * 0.1, (2.6 + place % 4) * DAY
    money = Credits(has_credits=place % 3 == 1, unlimited=False, balance="9.5" if place % 3 == 1 else None)
    steps = int(days * DAY / STEP_SECONDS)
    for step in range(steps, -1, -1):
        ago = step * STEP_SECONDS + 40 + place
        at = now - ago
        works = 8 <= time.localtime(at).tm_hour < 20
        if not works and step:
            continue
        week = (begun - ago) % (7 * DAY)
        # Windows of 5 h follow each other; the last one resets in 2.4 h.
        since = (2.6 * HOUR - ago) % (5 * HOUR)
        full = step == 0 and place % 3 == 2
        five = (
            100.0
            if full
            else min(95.0, pace * (1 + math.sin((ago - 2.6 * HOUR) // (5 * HOUR) + place)) * since / HOUR * 7 + 2)
        )
        resets = at - since + 5 * HOUR
        seven = min(99.0, pace * week / HOUR * 0.45)
        windows = {
            "5h": Window(used_percent=round(min(100.0, five), 1), window_minutes=300, resets_at=round(resets)),
            "7d": Window(used_percent=round(seven, 1), window_minutes=10_080, resets_at=round(at + 7 * DAY - week)),
        }
        tokens = Tokens(input=210_000 + 900 * step, cached=170_000, output=3_100, reasoning=900)
        thread = f"thread-{place}-{step // 9}"
        model, first = MODELS[step % 3], at - 34 + place % 3 * 0.3
        yield turn(thread, who=who, at=at - 30, first_byte_at=first, model=model, status=200, tokens=tokens)
        if step % 4 == 0:
            yield turn(
                f"review-{step}",
                who=who,
                at=at - 20,
                model=MODELS[1],
                status=200,
                tokens=tokens,
                subagent="review",
                parent_thread=thread,
            )
        yield snapshot(limit(windows), who=who, at=at, plan_type=("plus", "pro")[place % 2], credits=money)
