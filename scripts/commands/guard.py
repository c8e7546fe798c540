"""``guard``: a check for scripts whether enough quota is left."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, cast

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import ACCOUNT_HELP, database_option, json_option
from scripts.commands.output import emit
from scripts.support.database import account_status
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.render.export import Form
    from store.analysis.guard import GuardPolicy, GuardVerdict
    from store.documents import AccountStatus, GuardDocument

_EXIT_CODES = {"go": 0, "below": 1, "old": NOTHING_KNOWN, "unknown": NOTHING_KNOWN}
_INTERRUPTED = 130

_POLL_SECONDS = 30.0
"""Interval of --wait: another proxy may record an early reset, or a later one than expected."""


def _parse_age(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Return the seconds of ``1h`` or ``90min``.

    Raises:
        click.BadParameter: The value is not a duration.
    """
    from scripts.support.timespec import parse_since

    now = time.time()
    try:
        seconds = now - parse_since(value, now)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise click.BadParameter(f"{value!r} is not a valid duration; use 1h, 90min or 7d")
    return seconds


@click.command(
    epilog="""\b
Examples:
  codex-tap guard && codex exec "the next task"
  codex-tap guard work --window 7d --min-remaining 25 --quiet || exit
  codex-tap guard --wait && codex exec "the next task"

\b
Exit codes: 0 go, 1 below, 3 unknown or too old, 130 interrupted by Ctrl-C.
""",
    help=f"""Check whether enough quota is left to continue (for scripts).

    It checks ACCOUNT, or else the account in use, which is the one seen last. A blocked limit always counts as below
    the threshold, a limit whose use the credits pay for does not. A window whose reset has passed counts as reset,
    however old the reading is. {ACCOUNT_HELP}

    --wait checks the database from time to time, without any request. It stops at once if no reset time is known.
    """,
)
@click.argument("account", shell_complete=complete_account, required=False)
@click.option(
    "--window", metavar="LENGTH", help="Check only this window, by its length (5h, 7d, 30d, …). [default: all windows]"
)
@click.option(
    "--min-remaining",
    type=click.FloatRange(0, 100),
    default=10.0,
    show_default=True,
    metavar="PERCENT",
    help="Required remaining percent.",
)
@click.option(
    "--max-age",
    callback=_parse_age,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="Treat figures older than TIME as unknown.",
)
@click.option("--limit", "limit_id", default="codex", show_default=True, metavar="ID", help="Limit to check.")
@click.option("--no-credits", is_flag=True, help="Count a limit whose use the credits pay for as below.")
@click.option("--wait", is_flag=True, help="If below, wait for the reset and check again.")
@click.option("--quiet", "-q", is_flag=True, help="No output, only the exit code.")
@json_option
@database_option
@click.pass_context
def guard(
    context: click.Context,
    *,
    account: str | None,
    window: str | None,
    min_remaining: float,
    max_age: float,
    limit_id: str,
    no_credits: bool,
    wait: bool,
    quiet: bool,
    form: Form | None,
    database: Path | None,
) -> None:
    """Check whether enough quota is left to continue."""
    from store.analysis.guard import GuardPolicy

    policy = GuardPolicy(window, min_remaining, max_age, limit_id, with_credits=not no_credits)
    path = database or default_database()
    try:
        who, found = (
            _await_verdict(path, account, policy, verbose=not (quiet or form))
            if wait
            else _verdict(path, account, policy)
        )
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    exit_code = _EXIT_CODES[found.answer]
    if form:
        emit(_document(who, found, policy, exit_code), form, str, is_known=True)
    elif not quiet:
        click.echo(_line(who, found), err=exit_code == NOTHING_KNOWN)
    context.exit(exit_code)


def _verdict(path: Path, prefix: str | None, policy: GuardPolicy) -> tuple[AccountStatus | None, GuardVerdict]:
    """Return the account and its verdict; no account while nothing is known."""
    from store.analysis.guard import GuardVerdict, verdict

    who = account_status(path, prefix)
    return who, GuardVerdict("unknown", NOTHING_YET) if who is None else verdict(who, policy)


def _await_verdict(
    path: Path, prefix: str | None, policy: GuardPolicy, *, verbose: bool
) -> tuple[AccountStatus | None, GuardVerdict]:
    """Poll until the verdict is "go", or has no time to wait for."""
    gc.enable()
    printed_until = None
    while True:
        who, found = _verdict(path, prefix, policy)
        if found.answer == "go" or found.wait_until is None:
            return who, found
        if verbose and found.wait_until != printed_until:
            printed_until = found.wait_until
            click.echo(f"{_line(who, found)}; waiting until {_clock(printed_until)}", err=True)
        # The second of the reset has to be over.
        time.sleep(max(1.0, min(_POLL_SECONDS, found.wait_until + 1 - time.time())))


def _clock(timestamp: float) -> str:
    from store.analysis.formatting import clock_time

    return clock_time(timestamp)


def _line(who: AccountStatus | None, found: GuardVerdict) -> str:
    from store.analysis.ranking import label

    if who is None:
        return found.reason
    word = {"go": "go", "below": "below", "old": "too old", "unknown": "unknown"}[found.answer]
    return f"{word}: {sanitize(label(who))}, {sanitize(found.reason)}"


def _document(who: AccountStatus | None, found: GuardVerdict, policy: GuardPolicy, exit_code: int) -> GuardDocument:
    """Return the document of ``guard --json``: the account, the fields of the verdict, and the policy."""
    account = (
        {"account": who["account"], "label": who["label"], "name": who["name"], "email": who["email"]}
        if who
        else dict.fromkeys(("account", "label", "name", "email"))
    )
    options = {"limit_id": policy.limit_id, "min_remaining": policy.min_remaining, "max_age_seconds": policy.max_age}
    return cast("GuardDocument", {**account, **found._asdict(), **options, "exit_code": exit_code})
