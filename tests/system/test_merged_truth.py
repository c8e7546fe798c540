"""One account on several machines whose clocks differ: does the team's database count each point once, and to whom?

What is true is known, because the use is simulated: machines with turns, and a browser without a tap. The table that is
printed is the one in docs/team.md.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from scripts.ship.shipper import Shipper
from store.coerce import reset
from store.database import open_reader
from store.models import Identity, Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window
from store.outbox.ledger import Wishes
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from store.queries.usage import load_usage
from store.team.address import read_address
from store.team.connection import open_team_reader
from store.team.way_in import WayIn
from tests.support.databases import record
from tests.support.shipping import connector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.connection import Connection
    from tests.support.postgres import PostgresServer

_DAY = 86_400.0
_BEGIN = 1_795_000_000.0
_DAYS = 2.0
_RESETS_AT = int(_BEGIN + 7 * _DAY)
_LAST_HOUR = 14
"""Nobody works from this hour of the day on."""

_CLOCKS = (0.0, 90.0, -3_600.0)
"""Seconds by which the machines' clocks are ahead."""

_FALSE_EVENTS = ("used_percent_fell", "window_moved", "window_reset", "window_reset_early", "window_not_reset")


class _Use(NamedTuple):
    """A turn of a machine by true time, or a piece of use in the browser, whose machine is -1."""

    began_at: float
    ended_at: float
    machine: int
    amount: float


@dataclass
class _World:
    """What really happened: percent by machine, percent in the browser, and what each machine was told."""

    by_machine: list[float]
    elsewhere: float
    total: float
    turns: int
    told: list[list[Snapshot | Turn]] = field(default_factory=list)


def _uses(chance: random.Random) -> list[_Use]:
    turns = [
        _Use(began, ended, machine, amount)
        for machine in range(len(_CLOCKS))
        for began, ended, amount in _turns(chance)
    ]
    cost = 90.0 / sum(each.amount for each in turns)
    browser = [(_BEGIN + chance.uniform(0, _DAYS * _DAY), chance.uniform(0.5, 4)) for _ in range(6)]
    return sorted(
        [
            *(each._replace(amount=each.amount * cost) for each in turns),
            *(_Use(at, at, -1, use) for at, use in browser),
        ],
        key=lambda each: each.ended_at,
    )


def _turns(chance: random.Random) -> Iterator[tuple[float, float, int]]:
    at = _BEGIN + chance.uniform(0, 600)
    while at < _BEGIN + _DAYS * _DAY:
        if (at - _BEGIN) / 3_600 % 24 > _LAST_HOUR:
            at += 3_600
            continue
        if chance.random() < 0.05:
            at += chance.uniform(600, 3_600)
        length = chance.uniform(8, 90)
        yield at, at + length, int(chance.lognormvariate(9.5, 0.8))
        at += length + chance.expovariate(1 / 25)


def _simulate(seed: int, decimals: int) -> _World:
    """Return the world of a seed, whose server tells percents with so many decimals."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    uses = _uses(chance)
    moments = sorted(
        [
            *((each.began_at + 1, False, each) for each in uses if each.machine >= 0),
            *((each.ended_at, True, each) for each in uses),
        ]
    )
    used, by_machine = 0.0, [0.0] * len(_CLOCKS)
    told: list[tuple[float, float, bool, _Use, float]] = []
    for at, is_end, use in moments:
        if is_end:
            used += use.amount
            if use.machine < 0:
                continue
            by_machine[use.machine] += use.amount
        # Answers overtake each other on their way.
        delay = chance.lognormvariate(-1.6, 0.6) + (chance.uniform(1.5, 6) if chance.random() < 0.01 else 0)
        shown = round(used, decimals) if decimals else float(int(used))
        told.append((at + delay, at, is_end, use, shown))
    turns = sum(each.machine >= 0 for each in uses)
    elsewhere = sum(each.amount for each in uses if each.machine < 0)
    world = _World(by_machine, elsewhere, told[-1][-1], turns, [[] for _ in _CLOCKS])
    for arrived, at, is_end, use, shown in sorted(told):
        world.told[use.machine] += _entries(arrived, at, use, shown, is_end=is_end)
    return world


def _entries(arrived: float, at: float, use: _Use, shown: float, *, is_end: bool) -> Iterator[Snapshot | Turn]:
    """Yield what a machine records by its own clock."""
    ahead = _CLOCKS[use.machine]
    local = arrived + ahead
    who = Identity(
        token_key=f"eyJhbGciOiJSUzI1NiIs~{use.machine:010d}", account_id="acct", user_id="user", email="a@example.com"
    )
    resets = reset(_RESETS_AT, _RESETS_AT - int(at), local)
    window = Window(used_percent=shown, window_minutes=10_080, resets_at=resets.resets_at)
    reading = RateLimits(limits=(Limit(windows={"7d": window}),), server_time=resets.server_time, plan_type="pro")
    source, status = (Source.WEBSOCKET, None) if is_end else (Source.HEADERS, 200)
    yield Snapshot(identity=who, observed_at=local, source=source, status=status, reading=reading)
    if is_end:
        yield Turn(
            identity=who,
            transport=Transport.HTTP,
            started_at=use.began_at + ahead,
            first_byte_at=use.began_at + 1 + ahead,
            ended_at=local,
            thread=f"machine-{use.machine}",
            status=200,
            tokens=Tokens(input=round(use.amount * 100_000), cached=0, output=0, reasoning=0),
        )


class _Answer(NamedTuple):
    total: float
    by_machine: list[float]
    elsewhere: float
    events: Counter[str]

    @property
    def false_events(self) -> int:
        return sum(self.events[kind] for kind in _FALSE_EVENTS)


def _ask(connection: Connection) -> _Answer:
    now, accounts = _BEGIN + (_DAYS + 0.2) * _DAY, load_accounts(connection)
    usage = load_usage(connection, now, accounts=accounts, since=_BEGIN - 10, by="thread")
    rows = {row["key"]: row["points"] for row in usage["rows"]}
    events = load_events(connection, now, accounts=accounts, since=_BEGIN - 10)["events"]
    by_machine = [rows.get(f"machine-{machine}", 0.0) for machine in range(len(_CLOCKS))]
    total = usage["total"]["points"]
    return _Answer(total, by_machine, total - sum(by_machine), Counter(event["kind"] for event in events))


def _shipped(
    folder: Path, world: _World, server: PostgresServer, *, corrects_clocks: bool = True, marks_late: bool = True
) -> _Answer:
    """Ship what the machines recorded, in turn, and ask the team's database."""
    database = server.create_team_database()
    if not marks_late:
        server.execute(
            "CREATE OR REPLACE FUNCTION codex_tap.mark_late(who BIGINT, which TEXT, since FLOAT8, until FLOAT8)"
            " RETURNS VOID LANGUAGE sql AS 'SELECT'",
            database,
        )
    url = server.url(database)
    shippers = []
    for machine, ahead in enumerate(_CLOCKS):
        path = record(folder / f"{database}-{machine}.sqlite3", *world.told[machine])
        shippers.append(Shipper(path, Wishes(), _connector(url, ahead, corrects_clocks=corrects_clocks), most=300))
    chance = random.Random(5)  # noqa: S311 (no secret)
    while shippers:
        shipper = chance.choice(shippers)
        if shipper.step() is None:
            shipper.close()
            shippers.remove(shipper)
    with closing(open_team_reader(read_address(url, is_argument=True, environment={}))) as connection:
        return _ask(connection)


def _connector(url: str, ahead: float, *, corrects_clocks: bool) -> Callable[[], WayIn]:
    """Return what connects, and tells the difference of the clocks that there would be on the real machines."""
    usual = connector(url)

    class Elsewhere(WayIn):
        def where(self, file_id: str) -> tuple[str | None, Any, float]:
            nonce, nonces, now = super().where(file_id)
            return nonce, nonces, now - ahead if corrects_clocks else now

        def ship(self, head: str, snapshots: str, requests: str) -> bool:
            return super().ship(head, snapshots if corrects_clocks else _unmoved(snapshots), requests)

    def connect() -> WayIn:
        way_in = usual()
        return Elsewhere(way_in._connection, way_in._address)

    return connect


def _unmoved(snapshots: str) -> str:
    """Return rows whose times and resets are those of the machine's clock."""
    rows = json.loads(snapshots)
    for row in rows:
        skew = row.pop("skew")
        if abs(skew) > 120 and "resets_7d_at" in row:
            row["resets_7d_at"] -= round(skew)
        row["skew"] = 0
    return json.dumps(rows)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("decimals", [0, 2], ids=["whole percents", "two decimals"])
def test_each_point_is_counted_once(
    tmp_path: Path, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str], decimals: int
) -> None:
    """And to the machine that used it, although clocks differ by an hour and answers overtake each other."""
    world = _simulate(1, decimals)
    alone = record(tmp_path / "alone.sqlite3", *world.told[0])
    with closing(open_reader(alone)) as connection:
        answers = {"one file alone": _ask(connection)}
    answers["union as it comes"] = _shipped(tmp_path, world, postgres_server, corrects_clocks=False, marks_late=False)
    answers["clocks corrected"] = _shipped(tmp_path, world, postgres_server, marks_late=False)
    answers["and late marked"] = merged = _shipped(tmp_path, world, postgres_server)
    with capsys.disabled():
        _print(world, decimals, answers)
    assert merged.total == pytest.approx(world.total, abs=0.5)
    assert merged.elsewhere == pytest.approx(world.elsewhere, abs=12)
    for found, true in zip(merged.by_machine, world.by_machine, strict=True):
        assert found == pytest.approx(true, abs=6)
    assert merged.false_events == 0
    assert answers["union as it comes"].total > 2 * world.total, "the simulation has nothing to find out"
    assert answers["one file alone"].elsewhere > 3 * merged.elsewhere


def _print(world: _World, decimals: int, answers: dict[str, _Answer]) -> None:
    kind = f"{decimals} decimals" if decimals else "whole percents"
    print(f"\n{world.turns} turns, clocks {_CLOCKS}, {kind}")
    print(_line("true", world.total, world.by_machine, world.elsewhere, ""))
    for name, answer in answers.items():
        events = ", ".join(f"{count} {kind}" for kind, count in sorted(answer.events.items())) or "none"
        print(_line(name, answer.total, answer.by_machine, answer.elsewhere, events))


def _line(name: str, total: float, by_machine: list[float], elsewhere: float, events: str) -> str:
    machines = " / ".join(f"{points:.1f}" for points in by_machine)
    return f"  {name:18} total {total:8.1f}  by machine {machines:24}  elsewhere {elsewhere:8.1f}  {events}"
