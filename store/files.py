"""The files that codex-tap writes: their names, private and atomic creation, and the files beside the database.

All of their names are here; `codex-tap uninstall` deletes the files with these names and no others. Errors of the
database are imported where they are raised: the launcher uses this module before the start of the user's command, and
needs no SQLite.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from store.settings import cache_folder, data_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePath

    from store.errors import Inode

PARTIAL_SUFFIX = ".part"
"""The end of the name of a file that is not written completely; it is renamed when it is."""

COMPANION_SUFFIXES = ("-wal", "-shm")
"""The ends of the names of the files that SQLite writes beside a database: its log, and the index of the log."""

_CORRUPT, _BACKUP = ".corrupt-", ".v"
_SPILL, _SPILL_SUFFIX = ".unwritten-", ".jsonl"
_AUTHORITY_LOCK, _DAMAGED = "authority.lock", ".damaged-"
_ALERTS_STATE, _ALERTS_LOCK, _OTLP_LOCK = "-alerts.json", "-alerts.lock", "-otlp.lock"
_TURNS, _TURNS_SUFFIX = "-turns-", ".json"
_TOKEN_SECRET = "-token-secret"  # noqa: S105 (a file's name)

_SECRET_BYTES = 32

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_REPLACE_TRIES = 5
_REPLACE_RETRY_SECONDS = 0.05

# Paths in the data folder


def certificate_folder() -> Path:
    """Return the folder of the proxy's own certificate authority (mitmproxy's ``confdir``)."""
    return data_folder() / "ca"


LOG_FOLDER = "logs"
"""The name of the folder of the proxy's log files, beside the folder of its certificates."""


def log_folder() -> Path:
    """Return the folder of the log files of the user's proxies."""
    return data_folder() / LOG_FOLDER


def log_file(folder: Path, pid: int) -> Path:
    """Return the log file of the proxy with a process id."""
    return folder / f"proxy-{pid}.log"


BundleKind = Literal["command", "node", "upstream"]
"""Who trusts the certificates of a bundle: the user's command, Node.js in it, or the proxy."""


def bundle_file(folder: Path, kind: BundleKind, digest: str) -> Path:
    """Return the file of a bundle of certificates, named after the SHA-256 digest of its content."""
    return folder / f"{kind}-{digest[:16]}.pem"


def authority_lock_path(folder: Path) -> Path:
    """Return the path of the lock that a process holds while it makes files of a certificate authority."""
    return folder / _AUTHORITY_LOCK


SHIM_MARKER = ".codex-tap-shim"
"""The name of the file that marks the folder of the shim; `scripts.launch.codex_program` repeats it."""


def shim_folder() -> Path:
    """Return the folder of the ``codex`` that commands under the tap find first in their PATH."""
    return data_folder() / "shim"


def installed_folder() -> Path:
    """Return the folder of the ``codex`` that `codex-tap install` puts first in the user's PATH."""
    return data_folder() / "bin"


def installation_file() -> Path:
    """Return the file that stores what `codex-tap install` has changed."""
    return data_folder() / "installation.json"


def service_folder() -> Path:
    """Return the folder of the always-on service: the program that holds its port, its configuration and status."""
    return data_folder() / "service"


HOLDER_PROGRAM, HOLDER_CONFIG, HOLDER_STATUS = "holder.py", "config.json", "status.json"
"""The names of the files in that folder."""


def trusted_file() -> Path:
    """Return the file of all certificates that every Codex of the user trusts, the proxy's among them."""
    return data_folder() / "codex-certificates.pem"


def probed_programs() -> Path:
    """Return the file that stores which ``codex`` accepts ``--no-daemon``."""
    return data_folder() / "codex-programs.json"


def api_prices_file() -> Path:
    """Return the file that stores the public prices of the models that were seen (`scripts.prices.price_list`)."""
    return data_folder() / "api-prices.json"


def proxies_folder() -> Path:
    """Return the folder with a file for each proxy that runs (`scripts.launch.running_proxies`)."""
    return data_folder() / "proxies"


def proxy_file(pid: int, port: int) -> Path:
    """Return the file of the proxy of a process at a port."""
    return proxies_folder() / f"{pid}-{port}.json"


# The cache folder


def kept_path(database: Path) -> Path:
    """Return the file of what is kept of the answers about a database (`store.kept`), however its path is written."""
    import hashlib

    digest = hashlib.blake2b(os.fsencode(os.path.realpath(database)), digest_size=8).hexdigest()
    return cache_folder() / f"kept-{digest}.sqlite3"


# Paths beside the database


def spill_path(database: Path) -> Path:
    """Return a new path for readings that could not be written to the database; such paths sort by time."""
    return database.with_name(f"{database.name}{_SPILL}{time.time_ns()}-{os.urandom(4).hex()}{_SPILL_SUFFIX}")


def backup_path(database: Path, version: int) -> Path:
    """Return a new path for the copy of a database of an older schema version."""
    return free_name(database.with_name(f"{database.name}{_BACKUP}{version}.bak"))


def alerts_state_path(database: Path) -> Path:
    """Return the path of the state of the alerts of a database."""
    return database.with_name(f"{database.name}{_ALERTS_STATE}")


def team_state_path(shown: str) -> Path:
    """Return the path that the files of a watcher of a team's database are named by; `shown` is its address."""
    import hashlib

    return data_folder() / f"team-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"


def alerts_lock_path(database: Path) -> Path:
    """Return the path of the lock that the watch for alerts of a database holds."""
    return database.with_name(f"{database.name}{_ALERTS_LOCK}")


def otlp_lock_path(database: Path) -> Path:
    """Return the path of the lock that the sender of a database's metrics holds."""
    return database.with_name(f"{database.name}{_OTLP_LOCK}")


def token_secret_path(database: Path) -> Path:
    """Return the path of the secret that keys the digests of short tokens (`load_token_secret`)."""
    return database.with_name(f"{database.name}{_TOKEN_SECRET}")


def turns_path(database: Path, pid: int) -> Path:
    """Return the path of the turns under way of the proxy of a process (`store.turns_under_way`)."""
    return database.with_name(f"{database.name}{_TURNS}{pid}{_TURNS_SUFFIX}")


# The names of all of these, as regular expressions. Earlier versions wrote partial files without the random part, or
# without the suffix.

_PARTIAL = r"(\.[a-z0-9_]{8})?(\.part)?"

DATABASE_SUFFIXES = (
    rf"({re.escape(_CORRUPT)}\d{{8}}-\d{{6}}(-\d+)?|{re.escape(_BACKUP)}\d+\.bak(-\d+)?(\.part)?)?(-wal|-shm|-journal)?"
    rf"|{re.escape(_SPILL)}\d+-[0-9a-f]{{8}}{re.escape(_SPILL_SUFFIX)}{_PARTIAL}"
    rf"|{re.escape(_ALERTS_STATE)}{_PARTIAL}|{re.escape(_ALERTS_LOCK)}|{re.escape(_OTLP_LOCK)}"
    rf"|{re.escape(_TOKEN_SECRET)}{_PARTIAL}"
    rf"|{re.escape(_TURNS)}\d+{re.escape(_TURNS_SUFFIX)}{_PARTIAL}"
)
"""The part of a name that follows the name of the database; it is empty for the database itself."""

AUTHORITY_NAMES = (
    rf"mitmproxy-(ca|ca-cert|dhparam)\.(pem|p12|cer)({re.escape(_DAMAGED)}\d{{8}}-\d{{6}}(-\d+)?|{_PARTIAL})"
    rf"|{re.escape(_AUTHORITY_LOCK)}"
    rf"|(command|node|upstream)-[0-9a-f]{{16}}\.pem{_PARTIAL}"
    r"|tmp[a-z0-9_]{8}"
)
"""The names in the folder of the certificate authority."""

AUTHORITY_FOLDER_SUFFIXES = r"(\.[a-z0-9_]{8})?"
"""The part of a name that follows the name of that folder; it is not empty while the authority is being created."""

SHIM_NAMES = rf"(codex|codex\.cmd|{re.escape(SHIM_MARKER)}){_PARTIAL}"
SERVICE_NAMES = rf"(holder\.py|config\.json|status\.json|task\.xml){_PARTIAL}"
INSTALLATION_NAMES = rf"(installation\.json|codex-certificates\.pem){_PARTIAL}"
PROBED_NAMES = rf"codex-programs\.json{_PARTIAL}"
API_PRICES_NAMES = rf"api-prices\.json{_PARTIAL}"
KEPT_NAMES = r"kept-[0-9a-f]{16}\.sqlite3(-journal)?"
TEAM_STATE_NAMES = rf"team-[0-9a-f]{{12}}({re.escape(_ALERTS_STATE)}{_PARTIAL}|{re.escape(_ALERTS_LOCK)})"
PROXY_NAMES = r"\d+-\d+\.json"
LOG_NAMES = r"proxy-\d+\.log(\.1)?"


# Writing


def create_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700 if it is missing, and its parent in the same way.

    Raises:
        OSError: It cannot be created.

    """
    for each in (folder.parent, folder):  # the mode that `mkdir` is given does not apply to parents
        each.mkdir(mode=0o700, parents=True, exist_ok=True)


def create_private(path: Path) -> None:
    """Create a database with mode 0600 and its folder with mode 0700 if they are missing.

    Raises:
        DatabaseError: It cannot be created, or what is there is not a regular file, or belongs to another user.
        FullError: There is no room for it.

    """
    from store.errors import DatabaseError, FullError

    try:
        create_private_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        problem = ownership_problem(path)
    except OSError as error:
        kind = FullError if error.errno in _NO_SPACE else DatabaseError
        raise kind(f"{path} cannot be created: {error.strerror or error}") from error
    if problem:
        raise DatabaseError(f"{path} {problem}; name another file with --db or CODEX_TAP_DB")


def write_private(path: Path, content: bytes, *, executable: bool = False, is_durable: bool = True) -> None:
    """Write a file with mode 0600 (0700 if ``executable``) in a folder that is created with mode 0700 if it is missing.

    The content is complete on disk before the file appears under its name, and replaces an earlier file in one step.
    Without ``is_durable`` a crash of the system may leave a file of other content, which saves the wait for the disk.

    Raises:
        OSError: It cannot be written; an earlier file is still there, and nothing else is left behind.

    """
    partial = _write_partial(path, content, is_durable=is_durable)
    try:
        if executable:
            partial.chmod(0o700)
        _replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def load_token_secret(database: Path) -> bytes:
    """Return the secret beside a database that keys the digests of short tokens; it is created once.

    Programs that start together get the same one.

    Raises:
        OSError: It can be neither read nor created, or what is there is not such a file.

    """
    path = token_secret_path(database)
    if not os.path.lexists(path):
        partial = _write_partial(path, os.urandom(_SECRET_BYTES))
        try:
            _publish(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    problem = ownership_problem(path)
    secret = b"" if problem else read_regular(path, _SECRET_BYTES + 1)
    if len(secret) != _SECRET_BYTES:
        raise OSError(f"{path} {problem or 'is not a secret of codex-tap'}")
    return secret


def _publish(partial: Path, path: Path) -> None:
    """Give a complete file its name, unless there is a file of that name already."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        pass  # another program was first
    except OSError:  # this file system has no hard links
        if not os.path.lexists(path):
            partial.rename(path)


def _write_partial(path: Path, content: bytes, *, is_durable: bool = True) -> Path:
    """Write a private file beside a path, complete on disk; return its path."""
    import tempfile

    create_private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(PARTIAL_SUFFIX, f"{path.name}.", path.parent)  # with mode 0600
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _replace(partial: Path, path: Path) -> None:
    for remaining in reversed(range(_REPLACE_TRIES)):
        try:
            partial.replace(path)
        except PermissionError:
            # Windows refuses to replace a file that is being read.
            if sys.platform != "win32" or not remaining:
                raise
            time.sleep(_REPLACE_RETRY_SECONDS)
        else:
            return


# Locks


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock, which the operating system releases when the process ends in any way.

    Args:
        path: The file of the lock, which is created with mode 0600 if it is missing.
        wait: Wait for a process that holds the lock.

    Raises:
        BlockingIOError: Another process holds it, and `wait` is false.
        OSError: The file cannot be created.

    """
    create_private_folder(path.parent)
    # Not through a link, which may lead out of a folder that others can write.
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        _lock(descriptor, wait=wait)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if not wait:
            raise BlockingIOError(error.errno, error.strerror) from error
        # A file system without locks: two processes that start at once for the first time are rarer.


# Files that are there


def ownership_problem(path: Path) -> str | None:
    """Return why a file is not trusted, or None: it is not a regular file, or belongs to another user.

    Raises:
        OSError: It cannot be examined.

    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "is a link or not a regular file"
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "belongs to another user"
    return None


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file; a link to one is followed.

    A named pipe is not waited for, and only so much of a large file is read.

    Args:
        path: The file.
        most: The number of bytes that are read at most.

    Raises:
        OSError: It cannot be read, or is not a regular file.

    """
    # Before it is opened, because opening a device may do something; and after, because there may be another file now.
    _check_regular(path.stat())
    with open(path, "rb", opener=_open_at_once) as file:
        _check_regular(os.fstat(file.fileno()))
        return file.read(most)


def read_whole(path: Path, most: int) -> bytes:
    """Return the whole content of a regular file, as `read_regular` does.

    Raises:
        OSError: It cannot be read, is not a regular file, or has more bytes than ``most``.

    """
    content = read_regular(path, most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, "it is too large")
    return content


def has_content(path: Path, content: bytes) -> bool:
    """Return True if there is a regular file with this content."""
    try:
        return read_regular(path, len(content) + 1) == content
    except OSError:
        return False


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def inode(path: Path) -> Inode | None:
    """Return the identity of the file at a path, which a new file there does not have; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file at a path is written or replaced; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def sqlite_uri(path: PurePath, options: str) -> str:
    """Return the URI under which SQLite opens an absolute path, with options as in a query (``mode=ro``).

    `Path.as_uri` gives the same, and imports what takes a command that runs in a prompt two milliseconds.
    """
    name = path.as_posix()
    for character in "%?#":
        name = name.replace(character, f"%{ord(character):02X}")
    return f"file://{'' if name.startswith('/') else '/'}{name}?{options}"


def free_name(wanted: Path) -> Path:
    """Return the path, with a number appended if there is a file already."""
    found, number = wanted, 0
    while os.path.lexists(found):
        number += 1
        found = wanted.with_name(f"{wanted.name}-{number}")
    return found


def set_aside(path: Path) -> Path:
    """Rename a damaged file to a name that says so, make it private and return its new path.

    Raises:
        OSError: It cannot be renamed.

    """
    aside = free_name(path.with_name(f"{path.name}{_DAMAGED}{time.strftime('%Y%m%d-%H%M%S')}"))
    path.rename(aside)
    with contextlib.suppress(OSError):  # it belongs to another user
        if stat.S_ISREG(aside.lstat().st_mode):
            aside.chmod(0o600)
    return aside


def quarantine(path: Path, damaged: Inode | None) -> Path | None:
    """Rename a damaged database and its companions; return the new name.

    Another proxy may have been first: if the file is not the damaged one any more, nothing is renamed and None is
    returned.

    Raises:
        DatabaseError: It cannot be renamed.

    """
    from store.errors import DatabaseError

    aside = free_name(path.with_name(f"{path.name}{_CORRUPT}{time.strftime('%Y%m%d-%H%M%S')}"))
    if damaged is None or inode(path) != damaged:
        return None
    try:
        # The database itself is renamed last: a new one must not find the log of the old one and use it.
        for companion in COMPANION_SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{companion}").rename(f"{aside}{companion}")
        path.rename(aside)
    except OSError as error:
        raise DatabaseError(f"{path} is damaged and cannot be set aside: {error.strerror or error}") from error
    return aside


def backup_files(path: Path) -> list[Path]:
    """Return the damaged databases that were set aside, and the copies that were made before a migration."""
    found = [*_beside(path, f"{path.name}{_CORRUPT}"), *_beside(path, f"{path.name}{_BACKUP}")]
    return [each for each in found if not each.name.endswith((*COMPANION_SUFFIXES, PARTIAL_SUFFIX))]


def spill_files(path: Path) -> list[Path]:
    """Return the files of readings that are not in the database yet, oldest first (`store.record.spill`)."""
    return _beside(path, f"{path.name}{_SPILL}", _SPILL_SUFFIX)


def turns_files(path: Path) -> list[Path]:
    """Return the files of turns under way of the proxies of a database."""
    return _beside(path, f"{path.name}{_TURNS}", _TURNS_SUFFIX)


def partial_files(path: Path) -> list[Path]:
    """Return the partial files beside the database, which a crash may have left there."""
    return _beside(path, path.name, PARTIAL_SUFFIX)


def _beside(path: Path, prefix: str, suffix: str = "") -> list[Path]:
    try:
        found = sorted(path.parent.iterdir())
    except OSError:
        return []
    return [each for each in found if each.name.startswith(prefix) and each.name.endswith(suffix)]
