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

from addon import values
from store.models import Request, Tokens, Transport

if TYPE_CHECKING:
    from addon.flows import Caller, Exchange

INTERRUPTED = "interrupted"
"""Our own word for a turn whose end was never told."""

LONGEST_ENDING = 4 * 1024 * 1024
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


class Turn:
    """A turn that is under way; its ``caller`` says whose it is, and its thread, session and model."""

    __slots__ = ("caller", "first_byte_at", "started_at", "status", "transport", "warm_up")

    def __init__(self, transport: Transport, started_at: float, caller: Caller, *, warm_up: bool) -> None:
        self.transport = transport
        self.started_at = started_at
        self.caller = caller
        self.warm_up = warm_up
        self.first_byte_at: float | None = None
        self.status: int | None = None


class Ending(NamedTuple):
    """How a turn ended: tokens where they were told, the server's word for an error, the status that it carries."""

    tokens: Tokens = Tokens()
    error_type: str | None = None
    status: int | None = None


NOTHING_TOLD = Ending()
INTERRUPTION = Ending(error_type=INTERRUPTED)


def asks_for_turn(method: str, path: str) -> bool:
    """Tell whether an HTTP request is a turn, by its method and its path with the query."""
    return method == "POST" and _TURN_PATHS.search(path) is not None


says_warm_up = re.compile(rb'"request_kind"\s*:\s*"prewarm"').search
"""Finds in an ``x-codex-turn-metadata`` header that the turn is a warm-up."""


def read_create(content: bytes, started_at: float, before: Caller) -> Turn | None:
    """Return the turn that a client's websocket message opens, or None where it opens none.

    What the message does not tell is as `before`: that of the upgrade, or of the turn before.
    """
    start = _CREATE.match(content)
    if start is None:
        return None
    metadata = _client_metadata(content)
    model = _MODEL.search(content, start.end(), start.end() + 200)
    return Turn(
        Transport.WEBSOCKET,
        started_at,
        before._replace(
            thread=values.text(metadata.get("thread_id")) or before.thread,
            session=values.text(metadata.get("session_id")) or before.session,
            model=model[1].decode() if model else before.model,
        ),
        warm_up=_asks_for_nothing(content) or _is_prewarm(metadata.get("x-codex-turn-metadata")),
    )


def may_end(content: bytes) -> bool:
    """Tell whether an event may end a turn; of thousands of text deltas none does."""
    return any(mark in content for mark in _ENDINGS)


def read_ending(content: bytes) -> Ending | None:
    """Return how an event ends its turn, or None where it does not."""
    if len(content) > LONGEST_ENDING or not may_end(content):
        return None
    event = values.json_object(content)
    kind = event.get("type")
    if kind not in _ENDING_TYPES:
        return None
    response = values.mapping(event.get("response"))
    status = values.count(event.get("status") if event.get("status") is not None else event.get("status_code"))
    return Ending(_tokens(response.get("usage")), _error_type(event, response), status)


def read_body(content: bytes) -> Ending:
    """Return how a JSON body ends its turn: an answer's tokens, or a refusal's error type."""
    if _USAGE not in content and _ERROR not in content:
        return NOTHING_TOLD
    body = values.json_object(content)
    return Ending(_tokens(body.get("usage")), _error_type(body, {}))


def ended(turn: Turn, exchange: Exchange, ending: Ending, ended_at: float) -> Request:
    """Return the row of a turn that has ended."""
    return Request(
        identity=turn.caller.identity,
        transport=turn.transport,
        started_at=turn.started_at,
        first_byte_at=turn.first_byte_at,
        ended_at=ended_at,
        limit_id=exchange.charged,
        thread=turn.caller.thread,
        session=turn.caller.session,
        model=turn.caller.model,
        warm_up=turn.warm_up,
        status=turn.status if ending.status is None else ending.status,
        error_type=ending.error_type,
        tokens=ending.tokens,
    )


def _client_metadata(content: bytes) -> dict[str, Any]:
    """Return a message's ``client_metadata`` without parsing the conversation before it."""
    at = content.rfind(_CLIENT_METADATA)
    if at < 0:
        return {}
    text = content[at + len(_CLIENT_METADATA) :].decode("utf-8", "replace")
    colon = _COLON.match(text)
    try:
        return values.mapping(_decode(text, colon.end())[0]) if colon else {}
    except (ValueError, RecursionError):
        return {}


def _asks_for_nothing(content: bytes) -> bool:
    # Looked for in two steps: a conversation is long, and nearly none has the word.
    return _GENERATE in content and _NO_ANSWER.search(content) is not None


def _is_prewarm(metadata: object) -> bool:
    return isinstance(metadata, str) and says_warm_up(metadata.encode("utf-8", "replace")) is not None


def _tokens(usage: object) -> Tokens:
    told = values.mapping(usage)
    return Tokens(
        input=values.count(told.get("input_tokens")),
        cached=values.count(values.mapping(told.get("input_tokens_details")).get("cached_tokens")),
        output=values.count(told.get("output_tokens")),
        reasoning=values.count(values.mapping(told.get("output_tokens_details")).get("reasoning_tokens")),
    )


def _error_type(event: dict[str, Any], response: dict[str, Any]) -> str | None:
    """Return the server's word for what went wrong, wherever this kind of event has it."""
    error = values.mapping(event.get("error")) or values.mapping(response.get("error"))
    reason = values.mapping(response.get("incomplete_details")).get("reason")
    return values.text(error.get("type")) or values.text(error.get("code")) or values.text(reason)
