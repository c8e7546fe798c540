"""Start-up files of shells, and what the lines in them do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.install.start_up_files import SHELL_NAMES, ShellName, block_lines, guess_shell, start_up_files


@pytest.mark.parametrize(
    ("shell", "there", "environ", "platform", "expected"),
    [
        ("bash", [], {}, "linux", [".bashrc"]),
        ("bash", [".profile"], {}, "linux", [".bashrc", ".profile"]),
        ("bash", [".profile", ".bash_login"], {}, "linux", [".bashrc", ".bash_login"]),
        ("bash", [".profile", ".bash_profile"], {}, "darwin", [".bashrc", ".bash_profile"]),
        ("bash", [], {}, "darwin", [".bashrc", ".bash_profile"]),
        ("zsh", [], {}, "darwin", [".zshrc"]),
        ("zsh", [], {"ZDOTDIR": "{home}/zsh"}, "linux", ["zsh/.zshrc"]),
        ("fish", [], {}, "linux", [".config/fish/conf.d/codex-tap.fish"]),
        ("fish", [], {"XDG_CONFIG_HOME": "{home}/c"}, "linux", ["c/fish/conf.d/codex-tap.fish"]),
        ("powershell", [], {}, "linux", [".config/powershell/profile.ps1"]),
    ],
)
def test_the_files_of_each_shell(
    shell: ShellName, there: list[str], environ: dict[str, str], platform: str, expected: list[str]
) -> None:
    """Bash reads one file for login and another one otherwise; folders can be moved by variables."""
    home = Path.home()
    for name in there:
        (home / name).touch()
    environ = {name: value.format(home=home) for name, value in environ.items()}
    assert start_up_files(shell, environ, platform) == [home / name for name in expected]


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"SHELL": "/bin/bash"}, "linux", "bash"),
        ({"SHELL": "/opt/homebrew/bin/fish"}, "darwin", "fish"),
        ({"SHELL": "/usr/bin/pwsh"}, "linux", "powershell"),
        ({"SHELL": "/bin/tcsh"}, "linux", None),
        ({}, "linux", None),
        ({"SHELL": "/usr/bin/bash"}, "win32", "powershell"),
    ],
)
def test_the_shell_is_guessed(environ: dict[str, str], platform: str, expected: str | None) -> None:
    """By the variable of POSIX; on Windows the user's PATH is meant."""
    assert guess_shell(environ, platform) == expected


PROGRAMS = {
    "bash": ["bash"],
    "zsh": ["zsh", "-f"],
    "fish": ["fish", "--no-config"],
    "powershell": ["pwsh", "-NoProfile"],
}
SHOW = {"powershell": "$env:PATH", "fish": "string join : $PATH"}


@pytest.mark.skipif(sys.platform == "win32", reason="PATH of POSIX")
@pytest.mark.parametrize("shell", SHELL_NAMES)
@pytest.mark.parametrize("folder", ["plain", "a b", "it's $HOME"])
def test_the_lines_put_the_folder_first_once(tmp_path: Path, shell: ShellName, folder: str) -> None:
    """Evaluated twice, as by a login shell that reads both files, they change nothing more."""
    program, *options = PROGRAMS[shell]
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    place = tmp_path / folder
    place.mkdir()
    lines = block_lines(shell, place)
    script = "\n".join([*lines, *lines, SHOW.get(shell, 'echo "$PATH"')])
    search_path = os.environ["PATH"]
    done = subprocess.run([program, *options, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.rstrip("\n") == f"{place}:{search_path}"
