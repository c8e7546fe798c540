"""The alerts file: where it is, what it contains, and how it is loaded.

`scripts.alerts.settings_schema` checks the contents. It is imported on loading only: pydantic takes a while to import.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.support.toml_file import TomlError, read_toml
from store.settings import config_folder, expand_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.analysis.alerting import Rule

ALERTS_VARIABLE = "CODEX_TAP_ALERTS"
"""Environment variable with the path of the alerts file."""


EXAMPLE = """\
# Alerts of codex-tap. Try this file with:  codex-tap alerts check; codex-tap alerts test
# Keep this file private: the URLs of targets contain secrets.

# Nothing is sent during these hours (local time). Alerts that still hold are sent afterwards.
# quiet_hours = "22:00-07:30"

[targets]
# An apprise URL, for example:
# phone = "ntfys://ntfy.sh/a-topic-that-nobody-guesses"
# mail = "mailtos://user:password@example.com"
# Or a command, which gets the alert as JSON on its stdin:
# log = ["python3", "/home/me/note-alert.py"]

# Each rule may have  account = "work"  limit = "codex"  window = "7d"  targets = ["phone"];
# without such a key, the rule covers all accounts, limits and windows, and uses all targets.
[[rules]]
at = [80, 95]               # percent of a window that are used
runs_dry = true             # a window is forecast to run dry before its reset
limit_reached = true

[[rules]]
window = "7d"
window_reset = true         # the window was reset
window_reset_early = true   # ... before it was due
# used_elsewhere = 5        # points used by clients outside the tap; true: any number
"""
"""The file that ``alerts init`` writes."""


class SettingsError(Exception):
    """The alerts file cannot be used. The message is one line: file, line, key, and what to write instead."""


class TargetSettings(NamedTuple):
    """A target: an apprise `url`, which is secret, or a `command`, whose arguments may be."""

    name: str
    url: str | None
    command: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The part of the target that may be shown: the scheme of its URL, or the name of its program."""
        return f"{self.url.partition('://')[0]}://…" if self.url else Path(self.command[0]).name


class QuietHours(NamedTuple):
    """The hours of the local day without alerts, in minutes since midnight; `end` may be on the next day."""

    start: int
    end: int

    def until(self, now: float) -> float | None:
        """Return when the quiet hours around `now` end, in Unix seconds, or None outside of quiet hours."""
        local = dt.datetime.fromtimestamp(now)  # noqa: DTZ006 (quiet hours are in local time)
        minute = local.hour * 60 + local.minute
        across = self.start > self.end
        inside = minute >= self.start or minute < self.end if across else self.start <= minute < self.end
        if not inside:
            return None
        day = local.date() + dt.timedelta(days=1 if across and minute >= self.start else 0)
        return dt.datetime.combine(day, dt.time(self.end // 60, self.end % 60)).timestamp()


class Settings(NamedTuple):
    """The contents of the file. The ``account`` of a rule is as written; `scripts.alerts.evaluate` resolves it."""

    path: Path
    targets: Mapping[str, TargetSettings]
    rules: tuple[Rule, ...]
    quiet_hours: QuietHours | None


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the file: ``CODEX_TAP_ALERTS`` if set, else in the platform's configuration folder."""
    chosen = environ.get(ALERTS_VARIABLE)
    return expand_home(Path(chosen)) if chosen else config_folder() / "alerts.toml"


def load(path: Path) -> Settings:
    """Read and check the file.

    Raises:
        SettingsError: the file does not exist, cannot be read, or is invalid.
    """
    from scripts.alerts.settings_schema import InvalidError, parse

    try:
        text, contents = read_toml(path)
        file = parse(text, contents)
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist; create it with: codex-tap alerts init") from None
    except TomlError as error:
        raise SettingsError(str(error)) from None
    except InvalidError as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise SettingsError(f"{where}: {error}") from None
    names = tuple(file.targets)
    return Settings(
        path,
        {name: _target(name, value) for name, value in file.targets.items()},
        tuple(rule.as_rule(names) for rule in file.rules),
        file.quiet_hours and QuietHours(*file.quiet_hours),
    )


def _target(name: str, value: str | list[str]) -> TargetSettings:
    return TargetSettings(name, value, ()) if isinstance(value, str) else TargetSettings(name, None, tuple(value))


def others_can_read(path: Path) -> bool:
    """Return True if the mode of the file lets other users of this machine read it."""
    if sys.platform == "win32":
        return False
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def readers_warning(path: Path) -> str:
    """Return the warning about a file with secrets that others can read."""
    return f"other users can read {path}, which contains secret URLs; run: chmod 600 {path}"
