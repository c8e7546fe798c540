"""What an answer is made of: JSON with an ETag, or a problem (RFC 9457)."""

from __future__ import annotations

import hashlib
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_COUNTING = re.compile(
    rb'"(?:generated_at|age_seconds|resets_in_seconds|newest_reading_age_seconds|since|until|\w+_reset_after_seconds)":'
    rb"(?:[\d.e+-]+|null)"
)
"""Fields that move with the clock alone; what else is told of the same stands still until something happens.

They are looked for in the JSON itself, where a quote within a text has a backslash before it and is no field's.
"""


def answer(request: Request, document: Any) -> Response:
    """Return a document as JSON, or 304 where the client has it already.

    The ETag is weak: it leaves out what only counts the seconds, so that it stays as long as nothing has happened.
    """
    body = _encoded(document)
    etag = f'W/"{hashlib.sha256(_COUNTING.sub(b"", body)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.method == "GET" and _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """Return a problem document; `members` are further fields of it."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        _encoded({**document, **members}),
        status_code=status,
        media_type="application/problem+json",
        headers={**(headers or {}), "Cache-Control": "no-store"},
    )


def _encoded(document: Any) -> bytes:
    # ASCII: what the wire has told may hold what is no valid UTF-8.
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _matches(header: str, etag: str) -> bool:
    """Compare weakly, as If-None-Match does."""
    wanted = etag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in {wanted, "*"} for each in header.split(","))
