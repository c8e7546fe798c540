"""What commands keep before they ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from scripts.support import kept
from scripts.support.kept import keep_for
from store.files import kept_path
from store.queries.accounts import AccountError
from tests.store.kept.test_filling import daily
from tests.support.kept import SEEN, coverage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every database for a long one."""
    monkeypatch.setattr("store.kept.filling.LONG_BYTES", 0)


def test_what_a_question_needs_is_kept(path: Path) -> None:
    """Of the accounts that it names, or of all."""
    daily(path)
    keep_for(path, ["bob"], SEEN, None)
    assert set(coverage(path)) == {2}
    keep_for(path, [], SEEN, None)
    assert set(coverage(path)) == {1, 2}


def test_an_account_that_is_not_there(path: Path) -> None:
    """The question would find none either."""
    daily(path)
    with pytest.raises(AccountError):
        keep_for(path, ["nobody"], SEEN, None)
    keep_for(path.with_name("missing"), ["nobody"], SEEN, None)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_is_told_of_a_long_work(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    """Once; a file or a pipe is not."""
    monkeypatch.setattr(kept, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    keep_for(daily(path), [], SEEN, None)
    assert capsys.readouterr().err.count("\n") == int(is_terminal)


def test_nothing_is_kept_of_a_short_history(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in a moment."""
    monkeypatch.setattr("store.kept.filling.LONG_BYTES", 1_000_000_000)
    keep_for(daily(path), [], SEEN, None)
    assert not kept_path(path).exists()
