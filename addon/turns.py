"""A turn of Codex, from its request to ``response.completed``: for what thread and model, how long, how many tokens.

Nothing of what is said in a turn is kept: out of messages that hold prompts and answers only named fields are read.

- A turn is a POST to one of `_TURN_PATHS`, or a ``response.create`` on a websocket, where one follows the other.
- A warm-up is sent ahead of a turn: ``request_kind`` is ``prewarm`` in ``x-codex-turn-metadata``, and the message says
  ``"generate": false``.
- The metadata is JSON in a header, and JSON in a string of the message's ``client_metadata``. It also holds paths and
  URLs of the workspace.
- A turn ends with ``response.completed``, ``response.failed``, ``response.incomplete`` or ``error``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from addon import coerce
from addon.exchange import OpenTurn
from store.models import Tokens, Transport, Turn

if TYPE_CHECKING:
    from addon.exchange import RequestInfo


INTERRUPTED = "interrupted"
"""Our own word for a turn whose end was never told."""

MAX_TURN_END_LENGTH = 4 * 1024 * 1024
"""Bytes of a message that is parsed for its tokens; ``response.completed`` repeats the whole answer."""

_TURN_PATHS = re.compile(r"/(?:responses(?:/compact)?|alpha/search|images/[^/]+)/?(?:\?.*)?\Z", re.DOTALL)
_CREATE = re.compile(rb'\s*\{\s*"type"\s*:\s*"response\.create"')
# Inside a JSON string every quote has a backslash before it: such a name is never part of a prompt.
_GENERATE = b'"generate"'
_NO_ANSWER = re.compile(rb'"generate"\s*:\s*false\b')
_CLIENT_METADATA = b'"client_metadata"'
_MODEL = re.compile(rb'"model"\s*:\s*"([A-Za-z0-9._:/@+-]{1,120})"')
_USAGE, _ERROR = b'"usage"', b'"error"'
_ENDINGS = (b'"response.completed"', b'"response.failed"', b'"response.incomplete"', _ERROR)
_ENDING_TYPES = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})
_COLON = re.compile(r"\s*:\s*")
_decode = json.JSONDecoder().raw_decode


class TurnResult(NamedTuple):
    """How a turn ended: tokens where they were told, the server's word for an error, the status that it carries."""

    tokens: Tokens = Tokens()
    error_type: str | None = None
    status: int | None = None


NO_RESULT = TurnResult()
INTERRUPTION = TurnResult(error_type=INTERRUPTED)


def is_turn(method: str, path: str) -> bool:
    """Tell whether an HTTP request is a turn, by its method and its path with the query."""
    return method == "POST" and _TURN_PATHS.search(path) is not None


mentions_warm_up = re.compile(rb'"request_kind"\s*:\s*"prewarm"').search
"""Finds in an ``x-codex-turn-metadata`` header that the turn is a warm-up."""


def parse_response_create(content: bytes, started_at: float, before: RequestInfo) -> OpenTurn | None:
    """Return the turn that a client's websocket message opens, or None where it opens none.

    What the message does not tell is as `before`: that of the upgrade, or of the turn before.
    """
    start = _CREATE.match(content)
    if start is None:
        return None
    metadata = _client_metadata(content)
    model = _MODEL.search(content, start.end(), start.end() + 200)
    return OpenTurn(
        Transport.WEBSOCKET,
        started_at,
        before._replace(
            thread=coerce.text(metadata.get("thread_id")) or before.thread,
            session=coerce.text(metadata.get("session_id")) or before.session,
            model=model[1].decode() if model else before.model,
        ),
        warm_up=_generates_nothing(content) or _is_prewarm(metadata.get("x-codex-turn-metadata")),
    )


def may_end(content: bytes) -> bool:
    """Tell whether an event may end a turn; of thousands of text deltas none does."""
    return any(mark in content for mark in _ENDINGS)


def parse_turn_end(content: bytes) -> TurnResult | None:
    """Return how an event ends its turn, or None where it does not."""
    if len(content) > MAX_TURN_END_LENGTH or not may_end(content):
        return None
    event = coerce.json_object(content)
    kind = event.get("type")
    if kind not in _ENDING_TYPES:
        return None
    response = coerce.mapping(event.get("response"))
    status = coerce.count(event.get("status") if event.get("status") is not None else event.get("status_code"))
    return TurnResult(_tokens(response.get("usage")), _error_type(event, response), status)


def parse_turn_body(content: bytes) -> TurnResult:
    """Return how a JSON body ends its turn: an answer's tokens, or a refusal's error type."""
    if _USAGE not in content and _ERROR not in content:
        return NO_RESULT
    body = coerce.json_object(content)
    return TurnResult(_tokens(body.get("usage")), _error_type(body, {}))


def finished_turn(turn: OpenTurn, limit_id: str, result: TurnResult, ended_at: float) -> Turn:
    """Return the row of a turn that has ended; `limit_id` is the limit that it was charged to."""
    return Turn(
        identity=turn.info.identity,
        transport=turn.transport,
        started_at=turn.started_at,
        first_byte_at=turn.first_byte_at,
        ended_at=ended_at,
        limit_id=limit_id,
        thread=turn.info.thread,
        session=turn.info.session,
        model=turn.info.model,
        warm_up=turn.warm_up,
        status=turn.status if result.status is None else result.status,
        error_type=result.error_type,
        tokens=result.tokens,
    )


def _client_metadata(content: bytes) -> dict[str, Any]:
    """Return a message's ``client_metadata`` without parsing the conversation before it."""
    at = content.rfind(_CLIENT_METADATA)
    if at < 0:
        return {}
    text = content[at + len(_CLIENT_METADATA) :].decode("utf-8", "replace")
    colon = _COLON.match(text)
    try:
        return coerce.mapping(_decode(text, colon.end())[0]) if colon else {}
    except (ValueError, RecursionError):
        return {}


def _generates_nothing(content: bytes) -> bool:
    # Looked for in two steps: a conversation is long, and nearly none has the word.
    return _GENERATE in content and _NO_ANSWER.search(content) is not None


def _is_prewarm(metadata: object) -> bool:
    return isinstance(metadata, str) and mentions_warm_up(metadata.encode("utf-8", "replace")) is not None


def _tokens(usage: object) -> Tokens:
    told = coerce.mapping(usage)
    return Tokens(
        input=coerce.count(told.get("input_tokens")),
        cached=coerce.count(coerce.mapping(told.get("input_tokens_details")).get("cached_tokens")),
        output=coerce.count(told.get("output_tokens")),
        reasoning=coerce.count(coerce.mapping(told.get("output_tokens_details")).get("reasoning_tokens")),
    )


def _error_type(event: dict[str, Any], response: dict[str, Any]) -> str | None:
    """Return the server's word for what went wrong, wherever this kind of event has it."""
    error = coerce.mapping(event.get("error")) or coerce.mapping(response.get("error"))
    reason = coerce.mapping(response.get("incomplete_details")).get("reason")
    return coerce.text(error.get("type")) or coerce.text(error.get("code")) or coerce.text(reason)
