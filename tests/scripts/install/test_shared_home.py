"""Folders that other machines or containers use as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.install.shared_home import (
    Mount,
    is_container,
    is_network_path,
    parse_mac_mounts,
    parse_mountinfo,
    problem,
)

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:5 / /proc rw shared:1 - proc proc rw\n"
HOME = "/home/user/.codex"


@pytest.mark.parametrize(
    ("more", "in_container", "reason"),
    [
        pytest.param("", False, None, id="local disk"),
        pytest.param("30 22 8:2 / /home rw - btrfs /dev/sdb rw", False, None, id="disk of its own"),
        pytest.param("30 22 0:9 /users /home rw - btrfs /dev/sdb rw", False, None, id="subvolume"),
        pytest.param("30 22 0:9 / /home rw,vers=4 - nfs4 server:/home rw", False, "network file system", id="NFS"),
        pytest.param("30 22 0:9 / /home/user rw - cifs //s/home rw", False, "network file system", id="SMB"),
        pytest.param("30 22 0:9 / /home/user rw - fuse.sshfs s: rw", False, "network file system", id="sshfs"),
        pytest.param("30 22 0:9 / /home/user rw - fuse.gocryptfs x rw", False, None, id="encrypted folder"),
        pytest.param("30 22 0:9 / /home/user2 rw - nfs4 s:/x rw", False, None, id="a folder that begins alike"),
        pytest.param(
            "30 22 0:9 / /home rw - nfs4 s:/h rw\n31 30 8:2 / /home/user rw - ext4 /dev/sdb rw",
            False,
            None,
            id="a disk within NFS",
        ),
        pytest.param(
            "30 22 0:8 / /home rw - autofs x rw\n31 30 0:9 / /home rw - nfs s:/h rw",
            False,
            "network file system",
            id="mounted when it is used",
        ),
        pytest.param(
            "30 22 0:9 / /home rw - 9p drvfs rw,aname=drvfs;path=C:", False, "shared with the system", id="WSL"
        ),
        pytest.param(
            "30 22 0:9 / /home rw - virtiofs share rw", False, "shared with the system", id="machine in a machine"
        ),
        pytest.param("", True, None, id="the container's own disk"),
        pytest.param(
            "30 22 8:1 /home/me/.codex /home/user/.codex rw - ext4 /dev/sda1 rw", True, "mounted into", id="bind mount"
        ),
        pytest.param("30 22 8:1 /volumes/v /home rw - ext4 /dev/sda1 rw", True, "mounted into", id="volume"),
        pytest.param(
            r"30 22 0:9 / /home/user\040x rw - nfs4 s:/x rw", False, None, id="a name with a blank, elsewhere"
        ),
    ],
)
def test_the_mounts_of_linux(more: str, in_container: bool, reason: str | None) -> None:
    """The innermost mount decides, and of several at one place the last."""
    found = problem(HOME, parse_mountinfo(LOCAL + more), in_container=in_container)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


def test_names_with_blanks() -> None:
    """They are escaped in the list of mounts."""
    assert parse_mountinfo(r"1 2 0:9 / /a\040b rw - nfs s:/x rw" + "\nnonsense\n") == [Mount("/a b", "nfs", "/")]
    assert problem("/a b/c", [Mount("/a b", "nfs")], in_container=False)


@pytest.mark.parametrize(
    ("line", "is_shared"),
    [
        ("/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)", False),
        ("server:/export on /Users (nfs, nodev, nosuid, mounted by root)", True),
        ("//me@nas/home on /Users/me/My Files (smbfs, nodev, nosuid)", False),
        ("//me@nas/home on /Users/me (smbfs, nodev, nosuid)", True),
    ],
)
def test_the_mounts_of_macos(line: str, is_shared: bool) -> None:
    """As `mount` prints them."""
    mounts = parse_mac_mounts(f"/dev/disk3s1s1 on / (apfs, sealed, local)\n{line}\n")
    assert len(mounts) == 2
    assert (problem("/Users/me/.codex", mounts, in_container=False) is not None) == is_shared


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        (r"C:\Users\me\.codex", 3, False),
        (r"H:\.codex", 4, True),
        (r"\\server\home\.codex", 1, True),
        ("//server/home/.codex", 1, True),
    ],
)
def test_the_drives_of_windows(path: str, kind: int, expected: bool) -> None:
    """A share has no letter, or one of a remote drive."""
    assert is_network_path(path, kind) == expected


def test_what_a_container_is(tmp_path: Path) -> None:
    """By the files of its runtime, or its control group."""
    mark = tmp_path / ".dockerenv"
    assert not is_container([mark], "0::/init.scope\n")
    assert is_container([mark], "12:pids:/docker/0123\n")
    mark.touch()
    assert is_container([mark], "")
