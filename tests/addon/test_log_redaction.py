"""The reduction of log messages to the part that quotes no traffic, applied to records of this process."""

from __future__ import annotations

import logging
from pathlib import Path

import mitmproxy
import pytest

from addon.log_redaction import LogRedaction

SECRET = "https://chatgpt.com/secret"
LIBRARY = str(Path(mitmproxy.__file__).parent / "proxy" / "server.py")
SCRIPT = str(Path(__file__).parent / "of_the_user.py")


def text_of(message: str, logger: str = "mitmproxy.proxy.server", path: str = LIBRARY) -> str:
    """Return the message of a record that a logger makes at line 7 of the file at `path`."""
    record = logging.getLogger(logger).makeRecord(logger, logging.INFO, path, 7, message, (), None)
    return record.getMessage()


def running() -> LogRedaction:
    """Apply the reduction as in a proxy that has started."""
    redaction = LogRedaction(lambda: False)
    redaction.install()
    redaction.begin()
    return redaction


@pytest.mark.parametrize(
    ("has_connections", "is_running", "text"),
    [
        (False, False, f"Addon error: {SECRET}"),
        (True, False, "Addon error"),
        (False, True, "Addon error"),
        (True, True, "Addon error"),
    ],
)
def test_from_the_first_traffic_on(*, has_connections: bool, is_running: bool, text: str) -> None:
    """Messages of the start stay as they are; with the first connection or the end of the start they are reduced."""
    redaction = LogRedaction(lambda: has_connections)
    redaction.install()
    if is_running:
        redaction.begin()
    assert text_of(f"Addon error: {SECRET}") == text


def test_unknown_message() -> None:
    """A message that is not listed becomes its place in the code."""
    running()
    assert text_of(SECRET) == "a message of mitmproxy.proxy.server is left out (server.py:7)"


@pytest.mark.parametrize(
    ("logger", "path", "stays"),
    [
        ("addon.tap", LIBRARY, True),
        ("store.record.recorder", LIBRARY, True),
        ("scripts.cli", LIBRARY, True),
        ("__mitmproxy_script__.of_the_user", SCRIPT, True),
        ("root", SCRIPT, True),
        ("root", LIBRARY, False),
        ("root", logging.__file__, False),
        ("addons", LIBRARY, False),
        ("hpack.hpack", LIBRARY, False),
    ],
)
def test_trusted_loggers(logger: str, path: str, *, stays: bool) -> None:
    """Messages of codex-tap and of the user's scripts stay as they are, all others are reduced."""
    running()
    assert (text_of(SECRET, logger, path) == SECRET) is stays


def test_exception() -> None:
    """Of an exception its type and place remain, without its text and without arguments of the message."""
    running()
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int(SECRET)
    found = (caught.type, caught.value, caught.tb)
    record = logging.getLogger("mitmproxy").makeRecord(
        "mitmproxy", logging.ERROR, LIBRARY, 7, "Addon error: %s", (SECRET,), found, sinfo=SECRET
    )
    assert record.getMessage().startswith("Addon error (ValueError at test_log_redaction.py:")
    assert SECRET not in logging.Formatter().format(record)


def test_failing_reduction() -> None:
    """A message that cannot be reduced is left out, and its logger goes on."""

    def fail() -> bool:
        raise RuntimeError(SECRET)

    LogRedaction(fail).install()
    assert text_of(SECRET) == "a message is left out"


def test_installed_once() -> None:
    """A second installation changes nothing."""
    redaction = running()
    before = logging.getLogRecordFactory()
    redaction.install()
    assert logging.getLogRecordFactory() == before
