"""``guard``: may a script go on?"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import database_option, json_option
from scripts.support.database import account_status
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from pathlib import Path

    from store.analysis.guard import GuardPolicy, Verdict
    from store.documents import AccountStatus

_EXIT_CODES = {"go": 0, "below": 1, "old": NOTHING_KNOWN, "unknown": NOTHING_KNOWN}
_INTERRUPTED = 130

_LOOK_AGAIN_SECONDS = 30.0
"""While it waits: another proxy may see an early reset, or that it takes longer."""


def _age(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Return the seconds that ``1h`` or ``90min`` means.

    Raises:
        click.BadParameter: it is no length of time.
    """
    from scripts.support.timespec import parse_since

    now = time.time()
    try:
        seconds = now - parse_since(value, now)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise click.BadParameter(f"{value!r} is no length of time; write 1h, 90min or 7d")
    return seconds


@click.command(
    epilog="""\b
Examples:
  codex-tap guard && codex exec "the next task"
  codex-tap guard work --window 7d --min-remaining 25 --quiet || exit
  codex-tap guard --wait && codex exec "the next task"

\b
Exit codes: 0 go, 1 below, 3 unknown or too old, 130 where Ctrl-C ended it.
"""
)
@click.argument("account", required=False)
@click.option("--window", metavar="LENGTH", help="5h, 7d, …: only this window counts; else all do.")
@click.option(
    "--min-remaining",
    type=click.FloatRange(0, 100),
    default=10.0,
    show_default=True,
    metavar="PERCENT",
    help="So much has to be left.",
)
@click.option(
    "--max-age", callback=_age, default="1h", show_default=True, metavar="TIME", help="An older reading tells nothing."
)
@click.option("--limit", "limit_id", default="codex", show_default=True, metavar="ID", help="The limit that is meant.")
@click.option("--wait", is_flag=True, help="Where it is below, sleep until the reset, and ask again.")
@click.option("--quiet", is_flag=True, help="Say nothing: the exit code alone.")
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
    wait: bool,
    quiet: bool,
    as_json: bool,
    database: Path | None,
) -> None:
    """Say whether there is enough left to go on, for scripts.

    It is about ACCOUNT (a name or the start of an e-mail, key or token key), else about the account in use: the one
    that was seen last. A limit that is closed is below, whatever window counts. A window whose reset has passed counts
    as reset, however old the reading is.

    --wait looks at the database now and then. It ends at once where nothing tells when the limit comes back.
    """
    from store.analysis.guard import GuardPolicy

    asked = GuardPolicy(window, min_remaining, max_age, limit_id)
    path = database or default_database()
    say_waiting = not (quiet or as_json)
    try:
        who, found = _awaited(path, account, asked, say=say_waiting) if wait else _verdict(path, account, asked)
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    exit_code = _EXIT_CODES[found.answer]
    if as_json:
        click.echo(json.dumps(_document(who, found, asked, exit_code), indent=2))
    elif not quiet:
        click.echo(_line(who, found), err=exit_code == NOTHING_KNOWN)
    context.exit(exit_code)


def _verdict(path: Path, start: str | None, asked: GuardPolicy) -> tuple[AccountStatus | None, Verdict]:
    """Return the account and the verdict on it; no account where nothing was seen yet."""
    from store.analysis.guard import Verdict, verdict

    who = account_status(path, start)
    return who, Verdict("unknown", NOTHING_YET) if who is None else verdict(who, asked)


def _awaited(path: Path, start: str | None, asked: GuardPolicy, *, say: bool) -> tuple[AccountStatus | None, Verdict]:
    """Return the verdict as soon as it is another than "below until then"; nothing is asked of anybody meanwhile."""
    told_until = None
    while True:
        who, found = _verdict(path, start, asked)
        if found.answer == "go" or found.wait_until is None:
            return who, found
        if say and found.wait_until != told_until:
            told_until = found.wait_until
            click.echo(f"{_line(who, found)}; waiting until {_clock(told_until)}", err=True)
        # The second that a reset falls into has to be over.
        time.sleep(max(1.0, min(_LOOK_AGAIN_SECONDS, found.wait_until + 1 - time.time())))


def _clock(at: float) -> str:
    from store.analysis.formatting import clock_time

    return clock_time(at)


def _line(who: AccountStatus | None, found: Verdict) -> str:
    from store.analysis.ranking import label

    if who is None:
        return found.reason
    word = {"go": "go", "below": "below", "old": "too old", "unknown": "unknown"}[found.answer]
    return f"{word}: {sanitize(label(who))}, {sanitize(found.reason)}"


def _document(who: AccountStatus | None, found: Verdict, asked: GuardPolicy, exit_code: int) -> dict[str, Any]:
    """Return what ``guard --json`` writes: the account, the verdict's fields, and what was asked for."""
    account = {name: who and who[name] for name in ("account", "name", "email")}
    asked_for = {"limit_id": asked.limit_id, "min_remaining": asked.min_remaining, "max_age_seconds": asked.max_age}
    return {**account, **found._asdict(), **asked_for, "exit_code": exit_code}
