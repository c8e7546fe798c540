"""The responses of the API: JSON with an ETag, or a problem document (RFC 9457)."""

from __future__ import annotations

import hashlib
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response

from scripts.support.json_document import versioned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_COUNTING = re.compile(
    rb'"(?:generated_at|elapsed_percent|age_seconds|resets_in_seconds|newest_reading_age_seconds|since|until'
    rb'|(?:codex_5h|codex_7d|primary|secondary)_reset_after_seconds)":(?:[\d.e+-]+|null)'
)
"""Fields that change with the clock alone, as they appear in JSON.

A quote inside of a text is escaped there, so a text cannot look like a field.
"""


def json_response(request: Request, document: Any, *, is_versioned: bool = True) -> Response:
    """Return a document as JSON, with its version, or 304 if the client has the document already.

    The ETag is weak: it ignores the fields that change with the clock, so it stays the same until something happens.
    """
    body = _encoded(versioned(document) if is_versioned else document)
    etag = f'W/"{hashlib.sha256(_COUNTING.sub(b"", body)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    return matching(request, Response(body, media_type="application/json", headers=headers))


def matching(request: Request, response: Response) -> Response:
    """Return a response with an ETag, or 304 if the client has it already."""
    etag = response.headers["ETag"]
    if request.method == "GET" and _matches(request.headers.get("if-none-match", ""), etag):
        headers = {name: response.headers[name] for name in ("ETag", "Cache-Control")}
        return Response(status_code=304, headers=headers)
    return response


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """Return a problem document. `members` are its further fields."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        _encoded({**document, **members}),
        status_code=status,
        media_type="application/problem+json",
        headers={**(headers or {}), "Cache-Control": "no-store"},
    )


def _encoded(document: Any) -> bytes:
    try:
        # In a third of the time that `json` takes: documents of a year have half a million bytes.
        return to_json(document, inf_nan_mode="null")
    except PydanticSerializationError:
        # Text from the traffic may contain lone surrogates, which UTF-8 cannot encode.
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _matches(header: str, etag: str) -> bool:
    """Return True if an If-None-Match header matches, by weak comparison."""
    wanted = etag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in {wanted, "*"} for each in header.split(","))
