"""Metrics for Prometheus, read from the database on each scrape.

The cost of a scrape depends on the number of accounts and not on the length of their history: the gauges need one key
look-up for each limit, and the counters continue from the previous scrape (`TurnCounter`). The initial count runs in a
thread of its own; it reads all turns, but those that are counted in what is kept (`store.queries.kept_turns`). Counters
are withheld until it is complete; exposing a growing partial count would look like a burst of turns.

The label of an account is its name, else its key; its e-mail address only if the settings allow that.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from scripts.support.database import open_for_reading
from scripts.support.metric_values import account_labels, credits_balance, finite_number
from scripts.support.place import own_file
from scripts.support.version import version
from store.analysis.many_accounts import STANDINGS, summarize
from store.constants import FULL_PERCENT
from store.errors import DatabaseError, MissingError
from store.files import inode, spill_files
from store.queries.accounts import account_ids, load_accounts
from store.queries.cursors import read_transaction
from store.queries.health import Losses, load_losses
from store.queries.kept_turns import count_all_turns
from store.queries.limits import newest_observation
from store.queries.many_accounts import are_many, load_uses
from store.queries.status import load_status
from store.queries.turns import TOKEN_KINDS, count_turns, newest_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from scripts.support.place import Place
    from store.connection import Connection
    from store.documents import BudgetStatus, StatusDocument
    from store.errors import Inode
    from store.queries.turns import TurnCount

    _Present = tuple[Iterable[Metric], str, dict[int, str]]
    """The gauges, the name of the label by which turns are counted, and that label of each account by its id."""

_AT_ONCE = 50_000
"""The number of turns that one statement counts. A long read would keep the write-ahead log from being truncated."""

_UNKNOWN_PLAN = "unknown"

_MIN_RECOUNT_SECONDS, _RECOUNT_REST = 15.0, 20.0
"""The turns of a team's database are counted so often at most, and a count takes at most a twentieth of the time."""

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "The text format of Prometheus.", "content": {"text/plain": {}}}},
)
def get_metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    # A header, because media_type would append a second charset.
    return Response(generate_latest(request.app.state.metrics), headers={"Content-Type": _CONTENT_TYPE})


def registry(place: Place, turn_counter: TurnCounter, *, with_emails: bool) -> CollectorRegistry:
    """Return a registry with the metrics of a database, and without those of the server process."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Metrics(place, turn_counter, with_emails=with_emails))
    return found


class Counts(NamedTuple):
    """Turns by account, limit and outcome, and tokens by account, limit and kind. ``upto`` is the last turn counted."""

    upto: int
    turns: Counter[tuple[int, str, str]]
    tokens: Counter[tuple[int, str, str]]

    def add(self, found: Iterable[TurnCount]) -> None:
        """Add further turns."""
        for count in found:
            self.turns[count.account, count.limit_id, count.outcome] += count.turns
            for kind, tokens in zip(TOKEN_KINDS, count.tokens, strict=True):
                self.tokens[count.account, count.limit_id, kind] += tokens


class TurnCounter:
    """Counts turns and their tokens, each turn once."""

    def __init__(self, place: Place) -> None:
        """Create a counter that has counted nothing.

        Args:
            place: the database, which need not exist yet.
        """
        self._place = place
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._inode: Inode | None = None
        self._counts = Counts(0, Counter(), Counter())
        self._complete = False
        self._due_at = 0.0

    def start(self) -> None:
        """Start the initial count in a thread of its own."""
        if own_file(self._place) is None:
            self._recent_counts()
            return
        threading.Thread(target=self._count_first, name="turn counts", daemon=True).start()

    def stop(self) -> None:
        """Abort a count that is still running."""
        self._stopping.set()

    def counts(self, connection: Connection) -> Counts | None:
        """Return the current counts, or None until the initial count is complete."""
        if own_file(self._place) is None:
            return self._recent_counts()
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if not self._is_same_file() or self._has_merged(connection):
                # Another file, with a history of its own to count, or turns that went to another account.
                self._complete = False
                self.start()
                return None
            self._advance(connection)
            return Counts(self._counts.upto, self._counts.turns.copy(), self._counts.tokens.copy())
        finally:
            self._lock.release()

    def _recent_counts(self) -> Counts | None:
        """Return counts of some moments ago: rows of the past may come to a team's database, so all are counted."""
        if time.monotonic() >= self._due_at:
            self._due_at = float("inf")
            threading.Thread(target=self._count_all, name="turn counts", daemon=True).start()
        return self._counts if self._complete else None

    def _count_all(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(DatabaseError), open_for_reading(self._place) as connection:
            found = Counts(0, Counter(), Counter())
            found.add(count_turns(connection, 0, newest_turn(connection)))
            self._counts, self._complete = found, True
        ended = time.monotonic()
        self._due_at = ended + max(_MIN_RECOUNT_SECONDS, _RECOUNT_REST * (ended - began))

    def _is_same_file(self) -> bool:
        return self._complete and self._identity() == self._inode

    def _identity(self) -> Inode | None:
        path = own_file(self._place)
        return inode(path) if path else None

    def _has_merged(self, connection: Connection) -> bool:
        """Return True if turns were counted for an account that is gone: merged into another, or deleted."""
        return not {account for account, _, _ in self._counts.turns} <= account_ids(connection)

    def _count_first(self) -> None:
        # If the database cannot be read, the next scrape tries again.
        with self._lock, contextlib.suppress(DatabaseError, sqlite3.Error):
            if self._is_same_file():
                return  # another scrape started the same count
            self._complete = False
            found = self._identity()
            with open_for_reading(self._place) as connection:
                self._inode, self._counts = found, Counts(0, Counter(), Counter())
                kept = count_all_turns(connection)
                if kept is not None:
                    self._add(kept, newest_turn(connection))
                self._advance(connection)
            self._complete = not self._stopping.is_set()

    def _advance(self, connection: Connection) -> None:
        """Count the turns since the last one counted."""
        newest = newest_turn(connection)
        while self._counts.upto < newest and not self._stopping.is_set():
            upto = min(newest, self._counts.upto + _AT_ONCE)
            self._add(count_turns(connection, self._counts.upto, upto), upto)

    def _add(self, counts: Iterable[TurnCount], upto: int) -> None:
        self._counts.add(counts)
        self._counts = self._counts._replace(upto=upto)


class Metrics:
    """Collects the metrics of a database; ``codex_tap_database_readable`` is 0 if it cannot be read."""

    def __init__(self, place: Place, turn_counter: TurnCounter, *, with_emails: bool) -> None:
        """Create the collector.

        Args:
            place: the database, which need not exist yet.
            turn_counter: counts the turns of the database.
            with_emails: whether e-mail addresses may be labels.
        """
        self._place = place
        self._turn_counter = turn_counter
        self._with_emails = with_emails

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        build = GaugeMetricFamily("codex_tap_build_info", "Version of codex-tap.", labels=["version"])
        build.add_metric([version()], 1)
        yield build
        readable = GaugeMetricFamily(
            "codex_tap_database_readable", "1 if the database can be read, or does not exist yet; else 0."
        )
        found: list[Metric] = []
        try:
            found = self._read()
            readable.add_metric([], 1)
        except MissingError:
            readable.add_metric([], 1)
        except (DatabaseError, sqlite3.Error):
            readable.add_metric([], 0)
        yield readable
        yield from found

    def _read(self) -> list[Metric]:
        now = time.time()
        with open_for_reading(self._place) as connection, read_transaction(connection):
            present, label_name, labels = (_of_many if are_many(connection) else self._of_each)(connection, now)
            lost = load_losses(connection)
            counts = self._turn_counter.counts(connection)
            newest = newest_observation(connection)
        path = own_file(self._place)
        return [
            *present,
            *(_counters(counts, label_name, labels) if counts else ()),
            *_recorder(lost, len(spill_files(path)) if path else 0, newest),
        ]

    def _of_each(self, connection: Connection, now: float) -> _Present:
        known = load_accounts(connection)
        labels = account_labels(known, with_emails=self._with_emails)
        by_key = {account.key: labels[account.id] for account in known}
        return _present(load_status(connection, now, known), by_key, now), "account", labels


def _of_many(connection: Connection, now: float) -> _Present:
    """Return the numbers of accounts by plan and by how they stand; turns are counted by plan."""
    uses = load_uses(connection, now)
    family = GaugeMetricFamily(
        "codex_tap_accounts",
        "Accounts, where there are too many to show each: by plan, and by the state of the limit that decides, open"
        " ones by its used percent (low, medium, high).",
        labels=["plan", "standing"],
    )
    for plan in summarize(uses)["plans"]:
        numbers: Mapping[str, Any] = plan
        for standing in STANDINGS:
            family.add_metric([plan["plan_type"] or _UNKNOWN_PLAN, standing], numbers[standing])
    return [family], "plan", {each.account: each.plan_type or _UNKNOWN_PLAN for each in uses}


def _present(document: StatusDocument, labels: dict[str, str], now: float) -> Iterable[Metric]:
    """Return the gauges of accounts and their limits."""
    window = ["account", "limit", "window", "length"]
    used = GaugeMetricFamily(
        "codex_tap_limit_used_ratio",
        "Used part of a limit's window, from 0 to 1; the server may report more.",
        labels=window,
    )
    remaining = GaugeMetricFamily(
        "codex_tap_limit_remaining_ratio", "Remaining part of a limit's window, from 0 to 1.", labels=window
    )
    resets = GaugeMetricFamily(
        "codex_tap_limit_reset_timestamp_seconds", "When the window resets, in Unix seconds.", labels=window
    )
    age = GaugeMetricFamily(
        "codex_tap_limit_reading_age_seconds", "Time since the limit was last seen.", labels=window[:2]
    )
    reached = GaugeMetricFamily(
        "codex_tap_limit_reached",
        "1 if the included usage is used up: the limit is refused, or credits carry it.",
        labels=window[:2],
    )
    blocked = GaugeMetricFamily(
        "codex_tap_limit_blocked",
        "1 if no turn gets through: the limit is reached, and credits do not carry it.",
        labels=window[:2],
    )
    budgets = {
        name: GaugeMetricFamily(
            f"codex_tap_budget_{name}", f"{text} a budget, in its unit.", labels=[*window[:2], "unit"]
        )
        for name, text in (("limit", "Size of"), ("used", "Used amount of"), ("remaining", "Remaining amount of"))
    }
    credit = GaugeMetricFamily(
        "codex_tap_credits_balance", "Credits left, if the server reports them.", labels=["account"]
    )
    unlimited = GaugeMetricFamily("codex_tap_credits_unlimited", "1 if credits are unlimited.", labels=["account"])
    for account in document["accounts"]:
        label = labels[account["account"]]
        found = account["credits"]
        if found is not None:
            _add(credit, [label], credits_balance(found))
            _add(unlimited, [label], found["unlimited"])
        for limit in account["limits"]:
            names = [label, limit["limit_id"]]
            age.add_metric(names, max(0.0, now - limit["observed_at"]))
            if limit["state"] != "unknown":
                reached.add_metric(names, limit["state"] != "open")
                blocked.add_metric(names, limit["state"] == "refused")
            for name, family in budgets.items():
                _add(family, [*names, _unit(limit["budget"])], _amount(limit["budget"], name))
            for slot, status in limit["windows"].items():
                of_window = [*names, slot, status["length"] or slot]
                _add(used, of_window, status["used_percent"], FULL_PERCENT)
                _add(remaining, of_window, status["remaining_percent"], FULL_PERCENT)
                _add(resets, of_window, status["resets_at"])
    return used, remaining, resets, age, reached, blocked, *budgets.values(), credit, unlimited


def _add(family: GaugeMetricFamily, labels: Sequence[str], value: float | None, divisor: float = 1.0) -> None:
    """Add a value. An unknown value is absent rather than 0."""
    if value is not None:
        family.add_metric(labels, value / divisor)


def _unit(found: BudgetStatus | None) -> str:
    return (found and found["unit"]) or "credits"


def _amount(found: BudgetStatus | None, name: str) -> float | None:
    amounts: Mapping[str, Any] = found or {}
    return finite_number(amounts.get(name))


def _counters(counts: Counts, label_name: str, labels: dict[int, str]) -> Iterable[Metric]:
    """Return the counters of turns by the labels of their accounts, without those of forgotten accounts."""
    turns = CounterMetricFamily(
        "codex_tap_turns",
        "Turns of Codex by outcome: answered, failed, warm_up.",
        labels=[label_name, "limit", "outcome"],
    )
    tokens = CounterMetricFamily(
        "codex_tap_tokens",
        "Tokens of turns by kind; cached tokens are part of the input, reasoning tokens of the output.",
        labels=[label_name, "limit", "kind"],
    )
    for family, found in ((turns, counts.turns), (tokens, counts.tokens)):
        sums: Counter[tuple[str, str, str]] = Counter()
        for (account, limit_id, kind), number in sorted(found.items()):
            if account in labels:
                sums[labels[account], limit_id, kind] += number
        for names, number in sums.items():
            family.add_metric(names, number)
    return turns, tokens


def _recorder(lost: Losses | None, waiting: int, newest: float | None) -> Iterable[Metric]:
    """Return the metrics of the recorder's health."""
    dropped = CounterMetricFamily(
        "codex_tap_recorder_lost_readings",
        "Changes that were seen and could not be stored.",
        value=lost.number if lost else 0,
    )
    files = GaugeMetricFamily(
        "codex_tap_recorder_waiting_files",
        "Files of changes that the next start of the proxy imports.",
        value=waiting,
    )
    yield dropped
    yield files
    if newest is not None:
        yield GaugeMetricFamily(
            "codex_tap_recorder_newest_reading_timestamp_seconds",
            "Time of the newest snapshot, in Unix seconds.",
            value=newest,
        )
