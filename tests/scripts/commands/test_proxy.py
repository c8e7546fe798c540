"""`codex-tap proxy`."""

from __future__ import annotations

from tests.support.command_line import invoke, started


def test_a_port_out_of_range_is_wrong_use() -> None:
    """The exit code is 2, and the error has the port."""
    result = invoke("proxy", "--port", "70000")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "70000 is not in the range" in result.stderr


def test_quiet_and_verbose_are_wrong_use() -> None:
    """They contradict each other."""
    result = invoke("proxy", "-q", "-v")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--quiet cannot be combined with --verbose" in result.stderr


def test_options_of_mitmdump_come_after_two_dashes() -> None:
    """The options are passed to mitmdump unchanged."""
    result = started("proxy", "--port", "0", "--", "--version")
    assert result.returncode == 0
    assert "Mitmproxy: " in result.stdout
