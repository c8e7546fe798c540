"""Clocks that step, machines that sleep, and time zones that change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.history import load_history
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import NOON, limit, snapshot, used, windows
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import HistoryEntry, LimitStatus

HOUR, DAY = 3_600, 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


def standing(path: Path, now: float) -> LimitStatus:
    """How the one limit of the one account stands."""
    with closing(open_reader(path)) as connection:
        (account,) = load_status(connection, now, load_accounts(connection))["accounts"]
    (found,) = account["limits"]
    return found


def history(path: Path) -> list[HistoryEntry]:
    with closing(open_reader(path)) as connection:
        return list(load_history(connection, load_accounts(connection)))


@pytest.mark.parametrize("server_knows", [False, True], ids=["by arrival", "by the server's time"])
def test_a_clock_that_steps_back_and_forth(path: Path, *, server_knows: bool) -> None:
    """The order is that of arrival, the newest reading is current, and no age or countdown is below zero."""
    steps = (0, -HOUR, HOUR, 0, -HOUR, 0)
    readings = [
        used(
            10 + number,
            at=NOON + step + number,
            server_time=float(NOON + number * 10) if server_knows else None,
        )
        for number, step in enumerate(steps)
    ]

    for number, message in enumerate(readings):
        record(path, message)
        for now in (message.observed_at, message.observed_at - HOUR, message.observed_at + HOUR):
            stands = standing(path, now)
            window = stands["windows"]["5h"]
            assert window["used_percent"] == 10 + number
            assert stands["age_seconds"] == max(0, now - message.observed_at)
            assert window["resets_in_seconds"] == NOON + 9_000 - int(now)

    assert [entry["windows"]["5h"]["used_percent"] for entry in history(path)] == [10, 11, 12, 13, 14, 15]
    assert not any(entry["late"] for entry in history(path))


def test_the_same_reading_while_the_clock_steps(path: Path) -> None:
    """It is one row, whose age is that of its last observation by the clock of that time."""
    record(path, *(used(13, at=NOON + step) for step in (0, -HOUR, HOUR, -HOUR)))

    (entry,) = history(path)
    assert entry["observations"] == 4
    assert standing(path, NOON)["age_seconds"] == HOUR


def test_a_countdown_is_right_again_with_the_next_reading(path: Path) -> None:
    """Resets follow a wrong clock; the first response after its correction corrects them."""
    ahead = snapshot(limit(windows(13, at=NOON + HOUR)), at=NOON + HOUR, server_time=float(NOON))
    right = snapshot(limit(windows(13, at=NOON + 10)), at=NOON + 10, server_time=NOON + 10.0)

    record(path, ahead)
    assert standing(path, NOON + HOUR)["windows"]["5h"]["resets_in_seconds"] == 9_000
    record(path, right)

    assert standing(path, NOON + 10)["windows"]["5h"]["resets_in_seconds"] == 9_000
    assert standing(path, NOON + 10)["age_seconds"] == 0


def test_a_machine_that_slept_for_a_day(path: Path) -> None:
    """Windows that have reset are shown as reset, the others with their age; the next reading continues from there."""
    record(path, snapshot(limit(windows(100, 40), limit_reached=True, reached_until=NOON + 9_000)))

    woken = standing(path, NOON + DAY)

    five, seven = woken["windows"]["5h"], woken["windows"]["7d"]
    assert (five["used_percent"], five["reset_unseen"], five["resets_in_seconds"]) == (0, True, 0)
    assert (seven["used_percent"], seven["reset_unseen"]) == (40, False)
    assert seven["resets_in_seconds"] == 300_000 - DAY
    assert (woken["age_seconds"], woken["blocked_by"], woken["limit_reached"]) == (DAY, None, None)

    record(path, used(1, 41, at=NOON + DAY))
    assert standing(path, NOON + DAY)["windows"]["5h"]["used_percent"] == 1


ZONES = ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"]


@pytest.mark.skipif(sys.platform == "win32", reason="TZ means nothing there")
def test_a_time_zone_that_changes(path: Path) -> None:
    """Programs get the same numbers everywhere; people get the local time."""
    now = int(time.time())
    record(path, snapshot(limit(windows(13, 40, at=now)), at=now))

    documents = [json.loads(asked(path, zone, "--json")) for zone in ZONES]
    shown = {asked(path, zone) for zone in ZONES}

    for document in documents:
        (stands,) = document["accounts"][0]["limits"]
        assert stands["observed_at"] == now
        assert 0 <= stands["age_seconds"] <= 60
        for slot, seconds in (("5h", 9_000), ("7d", 300_000)):
            window = stands["windows"][slot]
            assert window["resets_at"] == now + seconds
            assert 0 <= seconds - window["resets_in_seconds"] <= 60
    assert len(shown) == len(ZONES)


def asked(path: Path, zone: str, *arguments: str) -> str:
    """What `codex-tap status` says in a time zone."""
    command = [sys.executable, "-m", "scripts.cli", "status", "--db", str(path), *arguments]
    environment = {**os.environ, "TZ": zone}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=True
    )
    return done.stdout
