"""``otlp``: metrics to an OpenTelemetry collector."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from scripts.commands.options import place_option, quiet_option
from scripts.support.errors import FAILED, NOTHING_KNOWN, NOTHING_YET, CommandError
from scripts.support.place import default_place
from scripts.support.ready_lines import EXPORTING
from scripts.support.shutdown import stop_event

if TYPE_CHECKING:
    from scripts.otlp.settings import Settings
    from scripts.support.place import Place

_LOCK_RETRY_SECONDS = 3.0


@click.command(
    epilog="""\b
Examples:
  codex-tap otlp                                     to http://localhost:4318
  OTEL_EXPORTER_OTLP_ENDPOINT=https://otel.example codex-tap otlp
  codex-tap otlp --once                              from cron

\b
Exit codes of --once: 0 sent, 3 no data yet, 4 not sent.
"""
)
@click.option("--once", is_flag=True, help="Send the limits and credits once, and end.")
@place_option
@quiet_option("Print errors alone.")
@click.option("--beside", is_flag=True, hidden=True, help="Run as a sidecar: wait for the lock, and stop with stdin.")
def otlp(*, once: bool, database: Place | None, quiet: bool, beside: bool) -> None:
    """Send limits, credits and turns to an OpenTelemetry collector.

    It reads the database, whether or not a proxy is running, and sends every OTEL_METRIC_EXPORT_INTERVAL milliseconds
    (60000) until Ctrl-C. Turns are counted from its start on. The usual OTEL_EXPORTER_OTLP_* variables say where to.
    """
    from scripts.otlp.settings import load_settings

    _leave_tap()
    settings = load_settings(os.environ)
    place = database or default_place()
    if once:
        _send_once(place, settings)
        return
    from scripts.otlp import program
    from scripts.support.exclusive import AlreadyRunningError
    from scripts.support.log_line import log

    stop = stop_event(lifeline=beside)
    if beside:
        print(EXPORTING, settings.endpoint, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while not stop.is_set():
            try:
                with program.sender_lock(place):
                    if not (beside or quiet):
                        seconds = f"{settings.interval_seconds:g} s"
                        log(f"sending metrics to {settings.endpoint} every {seconds}; press Ctrl-C to stop")
                    program.run(place, settings, stop)
                    return
            except AlreadyRunningError:
                if not beside:
                    raise
                stop.wait(_LOCK_RETRY_SECONDS)  # takes over when the other one stops


def _leave_tap() -> None:
    """Take the tap's proxy out of this process' environment, so that what it sends does not go through it."""
    from scripts.launch.shared_proxy import without_running_proxies

    direct = without_running_proxies(os.environ)
    for name in set(os.environ) - set(direct):
        del os.environ[name]
    os.environ.update(direct)


def _send_once(place: Place, settings: Settings) -> None:
    from scripts.otlp.program import Export

    with Export(place, settings) as export:
        if not export.read():
            raise CommandError(NOTHING_YET, NOTHING_KNOWN)
        problem = export.send()
    if problem:
        raise CommandError(problem, FAILED)
