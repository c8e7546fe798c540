"""Was this window reset? All who need to know ask `store.transitions`, and agree: two readings ten minutes apart."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from store.transitions import Transition, TransitionKind, WindowReading, transition
from tests.support import pinned
from tests.support.pinned import NOW

if TYPE_CHECKING:
    from pathlib import Path

MINUTE, HOUR = 60, 3_600
BEFORE, AFTER = NOW - 15 * MINUTE, NOW - 5 * MINUTE
LENGTH = 5 * HOUR


class Reading(NamedTuple):
    """The figures of the 5 h window in one reading."""

    used: float
    resets_at: int | None


class Results(NamedTuple):
    """Results for two readings.

    usage: the points that ``usage`` counts between them.
    forecast: the points that the forecast takes for used between them.
    plot: the resets that ``history --plot`` counts.
    page: the resets that the page draws.
    alerts: whether an alert that was sent at the first reading still counts as sent.
    events: the kinds of events, without use elsewhere.
    """

    usage: float
    forecast: float
    plot: int
    page: int
    alerts: bool
    events: tuple[str, ...]


class Row(NamedTuple):
    """Two readings, what happened between them, and the event about it."""

    before: Reading
    after: Reading
    kind: TransitionKind
    points: float
    event: str | None = None


ROWS = {
    "fell, reset moved 2 h sooner": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, BEFORE + 2 * HOUR),
        TransitionKind.LOWERED,
        0,
        "used_percent_fell",
    ),
    "fell, reset moved 5 min later": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, BEFORE + 4 * HOUR + 5 * MINUTE),
        TransitionKind.LOWERED,
        0,
        "used_percent_fell",
    ),
    "fell, began between the readings, not due": Row(
        Reading(40, BEFORE + 2 * HOUR),
        Reading(5, BEFORE + 5 * HOUR + 5 * MINUTE),
        TransitionKind.RESET_EARLY,
        5,
        "window_reset_early",
    ),
    "fell, was due": Row(
        Reading(40, BEFORE + 5 * MINUTE),
        Reading(5, BEFORE + 5 * HOUR + 5 * MINUTE),
        TransitionKind.RESET,
        5,
        "window_reset",
    ),
    "fell, second reset missing": Row(
        Reading(40, BEFORE + 4 * HOUR), Reading(5, None), TransitionKind.LOWERED, 0, "used_percent_fell"
    ),
    "fell, the same reset": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, BEFORE + 4 * HOUR),
        TransitionKind.LOWERED,
        0,
        "used_percent_fell",
    ),
    "rose, reset moved 5 h later, not due": Row(
        Reading(40, BEFORE + 15 * MINUTE + 40),
        Reading(45, BEFORE + 15 * MINUTE + 40 + 5 * HOUR),
        TransitionKind.MOVED,
        5,
        "window_moved",
    ),
    "rose more than is possible, reset passed meanwhile": Row(
        Reading(40, BEFORE + 5 * MINUTE),
        Reading(45, BEFORE + 5 * MINUTE + 5 * HOUR),
        TransitionKind.NOT_RESET,
        5,
        "window_not_reset",
    ),
    "rose, reset passed meanwhile": Row(
        Reading(4, BEFORE + 5 * MINUTE),
        Reading(9, BEFORE + 5 * MINUTE + 5 * HOUR),
        TransitionKind.RESET,
        9,
        "window_reset",
    ),
    "the same figure, was due": Row(
        Reading(89, BEFORE + 10 * MINUTE - 1),
        Reading(89, BEFORE + 2 * HOUR),
        TransitionKind.NOT_RESET,
        0,
        "window_not_reset",
    ),
    "same figure, reset moved 2 h later": Row(
        Reading(40, BEFORE + 2 * HOUR), Reading(40, BEFORE + 4 * HOUR), TransitionKind.MOVED, 0, "window_moved"
    ),
    "rose, the same reset": Row(Reading(40, BEFORE + 4 * HOUR), Reading(45, BEFORE + 4 * HOUR), TransitionKind.SAME, 5),
}


def expected(row: Row) -> Results:
    """Return the results that follow from what happened."""
    is_reset = Transition(row.kind, row.points).is_reset
    return Results(
        usage=row.points,
        forecast=row.points,
        plot=int(is_reset),
        page=int(is_reset),
        alerts=not is_reset,
        events=(row.event,) if row.event else (),
    )


RULES = '[targets]\nlog = ["true"]\n\n[[rules]]\nat = [3]\n'

COUNT_RESETS = """
const given = JSON.parse(await new Response(process.stdin).text());
const { limitsOf } = await import("data:text/javascript," + encodeURIComponent(given.source));
const counted = limitsOf(given.history, given.now).map(({ lines }) => lines[0].resets.length);
console.log(JSON.stringify(counted));
"""


def printed(*arguments: str) -> str:
    """Return what a command prints."""
    return pinned.run(arguments).stdout


def used_points() -> float:
    return float(json.loads(printed("usage", "--window", "5h", "--json"))["total"]["points"])


def forecast_points(row: Row) -> float:
    """Return the whole points that the forecast counts; before a reset, unseen use can come on top of them."""
    return int(pinned.forecast_points([(BEFORE, *row.before), (AFTER, *row.after)], AFTER, LENGTH))


def resets_in_plot() -> int:
    counted = re.search(r"(\d+) resets?\b", printed("history", "--plot"))
    return int(counted[1]) if counted else 0


def resets_on_page(home: Path, node: str) -> int:
    with pinned.site(home / "tap.sqlite3") as site:
        history = site.get("/api/history?since=24h").document
    given = {"source": pinned.PAGE_LINES.read_text("utf-8"), "history": history, "now": NOW}
    program = [node, "--input-type=module", "--eval", COUNT_RESETS]
    ended = subprocess.run(program, input=json.dumps(given).encode(), capture_output=True, check=True)
    (count,) = json.loads(ended.stdout)
    return int(count)


def still_sent(home: Path, before: Reading) -> bool:
    """Return whether nothing is due at the second reading, where an alert was sent at the first."""
    about = ["acct-ann/user-ann", "codex", "5h"]
    sent = {"kind": "used", "about": about, "threshold": 3.0, "resets_at": before.resets_at}
    state = {
        "version": 1,
        "since": {},
        "runs": [[*about, before.used, before.resets_at, BEFORE]],
        "told": [{**sent, "told_at": float(BEFORE), "text": "3 % is used", "rows": None}],
        "unsent": [],
    }
    (home / "tap.sqlite3-alerts.json").write_text(json.dumps(state), "utf-8")
    config = home / "alerts.toml"
    config.write_text(RULES, "utf-8")
    config.chmod(0o600)
    return not json.loads(printed("alerts", "check", "--json", "--config", str(config)))["due"]


def event_kinds() -> tuple[str, ...]:
    found = json.loads(printed("events", "--json"))["events"]
    return tuple(each["kind"] for each in found if each["kind"] != "used_elsewhere")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_all_agree(row: Row, tmp_path: Path) -> None:
    """Each says of the same two readings what follows from the one transition; the page's part needs Node.js."""
    readings = (
        pinned.snapshot(pinned.identity("ann"), at, pinned.limit({"5h": (each.used, LENGTH // 60, each.resets_at)}))
        for at, each in ((BEFORE, row.before), (AFTER, row.after))
    )
    before, after = (
        WindowReading(each.used, LENGTH // 60, each.resets_at, at)
        for at, each in ((BEFORE, row.before), (AFTER, row.after))
    )
    assert transition(before, after) == Transition(row.kind, row.points)
    node = shutil.which("node")
    with pinned.stand_still(tmp_path):
        pinned.record(tmp_path / "tap.sqlite3", readings)
        found = Results(
            usage=used_points(),
            forecast=forecast_points(row),
            plot=resets_in_plot(),
            page=resets_on_page(tmp_path, node) if node else expected(row).page,
            alerts=still_sent(tmp_path, row.before),
            events=event_kinds(),
        )
    assert found == expected(row)
