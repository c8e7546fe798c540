"""``alerts``: messages before a limit is reached."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from scripts.commands.options import json_option, place_option, quiet_option
from scripts.commands.output import emit
from scripts.support.database import open_for_reading
from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.place import default_place, state_path
from scripts.support.ready_lines import ALERTING
from scripts.support.sanitize import sanitize
from scripts.support.shutdown import stop_event
from store.settings import expand_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.alerts.evaluate import Evaluation
    from scripts.alerts.settings import Settings, TargetSettings
    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.analysis.alerting import AlertState
    from store.documents import AlertCheckDocument, AlertMessage, FiredAlert, PendingAlert

_DUE = 1
"""Exit code of ``check`` where an alert would be sent now."""

_LOCK_RETRY_SECONDS = 3.0


def _config_path(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path:
    from scripts.alerts.settings import default_path

    return expand_home(value) if value else default_path()


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_config_path,
    help="Alerts file. [env: CODEX_TAP_ALERTS; default: alerts.toml in the user configuration folder]",
)


@click.group(
    epilog="""\b
Start with:
  codex-tap alerts init        create an example alerts file
  codex-tap alerts test        send a test message to each target
  codex-tap alerts check       show which alerts are due
  codex-tap alerts watch       send alerts until Ctrl-C
"""
)
def alerts() -> None:
    """Send alerts before a limit is reached.

    Rules and targets (apprise URLs or commands) are defined in a TOML file.
    """


@alerts.command(
    epilog="""\b
Exit codes: 0 no alert is due, 1 an alert is due, 2 invalid alerts file,
3 no data yet.
"""
)
@config_option
@json_option
@place_option
@click.pass_context
def check(context: click.Context, *, config: Path, form: Form | None, database: Place | None) -> None:
    """Show which alerts are due now, and which were sent.

    It sends nothing and changes nothing.
    """
    from scripts.alerts.state import load
    from store.files import alerts_state_path

    settings = _settings(config)
    place = database or default_place()
    with _state_problems():
        state = load(alerts_state_path(state_path(place))).memory
    now = time.time()
    found = _evaluate(place, settings, state, now)
    document = _document(settings, found, state, now)

    def render(_profile: TerminalProfile) -> str:
        from scripts.render.alerts import render_alerts

        return render_alerts(document)

    if not form:
        for problem in document["problems"]:
            click.echo(f"Note: {sanitize(problem)}", err=True)
    exit_code = emit(document, form, render, is_known=found is not None)
    context.exit(_DUE if document["due"] else exit_code)


@alerts.command("test")
@click.argument("target", required=False)
@config_option
def test_targets(target: str | None, config: Path) -> None:
    """Send a test message to each target, or only to TARGET.

    It prints the result of each. Quiet hours do not apply. The exit code is 4 if a target failed.
    """
    from scripts.support.toml_file import nearest

    settings = _settings(config)
    if not settings.targets:
        raise CommandError(f"{config} has no targets; write them under [targets]", WRONG_USE)
    if target is not None and target not in settings.targets:
        raise CommandError(f"no target is named {target!r}; {nearest(target, list(settings.targets))}", WRONG_USE)
    chosen = [each for name, each in settings.targets.items() if target in {None, name}]
    failed = _send_all(chosen)
    if failed:
        raise CommandError(f"{failed} of {len(chosen)} failed", FAILED)


@alerts.command()
@config_option
@place_option
@quiet_option("Print errors alone.")
@click.option(
    "--beside", is_flag=True, hidden=True, help="Run as a sidecar: wait for the lock, and stop when stdin ends."
)
def watch(*, config: Path, database: Place | None, quiet: bool, beside: bool) -> None:
    """Send alerts as they become due, until Ctrl-C.

    It reads the database, whether or not a proxy is running, and reloads the alerts file when it changes.
    """
    from scripts.alerts import watcher
    from scripts.alerts.state import watch_lock
    from scripts.support.exclusive import AlreadyRunningError

    settings = checked_settings(config)
    place = database or default_place()
    stop = stop_event(lifeline=beside)
    if beside:
        print(ALERTING, ", ".join(settings.targets), flush=True)

    def started(found: Settings) -> None:
        if not (beside or quiet):
            targets = ", ".join(found.targets)
            click.echo(
                f"codex-tap: watching {sanitize(place)}, sending alerts to {targets}; press Ctrl-C to stop", err=True
            )

    with contextlib.suppress(KeyboardInterrupt), _state_problems():
        while not stop.is_set():
            try:
                with watch_lock(place), _settings_problems():
                    watcher.watch(place, config, stop, started=started, last_look=beside)
            except AlreadyRunningError:
                if not beside:
                    raise
                stop.wait(_LOCK_RETRY_SECONDS)  # takes over when the other watcher stops


@alerts.command()
@config_option
def init(config: Path) -> None:
    """Create an example alerts file, readable by you alone."""
    from scripts.alerts.settings import EXAMPLE
    from store.files import write_private

    if os.path.lexists(config):
        raise CommandError(f"{config} already exists", WRONG_USE)
    try:
        write_private(config, EXAMPLE.encode())
    except OSError as error:
        raise CommandError(f"cannot create {config}: {error.strerror or error}", FAILED) from error
    click.echo(f"Created {sanitize(config)}. Add your targets to it, then run:  codex-tap alerts test")


# Settings and state


def checked_settings(config: Path) -> Settings:
    """Return the settings of an alerts file that has rules and usable targets.

    Raises:
        CommandError: The file is invalid, or has no target or no rule (exit code 2).
    """
    settings = _settings(config, warn=False)
    _check_targets(settings)
    return settings


@contextlib.contextmanager
def _settings_problems() -> Iterator[None]:
    from scripts.alerts.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise CommandError(str(error), WRONG_USE) from error


@contextlib.contextmanager
def _state_problems() -> Iterator[None]:
    from scripts.alerts.state import StateError

    try:
        yield
    except StateError as error:
        raise CommandError(str(error), FAILED) from error


def _settings(config: Path, *, warn: bool = True) -> Settings:
    from scripts.alerts.settings import load, others_can_read, readers_warning

    with _settings_problems():
        settings = load(config)
    if warn and others_can_read(config):
        click.echo(f"Note: {sanitize(readers_warning(config))}", err=True)
    return settings


def _check_targets(settings: Settings) -> None:
    """Check that the file has a target and a rule.

    Raises:
        CommandError: One of them is missing.
    """
    if not settings.targets or not settings.rules:
        what = "targets; write them under [targets]" if settings.rules else "rules; write them as [[rules]]"
        raise CommandError(f"{settings.path} has no {what}", WRONG_USE)


# Checking


def _evaluate(place: Place, settings: Settings, state: AlertState, now: float) -> Evaluation | None:
    """Return the evaluation of the rules; None while nothing is known."""
    from scripts.alerts.evaluate import evaluate
    from store.errors import MissingError

    try:
        with open_for_reading(place) as connection:
            found = evaluate(connection, settings, state, now)
    except MissingError:
        return None
    return found if found.accounts else None


def _document(settings: Settings, found: Evaluation | None, state: AlertState, now: float) -> AlertCheckDocument:
    """Return the document of ``alerts check --json``."""
    from scripts.alerts.targets import message

    alerts = [{**message(each), "targets": list(each.targets)} for each in (found.alerts if found else ())]
    pending = cast("list[PendingAlert]", alerts)
    quiet_until = found.quiet_until if found else None
    return {
        "generated_at": int(now),
        "config": str(settings.path),
        "targets": {name: each.shown for name, each in settings.targets.items()},
        "quiet_until": quiet_until,
        "due": [] if quiet_until else pending,
        "held": pending if quiet_until else [],
        "fired": [
            cast(
                "FiredAlert",
                {
                    "told_at": sent.told_at,
                    "kind": sent.kind,
                    "account": sent.about.account,
                    "limit_id": sent.about.limit_id,
                    "window": sent.about.slot,
                    "threshold": sent.threshold,
                    "resets_at": sent.resets_at,
                    "text": sanitize(sent.text),
                },
            )
            for sent in state.told
        ],
        "problems": found.problems if found else [],
    }


# Testing


def _send_all(chosen: Sequence[TargetSettings]) -> int:
    """Send a test message to each target in parallel, print the results, and return how many failed."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from scripts.alerts.targets import trial_message

    message = trial_message(time.time())
    failed = 0
    with ThreadPoolExecutor(len(chosen)) as pool:
        pending = {pool.submit(_send, each, message): each for each in chosen}
        for each in as_completed(pending):
            problem = each.result()
            failed += problem is not None
            click.echo(f"{pending[each].name} ({sanitize(pending[each].shown)}): {problem or 'sent'}")
    return failed


def _send(settings: TargetSettings, message: AlertMessage) -> str | None:
    from scripts.alerts.targets import SendError, make_target

    try:
        make_target(settings).send(message)
    except SendError as error:
        return str(error)
    return None
