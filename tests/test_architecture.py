"""The rules of the tree that imports alone do not show; the layers themselves are contracts in pyproject.toml.

An exception to a rule is named below with its reason.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions

import pytest

from tests.support.harness import REPOSITORY

_PACKAGES = ("addon", "store", "scripts")
_FILES = {path.relative_to(REPOSITORY) for package in _PACKAGES for path in (REPOSITORY / package).rglob("*.py")}
_MODULES = {
    ".".join(path.with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        (REPOSITORY / path).read_text(encoding="utf-8")
    )
    for path in sorted(_FILES)
}
_PACKAGE_MODULES = {".".join(path.parent.parts) for path in _FILES if path.name == "__init__.py"}

_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP)\s")
_SQL_ROOMS = (
    "store.queries",
    "store.record.statements",
    "store.schema",
    "store.readable_rows",
    "store.edit_log",
    "store.edits",
    "store.imports",
    "store.outbox",
    "store.kept",
    "store.retention",
    "store.team",
    "scripts.codex_files",  # of Codex's own database
)
_MAX_INIT_LINES = 40

# A process of its own: import-linter configures logging, and with it every logger of this one.
_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

_IMPORT = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"

_WITHOUT_TEST_FILE = {
    "addon.codex_tap": "a few lines, tested in test_tap.py",
    "scripts.commands.demo": "click around scripts.demo.play, tested in test_play.py",
    "scripts.commands.uninstall": "click around scripts.maintenance.uninstall, tested in test_uninstall.py",
    "scripts.support.errors": "constants and two exceptions",
    "scripts.support.ready_lines": "constants",
    "store.constants": "constants and three functions of one line",
}


def _imported(tree: ast.Module) -> set[str]:
    """Return the modules of the tree that a module imports, those for its types and inside functions included."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "an import is absolute"
            submodules = {f"{node.module}.{each.name}" for each in node.names} & _MODULES.keys()
            names |= submodules or {node.module}
    return names


def _in_room(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _has_sql(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value)
        for node in ast.walk(tree)
    )


def test_the_layers_of_pyproject_hold() -> None:
    """The same as the command `lint-imports`."""
    linted = subprocess.run([sys.executable, "-c", _LINT], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_every_module_can_be_imported() -> None:
    """Those too that a command imports when it is called; the gate runs this on each Python."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, *_MODULES], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_module_has_a_test_file_of_its_name() -> None:
    """In the mirrored folder; the exceptions are named with their reason."""
    missing = {
        module
        for module in _MODULES.keys() - _PACKAGE_MODULES
        if not (REPOSITORY / "tests" / "/".join(module.split(".")[:-1]) / f"test_{module.split('.')[-1]}.py").is_file()
    }
    assert missing == _WITHOUT_TEST_FILE.keys()


def test_no_import_circle() -> None:
    """Sorting raises an error that names the circle."""
    graph = {module: _imported(tree) & _MODULES.keys() - {module} for module, tree in _MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(_MODULES)


def test_only_the_command_line_lies_loose_in_scripts() -> None:
    """Everything else has a room."""
    assert {path.name for path in _FILES if path.parent.name == "scripts"} == {"cli.py", "__init__.py"}


def test_only_commands_know_click() -> None:
    """Everything below them can be used without a terminal."""
    users = {module for module, tree in _MODULES.items() if any(_in_room(name, "click") for name in _imported(tree))}
    assert users
    assert {module for module in users if not _in_room(module, "scripts.commands", "scripts.cli")} == set()


def test_sql_has_its_rooms() -> None:
    """Reading is in queries and views; writing is in the recorder's statements, the schema, edits and retention."""
    users = {module for module, tree in _MODULES.items() if _has_sql(tree)}
    assert users
    assert {module for module in users if not _in_room(module, *_SQL_ROOMS)} == set()


@pytest.mark.parametrize("package", sorted(_PACKAGE_MODULES))
def test_a_package_file_is_short_and_hides_no_module(package: str) -> None:
    """A name that is both a module and what an `__init__` brings in would depend on the order of imports."""
    tree = _MODULES[package]
    source = (REPOSITORY / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= _MAX_INIT_LINES
    bound = {
        each.asname or each.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for each in node.names
    }
    assert {name for name in bound if f"{package}.{name}" in _MODULES} == set()


@pytest.mark.parametrize("package", ["addon", "store"])
def test_a_class_name_is_unique(package: str) -> None:
    """A reader who searches for a class finds one."""
    names = Counter(
        node.name
        for module, tree in _MODULES.items()
        if _in_room(module, package)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_no_file_of_the_addon_hides_a_library() -> None:
    """While mitmproxy loads the addon, the folder of the addon is on `sys.path`."""
    taken = sys.stdlib_module_names | packages_distributions().keys() - set(_PACKAGES)
    assert {path.stem for path in _FILES if path.parent.name == "addon"} & taken == set()
