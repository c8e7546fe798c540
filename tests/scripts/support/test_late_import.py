from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.support.late_import import imported_late

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large module, a library that calls a function of it, and one that needs it to be imported."""
    (tmp_path / "large_module.py").write_text("def double(number):\n    return 2 * number\n")
    (tmp_path / "calls_it.py").write_text("import large_module\n\ndef four():\n    return large_module.double(2)\n")
    (tmp_path / "needs_it.py").write_text("from large_module import double\n\nSIX = double(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("large_module", "calls_it", "needs_it"):
        # Set before it is deleted, so that what the test imports is deleted at its end.
        monkeypatch.setitem(sys.modules, name, sys)
        monkeypatch.delitem(sys.modules, name)


def test_a_module_is_imported_when_it_is_used() -> None:
    with imported_late("large_module"):
        library = importlib.import_module("calls_it")
    assert "large_module" not in sys.modules
    assert library.four() == 4
    assert sys.modules["large_module"].double(5) == 10


def test_a_library_that_uses_it_at_once_works() -> None:
    with imported_late("large_module"):
        library = importlib.import_module("needs_it")
        assert sys.modules["large_module"].__file__
    assert library.SIX == 6
    assert library.double is sys.modules["large_module"].double


def test_others_get_the_whole_module() -> None:
    with imported_late("large_module"):
        importlib.import_module("calls_it")
    assert importlib.import_module("large_module").__file__


def test_a_module_that_was_imported_before_stays() -> None:
    before = importlib.import_module("large_module")
    with imported_late("large_module"):
        library = importlib.import_module("calls_it")
    assert library.large_module is before
    assert sys.modules["large_module"] is before
