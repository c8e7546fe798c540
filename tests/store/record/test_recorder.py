"""The recorder: its queue, its stop, and a database that is locked, damaged, replaced or on a full disk."""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from store import errors, files, schema
from store.database import open_writer
from store.edits import forget_account
from store.errors import DatabaseError
from store.files import backup_files, spill_files
from store.record import recorder as recorder_module
from store.record import spill, statements, writer
from store.record.merge import merge
from store.record.recorder import Recorder
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.recorded_rows import current, figures, figures_if_any, locked, rows, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.record.writer import Entry

SECRET = "a message's own words"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path other than the default one, where any broken file would count as a database of ours."""
    return tmp_path / "tap.sqlite3"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder[Entry]]:
    """Return a recorder that has started."""
    recorder = Recorder(path)
    recorder.start()
    yield recorder
    recorder.close()


def test_recording_continues_after_an_account_is_deleted(path: Path, recorder: Recorder[Entry]) -> None:
    """A recorder does not write under a deleted account: the same account seen again is a new one."""
    recorder.put(used(13))
    wait_for(lambda: figures_if_any(path) == [(13.0, 1)])
    connection = open_writer(path)
    forget_account(connection, 1)
    connection.close()
    recorder.put(used(13))

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]
    assert [row["email"] for row in rows(path, "SELECT email FROM accounts")] == [ALICE.email]


def test_put_never_waits_for_the_disk(path: Path, recorder: Recorder[Entry]) -> None:
    """A hook hands over its snapshot and goes on, even if another program holds the database."""
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
    """More entries than one transaction holds are written in several."""
    count = 3 * recorder_module.BATCH + 7

    record(path, *(used(index % 100) for index in range(count)))

    assert sum(seen for _, seen in figures(path)) == count


def test_entries_for_a_locked_database_are_written_later(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """A lock costs time, never a reading; its begin and its end are logged once each."""
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
    # The line follows the rows.
    wait_for(lambda: "can be written again" in caplog.text)

    assert caplog.text.count("in memory") == 1
    assert caplog.text.count("can be written again") == 1
    assert recorder.dropped == 0


def test_a_stop_waits_for_a_locked_database(path: Path, recorder: Recorder[Entry]) -> None:
    """Entries are written through a stop as well."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    recorder.put(used(13))
    freed = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
    freed.start()

    assert recorder.close()

    freed.join()
    other.close()
    assert figures(path) == [(13.0, 1)]


def test_a_stop_has_a_time_limit(path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture) -> None:
    """Entries that cannot be written by then wait in a file beside the database, which the next start imports."""
    with locked(path):
        recorder.put(used(13))
        recorder.put(used(14))

        assert recorder.close(timeout=0.3)
        assert figures(path) == []

    assert "wait beside" in caplog.text
    record(path, used(15))
    assert figures(path) == [(13.0, 1), (14.0, 1), (15.0, 1)]
    assert spill_files(path) == []


def test_a_start_imports_the_spill_file(path: Path, recorder: Recorder[Entry]) -> None:
    """The next start does not wait for a reading of its own."""
    with locked(path):
        recorder.put(used(13))
        assert recorder.close(timeout=0.1)
    later = Recorder(path)
    later.start()

    wait_for(lambda: figures(path) == [(13.0, 1)])

    assert later.close()


def test_a_spill_file_is_imported_once(path: Path, recorder: Recorder[Entry]) -> None:
    """However many proxies start together, each reading is stored once."""
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


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace('"limit_id":"codex_fox"', '"limit_id":"\\ud800"'),
        lambda line: line.replace('"used_percent":14.0', '"used_percent":1e999'),
        lambda line: line.replace('"resets_at":1', '"resets_at":99999999999999999999'),
        lambda line: line[:-1] + "[" * 50_000,
        lambda line: line.replace('"status":200', '"status":99999999999999999999'),
    ],
    ids=["lone surrogate", "infinity", "a time beyond SQLite's integers", "deep", "a status beyond them"],
)
def test_one_bad_line_of_a_spill_file(path: Path, change: Callable[[str], str]) -> None:
    """The other lines are imported, the bad one is counted, and recording goes on in this run and the next one."""
    record(path)
    bad = snapshot(limit(windows(14, 41), limit_id="codex_fox"), status=200)
    spilled = spill.write(path, [used(13), bad, used(15)], [])
    first, second, third = spilled.read_text().splitlines()
    assert change(second) != second
    spilled.write_text(f"{first}\n{change(second)}\n{third}\n")

    record(path, used(16))

    assert figures(path) == [(13.0, 1), (15.0, 1), (16.0, 1)]
    assert spill_files(path) == []
    losses = rows(path, "SELECT count, reason FROM losses")
    assert losses == [{"count": 1, "reason": "could not be read again"}]


def test_a_spill_file_that_stayed_is_not_imported_again(path: Path, recorder: Recorder[Entry]) -> None:
    """A proxy killed between its commit and the removal of the file duplicates no reading."""
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


def test_a_running_recorder_imports_the_file_of_another(path: Path, recorder: Recorder[Entry]) -> None:
    """Of two proxies that wait for a lock, the one that goes on writes the spill file of the one that stopped."""
    other = Recorder(path)
    other.start()
    with locked(path):
        recorder.put(used(13))
        other.put(used(14, who=BOB))
        assert other.close(timeout=0.3)
    wait_for(lambda: len(figures(path)) == 2)

    assert recorder.close()
    assert spill_files(path) == []


def test_imported_readings_are_older_than_later_ones(path: Path, recorder: Recorder[Entry]) -> None:
    """A reading that waited in a file is not current if the database has a newer one."""
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


def test_losses_are_stored(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor, another process, needs the losses; a recorder that stops first leaves them in the spill file."""
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
    """If the spill file fails too, the newest entry of each limit is tried; all others are counted and logged."""
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


def test_a_damaged_database_is_quarantined_at_start(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged file keeps its bytes under another name, and a new one is created."""
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


def test_a_database_that_is_damaged_while_in_use_is_quarantined(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """The entries in memory are written into the new file; nothing is deleted."""
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


def test_the_number_of_quarantined_databases_is_bounded(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that breaks every file is not filled with them."""

    def broken(*_: object) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(statements, "update_last_seen", broken)
        recorder.put(used(13))
        wait_for(lambda: "in memory" in caplog.text)

    assert recorder.close()
    assert figures(path) == [(13.0, 1)]
    assert len(backup_files(path)) == recorder_module.MAX_QUARANTINED


def test_a_newer_program_migrates_the_file_while_in_use(path: Path, recorder: Recorder[Entry]) -> None:
    """Entries that an older program cannot write wait for the newer one."""
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


def test_a_start_on_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The recorder starts: there may be room again before the first reading."""
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


def test_a_failing_log_does_not_end_the_recorder(path: Path) -> None:
    """The log of mitmproxy ends the thread in which it finds its terminal closed."""

    def parse_or_exit(figure: int) -> Entry:
        return used(figure) if figure >= 0 else sys.exit()

    class ClosedTerminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(record.levelno)

    closed = ClosedTerminal()
    recorder_module.logger.addHandler(closed)
    try:
        recorder = Recorder(path, parse_or_exit)
        recorder.start()
        with locked(path):
            recorder.put(13)
            recorder.put(-1)
            time.sleep(0.4)
        assert recorder.close()
    finally:
        recorder_module.logger.removeHandler(closed)
    assert figures(path) == [(13.0, 1)]


def test_held_readings_are_bounded(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If too many entries wait, the newest reading of each limit stays and the others are counted."""
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


def test_a_deleted_file_is_created_again(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """A database that was moved while in use is not written to any more."""
    recorder.put(used(13))
    wait_for(lambda: figures(path) == [(13.0, 1)])
    for found in path.parent.glob("tap.sqlite3*"):
        found.unlink()
    recorder.put(used(14))

    assert recorder.close()
    assert figures(path) == [(14.0, 1)]
    assert "was moved while open; creating a new database" in caplog.text


def test_a_replaced_file_is_used_from_then_on(path: Path, recorder: Recorder[Entry]) -> None:
    """Closing the old file does not harm what another program has written into the new one."""
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


def test_an_entry_that_cannot_be_written_is_dropped_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A faulty snapshot is dropped and counted; the log does not quote it."""
    whole = merge

    def faulty(new: Any, message: Any, *rest: Any) -> Any:
        if message.reading.plan_type == "poison":
            raise TypeError("poison")
        return whole(new, message, *rest)

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
    """The same figures from several proxies are one row."""
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


def test_entries_after_the_close_are_written_at_once(path: Path, recorder: Recorder[Entry]) -> None:
    """A proxy that stops still hands over the responses that are under way."""
    recorder.put(used(13))
    assert recorder.close()

    recorder.put(used(14))

    assert figures(path) == [(13.0, 1), (14.0, 1)]


def test_an_observation_that_cannot_be_parsed_is_dropped_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of failure is logged once, by its type and place, and without any of what was read."""

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
        "codex-tap: changes were dropped: 1 that could not be read (KeyError) at test_recorder",
        "codex-tap: changes were dropped: 1 that could not be read (ZeroDivisionError) at test_recorder",
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
    """The last recorder to close folds the write-ahead log into the file."""
    record(path, used(13))

    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_an_unusable_database_is_an_error_at_start(path: Path) -> None:
    """A wrong path stops the proxy at its start, before the first reading."""
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(DatabaseError, match="is not a SQLite database"):
        Recorder(path).start()


def test_a_start_with_a_locked_database(path: Path) -> None:
    """The recorder starts: a lock ends by itself."""
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


def test_held_turns_are_bounded(
    path: Path, recorder: Recorder[Entry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If too many entries wait, the newest turns stay beside the newest readings, in their order."""
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


def test_old_rows_are_deleted(path: Path) -> None:
    """As new readings arrive, old rows are deleted, but never the newest row of a limit."""
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


def test_by_default_no_row_is_deleted(path: Path) -> None:
    """Old rows stay as long as no number of days is set."""
    record(path, used(13, at=1_000_000_000.0), used(14, at=1_000_000_060.0))
    record(path, used(15, at=time.time()))
    assert [used_percent for used_percent, _ in figures(path)] == [13.0, 14.0, 15.0]
