"""A machine at work, as a process: the real recorder, which gets readings and turns until it is killed.

``python -m tests.support.working_machine FILE NUMBER SECONDS``
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from store.models import Identity, Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window
from store.record.recorder import Recorder

SHARED = "acct-shared"
"""The account that all machines use."""

_PAUSE_SECONDS = 0.004
_PERIOD_SECONDS = 40
"""The windows are reset so often."""


def own_account(number: int) -> str:
    """Return the id of the account that one machine alone uses."""
    return f"acct-of-{number}"


def _work(path: Path, number: int, seconds: float) -> None:
    chance = random.Random(f"{number} {time.time()}")  # noqa: S311 (no secret)
    recorder = Recorder(path)
    recorder.start()
    end = time.time() + seconds
    used: dict[str, float] = {}
    while (now := time.time()) < end:
        account = chance.choice((SHARED, own_account(number)))
        if account not in used or chance.random() < 0.35:
            used[account] = now % _PERIOD_SECONDS * 2.5
        identity = Identity(
            token_key=f"eyJhbGciOiJSUzI1NiIs~{number}{int(now) // 20 % 1_000:09d}",
            account_id=account,
            user_id="user",
            email=f"{account}@example.com",
        )
        thread = f"thread-{number}-{int(now) // 5}"
        recorder.put(_reading(identity, now, used[account], thread, more=chance.random() < 0.3))
        if chance.random() < 0.5:
            tokens = Tokens(input=chance.randrange(10_000), cached=100, output=chance.randrange(2_000), reasoning=5)
            recorder.put(
                Turn(
                    identity=identity,
                    transport=Transport.HTTP,
                    started_at=now - 2,
                    ended_at=now,
                    thread=thread,
                    status=200,
                    tokens=tokens,
                )
            )
        time.sleep(_PAUSE_SECONDS)
    recorder.close()


def _reading(identity: Identity, now: float, used: float, thread: str, *, more: bool) -> Snapshot:
    resets_at = int(now) // _PERIOD_SECONDS * _PERIOD_SECONDS + 604_800
    limits = [Limit(windows={"7d": Window(used_percent=round(used, 1), window_minutes=10_080, resets_at=resets_at)})]
    if more:
        window = Window(used_percent=round(used / 4, 1), window_minutes=10_080, resets_at=resets_at)
        limits.append(Limit(limit_id="codex_bengalfox", windows={"7d": window}))
    return Snapshot(
        identity=identity,
        observed_at=now,
        source=Source.WEBSOCKET,
        reading=RateLimits(limits=tuple(limits), server_time=float(int(now)), plan_type="pro", raw={"used": used}),
        thread=thread,
    )


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
