"""A token goes in, an `Identity` comes out; nothing past this module ever holds a token.

The bearer of a ChatGPT login is an RS256 JWT whose first 20 characters are the same for every account, so the key
that names it carries a digest too. Its claims label the account; they are not verified, because nothing is granted on
their strength.

Other logins name no user. API keys, gateway tokens and access tokens are opaque; an ``AgentAssertion`` is signed anew
for each request, so it is no key of anything. The ``chatgpt-account-id`` header says whose they are, and a usage
document may name the user. An opaque token without that header is an account of its own.

The digest of a token that a person may have thought up gives it away to whoever tries all likely ones. So the digest of
a short token is keyed with a secret that is kept outside the database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from typing import Any

import jwt

from store import coerce
from store.models import Identity

PREFIX_LENGTH = 20
"""Characters of the token that its key shows, or a quarter of the token if that is less."""

DIGEST_LENGTH = 10

MAX_TOKEN_LENGTH = 16_384
"""Bytes of a token that is decoded; a real one has about 2 kB. A longer one still gets a key."""

KEYED_BELOW = 40
"""Characters of a token from which on its digest is not keyed: nobody guesses so many."""

CACHE_SIZE = 256

ASSERTION = "AgentAssertion"
"""The scheme of a login that is signed anew for each request."""

NOBODY = Identity(token_key="")
"""The identity of a request whose login names no account."""

NO_LOGIN, OTHER_LOGIN = "none", "other"
"""Names of a login that is missing, and of one whose scheme cannot be told from a secret."""

_SCHEME = re.compile(r"([A-Za-z]{2,24}[0-9]?) +[!-~]{16,}")
_KNOWN_SCHEMES = frozenset({"basic", "bearer", "digest", "dpop", "negotiate", "oauth", ASSERTION.lower()})

AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"


class Identities:
    """Identities by request headers, with a bounded cache.

    Decoding a token costs 100 µs and more; a known one is found by its digest: Python's own keyed hash, whose key never
    leaves the process. A cryptographic hash would cost more than everything else here.
    """

    def __init__(self, secret: bytes, size: int = CACHE_SIZE) -> None:
        self._secret = secret
        self._size = size
        self._known: OrderedDict[int, Identity | None] = OrderedDict()

    def identify(self, authorization: bytes | None, account_header: bytes | None) -> Identity | None:
        """Return whose a request is, from its ``Authorization`` and ``chatgpt-account-id`` headers.

        None if they name no account: then nothing says whose the limits in the response are.
        """
        key = hash((authorization, account_header or b""))
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        known = self._known[key] = self._identify(authorization, account_header)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return known

    def _identify(self, authorization: bytes | None, account_header: bytes | None) -> Identity | None:
        scheme, credentials = _split(authorization)
        if scheme == "bearer" and credentials:
            return identify(credentials, self._secret, account_header)
        return _identify_assertion(account_header) if scheme == ASSERTION.lower() and credentials else None


def _split(authorization: bytes | None) -> tuple[str, bytes]:
    """Return the scheme of an ``Authorization`` header in lower case, and what follows it."""
    scheme, _, credentials = (authorization or b"").partition(b" ")
    return scheme.lower().decode("ascii", "replace"), credentials.strip()


def login_scheme(authorization: bytes | None) -> str:
    """Return the name of a login's scheme, and nothing that may be a part of its secret."""
    text = (authorization or b"").decode("ascii", "replace").strip()
    if not text:
        return NO_LOGIN
    scheme, credentials = _split(authorization)
    if scheme in _KNOWN_SCHEMES and credentials:
        return text[: len(scheme)]
    found = _SCHEME.fullmatch(text)
    return found[1] if found else OTHER_LOGIN


def identify(token: bytes, secret: bytes, account_header: bytes | None = None) -> Identity:
    """Return the identity of a bearer; the account header names the workspace in use and overrides the claim."""
    claims = _claims(token)
    auth, profile = coerce.mapping(claims.get(AUTH_CLAIM)), coerce.mapping(claims.get(PROFILE_CLAIM))
    header = _account_id(account_header)
    user_id = coerce.text(auth.get("chatgpt_user_id")) or coerce.text(auth.get("user_id"))
    account_id = header or coerce.text(auth.get("chatgpt_account_id"))
    key = token_key(token, secret)
    return Identity(
        token_key=key,
        account_id=account_id or "",
        user_id=user_id or ("" if account_id else key),
        email=coerce.text(profile.get("email")),
        plan_type=coerce.text(auth.get("chatgpt_plan_type")),
        expires_at=coerce.timestamp(claims.get("exp")),
        former_key=_key(token, hashlib.sha256(token).hexdigest()) if len(token) < KEYED_BELOW else None,
    )


def _identify_assertion(account_header: bytes | None) -> Identity | None:
    account_id = _account_id(account_header)
    if account_id is None:
        return None
    digest = hashlib.sha256(account_id.encode("utf-8", "replace")).hexdigest()
    return Identity(token_key=f"{ASSERTION}~{digest[:DIGEST_LENGTH]}", account_id=account_id)


def with_reported_user(identity: Identity, body: bytes) -> Identity:
    """Return the identity with the user and e-mail that a usage document names, if the login names no user.

    A document of another account says nothing of it.
    """
    if identity.user_id:
        return identity
    document = coerce.json_object(body)
    user_id, account_id = coerce.text(document.get("user_id")), coerce.text(document.get("account_id"))
    if user_id is None or account_id not in {None, identity.account_id}:
        return identity
    email = coerce.text(document.get("email"))
    return identity.model_copy(update={"user_id": user_id, "email": email, "user_reported": True})


def _account_id(account_header: bytes | None) -> str | None:
    return coerce.text((account_header or b"").decode("ascii", "replace"))


def token_key(token: bytes, secret: bytes) -> str:
    """Return the key that represents a token: ``eyJhbGciOiJSUzI1NiIs~3fa94c01b2``.

    `secret` keys the digest of a token shorter than `KEYED_BELOW`.
    """
    if len(token) < KEYED_BELOW:
        return _key(token, hmac.digest(secret, token, "sha256").hex())
    return _key(token, hashlib.sha256(token).hexdigest())


def _key(token: bytes, digest: str) -> str:
    shown = token[: min(PREFIX_LENGTH, len(token) // 4)].decode("ascii", "replace")
    prefix = "".join(character if character.isprintable() else "?" for character in shown)
    return f"{prefix}~{digest[:DIGEST_LENGTH]}"


def _claims(token: bytes) -> dict[str, Any]:
    """Return a JWT's claims, unverified; an opaque token has none."""
    if len(token) > MAX_TOKEN_LENGTH or token.count(b".") != 2:
        return {}
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return coerce.mapping(claims)
