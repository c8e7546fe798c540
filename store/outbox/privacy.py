"""What of a value leaves the machine. Pure functions."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple, get_args

Choice = Literal["keep", "hash", "drop"]
"""What is sent of an e-mail or a thread: itself, a digest with the file's own salt, or nothing."""

CHOICES: tuple[Choice, ...] = get_args(Choice)

_DIGEST_LENGTH = 24
_TOKEN_DIGEST = re.compile(r"~[0-9a-f]{10}\Z")
_UNOWNED = ("", "session-files")  # `store.imports.NO_OWNER`


class Privacy(NamedTuple):
    """What of the rows leaves the machine; ``salt`` belongs to the file and never leaves it."""

    emails: Choice
    threads: Choice
    salt: str

    def email(self, address: str | None) -> str | None:
        """Return what is sent of an e-mail."""
        return self._hidden(address, self.emails)

    def thread(self, thread: str | None) -> str | None:
        """Return what is sent of a thread's id."""
        return self._hidden(thread, self.threads)

    def thread_name(self, name: str | None) -> str | None:
        """Return what is sent of the name that a person gave to a thread: a digest would be of no use to anybody."""
        return name if self.threads == "keep" else None

    def _hidden(self, value: str | None, choice: Choice) -> str | None:
        if value is None or choice == "keep":
            return value
        return None if choice == "drop" else self.digest(value)

    def digest(self, value: str) -> str:
        """Return a digest that only this file makes of a value."""
        return hashlib.sha256(f"{self.salt}{value}".encode()).hexdigest()[:_DIGEST_LENGTH]


def token_digest(key: str) -> str:
    """Return a token key without its visible prefix."""
    found = _TOKEN_DIGEST.search(key)
    return found[0][1:] if found else key


def shipped_ids(account_id: str, user_id: str, salt: str) -> tuple[str, str]:
    """Return the two ids by which a team's database knows an account.

    A bearer without claims is an account whose user is its token key, of which the visible prefix stays here. Sessions
    that name no account are those of one machine, not of one person.
    """
    if (account_id, user_id) == _UNOWNED:
        return account_id, f"{user_id}-{hashlib.sha256(salt.encode()).hexdigest()[:_DIGEST_LENGTH]}"
    return account_id, token_digest(user_id)


def account_number(account_id: str, user_id: str) -> int:
    """Return the number of an account in a team's database: the same from every machine."""
    return int.from_bytes(hashlib.sha256(f"{account_id}/{user_id}".encode()).digest()[:8]) >> 1
