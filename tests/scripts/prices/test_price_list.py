"""The prices that `usage` counts with, and the file that stores those of the package."""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.prices import package, price_list
from scripts.prices.package import PackageState
from scripts.prices.price_list import open_prices
from store.analysis.turn_value import STANDARD, Rates
from store.files import api_prices_file
from tests.support.prices import MADE_UP, install_made_up_prices

if TYPE_CHECKING:
    from pathlib import Path

    from store.analysis.turn_value import ModelPrices


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that the package is asked for."""
    found: list[str] = []

    def find(model: str) -> ModelPrices | None:
        found.append(model)
        return MADE_UP.get(model)

    install_made_up_prices(monkeypatch)
    monkeypatch.setattr(package, "find_prices", find)
    return found


def find(*models: str) -> list[ModelPrices | None]:
    """What a new process finds."""
    with open_prices() as prices:
        return [prices.find(model) for model in models]


def test_the_package_is_asked_once(asked: list[str]) -> None:
    """What it says is stored, also that it does not know a model."""
    expected = [MADE_UP["gpt-6.1-sol"], None, MADE_UP["gpt-6.1-sol"]]
    assert find("gpt-6.1-sol", "x", "gpt-6.1-sol") == expected
    assert find("gpt-6.1-sol", "x", "gpt-6.1-sol") == expected
    assert asked == ["gpt-6.1-sol", "x"]
    assert find("m") == [MADE_UP["m"]]
    assert asked == ["gpt-6.1-sol", "x", "m"]


def test_another_release_is_asked_again(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its prices may be others."""
    find("x")
    monkeypatch.setattr(package, "package_state", lambda: PackageState(2, 1))
    find("x")
    assert asked == ["x", "x"]


def test_nothing_is_stored_that_was_not_looked_up(asked: list[str]) -> None:
    """A question without turns leaves no file behind."""
    find()
    assert not api_prices_file().exists()
    find("x")
    assert asked
    assert api_prices_file().exists()
    if sys.platform != "win32":
        assert stat.S_IMODE(api_prices_file().stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"state": [1, 1]}',
        b'{"state": [1, 1], "models": []}',
        b'{"state": [1, 1], "models": {"x": 7}}',
        b'{"state": [1, 1], "models": {"x": {"standard": [[0, [[-1, [1, 2, 3]]]]]}}}',
        b'{"state": [1, 1], "models": {"x": {"standard": [[0, [[-1, [1, 2, 3, NaN]]]]]}}}',
        b'{"state": [1, 1], "models": {"x": {"standard": [[0, [[-1, [1, 2, 3, -4]]]]]}}}',
        b'{"state": [1, 1], "models": {"x": {"standard": [[0, [[-1, ["1", 2, 3, 4]]]]]}}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_written_again(asked: list[str], content: bytes) -> None:
    """No price comes from it."""
    api_prices_file().parent.mkdir(parents=True, exist_ok=True)
    api_prices_file().write_bytes(content)
    assert find("x") == [None]
    assert asked == ["x"]
    assert json.loads(api_prices_file().read_bytes())["models"] == {"x": None}


def test_a_file_that_cannot_be_written_is_no_failure(asked: list[str]) -> None:
    """The package is asked the next time, too."""
    api_prices_file().mkdir(parents=True)
    assert find("m") == find("m") == [MADE_UP["m"]]
    assert asked == ["m", "m"]


def test_the_file_stays_small(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients may send any number of names."""
    monkeypatch.setattr(price_list, "_MAX_STORED", 3)
    find("a", "b", "c")
    find("d")
    assert len(asked) == 4
    assert set(json.loads(api_prices_file().read_bytes())["models"]) == {"a", "b", "c"}


def test_the_users_own_prices_win(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is asked for the others only."""
    file = tmp_path / "own.toml"
    file.write_text("[models.m]\ninput = 1\noutput = 2\n", encoding="utf-8")
    monkeypatch.setenv("CODEX_TAP_PRICES", str(file))
    with open_prices() as prices:
        mine, theirs = prices.find("m"), prices.find("gpt-6.1-sol")
        assert (prices.is_own("m"), prices.is_own("gpt-6.1-sol")) == (True, False)
    assert mine is not None
    assert mine[STANDARD][0].steps[0].rates == Rates(1, 1, 1, 2)
    assert theirs == MADE_UP["gpt-6.1-sol"]
    assert asked == ["gpt-6.1-sol"]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model has a public price."""
    monkeypatch.setattr(package, "package_state", lambda: None)
    with open_prices() as prices:
        assert (prices.find("gpt-6.1-sol"), prices.source) == (None, None)
    assert not api_prices_file().exists()


def test_a_package_that_cannot_be_read(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release may be made differently: what was stored of it still counts, and nothing else is known."""
    find("m")

    def fail(_model: str) -> None:
        raise AttributeError("get_snapshot")

    monkeypatch.setattr(package, "find_prices", fail)
    with open_prices() as prices:
        assert [prices.find(model) for model in ("gpt-6.1-sol", "m")] == [None, MADE_UP["m"]]
        assert prices.source is None
    assert asked == ["m"]
    assert json.loads(api_prices_file().read_bytes())["models"].keys() == {"m"}
