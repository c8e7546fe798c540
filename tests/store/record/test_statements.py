"""The columns of rows, as the recorder's statements fill them and read them back."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from store import edits
from store.database import open_writer
from store.models import Credits, Identity, Sighting, SightingKind, Source, Tokens, Transport, Window
from store.record import statements
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.recorded_rows import figures, rows

if TYPE_CHECKING:
    from pathlib import Path


def test_the_columns_of_a_snapshot(path: Path) -> None:
    """Each figure is in the column of its name, beside the details of its message."""
    named = limit(
        {**windows(13, 41), "30d": Window(used_percent=2.5, window_minutes=43_200, resets_at=NOON + 99)},
        limit_name="GPT-5.3-Codex-Spark",
        allowed=True,
        limit_reached=False,
    )
    message = snapshot(
        named,
        source=Source.WEBSOCKET,
        status=None,
        plan_type="plus",
        credits=Credits(has_credits=True, unlimited=False, balance="9.5", overage_limit_reached=False),
        spend_control_reached=False,
        reset_credits=2,
        promo="half price",
        server_time=NOON - 1.0,
        raw={"type": "codex.rate_limits"},
    ).model_copy(update={"model": "gpt-6.1-sol", "thread": "0198-7361"})

    record(path, message)

    (row,) = rows(path)
    assert json.loads(row.pop("other_windows")) == {"30d": [2.5, 43_200, NOON + 99]}
    assert json.loads(row.pop("raw")) == {"type": "codex.rate_limits"}
    assert row == {
        "id": 1,
        "account": 1,
        "token_key": ALICE.token_key,
        "limit_id": "codex",
        "limit_name": "GPT-5.3-Codex-Spark",
        "first_seen_at": NOON,
        "last_seen_at": NOON,
        "windows_seen_at": NOON,
        "observations": 1,
        "late": 0,
        "server_time": NOON - 1.0,
        "used_5h_percent": 13.0,
        "window_5h_minutes": 300,
        "resets_5h_at": NOON + 9_000,
        "used_7d_percent": 41.0,
        "window_7d_minutes": 10_080,
        "resets_7d_at": NOON + 300_000,
        "allowed": 1,
        "limit_reached": 0,
        "reached_type": None,
        "reached_until": None,
        "plan_type": "plus",
        "has_credits": 1,
        "credits_unlimited": 0,
        "credits_balance": "9.5",
        "overage_limit_reached": 0,
        "spend_control_reached": 0,
        "reset_credits": 2,
        "promo": "half price",
        "source": "websocket",
        "status": None,
        "model": "gpt-6.1-sol",
        "thread": "0198-7361",
        "budget_limit": None,
        "budget_used": None,
        "budget_remaining": None,
        "budget_unit": None,
        "budget_source": None,
        "model_usage": None,
        "reset_credits_applicable": None,
        "reset_credits_expire": None,
        "refused_at": None,
        "reached_window_minutes": None,
    }


def test_a_state_is_read_back_in_another_run(path: Path) -> None:
    """A message is compared with the state in the database, not in a proxy's memory."""
    record(path, used(13, plan_type="plus", credits=Credits(has_credits=False, unlimited=False, balance="0")))
    record(path, used(13))

    assert figures(path) == [(13.0, 2)]


def test_the_columns_of_a_turn(path: Path) -> None:
    """A row has all details of a turn; a turn makes its account known, as a reading does."""
    full = turn(
        first_byte_at=NOON - 4.5,
        session="s-1",
        model="gpt-6.1-sol",
        limit_id="codex_bengalfox",
        warm_up=True,
        status=429,
        error_type="usage_limit_reached",
        tokens=Tokens(input=1_000, cached=800, output=50, reasoning=20, cache_write=90),
        response_model="gpt-5.6-luna",
        reasoning_effort="high",
        tier="priority",
        subagent="review",
        parent_thread="t-0",
        client="codex_exec",
        response_id="resp_1",
    )
    record(path, full)

    (found,) = rows(path, "SELECT r.*, a.email FROM requests r JOIN accounts a ON a.id = r.account")
    assert found == {
        "id": 1,
        "account": 1,
        "token_key": ALICE.token_key,
        "limit_id": "codex_bengalfox",
        "thread": "t-1",
        "session": "s-1",
        "model": "gpt-6.1-sol",
        "transport": Transport.WEBSOCKET,
        "warm_up": 1,
        "started_at": NOON - 5,
        "first_byte_at": NOON - 4.5,
        "ended_at": NOON,
        "status": 429,
        "error_type": "usage_limit_reached",
        "input_tokens": 1_000,
        "cached_tokens": 800,
        "output_tokens": 50,
        "reasoning_tokens": 20,
        "cache_write_tokens": 90,
        "response_model": "gpt-5.6-luna",
        "reasoning_effort": "high",
        "tier": "priority",
        "subagent": "review",
        "parent_thread": "t-0",
        "client": "codex_exec",
        "response_id": "resp_1",
        "imported": 0,
        "session_key": None,
        "email": ALICE.email,
    }


def test_sightings_are_counted_by_name(path: Path) -> None:
    """A name has one row for each kind, with its count and the times of its first and last sighting."""
    host, field = SightingKind.HOST, SightingKind.UNKNOWN_FIELD
    record(path, *(Sighting(kind=kind, name="a", seen_at=NOON + at) for kind, at in ((host, 0), (host, 9), (field, 5))))
    record(path, Sighting(kind=host, name="a", seen_at=NOON + 3))

    assert [tuple(row.values()) for row in rows(path, "SELECT * FROM sightings ORDER BY kind")] == [
        ("host", "a", 3, NOON, NOON + 9),
        ("unknown_field", "a", 1, NOON + 5, NOON + 5),
    ]


def test_the_names_of_sightings_are_bounded(path: Path) -> None:
    """Names above the maximum are left out; names that are stored are counted on, and other kinds have room."""
    most = statements.MAX_SIGHTINGS
    names = [f"x-{number}" for number in range(most + 5)]
    record(path, *(Sighting(kind=SightingKind.UNKNOWN_FIELD, name=name, seen_at=NOON) for name in [*names, "x-0"]))
    record(path, Sighting(kind=SightingKind.HOST, name="us.chatgpt.com", seen_at=NOON))

    found = {(row["kind"], row["name"]): row["count"] for row in rows(path, "SELECT * FROM sightings")}
    assert len(found) == most + 1
    assert found["unknown_field", "x-0"] == 2


def test_threads(path: Path) -> None:
    """A thread has the times of its first and last turn, and keeps its name when it continues with another account."""
    record(path, turn(at=NOON), turn(at=NOON + 90), turn("t-2", at=NOON), turn(None))
    with contextlib.closing(open_writer(path)) as connection:
        edits.rename_thread(connection, "t-1", "refactor")
    record(path, turn(who=BOB, at=NOON + 300))

    assert [tuple(row.values()) for row in rows(path, "SELECT * FROM threads ORDER BY account, thread")] == [
        (1, "t-1", "refactor", NOON - 5, NOON + 90, 0),
        (1, "t-2", None, NOON - 5, NOON, 0),
        (2, "t-1", "refactor", NOON + 295, NOON + 300, 0),
    ]


# Whose it is

WORKSPACE = "ws"


def opaque(key: str, **fields: Any) -> Identity:
    """A login that names no user, but the workspace."""
    return Identity(token_key=key, account_id=WORKSPACE, **fields)


def reported(key: str, user: str) -> Identity:
    """The same login, in a usage document that names its user."""
    return opaque(key, user_id=user, email=f"{user}@x", user_reported=True)


def owners(path: Path) -> list[tuple[str, list[float]]]:
    """Return the user of each account, and the figures that are its own."""
    found: dict[str, list[float]] = {}
    query = "SELECT user_id, used_5h_percent FROM accounts a JOIN snapshots s ON s.account = a.id ORDER BY s.id"
    for row in rows(path, query):
        found.setdefault(row["user_id"], []).append(row["used_5h_percent"])
    return sorted(found.items())


JWT = Identity(token_key="jwt~1", account_id=WORKSPACE, user_id="ann", email="ann@x")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([opaque("k1"), opaque("k2")], [("", [0, 1])], id="tokens of one workspace"),
        pytest.param(
            [opaque("k1"), opaque("k2"), reported("k1", "ann"), opaque("k3")], [("ann", [0, 1, 2, 3])], id="named"
        ),
        pytest.param([reported("k1", "ann"), opaque("k1"), opaque("k2")], [("ann", [0, 1, 2])], id="named at once"),
        pytest.param([JWT, opaque("k1")], [("", [1]), ("ann", [0])], id="nobody has named it"),
        pytest.param([JWT, opaque("k1"), reported("k1", "ann")], [("ann", [0, 1, 2])], id="the user of another login"),
        pytest.param(
            [JWT, opaque("k1"), reported("k1", "ben"), opaque("k1"), opaque("k2")],
            [("", [1, 4]), ("ann", [0]), ("ben", [2, 3])],
            id="two candidates",
        ),
        pytest.param(
            [opaque("k1"), reported("k1", "ann"), reported("k2", "ben"), opaque("k1"), opaque("k2"), opaque("k3")],
            [("", [5]), ("ann", [0, 1, 3]), ("ben", [2, 4])],
            id="a second user",
        ),
        pytest.param(
            [reported("k1", "ann"), opaque("k1"), reported("k1", "ann"), reported("k1", "ann"), opaque("k9")],
            [("ann", [0, 1, 2, 3, 4])],
            id="named again and again",
        ),
        pytest.param(
            [opaque("k1", user_id="k1"), opaque("k2", user_id="k2"), opaque("k1"), opaque("k2")],
            [("", [0, 1, 2, 3])],
            id="accounts of tokens, of an earlier version",
        ),
        pytest.param(
            [opaque("k1", user_id="k1"), reported("k1", "ann"), opaque("k1")],
            [("ann", [0, 1, 2])],
            id="the account of a token is named",
        ),
        pytest.param(
            [opaque("old", user_id="old"), opaque("new", former_key="old"), opaque("new", former_key="old")],
            [("", [0, 1, 2])],
            id="a short token of a workspace",
        ),
        pytest.param(
            [
                Identity(token_key="old", user_id="old"),
                Identity(token_key="new", user_id="new", former_key="old"),
            ],
            [("new", [0, 1])],
            id="a short token",
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_whose_it_is(
    path: Path, seen: list[Identity], expected: list[tuple[str, list[float]]], *, together: bool
) -> None:
    """Logins that name no user are one account, and are joined with the user's as soon as that is certain."""
    entries = [used(number, who=who, at=NOON + number * 100) for number, who in enumerate(seen)]
    if together:
        record(path, *entries)
    else:
        for entry in entries:
            record(path, entry)
    assert owners(path) == expected
    held = rows(
        path, "SELECT l.account FROM limits l JOIN snapshots s ON s.id = l.snapshot_id AND s.account = l.account"
    )
    assert len(held) == len(rows(path, "SELECT id FROM accounts")) == len(expected)


def test_a_short_token_of_two_accounts(path: Path) -> None:
    """Keys that were stored before are replaced, also where both keys are there already."""
    old, new = (Identity(token_key=key, user_id=key) for key in ("old", "new"))
    record(path, used(1, who=old), used(2, who=new, at=NOON + 60), turn("t-1", who=old))
    record(path, used(3, who=new.model_copy(update={"former_key": "old"}), at=NOON + 120))
    assert owners(path) == [("new", [1, 2, 3])]
    assert [row["token_key"] for row in rows(path, "SELECT token_key FROM tokens")] == ["new"]
    assert rows(path, "SELECT * FROM merged_accounts") == []


def test_a_merge_into_an_account_that_is_not_there(path: Path) -> None:
    """A bit in the file may have flipped; the account's entries are kept under itself."""
    record(path, used(5))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO merged_accounts SELECT account_id, user_id, 999 FROM accounts")
    record(path, used(6))
    found = rows(path, "SELECT account, used_5h_percent FROM snapshots")
    assert [(row["account"], row["used_5h_percent"]) for row in found] == [(1, 5), (1, 6)]
    assert rows(path, "SELECT * FROM losses") == []
