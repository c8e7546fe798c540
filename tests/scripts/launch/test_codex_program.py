"""``--no-daemon`` for Codex: which commands get it, and the cache of probed programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.launch import codex_program
from scripts.launch.codex_program import accepts_flag, is_codex, is_flag_useful, takes_turns, without_daemon
from store.files import probed_programs
from store.settings import data_folder
from tests.support.codex_programs import ACCEPTS, REFUSES, make_codex, probes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")


@pytest.fixture(name="cache")
def _cache() -> Path:
    return probed_programs()


@pytest.mark.parametrize(
    ("program", "codex"),
    [
        ("/usr/bin/codex", True),
        ("codex.exe", True),
        ("./Codex.CMD", True),
        ("codex.ps1", True),
        ("codex-tap", False),
        ("/opt/codex/bin/node", False),
        ("codex.js", False),
    ],
)
def test_which_names_are_codex(program: str, codex: bool) -> None:
    assert is_codex(program) is codex


@pytest.mark.parametrize(
    ("arguments", "takes"),
    [
        ("", True),
        ("resume --last", True),
        ("fork", True),
        ("agents", True),
        ("-m gpt-6.1-sol hello", True),
        ("-c model=x", True),
        ("tell me about --no-daemon-flags", True),
        ("-- --no-daemon", True),
        ("exec hello", False),
        ("e hello", False),
        ("review", False),
        ("app-server", False),
        ("remote-control start", False),
        ("login status", False),
        ("--version", False),
        ("-h", False),
        ("--no-daemon", False),
        ("resume --no-daemon", False),
        ("--remote ws://127.0.0.1:1", False),
        ("resume --remote=unix://", False),
    ],
)
def test_which_arguments_take_the_flag(arguments: str, takes: bool) -> None:
    """Those of a session that could use the background server, without an option that excludes the flag."""
    assert is_flag_useful(arguments.split()) is takes


@pytest.mark.parametrize(
    ("probe", "knows", "remembered"),
    [
        (ACCEPTS, True, True),
        (REFUSES, False, True),
        ("exit 1", None, False),
        ("exit 127", None, False),
        ("kill -9 $$", None, False),
    ],
)
def test_a_program_is_probed_once(
    tmp_path: Path, cache: Path, probe: str, knows: bool | None, remembered: bool
) -> None:
    """Exit codes 0 and 2 are results; any other is not, and is not cached."""
    program = make_codex(tmp_path / "bin", probe)
    assert [accepts_flag(str(program), cache) for _ in range(3)] == [knows] * 3
    assert probes(program.parent) == (1 if remembered else 3)
    assert without_daemon([str(program), "x"], cache) == [str(program), *(["--no-daemon"] if knows else []), "x"]


def test_no_probe_if_the_flag_has_no_use(tmp_path: Path, cache: Path) -> None:
    program = str(make_codex(tmp_path / "bin"))
    other = str(make_codex(tmp_path / "bin", name="other"))
    for command in ([program, "exec", "x"], [program, "--no-daemon"], [other, "x"]):
        assert without_daemon(command, cache) == command
    assert probes(tmp_path / "bin") == 0
    assert not cache.exists()


def test_a_program_that_hangs_is_ended_with_its_children(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that takes too long is killed with its children, and has no result."""
    monkeypatch.setattr(codex_program, "_PROBE_SECONDS", 0.5)
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    started = make_codex(tmp_path / "bin", f"sleep 600 <&{write_end} & wait")
    original = subprocess.Popen

    def inheriting(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        return original(*arguments, close_fds=False, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", inheriting)
    assert accepts_flag(str(started), cache) is None
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b""  # ends when nobody is left who could write
    assert not cache.exists()


def update_size(program: Path) -> None:
    program.write_text(program.read_text() + "# newer\n")


def update_time(program: Path) -> None:
    os.utime(program, (1, 1))


def update_link(program: Path) -> None:
    aside = program.rename(program.with_name("codex-2"))
    program.symlink_to(aside)


def update_package(program: Path) -> None:
    (program.parent.parent / "package.json").write_text('{"version": "0.170.0"}')


def update_package_on_windows(program: Path) -> None:
    package = program.parent / "node_modules" / "@openai" / "codex"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "0.170.0"}')


@pytest.mark.parametrize("update", [update_size, update_time, update_link, update_package, update_package_on_windows])
def test_an_updated_program_is_probed_again(tmp_path: Path, cache: Path, update: object) -> None:
    """An update changes the size, the date, the target of a link, or the version of npm's package."""
    program = make_codex(tmp_path / "package" / "bin")
    accepts_flag(str(program), cache)
    assert callable(update)
    update(program)
    assert [accepts_flag(str(program), cache) for _ in range(2)] == [True, True]
    assert probes(program.parent) == 2


@pytest.mark.parametrize(("seconds", "asked"), [(86_000, 1), (87_000, 2), (-1000, 2)])
def test_a_program_is_probed_again_after_a_day(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, asked: int
) -> None:
    """The launcher of a version manager is one file for every Codex; a clock that is set back has the same effect."""
    program, now = make_codex(tmp_path / "bin"), time.time()
    accepts_flag(str(program), cache)
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    accepts_flag(str(program), cache)
    assert probes(program.parent) == asked


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"PROGRAM": 1}',
        b'{"PROGRAM": {"identity": [], "knows": "yes", "probed_at": 0}}',
        b"[" * 60_000,
        b" " * 70_000 + b"{}",
    ],
)
def test_a_damaged_cache_is_ignored(tmp_path: Path, cache: Path, content: bytes) -> None:
    """The program is probed, and the result replaces the file."""
    program = make_codex(tmp_path / "bin")
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content.replace(b"PROGRAM", str(program).encode()))
    assert accepts_flag(str(program), cache) is True
    assert list(json.loads(cache.read_bytes())) == [str(program)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_named_pipe_as_cache_is_not_opened(tmp_path: Path, cache: Path) -> None:
    """Codex would not start as long as nobody writes to it."""
    cache.parent.mkdir(parents=True)
    os.mkfifo(cache)
    assert accepts_flag(str(make_codex(tmp_path / "bin")), cache) is True


def test_without_a_writable_cache_each_start_probes(tmp_path: Path) -> None:
    """A folder is in the place of the file, or a file in the place of its folder."""
    program = make_codex(tmp_path / "bin")
    (tmp_path / "taken" / "x").mkdir(parents=True)
    for cache in (tmp_path / "taken", program / "cache.json"):
        assert [accepts_flag(str(program), cache) for _ in range(2)] == [True, True]
    assert probes(program.parent) == 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bin", "taken"]


def test_the_cache_is_private_and_bounded(tmp_path: Path, cache: Path) -> None:
    programs = [str(make_codex(tmp_path / f"bin{number}")) for number in range(40)]
    for program in programs:
        accepts_flag(program, cache)
    assert list(json.loads(cache.read_text())) == programs[-32:]
    assert (cache.stat().st_mode & 0o777, cache.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in data_folder().iterdir()] == [cache.name]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["say ok"], True),
        (["-m", "gpt", "exec"], True),
        (["exec", "--help"], True),
        (["app-server"], True),
        (["app-server", "daemon", "restart"], False),
        (["mcp", "list"], False),
        (["--version"], False),
        (["login"], False),
    ],
)
def test_what_takes_turns(arguments: list[str], expected: bool) -> None:
    """In doubt it is taken for one that does."""
    assert takes_turns(arguments) == expected
