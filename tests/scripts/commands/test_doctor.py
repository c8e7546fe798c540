"""`codex-tap doctor`; its checks are tested in `tests/scripts/maintenance`."""

from __future__ import annotations

from tests.support.command_line import invoke


def test_an_invalid_address_is_wrong_use() -> None:
    """The exit code is 2, and the error has the address."""
    result = invoke("doctor", "--proxy", "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere is not a proxy's address" in result.stderr
