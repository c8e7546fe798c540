"""What `codex-tap uninstall` deletes: all that codex-tap writes on a machine, and nothing that it did not make.

A file is ours if it has a name that only we give and lies where only we write: in the data folder, or beside a database
that carries our mark. Links are never followed or deleted, because we make none.
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
from store.errors import is_locked
from store.schema import APPLICATION_ID
from store.settings import LOG_FOLDER, certificate_folder, data_folder, default_database, shim_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPANION = re.compile(
    r"(\.corrupt-\d{8}-\d{6}(-\d+)?|\.v\d+\.bak(-\d+)?)?(-wal|-shm|-journal)?"  # set aside, kept before a migration
    r"|\.unwritten-\d+-[0-9a-f]{8}\.jsonl(\.part)?"  # readings that wait to be written
    r"|-alerts\.(json(\.part)?|lock)"  # what alerts have told
)
"""What follows a database's name in the names of what belongs to it; nothing, for the database itself."""

_AUTHORITY = re.compile(
    r"mitmproxy-(ca|ca-cert|dhparam)\.(pem|p12|cer)"  # mitmproxy's
    r"|(command|node|upstream)-[0-9a-f]{16}\.pem"  # bundles
    r"|tmp[a-z0-9_]{8}"  # a bundle whose making was cut off
)
_SHIM = re.compile(r"(codex|codex\.cmd|\.codex-tap-shim)(\.[a-z0-9_]{8})?")
_PROBED = re.compile(r"codex-programs\.json(\.[a-z0-9_]{8})?")
"""The names in the shim's folder and of what is remembered of Codex, and of files whose making was cut off."""

_MAKING = re.compile(r"\.[a-z0-9_]{8}")
"""What follows the folder's name while an authority is being made."""

_MARK_AT = 68
"""Where SQLite keeps the application id in a file's header."""


class UninstallPlan(NamedTuple):
    """What is there: files to delete, folders to delete once they are empty, and what is not ours in their places."""

    databases: list[Path]
    files: list[Path]
    folders: list[Path]
    others: list[Path]


def plan_uninstall(database: Path) -> UninstallPlan:
    """Look for all that is ours; `database` is the one in use, which may lie anywhere."""
    databases = dict.fromkeys((database.absolute(), default_database({}).absolute()))
    ours = [path for path in databases if _is_our_database(path)]
    companions = [file for path in databases for file in _companions(path)]
    folders = [folder for folder in _authority_folders() if not folder.is_symlink()]
    authority = [file for folder in folders for file in _plain_files(folder) if _AUTHORITY.fullmatch(file.name)]
    shim = shim_folder().absolute()
    if shim.is_dir() and not shim.is_symlink():
        folders.append(shim)
    launching = [file for file in _plain_files(shim) if shim in folders and _SHIM.fullmatch(file.name)]
    launching += [file for file in _plain_files(data_folder().absolute()) if _PROBED.fullmatch(file.name)]
    # It may name services with their secrets; one that lies where the user has put it is the user's.
    alerts = default_path({}).absolute()
    rules = [file for file in _plain_files(alerts.parent) if file == alerts]
    logs = data_folder().absolute() / LOG_FOLDER
    files = list(dict.fromkeys([*ours, *companions, *authority, *launching, *rules, *log_files(logs)]))
    emptied = dict.fromkeys([*folders, logs, data_folder().absolute(), alerts.parent])
    return UninstallPlan(ours, files, list(emptied), _others(files, [*folders, logs], database))


def is_in_use(database: Path) -> bool:
    """Tell whether another program, such as a proxy, has the database open."""
    try:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            # Only with this does a write-ahead log, too, let one in only where nobody else is.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        return is_locked(error)  # a damaged one is nobody's
    return False


def delete_files(found: UninstallPlan) -> None:
    """Delete what was found.

    Raises:
        OSError: one of the files cannot be deleted; those after it are still there.
    """
    for file in found.files:
        file.unlink(missing_ok=True)
    for folder in found.folders:
        with contextlib.suppress(OSError):  # somebody keeps something else there
            folder.rmdir()


def remove_program() -> str:
    """Return what removes the program itself, as it is installed here."""
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return "pipx uninstall codex-tap"
    if "uv" in parts and "tools" in parts:
        return "uv tool uninstall codex-tap"
    return f"delete its checkout, or the environment {sys.prefix}"


def _is_our_database(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    if path.parent == data_folder().absolute():
        return True
    with path.open("rb") as file:
        head = file.read(_MARK_AT + 4)
    return head.startswith(b"SQLite format 3\0") and head[_MARK_AT:] == APPLICATION_ID.to_bytes(4, "big")


def _companions(database: Path) -> Iterator[Path]:
    """Yield what belongs to a database of ours, or to one that was ours and is gone."""
    if database.exists() and not _is_our_database(database):
        return
    for file in _plain_files(database.parent):
        if file.name.startswith(database.name) and _COMPANION.fullmatch(file.name.removeprefix(database.name)):
            yield file


def _authority_folders() -> list[Path]:
    """Return the folder of the authority, and those in which the making of one was cut off."""
    folder = certificate_folder().absolute()
    if not folder.parent.is_dir():
        return []
    return [
        each
        for each in sorted(folder.parent.iterdir())
        if each.name.startswith(folder.name)
        and (each == folder or _MAKING.fullmatch(each.name.removeprefix(folder.name)))
        and each.is_dir()
    ]


def _plain_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [each for each in sorted(folder.iterdir()) if each.is_file() and not each.is_symlink()]


def _others(files: list[Path], folders: list[Path], database: Path) -> list[Path]:
    """Return what lies in our folders or in the database's place without being ours."""
    ours = {*files, *folders}
    places = [path for folder in (data_folder().absolute(), *folders) if folder.is_dir() for path in folder.iterdir()]
    if database.is_symlink() or database.exists():
        places.append(database.absolute())
    return sorted({path for path in places if path not in ours})
