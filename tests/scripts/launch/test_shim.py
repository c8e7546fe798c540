"""The shim, a script `codex` that is first in PATH."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.launch import codex_program
from scripts.launch.codex_program import DEPTH_VARIABLE, MARKER, MAX_DEPTH, without_shims
from scripts.launch.shim import installed_programs, place_installed, place_shim, search_path, with_shim
from store.files import probed_programs, shim_folder
from tests.support.codex_programs import ACCEPTS, REFUSES, SYSTEM, call, make_codex

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")


@pytest.fixture(name="shim")
def _shim() -> Path:
    folder = place_shim()
    assert folder is not None
    return folder


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
    for missing in (sys.executable, program):
        assert missing in text
        (shim / "codex").write_text(text.replace(missing, str(tmp_path / "missing")))
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
        code, output = call(f"{alone}:{SYSTEM}", "x")
        assert (code, "npm install -g @openai/codex" in output) == (127, True)
    code, output = call(f"{tmp_path / 'copied'}:{tmp_path / 'copied2'}:{SYSTEM}", "x")
    assert (code, "npm install -g @openai/codex" in output) == (127, True)


def test_the_program_of_the_shim_on_windows_starts_the_next_codex(shim: Path, tmp_path: Path) -> None:
    """The program stays the parent process there; arguments and exit code are unchanged."""
    make_codex(tmp_path / "one")
    path = f"{shim}:{tmp_path / 'one'}:{SYSTEM}"
    start = [codex_program.__file__, "start", str(probed_programs())]
    assert call(path, *start, "a b", program=sys.executable) == (7, "<one><--no-daemon><a b>")
    for broken in ({"PATH": f"{shim}:{SYSTEM}"}, {DEPTH_VARIABLE: "." * MAX_DEPTH}):
        code, output = call(broken.pop("PATH", path), *start, program=sys.executable, **broken)
        assert (code, "npm install -g @openai/codex" in output) == (127, True)


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


def test_the_installed_script_names_its_programs(tmp_path: Path) -> None:
    """Whatever characters are in their paths; without a script there are none."""
    assert installed_programs() == ()
    program = tmp_path / "it's a $copy && more" / "scripts" / "install" / "tapped_codex.py"
    folder = place_installed(program)
    assert installed_programs() == (Path(sys.executable), program)
    for script in folder.glob("codex*"):
        script.write_text("#!/bin/sh\nexec codex\n")
    assert installed_programs() == ()
