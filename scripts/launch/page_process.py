"""``codex-tap serve`` beside a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.launch.sidecar import SidecarProcess
from scripts.support.output_queue import STDERR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVING = "codex-tap serving"
"""What the server says on stdout, with its address behind it, when it can be asked."""


class PageProcess(SidecarProcess):
    """A running server."""

    def __init__(self, database: Path | None, environ: Mapping[str, str]) -> None:
        """Start it; a database of None leaves it to the environment and the default."""
        super().__init__(["serve"], SERVING, database, environ)

    def announce(self) -> None:
        """Say on stderr where the page is, as soon as that is known, or why there is none."""
        address = self.wait_until_ready()
        said = f"the page is at {address}" if address else f"the page is not served: {self.words}"
        STDERR.put(f"codex-tap: {said}")
