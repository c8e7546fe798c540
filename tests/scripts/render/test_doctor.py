"""The text of `doctor`."""

from __future__ import annotations

from scripts.maintenance.doctor.check import Check
from scripts.render.console import TerminalProfile
from scripts.render.doctor import render_checks
from tests.support.rendering import lines


def test_findings_wrap_beside_their_names() -> None:
    """A long message and its advice stay in their own column."""
    found = [Check("proxy", "problem", "a long way to say it", "do this"), Check("codex", "ok", "here")]
    assert render_checks(found, TerminalProfile(42)).plain == lines("""
        problem  proxy        a long way to say it
                              do this
        ok       codex        here
    """)
    assert render_checks(found, TerminalProfile(34)).plain.splitlines()[:2] == [
        "problem  proxy        a long way to say it",
        "                      do this",
    ]
