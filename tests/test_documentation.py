"""The documents for people: what they name exists, and the README names what there is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import pytest

from scripts.cli import cli
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
MAX_README_LINES = 260

_CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TEST_FILE = re.compile(r"\btests/[\w/]+\.py\b")
_MODULE = re.compile(r"\b\w+\.py\b")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE_BLOCK.sub("", read(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    return not target.exists() or (anchor != "" and anchor not in anchors(target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Links within the repository name a file that exists, and a heading in it."""
    links = [link for link in _LINK.findall(_CODE_BLOCK.sub("", read(document))) if "://" not in link]

    assert [link for link in links if broken(document, link)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_tests_exist(document: Path) -> None:
    """A promise names the test that checks it."""
    assert [name for name in _TEST_FILE.findall(read(document)) if not (REPOSITORY / name).is_file()] == []


def test_readme_has_each_command() -> None:
    """One table in the README shows every command."""
    readme = read(REPOSITORY / "README.md")
    commands = cli.list_commands(click.Context(cli))

    assert "status" in commands
    assert [name for name in commands if not re.search(rf"^\|.*codex-tap {name}\b", readme, re.MULTILINE)] == []


def test_readme_is_short() -> None:
    """Manuals are in docs/."""
    assert len(read(REPOSITORY / "README.md").splitlines()) <= MAX_README_LINES


def test_architecture_has_each_module() -> None:
    """The tree in docs/architecture.md names every module but commands and renderers, and none that does not exist."""
    page = read(REPOSITORY / "docs" / "architecture.md")
    named = set(_MODULE.findall(page[page.index("## The tree") : page.index("## Rules")]))
    rooms = ("addon", "store", "scripts")
    modules = [*REPOSITORY.glob("*.py"), *(path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))]
    one_for_each_topic = [REPOSITORY / "scripts" / room for room in ("commands", "render", "demo")]
    expected = {path.name for path in modules if path.parent not in one_for_each_topic} - {"__init__.py"}

    assert expected - named == set()
    assert named - {path.name for path in modules} == set()
