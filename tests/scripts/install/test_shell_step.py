"""The first step: a ``codex`` first in PATH."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from scripts.install.shell_step import PROGRAM, apply_shell, plan_shell, shells_installed
from scripts.support.installation import load_installation
from store.files import installed_folder


class Memory:
    """A PATH of the user's that is nowhere stored."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def read(self) -> str | None:
        """Return it."""
        return self.text

    def write(self, text: str | None) -> None:
        """Store another one."""
        self.text = text


def test_everything_is_written_and_recorded() -> None:
    """The program, the block, and what is needed to undo it."""
    path = Path.home() / ".bashrc"
    path.write_text("alias x=y\n")
    plan = plan_shell("bash", ["gateway.example"], os.environ)
    assert not installed_folder().exists()
    apply_shell(plan)
    assert path.read_bytes() == plan.files[0].after
    assert str(installed_folder()) in path.read_text()
    installed = load_installation()
    assert installed.blocks == {str(path): list(plan.lines)}
    assert (installed.gateways, installed.always) == (("gateway.example",), None)
    assert shells_installed(installed)
    (script,) = [each for each in installed_folder().iterdir() if each.name.startswith("codex")]
    assert str(PROGRAM) in script.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(script.stat().st_mode) == 0o700


def test_a_second_shell_is_added() -> None:
    """What is on record for the first one stays."""
    for shell in ("zsh", "fish"):
        apply_shell(plan_shell(shell, [], os.environ))
    assert len(load_installation().blocks) == 2


@pytest.mark.parametrize("before", [None, r"C:\x"])
def test_the_registry_of_windows(before: str | None) -> None:
    """The user's PATH is changed, and no start-up file."""
    registry = Memory(before)
    plan = plan_shell("powershell", [], os.environ, registry)
    assert (plan.files, registry.text) == ((), before)
    apply_shell(plan, registry)
    folder = str(installed_folder().absolute())
    assert registry.text == folder + (f";{before}" if before else "")
    assert load_installation().in_user_path == folder
    assert plan_shell("powershell", [], os.environ, registry).user_path is None
