"""A turn of Codex, from its request to ``response.completed``: its thread and model, its duration and its tokens.

No prompt and no output is stored: of the messages that contain them only named fields are read.

- A turn is a POST to one of `_TURN_PATHS`, or a ``response.create`` on a websocket, where turns follow each other.
- A warm-up is sent ahead of a turn: ``request_kind`` is ``prewarm`` in ``x-codex-turn-metadata``, and the message says
  ``"generate": false``.
- The metadata is JSON in a header, and JSON in a string of the message's ``client_metadata`` (`addon.turn_metadata`).
- Other clients name a session and no thread, and no model: then the response tells the model.
- A turn ends with ``response.completed``, ``response.failed``, ``response.incomplete`` or ``error``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from addon.exchange import OpenTurn
from addon.turn_metadata import TurnMetadata, object_at
from store import coerce
from store.constants import INTERRUPTED
from store.models import Tokens, Transport, Turn

if TYPE_CHECKING:
    from addon.exchange import RequestInfo


MAX_TURN_END_LENGTH = 4 * 1024 * 1024
"""Bytes of a message that is parsed for its tokens; ``response.completed`` repeats the whole output."""

_TURN_PATHS = re.compile(r"/(?:responses(?:/compact)?|alpha/search|images/[^/]+)/?(?:\?.*)?\Z", re.DOTALL)
_CREATE = re.compile(rb'\s*\{\s*"type"\s*:\s*"response\.create"')
# Inside a JSON string every quote has a backslash before it: these names never match within a prompt.
_GENERATE = b'"generate"'
_GENERATES_NOTHING = re.compile(rb'"generate"\s*:\s*false\b')
_CLIENT_METADATA = b'"client_metadata"'
_MODEL = re.compile(rb'"model"\s*:\s*"([A-Za-z0-9._:/@+-]{1,120})"')
_USAGE, _ERROR = b'"usage"', b'"error"'
_SERVICE_TIER = re.compile(rb'"service_tier"\s*:\s*"([A-Za-z0-9_-]{1,40})"')
END_MARKS = (b'"response.completed"', b'"response.failed"', b'"response.incomplete"', _ERROR)
"""Each event that ends a turn contains one of these."""

_RESPONSE_EVENT = re.compile(rb'response\.|"error"')
_MAX_BEGINNING = 4096
"""Bytes of a message or chunk that are searched for the beginning of a response."""

_ENDING_TYPES = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})
_SOURCES_AS_SUBAGENT = frozenset({"thread_title"})
"""Sources of threads that Codex starts for itself without naming a sub-agent: to make the title of another one."""

_COLON = re.compile(r"\s*:\s*")


class TurnResult(NamedTuple):
    """How a turn ended: the reported tokens, and the server's type of an error and its status.

    ``model`` is the one that responded, ``reasoning_effort`` the one that the response repeats, and ``response_id`` the
    server's id of the response.
    """

    tokens: Tokens = Tokens()
    error_type: str | None = None
    status: int | None = None
    model: str | None = None
    reasoning_effort: str | None = None
    response_id: str | None = None


NO_RESULT = TurnResult()
INTERRUPTION = TurnResult(error_type=INTERRUPTED)


def is_turn(method: str, path: str) -> bool:
    """Return True if an HTTP request is a turn, by its method and its path with the query."""
    return method == "POST" and _TURN_PATHS.search(path) is not None


def begins_response(content: bytes) -> bool:
    """Return True for an event of a response, and False for one about limits, which a server may send ahead of it."""
    return _RESPONSE_EVENT.search(content, 0, _MAX_BEGINNING) is not None


def parse_response_create(content: bytes, started_at: float, inherited: RequestInfo) -> OpenTurn | None:
    """Parse a ``response.create`` message; None for any other.

    Fields missing from it are `inherited` from the upgrade request or the previous turn.
    """
    start = _CREATE.match(content)
    if start is None:
        return None
    metadata = _client_metadata(content)
    turn_metadata = TurnMetadata(metadata.get("x-codex-turn-metadata"))
    model, tier = (each.search(content, start.end(), start.end() + 200) for each in (_MODEL, _SERVICE_TIER))
    return OpenTurn(
        Transport.WEBSOCKET,
        started_at,
        inherited._replace(
            thread=coerce.text(metadata.get("thread_id")) or inherited.thread,
            session=coerce.text(metadata.get("session_id")) or inherited.session,
            model=model[1].decode() if model else inherited.model,
            subagent=coerce.text(metadata.get("x-openai-subagent")) or inherited.subagent,
            parent_thread=coerce.text(metadata.get("x-codex-parent-thread-id")) or inherited.parent_thread,
        ),
        turn_metadata,
        tier=tier[1].decode() if tier else inherited.tier,
        warm_up=turn_metadata.is_warm_up or _generates_nothing(content),
    )


def may_end(content: bytes) -> bool:
    """Return True if an event may end a turn; none of thousands of text deltas does."""
    return any(mark in content for mark in END_MARKS)


def parse_turn_end(content: bytes) -> TurnResult | None:
    """Return the result of a turn from the event that ends it, or None for any other event."""
    if len(content) > MAX_TURN_END_LENGTH or not may_end(content):
        return None
    event = coerce.json_object(content)
    kind = event.get("type")
    if kind not in _ENDING_TYPES:
        return None
    response = coerce.mapping(event.get("response"))
    status = coerce.count(event.get("status") if event.get("status") is not None else event.get("status_code"))
    return TurnResult(_tokens(response.get("usage")), _error_type(event, response), status, *_said_of_itself(response))


def parse_turn_body(content: bytes) -> TurnResult:
    """Return the result of a turn from a JSON body: a response's tokens, or a refusal's error type."""
    if _USAGE not in content and _ERROR not in content:
        return NO_RESULT
    body = coerce.json_object(content)
    return TurnResult(_tokens(body.get("usage")), _error_type(body, {}), None, *_said_of_itself(body))


def finished_turn(turn: OpenTurn, limit_id: str, result: TurnResult, ended_at: float) -> Turn:
    """Return the row of a turn that has ended; `limit_id` is the limit that it was charged to."""
    info = turn.info
    model = info.model or turn.said("model") or result.model
    return Turn(
        identity=info.identity,
        transport=turn.transport,
        started_at=turn.started_at,
        first_byte_at=turn.first_byte_at,
        ended_at=ended_at,
        limit_id=limit_id,
        thread=info.thread or turn.said("thread_id"),
        session=info.session or turn.said("session_id"),
        model=model,
        warm_up=turn.warm_up,
        status=turn.status if result.status is None else result.status,
        error_type=result.error_type,
        tokens=result.tokens,
        response_model=result.model if result.model != model else None,
        reasoning_effort=turn.said("reasoning_effort") or result.reasoning_effort,
        tier=turn.tier,
        subagent=turn.said("subagent_kind") or info.subagent or _own_purpose(turn.said("thread_source")),
        parent_thread=turn.said("parent_thread_id") or info.parent_thread,
        client=info.client,
        response_id=result.response_id,
    )


def _own_purpose(thread_source: str | None) -> str | None:
    return thread_source if thread_source in _SOURCES_AS_SUBAGENT else None


def _client_metadata(content: bytes) -> dict[str, Any]:
    """Return a message's ``client_metadata`` without parsing the conversation before it."""
    at = content.rfind(_CLIENT_METADATA)
    if at < 0:
        return {}
    text = content[at + len(_CLIENT_METADATA) :].decode("utf-8", "replace")
    colon = _COLON.match(text)
    return object_at(text, colon.end()) if colon else {}


def _generates_nothing(content: bytes) -> bool:
    # Searched in two steps: a conversation is long, and nearly none contains the word.
    return _GENERATE in content and _GENERATES_NOTHING.search(content) is not None


def _said_of_itself(response: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return the model that responded, its reasoning effort, and the id of the response."""
    effort = coerce.mapping(response.get("reasoning")).get("effort")
    return coerce.text(response.get("model")), coerce.text(effort), coerce.text(response.get("id"))


def _tokens(usage: object) -> Tokens:
    counts = coerce.mapping(usage)
    input_details = coerce.mapping(counts.get("input_tokens_details"))
    return Tokens(
        input=coerce.count(counts.get("input_tokens")),
        cached=coerce.count(input_details.get("cached_tokens")),
        cache_write=coerce.count(input_details.get("cache_write_tokens")),
        output=coerce.count(counts.get("output_tokens")),
        reasoning=coerce.count(coerce.mapping(counts.get("output_tokens_details")).get("reasoning_tokens")),
    )


def _error_type(event: dict[str, Any], response: dict[str, Any]) -> str | None:
    """Return the server's type of an error, wherever this kind of event has it."""
    error = coerce.mapping(event.get("error")) or coerce.mapping(response.get("error"))
    reason = coerce.mapping(response.get("incomplete_details")).get("reason")
    return coerce.text(error.get("type")) or coerce.text(error.get("code")) or coerce.text(reason)
