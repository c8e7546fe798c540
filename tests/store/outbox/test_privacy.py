"""What of a value leaves the machine."""

from __future__ import annotations

import pytest

from store.imports import NO_OWNER
from store.outbox.privacy import Privacy, account_number, shipped_ids, token_digest

_SALT = "0123456789abcdef"


@pytest.mark.parametrize("choice", ["keep", "hash", "drop"])
def test_an_email_and_a_thread_are_kept_hashed_or_dropped(choice: str) -> None:
    """A digest is the same each time, and another one in another file; a name goes with the thread's id alone."""
    privacy, other = (Privacy(choice, choice, salt) for salt in (_SALT, "another"))  # type: ignore[arg-type]
    for hide, elsewhere in ((privacy.email, other.email), (privacy.thread, other.thread)):
        assert hide(None) is None
        if choice == "hash":
            assert hide("ann@example.com") == hide("ann@example.com") != elsewhere("ann@example.com")
            assert len(hide("ann@example.com") or "") == 24
        else:
            assert hide("ann@example.com") == ("ann@example.com" if choice == "keep" else None)
    assert privacy.thread_name("a title") == ("a title" if choice == "keep" else None)


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("eyJhbGciOiJSUzI1NiIs~3fa94c01b2", "3fa94c01b2"),
        ("~3fa94c01b2", "3fa94c01b2"),
        ("a~b~3fa94c01b2", "3fa94c01b2"),
        ("3fa94c01b2", "3fa94c01b2"),
        ("", ""),
        ("user~name", "user~name"),
    ],
)
def test_a_token_key_loses_its_visible_part(key: str, digest: str) -> None:
    assert token_digest(key) == digest


def test_the_ids_of_an_account_are_its_own() -> None:
    """But for a token key in the place of a user, and for the sessions of one machine that name no account."""
    assert shipped_ids("acct", "user", _SALT) == ("acct", "user")
    assert shipped_ids("", "eyJhbGciOiJSUzI1NiIs~3fa94c01b2", _SALT) == ("", "3fa94c01b2")
    here, there = shipped_ids(*NO_OWNER, _SALT), shipped_ids(*NO_OWNER, "another")
    assert here != there
    assert _SALT not in here[1]


def test_the_number_of_an_account_is_positive_and_fits() -> None:
    assert account_number("acct", "user") == account_number("acct", "user") != account_number("acct", "other")
    assert all(0 <= account_number("acct", str(number)) < 2**63 for number in range(200))
