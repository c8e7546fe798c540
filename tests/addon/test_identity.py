from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from addon import identity
from addon.identity import (
    AUTH_CLAIM,
    MAX_TOKEN_LENGTH,
    PROFILE_CLAIM,
    Identities,
    identify,
    login_scheme,
    token_key,
    with_reported_user,
)

if TYPE_CHECKING:
    from store.models import Identity

SECRET = b"a secret that only this test has"
CLAIMS = {
    "exp": 1_800_000_000,
    AUTH_CLAIM: {"chatgpt_account_id": "acct", "chatgpt_user_id": "user", "chatgpt_plan_type": "plus"},
    PROFILE_CLAIM: {"email": "someone@example.com", "email_verified": True},
}


def segment(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def jwt_of(payload: bytes, header: bytes = b'{"alg":"RS256","typ":"JWT"}') -> bytes:
    """Make a token of these parts and a signature that is noise."""
    return b".".join([segment(header), segment(payload), segment(secrets.token_bytes(64))])


def make(claims: object = CLAIMS) -> bytes:
    return jwt_of(json.dumps(claims).encode())


def claims_of(token: bytes, account_header: bytes | None = None) -> dict[str, Any]:
    """Return what an identity tells beside its token's key."""
    return identify(token, SECRET, account_header).model_dump(exclude={"token_key"}, exclude_defaults=True)


ALL = {
    "account_id": "acct",
    "user_id": "user",
    "email": "someone@example.com",
    "plan_type": "plus",
    "expires_at": 1_800_000_000,
}


@pytest.mark.parametrize(
    ("claims", "account_header", "expected"),
    [
        pytest.param(CLAIMS, None, ALL, id="all"),
        pytest.param(CLAIMS, b"", ALL, id="an empty account header"),
        pytest.param(CLAIMS, b"workspace", {**ALL, "account_id": "workspace"}, id="the header beats the claim"),
        pytest.param(CLAIMS, b" a\x00\xffb ", {**ALL, "account_id": "a��b"}, id="a hostile header"),
        pytest.param(CLAIMS, b"a" * 65_536, {**ALL, "account_id": "a" * 120}, id="a long header"),
        pytest.param({AUTH_CLAIM: {"user_id": "u"}}, None, {"user_id": "u"}, id="the user by its other name"),
        pytest.param({AUTH_CLAIM: {"user_id": "u", "chatgpt_user_id": "c"}}, None, {"user_id": "c"}, id="both names"),
        pytest.param(
            {AUTH_CLAIM: {"user_id": "u", "chatgpt_user_id": 5}}, None, {"user_id": "u"}, id="one of a wrong type"
        ),
        pytest.param({AUTH_CLAIM: {"chatgpt_account_id": "a"}}, None, {"account_id": "a"}, id="no user"),
        pytest.param({AUTH_CLAIM: {"user_id": "u"}}, b"w", {"account_id": "w", "user_id": "u"}, id="header and user"),
        pytest.param({**CLAIMS, "exp": 1}, None, {**ALL, "expires_at": 1}, id="expired long ago"),
        pytest.param(
            {**CLAIMS, "exp": "x", "nbf": "x", "iat": "x", "aud": 5, "iss": 5, "sub": 5, "jti": 5},
            None,
            {key: value for key, value in ALL.items() if key != "expires_at"},
            id="claims of wrong types",
        ),
        pytest.param(
            {**CLAIMS, "aud": ["a"], "nbf": 9_999_999_999, "crit": ["x"]}, None, ALL, id="not yet valid, for another"
        ),
        pytest.param(
            {**CLAIMS, PROFILE_CLAIM: "x"},
            None,
            {key: value for key, value in ALL.items() if key != "email"},
            id="profile of a wrong type",
        ),
        pytest.param(
            {AUTH_CLAIM: {"user_id": "\x1b[2J", "chatgpt_plan_type": "\ud800" * 500}},
            None,
            {"user_id": "�[2J", "plan_type": "�" * 120},
            id="hostile claims",
        ),
    ],
)
def test_claims(claims: object, account_header: bytes | None, expected: dict[str, object]) -> None:
    """The account is in the claims of the token and in the account header; each is read by itself, unverified."""
    assert claims_of(make(claims), account_header) == expected


OPAQUE: dict[str, bytes] = {
    "an API key": b"sk-" + secrets.token_urlsafe(32).encode(),
    "two parts": make().rpartition(b".")[0],
    "four parts": make() + b".x",
    "empty parts": b"..",
    "not base64": b"!!!.???.***",
    "payload no base64": b"eyJhbGciOiJSUzI1NiJ9.%%%.x",
    "payload no JSON": jwt_of(b"no JSON"),
    "payload no UTF-8": jwt_of(b'{"exp":"\xff"}'),
    "payload a list": jwt_of(b"[1]"),
    "payload a string": jwt_of(b'"x"'),
    "payload null": jwt_of(b"null"),
    "payload empty": jwt_of(b""),
    "payload a bomb": jwt_of(b"[" * 11_000),
    "payload a bomb of maps": jwt_of(b'{"a":' * 2_200),
    "payload an endless number": jwt_of(b'{"exp":' + b"1" * 5_000 + b"}"),
    "header no JSON": jwt_of(json.dumps(CLAIMS).encode(), b"no JSON"),
    "header a list": jwt_of(json.dumps(CLAIMS).encode(), b"[1]"),
    "without claims of ours": make({"exp": None, "sub": "x"}),
    "claims of wrong types": make({AUTH_CLAIM: ["x"], PROFILE_CLAIM: 5, "exp": "x"}),
    "ids empty": make({AUTH_CLAIM: {"chatgpt_account_id": "", "user_id": " "}}),
    "non-ASCII": "１２３．４５６".encode() * 5,
    "control characters": b"\x00\x1b[2J\x07" * 20,
    "1 MiB": b"a" * 1024 * 1024,
    "a JWT of 1 MiB": make({**CLAIMS, "more": "x" * 1024 * 1024}),
}


@pytest.mark.parametrize("token", OPAQUE.values(), ids=OPAQUE.keys())
def test_opaque(token: bytes) -> None:
    """A token without readable claims is of the workspace that the header names, else an account of its own."""
    assert claims_of(token) == {"user_id": token_key(token, SECRET)}
    assert claims_of(token, b"workspace") == {"account_id": "workspace"}


def test_longest_token() -> None:
    """A token is decoded up to a length above that of every real one."""
    unsigned = make().rpartition(b".")[0] + b"."
    lengths = [MAX_TOKEN_LENGTH - 1, MAX_TOKEN_LENGTH, MAX_TOKEN_LENGTH + 1]
    assert all((length - len(unsigned)) % 4 != 1 for length in lengths), "no base64 has this length"
    tokens = [unsigned.ljust(length, b"A") for length in lengths]
    assert [claims_of(token) == ALL for token in tokens] == [True, True, False]


@pytest.mark.parametrize(
    ("token", "prefix", "is_keyed"),
    [
        (b"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + b"x" * 100, "eyJhbGciOiJSUzI1NiIs", False),
        (b"0123456789" * 8, "01234567890123456789", False),
        (b"0123456789" * 7 + b"012345678", "0123456789012345678", False),
        (b"0123456789" * 4, "0123456789", False),
        (b"0123456789" * 3 + b"012345678", "012345678", True),
        (b"abcdefgh", "ab", True),
        (b"abcd", "a", True),
        (b"abc", "", True),
        (b"", "", True),
        (b"a\x00\x1bb\x7f" + b"x" * 15, "a??b?", True),
        (b"\xff\xfe" + b"x" * 6, "��", True),
    ],
)
def test_token_key(token: bytes, prefix: str, *, is_keyed: bool) -> None:
    """A key shows a quarter of the token, and ten digits of a digest, which nobody can try out for a short token."""
    plain = f"{prefix}~{hashlib.sha256(token).hexdigest()[:10]}"
    keyed = f"{prefix}~{hmac.new(SECRET, token, hashlib.sha256).hexdigest()[:10]}"
    assert token_key(token, SECRET) == (keyed if is_keyed else plain)
    assert identify(token, SECRET).former_key == (plain if is_keyed else None)
    assert (token_key(token, b"another") == token_key(token, SECRET)) is not is_keyed


def test_the_former_key_stays_in_memory() -> None:
    """The former key would give a short token away: no log and no file beside the database may have it."""
    found = identify(b"hunter42", SECRET)
    assert found.former_key
    assert found.former_key not in repr(found) + found.model_dump_json() + str(found.model_dump())


def test_same_prefix() -> None:
    """Two accounts whose tokens begin alike are two; a refreshed token belongs to the same account."""
    mine, refreshed, theirs = make(), make(), make({AUTH_CLAIM: {"chatgpt_account_id": "acct", "user_id": "other"}})
    assert len({token[:20] for token in (mine, refreshed, theirs)}) == 1
    assert len({token_key(token, SECRET) for token in (mine, refreshed, theirs)}) == 3
    assert claims_of(mine) == claims_of(refreshed)
    assert claims_of(mine) != claims_of(theirs)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   ", b"Bearer \t"])
def test_bearer(scheme: bytes) -> None:
    """A bearer is recognised in any case."""
    token = make()
    found = Identities(SECRET).identify(scheme + token + b" ", b"workspace")
    assert found == identify(token, SECRET, b"workspace")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer   ",
        b"Basic dXNlcjp3b3Jk",
        b"AgentAssertion",
        b"AgentAssertion ",
        b"AgentAssertions eyJhbGciOiJFUzI1NiJ9",
        b"Token abc",
        b"Bearerabc",
        b" Bearer abc",
        b"\xff\x00",
    ],
)
def test_unknown_login(authorization: bytes | None) -> None:
    """A login of another kind has no identity."""
    assert Identities(SECRET).identify(authorization, b"workspace") is None


def test_agent_assertion() -> None:
    """A login that is signed anew for each request is the account of the header, always under the same key."""
    identities = Identities(SECRET)
    one, other, elsewhere = (
        identities.identify(b"%s eyJ" % scheme + secrets.token_hex(40).encode(), account)
        for scheme, account in [(b"AgentAssertion", b"ws"), (b"agentassertion", b"ws"), (b"AgentAssertion", b"ws2")]
    )
    assert one is not None
    assert elsewhere is not None
    assert one == other
    assert (one.account_id, one.user_id, one.former_key) == ("ws", "", None)
    assert one.token_key.startswith("AgentAssertion~")
    assert one.token_key != elsewhere.token_key
    assert identities.identify(b"AgentAssertion eyJhbGciOiJFUzI1NiJ9", None) is None
    assert identities.identify(b"AgentAssertion eyJhbGciOiJFUzI1NiJ9", b" ") is None


@pytest.mark.parametrize(
    ("authorization", "scheme"),
    [
        (None, "none"),
        (b"", "none"),
        (b"   ", "none"),
        (b"Basic dXNlcjp3b3Jk", "Basic"),
        (b"AgentAssertion eyJhbGciOiJFUzI1NiJ9", "AgentAssertion"),
        (b"NewScheme2 eyJhbGciOiJFUzI1NiJ9", "NewScheme2"),
        (b"Digest username=x, nonce=y", "Digest"),
        (b"Basic", "other"),
        (b"hunter42", "other"),
        (b"correct horse", "other"),
        (b"correct horse battery staple", "other"),
        (b"sk-abcdef eyJhbGciOiJFUzI1NiJ9", "other"),
        (b"a1b2c3d4 eyJhbGciOiJFUzI1NiJ9", "other"),
        (b"x" * 30 + b" eyJhbGciOiJFUzI1NiJ9", "other"),
        (b"\xff\x00 eyJhbGciOiJFUzI1NiJ9", "other"),
    ],
)
def test_login_scheme(authorization: bytes | None, scheme: str) -> None:
    """A login is named by its scheme; what may be a part of a secret is not shown."""
    assert login_scheme(authorization) == scheme


NAMED = {"account_id": "ws", "user_id": "user", "email": "ann@example.com"}


@pytest.mark.parametrize(
    ("document", "user", "email"),
    [
        pytest.param(NAMED, "user", "ann@example.com", id="all"),
        pytest.param({"user_id": "user"}, "user", None, id="the user alone"),
        pytest.param({**NAMED, "account_id": "other"}, "", None, id="another account"),
        pytest.param({**NAMED, "user_id": None}, "", None, id="no user"),
        pytest.param({**NAMED, "user_id": ["x"], "email": 5}, "", None, id="wrong types"),
        pytest.param({**NAMED, "user_id": "u" * 500, "email": " "}, "u" * 120, None, id="long and empty"),
        pytest.param([NAMED], "", None, id="a list"),
    ],
)
def test_reported_user(document: object, user: str, email: str | None) -> None:
    """A usage document names the user of a login that does not."""
    found = with_reported_user(identify(b"at-opaque", SECRET, b"ws"), json.dumps(document).encode())
    assert (found.account_id, found.user_id, found.email, found.user_reported) == ("ws", user, email, user != "")


@pytest.mark.parametrize("account", [None, b"acct"])
def test_a_user_that_the_login_names(account: bytes | None) -> None:
    """What a login says of its user is not replaced; an opaque token without a workspace stays its own account."""
    for token in (make(), *([b"gateway-token"] if account is None else [])):
        known = identify(token, SECRET, account)
        assert with_reported_user(known, json.dumps({"user_id": "other", "account_id": "acct"}).encode()) is known


class Counting:
    """Counts the tokens that are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: list[bytes] = []
        self._identify = identity.identify
        monkeypatch.setattr(identity, "identify", self)

    def __call__(self, token: bytes, secret: bytes, account_header: bytes | None = None) -> Identity:
        """Decode a token and note it."""
        self.decoded.append(token)
        return self._identify(token, secret, account_header)


def test_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached token is not decoded again, except with another account or after many other tokens."""
    counting = Counting(monkeypatch)
    identities = Identities(SECRET, size=2)
    for name, account in [
        (b"a", None),  # decoded
        (b"a", b""),
        (b"b", None),  # decoded
        (b"a", None),
        (b"c", None),  # decoded, and b, the least lately used, is forgotten
        (b"a", None),
        (b"c", None),
        (b"b", None),  # decoded, and a is forgotten
        (b"c", None),
        (b"a", None),  # decoded
        (b"a", b"x"),  # decoded: another account
    ]:
        found = identities.identify(b"Bearer " + name, account)
        assert found is not None
        assert found.token_key == token_key(name, SECRET)
        assert found.account_id == (account or b"").decode()
    assert counting.decoded == [b"a", b"b", b"c", b"b", b"a", b"a"]


def test_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded: it holds 256 tokens."""
    counting = Counting(monkeypatch)
    identities = Identities(SECRET)
    for number in [*range(256), *range(256), 256, 0]:
        identities.identify(b"Bearer token-%d" % number, None)
    assert len(counting.decoded) == 258


def test_holds_no_token() -> None:
    """Neither an identity nor the cache holds more of a token than the prefix in its key."""
    token = make()
    identities = Identities(SECRET)
    found = identities.identify(b"Bearer " + token, None)
    held = repr(found) + repr(identities.__dict__)
    assert token[:20].decode() in held
    assert token[:21].decode() not in held
    assert token.split(b".")[2][:12].decode() not in held
