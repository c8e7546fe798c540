"""Terminal output of ``accounts``, and the line that names an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import TYPOGRAPHIC, Glyphs, TerminalProfile
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.documents import AccountReference
    from store.queries.accounts import Account

_TOKENS_SHOWN = 3


def render_accounts(known: Iterable[Account], profile: TerminalProfile) -> Text:
    """Show accounts, each with everything that a prefix can match."""
    return Text("\n\n").join(Text("\n").join(_account(account, profile)) for account in known)


def account_label(account: Account, glyphs: Glyphs = TYPOGRAPHIC) -> str:
    """Return an account in one line: its label, e-mail and plan."""
    plan = [sanitize(account.plan_type)] if account.plan_type else []
    return glyphs.dot.join([*title_parts(account.reference), *plan])


def title_parts(account: AccountReference) -> list[str]:
    """Return what an account is called: its label, and its name and e-mail if they differ from it."""
    names = (account["label"], account["name"], account["email"])
    return [sanitize(name) for name in dict.fromkeys(names) if name]


def _account(account: Account, profile: TerminalProfile) -> Iterator[Text]:
    token_keys = [sanitize(token_key) for token_key in account.token_keys[:_TOKENS_SHOWN]]
    more = len(account.token_keys) - len(token_keys)
    first = formatting.clock_time(account.first_seen_at, profile.zone)
    last = formatting.clock_time(account.last_seen_at, profile.zone)
    yield Text(account_label(account, profile.glyphs), "bold")
    yield from _field("account", sanitize(account.key))
    for name, token_key in zip(["token", "before", "before"], token_keys, strict=False):
        yield from _field(name, token_key)
    if more:
        yield from _field("", f"and {more} earlier")
    for key in account.merged:
        yield from _field("merged", sanitize(key))
    yield from _field("seen", f"{first} to {last}")


def _field(name: str, value: str) -> Iterator[Text]:
    yield Text(f"  {name:<7}  ", "dim").append(value, "not dim")
