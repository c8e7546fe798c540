"""``next``: the account to use now."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import accounts_argument, database_option, json_option
from scripts.support.database import chosen_accounts, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.documents import NextDocument
    from store.queries.accounts import Account

NONE_CAN = 1
"""Exit code where no account can be used now."""


@click.command(
    "next",
    epilog="""\b
Examples:
  codex-tap next                           the account, and why
  account=$(codex-tap next) && echo "$account"
  codex-tap next --credits work            work may spend its credits
  codex-tap next --json | jq .ranking

\b
Exit codes: 1 no account can be used now, 3 nothing is known.
""",
)
@accounts_argument
@click.option(
    "--credits",
    "spenders",
    default="none",
    show_default=True,
    metavar="none|all|NAME,…",
    help="Who may spend credits once included usage is used up.",
)
@json_option
@database_option
@click.pass_context
def next_account(
    context: click.Context, *, accounts: tuple[str, ...], spenders: str, as_json: bool, database: Path | None
) -> None:
    """Name the account to use now, of all or of some.

    Included usage comes first, and of that the least pressed account: the tightest of its windows decides, by what is
    left of it against the time left until its reset. A terminal shows the reason beside it; elsewhere the account alone
    is on standard output, and the reason on standard error. ACCOUNT is a name or the start of an e-mail, key or token
    key.
    """
    document = _document(database or default_database(), accounts, spenders)
    exit_code = _exit_code(document)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    elif exit_code:
        click.echo(NOTHING_YET if exit_code == NOTHING_KNOWN else _refusal(document), err=True)
    else:
        _print_choice(document)
    context.exit(exit_code)


def _document(path: Path, starts: Sequence[str], spenders: str) -> NextDocument:
    """Return the document of ``next --json``; its ranking is empty where nothing was seen yet."""
    from store.analysis.ranking import rank_accounts
    from store.errors import MissingError
    from store.queries.status import empty_status, load_status

    now = time.time()
    try:
        with open_for_reading(path) as connection:
            known = known_accounts(connection)
            document = load_status(connection, now, chosen_accounts(known, starts))
            return rank_accounts(document, credits_for=_keys(known, spenders))
    except MissingError:
        return rank_accounts(empty_status(now))


def _keys(known: Sequence[Account], spenders: str) -> set[str] | None:
    """Return the keys of the accounts that may spend credits; None for all."""
    from store.queries.accounts import find_account

    if spenders in {"all", "none"}:
        return None if spenders == "all" else set()
    return {find_account(known, start.strip()).key for start in spenders.split(",") if start.strip()}


def _exit_code(document: NextDocument) -> int:
    from store.analysis.ranking import is_known

    if not is_known(document):
        return NOTHING_KNOWN
    return NONE_CAN if document["account"] is None else 0


def _print_choice(document: NextDocument) -> None:
    from store.analysis.ranking import label

    name = sanitize(label(document["ranking"][0]))
    if sys.stdout.isatty():
        click.echo(f"{name}: {sanitize(document['reason'])}")
    else:
        click.echo(name)
        click.echo(sanitize(document["reason"]), err=True)


def _refusal(document: NextDocument) -> str:
    from store.analysis.ranking import label

    reasons = [f"  {sanitize(label(each))}: {sanitize(each['reason'])}" for each in document["ranking"]]
    return "\n".join(["No account can be used now.", *reasons])
