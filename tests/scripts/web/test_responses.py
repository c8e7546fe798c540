"""Responses with an ETag."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from starlette.requests import Request

from scripts.web.responses import json_response
from tests.support.databases import record
from tests.support.web_database import ASKED, reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.web_server import Site


def test_a_known_response_is_not_sent_again(shared: Site) -> None:
    """The weak ETag stays the same until something happens; only forecasts and rankings change with the clock."""
    first = {asked: shared.get(asked) for asked in ASKED if "forecast" not in asked and "next" not in asked}
    time.sleep(1.1)
    for asked, before in first.items():
        tag = before.headers["etag"]
        assert tag.startswith('W/"')
        assert before.headers["cache-control"] == "no-cache"
        again = shared.get(asked, If_None_Match=f'"other", {tag}')
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag), asked


def test_a_changed_response_is_sent(site: Site, path: Path) -> None:
    """A new reading changes the ETag."""
    tag = site.get("/api/usage").headers["etag"]
    record(path, reading(21, ago=1))
    found = site.get("/api/usage", If_None_Match=tag)
    assert found.status == 200
    assert found.headers["etag"] != tag


def test_text_from_the_traffic_may_be_no_unicode() -> None:
    """Lone surrogates are written as JSON can have them."""
    document = {"key": "\ud800", "models": ["é"], "points": 1e-7}
    request = Request({"type": "http", "method": "GET", "headers": []})
    assert json.loads(bytes(json_response(request, document, is_versioned=False).body)) == document
