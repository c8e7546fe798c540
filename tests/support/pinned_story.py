"""Ten days of five made-up accounts, for the pinned outputs: the same entries at every call.

``ann`` (plus) works by day and has all that can happen to windows: resets that were due, early, moved and not seen, a
figure that was lowered, use elsewhere, a full window, a new token. ``ben`` has two limits and credits, and goes from
plus to pro. ``cora`` is on the free plan with one window of 30 days, whose reset nobody has seen. ``dan`` is a bearer
without claims whose 7 d window is full. ``eve`` shares ann's workspace, and the server refuses her.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support import pinned
from tests.support.pinned import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR, DAY = 3_600, 86_400
MIDNIGHT = NOW - 12 * HOUR

ANN = pinned.identity("ann", plan_type="plus", expires_at=NOW - 2 * DAY)
ANN_LATER = pinned.identity("ann", token_key="ann~0000000002", plan_type="plus", expires_at=NOW + 8 * DAY)
BEN = pinned.identity("ben", plan_type="pro")
CORA = pinned.identity("cora")
DAN = pinned.identity("dan", account_id="", user_id="dan~0000000001", email=None)
EVE = pinned.identity("eve", account_id="acct-ann")

THREADS = tuple(f"0199a8c{number}-1111-7222-9333-44445555666{number}" for number in range(5))
BIG, SMALL, SPARK = "gpt-6.1-sol", "gpt-6.1-sol-mini", "gpt-5.3-codex-spark"
SPARK_LIMIT = {"limit_id": "codex_bengalfox", "limit_name": "GPT-5.3-Codex-Spark"}

FULL_TURN, LOWERED_TURN, EARLY_TURN, MOVED_TURN = 10, 16, 26, 31
ELSEWHERE_TURNS, WARM_UP_TURNS, CUT_OFF_TURN = (5, 19, 34), (0, 12, 24), 22


@dataclass
class _Window:
    """A window that turns fill, and that begins anew with the first turn after its reset."""

    slot: str
    minutes: int
    used: float = 0.0
    resets_at: int = 0

    def take(self, at: int, points: float) -> None:
        if at >= self.resets_at:
            self.used, self.resets_at = 0.0, at + self.minutes * 60
        self.used = min(100.0, self.used + points)

    @property
    def figures(self) -> tuple[float, int, int]:
        return self.used, self.minutes, self.resets_at


class _Person:
    """An account, its windows, and what it has done so far."""

    def __init__(self, who: pinned.Account, *windows: _Window) -> None:
        self.who = who
        self.windows = {window.slot: window for window in windows}
        self.entries: list[tuple[float, pinned.Entry]] = []

    def take(self, at: int, **points: float) -> None:
        for slot, used in points.items():
            self.windows[slot.removeprefix("w")].take(at, used)

    def turn(self, at: float, **fields: Any) -> None:
        usual: dict[str, Any] = {"status": 200, "model": BIG, "thread": THREADS[0]}
        self.entries.append((at, pinned.turn(self.who, at, **{**usual, **fields})))

    def read(self, at: float, *others: pinned.OneLimit, limit: dict[str, Any] | None = None, **said: Any) -> None:
        windows = {slot: window.figures for slot, window in self.windows.items()}
        main = pinned.limit(windows, **(limit or {}))
        self.entries.append((at, pinned.snapshot(self.who, at, main, *others, **said)))


def _working_times(first_day: int) -> Iterator[int]:
    """Yield when turns end: seven on a working day, two at weekends, all of them before now."""
    for day in range(first_day, 1):
        weekend = (MIDNIGHT // DAY + day + 4) % 7 in {0, 6}
        for number in range(2 if weekend else 7):
            at = MIDNIGHT + day * DAY + 8 * HOUR + number * 4_100 + 37
            if at < NOW:
                yield at


def _ann() -> _Person:
    ann = _Person(ANN, _Window("5h", 300), _Window("7d", 10_080, 55.0, MIDNIGHT - 7 * DAY + 9 * HOUR))
    for number, at in enumerate(_working_times(-9)):
        if at > NOW - 2 * DAY:
            ann.who = ANN_LATER
        thread = THREADS[number // 9 % 3]
        if number in WARM_UP_TURNS:
            ann.turn(at - 900, warm_up=True, thread=thread)
        if number in ELSEWHERE_TURNS:
            ann.take(at - 1_800, w5h=6.0, w7d=2.5)
            ann.read(at - 1_800, source="usage", plan_type="plus", credits=pinned.credit(has=False, balance="0"))
        _ann_turn(ann, number, at, thread)
    return ann


def _ann_turn(ann: _Person, number: int, at: int, thread: str) -> None:
    model = SMALL if number % 4 == 3 else BIG
    about = {"status": 200, "model": model, "thread": thread}
    tokens = (20_000 + 1_700 * (number % 6), 9_000 + 800 * (number % 5), 900 + 130 * (number % 7), 300)
    five, week = ann.windows["5h"], ann.windows["7d"]
    ann.take(at, w5h=100.0 if number == FULL_TURN else 6.0 + number % 3, w7d=1.5 + number % 4 * 0.5)
    if number == EARLY_TURN:
        week.used, week.resets_at = 1.0, at - 60 + 7 * DAY
    if number == MOVED_TURN:
        week.resets_at += 2 * HOUR
    if number == LOWERED_TURN:
        week.used -= 4.0
    if number == CUT_OFF_TURN:
        ann.turn(at, model=model, thread=thread, status=None, error_type="interrupted", first_byte_at=None)
    else:
        ann.turn(at, model=model, thread=thread, tokens=tokens, transport="http" if number % 5 == 2 else "websocket")
    ann.read(
        at + 1, source="sse" if number % 5 == 2 else "websocket", plan_type="plus", about=about, server_time=at + 1
    )
    if number == FULL_TURN:
        refused = {"limit_reached": True, "reached_type": "rate_limit_reached", "reached_until": five.resets_at}
        ann.turn(at + 300, model=model, thread=thread, status=429, error_type="usage_limit_reached")
        ann.read(at + 301, source="error", limit=refused, plan_type="plus", about={**about, "status": 429})


def _ben() -> _Person:
    ben = _Person(BEN, _Window("5h", 300), _Window("7d", 10_080, 30.0, MIDNIGHT + 2 * DAY))
    spark = _Person(BEN, _Window("5h", 300), _Window("7d", 10_080))
    balances = ("12.5", "12.5", "11.25", "9.5", "9.5", "29.5", "29.5", "28.75")
    for number, balance in enumerate(balances):
        at = MIDNIGHT - (7 - number) * DAY + 9 * HOUR + 600 * number
        model, thread = (SPARK, THREADS[4]) if number % 3 == 1 else (BIG, THREADS[3])
        ben.take(at, w5h=9.0, w7d=9.5)
        spark.take(at, w5h=4.0 * (number % 3), w7d=1.25)
        limit_id = "codex_bengalfox" if model == SPARK else "codex"
        ben.turn(at, model=model, thread=thread, limit_id=limit_id, tokens=(60_000, 41_000, 2_500 + 400 * number, 800))
        windows = {slot: window.figures for slot, window in spark.windows.items()}
        ben.read(
            at + 1,
            pinned.limit(windows, **SPARK_LIMIT),
            plan_type="plus" if number < 3 else "pro",
            credits=pinned.credit(has=True, balance=balance, unlimited=False),
            active_limit=limit_id,
            server_time=at + 1,
            about={"status": 200, "model": model, "thread": thread},
            raw={
                "x-codex-primary-used-percent": str(ben.windows["5h"].used),
                "x-codex-primary-window-minutes": "300",
                "x-codex-secondary-window-minutes": "10080",
                "x-codex-primary-over-secondary-limit-percent": "12",
            },
        )
    late = pinned.snapshot(BEN, at + 30, pinned.limit({"5h": (8.0, 300, at + 9_000)}), server_time=at - 40)
    ben.entries.append((at + 30, late))
    return ben


def _cora() -> _Person:
    cora = _Person(CORA, _Window("30d", 43_200, 70.0, NOW - DAY))
    for number in range(4):
        at = MIDNIGHT - (7 - number) * DAY + 15 * HOUR
        cora.take(at, w30d=3.5)
        cora.turn(at, model=SMALL, thread=None, tokens=(8_000, 0, 700, 0), transport="http")
        cora.read(at + 2, plan_type="free", about={"status": 200, "model": SMALL}, promo="30 days of plus")
    return cora


def _dan() -> _Person:
    dan = _Person(DAN, _Window("5h", 300), _Window("7d", 10_080, 91.0, NOW + 2 * DAY))
    for number in range(3):
        at = MIDNIGHT - DAY + 10 * HOUR + number * HOUR
        dan.take(at, w5h=20.0, w7d=3.0)
        dan.turn(at, model=BIG, thread=THREADS[number], tokens=(30_000, 12_000, 3_000))
        dan.read(at + 1, about={"status": 200, "model": BIG})
    refused = {"limit_reached": True, "reached_type": "rate_limit_reached", "reached_until": NOW + 2 * DAY}
    dan.turn(NOW - 1_500, status=429, error_type="usage_limit_reached")
    dan.read(NOW - 1_499, source="error", limit=refused, about={"status": 429, "model": BIG})
    return dan


def _eve() -> _Person:
    eve = _Person(EVE, _Window("5h", 300, 2.0, NOW + 9_000), _Window("7d", 10_080, 44.0, NOW + 3 * DAY))
    closed = {"allowed": False, "limit_reached": True, "reached_type": "workspace_member_credits_depleted"}
    eve.entries.append(
        (NOW - 5 * HOUR, pinned.snapshot(EVE, NOW - 5 * HOUR, pinned.limit({"30d": (9.0, 43_200, NOW + 9 * DAY)})))
    )
    eve.read(NOW - 4 * HOUR, source="usage", plan_type="business", reset_credits=2)
    eve.turn(NOW - 400, status=403, error_type="usage_not_included")
    eve.read(
        NOW - 390,
        source="usage",
        limit=closed,
        plan_type="business",
        credits=pinned.credit(has=False, balance="0", overage_limit_reached=True),
        spend_control_reached=True,
    )
    return eve


def _unreadable() -> None:
    """Be a message that cannot be read, which the recorder counts as lost.

    Raises:
        ValueError: always.
    """
    raise ValueError


def entries() -> list[pinned.Entry | Callable[[], pinned.Entry | None]]:
    """Return all that was seen, in its order."""
    found = [entry for person in (_ann(), _ben(), _cora(), _dan(), _eve()) for entry in person.entries]
    found.sort(key=lambda each: each[0])
    return [*(entry for _, entry in found), _unreadable]


def tell(path: Path) -> None:
    """Record the story at `path`, and name an account and some threads."""
    pinned.record(path, entries())
    for command in (
        ("accounts", "name", "ann@", "work"),
        ("threads", "name", THREADS[1], "refactor-auth"),
        ("threads", "name", THREADS[2], "=1+1 is no formula"),
    ):
        assert pinned.run([*command, "--db", str(path)]).exit_code == 0
