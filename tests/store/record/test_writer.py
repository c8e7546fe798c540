"""The rows that messages become: one for each state of a limit, counted while it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis.strategies import DataObject, data, integers, sampled_from

from store.models import Credits, Snapshot, Source
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, used, windows
from tests.support.recorded_rows import current, figures, rows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_same_figures_again_are_one_row(path: Path) -> None:
    """A row stands for a stretch of time, and counts how often it was seen."""
    record(path, used(13), used(13, at=NOON + 60), used(13, at=NOON + 120, source=Source.UPGRADE), used(14))

    assert figures(path) == [(13.0, 3), (14.0, 1)]
    first = rows(path)[0]
    assert (first["first_seen_at"], first["last_seen_at"], first["source"]) == (NOON, NOON + 120, "headers")


def test_a_figure_that_comes_back_is_a_new_row(path: Path) -> None:
    """Only the newest row is gone on with: history is not rewritten."""
    record(path, used(13), used(14), used(13))

    assert figures(path) == [(13.0, 1), (14.0, 1), (13.0, 1)]


def test_the_unused_windows_reset_slides_in_its_row(path: Path) -> None:
    """A window that nobody uses yet resets a full length from now, whenever that is."""
    record(path, snapshot(limit(windows(0, at=NOON))), snapshot(limit(windows(0, at=NOON + 7_000))))

    (row,) = rows(path)
    assert (row["observations"], row["resets_5h_at"]) == (2, NOON + 7_000 + 9_000)


def test_each_limit_has_its_own_rows(path: Path) -> None:
    """A limit that a message does not mention keeps its last reading."""
    spark = limit(windows(5), limit_id="codex_bengalfox", limit_name="Spark")

    record(path, snapshot(limit(windows(13)), spark), used(14))

    assert current(path)["used_5h_percent"] == 14.0
    assert current(path, "codex_bengalfox")["used_5h_percent"] == 5.0
    assert len(rows(path)) == 3


def test_accounts_are_kept_apart(path: Path) -> None:
    """Two accounts share a limit's id and nothing else."""
    record(path, used(13), used(50, who=BOB), used(14))

    assert [(row["account"], row["used_5h_percent"]) for row in rows(path)] == [(1, 13.0), (2, 50.0), (1, 14.0)]


def test_history_goes_on_when_the_token_is_refreshed(path: Path) -> None:
    """A token is not an account."""
    refreshed = ALICE.model_copy(update={"token_key": "alice~0000000009", "email": None})

    record(path, used(13), used(13, who=refreshed))

    assert figures(path) == [(13.0, 2)]
    assert [row["token_key"] for row in rows(path, "SELECT token_key FROM tokens ORDER BY rowid")] == [
        ALICE.token_key,
        refreshed.token_key,
    ]
    assert [row["email"] for row in rows(path, "SELECT email FROM accounts")] == [ALICE.email]


def test_a_message_about_credits_alone_is_kept(path: Path) -> None:
    """What tells of no limit still tells of the account, takes no window away and makes none look newer."""
    five = Credits(has_credits=True, unlimited=False, balance="5")

    record(path, used(13), snapshot(credits=five, at=NOON + 60), snapshot(credits=five, at=NOON + 120))

    row = current(path)
    assert (row["used_5h_percent"], row["credits_balance"], row["observations"]) == (13.0, "5", 1)
    assert (row["windows_seen_at"], row["last_seen_at"]) == (NOON, NOON + 60)


def test_a_message_about_the_plan_alone_makes_no_limit(path: Path) -> None:
    """An account of which no limit was told has none, not an empty one."""
    record(path, snapshot(plan_type="plus"), snapshot(plan_type="plus"))

    assert rows(path, "SELECT * FROM limits") == []
    facts = "SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id"
    assert [row["plan_type"] for row in rows(path, facts)] == ["plus"]
    assert len(rows(path)) == 1


def test_a_refusal_without_figures_makes_no_figure_newer(path: Path) -> None:
    """An error body tells that the limit is reached; the windows are as old as they were."""
    refused = limit(None, limit_reached=True)
    error: dict[str, Any] = {"source": Source.ERROR, "status": 429}

    record(path, used(100), snapshot(refused, at=NOON + 60, **error), snapshot(refused, at=NOON + 90, **error))

    row = current(path)
    assert (row["used_5h_percent"], row["limit_reached"], row["observations"]) == (100.0, 1, 2)
    assert (row["windows_seen_at"], row["last_seen_at"]) == (NOON, NOON + 90)


def test_the_newest_credits_stand_whichever_limit_told_them(path: Path) -> None:
    """Credits are the account's, not the limit's: an older row of another limit does not bring old ones back."""
    few, many = (Credits(has_credits=True, unlimited=False, balance=balance) for balance in ("1", "100"))
    spark = limit(windows(5), limit_id="codex_bengalfox")

    record(path, used(13, credits=many), snapshot(spark, credits=few), used(13))

    facts = "SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id"
    assert [row["credits_balance"] for row in rows(path, facts)] == ["1"]
    assert current(path)["credits_balance"] == "1"


def test_an_overtaken_reading_is_kept_and_never_current(path: Path) -> None:
    """Answers to parallel turns arrive out of order; the server's own time says which is the newer."""
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


def test_an_overtaken_reading_is_not_what_the_next_is_compared_with(path: Path) -> None:
    """A message that says what the overtaken one before it said is still news."""
    late = used(15, server_time=NOON)
    again = late.model_copy(update={"reading": late.reading.model_copy(update={"server_time": NOON + 20.0})})

    record(path, used(20, server_time=NOON + 10), late, again)

    assert [(row["used_5h_percent"], row["late"]) for row in rows(path)] == [(20.0, 0), (15.0, 1), (15.0, 0)]
    assert current(path)["used_5h_percent"] == 15.0


@given(data())
def test_what_is_said_again_counts_as_if_it_were_new(
    tmp_path_factory: pytest.TempPathFactory, choose: DataObject
) -> None:
    """Messages that share what they say, as those of repeated headers do, leave the same rows as those that do not."""
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
    told = [
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

    shared = rows(record(folder / "shared.sqlite3", *told))
    apart = rows(record(folder / "apart.sqlite3", *(Snapshot.model_validate(each.model_dump()) for each in told)))

    assert shared == apart


def test_order_is_the_order_of_arrival(path: Path) -> None:
    """A clock that steps back makes nothing older."""
    record(path, used(13, at=NOON), used(14, at=NOON - 3_600))

    assert current(path)["used_5h_percent"] == 14.0
