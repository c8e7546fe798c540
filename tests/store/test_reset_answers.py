"""Was this window reset? Today's results of the six functions that decide it, for two readings ten minutes apart.

The six do not agree. A change of one of them, or one rule for all, shows here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

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
    forecast: whether the forecast counts all of the second figure as used since the first reading.
    plot: the resets that ``history --plot`` counts.
    page: the resets that the page draws.
    alerts: whether an alert that was sent at the first reading still counts as sent.
    events: the kinds of events, without use elsewhere.
    """

    usage: float
    forecast: bool
    plot: int
    page: int
    alerts: bool
    events: tuple[str, ...]


class Row(NamedTuple):
    """Two readings, and today's results."""

    before: Reading
    after: Reading
    results: Results


ROWS = {
    "fell, reset moved 2 h sooner": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, BEFORE + 2 * HOUR),
        Results(5, forecast=False, plot=0, page=1, alerts=False, events=("window_reset_early",)),
    ),
    "fell, reset moved 5 min later": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, BEFORE + 4 * HOUR + 5 * MINUTE),
        Results(5, forecast=False, plot=1, page=1, alerts=False, events=("window_reset_early",)),
    ),
    "fell, reset moved 2 h later, not due": Row(
        Reading(40, BEFORE + 2 * HOUR),
        Reading(5, BEFORE + 4 * HOUR),
        Results(5, forecast=True, plot=1, page=1, alerts=False, events=("window_reset_early",)),
    ),
    "fell, second reset missing": Row(
        Reading(40, BEFORE + 4 * HOUR),
        Reading(5, None),
        Results(5, forecast=True, plot=1, page=1, alerts=False, events=("used_percent_fell",)),
    ),
    "rose, reset moved 5 h later, not due": Row(
        Reading(40, BEFORE + 15 * MINUTE + 40),
        Reading(45, BEFORE + 15 * MINUTE + 40 + 5 * HOUR),
        Results(45, forecast=True, plot=0, page=0, alerts=True, events=("window_moved",)),
    ),
    "rose, reset passed meanwhile": Row(
        Reading(40, BEFORE + 5 * MINUTE),
        Reading(45, BEFORE + 5 * MINUTE + 5 * HOUR),
        Results(45, forecast=True, plot=1, page=1, alerts=False, events=("window_reset",)),
    ),
    "same figure, reset moved 2 h later": Row(
        Reading(40, BEFORE + 2 * HOUR),
        Reading(40, BEFORE + 4 * HOUR),
        Results(0, forecast=True, plot=0, page=0, alerts=True, events=("window_moved",)),
    ),
}

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


def forecast_counts_all(row: Row) -> bool:
    points = pinned.forecast_points([(BEFORE, *row.before), (AFTER, *row.after)], AFTER, LENGTH)
    # What others may have used meanwhile can come on top of it.
    return points >= row.after.used


def resets_in_plot() -> int:
    counted = re.search(r"(\d+) resets?\b", printed("history", "--plot"))
    return int(counted[1]) if counted else 0


def resets_on_page(node: str) -> int:
    history = {"since": BEFORE - HOUR, "entries": json.loads(printed("history", "--json"))}
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
        "runs": [[*about, before.used, before.resets_at]],
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
def test_results(row: Row, tmp_path: Path) -> None:
    """Six functions decide on the same two readings; without Node.js the page's is left out."""
    readings = (
        pinned.snapshot(pinned.identity("ann"), at, pinned.limit({"5h": (each.used, LENGTH // 60, each.resets_at)}))
        for at, each in ((BEFORE, row.before), (AFTER, row.after))
    )
    node = shutil.which("node")
    with pinned.stand_still(tmp_path):
        pinned.record(tmp_path / "tap.sqlite3", readings)
        found = Results(
            usage=used_points(),
            forecast=forecast_counts_all(row),
            plot=resets_in_plot(),
            page=resets_on_page(node) if node else row.results.page,
            alerts=still_sent(tmp_path, row.before),
            events=event_kinds(),
        )
    assert found == row.results
