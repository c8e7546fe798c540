"""Files of the user's, replaced in one step."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.install.user_files import UserFile
from scripts.support.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")


def read(path: Path, *, follow_links: bool = True) -> UserFile:
    return UserFile.read(path, follow_links=follow_links, new_mode=0o640)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    """The file is another one afterwards, so a crash leaves the old or the new one."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    before = path.stat()
    read(path).replace(b"new")
    assert (path.read_bytes(), path.stat().st_mode) == (b"new", before.st_mode)
    assert path.stat().st_ino != before.st_ino
    assert list(tmp_path.iterdir()) == [path]


@POSIX
def test_a_new_file_and_its_deletion(tmp_path: Path) -> None:
    """A missing folder is created; None deletes the file."""
    path = tmp_path / "folder" / "file"
    file = read(path)
    assert file.content is None
    file.replace(b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    read(path).replace(None)
    assert not path.exists()
    read(path).replace(None)


@POSIX
@pytest.mark.parametrize("is_there", [True, False])
def test_the_target_of_a_link_is_replaced(tmp_path: Path, is_there: bool) -> None:
    """A folder of start-up files under version control keeps its links."""
    target, link = tmp_path / "repository" / "bashrc", tmp_path / "link"
    target.parent.mkdir()
    if is_there:
        target.write_bytes(b"old")
    link.symlink_to(Path("repository", "bashrc"))
    read(link).replace(b"new")
    assert (os.readlink(link), target.read_bytes()) == ("repository/bashrc", b"new")  # noqa: PTH115 (the text of the link)


def make_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"x")
    path.symlink_to(target)


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5_000_000)


@POSIX
@pytest.mark.parametrize(
    ("make", "follow_links", "reason"),
    [
        pytest.param(make_link, False, "is a link", id="link"),
        pytest.param(make_loop, True, "", id="loop of links"),
        pytest.param(Path.mkdir, True, "is not a regular file", id="folder"),
        pytest.param(make_pipe, True, "is not a regular file", id="pipe"),
        pytest.param(make_large, True, "is too large", id="large"),
    ],
)
def test_what_is_refused(tmp_path: Path, make: object, follow_links: bool, reason: str) -> None:
    """The message names the file and the reason."""
    assert callable(make)
    path = tmp_path / "file"
    make(path)
    with pytest.raises(CommandError, match=f"{path} .*{reason}"):
        read(path, follow_links=follow_links)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """A file that another user owns, such as one in a read-only store, is left alone."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.chown(path, 12_345, -1)
    with pytest.raises(CommandError, match="belongs to another user"):
        read(path)


def test_a_change_by_another_program_is_not_overwritten(tmp_path: Path) -> None:
    """Between reading and writing the user is asked, which takes time."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    file = read(path)
    path.write_bytes(b"newer")
    with pytest.raises(CommandError, match="changed by another program"):
        file.replace(b"ours")
    assert path.read_bytes() == b"newer"


@POSIX
@pytest.mark.parametrize("make", [make_link, make_pipe], ids=["link", "pipe"])
def test_a_file_that_became_something_else_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A link to a file of the same content, too; a pipe is not read."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    file = read(path)
    path.unlink()
    make(path)
    with pytest.raises(CommandError, match="changed by another program"):
        file.replace(b"ours")
    assert not path.is_file() or (path.is_symlink() and path.read_bytes() == b"x")


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no part of the new one."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CommandError, match="No space left"):
        read(path).replace(b"new")
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, b"old")]
