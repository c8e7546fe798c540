"""Terminal output of ``accounts``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import TYPOGRAPHIC, Glyphs, TerminalProfile
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.queries.accounts import Account


# Accounts


def render_accounts(known: Iterable[Account], look: TerminalProfile) -> Text:
    """Show accounts with all that one can be named by."""
    return Text("\n\n").join(Text("\n").join(_account(account, look)) for account in known)


def account_label(account: Account, glyphs: Glyphs = TYPOGRAPHIC) -> str:
    """Return what an account is called, in one line: name, e-mail and plan."""
    parts = (account.name, account.email or (None if account.name else account.key), account.plan_type)
    return glyphs.dot.join(sanitize(part) for part in parts if part)


_TOKENS_SHOWN = 3


def _account(account: Account, look: TerminalProfile) -> Iterator[Text]:
    tokens = [sanitize(token_key) for token_key in account.token_keys[:_TOKENS_SHOWN]]
    more = len(account.token_keys) - len(tokens)
    first, last = (formatting.clock_time(at, look.zone) for at in (account.first_seen_at, account.last_seen_at))
    yield Text(account_label(account, look.glyphs), "bold")
    yield from _field("account", sanitize(account.key))
    for name, token_key in zip(["token", "before", "before"], tokens, strict=False):
        yield from _field(name, token_key)
    if more:
        yield from _field("", f"and {more} earlier")
    yield from _field("seen", f"{first} to {last}")


def _field(name: str, value: str) -> Iterator[Text]:
    yield Text(f"  {name:<7}  ", "dim").append(value, "not dim")
