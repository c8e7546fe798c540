"""``usage``: what used a window."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import (
    ACCOUNT_HELP,
    SINCE_HELP,
    accounts_argument,
    all_option,
    export_options,
    names_option,
    parse_since_option,
    place_option,
    require_past,
)
from scripts.commands.output import Table, emit
from scripts.render.export import USAGE_COLUMNS, usage_rows
from scripts.support.database import session
from scripts.support.errors import WRONG_USE, CommandError
from scripts.support.place import default_place
from store.constants import GROUP_BY
from store.settings import PRICES_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.constants import GroupBy
    from store.documents import UsageDocument


_MAX_ROWS = 1_000
"""Rows of text, in a pipe as well; ``--all`` and the other forms have each."""

_DAYS = 7
_PERIODS = {"week": 4, "month": 6}
"""How far the question goes back without ``--since``: whole weeks or months, with the one under way."""


@click.command(
    epilog="""\b
Examples:
  codex-tap usage                          by thread, in the last 7 days
  codex-tap usage work --by day --since 30d
  codex-tap usage --by project --since 30d
  codex-tap usage --tree                   with reviews and sub-agents
  codex-tap usage --by model --window 5h --json
  codex-tap usage --by week                the last 4 weeks, and their models
""",
    help=f"""Show what used a window, and its value at public API prices.

    An increase between two changes is divided among the turns that ran between them, by their tokens. An increase
    without a turn is listed as used elsewhere. Sub-agents and reviews count for the thread that started them. The
    value is what the tokens are sold for on the public API; on a plan nothing was paid for it. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@click.option(
    "--by",
    type=click.Choice(GROUP_BY),
    default="thread",
    show_default=True,
    metavar="WHAT",
    help=f"Group rows by {', '.join(GROUP_BY[:-1])} or {GROUP_BY[-1]}.",
)
@click.option(
    "--tree", is_flag=True, help="List the threads of sub-agents and reviews below the thread that started them."
)
@click.option(
    "--since",
    callback=parse_since_option,
    metavar="WHEN",
    help=f"{SINCE_HELP} [default: 7d; by week the last 4, by month the last 6]",
)
@click.option(
    "--window",
    metavar="LENGTH",
    help="Window to analyse, by its length (5h, 7d, 30d, …). [default: 7d, or the longest one seen]",
)
@click.option("--limit", "limit_id", metavar="ID", help="Limit to analyse. [default: codex, the main limit]")
@click.option(
    "--prices",
    "prices_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Your own prices (TOML). [env: {PRICES_VARIABLE}; default: prices.toml in the user configuration folder]",
)
@all_option("Show all rows, however many.")
@click.option("--explain", is_flag=True, help="Also show the token weights that divide an increase among turns.")
@click.option(
    "--refit",
    is_flag=True,
    help="Divide all increases anew, by token weights fitted now. Without it, each keeps the weights of its time.",
)
@names_option()
@export_options
@place_option
@click.pass_context
def usage(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    by: GroupBy,
    tree: bool,
    since: float | None,
    window: str | None,
    limit_id: str | None,
    prices_file: Path | None,
    shows_all: bool,
    explain: bool,
    refit: bool,
    names_on: bool,
    form: Form | None,
    database: Place | None,
) -> None:
    """Show what used a window."""
    now = time.time()
    begin = _default_start(by, now) if since is None else since
    require_past(begin, now, "--since")
    _check_grouping(by, tree=tree, names_on=names_on)
    query = {"by": by, "tree": tree, "since": begin, "window": window, "limit_id": limit_id}
    document = _load(
        database or default_place(),
        accounts,
        now,
        query,
        names_on=names_on,
        prices_file=prices_file,
        most=None if form or shows_all else _MAX_ROWS,
        refit=refit,
    )

    def render(profile: TerminalProfile) -> Iterable[Text]:
        from scripts.render.usage import render_usage

        return [render_usage(document, profile, all_rows=shows_all, explain=explain)] if document["rows"] else []

    table = Table(usage_rows(document["rows"]) if form == "csv" else document["rows"], USAGE_COLUMNS)
    is_known = document["window"] is not None
    context.exit(emit(document, form, render, is_known=is_known, table=table, no_rows="No usage in that time range."))


def _default_start(by: GroupBy, now: float) -> float:
    from store.analysis.periods import periods_back

    if by in _PERIODS:
        return periods_back(now, by, _PERIODS[by])
    return now - _DAYS * 86_400


def _check_grouping(by: GroupBy, *, tree: bool, names_on: bool) -> None:
    """Refuse options that contradict each other.

    Raises:
        click.UsageError: A tree of something else than threads, or projects without names.
    """
    if tree and by != "thread":
        raise click.UsageError(f"--tree cannot be combined with --by {by}.")
    if by == "project" and not names_on:
        raise click.UsageError("--by project needs Codex's own files, which --names off leaves out.")


def _keep(place: Place, prefixes: Sequence[str], now: float, query: Mapping[str, Any], *, refit: bool) -> bool:
    """Keep what the question needs, with weights fitted now if they are asked for; return True if these are kept."""
    from scripts.support.kept import keep_for, keep_use
    from scripts.support.place import own_file
    from store.kept.filling import drop
    from store.queries.usage import usage_kinds

    asked = {name: query[name] for name in ("window", "limit_id")}
    if not refit:
        keep_use(place, prefixes, now, query["since"], **asked)
        return False
    path = own_file(place)
    if path is None:
        return False
    with session(path, prefixes) as found:
        kinds = usage_kinds(found.connection, accounts=found.accounts, refit_at=now, **asked)
    drop(path, kinds, [account.id for account in found.accounts])
    filled = [keep_for(place, prefixes, kind, None, even_short=True) for kind in kinds]
    return all(filled)


def _load(
    place: Place,
    prefixes: Sequence[str],
    now: float,
    query: Mapping[str, Any],
    *,
    names_on: bool,
    prices_file: Path | None,
    most: int | None,
    refit: bool,
) -> UsageDocument:
    """Return the document of ``usage --json``; its window is None while nothing is known."""
    from scripts.codex_files.names import name_usage, projects_of
    from scripts.prices.own_prices import OwnPricesError
    from scripts.prices.price_list import open_prices
    from store.errors import MissingError
    from store.queries.usage import NotSeenError, empty_usage, load_usage

    try:
        with open_prices(prices_file) as prices:
            is_refitted = _keep(place, prefixes, now, query, refit=refit)
            with session(place, prefixes) as found:
                document = load_usage(
                    found.connection,
                    now,
                    accounts=found.accounts,
                    projects_of=projects_of,
                    prices=prices,
                    most=most,
                    refit=refit and not is_refitted,
                    **query,
                )
    except (NotSeenError, OwnPricesError) as error:
        raise CommandError(str(error), WRONG_USE) from error
    except MissingError:
        return empty_usage(now, by=query["by"], since=query["since"])
    return name_usage(document) if names_on else document
