from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from addon import identity
from addon.identity import AUTH_CLAIM, MAX_TOKEN_LENGTH, PROFILE_CLAIM, Identities, identify, token_key

if TYPE_CHECKING:
    from store.models import Identity

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
    return identify(token, account_header).model_dump(exclude={"token_key"}, exclude_defaults=True)


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
    """A token without readable claims is an account of its own, under its key."""
    assert claims_of(token) == {"user_id": token_key(token)}
    assert claims_of(token, b"workspace") == {"user_id": token_key(token), "account_id": "workspace"}


def test_longest_token() -> None:
    """A token is decoded up to a length above that of every real one."""
    unsigned = make().rpartition(b".")[0] + b"."
    lengths = [MAX_TOKEN_LENGTH - 1, MAX_TOKEN_LENGTH, MAX_TOKEN_LENGTH + 1]
    assert all((length - len(unsigned)) % 4 != 1 for length in lengths), "no base64 has this length"
    tokens = [unsigned.ljust(length, b"A") for length in lengths]
    assert [claims_of(token) == ALL for token in tokens] == [True, True, False]


@pytest.mark.parametrize(
    ("token", "prefix"),
    [
        (b"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + b"x" * 100, "eyJhbGciOiJSUzI1NiIs"),
        (b"0123456789" * 8, "01234567890123456789"),
        (b"0123456789" * 7 + b"012345678", "0123456789012345678"),
        (b"abcdefgh", "ab"),
        (b"abcd", "a"),
        (b"abc", ""),
        (b"", ""),
        (b"a\x00\x1bb\x7f" + b"x" * 15, "a??b?"),
        (b"\xff\xfe" + b"x" * 6, "��"),
    ],
)
def test_token_key(token: bytes, prefix: str) -> None:
    """A key shows 20 characters or a quarter of the token, and ten digits of its digest, which tell tokens apart."""
    assert token_key(token) == f"{prefix}~{hashlib.sha256(token).hexdigest()[:10]}"


def test_same_prefix() -> None:
    """Two accounts whose tokens begin alike are two; a refreshed token belongs to the same account."""
    mine, refreshed, theirs = make(), make(), make({AUTH_CLAIM: {"chatgpt_account_id": "acct", "user_id": "other"}})
    assert len({token[:20] for token in (mine, refreshed, theirs)}) == 1
    assert len({token_key(token) for token in (mine, refreshed, theirs)}) == 3
    assert claims_of(mine) == claims_of(refreshed)
    assert claims_of(mine) != claims_of(theirs)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   ", b"Bearer \t"])
def test_bearer(scheme: bytes) -> None:
    """A bearer is recognised in any case."""
    token = make()
    assert Identities().identify(scheme + token + b" ", b"workspace") == identify(token, b"workspace")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer   ",
        b"Basic dXNlcjp3b3Jk",
        b"Token abc",
        b"Bearerabc",
        b" Bearer abc",
        b"\xff\x00",
    ],
)
def test_no_bearer(authorization: bytes | None) -> None:
    """Without a bearer token there is no identity."""
    assert Identities().identify(authorization, b"workspace") is None


class Counting:
    """Counts the tokens that are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: list[bytes] = []
        self._identify = identity.identify
        monkeypatch.setattr(identity, "identify", self)

    def __call__(self, token: bytes, account_header: bytes | None = None) -> Identity:
        """Decode a token and note it."""
        self.decoded.append(token)
        return self._identify(token, account_header)


def test_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached token is not decoded again, except with another account or after many other tokens."""
    counting = Counting(monkeypatch)
    identities = Identities(size=2)
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
        assert found.token_key == token_key(name)
        assert found.account_id == (account or b"").decode()
    assert counting.decoded == [b"a", b"b", b"c", b"b", b"a", b"a"]


def test_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded: it holds 256 tokens."""
    counting = Counting(monkeypatch)
    identities = Identities()
    for number in [*range(256), *range(256), 256, 0]:
        identities.identify(b"Bearer token-%d" % number, None)
    assert len(counting.decoded) == 258


def test_holds_no_token() -> None:
    """Neither an identity nor the cache holds more of a token than the prefix in its key."""
    token = make()
    identities = Identities()
    found = identities.identify(b"Bearer " + token, None)
    held = repr(found) + repr(identities.__dict__)
    assert token[:20].decode() in held
    assert token[:21].decode() not in held
    assert token.split(b".")[2][:12].decode() not in held
