"""`codex-tap doctor`; its checks are tested in `tests/scripts/maintenance`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.command_line import invoke

if TYPE_CHECKING:
    from pathlib import Path


def test_an_invalid_address_is_wrong_use() -> None:
    """The exit code is 2, and the error has the address."""
    result = invoke("doctor", "--proxy", "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere is not a proxy's address" in result.stderr


def test_quiet_leaves_out_what_is_fine(two: Path) -> None:
    """Problems and notes stay, and so does the exit code."""
    whole, short = invoke("doctor"), invoke("doctor", "-q")
    assert whole.exit_code == short.exit_code
    levels = {line.split()[0] for line in short.stdout.splitlines() if not line.startswith(" ")}
    assert levels <= {"problem", "note"}
    assert len(short.stdout) < len(whole.stdout)
    assert two.exists()
