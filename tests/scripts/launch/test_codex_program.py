"""``--no-daemon`` for Codex: which commands get it, the cache of probed programs, and the shim."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.launch import codex_program
from scripts.launch.background_server import warnings
from scripts.launch.codex_program import (
    DEPTH_VARIABLE,
    MARKER,
    MAX_DEPTH,
    accepts_flag,
    is_codex,
    is_flag_useful,
    without_daemon,
    without_shims,
)
from scripts.launch.shim import place_shim, search_path, with_shim
from store.files import probed_programs, shim_folder
from store.settings import data_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")

SYSTEM = "/usr/bin:/bin"
ACCEPTS, REFUSES = "exit 0", "exit 2"


def make_codex(folder: Path, probe: str = ACCEPTS, name: str = "codex") -> Path:
    """Make a program that records and prints its arguments, and runs `probe` when it is probed for the flag."""
    folder.mkdir(parents=True, exist_ok=True)
    calls = shlex.quote(str(folder / "calls"))
    program = folder / name
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\n[ "$*" = "--no-daemon --version" ] && {{ {probe}; }}\n'
        f'printf "<%s>" {shlex.quote(folder.name)} "$@"\nexit 7\n'
    )
    program.chmod(0o755)
    return program


def probes(folder: Path) -> int:
    """Return how often the program in a folder was probed."""
    calls = folder / "calls"
    return calls.read_text().splitlines().count("--no-daemon --version") if calls.exists() else 0


def call(path: str, *arguments: str, program: str = "codex", **variables: str) -> tuple[int, str]:
    """Run the first `codex` in PATH, as a shell would; return its exit code and output."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@"', "-", program, *arguments],  # noqa: S607 (it is where PATH has it)
        env={"PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="cache")
def _cache() -> Path:
    return probed_programs()


@pytest.fixture(name="shim")
def _shim() -> Path:
    folder = place_shim()
    assert folder is not None
    return folder


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


@pytest.mark.parametrize(("probe", "flag"), [(ACCEPTS, "<--no-daemon>"), (REFUSES, ""), ("exit 9", "")])
def test_the_shim_starts_the_next_codex(shim: Path, tmp_path: Path, probe: str, flag: str) -> None:
    """With the flag if it is accepted; arguments and exit code are unchanged."""
    make_codex(tmp_path / "one", probe)
    make_codex(tmp_path / "two")
    path = f"{shim}:{tmp_path / 'none'}:{tmp_path / 'one'}:{tmp_path / 'two'}:{SYSTEM}"
    odd = ["a  b", "*", "it's", '"', "", "-n", "$HOME", "\\"]
    assert call(path, *odd) == (7, f"<one>{flag}{''.join(f'<{each}>' for each in odd)}")
    assert call(path, "exec", "x") == (7, "<one><exec><x>")
    swapped = f"{shim}:{tmp_path / 'two'}:{tmp_path / 'one'}:{SYSTEM}"
    assert call(swapped) == (7, "<two><--no-daemon>")


def test_the_shim_works_without_codex_tap_and_its_python(shim: Path, tmp_path: Path) -> None:
    """If either is removed, the real codex is started without changes."""
    make_codex(tmp_path / "one")
    path = f"{shim}:{tmp_path / 'one'}:{SYSTEM}"
    text = (shim / "codex").read_text()
    program = str(Path(codex_program.__file__).resolve())
    for gone in (sys.executable, program):
        assert gone in text
        (shim / "codex").write_text(text.replace(gone, str(tmp_path / "gone")))
        assert call(path, "x") == (7, "<one><x>")


def test_the_shim_never_starts_itself(shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real codex is started if the shim is twice in PATH, linked, copied, or beside another shim."""
    make_codex(tmp_path / "one")
    for kind in ("linked", "copied", "copied2"):
        (tmp_path / kind).mkdir()
    (tmp_path / "renamed").symlink_to(shim)
    (tmp_path / "linked" / "codex").symlink_to(shim / "codex")
    for kind in ("copied", "copied2"):
        (tmp_path / kind / "codex").write_bytes((shim / "codex").read_bytes())
        (tmp_path / kind / "codex").chmod(0o755)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other data"))
    monkeypatch.setenv("HOME", str(tmp_path / "other home"))
    other = place_shim()
    assert other not in {None, shim}

    real = (7, "<one><--no-daemon><x>")
    for first in (f"{shim}:{shim}", f"{tmp_path / 'renamed'}:{shim}", f"{shim}:{other}:{shim}:{other}:{shim}"):
        assert call(f"{first}:{tmp_path / 'one'}:{SYSTEM}", "x") == real
    for first in (f"{tmp_path / 'linked'}:{shim}", f"{shim}:{tmp_path / 'copied'}"):
        assert call(f"{first}:{tmp_path / 'one'}:{SYSTEM}", "x") == real
    for alone in (str(shim), f"{shim}:{other}:{tmp_path / 'linked'}:"):
        code, said = call(f"{alone}:{SYSTEM}", "x")
        assert (code, "npm install -g @openai/codex" in said) == (127, True)
    code, said = call(f"{tmp_path / 'copied'}:{tmp_path / 'copied2'}:{SYSTEM}", "x")
    assert (code, "npm install -g @openai/codex" in said) == (127, True)


def test_the_program_of_the_shim_on_windows_starts_the_next_codex(shim: Path, tmp_path: Path) -> None:
    """The program stays the parent process there; arguments and exit code are unchanged."""
    make_codex(tmp_path / "one")
    path = f"{shim}:{tmp_path / 'one'}:{SYSTEM}"
    start = [codex_program.__file__, "start", str(probed_programs())]
    assert call(path, *start, "a b", program=sys.executable) == (7, "<one><--no-daemon><a b>")
    for broken in ({"PATH": f"{shim}:{SYSTEM}"}, {DEPTH_VARIABLE: "." * MAX_DEPTH}):
        code, said = call(broken.pop("PATH", path), *start, program=sys.executable, **broken)
        assert (code, "npm install -g @openai/codex" in said) == (127, True)


def test_the_shim_is_private_and_written_once(shim: Path) -> None:
    """Concurrent runs share it: it is replaced only if it differs, in one step."""
    before = (shim / "codex").stat()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: place_shim(), range(16))) == {shim}
    assert (shim / "codex").stat().st_ino == before.st_ino
    (shim / "codex").write_text("another version's")
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: place_shim(), range(16))) == {shim}
    assert sorted(each.name for each in shim.iterdir()) == [MARKER, "codex"]
    assert (before.st_mode & 0o777, shim.stat().st_mode & 0o777) == (0o700, 0o700)
    assert (shim / "codex").read_text().startswith("#!/bin/sh\n")


def test_the_shim_comes_first_in_path_once(shim: Path, tmp_path: Path) -> None:
    """A run within a run adds no second one, an empty entry stays, and a missing PATH stays missing."""
    once = with_shim({"PATH": "/a::/b", "X": "1"})
    assert once == {"PATH": f"{shim}:/a::/b", "X": "1"}
    assert with_shim(once) == once
    assert with_shim({"PATH": f"/c:{once['PATH']}:"})["PATH"] == f"{shim}:/c:/a::/b:"
    assert search_path(once) == without_shims(once["PATH"]) == "/a::/b"
    assert with_shim({}) == {}
    assert search_path({}) is None
    assert with_shim({"PATH": ""}) == {"PATH": ""}
    assert with_shim({"PATH": str(tmp_path)})["PATH"] == f"{shim}:{tmp_path}"


@pytest.mark.parametrize("place", ["a:b", "file"])
def test_without_a_usable_folder_path_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """PATH cannot contain the folder, or the folder cannot be created."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / place))
    monkeypatch.setenv("HOME", str(tmp_path / place))
    assert shim_folder().is_relative_to(tmp_path / place)
    assert with_shim({"PATH": "/a"}) == {"PATH": "/a"}


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (ACCEPTS, None),
        (REFUSES, "codex does not accept --no-daemon"),
        ("exit 1", "it is unknown whether "),
        (None, None),
    ],
)
def test_a_codex_without_the_flag_causes_a_warning(tmp_path: Path, probe: str | None, told: str | None) -> None:
    """A Codex that accepts the flag, and a missing one, cause none."""
    if probe is not None:
        make_codex(tmp_path / "bin", probe)
    found = list(warnings({"PATH": f"{tmp_path / 'bin'}:{SYSTEM}", "CODEX_HOME": str(tmp_path)}))
    assert len(found) == (told is not None)
    assert all(told in each for each in found if told)


@pytest.mark.parametrize(("listens", "told"), [(True, 1), (False, 0)])
def test_a_running_background_server_causes_a_warning(tmp_path: Path, listens: bool, told: int) -> None:
    """A link leads to its socket, whose path has to be short; a killed server leaves the link."""
    control = tmp_path / ("long" * 40) / "app-server-control"
    control.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="ct-") as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")
        (control / "app-server-control.sock").symlink_to(f"{short}/socket")
        if listens:
            server.listen()
        found = list(warnings({"PATH": SYSTEM, "CODEX_HOME": str(control.parent)}))
    assert len(found) == told
    assert all("background server is running" in each for each in found)
