"""What `codex-tap uninstall` deletes: all files that codex-tap writes on a machine, and no others.

A file is ours if its name is one of those in `store.files` and its place is one that only codex-tap writes to: the data
folder, or beside a database of ours. Links are neither followed nor deleted, because codex-tap makes none.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.alerts.settings import default_path
from scripts.launch.proxy_log import log_files
from store import files
from store.database import is_ours
from store.errors import is_locked
from store.settings import cache_folder, data_folder, default_database

if TYPE_CHECKING:
    from collections.abc import Iterable


class UninstallPlan(NamedTuple):
    """Files to delete, the databases among them, folders to delete if they are empty then, and foreign files there."""

    databases: list[Path]
    files: list[Path]
    folders: list[Path]
    others: list[Path]


def plan_uninstall(database: Path) -> UninstallPlan:
    """Find all files that are ours.

    Args:
        database: the database in use, which may be anywhere; the one in the default place is found as well.
    """
    data, logs, cache = (each().absolute() for each in (data_folder, files.log_folder, cache_folder))
    databases = dict.fromkeys((database.absolute(), default_database({}).absolute()))
    ours = [path for path in databases if is_ours(path)]
    programs = {
        files.shim_folder(): files.SHIM_NAMES,
        files.installed_folder(): files.SHIM_NAMES,
        files.service_folder(): files.SERVICE_NAMES,
        files.proxies_folder(): files.PROXY_NAMES,
    }
    folders = [*_authority_folders(), *(folder for each in programs for folder in _real_folder(each))]
    # A configuration of alerts may hold secrets, so it is deleted; one in another place than ours is the user's own.
    alerts = default_path({}).absolute()
    found = [
        *ours,
        *(file for path in databases for file in _companions(path)),
        *(file for folder in _authority_folders() for file in _files(folder, files.AUTHORITY_NAMES)),
        *(
            file
            for place, names in programs.items()
            for folder in _real_folder(place)
            for file in _files(folder, names)
        ),
        *_files(data, files.PROBED_NAMES),
        *_files(data, files.API_PRICES_NAMES),
        *_files(data, files.INSTALLATION_NAMES),
        *_files(data, files.TEAM_STATE_NAMES),
        *_files(alerts.parent, re.escape(alerts.name)),
        *_files(cache, files.KEPT_NAMES),
        *log_files(logs),
    ]
    unique = list(dict.fromkeys(found))
    emptied = dict.fromkeys([*folders, logs, data, alerts.parent, cache])
    return UninstallPlan(ours, unique, list(emptied), _others(unique, [*folders, logs], database))


def is_in_use(database: Path) -> bool:
    """Return True if another program, such as a proxy, has the database open."""
    try:
        with contextlib.closing(
            sqlite3.connect(files.sqlite_uri(database, "mode=rw"), uri=True, timeout=0)
        ) as connection:
            # In WAL mode, only this makes the lock exclude readers as well.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        return is_locked(error)  # no program works with a damaged one
    return False


def delete_files(plan: UninstallPlan, keep: Iterable[Path] = ()) -> None:
    """Delete the files of a plan but those to keep, and its folders if they are empty then.

    Raises:
        OSError: a file cannot be deleted; those after it are still there.
    """
    kept = set(keep)
    for file in plan.files:
        if file not in kept:
            file.unlink(missing_ok=True)
    for folder in plan.folders:
        with contextlib.suppress(OSError):  # it has foreign files
            folder.rmdir()


def remove_program() -> str:
    """Return the command that removes the program itself, as it is installed here."""
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return "pipx uninstall codex-tap"
    if "uv" in parts and "tools" in parts:
        return "uv tool uninstall codex-tap"
    return f"delete its checkout, or the environment {sys.prefix}"


def _companions(database: Path) -> list[Path]:
    """Return the files of a database of ours, also of one that does not exist any more."""
    if database.exists() and not is_ours(database):
        return []
    return _files(database.parent, re.escape(database.name) + f"({files.DATABASE_SUFFIXES})")


def _authority_folders() -> list[Path]:
    """Return the folder of the certificate authority, and those in which the creation of one was interrupted."""
    folder = files.certificate_folder().absolute()
    if not folder.parent.is_dir():
        return []
    name = re.escape(folder.name) + files.AUTHORITY_FOLDER_SUFFIXES
    candidates = (each for each in sorted(folder.parent.iterdir()) if re.fullmatch(name, each.name))
    return [each for candidate in candidates for each in _real_folder(candidate)]


def _real_folder(folder: Path) -> list[Path]:
    """Return the folder if it exists and is not a link."""
    return [folder.absolute()] if folder.is_dir() and not folder.is_symlink() else []


def _files(folder: Path, names: str) -> list[Path]:
    """Return the regular files in a folder whose names match a regular expression."""
    if not folder.is_dir():
        return []
    found = (each for each in sorted(folder.iterdir()) if re.fullmatch(names, each.name))
    return [each for each in found if each.is_file() and not each.is_symlink()]


def _others(ours: Iterable[Path], folders: Iterable[Path], database: Path) -> list[Path]:
    """Return the files in our folders, and at the database's path, that are not ours."""
    known = {*ours, *folders}
    places = [path for folder in (data_folder().absolute(), *folders) if folder.is_dir() for path in folder.iterdir()]
    if database.is_symlink() or database.exists():
        places.append(database.absolute())
    return sorted({path for path in places if path not in known})
