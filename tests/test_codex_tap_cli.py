"""The entry point, in folders and environments that would replace its modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.databases import record
from tests.support.factories import used
from tests.support.harness import REPOSITORY, free_port
from tests.support.launcher import read_line, started

if TYPE_CHECKING:
    from collections.abc import Sequence

# The program that pip installs.
CONSOLE_SCRIPT = ["-c", "import sys; from codex_tap_cli import main; sys.argv[0] = 'codex-tap'; sys.exit(main())"]
WAYS = {
    "console script": CONSOLE_SCRIPT,
    "module": ["-m", "codex_tap_cli"],
    "path": [str(REPOSITORY / "scripts" / "cli.py")],
}

NAMES = ("addon", "store", "scripts", "click", "mitmproxy", "pydantic", "uvicorn")

ENVIRONMENTS = {
    "PYTHONPATH": {},
    "PYTHONWARNINGS": {"PYTHONWARNINGS": "error"},
    "PYTHONSAFEPATH": {"PYTHONSAFEPATH": "1"},
    "PYTHONSTARTUP": {"PYTHONSTARTUP": "store/__init__.py", "PYTHONINSPECT": "", "PYTHONNOUSERSITE": "1"},
    "PYTHONHOME": {"PYTHONHOME": sys.base_prefix},
    "PYTHONOPTIMIZE": {"PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
}

SHOW = "import os; print('command', os.environ['PYTHONPATH'], os.environ.get('PYTHONWARNINGS'))"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules have the names of ours and end every program that imports them."""
    folder = tmp_path / "project"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the module {name} of the project')\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=[*ENVIRONMENTS])
def hostile(request: pytest.FixtureRequest) -> dict[str, str]:
    """An environment that leads to the modules of the working directory."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((".", str(REPOSITORY))), **ENVIRONMENTS[request.param]}


def call(way: Sequence[str], *words: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *way, *words]
    return subprocess.run(command, env=environ, capture_output=True, encoding="utf-8", timeout=90, check=False)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_status(way: Sequence[str], hostile: dict[str, str]) -> None:
    """It is the program itself, whatever the folder has."""
    record(Path(os.environ["CODEX_TAP_DB"]), used(13))
    done = call(way, "status", "--json", environ=hostile)
    assert (done.stderr, done.returncode) == ("", 0)
    assert '"source": "headers"' in done.stdout


@pytest.mark.usefixtures("project")
def test_run(hostile: dict[str, str]) -> None:
    """The proxy starts; the command's environment is the user's."""
    done = call(CONSOLE_SCRIPT, "run", sys.executable, "-S", "-c", SHOW, environ=hostile)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == f"command {hostile['PYTHONPATH']} {hostile.get('PYTHONWARNINGS')}\n"


@pytest.mark.usefixtures("project")
def test_proxy_and_page(hostile: dict[str, str]) -> None:
    """The proxy and its sidecar, which is `codex-tap serve`, start."""
    command = [sys.executable, *CONSOLE_SCRIPT, "proxy", "--serve", "--port", str(free_port())]
    with started(*command, environ=hostile, stderr=subprocess.STDOUT) as process:
        lines = {read_line(process, "codex-tap: ").split(" at ")[0] for _ in range(2)}  # in any order
        assert lines == {"codex-tap: listening", "codex-tap: the page is"}


@pytest.mark.usefixtures("project")
def test_serve(hostile: dict[str, str]) -> None:
    """The page is served."""
    record(Path(os.environ["CODEX_TAP_DB"]), used(13))
    command = [sys.executable, *CONSOLE_SCRIPT, "serve", "--port", "0"]
    with started(*command, environ=hostile, stderr=subprocess.STDOUT) as process:
        assert "http://127.0.0.1:" in read_line(process, "")


@pytest.mark.usefixtures("project")
def test_doctor(hostile: dict[str, str]) -> None:
    """Every check is printed."""
    done = call(CONSOLE_SCRIPT, "doctor", "--json", environ={**hostile, "PATH": ""})
    assert done.stderr == ""
    assert '"versions"' in done.stdout


@pytest.mark.usefixtures("project")
def test_completion(hostile: dict[str, str]) -> None:
    """The shell gets its completion script, and the words of a line."""
    script = call(CONSOLE_SCRIPT, environ={**hostile, "_CODEX_TAP_COMPLETE": "zsh_source"})
    assert "_CODEX_TAP_COMPLETE" in script.stdout
    words = {"_CODEX_TAP_COMPLETE": "bash_complete", "COMP_WORDS": "codex-tap fore", "COMP_CWORD": "1"}
    assert "forecast" in call(CONSOLE_SCRIPT, environ={**hostile, **words}).stdout


def test_a_module_that_was_imported_before(project: Path) -> None:
    """A `sitecustomize` of the project may have imported modules of our names."""
    (project / "sitecustomize.py").write_text("import store\n")
    (project / "store" / "__init__.py").write_text("")
    done = call(CONSOLE_SCRIPT, "--version", environ={**os.environ, "PYTHONPATH": f".{os.pathsep}{REPOSITORY}"})
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("codex-tap ")


def test_libraries_that_only_pythonpath_leads_to(project: Path) -> None:
    """They are found, after all others."""
    program = (
        "import sys, codex_tap_cli; codex_tap_cli.isolate(); import only_here, store;"
        "print(sys.path[0], sys.path[-1], store.__file__)"
    )
    (project / "only_here.py").write_text("")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(project)))}
    done = call(["-c", program], environ=environ)
    assert done.stderr == ""
    first, last, found = done.stdout.split()
    assert (Path(first), Path(last)) == (REPOSITORY, project)
    assert Path(found) == REPOSITORY / "store" / "__init__.py"
