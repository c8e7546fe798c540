"""``alerts``: a word before a limit hits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import database_option, json_option
from scripts.support.database import open_for_reading
from scripts.support.errors import FAILED, NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from scripts.support.ready_lines import ALERTING
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from scripts.alerts.evaluate import Evaluation
    from scripts.alerts.settings import Settings, TargetSettings
    from store.analysis.alerting import AlertState

_WOULD_FIRE = 1
_LOCK_AGAIN_SECONDS = 3.0


def _path(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path:
    from scripts.alerts.settings import default_path

    return value.expanduser() if value else default_path()


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_path,
    help="The alerts file; else CODEX_TAP_ALERTS, else alerts.toml in the user's configuration folder.",
)


@click.group(
    epilog="""\b
Start with:
  codex-tap alerts init        write a file to begin with, and say where it is
  codex-tap alerts test        send one message to each target
  codex-tap alerts check       say what would be told now
  codex-tap alerts watch       tell it, until Ctrl-C
"""
)
def alerts() -> None:
    """Be told before a limit hits.

    A file says what is told, and whom: apprise URLs or commands.
    """


@alerts.command(
    epilog="""\b
Exit codes: 0 nothing, 1 something would be told now, 2 the file is wrong,
3 nothing was seen yet.
"""
)
@config_option
@json_option
@database_option
@click.pass_context
def check(context: click.Context, *, config: Path, as_json: bool, database: Path | None) -> None:
    """Say what would be told now, and what was told.

    It sends nothing and changes nothing.
    """
    from scripts.alerts.state import load, state_path

    settings = _settings(config)
    path = database or default_database()
    with _state_problems():
        memory = load(state_path(path)).memory
    now = time.time()
    found = _look(path, settings, memory, now)
    if as_json:
        click.echo(json.dumps(_document(settings, found, memory, now), indent=2))
    else:
        _print_check(found, memory, now)
    if found is None:
        context.exit(NOTHING_KNOWN)
    context.exit(_WOULD_FIRE if found.alerts and found.quiet_until is None else 0)


@alerts.command("test")
@click.argument("target", required=False)
@config_option
def test_targets(target: str | None, config: Path) -> None:
    """Send one message to each target, or to TARGET.

    It says what came of each. Quiet hours do not count. The exit code is 4 if one failed.
    """
    from scripts.alerts.settings_schema import nearest

    settings = _settings(config)
    if not settings.targets:
        raise CommandError(f"{config} names no targets; write them under [targets]", WRONG_USE)
    if target is not None and target not in settings.targets:
        raise CommandError(f"no target is called {target!r}; {nearest(target, list(settings.targets))}", WRONG_USE)
    chosen = [each for name, each in settings.targets.items() if target in {None, name}]
    failed = _send_all(chosen)
    if failed:
        raise CommandError(f"{failed} of {len(chosen)} could not be told", FAILED)


@alerts.command()
@config_option
@database_option
@click.option(
    "--beside", is_flag=True, hidden=True, help="Started by the launcher: waits for its turn, ends with stdin."
)
def watch(*, config: Path, database: Path | None, beside: bool) -> None:
    """Look at the database and tell what is due, until Ctrl-C.

    It reads the database, whether or not a proxy runs, and the alerts file again when it is changed.
    """
    from scripts.alerts.state import AlreadyRunningError, exclusive_lock
    from scripts.alerts.watcher import watch as run

    settings = checked_settings(config)
    path = database or default_database()
    stop = _stop_event(lifeline=beside)
    if beside:
        print(ALERTING, ", ".join(settings.targets), flush=True)

    def started(found: Settings) -> None:
        if not beside:
            whom = ", ".join(found.targets)
            click.echo(f"codex-tap: watching {sanitize(path)} to tell {whom}; Ctrl-C ends it", err=True)

    with contextlib.suppress(KeyboardInterrupt), _state_problems():
        while not stop.is_set():
            try:
                with exclusive_lock(path), _settings_problems():
                    run(path, config, stop, started=started, last_look=beside)
            except AlreadyRunningError as error:
                if not beside:
                    raise CommandError(str(error), FAILED) from error
                stop.wait(_LOCK_AGAIN_SECONDS)  # it takes over when the other one ends


@alerts.command()
@config_option
def init(config: Path) -> None:
    """Write an alerts file to begin with, readable by you alone."""
    from scripts.alerts.settings import EXAMPLE
    from store.files import write_private

    if os.path.lexists(config):
        raise CommandError(f"{config} is there already, and stays as it is", WRONG_USE)
    try:
        write_private(config, EXAMPLE.encode())
    except OSError as error:
        raise CommandError(f"{config} cannot be made: {error.strerror or error}", FAILED) from error
    click.echo(f"{sanitize(config)} is made. Name your targets in it, then:  codex-tap alerts test")


# Settings and state


def checked_settings(config: Path) -> Settings:
    """Return what the alerts file says, where that is something for somebody.

    Raises:
        CommandError: it is not; exit code 2, or 4 where all that are to be told need what is not installed.
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
    """Check that there is somebody to tell; one of several that needs what is not installed is named, and no more.

    Raises:
        CommandError: there is nobody.
    """
    import importlib.util

    from scripts.alerts.targets import INSTALL

    if not settings.targets or not settings.rules:
        what = "targets; write them under [targets]" if settings.rules else "rules; write them as [[rules]]"
        raise CommandError(f"{settings.path} has no {what}", WRONG_USE)
    urls = [name for name, each in settings.targets.items() if each.url]
    if not urls or importlib.util.find_spec("apprise") is not None:
        return
    problem = f"{', '.join(urls)} cannot be told: URLs need apprise: {INSTALL}"
    if len(urls) == len(settings.targets):
        raise CommandError(problem, FAILED)
    click.echo(f"Note: {problem}", err=True)


def _stop_event(*, lifeline: bool) -> threading.Event:
    """Return what is set by SIGTERM, and with a `lifeline` when stdin ends: then whoever started this is gone."""
    from scripts.support.shutdown import on_stdin_eof

    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    if lifeline:
        on_stdin_eof(stop.set)
    return stop


# Checking


def _look(path: Path, settings: Settings, memory: AlertState, now: float) -> Evaluation | None:
    """Return what a look finds; None where nothing was seen yet."""
    from scripts.alerts.evaluate import evaluate
    from store.errors import MissingError

    try:
        with open_for_reading(path) as connection:
            found = evaluate(connection, settings, memory, now)
    except MissingError:
        return None
    return found if found.accounts else None


def _document(settings: Settings, found: Evaluation | None, memory: AlertState, now: float) -> dict[str, Any]:
    """Return what ``alerts check --json`` writes."""
    from scripts.alerts.targets import message

    alerts = [] if found is None else [{**message(each), "targets": list(each.targets)} for each in found.alerts]
    quiet_until = found and found.quiet_until
    return {
        "generated_at": int(now),
        "config": str(settings.path),
        "targets": {name: each.shown for name, each in settings.targets.items()},
        "quiet_until": quiet_until,
        "due": [] if quiet_until else alerts,
        "held": alerts if quiet_until else [],
        "fired": [
            {
                "told_at": mark.told_at,
                "kind": mark.kind,
                "account": mark.about.account,
                "limit_id": mark.about.limit_id,
                "window": mark.about.slot,
                "threshold": mark.threshold,
                "resets_at": mark.resets_at,
                "text": sanitize(mark.text),
            }
            for mark in memory.told
        ],
        "problems": found.problems if found else [],
    }


def _print_check(found: Evaluation | None, memory: AlertState, now: float) -> None:
    from scripts.render.console import clock_time

    for problem in found.problems if found else []:
        click.echo(f"Note: {sanitize(problem)}", err=True)
    if found is None:
        click.echo(NOTHING_YET)
        return
    lines = [f"{sanitize(each.text)}  → {', '.join(each.targets) or 'nobody'}" for each in found.alerts]
    if found.quiet_until is None:
        _list("Would be told now:", lines, "Nothing would be told now.")
    else:
        until = clock_time(found.quiet_until, now)
        _list(f"Held until {until}, the end of the quiet hours:", lines, f"Nothing is held. Quiet until {until}.")
    # Several thresholds that were passed at once were one message.
    told = {f"{clock_time(mark.told_at, now):<12}  {sanitize(mark.text)}": None for mark in memory.told}
    _list("Was told:", list(told), "Nothing was told yet.")


def _list(heading: str, lines: Sequence[str], none: str) -> None:
    click.echo("\n".join([heading, *(f"  {line}" for line in lines)]) if lines else none)


# Trying


def _send_all(chosen: Sequence[TargetSettings]) -> int:
    """Send one message to each at once, say what came of it as it comes, and return how many failed."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from scripts.alerts.targets import trial_message

    message = trial_message(time.time())
    failed = 0
    with ThreadPoolExecutor(len(chosen)) as pool:
        asked = {pool.submit(_try, each, message): each for each in chosen}
        for each in as_completed(asked):
            problem = each.result()
            failed += problem is not None
            click.echo(f"{asked[each].name} ({sanitize(asked[each].shown)}): {problem or 'sent'}")
    return failed


def _try(settings: TargetSettings, message: Mapping[str, Any]) -> str | None:
    from scripts.alerts.targets import SendError, make_target

    try:
        make_target(settings).send(message)
    except SendError as error:
        return str(error)
    return None
