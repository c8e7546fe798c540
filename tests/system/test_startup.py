from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo.codex import log_in
from tests.support.databases import record
from tests.support.factories import ALICE, used

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
sys.argv[0] = "codex-tap"
from scripts.cli import main
try:
    main()
finally:
    heavy = {
        "apprise", "asyncio", "cryptography", "fastapi", "importlib.metadata", "jwt", "mitmproxy", "plotext",
        "prometheus_client", "pydantic", "rich", "sqlite_utils", "uvicorn",
    }
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


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
    command = [sys.executable, "-c", PROGRAM, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert result.stdout
    assert result.stderr == f"{heavy}\n"
