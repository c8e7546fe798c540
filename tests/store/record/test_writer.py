"""The rows that messages become: one for each state of a limit, with the number of its observations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data, integers, sampled_from

from store.models import Credits, Snapshot, Source
from store.record.writer import SnapshotWriter
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.recorded_rows import current, figures, rows

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Turn


def test_the_same_figures_again_are_one_row(path: Path) -> None:
    """A row stands for a period of equal figures, and counts its observations."""
    record(path, used(13), used(13, at=NOON + 60), used(13, at=NOON + 120, source=Source.UPGRADE), used(14))

    assert figures(path) == [(13.0, 3), (14.0, 1)]
    first = rows(path)[0]
    assert (first["first_seen_at"], first["last_seen_at"], first["source"]) == (NOON, NOON + 120, "headers")


def test_a_figure_that_comes_back_is_a_new_row(path: Path) -> None:
    """Only the newest row is extended: history is not rewritten."""
    record(path, used(13), used(14), used(13))

    assert figures(path) == [(13.0, 1), (14.0, 1), (13.0, 1)]


def test_the_reset_of_an_unused_window_moves_in_its_row(path: Path) -> None:
    """An unused window always resets a full length from now."""
    later = snapshot(limit(windows(0, at=NOON + 7_000)), at=NOON + 7_000)
    record(path, snapshot(limit(windows(0, at=NOON))), later)

    (row,) = rows(path)
    assert (row["observations"], row["resets_5h_at"]) == (2, NOON + 7_000 + 9_000)


def test_each_limit_has_its_own_rows(path: Path) -> None:
    """A limit that a message does not mention keeps its last reading."""
    spark = limit(windows(5), limit_id="codex_bengalfox", limit_name="Spark")

    record(path, snapshot(limit(windows(13)), spark), used(14))

    assert current(path)["used_5h_percent"] == 14.0
    assert current(path, "codex_bengalfox")["used_5h_percent"] == 5.0
    assert len(rows(path)) == 3


def test_accounts_are_separate(path: Path) -> None:
    """Two accounts can have a limit of the same id; they share nothing else."""
    record(path, used(13), used(50, who=BOB), used(14))

    assert [(row["account"], row["used_5h_percent"]) for row in rows(path)] == [(1, 13.0), (2, 50.0), (1, 14.0)]


def test_history_continues_when_the_token_is_refreshed(path: Path) -> None:
    """A refreshed token belongs to the same account."""
    refreshed = ALICE.model_copy(update={"token_key": "alice~0000000009", "email": None})

    record(path, used(13), used(13, who=refreshed))

    assert figures(path) == [(13.0, 2)]
    assert [row["token_key"] for row in rows(path, "SELECT token_key FROM tokens ORDER BY rowid")] == [
        ALICE.token_key,
        refreshed.token_key,
    ]
    assert [row["email"] for row in rows(path, "SELECT email FROM accounts")] == [ALICE.email]


def test_a_message_about_credits_alone_is_stored(path: Path) -> None:
    """A message without limits is about the account: it removes no window and makes none look newer."""
    five = Credits(has_credits=True, unlimited=False, balance="5")

    record(path, used(13), snapshot(credits=five, at=NOON + 60), snapshot(credits=five, at=NOON + 120))

    row = current(path)
    assert (row["used_5h_percent"], row["credits_balance"], row["observations"]) == (13.0, "5", 1)
    assert (row["windows_seen_at"], row["last_seen_at"]) == (NOON, NOON + 60)


def test_a_message_about_the_plan_alone_makes_no_limit(path: Path) -> None:
    """An account without any message about limits has no limits, rather than an empty one."""
    record(path, snapshot(plan_type="plus"), snapshot(plan_type="plus"))

    assert rows(path, "SELECT * FROM limits") == []
    facts = "SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id"
    assert [row["plan_type"] for row in rows(path, facts)] == ["plus"]
    assert len(rows(path)) == 1


def test_a_refusal_without_figures_makes_no_figure_newer(path: Path) -> None:
    """An error body says that the limit is reached; the windows keep their age."""
    refused = limit(None, limit_reached=True)
    error: dict[str, Any] = {"source": Source.ERROR, "status": 429}

    record(path, used(100), snapshot(refused, at=NOON + 60, **error), snapshot(refused, at=NOON + 90, **error))

    row = current(path)
    assert (row["used_5h_percent"], row["limit_reached"], row["observations"]) == (100.0, 1, 2)
    assert (row["windows_seen_at"], row["last_seen_at"]) == (NOON, NOON + 90)


REFUSED: dict[str, Any] = {"source": Source.ERROR, "status": 429}


def verdicts(path: Path) -> list[tuple[object, ...]]:
    """Return source, verdict and observations of each row."""
    return [(row["source"], row["limit_reached"], row["refused_at"], row["observations"]) for row in rows(path)]


def test_a_completed_turn_ends_a_refusal(path: Path) -> None:
    """Its row has the windows as they were, and their age; the next message is compared with it."""
    refusal = limit(None, limit_reached=True)
    record(
        path,
        used(50, source=Source.WEBSOCKET, status=None),
        snapshot(refusal, at=NOON + 60, **REFUSED),
        snapshot(refusal, at=NOON + 90, **REFUSED),
        turn(at=NOON + 120),
        turn(at=NOON + 130),
        snapshot(refusal, at=NOON + 140, **REFUSED),
    )

    assert verdicts(path) == [
        ("websocket", None, None, 1),
        ("error", 1, NOON + 90, 2),
        ("websocket", None, None, 1),
        ("error", 1, NOON + 140, 1),
    ]
    assert [row["windows_seen_at"] for row in rows(path)] == [NOON] * 4
    assert [(row["status"], row["model"], row["thread"]) for row in rows(path)][2] == (200, None, "t-1")


@pytest.mark.parametrize(
    "ended",
    [
        pytest.param(turn(at=NOON + 62), id="requested before the refusal"),
        pytest.param(turn(at=NOON + 120, warm_up=True), id="a warm-up"),
        pytest.param(turn(at=NOON + 120, error_type="interrupted"), id="interrupted"),
        pytest.param(turn(at=NOON + 120, status=400), id="another failure"),
        pytest.param(turn(at=NOON + 120, limit_id="codex_bengalfox"), id="another limit"),
        pytest.param(turn(at=NOON + 120, who=BOB), id="another account"),
    ],
)
def test_what_does_not_end_a_refusal(path: Path, ended: Turn) -> None:
    """Only a turn on that limit that was requested since, and that the server completed, ends it."""
    record(path, used(50), snapshot(limit(None, limit_reached=True), at=NOON + 60, **REFUSED), ended)

    assert verdicts(path) == [("headers", None, None, 1), ("error", 1, NOON + 60, 1)]


def test_a_refusal_is_known_in_another_run(path: Path) -> None:
    """When it came stands in the database, so that a turn of another proxy ends it, or one from before does not."""
    record(path, used(50), snapshot(limit(None, limit_reached=True), at=NOON + 60, **REFUSED))
    record(path, turn(at=NOON + 64))
    assert current(path)["refused_at"] == NOON + 60
    record(path, turn(at=NOON + 65))
    assert (current(path)["refused_at"], current(path)["limit_reached"]) == (None, None)


def test_a_turn_from_a_spill_ends_no_later_refusal(path: Path) -> None:
    """Only the clock tells the order of what an earlier stop left."""
    record(path, used(50), snapshot(limit(None, limit_reached=True), at=NOON + 60, **REFUSED))
    writer = SnapshotWriter(path)
    assert writer.import_spill("left", NOON + 99, [turn(at=NOON - 10)], [])
    writer.close()
    assert current(path)["refused_at"] == NOON + 60


def test_the_newest_credits_count_for_every_limit(path: Path) -> None:
    """Credits are the account's: an older row of another limit does not bring back old ones."""
    few, many = (Credits(has_credits=True, unlimited=False, balance=balance) for balance in ("1", "100"))
    spark = limit(windows(5), limit_id="codex_bengalfox")

    record(path, used(13, credits=many), snapshot(spark, credits=few), used(13))

    facts = "SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id"
    assert [row["credits_balance"] for row in rows(path, facts)] == ["1"]
    assert current(path)["credits_balance"] == "1"


def test_a_late_reading_is_stored_and_never_current(path: Path) -> None:
    """Responses to parallel turns arrive out of order; the server's clock says which one is newer."""
    plus, pro = "plus", "pro"

    record(
        path,
        used(20, server_time=NOON + 10, plan_type=plus),
        used(15, server_time=NOON, plan_type=pro),
        used(20, server_time=NOON + 12, plan_type=plus),
    )

    assert [(row["used_5h_percent"], row["late"]) for row in rows(path)] == [(20.0, 0), (15.0, 1)]
    assert current(path)["observations"] == 2
    assert [row["plan_type"] for row in rows(path, "SELECT plan_type FROM snapshots WHERE NOT late")] == ["plus"]


def test_the_next_reading_is_not_compared_with_a_late_one(path: Path) -> None:
    """A message with the figures of the late one before it is still new."""
    late = used(15, server_time=NOON)
    again = late.model_copy(update={"reading": late.reading.model_copy(update={"server_time": NOON + 20.0})})

    record(path, used(20, server_time=NOON + 10), late, again)

    assert [(row["used_5h_percent"], row["late"]) for row in rows(path)] == [(20.0, 0), (15.0, 1), (15.0, 0)]
    assert current(path)["used_5h_percent"] == 15.0


@given(data())
def test_repeated_readings_count_like_new_ones(tmp_path_factory: pytest.TempPathFactory, choose: DataObject) -> None:
    """Messages that share their reading object, as with repeated headers, make the same rows as equal copies."""
    five = Credits(has_credits=True, unlimited=False, balance="5")
    spark = limit(windows(5), limit_id="codex_bengalfox")
    readings = [
        used(13, plan_type="plus").reading,
        used(13, credits=five).reading,
        used(100).reading,
        snapshot(limit(windows(0, at=NOON)), spark).reading,
        snapshot(limit(windows(0, at=NOON + 500))).reading,
        snapshot(limit(None, limit_reached=True, reached_type="rate_limit_reached")).reading,
        snapshot(credits=five).reading,
    ]
    messages = [
        Snapshot(
            identity=choose.draw(sampled_from([ALICE, BOB])),
            observed_at=NOON + number,
            source=choose.draw(sampled_from([Source.HEADERS, Source.ERROR])),
            status=choose.draw(sampled_from([200, 429])),
            reading=choose.draw(sampled_from(readings)).model_copy(
                update={"server_time": choose.draw(sampled_from([None, NOON + 0.0, NOON + 50.0]))}
            ),
        )
        for number in range(choose.draw(integers(1, 12)))
    ]
    folder = tmp_path_factory.mktemp("said")

    shared = rows(record(folder / "shared.sqlite3", *messages))
    apart = rows(record(folder / "apart.sqlite3", *(Snapshot.model_validate(each.model_dump()) for each in messages)))

    assert shared == apart


def test_order_is_the_order_of_arrival(path: Path) -> None:
    """A clock that steps back makes no reading older."""
    record(path, used(13, at=NOON), used(14, at=NOON - 3_600))

    assert current(path)["used_5h_percent"] == 14.0
