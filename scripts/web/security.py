"""Access control, and the security headers of responses.

The server listens on this machine alone, unless a token is set. That does not keep out the web pages that the same
person opens, so each request is also checked for what such a page can make a browser send:

- a foreign ``Host``: the name of another site that was made to point here (DNS rebinding);
- ``Sec-Fetch-Site``: a request by the page of another site, other than following a link;
- a write without a header that only our own page, or a program, can add (CSRF).

The middleware is the outermost one, so that its headers are on every response, including errors.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from scripts.web.responses import problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

WRITE_HEADER = "x-codex-tap"
"""The header, of any value, that a write needs if the server has no token."""


MAX_BODY_LENGTH = 65_536
"""Bytes of a request's body; those of the page have less than a hundred."""

_TOO_LONG = "The body is too long."

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OTHER_SITES = frozenset({"cross-site", "same-site"})

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " manifest-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CACHING = (b"cache-control", b"no-cache")


class SecurityMiddleware:
    """Passes a request to the application, or refuses it with a problem document."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        """Create the middleware.

        Args:
            app: the application to protect.
            host: the address that the server listens on.
            token: the token that every request needs, or None.
        """
        self._app = app
        self._names = _LOCAL_NAMES | {host.strip("[]").lower()}
        self._any_address = _is_unspecified(host)
        self._token = _digest(token.encode()) if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _completed(message.get("headers", ()))
            await send(message)

        headers = dict(scope["headers"])
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, _bounded(receive), send_with_headers)
            return
        status, detail = refusal
        challenge = {"WWW-Authenticate": 'Bearer realm="codex-tap"'} if status == 401 else {}
        await problem(status, detail, headers=challenge)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Return the status and the reason of a refusal, or None."""
        if not self._is_our_name(headers.get(b"host", b"").decode("latin-1")):
            return 421, "The Host header does not name this server."
        if _is_above(headers.get(b"content-length", b"0"), MAX_BODY_LENGTH):
            return 413, _TOO_LONG
        reads = scope["method"] in _READING
        if headers.get(b"sec-fetch-site", b"").decode("latin-1").lower() in _OTHER_SITES and not (
            reads and headers.get(b"sec-fetch-mode") == b"navigate"
        ):
            return 403, "Cross-site request refused."
        if self._token is not None:
            if not _is_page_path(scope["path"]) and not self._is_authorized(headers):
                return 401, "Send the token as: Authorization: Bearer TOKEN"
        elif not reads and WRITE_HEADER.encode() not in headers:
            return 403, "A write needs the header: X-Codex-Tap: 1"
        return None

    def _is_our_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name or "@" in host:
            return False
        # An address cannot be rebound, so any address is ours if the server listens on all of them.
        return name in self._names or (self._any_address and _is_address(name))

    def _is_authorized(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        assert self._token is not None
        return scheme.lower() == b"bearer" and hmac.compare_digest(_digest(given.strip()), self._token)


def _bounded(receive: Receive) -> Receive:
    """Return a `receive` that refuses a body above the maximum length, which has no or a wrong length in its head."""
    length = 0

    async def receive_bounded() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > MAX_BODY_LENGTH:
            raise HTTPException(413, _TOO_LONG)
        return message

    return receive_bounded


def _is_above(written: bytes, most: int) -> bool:
    """Return True if a header's number is above a bound; h11 has checked that it is a number of at most 20 digits."""
    return written.isdigit() and int(written) > most


def _is_page_path(path: str) -> bool:
    """Return True if a path is that of the page itself, which contains no data and has to load to ask for the token."""
    return path == "/" or path.startswith("/static/")


def _digest(token: bytes) -> bytes:
    # Digests have one length, so that the time of a comparison does not reveal the length of the token.
    return hashlib.sha256(token).digest()


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _completed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response with ours. A caching header of the application has priority."""
    has_caching = any(name == _CACHING[0] for name, _ in headers)
    return [*headers, *_HEADERS, *(() if has_caching else (_CACHING,))]
