"""The proxy's log file: what mitmproxy and its libraries report while the proxy runs.

Each process has a file of its own, which is created with its first line, so that two proxies never share one. A full
file is renamed once; of the files of earlier processes only the newest are kept. A full or slow disk blocks nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from typing import TYPE_CHECKING

from scripts.support.output_queue import OutputQueue
from store.files import LOG_NAMES, create_private_folder, log_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1_000_000
MAX_FILES = 6


class LogFile(logging.Handler):
    """Writes warnings and errors to the log file of this process, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        """Prepare the handler; the first line creates the file.

        Args:
            folder: the folder of the log files, which is created if it is missing.
        """
        super().__init__(logging.WARNING)
        self.path = log_file(folder, os.getpid())
        self.queue = OutputQueue(self._append)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._has_pruned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        with contextlib.suppress(Exception):  # a record that cannot be formatted
            self.queue.put(self.format(record))

    def _append(self, text: str) -> None:
        if not self._has_pruned:
            self._has_pruned = True
            create_private_folder(self.path.parent)
            _prune(self.path.parent)
        with contextlib.suppress(OSError):  # it does not exist yet, or another program has it open on Windows
            if self.path.stat().st_size > MAX_BYTES:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(self.path, flags, 0o600), "w", encoding="utf-8", errors="replace") as file:
            file.write(text)


def log_files(folder: Path) -> Iterator[Path]:
    """Yield the log files in a folder, the newest first."""
    with contextlib.suppress(OSError):
        names = [each for each in folder.iterdir() if re.fullmatch(LOG_NAMES, each.name)]
        files = [each for each in names if each.is_file() and not each.is_symlink()]
        yield from sorted(files, key=lambda each: each.stat().st_mtime, reverse=True)


def _prune(folder: Path) -> None:
    for file in list(log_files(folder))[MAX_FILES - 1 :]:
        with contextlib.suppress(OSError):
            file.unlink()
