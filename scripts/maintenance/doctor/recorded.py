"""Checks of the database: whether it can be used, what it could not store, and what was seen and is not understood."""

from __future__ import annotations

import sqlite3
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.maintenance.doctor.check import Check, age
from scripts.support.database import open_for_reading
from store.errors import DatabaseError, MissingError
from store.files import backup_files, spill_files
from store.models import SightingKind
from store.queries.health import count_unreadable, load_losses, load_summary, load_team_summary
from store.queries.sightings import load_sightings
from store.settings import DATABASE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.support.place import Place
    from store.queries.sightings import SightingCount
    from store.team.address import TeamAddress

_WINDOWS = sys.platform == "win32"
_MAX_NAMES = 10


def check_place(place: Place, now: float) -> Iterator[Check]:
    """Check the database in use."""
    return check_database(place, now) if isinstance(place, Path) else _check_team(place, now)


def _check_team(address: TeamAddress, now: float) -> Iterator[Check]:
    """Check that a team's database can be read; report how many machines ship to it, and when the last was heard."""
    try:
        with open_for_reading(address) as connection:
            found, lost = load_team_summary(connection), load_losses(connection)
    except DatabaseError as error:
        yield Check("database", "problem", str(error), f"name another one with --db or {DATABASE_VARIABLE}")
        return
    heard = "" if found.last_heard_at is None else f", the last one heard {age(now - found.last_heard_at)} ago"
    yield Check("database", "ok", f"{address}, accounts: {found.accounts:,}, machines: {found.machines:,}{heard}")
    if lost:
        message = f"changes dropped on machines: {lost.number:,}, the last one {age(now - lost.last_at)} ago"
        yield Check("dropped", "note", message, "codex-tap doctor on these machines says why")


def check_database(path: Path, now: float) -> Iterator[Check]:
    """Check that the database can be read, and by its owner alone; report what it has lost or could not interpret."""
    name = "database"
    try:
        with open_for_reading(path) as connection:
            found, lost = load_summary(connection), load_losses(connection)
            unreadable = count_unreadable(connection)
            sightings = {kind: load_sightings(connection, kind) for kind in SightingKind}
    except MissingError:
        yield Check(name, "note", f"{path} is missing or empty; the first response that is read creates it")
        return
    except (DatabaseError, sqlite3.Error, OSError) as error:
        yield Check(name, "problem", str(error), f"use another file with --db or {DATABASE_VARIABLE}")
        return
    if is_private(path):
        yield Check(name, "ok", f"{path}, snapshots: {found.snapshots:,}, accounts: {found.accounts}")
    else:
        yield Check(name, "problem", f"other users can read {path}", f"chmod 600 {path}")
    if unreadable:
        message = f"limits whose newest snapshot is damaged and cannot be read: {unreadable:,}"
        yield Check("damage", "note", message, "the next change of each replaces it")
    if lost:
        reasons = "; ".join(lost.reasons)
        message = f"changes dropped: {lost.number:,}, the last one {age(now - lost.last_at)} ago: {reasons}"
        yield Check("dropped", "note", message, "the history has gaps; later changes are stored")
    for kind, names in sightings.items():
        if names:
            yield _judge_sightings(kind, _listed(names, now))


def check_beside(path: Path) -> Iterator[Check]:
    """Report the files beside the database that do not belong to its normal operation."""
    copies = backup_files(path)
    if copies:
        names = ", ".join(each.name for each in copies)
        yield Check("copies", "note", f"old copies beside the database: {names}", "safe to delete")
    waiting = spill_files(path)
    if waiting:
        message = f"files with changes that are not in the database yet: {len(waiting)}"
        yield Check("waiting", "note", message, "the next start of the proxy imports them")


def is_private(path: Path) -> bool:
    """Return True if only its owner can read a file. On Windows the access rights of its folder ensure that."""
    return _WINDOWS or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _judge_sightings(kind: SightingKind, names: str) -> Check:
    match kind:
        case SightingKind.HOST:
            return Check("hosts", "ok", f"the server led Codex to other hosts of its own, which are read too: {names}")
        case SightingKind.OTHER_HOST:
            message = f"the server led Codex to hosts that are not read: {names}"
            return Check("hosts", "note", message, "to read a host that you trust: codex-tap run --host HOST codex")
        case SightingKind.UNKNOWN_FIELD:
            message = f"fields that look like limits and are not read: {names}"
            return Check("fields", "note", message, "update codex-tap; if it is up to date, report the names")
        case SightingKind.UNKNOWN_LOGIN:
            message = f"limits that were not stored, because the login names no account: {names}"
            return Check("logins", "note", message, "update codex-tap; if it is up to date, report the names")


def _listed(names: Sequence[SightingCount], now: float) -> str:
    shown = [_counted(each, now) for each in names[:_MAX_NAMES]]
    more = len(names) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more else shown)


def _counted(seen: SightingCount, now: float) -> str:
    times = "once" if seen.times == 1 else f"{seen.times:,} times"
    return f"{seen.name} ({times}, last {age(now - seen.last_seen_at)} ago)"
