"""Opening the database: refusals, private files, locks and damage."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store import database, files, schema
from store.database import open_reader, open_writer
from store.errors import DamagedError, DatabaseError, LockedError, MissingError
from store.files import inode
from store.settings import default_database
from tests.support.command_line import started
from tests.support.databases import record
from tests.support.factories import used
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes, owners and links are a POSIX matter here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tap.sqlite3"


def test_opening_again_changes_nothing(path: Path) -> None:
    """Migrations are applied once."""
    open_writer(path).close()
    before = path.read_bytes()

    open_writer(path).close()

    assert path.read_bytes() == before


@posix_only
def test_files_are_private_from_the_start(path: Path) -> None:
    """The folder, the database and its companions are closed to other users, whatever the umask."""
    before = os.umask(0)
    try:
        connection = open_writer(path)
        connection.execute("UPDATE accounts SET name = 'x'")
    finally:
        os.umask(before)

    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    connection.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


@posix_only
def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    """Only a folder that codex-tap creates is closed to other users."""
    tmp_path.chmod(0o755)

    open_writer(tmp_path / "tap.sqlite3").close()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def newer_database(path: Path) -> None:
    open_writer(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()


REFUSED = [
    pytest.param(lambda path: path.write_bytes(b"no database at all" * 100), "is not a SQLite database", id="garbage"),
    pytest.param(foreign_database, "is a database of another program", id="foreign"),
    pytest.param(newer_database, "was written by a newer codex-tap", id="newer"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
@pytest.mark.parametrize("opener", [open_writer, open_reader])
def test_a_foreign_or_newer_file_is_refused(
    path: Path, make: Callable[[Path], object], message: str, opener: Callable[[Path], object]
) -> None:
    """The error says which file it is and what is wrong with it, and the file stays as it was."""
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()

    with pytest.raises(DatabaseError, match=message) as caught:
        opener(path)

    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


@posix_only
def test_a_link_is_refused(path: Path) -> None:
    """A user who can write into the folder cannot lead the writer into another file."""
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")

    with pytest.raises(DatabaseError, match="is a link"):
        open_writer(path)

    assert not (path.parent / "elsewhere").exists()


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    """The error is one sentence, instead of SQLite's "unable to open database file"."""
    path.mkdir(parents=True)

    with pytest.raises(DatabaseError, match="is a link or not a regular file"):
        open_writer(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(path: Path) -> None:
    """The owner of a file could read and change what is written into it."""
    open_writer(path).close()
    os.chown(path, 12345, 12345)

    with pytest.raises(DatabaseError, match="belongs to another user"):
        open_writer(path)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    """The error names the file that was asked for."""
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseError, match="cannot be created"):
        open_writer(tmp_path / "file" / "tap.sqlite3")


def test_a_lock_has_an_error_of_its_own(path: Path) -> None:
    """A lock ends by itself, so a caller can try again later."""
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError):
            open_writer(path)
    other.close()


def test_a_reader_never_creates_the_file(path: Path) -> None:
    """A query leaves no file and no folder behind."""
    with pytest.raises(MissingError):
        open_reader(path)

    assert not path.parent.exists()


def test_a_reader_of_an_empty_file_finds_nothing(path: Path) -> None:
    """A proxy that is starting has created the file but not yet its tables."""
    files.create_private(path)

    with pytest.raises(MissingError, match="still empty"):
        open_reader(path)


_READ = "import sys; from pathlib import Path; from store.database import open_reader; \
print(open_reader(Path(sys.argv[1])).execute('SELECT used_5h_percent FROM snapshots').fetchone()[0])"


def test_a_read_only_medium(path: Path) -> None:
    """A database that was closed cleanly is read where SQLite can create no file beside it."""
    record(path, used(13))
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; exec "$2" -c "$3" "$4"'
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(path.parent), sys.executable]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is missing, so no read-only medium can be mounted")
    found = subprocess.run([*words, _READ, str(path)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode in {1, 77} and "Traceback" not in found.stderr:
        pytest.skip(f"no read-only medium can be mounted here: {found.stderr.strip()}")
    assert (found.stdout, found.stderr) == ("13.0\n", "")


def test_a_reader_cannot_write(path: Path) -> None:
    """A reader's connection is read-only for SQLite itself."""
    open_writer(path).close()
    connection = open_reader(path)

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM main.accounts")

    connection.close()


def test_a_failed_transaction_leaves_nothing(path: Path) -> None:
    """All of a transaction is written, or none of it."""
    connection = open_writer(path)
    insert = "INSERT INTO accounts (account_id, user_id, first_seen_at, last_seen_at) VALUES ('a', 'u', 0, 0)"

    def insert_twice() -> None:
        with database.transaction(connection):
            connection.execute(insert)
            connection.execute(insert)

    with pytest.raises(sqlite3.IntegrityError):
        insert_twice()

    assert connection.execute("SELECT count(*) FROM accounts").fetchone()[0] == 0
    connection.close()


def test_programs_that_start_together_make_one_schema(path: Path) -> None:
    """If several programs start at once, one creates the schema and the others find it complete."""
    program = (
        "import sys, time, pathlib; from store.errors import LockedError; from store.database import open_writer\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "for _ in range(100):\n"
        "    try:\n"
        "        open_writer(path).close(); break\n"
        "    except LockedError:\n"
        "        time.sleep(0.05)\n"
        "else:\n"
        "    sys.exit('locked to the end')"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    errors = [process.communicate(timeout=60)[1] for process in started]

    assert [(process.returncode, error) for process, error in zip(started, errors, strict=True)] == [(0, "")] * 4
    open_reader(path).close()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def break_all_but_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100].ljust(path.stat().st_size, b"\xff"))


def break_the_newest_row(path: Path) -> None:
    """Overwrite only the page with the row that stands for the present."""
    content = path.read_bytes()
    page = content.rindex(NEWEST.encode()) // 4_096
    path.write_bytes(content[: page * 4_096] + b"\xff" * 4_096 + content[(page + 1) * 4_096 :])


NEWEST = "the newest row of all"
DAMAGE = [cut_short, break_all_but_the_header, break_the_newest_row]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_when_opening(path: Path, damage: Callable[[Path], None]) -> None:
    """Damage has an error of its own, and finding it changes nothing."""
    record(path, *(used(index % 100) for index in range(300)), used(50).model_copy(update={"thread": NEWEST}))
    damage(path)
    before = path.read_bytes()

    with pytest.raises(DamagedError, match="is damaged") as caught:
        open_writer(path)

    assert caught.value.inode == inode(path)
    assert path.read_bytes() == before


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def broken_foreign(path: Path) -> None:
    foreign_database(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 77")
    connection.close()
    break_all_but_the_header(path)


@pytest.mark.parametrize(
    ("make", "at_home", "ours"),
    [
        pytest.param(garbage, True, True, id="garbage at the default path"),
        pytest.param(garbage, False, False, id="garbage named by the user"),
        pytest.param(broken_foreign, True, False, id="another program's at the default path"),
        pytest.param(broken_foreign, False, False, id="another program's named by the user"),
    ],
)
def test_only_our_own_files_count_as_damaged(
    path: Path, make: Callable[[Path], None], *, at_home: bool, ours: bool
) -> None:
    """Any other file may be named by mistake: it is refused and never renamed."""
    chosen = default_database({}) if at_home else path
    chosen.parent.mkdir(parents=True, exist_ok=True)
    make(chosen)

    with pytest.raises(DatabaseError) as caught:
        open_writer(chosen)

    assert isinstance(caught.value, DamagedError) is ours


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"used_5h_percent REAL", b"qsed_5h_percent REAL"),
        (b"CREATE TABLE accounts", b"CREATE TABLE \xe1ccounts"),
        (b"CREATE TABLE accounts", b"CREATE UABLE accounts"),
        (b"-- given by a person", b"-- \xffiven by a person"),
        (b"losses", b"mosses"),
    ],
    ids=["column", "no text", "no statement", "comment", "table"],
)
def test_a_flipped_bit_in_the_text_of_the_schema(path: Path, before: bytes, after: bytes) -> None:
    """Readers say so in one line, and the next recorder goes on, in a new file if the damage is in the way."""
    record(path, used(13))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(before, after))
    for program in ("status", "doctor"):
        ended = started(program, "--db", path)
        assert "Traceback" not in ended.stderr
        assert ended.returncode in {0, 1, 4}
        assert len(ended.stderr.splitlines()) <= 1
    record(path, used(14))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(used_5h_percent) FROM snapshots").fetchone() == (14.0,)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 cannot switch triggers off")
def test_a_trigger_of_the_file_does_nothing(path: Path) -> None:
    """Deletions still reach the rows of an account."""
    record(path, used(13))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON snapshots BEGIN DELETE FROM snapshots; END")
    record(path, used(14))
    with closing(open_writer(path)) as connection:
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (2,)
        connection.execute("DELETE FROM accounts")
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (0,)
