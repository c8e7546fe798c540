"""The file of the user's own prices."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from scripts.prices import own_prices
from scripts.prices.own_prices import OwnPricesError, load_own_prices, prices_path
from store.analysis.turn_value import FAST, STANDARD, Rates
from store.settings import config_folder

EXAMPLE = """\
[models."gpt-6.1-sol"]
input = 1.25
cached_input = 0.125
cache_write = 1.5
output = 10
fast = 2

[models."gpt-5.*"]
input = 1
output = 8

[models."gpt-5.4*"]
input = 3
output = 9

[models."Local"]
input = 0
output = 0
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


@pytest.mark.parametrize(
    ("model", "standard", "fast"),
    [
        pytest.param("gpt-6.1-sol", Rates(1.25, 0.125, 1.5, 10), Rates(2.5, 0.25, 3, 20), id="all prices"),
        pytest.param("GPT-6.1-Sol", Rates(1.25, 0.125, 1.5, 10), Rates(2.5, 0.25, 3, 20), id="case does not matter"),
        pytest.param("gpt-5.5", Rates(1, 1, 1, 8), None, id="the beginning of names; cached as input"),
        pytest.param("gpt-5.4-mini", Rates(3, 3, 3, 9), None, id="the longer beginning"),
        pytest.param("local", Rates(0, 0, 0, 0), None, id="free of charge"),
        pytest.param("gpt-6.1-sol-mini", None, None, id="a name is not the beginning of another"),
        pytest.param("gpt-5", None, None, id="not in the file"),
    ],
)
def test_prices_of_a_model(file: Path, model: str, standard: Rates | None, fast: Rates | None) -> None:
    """An exact name counts before the beginning of one, and Fast mode costs a multiple."""
    file.write_text(EXAMPLE, encoding="utf-8")
    prices = load_own_prices(file).find(model) or {}
    found = {tier: periods[0].steps[0].rates for tier, periods in prices.items()}
    assert found == {tier: rates for tier, rates in ((STANDARD, standard), (FAST, fast)) if rates}


def test_the_documented_example_is_valid(file: Path) -> None:
    """That of the module, and so that of the docs, which repeat it."""
    text = re.sub(r"^ {4}", "", (own_prices.__doc__ or "").split("begin alike:")[1], flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    assert load_own_prices(file).find("gpt-5.9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            None,
            "{path} does not exist; write prices into it, or name another file with --prices or CODEX_TAP_PRICES",
            id="no file",
        ),
        pytest.param("", "{path}: models: write a table with input and output", id="empty"),
        pytest.param("[models]\n", "{path}, line 1: models: write a table with input and output", id="no models"),
        pytest.param("x = 1\n", "{path}, line 1: x: unknown key; known: models", id="another key"),
        pytest.param('[model."m"]\n', "{path}: model: unknown key; did you mean models?", id="a typo"),
        pytest.param(
            "\n[models.gpt-6.1-sol]\ninput = 1\noutput = 2\n",
            '{path}, line 2: models.gpt-6.1-sol: a name with a dot needs quotes: [models."gpt-6.1-sol"]',
            id="a name without quotes",
        ),
        pytest.param(
            "[models.m]\ninput = 1\n",
            "{path}, line 1: models.m: output is missing; write it in dollars per million tokens",
            id="no output",
        ),
        pytest.param(
            "[models.m]\ninput = 1\noutput = 2\ncached = 0.1\n",
            "{path}, line 4: models.m.cached: unknown key; did you mean cached_input?",
            id="an unknown price",
        ),
        *(
            pytest.param(
                f"[models.m]\ninput = {value}\noutput = 2\n",
                "{path}, line 2: models.m.input: write a number from 0 to 1,000,000, such as 1.25",
                id=f"input = {value}",
            )
            for value in ("-1", "nan", "inf", "true", '"$1.25"', "1_000_001", "[1]", "2026-11-21")
        ),
        pytest.param("[models]\nm = 2\n", "{path}, line 2: models.m: write a table with", id="a number for a model"),
        pytest.param("models = 2\n", "{path}, line 1: models: write a table with", id="a number for all models"),
        pytest.param("[models\n", "{path}: invalid TOML: ", id="no TOML"),
        pytest.param("x = " + "[" * 100_000, "{path}: invalid TOML: too deeply nested", id="deeply nested"),
        pytest.param(
            "".join(f"[models.m{number}]\ninput = 1\noutput = 1\n" for number in range(1_001)),
            "{path}: models: write at most 1,000 models",
            id="too many",
        ),
        pytest.param('[models."\x1b[31m\x07"]\n', "{path}: invalid TOML: ", id="control characters in a name"),
        pytest.param('[models."\\u001b[31m"]\n', "{path}: models.", id="escaped control characters"),
    ],
)
def test_an_error_says_what_to_write(file: Path, text: str | None, message: str) -> None:
    """It is one line with the file, the line and the key, and has no control characters."""
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(OwnPricesError) as caught:
        load_own_prices(file)
    shown = str(caught.value)
    assert shown.startswith(message.format(path=file))
    assert shown.isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_named_pipe_is_not_waited_for(file: Path) -> None:
    """It is no file of prices."""
    os.mkfifo(file)
    with pytest.raises(OwnPricesError, match="cannot be read: it is not a regular file"):
        load_own_prices(file)


def test_the_path_of_the_file(tmp_path: Path) -> None:
    """The chosen one, else that of the environment, else one in the configuration folder, if it exists."""
    chosen, named = tmp_path / "chosen.toml", tmp_path / "named.toml"
    environ = {"CODEX_TAP_PRICES": str(named)}
    assert prices_path(chosen, environ) == chosen
    assert prices_path(None, environ) == named
    assert prices_path(None, {}) is None
    usual = config_folder() / "prices.toml"
    usual.parent.mkdir(parents=True, exist_ok=True)
    usual.touch()
    assert prices_path(None, {}) == usual
    assert prices_path(Path("~/prices.toml"), {}) == Path.home() / "prices.toml"
