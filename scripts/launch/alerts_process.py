"""``codex-tap alerts watch`` beside a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.launch.sidecar import SidecarProcess
from scripts.support.output_queue import STDERR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALERTING = "codex-tap alerting"
"""What ``alerts watch`` says on stdout, with whom it tells behind it, when it has begun."""


class AlertsProcess(SidecarProcess):
    """A running watch."""

    def __init__(self, database: Path | None, environ: Mapping[str, str], *, echo: bool) -> None:
        """Start it; a database of None leaves it to the environment and the default. With `echo` its words are said."""
        super().__init__(["alerts", "watch"], ALERTING, database, environ, echo=echo)

    def announce(self) -> None:
        """Say on stderr whom it tells, or why it does not."""
        whom = self.wait_until_ready()
        said = f"alerts go to {whom}" if whom else f"there are no alerts: {self.words}"
        STDERR.put(f"codex-tap: {said}")
