"""Random histories of a database in which anything happens that kept answers have to stand.

`HISTORIES` is a strategy of lists of steps; `play` makes the steps one after the other, and yields after each that may
change an answer.
"""

from __future__ import annotations

import contextlib
import functools
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from store import edits
from store.database import open_writer, transaction
from store.files import kept_path
from store.imports import ImportedFile, ImportedLimit, ImportedTurn, Owner, SessionPart, file_key, write_part
from store.kept import filling
from store.kept.filling import Wish, drop_edited, fill
from store.models import Credits, Identity, Limit, Snapshot, Turn, Window
from store.record.writer import SnapshotWriter
from store.retention import prune
from tests.support.factories import NOON, snapshot, turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from store.kept.kind import Kind

HOUR, DAY = 3_600, 86_400
PEOPLE = [
    Identity(token_key=f"k{number}~000000000{number}", account_id=f"acct-{number}", user_id=f"user-{number}")
    for number in range(3)
]
LIMITS = ("codex", "codex_bengalfox")
STEPS = (
    *("read", "read", "read", "turn", "turn", "wait", "wait"),
    *("long_wait", "late_turn", "spill", "set_back", "import", "merge", "forget", "prune"),
    *("fill", "fill", "kill", "lose"),
)

_PLAIN = frozenset(("read", "turn", "wait", "long_wait"))
"""Steps that add to the end of the history."""

Step = tuple[str, int]

HISTORIES = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 10_000)), min_size=5, max_size=60)
"""What happens, each with a number that decides about its details."""

EXAMPLES = max(12, settings().max_examples // 8)
"""Each plays a history, and asks several times after each of its steps."""


@dataclass
class _Limit:
    used: float = 0.0
    resets_at: int = 0


@dataclass
class History:
    """A database, the time in it, and what its accounts' windows stand at."""

    path: Path
    kinds: Sequence[Kind]
    writer: SnapshotWriter
    now: float = NOON
    limits: dict[tuple[int, str], _Limit] = field(default_factory=dict)
    plans: dict[int, str] = field(default_factory=dict)

    def make(self, step: Step) -> None:
        """Make one step."""
        kind, number = step
        getattr(self, f"_{kind}")(random.Random(number))  # noqa: S311 (a test)

    def _write(self, *entries: Snapshot | Turn) -> None:
        self.writer.write(entries)

    def _wait(self, chance: random.Random) -> None:
        self.now += chance.choice((1, 60, HOUR, 5 * HOUR)) * chance.random()

    def _long_wait(self, chance: random.Random) -> None:
        self.now += chance.choice((DAY, 3 * DAY, 20 * DAY)) * (0.5 + chance.random())

    def _set_back(self, chance: random.Random) -> None:
        self.now -= chance.choice((60, HOUR, 5 * HOUR))

    def _message(self, chance: random.Random, at: float) -> Snapshot:
        person, limit_id = chance.randrange(len(PEOPLE)), chance.choice((*LIMITS, LIMITS[0]))
        limit = self.limits.setdefault((person, limit_id), _Limit())
        if at >= limit.resets_at or chance.random() < 0.1:
            limit.used, limit.resets_at = 0.0, int(at) + 5 * HOUR
        limit.used = min(100.0, limit.used + chance.choice((0, 0.5, 3, 10, 60)))
        if chance.random() < 0.1:
            self.plans[person] = chance.choice(("plus", "pro"))
        windows = {"5h": Window(used_percent=limit.used, window_minutes=300, resets_at=limit.resets_at)}
        if chance.random() < 0.5:
            week = int(at // (7 * DAY) + 1) * 7 * DAY
            windows["7d"] = Window(used_percent=round(limit.used / 10), window_minutes=10_080, resets_at=week)
        if chance.random() < 0.3:
            windows["30d"] = Window(used_percent=limit.used / 20, window_minutes=43_200, resets_at=NOON + 300 * DAY)
        fields: dict[str, Any] = {"plan_type": self.plans.get(person)}
        if chance.random() < 0.2:
            fields["credits"] = Credits(has_credits=True, unlimited=False, balance=str(chance.randrange(30)))
            fields["reset_credits"] = chance.randrange(3)
        reached = chance.random() < 0.1
        message = Limit(limit_id=limit_id, windows=windows, limit_reached=reached or None)
        return snapshot(message, who=PEOPLE[person], at=at, status=429 if reached else 200, **fields)

    def _read(self, chance: random.Random) -> None:
        self.now += chance.random() * 10
        self._write(self._message(chance, self.now))

    def _a_turn(self, chance: random.Random, ended_at: float) -> Turn:
        lasted = chance.choice((1, 20, 600, HOUR, 5 * HOUR))
        tokens = {"input": 1_000, "cached": 300, "output": chance.randrange(900)}
        started_at = ended_at - lasted
        return turn(
            f"t-{chance.randrange(4)}",
            who=chance.choice(PEOPLE),
            at=ended_at,
            limit_id=chance.choice((*LIMITS, LIMITS[0])),
            model=chance.choice(("m", "n")),
            status=chance.choice((200, 200, 200, 429)),
            tokens=tokens if chance.random() < 0.9 else {},
            subagent=chance.choice((None, None, "review", "thread_title")),
            parent_thread=chance.choice((None, None, "t-0", "t-1", "t-9")),
            tier=chance.choice((None, "priority")),
            reasoning_effort=chance.choice((None, "high")),
        ).model_copy(update={"started_at": started_at, "first_byte_at": started_at + lasted / 2})

    def _turn(self, chance: random.Random) -> None:
        self.now += chance.random() * 10
        self._write(self._a_turn(chance, self.now))

    def _late_turn(self, chance: random.Random) -> None:
        self._write(self._a_turn(chance, self.now - chance.random() * 30 * DAY))

    def _spill(self, chance: random.Random) -> None:
        at = self.now - chance.random() * 10 * DAY
        entries: list[Snapshot | Turn] = [self._message(chance, at), self._a_turn(chance, at)]
        self.writer.import_spill(f"s-{chance.random()}", self.now, entries, ())

    def _import(self, chance: random.Random) -> None:
        at = self.now - chance.random() * 30 * DAY
        turns = [
            ImportedTurn("m", None, None, at + 60 * n, at + 60 * n + 30, f"r-{chance.random()}", 900, 100, 0, 50, 0)
            for n in range(chance.randrange(4))
        ]
        windows = {"5h": Window(used_percent=chance.randrange(90), window_minutes=300, resets_at=int(at) + HOUR)}
        limits = [ImportedLimit("codex", None, at, at + 60, windows)]
        owner, thread = chance.choice(PEOPLE), f"t-{chance.randrange(4)}"
        progress = ImportedFile(file_key(thread), 1, 1, None, None)
        whose = Owner(owner.account_id, owner.user_id)
        part = SessionPart(thread, None, None, None, None, whose, turns, limits, progress)
        with contextlib.closing(open_writer(self.path)) as connection, transaction(connection):
            write_part(connection, part)

    def _accounts(self) -> list[int]:
        with contextlib.closing(open_writer(self.path)) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM accounts ORDER BY id")]

    def _merge(self, chance: random.Random) -> None:
        accounts = self._accounts()
        if len(accounts) > 1:
            with contextlib.closing(open_writer(self.path)) as connection, transaction(connection):
                edits.merge_accounts(connection, *chance.sample(accounts, 2))

    def _forget(self, chance: random.Random) -> None:
        accounts = self._accounts()
        if len(accounts) > 1:
            with contextlib.closing(open_writer(self.path)) as connection:
                edits.forget_account(connection, chance.choice(accounts))
            if chance.random() < 0.5:
                drop_edited(self.path)

    def _prune(self, chance: random.Random) -> None:
        with contextlib.closing(open_writer(self.path)) as connection:
            before = self.now - chance.random() * 60 * DAY
            for _ in range(chance.randrange(1, 4)):
                prune(connection, before, chance.choice((1, 3, 500)))

    def _fill(self, chance: random.Random) -> None:
        since = chance.choice((0.0, self.now - 50 * DAY * chance.random()))
        assert fill(self.path, [Wish(kind, since) for kind in self.kinds], self.now)

    def _kill(self, chance: random.Random) -> None:
        """End a filling in the middle of a piece, as a killed process does."""

        def dies(*_: object) -> float:
            raise KeyboardInterrupt

        kinds = [
            kind._replace(fill=dies) if number == chance.randrange(2) else kind
            for number, kind in enumerate(self.kinds)
        ]
        with contextlib.suppress(KeyboardInterrupt):
            fill(self.path, [Wish(kind) for kind in kinds], self.now)

    def _lose(self, chance: random.Random) -> None:
        if chance.random() < 0.2:
            kept_path(self.path).unlink(missing_ok=True)


def play(path: Path, kinds: Sequence[Kind], steps: Sequence[Step]) -> Iterator[History]:
    """Make the steps in a new database, and yield the history after each."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    kept_path(path).unlink(missing_ok=True)
    path.write_bytes(_new_database())
    with contextlib.closing(SnapshotWriter(path)) as writer:
        history = History(path, kinds, writer)
        for number in range(20):
            for kind in ("read", "turn", "wait"):
                history.make((kind, number))
        for number, step in enumerate(steps, 1):
            history.make(step)
            if step[0] not in _PLAIN or number == len(steps):
                yield history


@functools.cache
def _new_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.sqlite3"
        open_writer(path).close()
        return path.read_bytes()


def pieces_of(patch: pytest.MonkeyPatch, days: float) -> None:
    """Have pieces cover so many days."""
    patch.setattr(filling, "PIECE_SECONDS", days * DAY)


def no_failures(patch: pytest.MonkeyPatch) -> None:
    """Have what is kept fail loudly where it cannot be read: otherwise the rows of the database are asked then."""
    patch.setattr("store.kept.reading.UNUSABLE", ())


@contextlib.contextmanager
def without_kept(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have questions ask the rows of the database alone."""
    with patch.context() as inner:
        inner.setattr("store.kept.reading.database_of", lambda _: None)
        yield


def nearly(found: Any) -> Any:
    """Return the same with numbers that are compared to 1e-9."""
    if isinstance(found, dict):
        return {key: nearly(value) for key, value in found.items()}
    if isinstance(found, list):
        return [nearly(each) for each in found]
    return pytest.approx(found, rel=1e-9, abs=1e-9) if isinstance(found, float) else found
