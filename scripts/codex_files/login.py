"""The account that Codex's login names. Of `auth.json`, which holds tokens, the account's id alone leaves this module.

Nothing else of the file reaches a caller, an error's text, or the local variables of a traceback: what parses the file
returns, and never raises.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scripts.codex_files.location import codex_home
from store.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "auth.json"

TOKEN_VARIABLE = "CODEX_ACCESS_TOKEN"  # noqa: S105 (a name)
"""The environment variable with a login that Codex takes before that of the file; it names no account."""

MAX_BYTES = 262_144
"""Bytes of the file that are read at most; a real one has about 6 kB."""

_WRITING_SECONDS = 0.05
"""How long Codex takes at most to write the file, which is empty or cut meanwhile."""

_MAX_ID = 120
"""Characters of an id, as the tap stores it."""

_CHATGPT_MODES, _AGENT_MODE = frozenset({"chatgpt", "chatgptauthtokens"}), "agentidentity"
_KEYS = ("OPENAI_API_KEY", "personal_access_token", "agent_identity", "bedrock_api_key", "bedrock_access_keys")
"""What else a person can be logged in with. Codex takes each of them before the tokens."""

_AUTH_CLAIM = "https://api.openai.com/auth"


class LoginError(Exception):
    """The file of the login is there and cannot be read; the message says why, and holds nothing of the file."""


class Login(NamedTuple):
    """Whose login Codex's folder holds.

    ``home`` is the folder as people write it. ``account_id`` is the ChatGPT account's id; None where nobody is logged
    in, and for a login that names no account, such as an API key. ``problem`` says why the file could not be read; None
    where it could.
    """

    home: str
    account_id: str | None = None
    problem: str | None = None


def find_login(environ: Mapping[str, str]) -> Login:
    """Return the login of the Codex that a shell with this environment starts."""
    try:
        home = codex_home(environ)
    except RuntimeError:
        return Login("~/.codex")
    if environ.get(TOKEN_VARIABLE):
        return Login(_shown(home))
    try:
        return Login(_shown(home), logged_in_account(home))
    except LoginError as error:
        return Login(_shown(home), problem=str(error))


def logged_in_account(home: Path) -> str | None:
    """Return the id of the ChatGPT account that is logged in in Codex's folder `home`.

    None is for a folder without a login, and for one by an API key or anything else that names no account.

    Raises:
        LoginError: The file of the login cannot be read.

    """
    try:
        found = _read(home / FILE_NAME)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoginError(error.strerror or "it cannot be read") from None
    if found is _UNREADABLE:
        raise LoginError("it is not the JSON that Codex writes")
    return found or None


def _read(path: Path) -> str:
    """Return what `_account_id` does; a file that is damaged is read again, since Codex may be writing it."""
    found = _account_id(read_regular(path, MAX_BYTES + 1))
    if found is _UNREADABLE:
        time.sleep(_WRITING_SECONDS)
        found = _account_id(read_regular(path, MAX_BYTES + 1))
    return found


_UNREADABLE = "\0"
"""What stands for the id in a file that is not understood."""


def _account_id(content: bytes) -> str:
    """Return the account's id in the content of the file, "" where it names none; `_UNREADABLE` where it is damaged."""
    try:
        login = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        return _UNREADABLE
    if not isinstance(login, dict):
        return _UNREADABLE
    mode = _mode(login)
    if mode == _AGENT_MODE:
        agent = login.get("agent_identity")
        return _plain_id(agent.get("account_id")) if isinstance(agent, dict) else ""
    tokens = login.get("tokens")
    if mode not in _CHATGPT_MODES or not isinstance(tokens, dict):
        return ""
    return (
        _plain_id(tokens.get("account_id")) or _claimed(tokens.get("id_token")) or _claimed(tokens.get("access_token"))
    )


def _mode(login: dict[str, Any]) -> str:
    """Return the kind of a login in lower case, as Codex takes it: files of its earlier versions do not name it."""
    named = login.get("auth_mode")
    if named is not None:
        return str(named).lower()
    return "key" if any(login.get(name) is not None for name in _KEYS) else "chatgpt"


def _claimed(token: object) -> str:
    """Return the account's id in the claims of a token, unverified: nothing is granted on its strength."""
    if not isinstance(token, str) or token.count(".") != 2:
        return ""
    import jwt  # Only here: it takes longer to import than all else of this module.

    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""
    auth = claims.get(_AUTH_CLAIM)
    return _plain_id(auth.get("chatgpt_account_id")) if isinstance(auth, dict) else ""


def _plain_id(value: object) -> str:
    """Return an id that may be shown, "" for anything else."""
    if not isinstance(value, str) or len(value) > _MAX_ID:
        return ""
    stripped = value.strip()
    return stripped if stripped.isprintable() else ""


def _shown(home: Path) -> str:
    """Return a folder as people write it, with ``~`` for the user's home."""
    try:
        inside = home.absolute().relative_to(Path.home())
    except (RuntimeError, ValueError, OSError):
        return str(home)
    return str(Path("~") / inside)
