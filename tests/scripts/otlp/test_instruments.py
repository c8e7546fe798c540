"""The metrics of a database, as a collector decodes them."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.otlp.program import Export
from scripts.otlp.settings import load_settings
from store.constants import MANY_ACCOUNTS
from store.database import open_writer
from store.edits import rename_account
from store.errors import DatabaseError
from store.models import Credits, Tokens, Window
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, limit, snapshot, turn, windows
from tests.support.otlp_receiver import Histogram
from tests.support.synthetic_history import PLANS, Size, generate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.models import Identity, Turn
    from tests.support.otlp_receiver import Export as Received
    from tests.support.otlp_receiver import Receiver

ACCOUNT, LIMIT, WINDOW, LENGTH = "codex.account", "codex.limit.id", "codex.limit.window", "codex.limit.window_length"
MODEL, TYPE, ERROR = "gen_ai.request.model", "gen_ai.token.type", "error.type"
TOKENS, DURATION = "gen_ai.client.token.usage", "gen_ai.client.operation.duration"
ALICES, BOBS = "acct-a/user-a", "acct-b/user-b"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with two accounts, one with a full 5 h window and credits, and two turns from before."""
    at = time.time()
    full = snapshot(
        limit(windows(100, 41, at=at), limit_reached=True),
        limit({"7d": Window(used_percent=3, window_minutes=43_200)}, limit_id="codex_bengalfox"),
        who=BOB,
        at=at - 10,
    )
    held = Credits(has_credits=True, unlimited=False, balance="9.5")
    alice = snapshot(limit(windows(13, 40, at=at)), at=at - 10, credits=held)
    return record(tmp_path / "tap.sqlite3", alice, full, ended(), ended())


@pytest.fixture
def export(path: Path) -> Iterator[Export]:
    with Export(path, load_settings(os.environ)) as found:
        yield found


def ended(model: str = "gpt-6", who: Identity = ALICE, *, after: float = 0.0, **fields: Any) -> Turn:
    """A turn of 100 tokens in and 10 out that ended just now, or later."""
    told: dict[str, Any] = {
        "model": model,
        "status": 200,
        "tokens": Tokens(input=100, cached=80, output=10, reasoning=4),
        **fields,
    }
    return turn(who=who, at=time.time() + after, **told)


def sent(export: Export, receiver: Receiver) -> Received:
    assert export.read()
    assert export.send() is None
    return receiver.exports[-1]


def test_limits_are_gauges(receiver: Receiver, export: Export) -> None:
    """Utilization is from 0 to 1, reset times are Unix seconds; a window has its slot and its real length."""
    found = sent(export, receiver)
    assert found.values("codex.limit.utilization", ACCOUNT, LIMIT, WINDOW, LENGTH) == {
        (ALICES, "codex", "5h", "5h"): 0.13,
        (ALICES, "codex", "7d", "7d"): 0.4,
        (BOBS, "codex", "5h", "5h"): 1.0,
        (BOBS, "codex", "7d", "7d"): 0.41,
        (BOBS, "codex_bengalfox", "7d", "30d"): 0.03,
    }
    resets = found.values("codex.limit.reset_time", ACCOUNT, WINDOW)
    assert 8_900 < resets[ALICES, "5h"] - time.time() <= 9_000
    assert found.values("codex.limit.blocked", ACCOUNT, LIMIT) == {
        (ALICES, "codex"): 0,
        (BOBS, "codex"): 1,
        (BOBS, "codex_bengalfox"): 0,
    }
    assert all(10 <= age < 60 for age in found.values("codex.limit.age", ACCOUNT, LIMIT).values())
    assert found.values("codex.credits.balance", ACCOUNT) == {(ALICES,): 9.5}
    assert found.units == {
        "codex.limit.utilization": "1",
        "codex.limit.reset_time": "s",
        "codex.limit.blocked": "1",
        "codex.limit.age": "s",
        "codex.credits.balance": "{credit}",
    }


def test_turns_are_counted_from_the_start_on(receiver: Receiver, path: Path, export: Export) -> None:
    """Neither earlier turns, nor imported ones, nor warm-ups are counted; the next export goes on."""
    assert TOKENS not in sent(export, receiver).points
    late = turn(at=time.time() - 60, model="gpt-6", status=200)  # recorded now, and ended before the start
    record(path, ended(after=1), ended("gpt-6-mini", BOB, after=2), ended(warm_up=True, after=3), late)
    with closing(open_writer(path)) as connection, connection:
        connection.execute("UPDATE requests SET imported = 1 WHERE id = (SELECT max(id) FROM requests)")
    found = sent(export, receiver)
    assert found.values(TOKENS, ACCOUNT, MODEL, TYPE) == {
        (ALICES, "gpt-6", "input"): Histogram(1, 100),
        (ALICES, "gpt-6", "output"): Histogram(1, 10),
        (BOBS, "gpt-6-mini", "input"): Histogram(1, 100),
        (BOBS, "gpt-6-mini", "output"): Histogram(1, 10),
    }
    assert found.values(DURATION, "gen_ai.operation.name", "gen_ai.provider.name", MODEL, ERROR) == {
        ("chat", "openai", "gpt-6", None): Histogram(1, 5),
        ("chat", "openai", "gpt-6-mini", None): Histogram(1, 5),
    }
    assert (found.units[TOKENS], found.units[DURATION]) == ("{token}", "s")
    record(path, ended(after=4))
    again = sent(export, receiver).values(TOKENS, MODEL, TYPE)
    assert again["gpt-6", "input"] == Histogram(2, 200)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": 429, "error_type": "usage_limit_reached"}, "usage_limit_reached"),
        ({"status": 500}, "500"),
        ({"status": None}, None),
    ],
)
def test_failed_turns(
    receiver: Receiver, path: Path, export: Export, fields: dict[str, Any], error: str | None
) -> None:
    """The error is the server's word, else the status; without tokens only the duration is sent."""
    sent(export, receiver)
    record(path, ended(after=1, tokens=Tokens(), **fields))
    found = sent(export, receiver)
    assert found.values(DURATION, MODEL, ERROR) == {("gpt-6", error): Histogram(1, 5)}
    assert TOKENS not in found.points


def test_an_account_goes_by_its_name(receiver: Receiver, path: Path, export: Export) -> None:
    """Its e-mail is never sent."""
    with closing(open_writer(path)) as connection:
        rename_account(connection, 1, "work")
    found = sent(export, receiver)
    assert found.values("codex.limit.blocked", ACCOUNT).keys() == {("work",), (BOBS,)}
    assert "example.com" not in repr(found)


def test_the_resource(receiver: Receiver, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same after each start, and the user's own variables come first."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "team-tap")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    for _ in range(2):
        with Export(path, load_settings(os.environ)) as export:
            sent(export, receiver)
    one, two = (each.resource for each in receiver.exports)
    assert one == two
    assert (one["service.name"], one["deployment.environment.name"]) == ("team-tap", "test")
    assert one["service.instance.id"]
    assert str(path) not in repr(one)


def test_a_database_that_comes_later(receiver: Receiver, tmp_path: Path) -> None:
    """All its turns are new."""
    later = tmp_path / "later.sqlite3"
    with Export(later, load_settings(os.environ)) as export:
        assert not export.read()
        record(later, ended(after=1))
        assert sent(export, receiver).values(TOKENS, TYPE)[("input",)] == Histogram(1, 100)


def test_a_database_in_place_of_another(receiver: Receiver, path: Path, export: Export) -> None:
    """Its turns are counted beside those of the one before."""
    sent(export, receiver)
    record(path, ended(after=1))
    sent(export, receiver)
    path.unlink()
    for companion in path.parent.glob(f"{path.name}-*"):
        companion.unlink()
    record(path, ended(after=2))
    assert sent(export, receiver).values(TOKENS, TYPE)[("input",)] == Histogram(2, 200)


def test_an_unreadable_database(receiver: Receiver, path: Path, export: Export) -> None:
    """The metrics are those of the last reading."""
    before = sent(export, receiver)
    damage(path)
    with pytest.raises(DatabaseError):
        export.read()
    export.send()
    assert receiver.exports[-1].points["codex.limit.utilization"] == before.points["codex.limit.utilization"]


def test_a_great_many_accounts_are_numbers(receiver: Receiver, tmp_path: Path) -> None:
    """By plan and by how they stand; turns have no account then."""
    many = tmp_path / "many.sqlite3"
    generate(many, Size(snapshots=1_500, turns=3_000, accounts=MANY_ACCOUNTS + 50, days=8), time.time())
    with Export(many, load_settings(os.environ)) as export:
        sent(export, receiver)
        with closing(open_writer(many)) as connection, connection:
            connection.execute(
                "INSERT INTO requests (account, token_key, limit_id, model, transport, warm_up, started_at, ended_at,"
                " input_tokens) VALUES (7, 'k', 'codex', 'gpt-6', 'http', 0, ?, ?, 5)",
                (time.time(), time.time() + 1),
            )
        found = sent(export, receiver)
    numbers = found.values("codex.accounts", "codex.plan", "codex.account.standing")
    assert sum(numbers.values()) == MANY_ACCOUNTS + 50
    assert {plan for plan, _ in numbers} == {*PLANS}
    assert "codex.limit.utilization" not in found.points
    assert found.values(TOKENS, ACCOUNT, MODEL) == {(None, "gpt-6"): Histogram(1, 5)}
