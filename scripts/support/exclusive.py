"""The lock of a program that runs once for each database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from scripts.support.errors import FAILED, CommandError
from store.files import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class AlreadyRunningError(CommandError):
    """Another process holds the lock."""


@contextlib.contextmanager
def exclusive_lock(path: Path, running: str) -> Iterator[None]:
    """Hold a lock. The operating system releases it when the process ends in any way.

    Args:
        path: the file of the lock, which is created if it is missing.
        running: what to tell the user while another process holds the lock.

    Raises:
        AlreadyRunningError: another process holds the lock.
        CommandError: the file cannot be created.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except BlockingIOError as error:
            raise AlreadyRunningError(running, FAILED) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be created: {error.strerror or error}", FAILED) from error
        yield
