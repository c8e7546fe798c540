from __future__ import annotations

import contextlib
import datetime as dt
import math
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.export import USAGE_COLUMNS
from store.analysis.attribution import DEFAULT_WEIGHTS
from store.constants import GROUP_BY
from store.database import open_reader, open_writer
from store.edits import rename_thread
from store.queries.accounts import load_accounts
from store.queries.usage import NotSeenError, load_token_rates, load_usage
from tests.support.databases import record
from tests.support.factories import NOON, WEEK_MINUTES, AccountHistory, insert_history, used
from tests.support.factories import turn as recorded_turn
from tests.support.prices import PriceTable
from tests.support.usage_factories import (
    DAY,
    DOCS,
    REFACTOR,
    WEEK,
    any_samples,
    any_turns,
    busy,
    sample,
    simulate_use,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from store.analysis.attribution import (
        TurnUse,
        WindowSample,
    )
    from store.constants import GroupBy
    from store.documents import UsageDocument, UsageFigures


def asked(path: Path, now: float, **options: Any) -> UsageDocument:
    """The document of a database."""
    with contextlib.closing(open_reader(path)) as connection:
        return load_usage(connection, now, accounts=load_accounts(connection), **options)


@given(st.lists(st.tuples(any_samples(), any_turns()), min_size=1, max_size=3), st.floats(0, 19 * DAY))
def test_the_rows_add_up_for_every_by(
    tmp_path_factory: pytest.TempPathFactory, histories: list[tuple[list[WindowSample], list[TurnUse]]], since: float
) -> None:
    """Points to 1e-9, turns and tokens exactly, for every grouping."""
    path = tmp_path_factory.mktemp("sums") / "codex-tap.sqlite3"
    insert_history(
        path,
        *(AccountHistory(samples, turns, f"{number}@example.com") for number, (samples, turns) in enumerate(histories)),
    )
    totals = []
    for by in GROUP_BY:
        document = asked(path, 20 * DAY, by=by, since=since, prices=PriceTable())
        rows, total = document["rows"], document["total"]
        _check_sums(rows, total)
        for row in rows if document["by_model"] else ():
            if row["by_model"]:
                _check_sums(row["by_model"], row)
        assert sum(each["turns"] for each in document["not_priced"]) == total["not_priced_turns"]
        totals.append({**total, "api_value_usd": pytest.approx(total["api_value_usd"])})
    assert all(total == totals[0] for total in totals)


def _check_sums(parts: Iterable[UsageFigures], whole: UsageFigures) -> None:
    parts = list(parts)
    assert math.fsum(each["points"] for each in parts) == pytest.approx(whole["points"], abs=1e-9)
    for name in ("turns", "refused", "warm_ups", "input_tokens", "output_tokens", "not_priced_turns"):
        assert sum(each[name] for each in parts) == whole[name]
    assert math.fsum(each["api_value_usd"] or 0 for each in parts) == pytest.approx(whole["api_value_usd"] or 0)


def test_the_document_is_the_contract(path: Path) -> None:
    """It has every documented field, with points and tokens by thread."""
    document = asked(insert_history(path, busy()), NOON, since=NOON - 7 * DAY)
    assert set(document) == {
        *("generated_at", "since", "until", "by", "limit_id", "window", "window_minutes", "length", "windows"),
        *("accounts", "rows", "total", "readings", "rises", "weights", "by_model", "unit", "not_priced"),
        *("own_prices", "price_source", "imported_readings", "others", "other_rows"),
    }
    assert (document["window"], document["window_minutes"], document["limit_id"]) == ("7d", WEEK_MINUTES, "codex")
    assert (document["readings"], document["rises"]) == (5, 4)
    rows = {row["key"] or ("elsewhere" if row["elsewhere"] else "unknown thread"): row for row in document["rows"]}
    assert list(rows) == [REFACTOR, DOCS, "unknown thread", "elsewhere"]
    assert {key: round(row["points"], 3) for key, row in rows.items()} == {
        REFACTOR: 12,
        DOCS: 3,
        "unknown thread": 0,
        "elsewhere": 5,
    }
    docs = rows[DOCS]
    assert (docs["turns"], docs["refused"], docs["warm_ups"], docs["models"]) == (1, 1, 1, ["m", "n"])
    assert (docs["input_tokens"], docs["reasoning_tokens"], docs["threads"]) == (1_500, 30, 1)
    assert set(rows[REFACTOR]) == {*USAGE_COLUMNS, "tree"}
    assert (document["length"], document["windows"]) == (
        "7d",
        [{"account": "acct-alice/user-alice", "window": "7d", "window_minutes": WEEK_MINUTES, "length": "7d"}],
    )
    assert document["total"]["turns"] == 3
    assert document["weights"][0] == {
        "account": "acct-alice/user-alice",
        "model": "m",
        "fitted": False,
        "rises": 0,
        "uncached_input": 1.0,
        "cached_input": 0.1,
        "output": 6.0,
        "fitted_at": None,
    }


@pytest.mark.parametrize(
    ("after", "turns", "expected"),
    [
        pytest.param(0, [], {"pending": 5}, id="just read"),
        pytest.param(3_599, [], {"pending": 5}, id="a turn may be under way"),
        pytest.param(3_600, [], {"elsewhere": 5}, id="no turn lasts so long"),
        pytest.param(60, [turn(10, 150)], {"t": 5}, id="a turn ended since"),
        pytest.param(7_000, [turn(10, 6_900)], {"t": 5}, id="explained late: withdrawn"),
        pytest.param(60, [turn(101, 150)], {"pending": 5, "t": 0}, id="a turn that began later"),
    ],
)
def test_an_increase_waits_for_the_turns_under_way(
    path: Path, after: float, turns: list[TurnUse], expected: dict[str, float]
) -> None:
    """It is not used elsewhere before no turn can explain it any more, and the rows add up all the time."""
    insert_history(path, AccountHistory([sample(40, 0), sample(45, 100)], turns))
    document = asked(path, 100 + after, since=-1)
    rows = {row["key"] or next(kind for kind in ("pending", "elsewhere") if row[kind]): row for row in document["rows"]}
    assert {key: row["points"] for key, row in rows.items()} == expected
    assert document["total"]["points"] == 5


FREE_MINUTES = 43_200


def of_free(samples: list[WindowSample]) -> list[WindowSample]:
    """The samples of a Free plan's month, which is in the slot 7d."""
    return [each._replace(window_minutes=FREE_MINUTES) for each in samples]


@pytest.mark.parametrize(
    ("asked_for", "points", "length", "lengths"),
    [
        pytest.param(None, 20 + 5, None, ["7d", "30d"], id="the slot that all have"),
        pytest.param("7d", 20 + 5, None, ["7d", "30d"], id="a length of one, a slot of all"),
        pytest.param("30d", 5, "30d", ["30d"], id="a length of the other"),
        pytest.param("30 d", 5, "30d", ["30d"], id="as it is shown"),
    ],
)
def test_accounts_with_different_windows(
    path: Path, asked_for: str | None, points: float, length: str | None, lengths: list[str]
) -> None:
    """No length stands for accounts with different ones, and a length finds the accounts that have it."""
    free = AccountHistory(of_free([sample(1, NOON - DAY), sample(6, NOON - DAY + 60)]), [], "free@example.com")
    insert_history(path, busy(), free)
    document = asked(path, NOON, since=NOON - 2 * DAY, window=asked_for)
    assert document["total"]["points"] == pytest.approx(points, abs=0.01)
    assert (document["length"], document["window"]) == (length, "7d")
    assert document["window_minutes"] == (FREE_MINUTES if length else None)
    assert [each["length"] for each in document["windows"]] == lengths


def test_a_window_that_nobody_has(path: Path) -> None:
    """The error has the lengths as they are shown."""
    insert_history(path, busy(), AccountHistory(of_free([sample(1, NOON)]), [], "free@example.com"))
    with pytest.raises(NotSeenError, match=r"^no window '5h' has been seen; there are: 7 d, 30 d$"):
        asked(path, NOON, since=NOON - DAY, window="5 h")


def test_token_rates_are_those_of_the_longest_window(path: Path) -> None:
    """They need enough turns, and an account to compare with."""
    used = simulate_use(1, {"m": DEFAULT_WEIGHTS}, elsewhere=0, at_end=True)
    insert_history(path, AccountHistory(used.samples, used.turns), AccountHistory([sample(1, 0)], [], "b@example.com"))
    with contextlib.closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        ((key, rate),) = load_token_rates(connection, 10**9, accounts).items()
        assert load_token_rates(connection, 10**9, accounts[:1]) == {}
    assert (key, rate.window_minutes) == (accounts[0].key, WEEK_MINUTES)
    assert rate.points_per_token == pytest.approx(1 / 400_000, rel=0.1)


def test_other_limits_turns_do_not_count(path: Path) -> None:
    """A turn of another limit did not use this one."""
    main = busy()
    other = AccountHistory([sample(1, NOON)], main.turns, limit_id="codex_bengalfox")
    insert_history(path, main._replace(turns=()), other)
    (row,) = asked(path, NOON, since=NOON - DAY - 1)["rows"]
    assert (row["elsewhere"], round(row["points"], 3)) == (True, 20)
    assert asked(path, NOON, since=NOON - DAY - 1, limit_id="codex_bengalfox")["total"]["turns"] == 3


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("model", {"m", "n"}),
        ("day", {"2026-11-20"}),
        ("hour", {"2026-11-20 12:00", "2026-11-20 13:00", "2026-11-20 15:00", "2026-11-20 14:00"}),
        ("account", {"acct-alice/user-alice"}),
    ],
)
def test_rows_by_something_else(path: Path, by: GroupBy, keys: set[str]) -> None:
    """Days and hours are local; use elsewhere is a row of its own."""
    document = asked(insert_history(path, busy()), NOON, since=NOON - 7 * DAY, by=by, zone=dt.UTC)
    assert {row["key"] for row in document["rows"] if not row["elsewhere"]} == keys
    assert [row["elsewhere"] for row in document["rows"]][-1]
    offset = dt.timezone(dt.timedelta(hours=-13))
    if by == "day":
        shifted = asked(path, NOON, since=NOON - 7 * DAY, by=by, zone=offset)
        assert shifted["rows"][0]["key"] == "2026-11-19"


def test_late_readings_and_errors_without_windows_do_not_split_a_gap(path: Path) -> None:
    """An overtaken reading is left out, and an error without windows does not begin an interval."""
    start = NOON - DAY
    insert_history(path, AccountHistory([sample(10, start)], [turn(start + 10, start + 20)]))
    add_rows(
        path,
        [
            {"first_seen_at": start + 30, "windows_seen_at": start, "used_7d_percent": 10, "source": "error"},
            {"first_seen_at": start + 35, "windows_seen_at": start + 35, "used_7d_percent": 4, "late": 1},
            {"first_seen_at": start + 40, "windows_seen_at": start + 40, "used_7d_percent": 12},
        ],
    )
    document = asked(path, NOON, since=start - 1)
    assert [(row["key"], row["points"]) for row in document["rows"]] == [("t", 2)]


def add_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add snapshots of the first account's main limit; the last one is how it stands now."""
    from sqlite_utils import Database

    with contextlib.closing(open_writer(path)) as connection:
        table = Database(connection).table("snapshots")
        usual = {"account": 1, "token_key": "k~0", "limit_id": "codex", "source": "headers", "raw": "{}"}
        times = ({"last_seen_at": row["first_seen_at"], "window_7d_minutes": WEEK_MINUTES} for row in rows)
        table.insert_all(
            [{"resets_7d_at": WEEK, "late": 0, **usual, **time, **row} for time, row in zip(times, rows, strict=True)]
        )
        connection.execute("UPDATE limits SET snapshot_id = (SELECT max(id) FROM snapshots)")


def test_a_window_that_is_no_longer_reported(path: Path) -> None:
    """The plan has no 7d window any more; its earlier usage can still be queried."""
    insert_history(path, busy())
    unreported = {"window_7d_minutes": None, "resets_7d_at": None, "windows_seen_at": NOON - 60}
    add_rows(path, [{"first_seen_at": NOON - 60, "other_windows": '{"30d": [5, 43200, null]}', **unreported}])
    assert asked(path, NOON, since=NOON - 2 * DAY)["window"] == "30d"
    assert asked(path, NOON, since=NOON - 2 * DAY, window="7d")["total"]["points"] == pytest.approx(20.0001)


def test_turns_without_a_thread_are_shown_under_their_session(path: Path) -> None:
    """A client that names no threads is not lost among those that report nothing; a name of the session is shown."""
    record(
        path,
        used(1),
        *(recorded_turn(None, session="ses-1", at=NOON + at) for at in (10, 20)),
        recorded_turn("t-1", session="ses-1", at=NOON + 30),
        recorded_turn(None, at=NOON + 40),
        used(1, seven=44, at=NOON + 60),
    )
    with contextlib.closing(open_writer(path)) as connection:
        rename_thread(connection, "ses-1", "other client")
    rows = asked(path, NOON + 90, by="thread", since=NOON - DAY)["rows"]
    assert {(row["key"], row["name"], row["turns"]) for row in rows} == {
        ("ses-1", "other client", 2),
        ("t-1", None, 1),
        (None, None, 1),
    }


def family() -> AccountHistory:
    """Points: 6 of a session itself, 3 of its review, 1 of a sub-agent below; 2 of a title, 1 of another thread."""
    at = NOON - DAY
    readings = [
        sample(used, at + 100 * step, resets_at=int(NOON) + DAY) for step, used in enumerate([0, 6, 9, 10, 12, 13])
    ]

    def one(step: int, thread: str, **fields: Any) -> TurnUse:
        return turn(at + 100 * step + 10, at + 100 * step + 90, thread=thread, session="root", **fields)

    turns = [
        one(0, "root", reasoning_effort="high", client="codex_cli", tier="priority"),
        one(1, "review", parent_thread="root", subagent="review", reasoning_effort="low", client="codex_cli"),
        one(2, "deep", parent_thread="between", subagent="collab_spawn"),
        one(3, "title", subagent="thread_title"),
        one(4, "other"),
    ]
    return AccountHistory(readings, turns)


def shown(document: UsageDocument) -> list[tuple[str | None, float]]:
    return [(row["key"], round(row["points"], 6)) for row in document["rows"]]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("thread", [("root", 10), ("thread_title", 2), ("other", 1)]),
        ("subagent", [(None, 7), ("review", 3), ("thread_title", 2), ("collab_spawn", 1)]),
        ("effort", [("high", 6), (None, 4), ("low", 3)]),
        ("tier", [(None, 7), ("priority", 6)]),
        ("client", [("codex_cli", 9), (None, 4)]),
        ("machine", [(None, 13)]),
    ],
)
def test_rows_by_what_a_turn_says_of_itself(path: Path, by: GroupBy, rows: list[tuple[str | None, float]]) -> None:
    """Sub-agents count for the session that started them; a thread between them was not seen itself."""
    document = asked(insert_history(path, family()), NOON, since=NOON - 7 * DAY, by=by)
    assert shown(document) == rows
    assert all(row["tree"] == [] for row in document["rows"])


def test_rows_by_project(path: Path) -> None:
    """A sub-agent whose own project is unknown counts for that of its session; the others have a row of their own."""
    wanted: list[str] = []

    def projects_of(ids: Collection[str]) -> dict[str, str]:
        wanted.extend(ids)
        return {"root": "/work/shop", "review": "/work/blog"}

    insert_history(path, family())
    document = asked(path, NOON, since=NOON - 7 * DAY, by="project", projects_of=projects_of)

    assert shown(document) == [("/work/shop", 7), (None, 3), ("/work/blog", 3)]
    assert {"root", "review", "deep", "title", "other"} <= set(wanted)
    assert shown(asked(path, NOON, since=NOON - 7 * DAY, by="project")) == [(None, 13)]


def test_the_tree_of_a_thread(path: Path) -> None:
    """Each entry includes those below it; its turns, tokens and points are those of the row."""
    insert_history(path, family())
    with contextlib.closing(open_writer(path)) as connection:
        rename_thread(connection, "review", "check")
    rows = {row["key"]: row for row in asked(path, NOON, since=NOON - 7 * DAY, tree=True)["rows"]}

    tree = [(each["key"], each["parent"], each["depth"], round(each["points"], 6)) for each in rows["root"]["tree"]]
    assert tree == [("review", "root", 1, 3), ("between", "root", 1, 1), ("deep", "between", 2, 1)]
    assert [(each["name"], each["kind"]) for each in rows["root"]["tree"]] == [
        ("check", "review"),
        (None, None),
        (None, "collab_spawn"),
    ]
    assert [each["turns"] for each in rows["root"]["tree"]] == [1, 1, 1]
    assert [each["key"] for each in rows["thread_title"]["tree"]] == ["title"]
    assert rows["other"]["tree"] == []
    assert rows["root"]["threads"] == 3


def test_threads_without_their_sub_agents(path: Path) -> None:
    document = asked(insert_history(path, family()), NOON, since=NOON - 7 * DAY, rolls_up=False)
    assert shown(document) == [("root", 6), ("review", 3), ("title", 2), ("deep", 1), ("other", 1)]


def test_a_circle_of_threads_is_one_row(path: Path) -> None:
    turns = [
        turn(NOON - 90, NOON - 80, thread=thread, parent_thread=parent, subagent="review")
        for thread, parent in (("b", "c"), ("c", "a"), ("a", "b"))
    ]
    document = asked(insert_history(path, AccountHistory([sample(1, NOON)], turns)), NOON, since=NOON - DAY, tree=True)
    (row,) = document["rows"]
    assert (row["key"], row["turns"], [each["key"] for each in row["tree"]]) == ("a", 3, ["c", "b"])


def test_rows_have_a_value(path: Path) -> None:
    """A thread with a model of unknown price has none; use elsewhere has none, for no turn of it was seen."""
    document = asked(insert_history(path, busy()), NOON, since=NOON - 7 * DAY, prices=PriceTable(own=["m"]))
    found: list[Any] = [(row["key"], row["api_value_usd"], row["not_priced_turns"]) for row in document["rows"]]
    assert found == [
        (REFACTOR, pytest.approx((3_000 * 2 + 9_000 * 0.2 + 100 * 10) / 1e6), 0),
        (DOCS, None, 1),
        (None, pytest.approx(0.001), 0),
        (None, None, 0),
    ]
    assert document["total"]["api_value_usd"] == pytest.approx(0.0098)
    assert document["total"]["not_priced_turns"] == 1
    assert document["not_priced"] == [{"reason": "model", "model": "n", "tier": None, "turns": 1}]
    assert document["own_prices"] == ["m"]


def test_without_prices_nothing_has_a_value(path: Path) -> None:
    """Nothing is counted as not priced, either."""
    document = asked(insert_history(path, busy()), NOON, since=NOON - 7 * DAY)
    total = document["total"]
    assert (total["api_value_usd"], total["not_priced_turns"], document["not_priced"]) == (None, 0, [])


def test_the_model_that_responded_has_the_price(path: Path) -> None:
    """Its name is stored where it differs from the requested one."""
    found = turn(1, 2, 1_000, model="n", response_model="m", input_tokens=0)
    insert_history(path, AccountHistory([sample(1, 0)], [found]))
    document = asked(path, 10, since=0, prices=PriceTable(), by="model")
    assert {row["key"]: row["api_value_usd"] for row in document["rows"]} == pytest.approx({"n": 0.01})


def test_days_weeks_and_months_list_their_models(path: Path) -> None:
    """The most used model first; periods are those of the time zone, and know when they begin and end."""
    berlin = ZoneInfo("Europe/Berlin")
    midnight = dt.datetime(2026, 10, 26, tzinfo=berlin).timestamp()  # a Monday, after the night of 25 hours
    samples = [sample(used, midnight + at, resets_at=int(midnight) + WEEK) for at, used in ((-90_000, 10), (1_000, 20))]
    turns = [
        turn(midnight - 3_700, midnight - 3_600, 9_000, model="m"),
        turn(midnight - 200, midnight - 100, 100, model="n"),
        turn(midnight + 100, midnight + 200, 300, model="n"),
        turn(midnight + 300, midnight + 400, None, model="n"),
    ]
    insert_history(path, AccountHistory(samples, turns))

    def shown(by: GroupBy) -> list[Any]:
        document = asked(path, midnight + DAY, since=midnight - 2 * DAY, by=by, zone=berlin, prices=PriceTable())
        assert [(each["model"], each["turns"]) for each in document["by_model"]] == [("m", 1), ("n", 3)]
        return [
            (row["key"], row["start"], row["end"], [(each["model"], each["turns"]) for each in row["by_model"]])
            for row in document["rows"]
        ]

    sunday, monday = [("m", 1), ("n", 1)], [("n", 2)]
    assert shown("day") == [
        ("2026-10-25", midnight - 25 * 3_600, midnight, sunday),
        ("2026-10-26", midnight, midnight + DAY, monday),
    ]
    assert shown("week") == [
        ("2026-W43", midnight - 7 * DAY - 3_600, midnight, sunday),
        ("2026-W44", midnight, midnight + 7 * DAY, monday),
    ]
    (october,) = shown("month")
    assert (october[0], october[3]) == ("2026-10", [("m", 1), ("n", 3)])


@pytest.mark.parametrize("by", ["thread", "model", "hour", "account"])
def test_other_rows_have_no_models_and_no_bounds(path: Path, by: GroupBy) -> None:
    """They are not periods of the calendar."""
    document = asked(insert_history(path, busy()), NOON, since=NOON - 7 * DAY, by=by, prices=PriceTable())
    assert document["by_model"] == []
    assert {(row["start"], row["end"], len(row["by_model"])) for row in document["rows"]} == {(None, None, 0)}
