"""Sentences on the account that a command answers for, and why it is that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.account_limits import label

if TYPE_CHECKING:
    from scripts.codex_files.login import Login
    from scripts.support.database import Selected
    from store.documents import LoginReference, Selection


def selection(selected: Selected, login: Login) -> Selection:
    """Return the fields of a document that say which account it is about."""
    return {"selected_by": selected.by, "selection": _sentence(selected, login)}


def _sentence(selected: Selected, login: Login) -> str:
    if selected.status is None:
        return not_seen(login) if selected.by == "codex_home" else "nothing is known of any account"
    name = label(selected.status)
    if selected.by == "argument":
        return f"for {name}, as asked for"
    if selected.by == "last_seen":
        return f"for {name}, the account seen last"
    return f"for {name}, the {login_phrase(login, selected.users)}"


def reason(selected: Selected, login: Login) -> str:
    """Return a phrase that says why it is this account, to stand behind its label; empty where it was named."""
    if selected.by == "argument":
        return ""
    return "seen last" if selected.by == "last_seen" else login_phrase(login, selected.users)


def login_phrase(login: Login, users: int) -> str:
    """Return a phrase that says where an account is logged in; `users` counts the accounts of its workspace."""
    return f"login of {login.home}" + _seen_last_of(users)


def not_seen(login: Login) -> str:
    """Return a phrase that says that the account of a login has not been seen yet."""
    return f"the account that {login.home} is logged in with has not been seen yet"


def login_reference(selected: Selected, login: Login) -> LoginReference:
    """Return the fields of a document that say which account is logged in; `selected` is the account of the login."""
    if login.account_id is None:
        return {"logged_in": None, "login": None}
    who = selected.status
    if who is None:
        return {"logged_in": None, "login": not_seen(login)}
    phrase = f"{login.home} is logged in as {label(who)}{_seen_last_of(selected.users)}"
    return {"logged_in": who["account"], "login": phrase}


def login_marks(selected: Selected, login: Login) -> dict[str, str]:
    """Return by account key what a list of accounts says of the login; the key is "" where it is not in the list."""
    if login.account_id is None:
        return {}
    who = selected.status
    return {who["account"]: login_phrase(login, selected.users)} if who else {"": not_seen(login)}


def _seen_last_of(users: int) -> str:
    return f", of its {users} users the one seen last" if users > 1 else ""


def unread_login(login: Login) -> str:
    """Return the note on a login that could not be read."""
    return f"codex-tap: note: the login of {login.home} cannot be read ({login.problem}); nobody counts as logged in"
