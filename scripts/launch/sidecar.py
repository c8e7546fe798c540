"""Sidecars: further codex-tap commands that run beside the proxy and stop with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scripts.launch.child_process import ChildProcess
from scripts.support.output_queue import STDERR
from scripts.support.ready_lines import ALERTING, EXPORTING, SERVING, SHIPPING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CLI = str(Path(__file__).resolve().parents[1] / "cli.py")


class SidecarProcess(ChildProcess):
    """A running sidecar. A failure of it is reported and has no other effect: the traffic goes on."""

    command: ClassVar[Sequence[str]]
    ready_message: ClassVar[str]
    failure_message: ClassVar[str]
    start_seconds = 20.0
    stop_seconds = 5.0
    max_lines = 10

    def __init__(self, database: Path | None, environ: Mapping[str, str], *arguments: str, echo: bool = False) -> None:
        """Start it.

        Args:
            database: the database that it reads; None leaves it to the environment and the default.
            environ: the whole environment of the process.
            arguments: of the command.
            echo: print the output that follows the ready line.

        Raises:
            LaunchError: the process cannot be started.
        """
        options = [] if database is None else ["--db", str(database.absolute())]
        command = [_CLI, *self.command, "--beside", *options, *arguments]
        super().__init__(command, environ, echo=STDERR if echo else None)

    def announce(self) -> None:
        """Wait until it is ready or has ended, and print which of these on stderr."""
        self._ready_or_exited.wait(self.start_seconds)
        if self._ready_text is not None:
            STDERR.put(f"codex-tap: {self.ready_message} {self._ready_text}")
        else:
            STDERR.put(f"codex-tap: {self.failure_message}: {self._last_output}")

    @property
    def _last_output(self) -> str:
        return "; ".join(self._lines) or f"not ready within {self.start_seconds:.0f} s"


class PageProcess(SidecarProcess):
    """A running ``codex-tap serve``."""

    name = "the page"
    command = ("serve",)
    ready_prefix = SERVING
    ready_message = "the page is at"
    failure_message = "the page is not served"


class AlertsProcess(SidecarProcess):
    """A running ``codex-tap alerts watch``."""

    name = "the watch for alerts"
    command = ("alerts", "watch")
    ready_prefix = ALERTING
    ready_message = "alerts go to"
    failure_message = "no alerts are sent"


class OtlpProcess(SidecarProcess):
    """A running ``codex-tap otlp``."""

    name = "the sender of metrics"
    command = ("otlp",)
    ready_prefix = EXPORTING
    ready_message = "metrics go to"
    failure_message = "no metrics are sent"


class ShipProcess(SidecarProcess):
    """A running ``codex-tap ship --watch``; its argument is the address of the team's database."""

    name = "the shipper"
    command = ("ship", "--watch")
    ready_prefix = SHIPPING
    ready_message = "shipping to"
    failure_message = "nothing is shipped"
