"""The names of the files that codex-tap writes, the way it writes them, and the quarantine of damaged ones."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import pytest

from scripts.launch import codex_program
from store import files
from store.database import open_writer
from store.errors import DatabaseError
from store.files import (
    backup_files,
    has_content,
    inode,
    load_token_secret,
    quarantine,
    read_regular,
    read_whole,
    token_secret_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter here")


@pytest.fixture(name="written")
def _written(tmp_path: Path) -> Path:
    return tmp_path / "data" / "codex-tap" / "state.json"


def test_the_content_replaces_an_earlier_one(written: Path) -> None:
    for content in (b"first", b"second", b""):
        files.write_private(written, content)
        assert written.read_bytes() == content
    assert list(written.parent.iterdir()) == [written]


@posix_only
@pytest.mark.parametrize(("executable", "mode"), [(False, 0o600), (True, 0o700)])
def test_only_the_owner_can_read_it(written: Path, executable: bool, mode: int) -> None:
    """File and folders are private, whatever the umask and the mode of an earlier file."""
    before = os.umask(0)
    try:
        for _ in range(2):
            files.write_private(written, b"x", executable=executable)
            assert stat.S_IMODE(written.stat().st_mode) == mode
            written.chmod(0o644)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (written.parent, written.parent.parent)} == {0o700}


@posix_only
def test_a_link_is_replaced_and_not_followed(written: Path, tmp_path: Path) -> None:
    written.parent.mkdir(parents=True)
    (tmp_path / "theirs").write_bytes(b"theirs")
    written.symlink_to(tmp_path / "theirs")
    files.write_private(written, b"ours")
    assert (written.is_symlink(), (tmp_path / "theirs").read_bytes()) == (False, b"theirs")


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_leaves_the_earlier_file_alone(written: Path, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_private(written, b"earlier")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_private(written, b"later")
    assert [each.read_bytes() for each in written.parent.iterdir()] == [b"earlier"]


def test_a_file_that_is_read_on_windows_is_replaced_later(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not replace a file while another program reads it."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(files, "_REPLACE_RETRY_SECONDS", 0)
    replace, refusals = type(written).replace, iter([PermissionError(13, "in use")] * 2)

    def refuse(partial: Path, path: Path) -> object:
        for refusal in refusals:
            raise refusal
        return replace(partial, path)

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    files.write_private(written, b"x")
    assert written.read_bytes() == b"x"
    refusals = iter([PermissionError(13, "in use")] * 100)
    with pytest.raises(PermissionError):
        files.write_private(written, b"y")
    assert [each.read_bytes() for each in written.parent.iterdir()] == [b"x"]


BESIDE: list[Callable[[Path], Path]] = [
    lambda database: database,
    files.spill_path,
    lambda database: files.backup_path(database, 3),
    files.alerts_state_path,
    files.alerts_lock_path,
    files.token_secret_path,
]


@pytest.mark.parametrize("make", BESIDE, ids=["database", "spill", "backup", "alerts state", "alerts lock", "secret"])
def test_each_file_beside_the_database_has_a_known_name(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """`uninstall` deletes the files with these names; the same name taken already has a number behind it."""
    database = tmp_path / "tap.sqlite3"
    for _ in range(2):
        path = make(database)
        assert re.fullmatch(files.DATABASE_SUFFIXES, path.name.removeprefix(database.name))
        path.touch()


def test_quarantined_files_have_known_names(tmp_path: Path) -> None:
    """`uninstall` deletes the files with these names; a repeated name has a number at its end."""
    database = tmp_path / "tap.sqlite3"
    for _ in range(2):
        for suffix in ("", *files.COMPANION_SUFFIXES):
            database.with_name(f"{database.name}{suffix}").touch()
        assert files.quarantine(database, files.inode(database))
    suffixes = [each.name.removeprefix(database.name) for each in tmp_path.iterdir()]
    assert len(suffixes) == 6
    assert [each for each in suffixes if not re.fullmatch(files.DATABASE_SUFFIXES, each)] == []


def test_the_standalone_program_knows_the_marker_of_the_shim() -> None:
    assert codex_program.MARKER == files.SHIM_MARKER


def test_partial_files_have_known_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while writing leaves a file that `uninstall` and `accounts forget` recognise."""
    partial: list[str] = []

    def crash(self: Path, _: Path) -> None:
        partial.append(self.name)
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", crash)
    names = {
        "tap.sqlite3-alerts.json": f"tap[.]sqlite3({files.DATABASE_SUFFIXES})",
        files.spill_path(tmp_path / "tap.sqlite3").name: f"tap[.]sqlite3({files.DATABASE_SUFFIXES})",
        files.bundle_file(tmp_path, "node", "0123456789abcdef" * 4).name: files.AUTHORITY_NAMES,
        "codex": files.SHIM_NAMES,
        files.SHIM_MARKER: files.SHIM_NAMES,
        "codex-programs.json": files.PROBED_NAMES,
    }
    for name in names:
        with pytest.raises(KeyboardInterrupt):
            files.write_private(tmp_path / name, b"x")
    assert [name for name, known in zip(partial, names.values(), strict=True) if not re.fullmatch(known, name)] == []
    assert {name.endswith(files.PARTIAL_SUFFIX) for name in partial} == {True}


def test_quarantine_includes_the_log(path: Path) -> None:
    """All of the damaged files are renamed, also the write-ahead log, and nothing is overwritten."""
    written = {name: path.with_name(path.name + name) for name in ("", "-wal", "-shm")}
    for _ in range(2):
        for name, file in written.items():
            file.write_text(f"damaged {name}")
        aside = quarantine(path, inode(path))
        assert aside is not None
        assert {name: aside.with_name(aside.name + name).read_text() for name in written} == {
            name: f"damaged {name}" for name in written
        }

    assert len(backup_files(path)) == 2
    assert len(list(path.parent.iterdir())) == 6


def test_a_new_database_is_not_quarantined(path: Path) -> None:
    """Of two proxies that find the damage one renames the file; the other finds a sound one in its place."""
    open_writer(path).close()
    found = inode(path)
    path.rename(path.with_name("aside"))
    open_writer(path).close()

    assert quarantine(path, found) is None
    assert path.exists()


def test_a_failed_quarantine_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a file that another proxy has open cannot be renamed."""
    open_writer(path).close()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "rename", refuse)
    with pytest.raises(DatabaseError, match="cannot be set aside: Permission denied"):
        quarantine(path, inode(path))


def test_the_secret_for_short_tokens(tmp_path: Path) -> None:
    """It is created once, however many programs start together, and is private."""
    database = tmp_path / "folder" / "tap.sqlite3"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: load_token_secret(database), range(32)))
    assert len(found) == 1
    assert len(found.pop()) == 32
    path = token_secret_path(database)
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_secret_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have none."""
    database = tmp_path / "tap.sqlite3"
    monkeypatch.setattr(Path, "hardlink_to", _refuse)
    assert load_token_secret(database) == load_token_secret(database) == token_secret_path(database).read_bytes()
    assert list(tmp_path.iterdir()) == [token_secret_path(database)]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no named pipes in folders")
def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    """Not more of it than is wanted; a link to one is followed."""
    path, pipe = tmp_path / "file", tmp_path / "pipe"
    path.write_bytes(b"content")
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(path)
    assert (read_regular(tmp_path / "link", 7), read_regular(path, 3)) == (b"content", b"con")
    for each in (pipe, tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match=r"not a regular file|No such file"):
            read_regular(each, 7)
        assert not has_content(each, b"")
    assert read_whole(path, 7) == b"content"
    with pytest.raises(OSError, match="it is too large"):
        read_whole(path, 6)
    assert [has_content(path, each) for each in (b"content", b"con", b"contents")] == [True, False, False]


def _refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_a_secret_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """A file of another length, and a link, are no secret."""
    path = token_secret_path(tmp_path / "tap.sqlite3")
    if content is None:
        (tmp_path / "elsewhere").write_bytes(b"s" * 32)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r"is not a secret of codex-tap|is a link"):
        load_token_secret(tmp_path / "tap.sqlite3")


@pytest.mark.parametrize(
    "name",
    ["plain", "with a blank", "50% full?", "#1", "%41", "\u00fc\u2026", "byte \udcff", "a:b&c=d;e+f'g"],
    ids=ascii,
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows none of these characters in names")
def test_the_uri_of_a_database(tmp_path: Path, name: str) -> None:
    """It opens the very file, whatever its name, and with the options."""
    path = tmp_path / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with closing(sqlite3.connect(files.sqlite_uri(path, "mode=ro"), uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (r"C:\Users\ann\data 1.sqlite3", "file:///C:/Users/ann/data 1.sqlite3?mode=ro"),
        (r"\\server\share\data.sqlite3", "file:////server/share/data.sqlite3?mode=ro"),
    ],
)
def test_the_uri_of_a_database_on_windows(path: str, uri: str) -> None:
    """A drive comes after a slash, and a server is a part of the path, which SQLite passes on."""
    assert files.sqlite_uri(PureWindowsPath(path), "mode=ro") == uri
