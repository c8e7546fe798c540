"""Is Codex read? Compares Codex's session files with what was recorded."""

from __future__ import annotations

import sqlite3
import tomllib
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from scripts.codex_files.location import codex_home
from scripts.codex_files.session_files import SessionFile, newest_sessions
from scripts.launch.running_proxies import running_proxies
from scripts.maintenance.doctor.check import Check, age
from scripts.support.database import open_for_reading
from store.analysis.formatting import DAY, HOUR
from store.errors import DatabaseError, MissingError
from store.files import backup_files, installation_file, read_regular, spill_files
from store.queries.health import LastRead, load_last_read, load_last_turns
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from store.documents import CheckLevel

_FIRST_READING = "run Codex through the tap once: codex-tap run codex"
_FIRST_READING_INSTALLED = "use Codex once, in a new shell"
_BYPASS = "start it with codex-tap run codex, or let codex-tap install do that; the other lines may have the reason"
_BYPASS_INSTALLED = (
    "it may have been started before the installation, or by a path; the other lines may have the reason"
)

GRACE_SECONDS = 600.0
"""Codex writes its file while a response arrives, and a turn is recorded at its end, so times differ by minutes."""

_SESSIONS = 20
_SCAN_SECONDS = 1.0
_SHORT_THREAD = 8
_MAX_CONFIG_BYTES = 1_000_000
_BASE_URLS = ("openai_base_url", "chatgpt_base_url")


class _Recorded(NamedTuple):
    """What was recorded: when last, and the last turn of each thread (Unix seconds).

    ``doubt`` is a reason why later readings may be elsewhere, or None.
    """

    last: LastRead
    turns: Mapping[str, float]
    doubt: str | None

    def misses(self, session: SessionFile, now: float) -> bool:
        """Return True if the latest turns of a session were not recorded, while others were."""
        turn_at = self.turns.get(session.thread)
        if turn_at is not None:
            return session.written_at > turn_at + GRACE_SECONDS
        return now > session.written_at + GRACE_SECONDS  # its first turn may still run

    def is_older_than(self, session: SessionFile) -> bool:
        """Return True if nothing was recorded at the time of the latest turn of a session."""
        return session.written_at > (self.last.at or 0.0) + GRACE_SECONDS


def _first_reading_advice() -> str:
    """Return how to get the first reading."""
    return _FIRST_READING_INSTALLED if _installed_at() is not None else _FIRST_READING


def check_reading(database: Path, environ: Mapping[str, str], now: float) -> Iterator[Check]:
    """Check that what Codex did last was read.

    Args:
        database: the database.
        environ: the environment, for CODEX_HOME.
        now: in Unix seconds.
    """
    home = codex_home(environ)
    found = newest_sessions(home, _SESSIONS, seconds=_SCAN_SECONDS)
    # The clock of a file server may be wrong; a file from the future says nothing.
    sessions = [each for each in found if each.written_at < now + GRACE_SECONDS]
    try:
        with open_for_reading(database) as connection:
            threads = [each.thread for each in sessions]
            last, turns = load_last_read(connection), load_last_turns(connection, threads)
    except MissingError:
        last, turns = LastRead(None, newest_deleted=False), {}
    except (DatabaseError, sqlite3.Error, OSError):
        yield Check("reading", "note", "not known, because the database cannot be read")
        return
    if sessions:
        yield _compare(sessions, _Recorded(last, turns, _find_doubt(database, last)), home, now)
    else:
        yield _judge_age(last, now)


def _find_doubt(database: Path, last: LastRead) -> str | None:
    """Return why readings may be missing in the database although Codex was read, or None."""
    if last.newest_deleted:
        return "the newest snapshots were deleted"
    if spill_files(database):
        return "some changes are not in the database yet"
    if last.at is None and backup_files(database):
        return "an earlier database was set aside"
    other = next((each for each in running_proxies() if not each.records_to(database)), None)
    return None if other is None else f"the proxy at {other.address} records to another database, {other.database}"


def _compare(sessions: Sequence[SessionFile], recorded: _Recorded, home: Path, now: float) -> Check:
    worked, last = f"Codex worked {age(now - sessions[0].written_at)} ago", recorded.last
    if recorded.doubt and recorded.is_older_than(sessions[0]):
        return Check("reading", "note", f"{worked}; whether it was read is unknown, because {recorded.doubt}")
    installed_at, is_recent = _installed_at(), sessions[0].written_at > now - DAY
    if last.at is None and installed_at is not None and sessions[0].written_at > installed_at + GRACE_SECONDS:
        message = f"{worked}, and nothing was read since the installation {age(now - installed_at)} ago"
        return _bypass(f"{message}: it goes round the tap", home, is_recent=is_recent)
    if last.at is None:
        return Check("reading", "note", f"nothing was read yet, and {worked}", _first_reading_advice())
    read = f"the last response was read {age(now - last.at)} ago"
    if recorded.is_older_than(sessions[0]):
        return _bypass(f"{worked}, {read}: it goes round the tap", home, is_recent=is_recent)
    missed = [each for each in sessions if each.written_at > now - HOUR and recorded.misses(each, now)]
    if missed and not recorded.doubt:
        message = (
            f"{read}, but the latest turns of {_sessions(missed)} were not read; "
            f"Codex worked there {age(now - missed[0].written_at)} ago"
        )
        return Check("reading", "note", message, _elsewhere(home) or _bypass_advice())
    return Check("reading", "ok", f"Codex is read: it worked {age(now - sessions[0].written_at)} ago, {read}")


def _bypass(message: str, home: Path, *, is_recent: bool) -> Check:
    elsewhere = _elsewhere(home)
    level: CheckLevel = "problem" if is_recent and not elsewhere else "note"
    return Check("reading", level, message, elsewhere or _bypass_advice())


def _bypass_advice() -> str:
    return _BYPASS_INSTALLED if _installed_at() is not None else _BYPASS


def _judge_age(last: LastRead, now: float) -> Check:
    """Judge the readings alone: Codex has no session files here."""
    if last.at is None:
        return Check("reading", "note", "nothing was read yet", _first_reading_advice())
    message = f"the last response was read {age(now - last.at)} ago"
    if now - last.at < DAY:
        return Check("reading", "ok", message)
    return Check("reading", "note", message, f"if Codex was used since then, it bypassed the tap; {_bypass_advice()}")


def _installed_at() -> float | None:
    """Return when `codex-tap install` was last run (Unix seconds), or None if nothing is installed."""
    try:
        return installation_file().stat().st_mtime
    except OSError:
        return None


def _sessions(missed: Sequence[SessionFile]) -> str:
    named = f"session {missed[0].thread[:_SHORT_THREAD]}"
    return named if len(missed) == 1 else f"{named} and {len(missed) - 1} more"


def _elsewhere(home: Path) -> str | None:
    """Return why turns of Codex may not concern the tap at all: its configuration names another provider."""
    try:
        config = tomllib.loads(read_regular(home / "config.toml", _MAX_CONFIG_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return None
    profiles = config.get("profiles")
    profile = profiles.get(str(config.get("profile"))) if isinstance(profiles, dict) else None
    settings = {**config, **(profile if isinstance(profile, dict) else {})}
    if settings.get("model_provider") not in (None, "openai"):
        return "config.toml sets another model_provider, whose turns codex-tap does not read unless --host names it"
    for name in _BASE_URLS:
        if not _is_watched(settings.get(name)):
            return f"config.toml sets {name}; codex-tap reads another host if --host names it"
    return None


def _is_watched(url: object) -> bool:
    try:
        host = urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        return False
    return host is None or host in WATCHED_HOSTS
