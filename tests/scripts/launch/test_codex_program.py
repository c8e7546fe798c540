"""``--no-daemon`` for Codex: who gets it, what is remembered of a program, and the shim that stands before it."""

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
    """A program that notes how it is called, says so, and does `probe` when it is asked about the flag."""
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
    """How often the program in a folder was asked."""
    calls = folder / "calls"
    return calls.read_text().splitlines().count("--no-daemon --version") if calls.exists() else 0


def call(path: str, *arguments: str, program: str = "codex", **variables: str) -> tuple[int, str]:
    """The exit code and the output of a `codex` that is found in PATH, as a shell would start it."""
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


@pytest.fixture(name="memory")
def _memory() -> Path:
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
def test_what_is_a_codex(program: str, codex: bool) -> None:
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
    """Those of a session that could go through the background server, and that do not say themselves how to run."""
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
def test_a_program_is_asked_once(
    tmp_path: Path, memory: Path, probe: str, knows: bool | None, remembered: bool
) -> None:
    """Exit codes 0 and 2 tell; any other tells nothing and is not remembered."""
    program = make_codex(tmp_path / "bin", probe)
    assert [accepts_flag(str(program), memory) for _ in range(3)] == [knows] * 3
    assert probes(program.parent) == (1 if remembered else 3)
    assert without_daemon([str(program), "x"], memory) == [str(program), *(["--no-daemon"] if knows else []), "x"]


def test_nothing_is_asked_where_the_flag_is_not_needed(tmp_path: Path, memory: Path) -> None:
    program = str(make_codex(tmp_path / "bin"))
    other = str(make_codex(tmp_path / "bin", name="other"))
    for command in ([program, "exec", "x"], [program, "--no-daemon"], [other, "x"]):
        assert without_daemon(command, memory) == command
    assert probes(tmp_path / "bin") == 0
    assert not memory.exists()


def test_a_program_that_hangs_is_ended_with_its_children(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not answer in time is killed as a whole, and says nothing."""
    monkeypatch.setattr(codex_program, "_PROBE_SECONDS", 0.5)
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    started = make_codex(tmp_path / "bin", f"sleep 600 <&{write_end} & wait")
    original = subprocess.Popen

    def inheriting(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        return original(*arguments, close_fds=False, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", inheriting)
    assert accepts_flag(str(started), memory) is None
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b""  # ends when nobody is left who could write
    assert not memory.exists()


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
def test_an_update_is_asked_again(tmp_path: Path, memory: Path, update: object) -> None:
    """The size, the date, what a link leads to, and for npm's launcher the version of its package."""
    program = make_codex(tmp_path / "package" / "bin")
    accepts_flag(str(program), memory)
    assert callable(update)
    update(program)
    assert [accepts_flag(str(program), memory) for _ in range(2)] == [True, True]
    assert probes(program.parent) == 2


@pytest.mark.parametrize(("seconds", "asked"), [(86_000, 1), (87_000, 2), (-1000, 2)])
def test_it_is_asked_again_after_a_day(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, asked: int
) -> None:
    """A version manager's launcher is the same file for every Codex; a clock that was set back ends a memory, too."""
    program, now = make_codex(tmp_path / "bin"), time.time()
    accepts_flag(str(program), memory)
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    accepts_flag(str(program), memory)
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
def test_a_damaged_memory_is_none(tmp_path: Path, memory: Path, content: bytes) -> None:
    """It is as if nothing was remembered, and the next answer makes it whole."""
    program = make_codex(tmp_path / "bin")
    memory.parent.mkdir(parents=True)
    memory.write_bytes(content.replace(b"PROGRAM", str(program).encode()))
    assert accepts_flag(str(program), memory) is True
    assert list(json.loads(memory.read_bytes())) == [str(program)]


def test_a_memory_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    """A folder in its place, or a file in the place of its folder, costs a probe each time."""
    program = make_codex(tmp_path / "bin")
    (tmp_path / "taken" / "x").mkdir(parents=True)
    for memory in (tmp_path / "taken", program / "memory.json"):
        assert [accepts_flag(str(program), memory) for _ in range(2)] == [True, True]
    assert probes(program.parent) == 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bin", "taken"]


def test_the_memory_is_private_and_bounded(tmp_path: Path, memory: Path) -> None:
    programs = [str(make_codex(tmp_path / f"bin{number}")) for number in range(40)]
    for program in programs:
        accepts_flag(program, memory)
    assert list(json.loads(memory.read_text())) == programs[-32:]
    assert (memory.stat().st_mode & 0o777, memory.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in data_folder().iterdir()] == [memory.name]


@pytest.mark.parametrize(("probe", "flag"), [(ACCEPTS, "<--no-daemon>"), (REFUSES, ""), ("exit 9", "")])
def test_the_shim_starts_the_next_codex(shim: Path, tmp_path: Path, probe: str, flag: str) -> None:
    """With the flag where that is known, all arguments whole, and its exit code."""
    make_codex(tmp_path / "one", probe)
    make_codex(tmp_path / "two")
    path = f"{shim}:{tmp_path / 'none'}:{tmp_path / 'one'}:{tmp_path / 'two'}:{SYSTEM}"
    odd = ["a  b", "*", "it's", '"', "", "-n", "$HOME", "\\"]
    assert call(path, *odd) == (7, f"<one>{flag}{''.join(f'<{each}>' for each in odd)}")
    assert call(path, "exec", "x") == (7, "<one><exec><x>")
    swapped = f"{shim}:{tmp_path / 'two'}:{tmp_path / 'one'}:{SYSTEM}"
    assert call(swapped) == (7, "<two><--no-daemon>")


def test_the_shim_needs_neither_us_nor_our_python(shim: Path, tmp_path: Path) -> None:
    """Whatever is gone, the real one is started just as it is called."""
    make_codex(tmp_path / "one")
    path = f"{shim}:{tmp_path / 'one'}:{SYSTEM}"
    text = (shim / "codex").read_text()
    program = str(Path(codex_program.__file__).resolve())
    for gone in (sys.executable, program):
        assert gone in text
        (shim / "codex").write_text(text.replace(gone, str(tmp_path / "gone")))
        assert call(path, "x") == (7, "<one><x>")


def test_the_shim_never_starts_itself(shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice in PATH, under another name, linked to, beside another one, among copies: the real one is started."""
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
    """There a program of ours stays between: what it starts, its arguments and its exit code are the same."""
    make_codex(tmp_path / "one")
    path = f"{shim}:{tmp_path / 'one'}:{SYSTEM}"
    start = [codex_program.__file__, "start", str(probed_programs())]
    assert call(path, *start, "a b", program=sys.executable) == (7, "<one><--no-daemon><a b>")
    for broken in ({"PATH": f"{shim}:{SYSTEM}"}, {DEPTH_VARIABLE: "." * MAX_DEPTH}):
        code, said = call(broken.pop("PATH", path), *start, program=sys.executable, **broken)
        assert (code, "npm install -g @openai/codex" in said) == (127, True)


def test_the_shim_is_private_whole_and_written_once(shim: Path) -> None:
    """Two runs at once share it: it is replaced only where it is another one, and never in pieces."""
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
    """A run within a run adds none, an empty entry stays, and without a PATH there is nothing to put it before."""
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
def test_without_a_place_for_the_shim_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A folder that PATH cannot name, and one that cannot be made."""
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
def test_what_is_left_is_told_where_it_is_true(tmp_path: Path, probe: str | None, told: str | None) -> None:
    """A Codex that can only work through its background server is worth a word; none, or one that need not, is not."""
    if probe is not None:
        make_codex(tmp_path / "bin", probe)
    found = list(warnings({"PATH": f"{tmp_path / 'bin'}:{SYSTEM}", "CODEX_HOME": str(tmp_path)}))
    assert len(found) == (told is not None)
    assert all(told in each for each in found if told)


@pytest.mark.parametrize(("listens", "told"), [(True, 1), (False, 0)])
def test_a_background_server_is_told_of_while_it_runs(tmp_path: Path, listens: bool, told: int) -> None:
    """Its socket is linked to, as the path of a socket is short; one that was killed leaves the link."""
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
