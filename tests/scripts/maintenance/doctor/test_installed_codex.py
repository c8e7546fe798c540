"""The check of the codex that `codex-tap install` puts first in PATH."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.install.shell_step import PROGRAM, apply_shell, plan_shell
from scripts.launch.shim import place_installed
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.installed_codex import check_installed_codex
from scripts.support.installation import AlwaysOn, Installation, load_installation, save_installation
from store.files import installed_folder, shim_folder
from tests.support.codex_programs import make_codex

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")


def found(*folders: Path) -> list[Check]:
    """Return the results for a PATH."""
    return list(check_installed_codex({"PATH": os.pathsep.join(map(str, folders))}))


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with a codex."""
    return make_codex(tmp_path / "real").parent


@pytest.fixture
def installed(real: Path) -> Path:
    """The folder of the installed codex, for a user of bash; `real` has the codex that it starts."""
    assert real.exists()
    (Path.home() / ".bashrc").write_text("# mine\n")
    apply_shell(plan_shell("bash", (), os.environ))
    return installed_folder()


@pytest.mark.parametrize(
    ("always", "message"),
    [
        (None, "not installed: only codex-tap run codex is read"),
        (AlwaysOn(1, "/x/.env", "none"), "not installed; with the service it is not needed"),
    ],
)
def test_nothing_installed(always: AlwaysOn | None, message: str) -> None:
    """It is neither a problem nor in order."""
    save_installation(Installation(always=always))
    (check,) = found()
    assert (check.level, check.message) == ("off", message)


def test_it_is_first(installed: Path, real: Path) -> None:
    """Under the tap, the folder of the shim comes before it."""
    ok = [Check("shells", "ok", "a codex typed in this shell runs through codex-tap")]
    assert found(installed, real) == ok
    make_codex(shim_folder())
    assert found(shim_folder(), installed, real) == ok
    assert found(Path("/nowhere")) == ok  # the check of Codex reports it


@pytest.mark.parametrize(
    ("folders", "level", "message"),
    [
        (("real", "installed"), "problem", "PATH has {real}/codex before the codex of codex-tap"),
        (("real",), "note", "the PATH of this shell does not have the codex of codex-tap, but {real}/codex"),
    ],
    ids=["shadowed", "an older shell"],
)
def test_another_codex_comes_first(
    installed: Path, real: Path, folders: Sequence[str], level: str, message: str
) -> None:
    """The result names it."""
    places = {"real": real, "installed": installed}
    (check,) = found(*(places[each] for each in folders))
    assert (check.level, check.message) == (level, message.format(real=real))


def test_beside_the_service_another_codex_is_a_note(installed: Path, real: Path) -> None:
    """It is read as well."""
    save_installation(replace(load_installation(), always=AlwaysOn(1, "/x/.env", "none")))
    (check,) = found(real, installed)
    assert check.level == "note"


def test_a_block_that_was_lost(installed: Path, real: Path) -> None:
    """A new shell would not have it either."""
    assert installed.exists()
    (Path.home() / ".bashrc").write_text("# mine\n")
    (check,) = found(real)
    assert (check.level, check.message) == (
        "problem",
        f"{Path.home() / '.bashrc'} no longer puts the codex of codex-tap into PATH",
    )


def test_a_program_that_is_gone(installed: Path, real: Path, tmp_path: Path) -> None:
    """The checkout was deleted, moved, or replaced by another."""
    other = tmp_path / "other copy" / "scripts" / "install" / "tapped_codex.py"
    place_installed(other)
    (check,) = found(installed, real)
    assert (check.level, check.message) == ("problem", f"codex runs without codex-tap, because {other} does not exist")

    other.parent.mkdir(parents=True)
    shutil.copy(PROGRAM, other)
    (check,) = found(installed, real)
    assert (check.level, check.message) == ("note", f"codex runs through another copy of codex-tap, {other}")

    (installed / "codex").unlink()
    (check,) = found(installed, real)
    assert (check.level, check.message) == ("problem", f"{installed} has no codex of codex-tap")


@pytest.mark.parametrize(
    ("line", "is_reported"),
    [
        ("alias codex=/usr/bin/codex", True),
        ("  alias codex='~/bin/codex --yolo'", True),
        ("alias codex '/usr/bin/codex'", True),
        ("codex() { /usr/bin/codex; }", True),
        ("function codex", True),
        ("alias codex='codex --yolo'", False),
        ("alias codex=codex", False),
        ("# alias codex=/usr/bin/codex", False),
        ("alias codexx=/usr/bin/codex", False),
    ],
)
@pytest.mark.parametrize("name", [".bashrc", ".bash_aliases"])
def test_an_alias_comes_before_it(installed: Path, real: Path, name: str, line: str, is_reported: bool) -> None:
    """An alias that starts codex without a path still starts the first one in PATH; no line is shown."""
    path = Path.home() / name
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{line}\n{before}")
    _, *notes = found(installed, real)
    assert [(each.level, str(path) in each.message) for each in notes] == [("note", True)] * is_reported
    assert "yolo" not in str(notes)
