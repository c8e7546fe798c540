"""The alerts file: TOML, read and checked, with the line and the key of what is wrong in it."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import stat
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.alerting import EARLY, ELSEWHERE, REACHED, RESET, RUNS_DRY, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ALERTS_VARIABLE = "CODEX_TAP_ALERTS"
"""Environment variable that puts the alerts file elsewhere."""

EXAMPLE = """\
# What codex-tap tells, and whom. Try it:  codex-tap alerts check; codex-tap alerts test
# Keep this file to yourself: the addresses of targets hold secrets.

# In these hours, local time, nothing is sent. What still holds is told after them.
# quiet_hours = "22:00-07:30"

[targets]
# An apprise URL, such as these ...
# phone = "ntfys://ntfy.sh/a-topic-that-nobody-guesses"
# mail = "mailtos://user:password@example.com"
# ... or a command, which gets the alert as JSON on its stdin.
# log = ["python3", "/home/me/note-alert.py"]

# Each rule may have  account = "work"  limit = "codex"  window = "7d"  targets = ["phone"];
# what it does not have is all of them.
[[rules]]
at = [80, 95]               # so many percent of a window are used
runs_dry = true             # a window will run dry before its reset, by the forecast
limit_reached = true

[[rules]]
window = "7d"
window_reset = true         # it is back
window_reset_early = true   # ... before it was due
# used_elsewhere = 5        # so many points were used past the tap; true is any
"""
"""What ``alerts init`` writes."""

_MAX_RULES, _MAX_TARGETS = 200, 50
_SLOT = re.compile(r"\d+[mhd]|unknown")
_TARGET = re.compile(r"[A-Za-z0-9_-]{1,40}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")


class SettingsError(Exception):
    """The file is not what it should be; the message names the line and the key, and says what to write."""


class TargetSettings(NamedTuple):
    """Whom to tell: an apprise `url`, which is secret, or a `command`, whose arguments may be."""

    name: str
    url: str | None
    command: tuple[str, ...]

    @property
    def shown(self) -> str:
        """What may be shown of it."""
        return f"{self.url.partition('://')[0]}://…" if self.url else Path(self.command[0]).name


class QuietHours(NamedTuple):
    """From when to when nothing is sent, in minutes of the local day; the end may be on the next day."""

    start: int
    end: int

    def until(self, now: float) -> float | None:
        """Return when the quiet hours that `now` is in are over, in Unix seconds; None outside of them."""
        local = dt.datetime.fromtimestamp(now)  # noqa: DTZ006 (the local time of day is what is asked)
        minute = local.hour * 60 + local.minute
        across = self.start > self.end
        inside = minute >= self.start or minute < self.end if across else self.start <= minute < self.end
        if not inside:
            return None
        day = local.date() + dt.timedelta(days=1 if across and minute >= self.start else 0)
        return dt.datetime.combine(day, dt.time(self.end // 60, self.end % 60)).timestamp()


class Settings(NamedTuple):
    """The contents of the file; a rule's ``account`` is as written, and `scripts.alerts.evaluate` looks it up."""

    path: Path
    targets: Mapping[str, TargetSettings]
    rules: tuple[Rule, ...]
    quiet_hours: QuietHours | None


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is: ``CODEX_TAP_ALERTS`` where it is set, else in the platform's configuration folder."""
    chosen = environ.get(ALERTS_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("codex-tap", appauthor=False)) / "alerts.toml"


def load(path: Path) -> Settings:
    """Read the file.

    Raises:
        SettingsError: it is not there, cannot be read, or says what cannot be.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path} is not there; make it with: codex-tap alerts init") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not in UTF-8; save it as that") from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: this is no TOML: {error}") from None
    try:
        return _settings(path, found)
    except _WrongError as wrong:
        line = _line(text, wrong.at)
        where = f"{path}, line {line}" if line else str(path)
        raise SettingsError(f"{where}: {wrong}") from None


def others_can_read(path: Path) -> bool:
    """Tell whether others on this machine can read the file, as far as its mode says."""
    if sys.platform == "win32":
        return False
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def readers_warning(path: Path) -> str:
    """Return what to say of a file with secrets that others can read."""
    return f"others on this machine can read {path}, and the addresses in it are secrets: chmod 600 {path}"


# What the file may say


class _WrongError(Exception):
    """Something is wrong at a place: the keys and the numbers of tables that lead there."""

    def __init__(self, at: Sequence[str | int], message: str) -> None:
        name = ".".join(str(part) for part in at if isinstance(part, str))
        super().__init__(f"{name}: {message}")
        self.at = tuple(at)


_EVENT_KEYS = {"runs_dry": RUNS_DRY, "limit_reached": REACHED, "window_reset": RESET, "window_reset_early": EARLY}
_CONDITIONS = ("at", *_EVENT_KEYS, "used_elsewhere")
_RULE_KEYS = (*_CONDITIONS, "account", "limit", "window", "targets")
_TOP_KEYS = ("quiet_hours", "targets", "rules")
_WRITE_TARGET = 'write an apprise URL in quotes ("ntfys://…"), or a command as a list (["program", "argument"])'


def _settings(path: Path, found: Mapping[str, Any]) -> Settings:
    _check_keys(found, _TOP_KEYS, ())
    targets = _table(found.get("targets", {}), ("targets",), "[targets]")
    if len(targets) > _MAX_TARGETS:
        raise _WrongError(("targets",), f"there may be {_MAX_TARGETS} targets at most")
    known = {name: _target(name, value) for name, value in targets.items()}
    rules = found.get("rules", [])
    if not isinstance(rules, list) or len(rules) > _MAX_RULES:
        raise _WrongError(("rules",), f"write each rule as a table, [[rules]]; there may be {_MAX_RULES} at most")
    made = [_rule(rule, ("rules", number), tuple(known)) for number, rule in enumerate(rules)]
    quiet = _quiet_hours(found["quiet_hours"]) if "quiet_hours" in found else None
    return Settings(path, known, tuple(made), quiet)


def _target(name: str, value: Any) -> TargetSettings:
    at = ("targets", name)
    if not _TARGET.fullmatch(name):
        raise _WrongError(at, "a target's name is of letters, digits, - and _")
    # What is wrong is never shown: it may be a secret.
    if isinstance(value, str) and _URL.fullmatch(value):
        return TargetSettings(name, value, ())
    words = value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []
    if words and words[0] and not any("\0" in word for word in words):
        return TargetSettings(name, None, tuple(words))
    raise _WrongError(at, _WRITE_TARGET)


def _rule(found: Any, at: tuple[str | int, ...], targets: tuple[str, ...]) -> Rule:
    rule = _table(found, at, "[[rules]]")
    _check_keys(rule, _RULE_KEYS, at)
    kinds = [kind for key, kind in _EVENT_KEYS.items() if _flag(rule, key, at)]
    points = _points(rule, at)
    if points is not None:
        kinds.append(ELSEWHERE)
    thresholds = _at(rule["at"], (*at, "at")) if "at" in rule else ()
    if not thresholds and not kinds:
        raise _WrongError(at, f"it asks for nothing; give it one of {', '.join(_CONDITIONS)}")
    window = _word(rule, "window", at)
    if window is not None and not _SLOT.fullmatch(window):
        raise _WrongError((*at, "window"), 'write "5h", "7d", or another length as status names it')
    return Rule(
        at=thresholds,
        kinds=frozenset(kinds),
        elsewhere_points=points or 0.0,
        account=_word(rule, "account", at),
        limit=_word(rule, "limit", at),
        window=window,
        targets=_named(rule["targets"], (*at, "targets"), targets) if "targets" in rule else targets,
    )


def _at(value: Any, at: Sequence[str | int]) -> tuple[float, ...]:
    if not isinstance(value, list) or not value or not all(_is_number(each) and 0 < each <= 100 for each in value):
        raise _WrongError(at, "write percents above 0 and up to 100 as a list: [80, 95]")
    return tuple(sorted({float(each) for each in value}))


def _flag(rule: Mapping[str, Any], key: str, at: Sequence[str | int]) -> bool:
    value = rule.get(key, False)
    if not isinstance(value, bool):
        raise _WrongError((*at, key), "write true or false")
    return value


def _points(rule: Mapping[str, Any], at: Sequence[str | int]) -> float | None:
    """Return how many points have to be used elsewhere; None where that is not asked for."""
    value = rule.get("used_elsewhere", False)
    if isinstance(value, bool):
        return 0.0 if value else None
    if not _is_number(value) or not 0 < value <= 100:
        raise _WrongError((*at, "used_elsewhere"), "write true, false, or how many points it takes: 5")
    return float(value)


def _word(rule: Mapping[str, Any], key: str, at: Sequence[str | int]) -> str | None:
    if key not in rule:
        return None
    value = rule[key]
    if not isinstance(value, str) or not value.strip():
        raise _WrongError((*at, key), f'write one in quotes: {key} = "…"; without it, it is about all')
    return value.strip()


def _named(value: Any, at: Sequence[str | int], known: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise _WrongError(at, 'write the names of targets as a list: ["phone"]')
    for name in value:
        if name not in known:
            raise _WrongError(at, f"no target is called {name!r}; {nearest(name, known)}")
    return tuple(dict.fromkeys(value))


def _quiet_hours(value: Any) -> QuietHours:
    written = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if written:
        hours = [int(each) for each in written.groups()]
        quiet = QuietHours(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])
        if quiet.start != quiet.end:
            return quiet
    raise _WrongError(("quiet_hours",), 'write from when to when, as in "22:00-07:30"')


def _table(value: Any, at: Sequence[str | int], form: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(at, f"write it as a table: {form}")
    return value


def _check_keys(found: Mapping[str, Any], known: Sequence[str], at: Sequence[str | int]) -> None:
    for key in found:
        if key not in known:
            raise _WrongError((*at, key), f"there is no such key; {nearest(key, known)}")


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which of the known words may be meant."""
    if not known:
        return "there is none"
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Where in the file something is


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=")


def _line(text: str, at: Sequence[str | int]) -> int | None:
    """Return the line of a key, else of what it is in; None where neither is found.

    TOML's reader does not tell lines. This finds keys at the start of lines, as people write them.
    """
    places = dict(_places(text))
    for length in range(len(at), 0, -1):
        if tuple(at[:length]) in places:
            return places[tuple(at[:length])]
    return None


def _places(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield where each key and table is, the last first, so that the first stands where there are several."""
    found: list[tuple[tuple[str | int, ...], int]] = []
    table: tuple[str | int, ...] = ()
    count: Counter[tuple[str, ...]] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header:
            name = _parts(header[2])
            table = name
            if header[1] == "[[":
                table = (*name, count[name])
                count[name] += 1
            found.append((table, number))
        elif key := _KEY.match(line):
            found.append(((*table, *_parts(key[1])), number))
    yield from reversed(found)


def _parts(written: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in written.split("."))
