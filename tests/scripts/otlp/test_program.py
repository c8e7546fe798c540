"""The loop of ``codex-tap otlp``."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from scripts.otlp.program import Export, run, sender_lock
from scripts.otlp.settings import load_settings
from scripts.support.exclusive import AlreadyRunningError
from tests.support.databases import record
from tests.support.factories import limit, snapshot, turn, windows
from tests.support.harness import free_port, wait_until
from tests.support.otlp_receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.otlp.settings import Settings

BLOCKED, DURATION = "codex.limit.blocked", "gen_ai.client.operation.duration"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    at = time.time()
    return record(tmp_path / "tap.sqlite3", snapshot(limit(windows(13, 40, at=at)), at=at - 10))


def settings(**changes: object) -> Settings:
    return load_settings(os.environ)._replace(**changes)  # type: ignore[arg-type]  # values of its own fields


@contextmanager
def running(path: Path, found: Settings) -> Iterator[threading.Event]:
    """Run the loop, which is stopped at the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(path, found, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_metrics_are_sent_at_the_interval_and_at_the_end(receiver: Receiver, path: Path) -> None:
    """The last ones have what was recorded just before."""
    with running(path, settings(interval_seconds=0.05)):
        receiver.wait_for(3)
    with running(path, settings(interval_seconds=3_600)):
        receiver.wait_for(len(receiver.exports) + 1)
        record(path, turn(at=time.time() + 1))
    assert [point.number for point in receiver.exports[-1].points[DURATION].values()] == [1]


def test_a_second_start_sends_no_turn_again(receiver: Receiver, path: Path) -> None:
    """Its turns begin with its own start."""
    for _ in range(2):
        with running(path, settings(interval_seconds=3_600)):
            receiver.wait_for(len(receiver.exports) + 1)
            record(path, turn(at=time.time() + 1))
        assert [point.number for point in receiver.exports[-1].points[DURATION].values()] == [1]
        time.sleep(1)  # the next start is after the end of that turn


def test_an_absent_collector_is_told_of_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on, and tells when metrics arrive again."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    logged: list[str] = []
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    stop = threading.Event()
    with Export(path, settings(interval_seconds=0.01), logged.append) as export:
        thread = threading.Thread(target=export.run, args=(stop,))
        thread.start()
        wait_until(lambda: bool(logged), lambda: "nothing was logged")
        time.sleep(0.5)
        refused = f"metrics cannot be sent to http://127.0.0.1:{port}: no connection (connection refused)"
        assert logged == [f"{refused}; codex-tap keeps trying"]
        with Receiver(port=port) as receiver:
            receiver.wait_for(2)
            stop.set()
            thread.join(20)
        assert logged[1:] == ["metrics are sent again"]


def test_an_unreadable_database_is_told_of_once(receiver: Receiver, path: Path) -> None:
    """Metrics are sent again when it can be read."""
    logged: list[str] = []
    content = path.read_bytes()
    path.write_bytes(b"a file of somebody else\n" * 100)
    with Export(path, settings(interval_seconds=0.01), logged.append) as export:
        stop = threading.Event()
        thread = threading.Thread(target=export.run, args=(stop,))
        thread.start()
        wait_until(lambda: bool(logged), lambda: "nothing was logged")
        time.sleep(0.2)
        path.write_bytes(content)
        wait_until(lambda: any(BLOCKED in each.points for each in receiver.exports), lambda: "nothing was sent")
        stop.set()
        thread.join(20)
    assert len(logged) == 1
    assert logged[0].startswith("the database cannot be read: ")


def test_a_collector_that_does_not_respond_does_not_hold_up_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end waits for a few seconds, and not for the exporter's timeout."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    with running(path, settings(interval_seconds=0.01)):
        time.sleep(0.3)


def test_one_sender_for_each_database(path: Path) -> None:
    """Two would send every turn twice."""
    with sender_lock(path), pytest.raises(AlreadyRunningError, match="already sends the metrics"), sender_lock(path):
        pass
    with sender_lock(path):
        pass
