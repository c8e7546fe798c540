"""The metrics of a database: gauges of its limits and credits, and histograms of the turns since the start.

Names are those of OpenTelemetry's conventions for generative AI where they have one (`gen_ai.*`), else ``codex.*``.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from scripts.support.database import open_for_reading
from scripts.support.metric_values import account_labels, credits_balance
from scripts.support.version import version
from store.constants import FULL_PERCENT
from store.errors import MissingError
from store.files import inode
from store.queries.accounts import load_accounts
from store.queries.status import empty_status, load_status
from store.queries.turns import load_seen_turns, newest_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.util.types import AttributeValue

    from store.connection import Connection
    from store.documents import AccountStatus, LimitStatus, WindowStatus
    from store.errors import Inode
    from store.queries.turns import SeenTurn

    Attributes = Mapping[str, AttributeValue]

ACCOUNT, LIMIT, WINDOW, LENGTH = "codex.account", "codex.limit.id", "codex.limit.window", "codex.limit.window_length"
"""Attributes: the account's name or else its key, the limit, the slot of a window (`5h`) and its real length."""

_TURN = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}

# The boundaries that the conventions ask for.
_TOKEN_BOUNDARIES = tuple(float(4**power) for power in range(14))
_SECONDS_BOUNDARIES = tuple(0.01 * 2**power for power in range(14))

_AT_ONCE = 5_000
"""Turns that one statement reads."""


class Instruments:
    """The metrics, as of the last `update`."""

    def __init__(self, path: Path, reader: MetricReader, now: float) -> None:
        """Create the metrics; turns that ended before `now` (Unix seconds), and imported ones, are left out.

        Args:
            path: the database, which need not exist yet.
            reader: collects the metrics.
            now: the time of the start.
        """
        self._path, self._since = path, now
        self._status = empty_status(now)
        self._labels: dict[str, str] = {}
        self._inode: Inode | None = None
        self._upto: int | None = None
        self._provider = MeterProvider(metric_readers=[reader], resource=_resource(path), shutdown_on_exit=False)
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
        ):
            meter.create_observable_gauge(name, [_callback(observe)], unit, description)

    def update(self, now: float) -> bool:
        """Read the database; return False if there is none yet.

        Raises:
            DatabaseError: the database cannot be read; the metrics are as before.
            sqlite3.Error: likewise.
        """
        found = inode(self._path)
        try:
            with open_for_reading(self._path) as connection:
                known = load_accounts(connection)
                labels = account_labels(known, with_emails=False)
                status = load_status(connection, now, known)
                self._count_turns(connection, found, labels)
        except MissingError:
            self._upto = self._upto or 0  # all turns of the database that comes are new
            return False
        self._status, self._labels = status, {each.key: labels[each.id] for each in known}
        return bool(known)

    def close(self) -> None:
        """Release what OpenTelemetry holds."""
        self._provider.shutdown()

    def _count_turns(self, connection: Connection, found: Inode | None, labels: Mapping[int, str]) -> None:
        """Count the turns since the last ones counted."""
        newest = newest_turn(connection)
        if self._upto is None:
            self._upto = newest
        elif found != self._inode or newest < self._upto:
            self._upto = 0  # another file, with ids of its own
        self._inode = found
        while turns := load_seen_turns(connection, self._upto, self._since, limit=_AT_ONCE):
            for turn in turns:
                if turn.account in labels:
                    self._count(turn, labels[turn.account])
            self._upto = turns[-1].id
        self._upto = newest

    def _count(self, turn: SeenTurn, account: str) -> None:
        attributes: dict[str, AttributeValue] = {**_TURN, ACCOUNT: account}
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


def _callback(observe: Callable[[], Iterable[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: observe()


def _resource(path: Path) -> Resource:
    """Return what sends the metrics: the same after each start; the user's variables come first."""
    # A digest, because the name of the machine and the path are nobody's business.
    instance = uuid.uuid5(uuid.NAMESPACE_URL, f"codex-tap:{uuid.getnode()}:{path.absolute()}")
    own = {"service.name": "codex-tap", "service.version": version(), "service.instance.id": str(instance)}
    return Resource.create(own).merge(OTELResourceDetector().detect())
