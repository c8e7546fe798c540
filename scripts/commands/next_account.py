"""``next``: the account to use now."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import ACCOUNT_HELP, accounts_argument, json_option, place_option, shell_login
from scripts.commands.output import emit
from scripts.support.database import NO_ACCOUNT, chosen_accounts, login_account, session
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.place import default_place
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.render.export import Form
    from scripts.support.database import Session
    from scripts.support.place import Place
    from store.documents import NextCommandDocument, NextDocument

NONE_USABLE = 1
"""Exit code where no account can be used now."""


@click.command(
    "next",
    epilog="""\b
Examples:
  codex-tap next                           the account, and why
  account=$(codex-tap next) && echo "$account"
  codex-tap next --credits work            let "work" spend its credits
  codex-tap next --json | jq .ranking

\b
Exit codes: 0 success, 1 no account can be used now, 3 no data yet.
""",
    help=f"""Print the account to use now.

    Accounts with included usage come first, ordered by headroom: remaining percent relative to the time left until the
    reset, times what the account's windows hold, so that a percent of a Pro plan counts for more than one of a Free
    plan. The tightest window of an account counts. On a terminal the reason follows the account; otherwise standard
    output is the account alone, and the reason goes to standard error.

    Without ACCOUNT all accounts are compared; the reason says which of them is logged in in CODEX_HOME. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@click.option(
    "--credits",
    "spenders",
    default="none",
    show_default=True,
    metavar="none|all|NAME,…",
    help="Accounts that may spend credits when their included usage is exhausted.",
)
@json_option
@place_option
@click.pass_context
def next_account(
    context: click.Context, *, accounts: tuple[str, ...], spenders: str, form: Form | None, database: Place | None
) -> None:
    """Print the account to use now."""
    document = _load(database or default_place(), accounts, spenders)
    exit_code = _exit_code(document)
    if form:
        emit(document, form, str, is_known=True)
    elif exit_code:
        click.echo(NOTHING_YET if exit_code == NOTHING_KNOWN else _refusal(document), err=True)
    else:
        _print_choice(document)
    context.exit(exit_code)


_DAY_SECONDS = 86_400


def _load(place: Place, prefixes: Sequence[str], spenders: str) -> NextCommandDocument:
    """Return the document of ``next --json``; its ranking is empty while nothing is known."""
    from scripts.render.selection import login_reference
    from scripts.support.kept import keep_for
    from store.analysis.ranking import rank_accounts
    from store.errors import MissingError
    from store.queries.kept_rates import RATES, has_rates
    from store.queries.status import empty_status, load_status
    from store.queries.usage import load_token_rates

    now, login = time.time(), shell_login()
    try:
        with session(place, prefixes) as found:
            document = load_status(found.connection, now, found.accounts)
            rates = load_token_rates(found.connection, now, found.accounts)
            ranked = rank_accounts(document, rates, credits_for=_keys(found, spenders))
            answer: NextCommandDocument = {
                **ranked,
                **login_reference(login_account(found, login.account_id, now), login),
            }
            is_kept = len(found.accounts) == 1 or has_rates(found.connection, now)
    except MissingError:
        return {**rank_accounts(empty_status(now), {}), **login_reference(NO_ACCOUNT, login)}
    if not is_kept:
        # For the next time: this one has read the rows of the day.
        keep_for(place, (), RATES, now - _DAY_SECONDS)
    return answer


def _keys(found: Session, spenders: str) -> set[str] | None:
    """Return the keys of the accounts that may spend credits; None for all."""
    if spenders in {"all", "none"}:
        return None if spenders == "all" else set()
    is_label = any(spenders in {account.label, account.key} for account in found.known)  # it may have a comma
    prefixes = [spenders] if is_label else [prefix.strip() for prefix in spenders.split(",") if prefix.strip()]
    return {account.key for account in chosen_accounts(found.connection, prefixes)}


def _exit_code(document: NextDocument) -> int:
    from store.analysis.ranking import is_known

    if not is_known(document):
        return NOTHING_KNOWN
    return NONE_USABLE if document["account"] is None else 0


def _print_choice(document: NextCommandDocument) -> None:
    from store.analysis.account_limits import label

    name = sanitize(label(document["ranking"][0]))
    reason = sanitize("; ".join(part for part in (document["reason"], document["login"]) if part))
    if sys.stdout.isatty():
        click.echo(f"{name}: {reason}")
    else:
        click.echo(name)
        click.echo(reason, err=True)


def _refusal(document: NextCommandDocument) -> str:
    from store.analysis.account_limits import label

    reasons = [f"  {sanitize(label(each))}: {sanitize(each['reason'])}" for each in document["ranking"]]
    return "\n".join(["No account can be used now.", *reasons, *filter(None, [_login_line(document)])])


def _login_line(document: NextCommandDocument) -> str:
    return f"  {sanitize(document['login'])}" if document["login"] else ""
