from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data, integers, sampled_from

from store import edits, errors, files, schema
from store.database import open_reader, open_writer
from store.edits import forget_account
from store.errors import DatabaseError, MissingError
from store.files import backup_files, spill_files
from store.models import Credits, Snapshot, Source, Tokens, Transport, Window
from store.record import recorder as recorder_module
from store.record import spill, writer
from store.record import statements as rows_module
from store.record.merge import merge
from store.record.recorder import Recorder
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.record.writer import Entry

SECRET = "a message's own words"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder[Entry]]:
    recorder = Recorder(path)
    recorder.start()
    yield recorder
    recorder.close()


def rows(path: Path, query: str = "SELECT * FROM snapshots ORDER BY id") -> list[dict[str, Any]]:
    connection = open_reader(path)
    found = [dict(row) for row in connection.execute(query)]
    connection.close()
    return found


def figures(path: Path) -> list[tuple[float, int]]:
    """The 5h figure of each row, and how often it was observed."""
    return [(row["used_5h_percent"], row["observations"]) for row in rows(path)]


def figures_if_any(path: Path) -> list[tuple[float, int]]:
    """The figures, or none while the file is not there or still empty."""
    try:
        return figures(path)
    except MissingError:
        return []


def current(path: Path, limit_id: str = "codex") -> dict[str, Any]:
    """The row that a limit's pointer leads to."""
    (row,) = rows(
        path,
        "SELECT s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"  # noqa: S608 (a constant of the test)
        f" WHERE l.limit_id = '{limit_id}'",
    )
    return row


def test_a_row_holds_what_the_message_said(path: Path) -> None:
    """Each figure stands under the name that says what it is, beside the message it came from."""
    told = limit(
        {**windows(13, 41), "30d": Window(used_percent=2.5, window_minutes=43_200, resets_at=NOON + 99)},
        limit_name="GPT-5.3-Codex-Spark",
        allowed=True,
        limit_reached=False,
    )
    message = snapshot(
        told,
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
    }


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


def test_a_stretch_goes_on_in_another_run(path: Path) -> None:
    """What is compared with is in the database, not in a proxy's memory."""
    record(path, used(13, plan_type="plus", credits=Credits(has_credits=False, unlimited=False, balance="0")))
    record(path, used(13))

    assert figures(path) == [(13.0, 2)]


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


def test_a_forgotten_account_is_gone_to_the_last_byte(path: Path) -> None:
    """Its rows are deleted, and nothing of it stays in free pages; the others' history does."""
    record(path, used(13), used(50, who=BOB), used(14))
    connection = open_writer(path)

    forget_account(connection, 1)
    connection.close()

    assert figures(path) == [(50.0, 1)]
    assert rows(path, "SELECT count(*) AS left FROM tokens") == [{"left": 1}]
    assert b"alice" not in path.read_bytes()
    assert b"bob@example.com" in path.read_bytes()


def test_a_proxy_goes_on_after_an_account_was_forgotten(path: Path, recorder: Recorder[Entry]) -> None:
    """A running proxy does not write under an account that is gone: one seen again is a new one."""
    recorder.put(used(13))
    wait_for(lambda: figures_if_any(path) == [(13.0, 1)])
    connection = open_writer(path)
    forget_account(connection, 1)
    connection.close()
    recorder.put(used(13))

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]
    assert [row["email"] for row in rows(path, "SELECT email FROM accounts")] == [ALICE.email]


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


def test_the_latest_view_reads_like_a_sentence(path: Path) -> None:
    """People open the file with any SQLite tool; times are readable there."""
    record(path, used(13, plan_type="plus"))

    (row,) = rows(path, "SELECT * FROM latest")
    assert (row["account"], row["limit_name"], row["used_5h_percent"]) == ("alice@example.com", "codex", 13.0)
    (expected,) = rows(path, f"SELECT datetime({NOON + 9_000}, 'unixepoch', 'localtime') AS at")
    assert row["resets_5h"] == expected["at"]


def test_put_never_waits_for_the_disk(path: Path, recorder: Recorder[Entry]) -> None:
    """A hook hands its snapshot over and goes on, whoever holds the database."""
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for index in range(200):
            recorder.put(used(index % 100))
        assert figures(path) == []
        other.execute("ROLLBACK")
    other.close()

    assert recorder.close()
    assert sum(count for _, count in figures(path)) == 200


def test_a_burst_loses_nothing(path: Path) -> None:
    """More than one transaction holds is written in several."""
    count = 3 * recorder_module.BATCH + 7

    record(path, *(used(index % 100) for index in range(count)))

    assert sum(seen for _, seen in figures(path)) == count


def test_what_is_held_for_a_locked_database_is_written_when_it_is_free(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """A lock costs time, never a reading; the log says so once when it begins and once when it ends."""
    caplog.set_level(logging.INFO, "store.record.recorder")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        recorder.put(used(13))
        wait_for(lambda: "in memory" in caplog.text)
        recorder.put(used(14))
        assert figures(path) == []
        other.execute("ROLLBACK")
    other.close()
    wait_for(lambda: figures(path) == [(13.0, 1), (14.0, 1)])

    assert caplog.text.count("in memory") == 1
    assert caplog.text.count("can be written again") == 1
    assert recorder.dropped == 0


def test_a_stop_waits_for_a_locked_database(path: Path, recorder: Recorder[Entry]) -> None:
    """What was taken in reaches the disk through a stop as well."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    recorder.put(used(13))
    freed = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
    freed.start()

    assert recorder.close()

    freed.join()
    other.close()
    assert figures(path) == [(13.0, 1)]


def test_a_stop_does_not_wait_for_ever(path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture) -> None:
    """What could not be written by then is left beside the database, and the next start writes it."""
    with locked(path):
        recorder.put(used(13))
        recorder.put(used(14))

        assert recorder.close(timeout=0.3)
        assert figures(path) == []

    assert "wait beside" in caplog.text
    record(path, used(15))
    assert figures(path) == [(13.0, 1), (14.0, 1), (15.0, 1)]
    assert spill_files(path) == []


def test_what_a_stop_left_is_written_without_new_traffic(path: Path, recorder: Recorder[Entry]) -> None:
    """The next start does not wait for a reading of its own."""
    with locked(path):
        recorder.put(used(13))
        assert recorder.close(timeout=0.1)
    later = Recorder(path)
    later.start()

    wait_for(lambda: figures(path) == [(13.0, 1)])

    assert later.close()


def test_what_a_stop_left_is_written_once(path: Path, recorder: Recorder[Entry]) -> None:
    """However many proxies start together: each reading is there once."""
    with locked(path):
        for index in range(50):
            recorder.put(used(index))
        assert recorder.close(timeout=0.1)
    together = [Recorder(path) for _ in range(6)]
    for each in together:
        each.start()
    wait_for(lambda: len(figures(path)) == 50)

    assert all(each.close() for each in together)
    assert figures(path) == [(float(index), 1) for index in range(50)]


def test_what_was_written_is_not_taken_up_again(path: Path, recorder: Recorder[Entry]) -> None:
    """A proxy that was killed between its commit and the removal of the file leaves no reading twice."""
    with locked(path):
        recorder.put(used(13))
        assert recorder.close(timeout=0.1)
    (left,) = spill_files(path)
    content = left.read_bytes()
    record(path)
    left.write_bytes(content)

    record(path, used(14))

    assert figures(path) == [(13.0, 1), (14.0, 1)]
    assert spill_files(path) == []


def test_what_another_left_while_both_waited_is_taken_up(path: Path, recorder: Recorder[Entry]) -> None:
    """Of two proxies that wait for the same lock, the one that goes on writes what the one that stopped left."""
    other = Recorder(path)
    other.start()
    with locked(path):
        recorder.put(used(13))
        other.put(used(14, who=BOB))
        assert other.close(timeout=0.3)
    wait_for(lambda: len(figures(path)) == 2)

    assert recorder.close()
    assert spill_files(path) == []


def test_what_a_stop_left_is_older_than_what_came_since(path: Path, recorder: Recorder[Entry]) -> None:
    """A reading that waited in a file does not stand for the present when a newer one is there."""
    with locked(path):
        recorder.put(used(13, at=NOON))
        recorder.put(used(15, at=NOON + 120))
        assert recorder.close(timeout=0.1)
    held_back = [left.rename(left.with_name("away")) for left in spill_files(path)]
    record(path, used(14, at=NOON + 60))
    for left in held_back:
        left.rename(path.with_name(f"{path.name}.unwritten-1.jsonl"))

    record(path)

    assert [(row["used_5h_percent"], row["late"]) for row in rows(path)] == [(14.0, 0), (13.0, 1), (15.0, 0)]
    assert current(path)["used_5h_percent"] == 15.0


def test_losses_are_noted_when_the_database_can_be_written_again(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, the doctor, is to know of them; one that stops first leaves them beside the database."""
    monkeypatch.setattr(recorder_module, "MAX_HELD", 10)
    with locked(path):
        recorder.put(used(1))
        wait_for(lambda: "in memory" in caplog.text)
        for index in range(2, 50):
            recorder.put(used(index))
        wait_for(lambda: recorder.dropped > 0)
        assert recorder.close(timeout=0.1)

    record(path)

    (loss,) = rows(path, "SELECT * FROM losses")
    assert (loss["count"], loss["reason"]) == (recorder.dropped, "could not be written for too long")
    assert recorder.dropped + len(figures(path)) == 49
    assert figures(path)[-1] == (49.0, 1)


@pytest.mark.parametrize("room", [0, 1], ids=["for none", "for the newest"])
def test_a_stop_where_nothing_can_be_written(
    path: Path, recorder: Recorder[Entry], room: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room beside the database either, the newest of each limit is tried; the rest is counted and named."""
    whole = spill.write

    def write_few(database: Path, snapshots: list[Any], losses: list[Any]) -> Path:
        if len(snapshots) > room:
            raise OSError("No space left on device")
        return whole(database, snapshots, losses)

    monkeypatch.setattr(spill, "write", write_few)
    with locked(path):
        for index in range(20):
            recorder.put(used(index))
        assert recorder.close(timeout=0.1) is bool(room)

    assert recorder.dropped == 20 - room
    assert caplog.text.count("were dropped") == 2 - room
    record(path)
    assert figures(path) == [(19.0, 1)] * room


def test_a_damaged_database_is_set_aside_at_start(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps its bytes under another name, and a new one is begun."""
    record(path, *(used(index) for index in range(50)))
    damage(path)
    before = path.read_bytes()

    record(path, used(13))

    assert figures(path) == [(13.0, 1)]
    (aside,) = backup_files(path)
    assert aside.name.startswith(f"{path.name}.corrupt-")
    assert aside.read_bytes() == before
    assert "is damaged" in caplog.text
    assert aside.name in caplog.text


def test_a_database_that_is_damaged_while_in_use_is_set_aside(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """What was held is in the new one; nothing is deleted."""
    for index in range(50):
        recorder.put(used(index))
    wait_for(lambda: len(figures_if_any(path)) == 50)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    damage(path)
    for index in range(60, 70):
        recorder.put(used(index))

    assert recorder.close()
    assert figures(path) == [(float(index), 1) for index in range(60, 70)]
    assert len(backup_files(path)) == 1
    assert caplog.text.count("was set aside") == 1


def test_only_so_many_databases_are_set_aside(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that breaks every file is not filled with them."""

    def broken(*_: object) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(rows_module, "update_last_seen", broken)
        recorder.put(used(13))
        wait_for(lambda: "in memory" in caplog.text)

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]
    assert len(backup_files(path)) == recorder_module.MAX_QUARANTINED


def test_a_newer_program_takes_the_file_over_while_in_use(path: Path, recorder: Recorder[Entry]) -> None:
    """What this one cannot write any more waits for one that can."""
    recorder.put(used(13))
    wait_for(lambda: figures_if_any(path) == [(13.0, 1)])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    recorder.put(used(14))

    assert recorder.close(timeout=0.3)
    assert connection.execute("SELECT count(*) FROM snapshots").fetchone()[0] == 1
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    connection.close()
    record(path)
    assert figures(path) == [(13.0, 1), (14.0, 1)]


def test_a_full_disk_is_no_reason_not_to_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There may be room again before anything is seen."""
    caplog.set_level(logging.INFO, "store.record.recorder")
    whole, full = files.create_private, [True]

    def create(wanted: Path) -> None:
        if full:
            raise errors.FullError(f"{wanted} cannot be created: No space left on device")
        whole(wanted)

    monkeypatch.setattr("store.files.create_private", create)
    recorder = Recorder(path)
    recorder.start()
    recorder.put(used(13))
    wait_for(lambda: "in memory" in caplog.text)
    full.clear()

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]


def test_a_log_that_cannot_be_printed_ends_nothing(path: Path) -> None:
    """The log of mitmproxy ends the thread in which it finds its terminal gone."""

    def parse_or_exit(figure: int) -> Entry:
        return used(figure) if figure >= 0 else sys.exit()

    class Gone(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(record.levelno)

    gone = Gone()
    recorder_module.logger.addHandler(gone)
    try:
        recorder = Recorder(path, parse_or_exit)
        recorder.start()
        with locked(path):
            recorder.put(13)
            recorder.put(-1)
            time.sleep(0.4)
        assert recorder.close()
    finally:
        recorder_module.logger.removeHandler(gone)
    assert figures(path) == [(13.0, 1)]


def test_held_readings_are_bounded(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too much is held, the newest reading of each limit stays and the rest is counted."""
    monkeypatch.setattr(recorder_module, "MAX_HELD", 10)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        recorder.put(used(1))
        wait_for(lambda: "in memory" in caplog.text)
        for index in range(2, 50):
            recorder.put(used(index))
            recorder.put(used(index, who=BOB))
        wait_for(lambda: recorder.dropped > 0)
        other.execute("ROLLBACK")
    other.close()

    assert recorder.close()
    assert figures(path)[-2:] == [(49.0, 1), (49.0, 1)]
    assert recorder.dropped + sum(count for _, count in figures(path)) == 97
    assert caplog.text.count("were dropped") == 1


def test_a_file_that_was_deleted_is_begun_anew(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """A database moved away while in use is not written to any more."""
    recorder.put(used(13))
    wait_for(lambda: figures(path) == [(13.0, 1)])
    for found in path.parent.glob("tap.sqlite3*"):
        found.unlink()
    recorder.put(used(14))

    assert recorder.close()
    assert figures(path) == [(14.0, 1)]
    assert "was moved while open; creating a new database" in caplog.text


def test_a_file_that_was_replaced_is_gone_on_with(path: Path, recorder: Recorder[Entry]) -> None:
    """What another program has written into the new file is not harmed by letting go of the old one."""
    recorder.put(used(13))
    wait_for(lambda: figures(path) == [(13.0, 1)])
    path.rename(path.with_name("old.sqlite3"))
    other = Recorder(path)
    other.start()
    other.put(used(14, who=BOB))
    wait_for(lambda: figures_if_any(path) == [(14.0, 1)])
    recorder.put(used(15))

    assert recorder.close()
    other.put(used(16, who=BOB))
    assert other.close()
    assert figures(path) == [(14.0, 1), (15.0, 1), (16.0, 1)]
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_one_that_cannot_be_written_takes_no_other_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot with a fault of its own is dropped alone, counted, and not shown in the log."""
    whole = merge

    def faulty(told: Any, message: Any, *rest: Any) -> Any:
        if message.reading.plan_type == "poison":
            raise TypeError("poison")
        return whole(told, message, *rest)

    monkeypatch.setattr(writer, "merge", faulty)
    recorder = Recorder(path)
    recorder.start()
    for each in (used(1), used(2, plan_type="poison"), used(3)):
        recorder.put(each)

    assert recorder.close()
    assert figures(path) == [(1.0, 1), (3.0, 1)]
    assert recorder.dropped == 1
    assert "poison" not in caplog.text


def test_two_recorders_share_a_file(path: Path) -> None:
    """Several proxies see each other's rows: the same figures from both are one row."""
    first, second = Recorder(path), Recorder(path)
    for each in (first, second):
        each.start()
    for index in range(100):
        (first, second)[index % 2].put(used(50))
        if index % 10 == 0:
            time.sleep(0.01)

    assert first.close()
    assert second.close()
    assert figures(path) == [(50.0, 100)]


def test_what_comes_after_the_close_is_written_at_once(path: Path, recorder: Recorder[Entry]) -> None:
    """A proxy that stops still hands over the answers that are under way."""
    recorder.put(used(13))
    assert recorder.close()

    recorder.put(used(14))

    assert figures(path) == [(13.0, 1), (14.0, 1)]


def test_an_observation_that_cannot_be_parsed_is_dropped_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of failure is logged once, by its type and place and without a word of what was read."""

    def parse(figure: int) -> Entry | None:
        if figure == 0:
            return None
        if figure < 0:
            raise KeyError(SECRET)
        return used(100 / (figure - 50))

    recorder = Recorder(path, parse)
    recorder.start()
    for figure in (51, -1, 0, -2, 50, 50, 52):
        recorder.put(figure)
    assert recorder.close()

    assert figures(path) == [(100.0, 1), (50.0, 1)]
    assert recorder.dropped == 4
    assert [line.partition(".py")[0] for line in caplog.messages] == [
        "codex-tap: readings were dropped: 1 that could not be read (KeyError) at test_recorder",
        "codex-tap: readings were dropped: 1 that could not be read (ZeroDivisionError) at test_recorder",
    ]
    reasons = rows(path, "SELECT sum(count) AS count, reason FROM losses GROUP BY reason ORDER BY reason")
    assert reasons == [
        {"count": 2, "reason": "could not be read (KeyError)"},
        {"count": 2, "reason": "could not be read (ZeroDivisionError)"},
    ]
    assert SECRET not in caplog.text


def test_closing_twice_is_harmless(path: Path) -> None:
    """The proxy may call `done` more than once."""
    recorder = Recorder(path)
    recorder.start()

    assert recorder.close()
    assert recorder.close()


def test_closing_leaves_one_sound_file(path: Path) -> None:
    """The last one to leave folds the write-ahead log into the file."""
    record(path, used(13))

    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_database_that_cannot_be_used_is_told_at_start(path: Path) -> None:
    """A wrong path stops the proxy at its start, not at the first reading."""
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(DatabaseError, match="is not a SQLite database"):
        Recorder(path).start()


def test_a_locked_database_is_no_reason_not_to_start(path: Path) -> None:
    """A lock ends by itself."""
    path.touch(0o600)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    recorder = Recorder(path)
    recorder.start()
    recorder.put(used(13))
    other.execute("ROLLBACK")
    other.close()

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another writer holds the database."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen in time")


# Turns


def test_a_turn_is_a_row(path: Path) -> None:
    """All that is known of a turn is in its row; its account is known by it as by a reading."""
    full = turn(
        first_byte_at=NOON - 4.5,
        session="s-1",
        model="gpt-6.1-sol",
        limit_id="codex_bengalfox",
        warm_up=True,
        status=429,
        error_type="usage_limit_reached",
        tokens=Tokens(input=1_000, cached=800, output=50, reasoning=20),
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
        "email": ALICE.email,
    }


def test_threads(path: Path) -> None:
    """A thread is known from its first turn to its last; one that goes on with another account keeps its name."""
    record(path, turn(at=NOON), turn(at=NOON + 90), turn("t-2", at=NOON), turn(None))
    with contextlib.closing(open_writer(path)) as connection:
        edits.rename_thread(connection, "t-1", "refactor")
    record(path, turn(who=BOB, at=NOON + 300))

    assert [tuple(row.values()) for row in rows(path, "SELECT * FROM threads ORDER BY account, thread")] == [
        (1, "t-1", "refactor", NOON - 5, NOON + 90),
        (1, "t-2", None, NOON - 5, NOON),
        (2, "t-1", "refactor", NOON + 295, NOON + 300),
    ]


def test_turns_are_forgotten_with_their_account(path: Path) -> None:
    """Nothing of an account's turns and threads is left in the file."""
    record(path, used(13), turn("the-thread-of-alice"), turn("t-2", who=BOB))
    with contextlib.closing(open_writer(path)) as connection:
        forget_account(connection, 1)

    assert [row["thread"] for row in rows(path, "SELECT * FROM requests")] == ["t-2"]
    assert [row["thread"] for row in rows(path, "SELECT * FROM threads")] == ["t-2"]
    assert b"the-thread-of-alice" not in path.read_bytes()


def test_held_turns_are_bounded(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too much is held, the newest turns stay beside the newest readings, in their order."""
    monkeypatch.setattr(recorder_module, "MAX_HELD", 10)
    monkeypatch.setattr(recorder_module, "MAX_TURNS_HELD", 3)
    with locked(path):
        recorder.put(used(1))
        wait_for(lambda: "in memory" in caplog.text)
        for index in range(50):
            recorder.put(turn(f"t-{index}"))
        wait_for(lambda: recorder.dropped > 0)

    assert recorder.close()
    kept = [row["thread"] for row in rows(path, "SELECT thread FROM requests ORDER BY id")]
    assert kept[-3:] == ["t-47", "t-48", "t-49"]
    assert len(kept) + recorder.dropped == 50
    assert figures(path) == [(1.0, 1)]


def test_what_is_older_than_is_to_be_kept_goes(path: Path) -> None:
    """As new readings come in, old rows go, but never the newest of a limit."""
    now = time.time()
    long_ago = now - 10 * 86_400
    other = snapshot(limit(windows(5), limit_id="codex_bengalfox"), at=long_ago)
    record(path, other, used(13, at=long_ago), turn(at=long_ago), used(14, at=now - 86_400), turn("t-2", at=now))

    recorder = Recorder(path)
    recorder.keep_days = 7
    recorder.start()
    recorder.put(used(15, at=now))
    kept = [(5.0, 1), (14.0, 1), (15.0, 1)]
    wait_for(lambda: figures(path) == kept)

    assert recorder.close()
    assert figures(path) == kept
    assert [row["thread"] for row in rows(path, "SELECT thread FROM requests")] == ["t-2"]


def test_everything_is_kept_unless_said_otherwise(path: Path) -> None:
    """Nothing goes of itself."""
    record(path, used(13, at=1_000_000_000.0), used(14, at=1_000_000_060.0))
    record(path, used(15, at=time.time()))
    assert [used_percent for used_percent, _ in figures(path)] == [13.0, 14.0, 15.0]
