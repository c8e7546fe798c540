"""Whom to tell: apprise URLs, and commands that get JSON on stdin.

URLs hold secrets, and arguments of commands may. Neither is in any message here: a target is called by its name, its
kind of URL, or its program. What apprise logs is not passed on for the same reason.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.alerts.settings import TargetSettings
    from store.analysis.alerting import Alert

COMMAND_SECONDS = 30.0
"""How long a command may take; then it is killed."""

_TITLE = "codex-tap"
_HTTP_STATUS = re.compile(r"\berror[= ](\d{3})\b")


class SendError(Exception):
    """A message did not get there; it says why, without a secret."""


class Target(Protocol):
    """Somebody who can be told."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message (the document of `message`), and wait until it is sent.

        Raises:
            SendError: it did not get there.
        """


def message(alert: Alert) -> dict[str, Any]:
    """Return an alert as commands get it, and as ``alerts check --json`` shows it.

    Its text and names are made harmless: they may have come over the wire. Moments are Unix seconds::

        {"kind": "used", "text": "work: 7 d limit at 81 % used, resets Tue 14:00", "account": KEY, "name": "work",
         "limit_id": "codex", "limit_name": null, "window": "7d" | null, "window_minutes": 10080 | null,
         "used_percent": 81.0 | null, "threshold": 80.0 | null, "resets_at": int | null, "at": float, "test": false}
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
        "used_percent": alert.used_percent,
        "threshold": alert.threshold,
        "resets_at": alert.resets_at,
        "at": alert.at,
        "test": False,
    }


def trial_message(now: float) -> dict[str, Any]:
    """Return what ``alerts test`` sends."""
    unknown = dict.fromkeys(("limit_name", "window", "window_minutes", "used_percent", "threshold", "resets_at"))
    text = "This is a test: codex-tap can tell you before a limit hits."
    return {"kind": "test", "text": text, "account": "", "name": "", "limit_id": "", **unknown, "at": now, "test": True}


def make_target(settings: TargetSettings) -> Target:
    """Return who is meant. Whatever is wrong with it shows when something is sent."""
    return AppriseTarget(settings.url) if settings.url else CommandTarget(settings.command)


class CommandTarget:
    """A command, started without a shell, with the message as a line of JSON on its stdin."""

    def __init__(self, command: Sequence[str], seconds: float = COMMAND_SECONDS) -> None:
        """Take the program and its arguments, and how long it may take."""
        self._command, self._seconds = command, seconds

    def send(self, message: Mapping[str, Any]) -> None:
        """Run it until it ends."""
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
            raise SendError(f"the program could not be started: {error.strerror or type(error).__name__}") from None
        try:
            process.communicate(json.dumps(message).encode() + b"\n", self._seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise SendError(f"it took more than {self._seconds:.0f} s and was killed") from None
        if process.returncode:
            raise SendError(f"its exit code was {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and, where the system has groups for it, what it started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


class AppriseTarget:
    """A service that apprise knows."""

    def __init__(self, url: str) -> None:
        """Take the URL; it is not looked at yet."""
        self._url = url

    def send(self, message: Mapping[str, Any]) -> None:
        """Let apprise send it."""
        from apprise import Apprise, NotifyFormat, NotifyType

        heard = _hearing()
        heard.status = None
        try:
            service = Apprise.instantiate(self._url)
            good = message["kind"] in {"window_reset", "window_reset_early"}
            kind = NotifyType.SUCCESS if good else NotifyType.INFO if message["test"] else NotifyType.WARNING
            sent = service and service.notify(
                body=message["text"], title=_TITLE, notify_type=kind, body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything, with the URL in it)
            raise SendError(f"apprise failed ({type(error).__name__})") from None
        if service is None:
            raise SendError("apprise cannot use this URL; its forms are at https://appriseit.com")
        if not sent:
            raise SendError(f"it was refused (HTTP {heard.status})" if heard.status else "refused, or nobody answered")


class _Hearing(logging.Handler):
    """Keeps of what apprise logs the HTTP status alone, for the thread that it is logged in."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        found = _HTTP_STATUS.search(record.getMessage())
        if found:
            self.told.status = found[1]


_HEARING = _Hearing()


def _hearing() -> Any:
    """Take apprise's log, so that none of it is printed, and return what is heard in this thread."""
    logger = logging.getLogger("apprise")
    if _HEARING not in logger.handlers:
        logger.addHandler(_HEARING)
        logger.propagate = False
    return _HEARING.told
