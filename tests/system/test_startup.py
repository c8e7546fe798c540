from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import log_in
from scripts.prices.package import package_state
from store.models import Tokens
from tests.support.databases import record
from tests.support.factories import ALICE, turn, used

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
looked_for = sys.argv.pop(1).split(",")
sys.argv[0] = "codex-tap"
from scripts.cli import main
try:
    main()
finally:
    print(sorted(set(looked_for) & set(sys.modules)), file=sys.stderr)
"""

HEAVY = (
    *("apprise", "asyncio", "cryptography", "fastapi", "genai_prices", "importlib.metadata", "jwt", "mitmproxy"),
    *("plotext", "prometheus_client", "pydantic", "rich", "sqlite_utils", "uvicorn"),
)
UNUSED_IN_PROMPTS = (
    *HEAVY,
    *("dataclasses", "email", "inspect", "locale", "logging", "math", "platformdirs", "psycopg", "subprocess"),
    *("urllib.parse", "zoneinfo"),
    *(
        "scripts.render.console",
        "scripts.support.beside",
        "scripts.support.packages",
        "scripts.support.timespec",
        "store.analysis.forecast",
        "store.analysis.prices",
        "store.analysis.ranking",
        "store.kept",
        "store.models",
        "store.outbox",
        "store.retention",
        "store.team",
        "store.transitions",
    ),
)


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--json"], []),
        (["status", "--json"], []),
        (["accounts", "--json"], []),
        (["history", "--json"], []),
        (["history", "--csv"], []),
        (["usage", "--json"], []),
        (["threads", "--json"], []),
        (["forecast", "--json"], []),
        (["events", "--json"], []),
        (["next", "--json"], []),
        (["guard"], []),
        (["statusline"], []),
        (["status"], ["rich"]),
        (["run", "--own", sys.executable, "-c", "print('up')"], []),
    ],
    ids=" ".join,
)
def test_a_command_imports_what_it_needs_alone(arguments: list[str], heavy: list[str]) -> None:
    """A prompt does not wait for what only the proxy or a table needs."""
    record(Path(os.environ["CODEX_TAP_DB"]), used(13))
    log_in(Path(os.environ["CODEX_HOME"]), ALICE.account_id, ALICE.user_id)
    assert _imported(arguments) == f"{heavy}\n"


@pytest.mark.parametrize("arguments", [["statusline"], ["guard"], ["status", "--json"]], ids=" ".join)
def test_what_runs_in_prompts(arguments: list[str]) -> None:
    """These commands run each time a prompt is drawn: no module is imported for what they do not print."""
    record(Path(os.environ["CODEX_TAP_DB"]), used(13))
    log_in(Path(os.environ["CODEX_HOME"]), ALICE.account_id, ALICE.user_id)
    of_pathlib = {"math", "urllib.parse"} if sys.version_info < (3, 13) else set()
    assert _imported(arguments, [each for each in UNUSED_IN_PROMPTS if each not in of_pathlib]) == "[]\n"


def test_prices_are_looked_up_once() -> None:
    """The package of prices is imported for a model that was not seen before, and never again."""
    found = turn("t", model="gpt-6.1-sol", at=time.time() - 60, tokens=Tokens(input=1_000, output=10))
    record(Path(os.environ["CODEX_TAP_DB"]), used(13), found)
    has_package = package_state() is not None
    assert ("genai_prices" in _imported(["usage", "--json"])) == has_package
    assert _imported(["usage", "--json"]) == "[]\n"
    for arguments in (["status", "--json"], ["statusline"], ["guard", "--max-age", "9999d"]):
        assert _imported(arguments) == "[]\n"


def _imported(arguments: list[str], modules: Sequence[str] = HEAVY) -> str:
    """Run a command, and return which of the modules it imported."""
    command = [sys.executable, "-c", PROGRAM, ",".join(modules), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert result.stdout
    return result.stderr
