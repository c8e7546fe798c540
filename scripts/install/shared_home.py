"""Whether other machines or containers use the same folder: there a port of this machine does not exist.

Pure functions over what the operating system says of its mounts.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_NETWORK = frozenset({
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "webdav", "davfs", "ceph", "glusterfs"),
    *("lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2", "coda", "ncpfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.rclone", "fuse.s3fs", "fuse.goofys", "fuse.davfs2"),
    *("fuse.gcsfuse", "fuse.mount-s3", "fuse.juicefs", "fuse.moosefs", "fuse.lizardfs", "macfuse", "osxfuse"),
})  # fmt: skip
_HOST_OF_A_VM = frozenset({
    *("9p", "drvfs", "virtiofs", "vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs", "fuse.grpcfuse", "fakeowner"),
})  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")
_MAC_MOUNT = re.compile(r"^.* on (?P<point>/.*) \((?P<kind>[^,)]+)")


class Mount(NamedTuple):
    """A mounted file system: where it is, of which kind it is, and which folder of it is shown there."""

    point: str
    kind: str
    root: str = "/"


def problem(folder: str, mounts: Iterable[Mount], *, in_container: bool) -> str | None:
    """Return why a service of this machine cannot serve everyone who uses a folder, or None.

    Args:
        folder: an absolute path without links; it need not exist.
        mounts: every mount, a later one over an earlier one.
        in_container: whether this system is a container.
    """
    mount = _mount_of(folder, mounts)
    if mount is None:
        return None
    if mount.kind.lower() in _NETWORK:
        return f"{folder} is on a network file system ({mount.kind}), and other machines that use it have no such port"
    if mount.kind.lower() in _HOST_OF_A_VM:
        return (
            f"{folder} is shared with the system that this one runs in ({mount.kind}), "
            "where a Codex would not find the port"
        )
    if in_container and mount.point != "/":
        return (
            f"{folder} is mounted into this container at {mount.point}; "
            "the host or another container that uses it would not find the port"
        )
    return None


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts in ``/proc/self/mountinfo``; lines of another form are left out."""
    found = []
    for line in text.splitlines():
        fields, _, source = line.partition(" - ")
        parts = fields.split(" ")
        if len(parts) >= 5 and source:
            found.append(Mount(_unescaped(parts[4]), source.split(" ")[0], _unescaped(parts[3])))
    return found


def parse_mac_mounts(text: str) -> list[Mount]:
    """Return the mounts in the output of macOS's ``mount``."""
    matches = map(_MAC_MOUNT.match, text.splitlines())
    return [Mount(match["point"], match["kind"]) for match in matches if match]


def is_network_path(path: str, drive_kind: int) -> bool:
    """Return True if a path of Windows is on another machine.

    Args:
        path: an absolute path.
        drive_kind: what ``GetDriveTypeW`` returns for its drive.
    """
    remote = 4
    return path.replace("/", "\\").startswith("\\\\") or drive_kind == remote


def is_container(environment_files: Iterable[Path], cgroup: str) -> bool:
    """Return True if this system is a container.

    Args:
        environment_files: the files that container runtimes create.
        cgroup: the text of ``/proc/1/cgroup``.
    """
    marks = ("docker", "kubepods", "containerd", "lxc", "libpod")
    return any(each.exists() for each in environment_files) or any(mark in cgroup for mark in marks)


def _mount_of(folder: str, mounts: Iterable[Mount]) -> Mount | None:
    path = PurePosixPath(folder)
    found: Mount | None = None
    for mount in mounts:
        covers = path.is_relative_to(mount.point)
        if covers and (found is None or len(PurePosixPath(mount.point).parts) >= len(PurePosixPath(found.point).parts)):
            found = mount
    return found


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
