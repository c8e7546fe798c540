"""The metrics of a database: gauges of its limits and credits, and histograms of the turns since the start.

Names are those of OpenTelemetry's conventions for generative AI where they have one (`gen_ai.*`), else ``codex.*``.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from scripts.support.database import open_for_reading
from scripts.support.metric_values import account_labels, credits_balance
from scripts.support.place import own_file, state_path
from scripts.support.version import version
from store.analysis.many_accounts import STANDINGS, summarize
from store.constants import FULL_PERCENT
from store.errors import MissingError
from store.files import inode
from store.queries.accounts import load_accounts
from store.queries.many_accounts import are_many, load_uses
from store.queries.status import empty_status, load_status
from store.queries.turns import load_seen_turns, newest_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.util.types import AttributeValue

    from scripts.support.place import Place
    from store.connection import Connection
    from store.documents import AccountStatus, LimitStatus, PlanSummary, WindowStatus
    from store.errors import Inode
    from store.queries.turns import SeenTurn

    Attributes = Mapping[str, AttributeValue]

ACCOUNT, LIMIT, WINDOW, LENGTH = "codex.account", "codex.limit.id", "codex.limit.window", "codex.limit.window_length"
"""Attributes: the account's name or else its key, the limit, the slot of a window (`5h`) and its real length."""

PLAN, STANDING = "codex.plan", "codex.account.standing"
"""Attributes of the numbers of a great many accounts."""

_TURN = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}

# The boundaries that the conventions ask for.
_TOKEN_BOUNDARIES = tuple(float(4**power) for power in range(14))
_SECONDS_BOUNDARIES = tuple(0.01 * 2**power for power in range(14))

_AT_ONCE = 5_000
"""Turns that one statement reads."""


class Instruments:
    """The metrics, as of the last `update`."""

    def __init__(self, place: Place, reader: MetricReader, now: float) -> None:
        """Create the metrics; turns that ended before `now` (Unix seconds), and imported ones, are left out.

        Args:
            place: the database; a file need not exist yet.
            reader: collects the metrics.
            now: the time of the start.
        """
        self._place, self._since = place, now
        self._status = empty_status(now)
        self._plans: Sequence[PlanSummary] = ()
        self._labels: dict[str, str] = {}
        self._names: dict[int, str] = {}
        self._inode: Inode | None = None
        self._upto: int | None = None
        self._provider = MeterProvider(metric_readers=[reader], resource=_resource(place), shutdown_on_exit=False)
        meter = self._provider.get_meter("codex-tap", version())
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of a turn; cached ones are part of the input, reasoning ones of the output.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDARIES,
        )
        self._durations = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of a turn.",
            explicit_bucket_boundaries_advisory=_SECONDS_BOUNDARIES,
        )
        for name, unit, description, observe in (
            ("codex.limit.utilization", "1", "Used part of a limit's window, from 0 to 1 or more.", self._utilization),
            ("codex.limit.reset_time", "s", "When the window resets, in Unix seconds.", self._reset_times),
            ("codex.limit.blocked", "1", "1 if the limit lets no turn through, else 0.", self._blocked),
            ("codex.limit.age", "s", "Time since the limit was last seen.", self._ages),
            ("codex.credits.balance", "{credit}", "Credits left.", self._balances),
            ("codex.accounts", "{account}", "Accounts, where there are too many to show each.", self._many),
        ):
            meter.create_observable_gauge(name, [_callback(observe)], unit, description)

    def update(self, now: float) -> bool:
        """Read the database; return False if there is none yet.

        Raises:
            DatabaseError: the database cannot be read; the metrics are as before.
            sqlite3.Error: likewise.
        """
        path = own_file(self._place)
        found = inode(path) if path else None
        try:
            with open_for_reading(self._place) as connection:
                self._read_accounts(connection, now)
                self._count_turns(connection, found)
        except MissingError:
            self._upto = self._upto or 0  # all turns of the database that comes are new
            return False
        return bool(self._status["accounts"] or self._plans)

    def _read_accounts(self, connection: Connection, now: float) -> None:
        """Read each account, or the summary of a great many."""
        if are_many(connection):
            self._status, self._plans, self._names = (
                empty_status(now),
                summarize(load_uses(connection, now))["plans"],
                {},
            )
            return
        known = load_accounts(connection)
        self._names = account_labels(known, with_emails=False)
        self._labels = {each.key: self._names[each.id] for each in known}
        self._status, self._plans = load_status(connection, now, known), []

    def close(self) -> None:
        """Release what OpenTelemetry holds."""
        self._provider.shutdown()

    def _count_turns(self, connection: Connection, found: Inode | None) -> None:
        """Count the turns since the last ones counted."""
        newest = newest_turn(connection)
        if self._upto is None:
            self._upto = newest
        elif found != self._inode or newest < self._upto:
            self._upto = 0  # another file, with ids of its own
        self._inode = found
        while turns := load_seen_turns(connection, self._upto, self._since, limit=_AT_ONCE):
            for turn in turns:
                self._count(turn)
            self._upto = turns[-1].id
        self._upto = newest

    def _count(self, turn: SeenTurn) -> None:
        attributes: dict[str, AttributeValue] = dict(_TURN)
        if turn.account in self._names:
            attributes[ACCOUNT] = self._names[turn.account]
        if turn.model:
            attributes["gen_ai.request.model"] = turn.model
        for kind, tokens in (("input", turn.input_tokens), ("output", turn.output_tokens)):
            if tokens is not None:
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})
        error = turn.error_type or (str(turn.status) if (turn.status or 0) >= 400 else None)
        if error:
            attributes["error.type"] = error
        self._durations.record(max(0.0, turn.ended_at - turn.started_at), attributes)

    # The gauges

    def _accounts(self) -> Iterator[tuple[Attributes, AccountStatus]]:
        for account in self._status["accounts"]:
            yield {ACCOUNT: self._labels[account["account"]]}, account

    def _limits(self) -> Iterator[tuple[Attributes, LimitStatus]]:
        for attributes, account in self._accounts():
            for limit in account["limits"]:
                yield {**attributes, LIMIT: limit["limit_id"]}, limit

    def _windows(self) -> Iterator[tuple[Attributes, WindowStatus]]:
        for attributes, limit in self._limits():
            for slot, window in limit["windows"].items():
                yield {**attributes, WINDOW: slot, LENGTH: window["length"] or slot}, window

    def _utilization(self) -> Iterator[Observation]:
        for attributes, window in self._windows():
            if window["used_percent"] is not None:
                yield Observation(window["used_percent"] / FULL_PERCENT, attributes)

    def _reset_times(self) -> Iterator[Observation]:
        for attributes, window in self._windows():
            if window["resets_at"] is not None:
                yield Observation(window["resets_at"], attributes)

    def _blocked(self) -> Iterator[Observation]:
        for attributes, limit in self._limits():
            if limit["state"] != "unknown":
                yield Observation(int(limit["state"] == "refused"), attributes)

    def _ages(self) -> Iterator[Observation]:
        now = time.time()
        for attributes, limit in self._limits():
            yield Observation(max(0.0, now - limit["observed_at"]), attributes)

    def _balances(self) -> Iterator[Observation]:
        for attributes, account in self._accounts():
            balance = credits_balance(account["credits"]) if account["credits"] else None
            if balance is not None:
                yield Observation(balance, attributes)

    def _many(self) -> Iterator[Observation]:
        for plan in self._plans:
            numbers: Mapping[str, Any] = plan
            for standing in STANDINGS:
                yield Observation(numbers[standing], {PLAN: plan["plan_type"] or "unknown", STANDING: standing})


def _callback(observe: Callable[[], Iterable[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: observe()


def _resource(place: Place) -> Resource:
    """Return what sends the metrics: the same after each start; the user's variables come first."""
    # A digest, because the name of the machine and the path are nobody's business.
    instance = uuid.uuid5(uuid.NAMESPACE_URL, f"codex-tap:{uuid.getnode()}:{state_path(place).absolute()}")
    own = {"service.name": "codex-tap", "service.version": version(), "service.instance.id": str(instance)}
    return Resource.create(own).merge(OTELResourceDetector().detect())
