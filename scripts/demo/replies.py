"""The responses of the stand-in backend, and builders for the shapes that Codex's backend sends.

Answer(headers=limit_headers(WireWindow(13, 300, reset_at), plan="plus"))     limits on the 101 and the 200
Answer(events=[rate_limits_event(WireWindow(7, 10080, reset_at))])            limits in a message
Answer(upgrade=426, events=spaced([…], 0.1))                                  SSE, a tenth of a second apart
Answer(status=429, headers={…}, body=error_body())                            refused over HTTP
Answer(events=[error_event(headers={…})], completes=False)                    refused over the websocket
Answer(events=[{…}, Reset()])                                                 the connection is cut mid-stream
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]
Headers: TypeAlias = Mapping[str, str] | Sequence[tuple[str | bytes, str | bytes]]
Encoding: TypeAlias = Literal["gzip", "deflate", "br", "zstd"]


def token_counts(inputs: int = 120, cached: int = 20, outputs: int = 8, reasoning: int = 2) -> Json:
    """Return the `usage` object of `response.completed`."""
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": inputs + outputs,
    }


@dataclass(frozen=True)
class Pause:
    """A time in which nothing is sent."""

    seconds: float


@dataclass(frozen=True)
class Reset:
    """The connection is cut with a TCP reset: no close frame, no last chunk, no closing message of TLS."""


Event: TypeAlias = Json | bytes | Pause | Reset
"""A dict is sent as one JSON message; bytes unchanged, as a binary websocket message or a piece of an SSE body."""


@dataclass(frozen=True)
class Page:
    """A response outside a turn: `body` is sent as JSON if it is a dict, else unchanged; compressed by `encoding`."""

    status: int = 200
    headers: Headers = field(default_factory=dict)
    body: Json | str | bytes = b""
    encoding: Encoding | None = None


@dataclass(frozen=True)
class Answer:
    """The response to one account's requests. The default is a turn that says "ok", over either transport.

    upgrade: status of the websocket upgrade: 101 accepts, 426 makes Codex use HTTP, any other refuses.
    status: status of a turn over HTTP; 200 streams the turn as SSE, any other sends `body`.
    headers: sent with the 101, the refusal, the 200 and the error.
    events: sent after `response.created` and before the assistant's message.
    completes: whether the message and `response.completed` follow `events`.
    text: what the assistant says.
    model: the model in the turn's events; None repeats the requested one.
    tokens: `usage` of `response.completed`.
    body: of a response that is not a turn; a dict is sent as JSON.
    encoding: Content-Encoding of responses over HTTP; each event is flushed on its own.
    usage: the document of `GET …/wham/usage` and `GET …/api/codex/usage`; None is a 404.
    pages: responses to exact paths, which take precedence.
    """

    upgrade: int = 101
    status: int = 200
    headers: Headers = field(default_factory=dict)
    events: Sequence[Event] = ()
    completes: bool = True
    text: str = "ok"
    model: str | None = None
    tokens: Json = field(default_factory=token_counts)
    body: Json | str | bytes = b""
    encoding: Encoding | None = None
    usage: Json | None = None
    pages: Mapping[str, Page] = field(default_factory=dict)

    def page(self) -> Page:
        """Return the response to a request that is not a turn."""
        return Page(self.status, self.headers, self.body, self.encoding)


def spaced(events: Sequence[Event], seconds: float) -> list[Event]:
    """Return the events with a pause after each."""
    return [item for event in events for item in (event, Pause(seconds))]


class WireWindow(NamedTuple):
    """One window as the backend writes it; a field that is None is left out.

    `reset_at` is in Unix seconds (a test may use milliseconds or `""`), `reset_after` in seconds after the response.
    """

    used: float = 0
    minutes: int = 0
    reset_at: float | str | None = None
    reset_after: float | None = None


NO_WINDOW = WireWindow(0, 0, "", 0)
"""The headers of a missing second window."""


def credits_object(*, has: bool = False, unlimited: bool = False, balance: str | None = "0") -> Json:
    """Return the `credits` object of messages and documents."""
    return {"has_credits": has, "unlimited": unlimited, "balance": balance}


def limit_headers(
    primary: WireWindow | None = None,
    secondary: WireWindow | None = None,
    *,
    family: str | None = None,
    limit_id: str = "codex",
    limit_name: str | None = None,
    plan: str | None = None,
    active: str | None = None,
    credits: Json | None = None,  # noqa: A002 - the field's own name
    reached_type: str | None = None,
    over_secondary: float | None = None,
) -> dict[str, str]:
    """Return one family of `x-codex-*` headers: that of a further limit if `family` ("bengalfox") is given.

    A limit whose id does not begin with `codex` is given by its `limit_id` ("base_model_inference"). Merge two families
    with `{**limit_headers(…), **limit_headers(…, family="bengalfox")}`.
    """
    prefix = f"x-{limit_id.replace('_', '-')}-" + (f"{family}-" if family else "")
    found = {
        **_window_headers(f"{prefix}primary-", primary),
        **_window_headers(f"{prefix}secondary-", secondary),
        f"{prefix}primary-over-secondary-limit-percent": over_secondary,
        f"{prefix}limit-name": limit_name,
        "x-codex-plan-type": plan,
        "x-codex-active-limit": active,
        "x-codex-rate-limit-reached-type": reached_type,
        **_credits_headers(credits),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _window_headers(prefix: str, window: WireWindow | None) -> dict[str, float | str | None]:
    if window is None:
        return {}
    return {
        f"{prefix}used-percent": window.used,
        f"{prefix}window-minutes": window.minutes,
        f"{prefix}reset-at": window.reset_at,
        f"{prefix}reset-after-seconds": window.reset_after,
    }


def _credits_headers(found: Json | None) -> dict[str, str]:
    if found is None:
        return {}
    # The headers of a live account have True and False, and "" if the balance is null.
    return {
        "x-codex-credits-has-credits": str(found["has_credits"]),
        "x-codex-credits-unlimited": str(found["unlimited"]),
        "x-codex-credits-balance": found["balance"] or "",
    }


def rate_limits_event(
    primary: WireWindow | None = None,
    secondary: WireWindow | None = None,
    *,
    plan: str = "plus",
    allowed: bool = True,
    limit_reached: bool = False,
    credits: Json | None = None,  # noqa: A002 - the field's own name
    additional: Json | list[Json] | None = None,
    **top: Any,
) -> Json:
    """Return a `codex.rate_limits` message; `top` adds or replaces fields (`metered_limit_name="codex_bengalfox"`)."""
    return {
        "type": "codex.rate_limits",
        "plan_type": plan,
        "rate_limits": {
            "allowed": allowed,
            "limit_reached": limit_reached,
            "primary": _message_window(primary),
            "secondary": _message_window(secondary),
        },
        "code_review_rate_limits": None,
        "additional_rate_limits": additional,
        "credits": credits_object() if credits is None else credits,
        "promo": None,
        **top,
    }


def _message_window(window: WireWindow | None) -> Json | None:
    if window is None:
        return None
    return _without_none(
        used_percent=window.used,
        window_minutes=window.minutes,
        reset_after_seconds=window.reset_after,
        reset_at=window.reset_at,
    )


def usage_document(
    primary: WireWindow | None = None,
    secondary: WireWindow | None = None,
    *,
    plan: str = "plus",
    credits: Json | None = None,  # noqa: A002 - the field's own name
    additional: list[Json] | None = None,
    **top: Any,
) -> Json:
    """Return the JSON of `GET …/wham/usage`; `additional` lists `usage_limit(…)`s, `top` adds or replaces fields.

    Codex itself accepts the document only if every window has both `reset_at` and `reset_after`.
    """
    return {
        "plan_type": plan,
        "rate_limit": usage_rate_limit(primary, secondary),
        "code_review_rate_limit": None,
        "additional_rate_limits": additional,
        "credits": {**(credits or credits_object()), "overage_limit_reached": False},
        "spend_control": {"reached": False, "individual_limit": None},
        "rate_limit_reached_type": None,
        "rate_limit_reset_credits": {"available_count": 0},
        "promo": None,
        **top,
    }


def usage_rate_limit(
    primary: WireWindow | None,
    secondary: WireWindow | None = None,
    *,
    allowed: bool = True,
    limit_reached: bool = False,
) -> Json:
    """Return the `rate_limit` object of the usage document, whose windows are in seconds instead of minutes."""
    return {
        "allowed": allowed,
        "limit_reached": limit_reached,
        "primary_window": _usage_window(primary),
        "secondary_window": _usage_window(secondary),
    }


def individual_limit(limit: int, used: int, resets_in: int, now: int) -> Json:
    """Return the `spend_control.individual_limit` of the usage document: a budget of credits."""
    percent = round(100 * used / limit)
    return {
        "source": "group_based_spend_controls",
        "limit": str(limit),
        "used": str(used),
        "remaining": str(limit - used),
        "used_percent": percent,
        "remaining_percent": 100 - percent,
        "reset_after_seconds": resets_in,
        "reset_at": now + resets_in,
    }


def usage_limit(name: str, feature: str, primary: WireWindow | None, secondary: WireWindow | None = None) -> Json:
    """Return a further limit of the usage document, with its display name and its id (`codex_bengalfox`)."""
    return {
        "limit_name": name,
        "metered_feature": feature,
        "rate_limit": usage_rate_limit(primary, secondary),
    }


def _usage_window(window: WireWindow | None) -> Json | None:
    if window is None:
        return None
    return _without_none(
        used_percent=window.used,
        limit_window_seconds=window.minutes * 60,
        reset_after_seconds=window.reset_after,
        reset_at=window.reset_at,
    )


def error_body(
    kind: str = "usage_limit_reached",
    *,
    plan: str = "plus",
    resets_at: float | None = None,
    resets_in: float | None = None,
) -> Json:
    """Return the JSON body of a 429: `{"error": {…}}`."""
    details = _without_none(plan_type=plan, resets_at=resets_at, resets_in_seconds=resets_in)
    return {"error": {"type": kind, "message": "The usage limit has been reached", **details}}


def error_event(status: int = 429, *, headers: Mapping[str, Any] | None = None, **details: Any) -> Json:
    """Return the websocket's equivalent of a 429: a message with the status and the headers of such a response.

    `details` are those of `error_body`.
    """
    return {"type": "error", "status": status, **error_body(**details), "headers": dict(headers or {})}


def turn_events(answer: Answer, model: str, response_id: str, *, generate: bool = True) -> list[Event]:
    """Return all events of a turn, in order; a warm-up (`generate` False) has only the first and the last."""
    created: Json = {"type": "response.created", "response": {"id": response_id, "model": model}}
    if not generate:
        return [created, _completed(response_id, model, token_counts(0, 0, 0, 0))]
    if not answer.completes:
        return [created, *answer.events]
    message = {
        "type": "message",
        "role": "assistant",
        "id": f"msg_{response_id}",
        "content": [{"type": "output_text", "text": answer.text}],
    }
    done: Json = {"type": "response.output_item.done", "item": message}
    return [created, *answer.events, done, _completed(response_id, model, answer.tokens)]


def _completed(response_id: str, model: str, tokens: Json) -> Json:
    return {
        "type": "response.completed",
        "response": {"id": response_id, "model": model, "usage": tokens, "output": []},
    }


def _without_none(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
