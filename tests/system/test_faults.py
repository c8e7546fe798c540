"""Faults beside the traffic of a real mitmdump under load: no response suffers, and no reading is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from store.files import backup_files
from store.record.recorder import Recorder
from tests.support.databases import damage, record
from tests.support.factories import used
from tests.support.harness import LONG, REPOSITORY, Proxy, wait_until
from tests.support.load import Figure, Load, figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

KILLS = 20 if LONG else 6
LOCKED_SECONDS = 30.0 if LONG else 5.0
"""Longer than it takes until the tap's tries to write are as far apart as they get."""
WRITING_SECONDS = 8 if LONG else 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tap.sqlite3"


@contextmanager
def tapped(backend: Backend, path: Path, **more: Any) -> Iterator[Proxy]:
    """Run a proxy with the tap and wait until the tap is ready; the port opens a little earlier."""
    with Proxy(backend, database=path, **more) as proxy:
        proxy.wait_for_output("reading the limits of")
        yield proxy


def is_sound(path: Path) -> bool:
    with closing(open_reader(path)) as connection:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]


def wait_for_a_random_moment() -> None:
    """Wait for up to half a second; the seed that pytest prints gives the same times."""
    pause = random.uniform(0, 0.5)  # noqa: S311 (a moment)
    print(f"the moment: after {pause:.3f} s")
    time.sleep(pause)


def wait_for_figures(path: Path, wanted: set[Figure]) -> None:
    def missing() -> set[Figure]:
        return wanted - figures(path)

    wait_until(lambda: not missing(), lambda: f"never written: {sorted(missing())[:5]} of {len(wanted)}")


# Ends


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_stop_at_any_moment(backend: Backend, path: Path, name: str) -> None:
    """Every response that a client got before a stop in the middle of traffic is on the disk after the stop."""
    if not hasattr(signal, name):
        pytest.skip(f"{name} is not there on this platform")
    with tapped(backend, path) as proxy, Load(proxy, backend) as load:
        load.wait_for(3)
        wait_for_a_random_moment()
        assert proxy.stop(getattr(signal, name)) == 0

    assert load.answered.keys() <= figures(path)
    assert is_sound(path)


def test_kills(backend: Backend, path: Path) -> None:
    """A kill at any moment under load leaves a sound file, every committed figure in it; only the newest may miss."""
    for number in range(KILLS):
        with tapped(backend, path) as proxy, Load(proxy, backend, f"kill-{number}") as load:
            load.wait_for(3)
            wait_for_figures(path, set(load.answered))
            wait_for_a_random_moment()
            committed = figures(path)
            proxy.kill()
        assert is_sound(path)
        stored = figures(path)
        assert committed <= stored
        newest = {figure.account: figure.used for figure in sorted(stored)}
        missing = load.answered.keys() - stored
        print(f"lost: {len(missing)} of {len(load.answered)}")
        assert all(figure.used > newest[figure.account] for figure in missing)


# The disk


def test_a_locked_database(backend: Backend, path: Path) -> None:
    """While another program holds a lock, turns continue; all of them are written when the lock is released."""
    with tapped(backend, path) as proxy, Load(proxy, backend) as load:
        load.wait_for(3)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 5000")
            other.execute("BEGIN IMMEDIATE")
            before = figures(path)
            until = time.monotonic() + LOCKED_SECONDS
            while time.monotonic() < until:
                load.wait_for(10)
            assert figures(path) == before
            other.execute("ROLLBACK")
        load.stop()
        assert not load.failures
        wait_for_figures(path, set(load.answered))
        assert proxy.output().count("keeping changes in memory") == 1


SMALL = """
import os
from pathlib import Path
from store.database import open_writer
from store.record import writer

def open_small(path):
    connection = open_writer(path)
    connection.execute("PRAGMA max_page_count = " + Path(os.environ["TEST_PAGES"]).read_text())
    return connection

writer.open_writer = open_small
"""
"""A mitmproxy script that limits the pages of the database."""


def test_a_database_that_cannot_grow(backend: Backend, path: Path, tmp_path: Path) -> None:
    """Without room for another page turns continue; all of them are written when there is room again."""
    script, pages = tmp_path / "small.py", tmp_path / "pages"
    script.write_text(SMALL)
    pages.write_text("20")
    environment = {**os.environ, "TEST_PAGES": str(pages)}
    with (
        tapped(backend, path, arguments=["-s", str(script)], environment=environment) as proxy,
        Load(proxy, backend) as load,
    ):
        proxy.wait_for_output("database or disk is full")
        load.wait_for(20)
        assert len(figures(path)) < len(load.answered)
        pages.write_text("100000")
        load.stop()
        assert not load.failures
        wait_for_figures(path, set(load.answered))
        assert proxy.stop() == 0
    assert is_sound(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = "size=1m,mode=0700"
    _run_or_skip("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    yield folder
    _run_or_skip("umount", str(folder))


def _run_or_skip(*command: str) -> None:
    """Run an administrator's command; skip the test with the reason if it fails."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"there is no {command[0]}")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


def fill(disk: Path) -> Path:
    """Fill a file system to the last byte, and return the file that fills it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        for size in (4_096, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return ballast


def test_a_disk_that_fills_up(backend: Backend, small_disk: Path) -> None:
    """On a full disk turns continue; all of them are written when there is room again."""
    path = small_disk / "tap.sqlite3"
    with tapped(backend, path) as proxy, Load(proxy, backend) as load:
        load.wait_for(3)
        wait_for_figures(path, set(load.answered))
        ballast = fill(small_disk)
        proxy.wait_for_output("keeping changes in memory")
        load.wait_for(20)
        ballast.unlink()
        load.stop()
        assert not load.failures
        wait_for_figures(path, set(load.answered))
        assert proxy.stop() == 0
    assert is_sound(path)


def test_a_disk_that_is_full_from_start_to_stop(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The recorder starts and stops as usual; entries without room are counted, and the file is sound."""
    path = record(small_disk / "tap.sqlite3", used(1))
    ballast = fill(small_disk)
    recorder = Recorder(path)
    recorder.start()
    for index in range(2, 50):
        recorder.put(used(index))

    recorder.close(timeout=0.3)

    ballast.unlink()
    record(path)
    assert is_sound(path)
    with closing(open_reader(path)) as connection:
        (kept,) = connection.execute("SELECT count(*) FROM snapshots").fetchone()
    assert kept + recorder.dropped == 49
    assert ("were dropped" in caplog.text) is (recorder.dropped > 0)


def forbid_by_mode(folder: Path) -> Callable[[], None]:
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("modes do not hold root, and Windows has none")
    folder.chmod(0o500)
    return lambda: folder.chmod(0o700)


def forbid_by_attribute(folder: Path) -> Callable[[], None]:
    _run_or_skip("chattr", "+i", str(folder))
    return lambda: _run_or_skip("chattr", "-i", str(folder))


def put_a_file_in_its_place(folder: Path) -> Callable[[], None]:
    away = folder.with_name("away")
    folder.rename(away)
    folder.touch()

    def put_back() -> None:
        folder.unlink()
        away.rename(folder)

    return put_back


@pytest.mark.parametrize("forbid", [forbid_by_mode, forbid_by_attribute, put_a_file_in_its_place])
def test_a_folder_that_cannot_be_written(
    backend: Backend, path: Path, forbid: Callable[[Path], Callable[[], None]]
) -> None:
    """Without access to the folder turns continue; all of them are written when the folder is writable again."""
    with tapped(backend, path) as proxy:
        for companion in ("-wal", "-shm"):  # a reader leaves them; with them, SQLite needs no new file
            path.with_name(f"{path.name}{companion}").unlink(missing_ok=True)
        allow = forbid(path.parent)
        try:
            with Load(proxy, backend) as load:
                load.wait_for(20)
                proxy.wait_for_output("keeping changes in memory")
                load.wait_for(20)
        finally:
            allow()
        assert not load.failures
        wait_for_figures(path, set(load.answered))
        assert proxy.stop() == 0


@pytest.mark.skipif(os.name != "posix", reason="a file in use cannot be moved there")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_database_that_is_taken_away(backend: Backend, path: Path, how: str) -> None:
    """Later readings are in the new file; a database that was moved keeps its content."""
    away = path.with_name("away.sqlite3")
    with tapped(backend, path) as proxy, Load(proxy, backend) as load:
        load.wait_for(20)
        before = set(load.answered)
        wait_for_figures(path, before)
        if how == "replaced":
            record(away)
            away.replace(path)
        else:
            for end in ("-wal", "-shm", ""):
                each = path.with_name(path.name + end)
                each.rename(away.with_name(away.name + end)) if how == "moved" else each.unlink()
        wait_until(lambda: bool(figures(path)), proxy.output)
        recreated_at = time.monotonic()
        load.wait_for(20)
        load.stop()
        assert not load.failures
        wait_for_figures(path, load.answered_since(recreated_at))
        assert proxy.stop() == 0
    assert is_sound(path)
    if how == "moved":
        assert before <= figures(away)
        assert load.answered.keys() <= figures(away) | figures(path)


def test_a_database_that_is_damaged(backend: Backend, path: Path) -> None:
    """A damaged database is renamed, at the start as well as in use; no byte of it is lost, and no turn suffers."""
    record(path, *(used(index) for index in range(50)))
    damage(path)
    broken = path.read_bytes()
    with tapped(backend, path) as proxy, Load(proxy, backend) as load:
        proxy.wait_for_output("was set aside as")
        load.wait_for(20)
        wait_for_figures(path, set(load.answered))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(path)
        wait_until(lambda: proxy.output().count("was set aside as") == 2, proxy.output)
        replaced_at = time.monotonic()
        load.wait_for(10)
        load.stop()
        assert not load.failures
        wait_for_figures(path, load.answered_since(replaced_at))
        assert proxy.stop() == 0
    first, _ = backup_files(path)
    assert first.read_bytes() == broken
    assert is_sound(path)


# Many at once

WRITER = """
import sys, time
from pathlib import Path
from store.models import Credits, Identity, Limit, RateLimits, Snapshot, Source, Window
from store.record.recorder import Recorder

path, who, until = Path(sys.argv[1]), sys.argv[2], time.time() + float(sys.argv[3])
identity = Identity(token_key=who, account_id=who, user_id=who)
number = 0
while time.time() < until:
    # Like proxies that start and stop: the last one to close checkpoints the write-ahead log.
    recorder = Recorder(path)
    recorder.start()
    for _ in range(200):
        number += 1
        windows = {"5h": Window(used_percent=number, window_minutes=300, resets_at=2_000_000_000)}
        reading = RateLimits(
            limits=(Limit(windows=windows), Limit(limit_id="codex_fox", windows=windows)),
            plan_type=str(number),
            credits=Credits(has_credits=True, unlimited=False, balance=str(number)),
        )
        recorder.put(Snapshot(identity=identity, observed_at=time.time(), source=Source.WEBSOCKET, reading=reading))
        time.sleep(0.002)
    assert recorder.close(30)
print(number)
"""
"""Writes messages; each has one number, in two limits, in the plan and in the credits."""

READER = """
import json, subprocess, sys, time
from contextlib import closing
from pathlib import Path
from store.database import open_reader
from store.errors import MissingError
from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.queries.status import load_status

path, ended, looks = Path(sys.argv[1]), Path(sys.argv[2]), 0
newest = {}
while not ended.exists():
    time.sleep(0.01)
    try:
        with closing(open_reader(path)) as connection, read_transaction(connection):
            document = load_status(connection, time.time(), load_accounts(connection))
    except MissingError:
        continue
    looks += 1
    for account in document["accounts"]:
        told = [limit["windows"]["5h"]["used_percent"] for limit in account["limits"]]
        told += [float(account["credits"]["balance"]), float(account["plan_type"])]
        assert len(told) == 4 and len(set(told)) == 1, account
        assert told[0] >= newest.get(account["account"], 0), "went back"
        newest[account["account"]] = told[0]
print(looks)
"""
"""Repeats the query of `status`; all numbers of an account must come from one message."""


def started(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def told(process: subprocess.Popen[str]) -> int:
    """Return the number that a program prints; its error output must be empty."""
    output, errors = process.communicate(timeout=100)
    assert not errors
    return int(output)


def test_two_writers_and_ten_readers(path: Path, tmp_path: Path) -> None:
    """No reader sees a part of a message or goes back to an older one, none fails on a lock, and nothing is lost."""
    ended = tmp_path / "ended"
    writers = [started(WRITER, path, who, WRITING_SECONDS) for who in ("one", "other")]
    readers = [started(READER, path, ended) for _ in range(10)]
    try:
        written = sum(told(process) for process in writers)
    finally:
        ended.touch()
    assert min(told(process) for process in readers) > 0
    with closing(open_reader(path)) as connection:
        assert connection.execute("SELECT sum(observations) FROM snapshots").fetchone()[0] == 2 * written
    assert is_sound(path)
