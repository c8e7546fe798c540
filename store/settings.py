"""Settings of the addon and the scripts: paths, environment variables and Codex's hosts.

Nothing heavy is imported here: every command of the CLI, and the prompt of a shell, imports this module.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from store.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

WATCHED_HOSTS = ("chatgpt.com", "us.chatgpt.com", "gov.chatgpt.com", "chat.openai.com", "api.openai.com")
"""The hosts whose connections are decrypted and whose figures are believed, without telemetry hosts."""

_HOST = r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*"

MAX_LEARNED_HOSTS = 20
"""Hosts at most that are watched because a response of chatgpt.com led Codex to them."""

_LEARNABLE_SUFFIXES = (".chatgpt.com", ".openai.com")
_NEVER_LEARNED = ("ab.chatgpt.com", "platform.openai.com")  # telemetry, and where people manage their keys
_LOGIN_LABELS = frozenset(("auth", "auth0", "login", "sso", "accounts", "signin", "oauth", "id"))
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

DATABASE_VARIABLE = "CODEX_TAP_DB"
"""Environment variable with the path of the database, or for reading commands with the URL of a team's database."""

NEEDS_FILE = f"this needs a file and no team's database; name one with --db or {DATABASE_VARIABLE}"
"""What is said where a team's database cannot stand for a file."""

PRICES_VARIABLE = "CODEX_TAP_PRICES"
"""Environment variable with the path of the user's own prices."""

NAMES_VARIABLE = "CODEX_TAP_NAMES"
"""Environment variable that is ``off`` where titles, folders and projects of threads are to be left out."""

SHIP_VARIABLE = "CODEX_TAP_SHIP"
"""Environment variable with the address of the team's database to which `ship` sends."""

READY = "codex-tap ready"
"""The proxy's line on stdout when it listens, followed by its address."""

COUNTED = "codex-tap counted"
"""The proxy's line on stdout after each turn, followed by its counts so far: a proxy that is killed reports no end."""

ENDED = "codex-tap ended"
"""The proxy's line on stdout at its end, followed by its counts (`addon.traffic_counts`) as JSON."""


def may_be_learned(host: str) -> bool:
    """Return True if a host, in lower case, would be watched if a response of chatgpt.com led Codex to it."""
    if not host.endswith(_LEARNABLE_SUFFIXES) or len(host) > 253:
        return False
    if any(host == never or host.endswith(f".{never}") for never in _NEVER_LEARNED):
        return False
    labels = host.split(".")
    return not _LOGIN_LABELS & set(labels) and all(_is_label(label) for label in labels)


def _is_label(label: str) -> bool:
    # A label with "--" in third place is an encoded one, which people see as other letters.
    has_edge = label.startswith("-") or label.endswith("-") or label[2:4] == "--"
    return 0 < len(label) <= 63 and not has_edge and set(label) <= _LABEL_CHARACTERS


_TEAM_PREFIXES = ("postgresql://", "postgres://", "service=")

_NO_HOME = "set HOME to an absolute path"


def data_folder() -> Path:
    """Return the platform's data folder of codex-tap; it need not exist.

    Raises:
        SettingError: The user has no home folder.

    """
    return _own_folder("data", f"{_NO_HOME}, or name a file with {DATABASE_VARIABLE}")


def config_folder() -> Path:
    """Return the platform's configuration folder of codex-tap; it need not exist.

    Raises:
        SettingError: The user has no home folder.

    """
    return _own_folder("config", _NO_HOME)


def cache_folder() -> Path:
    """Return the platform's cache folder of codex-tap; it need not exist.

    Raises:
        SettingError: The user has no home folder.

    """
    return _own_folder("cache", _NO_HOME)


def _own_folder(kind: Literal["data", "config", "cache"], remedy: str) -> Path:
    import platformdirs

    find = {
        "data": platformdirs.user_data_dir,
        "config": platformdirs.user_config_dir,
        "cache": platformdirs.user_cache_dir,
    }
    try:
        return Path(find[kind]("codex-tap", appauthor=False))
    except RuntimeError:
        raise SettingError(f"you have no home folder; {remedy}") from None


def expand_home(path: Path) -> Path:
    """Return a path with ``~`` or ``~user`` at its beginning replaced by that user's home folder.

    Raises:
        SettingError: There is no such user, or no home folder.

    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise SettingError(f"{path} names a user without a home folder; give an absolute path") from None


def is_team_address(text: str) -> bool:
    """Return True if a text is meant to name a team's database, and not a file."""
    return text.lower().startswith(_TEAM_PREFIXES)


def default_database(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the machine's own database: ``CODEX_TAP_DB`` if it is set, else in the data folder.

    Raises:
        SettingError: The variable names no file, or the user has no home folder.

    """
    chosen = environ.get(DATABASE_VARIABLE)
    return database_path(chosen) if chosen else data_folder() / "codex-tap.sqlite3"


def database_path(chosen: str) -> Path:
    """Return the path of a database that a person named.

    Raises:
        SettingError: It is no file: SQLite would keep ``:memory:`` in memory only, and lose it at the end.

    """
    if is_team_address(chosen):
        raise SettingError(NEEDS_FILE)
    if chosen == ":memory:" or chosen.startswith("file:"):
        raise SettingError(f"{chosen} is not the path of a file; name one, such as ~/codex-tap.sqlite3")
    return expand_home(Path(chosen))


def plain_host(name: str) -> str:
    """Return the one form of a host name: lower case, without a dot at its end."""
    return name.lower().rstrip(".")


def checked_host(given: str) -> str:
    """Return the one form of a host name that a person gave.

    Raises:
        ValueError: It is not a host name.

    """
    name = plain_host(given.strip())
    if not (re.fullmatch(_HOST, name, re.ASCII) and len(name) <= 253):
        raise ValueError(f"{given!r} is not a host name; omit scheme, port and path, as in gateway.example")
    return name
