"""The state that the always-on service writes down; a real service is in the tests of `doctor`."""

from __future__ import annotations

import json
import os

import pytest

from scripts.launch.service_status import load_service_status
from store.files import HOLDER_STATUS, service_folder, write_private
from tests.support.launcher import POSIX

STATUS = {
    "pid": 4,
    "started_at": 5.5,
    "child_pid": None,
    "restarts": 1,
    "tunnelled": 2,
    "last_tunnelled_at": 7,
    "last_error": "the proxy ended with exit code 1",
    "last_error_at": 6.5,
}


def load(content: bytes) -> object:
    write_private(service_folder() / HOLDER_STATUS, content)
    return load_service_status()


def test_the_state_is_read() -> None:
    """Further values are left out."""
    found = load(json.dumps(STATUS | {"version": 1, "open_tunnels": 3}).encode())
    assert found == (4, 5.5, None, 1, 2, 7, "the proxy ended with exit code 1", 6.5)


def test_no_service() -> None:
    """There is no state then."""
    assert load_service_status() is None


@POSIX
def test_a_named_pipe_is_no_state() -> None:
    """It is not opened, which would wait for a writer."""
    service_folder().mkdir(parents=True)
    os.mkfifo(service_folder() / HOLDER_STATUS)
    assert load_service_status() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"pid": 1}',
        *(json.dumps(STATUS | {name: [1]}).encode() for name in STATUS),
        *(json.dumps(STATUS | {"started_at": value}).encode() for value in (float("inf"), float("nan"))),
    ],
)
def test_a_damaged_state(content: bytes) -> None:
    """It counts as none."""
    assert load(content) is None
