"""The headers, messages and documents that the stand-in sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.demo.replies import (
    NO_WINDOW,
    Answer,
    WireWindow,
    credits_object,
    error_body,
    error_event,
    limit_headers,
    usage_document,
    usage_limit,
)
from tests.support.demo import RESET_AT

if TYPE_CHECKING:
    from scripts.demo.backend import Backend
    from scripts.demo.client import CodexClient

USAGE = "https://chatgpt.com/backend-api/wham/usage"


@pytest.mark.parametrize("status", [429, 503])
def test_refusals(client: CodexClient, backend: Backend, status: int) -> None:
    """An error over HTTP has the given headers and body; on the websocket it is a message."""
    headers = limit_headers(WireWindow(100, 10080, RESET_AT, 14890), NO_WINDOW, active="premium", plan="pro")
    event = error_event(status, headers=headers, resets_at=RESET_AT)
    backend.answer(Answer(status=status, headers=headers, body=error_body(), events=[event], completes=False))
    over_post = client.http_turn("say ok")
    assert (over_post.status, json.loads(over_post.body)["error"]["type"]) == (status, "usage_limit_reached")
    assert over_post.header("x-codex-secondary-reset-at") == ""
    (message,) = client.websocket_turn("say ok").messages("error")
    assert (message["status"], message["headers"]) == (status, headers)


def test_usage_document(client: CodexClient, backend: Backend) -> None:
    """The usage document is served on both paths once it is set; until then the response is a 404."""
    assert client.get(USAGE).status == 404
    spark = usage_limit("GPT-5.3-Codex-Spark", "codex_bengalfox", WireWindow(0, 300), WireWindow(0, 10080))
    document = usage_document(WireWindow(41, 10080, RESET_AT, 332661), additional=[spark])
    backend.answer(Answer(usage=document), account="account-a")
    for url in (USAGE, "https://gateway.example/api/codex/usage?full=1"):
        assert json.loads(client.get(url).body) == document
    assert document["rate_limit"]["primary_window"]["limit_window_seconds"] == 604800


def test_header_builders() -> None:
    """The builders write the headers of live accounts."""
    headers = limit_headers(
        WireWindow(100, 10080, 1787196849, 14890),
        NO_WINDOW,
        plan="pro",
        active="premium",
        credits=credits_object(),
    )
    headers |= limit_headers(WireWindow(0, 300), family="bengalfox", limit_name="GPT-5.3-Codex-Spark")
    assert headers == {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "10080",
        "x-codex-primary-reset-at": "1787196849",
        "x-codex-primary-reset-after-seconds": "14890",
        "x-codex-secondary-used-percent": "0",
        "x-codex-secondary-window-minutes": "0",
        "x-codex-secondary-reset-at": "",
        "x-codex-secondary-reset-after-seconds": "0",
        "x-codex-plan-type": "pro",
        "x-codex-active-limit": "premium",
        "x-codex-credits-has-credits": "False",
        "x-codex-credits-unlimited": "False",
        "x-codex-credits-balance": "0",
        "x-codex-bengalfox-primary-used-percent": "0",
        "x-codex-bengalfox-primary-window-minutes": "300",
        "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
    }
