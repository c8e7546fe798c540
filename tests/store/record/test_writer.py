"""The rows that messages become: one for each state of a limit, with the number of its observations."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data, integers, sampled_from

from store.constants import BUDGET_LIMIT, limit_slug
from store.models import Budget, Credits, Snapshot, Source, Transport, Window
from store.record.statements import MAX_LIMITS
from store.record.writer import SnapshotWriter
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.recorded_rows import current, figures, rows

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Limit, Turn


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


DAY = 86_400
SPARK = "GPT-5.3-Codex-Spark"
FOX = "codex_bengalfox"


def fox(percent: float, *, name: str | None = SPARK, limit_id: str = FOX) -> Limit:
    """The limit as headers and usage documents tell it: by its id."""
    return limit(windows(percent), limit_id=limit_id, limit_name=name)


def spark(percent: float, name: str = SPARK) -> Limit:
    """The limit as a websocket message tells it: by its display name."""
    return limit(windows(percent), limit_id=limit_slug(name), limit_name=name, by_name=True)


def limits_seen(path: Path) -> list[tuple[str, float]]:
    """Return the limit and the 5h figure of each snapshot."""
    return [(row["limit_id"], row["used_5h_percent"]) for row in rows(path)]


def pointers(path: Path) -> dict[tuple[int, str], float]:
    """Return the 5h figure of the current row of each limit, by account and limit."""
    query = "SELECT l.account, l.limit_id, s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"
    return {(row["account"], row["limit_id"]): row["used_5h_percent"] for row in rows(path, query)}


@pytest.mark.parametrize(
    ("entries", "seen", "now"),
    [
        pytest.param(
            [snapshot(fox(60)), snapshot(spark(64))],
            [(FOX, 60), (FOX, 64)],
            {(1, FOX): 64},
            id="the id first",
        ),
        pytest.param(
            [snapshot(spark(60)), snapshot(spark(64)), snapshot(fox(66))],
            [(FOX, 60), (FOX, 64), (FOX, 66)],
            {(1, FOX): 66},
            id="the name first",
        ),
        pytest.param(
            [snapshot(spark(60)), snapshot(fox(60)), snapshot(spark(60))],
            [(FOX, 60)],
            {(1, FOX): 60},
            id="the same figures by name and by id",
        ),
        pytest.param(
            [snapshot(fox(50, name=None)), snapshot(spark(60), at=NOON + 60), snapshot(fox(60), at=NOON + 120)],
            [(FOX, 50), (FOX, 60)],
            {(1, FOX): 60},
            id="rows under both, the name's the newer",
        ),
        pytest.param(
            [
                snapshot(spark(50)),
                snapshot(fox(60, name=None), at=NOON + 60),
                snapshot(limit(limit_id=FOX, limit_name=SPARK), at=NOON + 120),
            ],
            [(FOX, 50), (FOX, 60), (FOX, 60)],
            {(1, FOX): 60},
            id="rows under both, the id's the newer",
        ),
        pytest.param(
            [snapshot(spark(60), who=ALICE), snapshot(spark(7), who=BOB), snapshot(fox(61), who=BOB)],
            [(FOX, 60), (FOX, 7), (FOX, 61)],
            {(1, FOX): 60, (2, FOX): 61},
            id="two accounts",
        ),
        pytest.param(
            [snapshot(fox(60)), snapshot(spark(61)), snapshot(fox(1, limit_id="codex_owl")), snapshot(spark(2))],
            [(FOX, 60), (FOX, 61), ("codex_owl", 1), ("codex_owl", 2)],
            {(1, FOX): 61, (1, "codex_owl"): 2},
            id="a name that goes to another id",
        ),
        pytest.param(
            [snapshot(fox(60), fox(1, limit_id="codex_owl")), snapshot(spark(61))],
            [(FOX, 60), ("codex_owl", 1), (FOX, 61)],
            {(1, FOX): 61, (1, "codex_owl"): 1},
            id="a name of two ids in one message",
        ),
        pytest.param(
            [snapshot(fox(60)), snapshot(spark(64, name="gpt-5.3-codex-spark"))],
            [(FOX, 60), (FOX, 64)],
            {(1, FOX): 64},
            id="the name in another spelling",
        ),
        pytest.param(
            [snapshot(fox(60), spark(64))],
            [(FOX, 60)],
            {(1, FOX): 60},
            id="by id and by name in one message",
        ),
        pytest.param(
            [snapshot(limit(windows(5), limit_id="luna")), snapshot(fox(60, name="luna"))],
            [("luna", 5), (FOX, 60)],
            {(1, "luna"): 5, (1, FOX): 60},
            id="a name that is the id of another limit",
        ),
        pytest.param(
            [used(13), snapshot(fox(60, name="codex")), snapshot(fox(61, name="Premium")), used(14)],
            [("codex", 13), (FOX, 60), (FOX, 61), ("codex", 14)],
            {(1, "codex"): 14, (1, FOX): 61},
            id="a name of the main limit's",
        ),
    ],
)
def test_a_name_leads_to_the_id(
    path: Path, entries: list[Snapshot], seen: list[tuple[str, float]], now: dict[tuple[int, str], float]
) -> None:
    """A limit is one limit, whether messages give its id or its display name, and whichever came first."""
    record(path, *entries)

    assert limits_seen(path) == seen
    assert pointers(path) == now


def test_a_name_is_remembered(path: Path) -> None:
    """A later start of the proxy knows the names as well."""
    record(path, snapshot(fox(60)))
    record(path, snapshot(spark(64)))

    assert limits_seen(path) == [(FOX, 60), (FOX, 64)]
    assert [tuple(row.values()) for row in rows(path, "SELECT * FROM limit_names")] == [(SPARK, FOX)]


def test_a_late_row_under_a_name_is_moved_as_well(path: Path) -> None:
    """A message that was overtaken on its way stays in the history of its limit, and is not its present."""
    late = snapshot(spark(59), at=NOON + 20, requested_at=NOON, server_time=NOON)
    record(path, snapshot(spark(60), at=NOON + 10, server_time=NOON + 10.0), late, snapshot(fox(60), at=NOON + 30))

    assert limits_seen(path) == [(FOX, 60), (FOX, 59)]
    assert [row["late"] for row in rows(path)] == [0, 1]
    assert pointers(path) == {(1, FOX): 60}


def test_names_are_bounded(path: Path) -> None:
    """The wire cannot fill the disk with names."""
    record(path, *(snapshot(fox(1, name=f"Name {number}", limit_id=f"codex_{number}")) for number in range(120)))

    assert len(rows(path, "SELECT * FROM limit_names")) == 100


RESERVE = "base_model_inference"


def unnamed(percent: float, *more: Limit, model: str | None = "gpt-reserve", **fields: Any) -> Snapshot:
    """A websocket message that does not name the limit of its main figures."""
    found = snapshot(limit(windows(percent)), *more, source=Source.WEBSOCKET, unnamed=True, **fields)
    return found.model_copy(update={"model": model})


@pytest.mark.parametrize(
    ("entries", "seen"),
    [
        pytest.param(
            [snapshot(fox(14, name="gpt-reserve", limit_id=RESERVE)), unnamed(15)],
            [(RESERVE, 14), (RESERVE, 15)],
            id="its name is known",
        ),
        pytest.param(
            [unnamed(15, spark(15, name="gpt-reserve"))], [("gpt_reserve", 15)], id="its name is in the message"
        ),
        pytest.param(
            [snapshot(spark(14, name="gpt-reserve")), unnamed(15), snapshot(fox(15, name="gpt-reserve"))],
            [(FOX, 14), (FOX, 15)],
            id="its name came before, its id comes later",
        ),
        pytest.param(
            [snapshot(spark(14, name="luna").model_copy(update={"limit_name": None})), unnamed(15, model="luna")],
            [("luna", 14), ("luna", 15)],
            id="a name that is written like an id",
        ),
        pytest.param(
            [snapshot(fox(14, name="gpt-reserve", limit_id=RESERVE)), unnamed(15, model="gpt-6.1-sol")],
            [(RESERVE, 14), ("codex", 15)],
            id="another model",
        ),
        pytest.param(
            [snapshot(fox(14, name="gpt-reserve", limit_id=RESERVE)), unnamed(15, model=None)],
            [(RESERVE, 14), ("codex", 15)],
            id="no model",
        ),
        pytest.param(
            [snapshot(fox(14)), unnamed(15, model="gpt-5.3-codex-spark")],
            [(FOX, 14), ("codex", 15)],
            id="a model whose limit has another name",
        ),
        pytest.param(
            [
                snapshot(fox(14, name="gpt-reserve", limit_id=RESERVE)),
                used(13).model_copy(update={"model": "gpt-reserve"}),
            ],
            [(RESERVE, 14), ("codex", 13)],
            id="a message that names the main limit",
        ),
        pytest.param([unnamed(15, model="codex")], [("codex", 15)], id="a model that is called as the main limit"),
    ],
)
def test_an_unnamed_limit_is_that_of_the_model(
    path: Path, entries: list[Snapshot], seen: list[tuple[str, float]]
) -> None:
    """On a turn of a model that is a limit's name, figures without a name are that limit's."""
    record(path, *entries)

    assert limits_seen(path) == seen


@pytest.mark.parametrize(
    ("fields", "limit_id"),
    [
        ({"model": "gpt-reserve"}, RESERVE),
        ({"model": "gpt-6.1-sol"}, "codex"),
        ({"model": "gpt-reserve", "limit_id": "codex_fox"}, "codex_fox"),
        ({"model": "gpt-reserve", "transport": Transport.HTTP}, "codex"),
        ({}, "codex"),
    ],
)
def test_a_turn_is_charged_to_the_limit_of_its_model(path: Path, fields: dict[str, Any], limit_id: str) -> None:
    """The headers of a websocket name no limit of a turn; those of a response do."""
    record(path, snapshot(fox(14, name="gpt-reserve", limit_id=RESERVE)), turn().model_copy(update=fields))

    assert [row["limit_id"] for row in rows(path, "SELECT limit_id FROM requests")] == [limit_id]


def test_a_turn_under_a_name_is_moved_as_well(path: Path) -> None:
    """Use is attributed to turns of the same limit."""
    record(
        path,
        snapshot(spark(14, name="gpt-reserve")),
        turn(model="gpt-reserve"),
        snapshot(fox(15, name="gpt-reserve", limit_id=RESERVE)),
    )

    assert [row["limit_id"] for row in rows(path, "SELECT limit_id FROM requests")] == [RESERVE]


def test_unknown_fields_are_counted_by_name(path: Path) -> None:
    """A message without anything else is counted, too."""
    names = ("x-codex-tertiary-used-percent", "rate_limits.burst")
    record(path, used(13, unknown_fields=names), used(13, unknown_fields=names[:1]), snapshot(unknown_fields=names))

    found = rows(path, "SELECT kind, name, count FROM sightings ORDER BY name DESC")
    assert [tuple(row.values()) for row in found] == [("unknown_field", names[0], 3), ("unknown_field", names[1], 2)]


def budget(used: float) -> Limit:
    amounts = Budget(limit="25000", used=str(250 * used))
    return limit({"budget": Window(used_percent=used, resets_at=NOON + DAY)}, limit_id="spend_control", budget=amounts)


def test_a_budget_has_its_amounts(path: Path) -> None:
    """A change of an amount is a new row; a message without windows of the budget leaves it as it was."""
    unknown = limit(limit_id="spend_control", limit_reached=True)
    higher = budget(96).model_copy(update={"budget": Budget(limit="50000", used="24000.0")})
    record(path, snapshot(budget(96)), snapshot(budget(96)), snapshot(higher), snapshot(unknown))

    found = [(row["budget_limit"], row["observations"], row["limit_reached"]) for row in rows(path)]
    assert found == [("25000", 2, None), ("50000", 1, None), ("50000", 1, 1)]
    assert json.loads(rows(path)[0]["other_windows"]) == {"budget": [96.0, None, NOON + DAY]}


def test_a_budget_that_no_longer_exists(path: Path) -> None:
    """It loses its window and its amounts; an account that never had one gets no row for it."""
    record(
        path,
        used(13, no_budget=True, who=BOB),
        snapshot(budget(100)),
        used(14, no_budget=True),
        used(14, no_budget=True),
    )

    assert [row["limit_id"] for row in rows(path)] == ["codex", "spend_control", "codex", "spend_control"]
    gone = current(path, "spend_control")
    assert (gone["other_windows"], gone["budget_limit"], gone["observations"]) == (None, None, 2)


@pytest.mark.parametrize(
    "change",
    [
        "limit_name = CAST(x'53ff' AS TEXT)",
        "plan_type = CAST(x'ff' AS TEXT)",
        "plan_type = x'00'",
        "used_5h_percent = -1",
        "used_5h_percent = 'half'",
        "used_5h_percent = 9e999",
        "window_7d_minutes = 0",
        "resets_5h_at = 'noon'",
        "other_windows = '{'",
        "other_windows = '[]'",
        "other_windows = '{\"30d\": 5}'",
        "other_windows = '{\"30d\": [1]}'",
        f"other_windows = '{'[' * 100_000}'",
        "reached_until = 'soon'",
        "refused_at = 'now'",
        "server_time = 'now'",
        "last_seen_at = x'00'",
        "windows_seen_at = 'then'",
        "has_credits = 'yes'",
        "budget_limit = 5.5, budget_used = x'00'",
    ],
)
def test_a_newest_row_that_cannot_be_read_counts_as_not_there(path: Path, change: str) -> None:
    """The next reading begins a new row, other accounts are recorded as before, and the loss is counted."""
    record(path, used(13), used(20, who=BOB))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE snapshots SET {change} WHERE account = 1")  # noqa: S608 (cases)
    record(path, used(14, at=NOON + 60), used(21, at=NOON + 60, who=BOB))

    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT s.used_5h_percent FROM limits l JOIN snapshots s ON s.id = l.snapshot_id")
        assert sorted(row[0] for row in kept) == [14.0, 21.0]
        reasons = connection.execute("SELECT DISTINCT reason FROM losses").fetchall()
    assert reasons == [("were stored and can no longer be read",)]


def test_a_name_that_is_no_text_hides_no_other(path: Path) -> None:
    """The names of limits are read together."""
    spark = limit(windows(5), limit_id="codex_bengalfox", limit_name="Spark")
    record(path, snapshot(spark))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO limit_names VALUES (CAST(x'ff' AS TEXT), x'ff'), ('Seven', 7)")
    record(path, snapshot(limit(windows(6), limit_id="spark", limit_name="Spark", by_name=True), at=NOON + 60))

    assert current(path, "codex_bengalfox")["used_5h_percent"] == 6.0


def _numbered(first: int, last: int) -> list[Snapshot]:
    return [snapshot(limit(windows(5), limit_id=f"l{number}")) for number in range(first, last)]


def test_the_limits_of_an_account_are_bounded(path: Path) -> None:
    """Known limits, the main limit and a budget are stored whatever others came before; what is refused is counted."""
    budget = limit({}, limit_id=BUDGET_LIMIT, budget=Budget(limit="10"))
    again = snapshot(limit(windows(9), limit_id="l1", limit_name="One"), at=NOON + 60)
    record(path, *_numbered(0, MAX_LIMITS + 5), snapshot(budget), used(13), again)
    record(path, *_numbered(MAX_LIMITS + 5, MAX_LIMITS + 7))

    with closing(sqlite3.connect(path)) as connection:
        counts = dict(connection.execute("SELECT account, count(*) FROM limits GROUP BY account").fetchall())
        assert counts == {1: MAX_LIMITS + 2}
        assert connection.execute("SELECT sum(count) FROM losses").fetchone() == (7,)
    assert current(path, "l1")["used_5h_percent"] == 9.0
    assert current(path)["used_5h_percent"] == 13.0
