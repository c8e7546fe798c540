"""A token goes in, an `Identity` comes out; nothing past this module ever holds a token.

The bearer of a ChatGPT login is an RS256 JWT whose first 20 characters are the same for every account, so the key
that names it carries a digest too. Its claims label the account; they are not verified, because nothing is granted on
their strength. API keys and gateway tokens are opaque: each is an account of its own.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import jwt

from addon import coerce
from store.models import Identity

PREFIX_LENGTH = 20
"""Characters of the token that its key shows, or a quarter of the token if that is less."""

DIGEST_LENGTH = 10

MAX_TOKEN_LENGTH = 16_384
"""Bytes of a token that is decoded; a real one has about 2 kB. A longer one still gets a key."""

CACHE_SIZE = 256

AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"


class Identities:
    """Identities by request headers, with a bounded cache.

    Decoding a token costs 100 µs and more; a known one is found by its digest: Python's own keyed hash, whose key never
    leaves the process. A cryptographic hash would cost more than everything else here.
    """

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._known: OrderedDict[int, Identity | None] = OrderedDict()

    def identify(self, authorization: bytes | None, account_header: bytes | None) -> Identity | None:
        """Return whose a request is, from its ``Authorization`` and ``chatgpt-account-id`` headers.

        None if there is no bearer: then nothing says whose the limits in the response are.
        """
        key = hash((authorization, account_header or b""))
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        token = _bearer(authorization)
        known = self._known[key] = identify(token, account_header) if token else None
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return known


def _bearer(authorization: bytes | None) -> bytes | None:
    scheme, _, token = (authorization or b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def identify(token: bytes, account_header: bytes | None = None) -> Identity:
    """Return the identity of a token; the account header names the workspace in use and overrides the claim."""
    claims = _claims(token)
    auth, profile = coerce.mapping(claims.get(AUTH_CLAIM)), coerce.mapping(claims.get(PROFILE_CLAIM))
    header = coerce.text((account_header or b"").decode("ascii", "replace"))
    user_id = coerce.text(auth.get("chatgpt_user_id")) or coerce.text(auth.get("user_id"))
    account_id = coerce.text(auth.get("chatgpt_account_id"))
    key = token_key(token)
    if not (user_id or account_id):
        user_id = key
    return Identity(
        token_key=key,
        account_id=header or account_id or "",
        user_id=user_id or "",
        email=coerce.text(profile.get("email")),
        plan_type=coerce.text(auth.get("chatgpt_plan_type")),
        expires_at=coerce.timestamp(claims.get("exp")),
    )


def token_key(token: bytes) -> str:
    """Return the key that represents a token: ``eyJhbGciOiJSUzI1NiIs~3fa94c01b2``."""
    shown = token[: min(PREFIX_LENGTH, len(token) // 4)].decode("ascii", "replace")
    prefix = "".join(character if character.isprintable() else "?" for character in shown)
    return f"{prefix}~{hashlib.sha256(token).hexdigest()[:DIGEST_LENGTH]}"


def _claims(token: bytes) -> dict[str, Any]:
    """Return a JWT's claims, unverified; an opaque token has none."""
    if len(token) > MAX_TOKEN_LENGTH or token.count(b".") != 2:
        return {}
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return coerce.mapping(claims)
