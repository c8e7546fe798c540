"""The targets of alerts: apprise URLs, and commands that get JSON on stdin.

URLs contain secrets, and arguments of commands may. No message here contains them: a target is shown as its name, the
scheme of its URL, or its program. Log messages of apprise are discarded for the same reason.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from scripts.support.process_tree import kill_tree
from scripts.support.sanitize import sanitize
from store.analysis.formatting import length_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.alerts.settings import TargetSettings
    from store.analysis.alerting import Alert
    from store.documents import AlertMessage

COMMAND_SECONDS = 30.0
"""Seconds after which a command is killed."""

_TITLE = "codex-tap"
_HTTP_STATUS = re.compile(r"\berror[= ](\d{3})\b")


class SendError(Exception):
    """A message was not sent; the error says why, without a secret."""


class Target(Protocol):
    """A destination of messages."""

    def send(self, message: AlertMessage) -> None:
        """Send a message, and wait until it is sent.

        Raises:
            SendError: the message was not sent.
        """


def message(alert: Alert) -> AlertMessage:
    """Return an alert as commands get it, and as ``alerts check --json`` shows it.

    Text and names are sanitized, because they may come from the traffic.
    """
    return {
        "kind": alert.kind,
        "text": sanitize(alert.text),
        "account": sanitize(alert.about.account),
        "name": sanitize(alert.account),
        "limit_id": sanitize(alert.about.limit_id),
        "limit_name": None if alert.limit_name is None else sanitize(alert.limit_name),
        "window": alert.about.slot,
        "window_minutes": alert.window_minutes,
        "length": length_code(alert.window_minutes),
        "used_percent": alert.used_percent,
        "threshold": alert.threshold,
        "resets_at": alert.resets_at,
        "at": alert.at,
        "test": False,
    }


def trial_message(now: float) -> AlertMessage:
    """Return the message of ``alerts test``."""
    return {
        "kind": "test",
        "text": "This is a test: codex-tap can alert you before a limit hits.",
        "account": "",
        "name": "",
        "limit_id": "",
        "limit_name": None,
        "window": None,
        "window_minutes": None,
        "length": None,
        "used_percent": None,
        "threshold": None,
        "resets_at": None,
        "at": now,
        "test": True,
    }


def make_target(settings: TargetSettings) -> Target:
    """Build the target. Configuration errors surface on the first send."""
    return AppriseTarget(settings.url) if settings.url else CommandTarget(settings.command)


class CommandTarget:
    """A command, run without a shell, that gets the message as a line of JSON on stdin."""

    def __init__(self, command: Sequence[str], seconds: float = COMMAND_SECONDS) -> None:
        """Create the target.

        Args:
            command: the program and its arguments.
            seconds: the time after which it is killed.
        """
        self._command, self._seconds = command, seconds

    def send(self, message: AlertMessage) -> None:
        """Run the command until it exits."""
        program = os.path.expanduser(self._command[0])  # noqa: PTH111 (a Path would make ./program a bare name)
        found = shutil.which(program)
        if found is None:
            raise SendError("the program was not found")
        try:
            process = subprocess.Popen(
                [found, *self._command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise SendError(f"the program cannot be started: {error.strerror or type(error).__name__}") from None
        try:
            process.communicate(json.dumps(message).encode() + b"\n", self._seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise SendError(f"killed after {self._seconds:.0f} s") from None
        if process.returncode:
            raise SendError(f"exit code {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and its child processes."""
    kill_tree(process)
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


class AppriseTarget:
    """A service that apprise supports."""

    def __init__(self, url: str) -> None:
        """Create the target without checking the URL.

        Args:
            url: an apprise URL.
        """
        self._url = url

    def send(self, message: AlertMessage) -> None:
        """Send the message through apprise."""
        from apprise import Apprise, NotifyFormat, NotifyType

        logged = _captured_log()
        logged.status = None
        try:
            service = Apprise.instantiate(self._url)
            good = message["kind"] in {"window_reset", "window_reset_early"}
            kind = NotifyType.SUCCESS if good else NotifyType.INFO if message["test"] else NotifyType.WARNING
            sent = service and service.notify(
                body=message["text"], title=_TITLE, notify_type=kind, body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001 (a plugin may raise any error, with the URL in it)
            raise SendError(f"apprise failed ({type(error).__name__})") from None
        if service is None:
            raise SendError("apprise does not support this URL; see https://appriseit.com")
        if not sent:
            raise SendError(f"refused (HTTP {logged.status})" if logged.status else "refused, or no response")


class _StatusHandler(logging.Handler):
    """Stores the HTTP status in a log message of apprise for the thread that logged it, and discards the rest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.logged = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a log record."""
        found = _HTTP_STATUS.search(record.getMessage())
        if found:
            self.logged.status = found[1]


_STATUS_HANDLER = _StatusHandler()


def _captured_log() -> Any:
    """Capture the log of apprise, so that none of it is printed, and return what this thread has logged."""
    logger = logging.getLogger("apprise")
    if _STATUS_HANDLER not in logger.handlers:
        logger.addHandler(_STATUS_HANDLER)
        logger.propagate = False
    return _STATUS_HANDLER.logged
