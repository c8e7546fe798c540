"""``guard``: a check for scripts whether enough quota is left."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import (
    ACCOUNT_HELP,
    LOGIN_HELP,
    QuickHelp,
    any_option,
    json_option,
    names_option,
    place_option,
    quick_option,
    shell_login,
)
from scripts.commands.output import emit
from scripts.support.database import account_status
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET, RUN_ONCE
from scripts.support.place import default_place
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from scripts.codex_files.login import Login
    from scripts.codex_files.shell_budget import ShellBudget
    from scripts.render.export import Form
    from scripts.support.database import Selected
    from scripts.support.place import Place
    from store.analysis.guard import GuardPolicy, GuardVerdict
    from store.analysis.guard_budget import BudgetScope, GuardBudget
    from store.documents import AccountStatus, BudgetUse, GuardDocument

_EXIT_CODES = {"go": 0, "below": 1, "old": NOTHING_KNOWN, "unknown": NOTHING_KNOWN}
_INTERRUPTED = 130

_POLL_SECONDS = 30.0
"""Interval of --wait: another proxy may record an early reset, or a later one than expected."""


def _parse_age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of ``1h`` or ``90min``; None where nothing was given.

    Raises:
        click.BadParameter: The value is not a duration.
    """
    if value is None:
        return None
    from scripts.support.timespec import parse_since

    now = time.time()
    try:
        seconds = now - parse_since(value, now)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise click.BadParameter(f"{value!r} is not a valid duration; use 1h, 90min or 7d")
    return seconds


def _parse_budget(_context: click.Context, _parameter: click.Parameter, value: str | None) -> GuardBudget | None:
    """Return the budget that was given; None where none was.

    Raises:
        click.BadParameter: The value is not a budget.
    """
    if value is None:
        return None
    from store.analysis.guard_budget import parse_budget

    try:
        return parse_budget(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    cls=QuickHelp,
    epilog="""\b
Examples:
  codex-tap guard && codex exec "the next task"
  codex-tap guard work --window 7d --min-remaining 25 --quiet || exit
  codex-tap guard --wait && codex exec "the next task"
  codex-tap guard --budget 5%/day || echo "enough for today"

\b
Exit codes: 0 go, 1 below, 3 unknown or older than --max-age,
            130 interrupted by Ctrl-C.
""",
    help=f"""Check whether enough quota is left to continue (for scripts).

    It checks ACCOUNT, or else {LOGIN_HELP}. A blocked limit always counts as below the threshold, a limit whose use the
    credits pay for does not. A window whose reset has passed counts as reset. Old figures count as they stand, since
    only use elsewhere can have made them worse; their age is printed. {ACCOUNT_HELP}

    --wait checks the database from time to time, without any request. It stops at once if no reset time is known, and
    with exit code 3 if nothing is known any more, at the latest an hour after a reset that nobody has seen.

    --budget counts what this shell's thread has used, if Codex runs it; else what the project of the working directory
    has used, if that is in a repository; else what the account has used. Sub-agents count for their session. Days,
    hours and weeks are calendar ones of this machine's time zone; without a period it is that of the window.
    """,
)
@click.argument("account", shell_complete=complete_account, required=False)
@quick_option(
    "--window", metavar="LENGTH", help="Check only this window, by its length (5h, 7d, 30d, …). [default: all windows]"
)
@quick_option(
    "--min-remaining",
    type=click.FloatRange(0, 100),
    default=10.0,
    show_default=True,
    metavar="PERCENT",
    help="Required remaining percent.",
)
@quick_option(
    "--max-age", callback=_parse_age, metavar="TIME", help="Treat figures older than TIME as unknown. [default: none]"
)
@quick_option("--limit", "limit_id", default="codex", show_default=True, metavar="ID", help="Limit to check.")
@quick_option("--no-credits", is_flag=True, help="Count a limit whose use the credits pay for as below.")
@quick_option(
    "--budget",
    callback=_parse_budget,
    metavar="PERCENT[/PERIOD]",
    help="Be below if more of the window was used: 20%, 5%/day, 2%/hour, 10%/week.",
)
@quick_option(
    "--budget-for",
    "scope",
    type=click.Choice(["thread", "project", "account"]),
    help="Whose use counts for --budget. [default: the first of these that this shell has]",
)
@names_option()
@any_option
@quick_option("--fail-open", is_flag=True, help="Exit with 0 instead of 3: go on where nothing is known.")
@quick_option("--wait", is_flag=True, help="If below, wait for the reset and check again.")
@quick_option("--quiet", "-q", is_flag=True, help="No output, only the exit code.")
@json_option
@place_option
@click.pass_context
def guard(
    context: click.Context,
    *,
    account: str | None,
    window: str | None,
    min_remaining: float,
    max_age: float | None,
    limit_id: str,
    no_credits: bool,
    budget: GuardBudget | None,
    scope: BudgetScope | None,
    names_on: bool,
    any_account: bool,
    fail_open: bool,
    wait: bool,
    quiet: bool,
    form: Form | None,
    database: Place | None,
) -> None:
    """Check whether enough quota is left to continue."""
    from store.analysis.guard import GuardPolicy

    policy = GuardPolicy(window, min_remaining, max_age, limit_id, with_credits=not no_credits)
    shell_login(account, any_account=any_account, quiet=quiet)
    shell_budget = _shell_budget(budget, scope, names_on=names_on)
    question = _Question(database or default_place(), account, policy, any_account, shell_budget)
    try:
        found = _await_reply(question, verbose=not (quiet or form)) if wait else question.ask()
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    known_code = _EXIT_CODES[found.verdict.answer]
    exit_code = 0 if fail_open and known_code == NOTHING_KNOWN else known_code
    if form:
        emit(_document(found, policy, exit_code), form, str, is_known=True)
    elif not quiet:
        click.echo(_line(found), err=known_code == NOTHING_KNOWN)
    context.exit(exit_code)


def _shell_budget(budget: GuardBudget | None, scope: BudgetScope | None, *, names_on: bool) -> ShellBudget | None:
    """Return the budget with whose use counts for it; None where none was given.

    Raises:
        click.UsageError: Only the latter was given.
    """
    if budget is None:
        if scope:
            raise click.UsageError("--budget-for needs --budget.")
        return None
    from scripts.codex_files.shell_budget import ShellBudget, budget_user

    return ShellBudget(budget, budget_user(scope, names_on=names_on), names_on)


class _Reply(NamedTuple):
    """The verdict on an account, how it came to that account, and what was used of the budget."""

    selected: Selected
    login: Login
    verdict: GuardVerdict
    budget: BudgetUse | None = None


class _Question(NamedTuple):
    """What a person asks for."""

    place: Place
    account: str | None
    policy: GuardPolicy
    any_account: bool
    shell_budget: ShellBudget | None

    def ask(self) -> _Reply:
        """Return the verdict as it is now, on the account that is logged in now."""
        from scripts.render.selection import not_seen
        from store.analysis.guard import GuardVerdict

        login = shell_login(self.account, any_account=self.any_account, quiet=True)
        selected = account_status(self.place, self.account, login.account_id)
        if selected.status is not None:
            return _Reply(selected, login, *self._judge(selected.status))
        reason = f"{not_seen(login)}. {RUN_ONCE}" if selected.by == "codex_home" else NOTHING_YET
        return _Reply(selected, login, GuardVerdict("unknown", reason))

    def _judge(self, status: AccountStatus) -> tuple[GuardVerdict, BudgetUse | None]:
        from store.analysis.guard import verdict

        found = verdict(status, self.policy)
        if self.shell_budget is None:
            return found, None
        from store.analysis.guard_budget import apply_budget, budget_window

        window = budget_window(status, self.policy.limit_id, self.policy.window)
        use = self.shell_budget.used(self.place, status["account"], window) if window else None
        return apply_budget(found, use), use


def _await_reply(question: _Question, *, verbose: bool) -> _Reply:
    """Ask until there is nothing to wait for: it is a go, no reset is known, or an hour has passed since the reset."""
    from store.analysis.guard import without_reset
    from store.limit_state import UNKNOWN_AFTER_SECONDS

    gc.enable()
    awaited = printed = None
    while True:
        found = question.ask()
        until = found.verdict.wait_until
        if found.verdict.answer != "below" and (found.verdict.answer != "old" or until is None):
            return found
        awaited = until or awaited
        if awaited is None:
            return found
        now = time.time()
        if now >= awaited + UNKNOWN_AFTER_SECONDS:
            return found._replace(verdict=without_reset(found.verdict, awaited))
        if verbose and awaited != printed:
            printed = awaited
            click.echo(f"{_line(found)}; waiting until {_clock(awaited)}", err=True)
        # The second of the reset has to be over.
        time.sleep(max(1.0, min(_POLL_SECONDS, awaited + 1 - now)) if awaited > now else _POLL_SECONDS)


def _clock(timestamp: float) -> str:
    from store.analysis.formatting import clock_time

    return clock_time(timestamp)


def _line(found: _Reply) -> str:
    from scripts.render.selection import reason
    from store.analysis.account_limits import label

    who = found.selected.status
    if who is None:
        return sanitize(found.verdict.reason)
    word = {"go": "go", "below": "below", "old": "too old", "unknown": "unknown"}[found.verdict.answer]
    why = reason(found.selected, found.login)
    name = f"{label(who)} ({why})" if why else label(who)
    return f"{word}: {sanitize(name)}, {sanitize(found.verdict.reason)}"


def _document(found: _Reply, policy: GuardPolicy, exit_code: int) -> GuardDocument:
    """Return the document of ``guard --json``: the account, the fields of the verdict, and the policy."""
    from scripts.render.selection import selection

    who = found.selected.status
    account = (
        {"account": who["account"], "label": who["label"], "name": who["name"], "email": who["email"]}
        if who
        else dict.fromkeys(("account", "label", "name", "email"))
    )
    options = {"limit_id": policy.limit_id, "min_remaining": policy.min_remaining, "max_age_seconds": policy.max_age}
    reason = selection(found.selected, found.login)
    facts = {**found.verdict._asdict(), "budget": found.budget, **options, "exit_code": exit_code}
    return cast("GuardDocument", {**account, **reason, **facts})
