"""``status``: what is left of each limit."""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.commands.options import ACCOUNT_HELP, QuickHelp, accounts_argument, shell_login, status_options
from scripts.commands.output import emit
from scripts.support.database import NO_ACCOUNT, chosen_accounts, login_account, session
from scripts.support.errors import NOTHING_YET
from scripts.support.place import default_place, own_file
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.text import Text

    from scripts.codex_files.login import Login
    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.documents import ForecastDocument, StatusCommandDocument


@click.command(
    cls=QuickHelp,
    epilog="""\b
Examples:
  codex-tap status work        the account that begins with "work"
  codex-tap --watch            refresh until Ctrl-C
  codex-tap --json | jq '.accounts[].limits[].windows'
""",
    help=f"""Show what is left of each limit, and when it resets.

    Without ACCOUNT it shows all accounts, the one first that is logged in in CODEX_HOME (or ~/.codex). {ACCOUNT_HELP}
    """,
)
@accounts_argument
@status_options
@click.pass_context
def status(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    database: Place | None,
    form: Form | None,
    watch: float | None,
    shows_all: bool,
    any_account: bool,
) -> None:
    """Show what is left of each limit."""
    place = database or default_place()
    if shows_all and accounts:
        raise click.UsageError("--all cannot be combined with ACCOUNT.")
    if watch is not None:
        if form:
            raise click.UsageError("--watch cannot be combined with --json.")
        _watch(place, accounts, watch, any_account=any_account, shows_all=shows_all)
        return
    login = shell_login(any_account=any_account)
    found = _load(place, accounts, login, with_forecasts=not form, shows_all=shows_all)
    is_known = bool(found.document["accounts"])
    code = emit(found.document, form, found.render, is_known=is_known, unknown=_unknown(place))
    path = own_file(place)
    if path is not None and not form and sys.stdout.isatty():
        _show_import_hint(path)
    context.exit(code)


def _show_import_hint(path: Path) -> None:
    from scripts.codex_files.import_hint import import_hint

    hint = import_hint(path)
    if hint:
        click.echo(hint)


def _watch(place: Place, prefixes: Sequence[str], seconds: float, *, any_account: bool, shows_all: bool) -> None:
    from scripts.render.live import refresh_until_interrupted
    from scripts.support.shutdown import exit_on_sigterm

    def render(profile: TerminalProfile) -> Text:
        from rich.text import Text

        login = shell_login(any_account=any_account, quiet=True)  # again: Codex may log in as somebody else
        found = _load(place, prefixes, login, with_forecasts=True, shows_all=shows_all)
        return found.render(profile) if found.document["accounts"] else Text(_unknown(place))

    gc.enable()
    exit_on_sigterm()  # so that `timeout` leaves the terminal as it was
    refresh_until_interrupted(render, partial(time.sleep, seconds))


class _Status(NamedTuple):
    """The documents of ``status --json`` and of ``forecast --json``; the latter is None where it is not shown.

    ``marks`` says by key which account is logged in. The text has the accounts ``by_pressure``, after the one that is
    logged in; accounts that were named keep their order.
    """

    document: StatusCommandDocument
    marks: Mapping[str, str]
    forecasts: ForecastDocument | None = None
    by_pressure: bool = False

    def render(self, profile: TerminalProfile) -> Text:
        from scripts.render.status import render_status
        from store.analysis.pressure import by_pressure

        document = self.document
        if "summary" in document:
            from scripts.render.many_accounts import render_many

            return render_many(document, document["summary"], profile, self.marks)
        if self.by_pressure:
            accounts = by_pressure(document["accounts"], self.forecasts, document["logged_in"])
            document = {**document, "accounts": accounts}
        return render_status(document, profile, self.forecasts, self.marks)


def _load(
    place: Place, prefixes: Sequence[str], login: Login, *, with_forecasts: bool, shows_all: bool = False
) -> _Status:
    """Return the status; it has no accounts while nothing is known."""
    from scripts.render.selection import login_marks, login_reference
    from store.errors import MissingError
    from store.queries.accounts import are_many
    from store.queries.status import empty_status, load_status

    now = time.time()
    try:
        with session(place, prefixes) as found:
            selected = login_account(found, login.account_id, now)
            reference, marks = login_reference(selected, login), login_marks(selected, login)
            if not (prefixes or shows_all) and are_many(found.connection):
                from store.queries.many_accounts import load_shown, load_shown_status

                first = (
                    [] if selected.status is None else chosen_accounts(found.connection, [selected.status["account"]])
                )
                shown = load_shown(found.connection, now, first=[account.id for account in first])
                return _Status({**load_shown_status(found.connection, now, shown), **reference}, marks)
            accounts = found.accounts
            if prefixes:
                marks.pop("", None)
            else:
                accounts = sorted(accounts, key=lambda account: account.key != reference["logged_in"])
            document: StatusCommandDocument = {**load_status(found.connection, now, accounts), **reference}
            if not with_forecasts:
                return _Status(document, marks)
            from store.queries.forecast import load_forecasts

            return _Status(document, marks, load_forecasts(found.connection, now, accounts), not prefixes)
    except MissingError:
        return _Status({**empty_status(now), **login_reference(NO_ACCOUNT, login)}, {})


def _unknown(place: Place) -> str:
    return f"{NOTHING_YET}\n(Database: {sanitize(place)})"
