"""The record of what is installed."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from scripts.support.installation import AlwaysOn, Installation, load_installation, save_installation
from store.files import installation_file
from tests.support.launcher import POSIX

FULL = Installation(
    {"/home/caf\udce9/.bashrc": ["# ours", "PATH=/x"]},
    ("gateway.example",),
    r"C:\bin",
    AlwaysOn(26339, "/home/.codex/.env", "systemd", "/company.pem"),
)


@pytest.mark.parametrize("installation", [FULL, Installation({"/a": []})])
def test_it_is_stored_and_read(installation: Installation) -> None:
    """In a private file; paths may have any bytes."""
    save_installation(installation)
    assert load_installation() == installation
    if sys.platform != "win32":
        assert stat.S_IMODE(installation_file().stat().st_mode) == 0o600


def test_nothing_is_no_file() -> None:
    """Neither before nor afterwards."""
    assert load_installation() == Installation()
    save_installation(FULL)
    save_installation(Installation())
    assert not installation_file().exists()
    save_installation(Installation())


@POSIX
def test_a_named_pipe_is_nothing() -> None:
    """It is not opened, which would wait for a writer."""
    installation_file().parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(installation_file())
    assert load_installation() == Installation()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "blocks": 5}', "[" * 100_000])
def test_a_damaged_file_is_nothing(text: str) -> None:
    """A later version's as well; it is not guessed at."""
    save_installation(FULL)
    installation_file().write_text(text)
    assert load_installation() == Installation()
