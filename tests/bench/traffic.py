"""What goes over the wire in a measure: the header set of a live Pro account, its token, and the messages of a turn."""

from __future__ import annotations

import base64
import functools
import json
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

from scripts.demo.client import CodexClient
from scripts.demo.replies import WireWindow, credits_object, limit_headers, rate_limits_event

if TYPE_CHECKING:
    from tests.bench.programs import StandIn
    from tests.support.harness import Proxy

ACCOUNT = "b1946ac9-2c5e-4b63-9f0e-5b0a6e2d7c11"
USER = "user-benchmark"
COMPACT = "https://chatgpt.com/backend-api/codex/responses/compact"
EVERY = 25
"""Answers after which the used percentage rises by one."""
_SKEW_MOST = 100
"""Seconds; up to 120 the tap believes a reset-at against a reset-after."""

_WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not", "he")


class Figures:
    """The limits of an account as answer after answer tells them: neither constant nor random.

    The resets stand, the used percentages rise by one every 25 answers, and what is left until the reset counts down.
    Answers are seconds apart in life and milliseconds here: the server's clock runs faster than ours, as fast as
    the skew that the tap puts up with allows: the countdown is another one every few answers.
    """

    def __init__(self, answers: int) -> None:
        """Take how many answers there will be at most."""
        self._begin = time.time()
        self._short = int(self._begin) + 9_000
        self._long = int(self._begin) + 400_000
        self._step = min(1.0, 2 * _SKEW_MOST / max(answers, 1))
        self._number = 0

    def next(self) -> tuple[WireWindow, WireWindow]:
        """The 5-hour and the 7-day window of the next answer."""
        used = self._number // EVERY % 100
        now = int(time.time() - _SKEW_MOST + self._number * self._step)
        self._number += 1
        return (
            WireWindow(used, 300, self._short, self._short - now),
            WireWindow(used // 4, 10_080, self._long, self._long - now),
        )

    def headers(self) -> dict[str, str]:
        """The full header set of the next answer."""
        short, long = self.next()
        return {
            **_OTHERS,
            **limit_headers(
                short,
                long,
                plan="pro",
                active="premium",
                credits=credits_object(has=True, balance="9.5"),
                over_secondary=0,
            ),
            **limit_headers(
                short._replace(used=0),
                long._replace(used=0),
                family="bengalfox",
                limit_name="GPT-5.3-Codex-Spark",
                over_secondary=0,
            ),
        }

    def event(self) -> dict[str, Any]:
        """The next `codex.rate_limits` message."""
        short, long = self.next()
        return rate_limits_event(short, long, plan="pro", credits=credits_object(has=True, balance="9.5"))


_OTHERS = {
    "date": "Sat, 21 Nov 2026 10:00:00 GMT",
    "server": "cloudflare",
    "cf-ray": "9a1b2c3d4e5f6a7b-FRA",
    "cf-cache-status": "DYNAMIC",
    "x-request-id": "8a6e0804-2bd0-4672-b79d-d97027f9071a",
    "x-oai-request-id": "8a6e0804-2bd0-4672-b79d-d97027f9071a",
    "openai-processing-ms": "412",
    "x-models-etag": 'W/"5c1a6cbf0ad0"',
    "x-reasoning-included": "true",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin-allow-popups",
    "alt-svc": 'h3=":443"; ma=86400',
}
"""Headers beside the limits', as an answer has them."""


def make_token() -> str:
    """A bearer of about 1.5 kB with the claims of a ChatGPT login; the signature is noise."""
    now = int(time.time())
    claims = {
        "aud": ["https://api.openai.com/v1"],
        "client_id": "app_benchmark",
        "exp": now + 864_000,
        "https://api.openai.com/auth": {
            "chatgpt_account_id": ACCOUNT,
            "chatgpt_account_user_id": f"{USER}__{ACCOUNT}",
            "chatgpt_compute_residency": "no_constraint",
            "chatgpt_plan_type": "pro",
            "chatgpt_user_id": USER,
            "user_id": USER,
        },
        "https://api.openai.com/profile": {"email": "someone@example.com", "email_verified": True},
        "iat": now,
        "iss": "https://auth.openai.com",
        "jti": secrets.token_hex(18),
        "nbf": now,
        "pwd_auth_time": now * 1000,
        "scp": ["openid", "profile", "email", "offline_access"],
        "session_id": f"authsess_{secrets.token_urlsafe(18)}",
        "sub": f"auth0|{secrets.token_urlsafe(18)}",
    }
    header = {"alg": "RS256", "kid": secrets.token_hex(18), "typ": "JWT"}
    return ".".join([_segment(header), _segment(claims), _base64(secrets.token_bytes(256))])


def _segment(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def client(proxy: Proxy, stand_in: StandIn, *, token: str, http2: bool = False) -> CodexClient:
    """A client that asks like Codex through a proxy, and trusts both it and what is tunnelled."""
    trusted = [proxy.ca_file, stand_in.ca_file]
    return CodexClient(proxy.proxy_url, trusted, token=token, account_id=ACCOUNT, http2=http2)


@functools.cache
def delta(size: int, number: int) -> dict[str, Any]:
    """A piece of text, as a message that is `size` bytes long as JSON; each number has words of its own."""
    words = random.Random(number)  # noqa: S311 - words, not secrets
    message = {
        "type": "response.output_text.delta",
        "sequence_number": number,
        "item_id": "msg_0b5f3d2a9c1e4f7788",
        "output_index": 0,
        "content_index": 0,
        "delta": "",
    }
    text = ""
    missing = size - len(json.dumps(message))
    while len(text) < missing:
        text += f"{words.choice(_WORDS)} "
    return {**message, "delta": text[:missing]}


def deltas(count: int, size: int, figures: Figures, every: int) -> list[dict[str, Any]]:
    """So many messages of a turn, every so many of which tells of limits."""
    return [figures.event() if number % every == every - 1 else delta(size, number) for number in range(count)]
