"""The proxy's log file: its size, and the number of files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scripts.launch.proxy_log import MAX_BYTES, MAX_FILES, LogFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_log_files_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full file is renamed once, and only the newest files of earlier processes are kept."""
    caplog.set_level("WARNING")
    for number in range(2 * MAX_FILES):
        (tmp_path / f"proxy-{number}.log").touch()
    (tmp_path / "somebody-else.log").touch()
    log = LogFile(tmp_path)
    for _ in range(30):
        log.emit(_record("x" * (MAX_BYTES // 10)))
        assert log.queue.drain(30)
    names = {path.name for path in tmp_path.iterdir()}
    assert {log.path.name, f"{log.path.name}.1", "somebody-else.log"} <= names
    assert len(names) <= MAX_FILES + 2
    assert all(path.stat().st_size < 1.2 * MAX_BYTES for path in tmp_path.iterdir())


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord("mitmproxy", logging.WARNING, __file__, 1, message, (), None)
