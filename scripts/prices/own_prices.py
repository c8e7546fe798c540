"""The file of the user's own prices: where it is, what it contains, and how it is loaded.

It is a TOML file with a table for each model, or for all models whose names begin alike:

    [models."gpt-6.1-sol"]      # dollars per million tokens
    input = 1.25
    cached_input = 0.125        # without it: as input
    cache_write = 1.5625        # without it: as input
    output = 10
    fast = 2                    # how many times as much in Fast mode; without it: not priced

    [models."gpt-5.*"]          # the longest name that fits counts
    input = 1
    output = 8
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.support.sanitize import sanitize
from store.analysis.turn_value import FAST, STANDARD, ModelPrices, PricePeriod, PriceStep, Rates
from store.settings import PRICES_VARIABLE, config_folder, expand_home

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.support.toml_file import Location

MAX_MODELS = 1_000
_MAX_PRICE = 1_000_000
_SHOWN = 60

_REQUIRED, _OPTIONAL = ("input", "output"), ("cached_input", "cache_write", "fast")
_TABLE_HINT = 'write a table with input and output in dollars per million tokens: [models."gpt-6.1-sol"]'


class OwnPricesError(Exception):
    """The file of prices cannot be used. The message is one line: file, line, key, and what to write instead."""


class OwnPrices:
    """The user's own prices, by the model's name in lower case; one that ends in ``*`` is the beginning of names."""

    def __init__(self, models: Mapping[str, ModelPrices]) -> None:
        self._exact = {name: prices for name, prices in models.items() if not name.endswith("*")}
        starts = sorted((name for name in models if name.endswith("*")), key=len, reverse=True)
        self._starts = [(name[:-1], models[name]) for name in starts]

    def find(self, model: str) -> ModelPrices | None:
        """Return the prices of a model; None if the file has none for it."""
        name = model.lower()
        found = self._exact.get(name)
        return found or next((prices for start, prices in self._starts if name.startswith(start)), None)


def prices_path(chosen: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of the file: the chosen one, else that of ``CODEX_TAP_PRICES``, else ``prices.toml``.

    The latter is in the platform's configuration folder, and None is returned where it does not exist: a person who has
    no prices needs no file.
    """
    named = chosen or (Path(environ[PRICES_VARIABLE]) if environ.get(PRICES_VARIABLE) else None)
    if named:
        return expand_home(named)
    usual = config_folder() / "prices.toml"
    return usual if os.path.lexists(usual) else None


def load_own_prices(path: Path) -> OwnPrices:
    """Read and check the file.

    Raises:
        OwnPricesError: The file does not exist, cannot be read, or is invalid.
    """
    # Imported here: most people have no such file.
    from scripts.support.toml_file import TomlError, key_lines, line_of, read_toml

    try:
        text, contents = read_toml(path)
        return OwnPrices(_models(contents))
    except FileNotFoundError:
        raise OwnPricesError(
            f"{path} does not exist; write prices into it, or name another file with --prices or CODEX_TAP_PRICES"
        ) from None
    except TomlError as error:
        raise OwnPricesError(str(error)) from None
    except _InvalidError as error:
        line = line_of(key_lines(text), error.at)
        raise OwnPricesError(f"{path}{f', line {line}' if line else ''}: {error}") from None


class _InvalidError(Exception):
    """The contents are invalid, at a place."""

    def __init__(self, at: Location, message: str) -> None:
        name = ".".join(sanitize(str(part)[:_SHOWN]) for part in at)
        super().__init__(f"{name}: {message}" if name else message)
        self.at = at


def _models(contents: Mapping[str, object]) -> dict[str, ModelPrices]:
    _check_keys((), contents, ("models",))
    tables = contents.get("models", {})
    if not isinstance(tables, dict) or not tables:
        raise _InvalidError(("models",), _TABLE_HINT)
    if len(tables) > MAX_MODELS:
        raise _InvalidError(("models",), f"write at most {MAX_MODELS:,} models")
    return {name.lower(): _prices(("models", name), table) for name, table in tables.items()}


def _prices(at: Location, table: object) -> ModelPrices:
    if not isinstance(table, dict):
        raise _InvalidError(at, _TABLE_HINT)
    for key, value in table.items():
        if isinstance(value, dict):  # [models.gpt-6.1-sol]
            raise _InvalidError((*at, key), 'a name with a dot needs quotes: [models."gpt-6.1-sol"]')
    _check_keys(at, table, (*_REQUIRED, *_OPTIONAL))
    for key in _REQUIRED:
        if key not in table:
            raise _InvalidError(at, f"{key} is missing; write it in dollars per million tokens")
    numbers = {key: _number((*at, key), value) for key, value in table.items()}
    given = numbers["input"]
    standard = Rates(given, numbers.get("cached_input", given), numbers.get("cache_write", given), numbers["output"])
    prices: ModelPrices = {STANDARD: _always(standard)}
    if "fast" in numbers:
        prices[FAST] = _always(Rates(*(price * numbers["fast"] for price in standard)))
    return prices


def _check_keys(at: Location, table: Iterable[str], known: Sequence[str]) -> None:
    from scripts.support.toml_file import nearest

    for key in table:
        if key not in known:
            raise _InvalidError((*at, key), f"unknown key; {nearest(key, known)}")


def _number(at: Location, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _MAX_PRICE:
        return float(value)
    raise _InvalidError(at, f"write a number from 0 to {_MAX_PRICE:,}, such as 1.25")


def _always(rates: Rates) -> tuple[PricePeriod, ...]:
    return (PricePeriod(-math.inf, (PriceStep(-1, rates),)),)
