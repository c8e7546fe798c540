"""Immutable models of what one message from the backend says.

Units everywhere: percent from 0 to 100 (the server may go above), minutes for a window's length, Unix seconds
for a timestamp. ``None`` always means "the message does not say", never zero.

A `Snapshot` is everything that one message says about one account. It holds a `Limit` for each limit the message
mentions; the store has a row for each of them (see `store.record.merge` for what makes two rows the same).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from store.constants import MAIN_LIMIT

Percent = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Minutes = Annotated[int, Field(gt=0)]
Timestamp = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """A value that cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(StrEnum):
    """Where a snapshot was read; `store.record.merge` defines the authority of each source."""

    HEADERS = "headers"
    UPGRADE = "upgrade"
    WEBSOCKET = "websocket"
    SSE = "sse"
    USAGE = "usage"
    ERROR = "error"


class Window(Model):
    """One rolling window of a limit.

    ``used_percent`` is as sent, decimals and values above 100 included. ``window_minutes`` is the real length,
    independent of the window's slot. ``resets_at`` is in Unix seconds of the local clock.
    """

    used_percent: Percent | None = None
    window_minutes: Minutes | None = None
    resets_at: Annotated[int, Field(gt=0)] | None = None


class Budget(Model):
    """The amounts of a limit that counts credits or money, as decimal strings; ``unit`` None stands for credits.

    ``source`` is the server's word for where the budget comes from.
    """

    limit: str | None = None
    used: str | None = None
    remaining: str | None = None
    unit: str | None = None
    source: str | None = None


class Limit(Model):
    """One limit as a message states it.

    ``windows`` maps slots (``5h``, ``7d``, else the real length such as ``30d``) to windows. ``{}`` says that the
    limit has no window, ``None`` that the message does not mention its windows. ``reached_until`` is the server's time
    for the end of a reached limit, in Unix seconds. ``reached_window_minutes`` is the length of the window that a
    refusal names. ``budget`` has the amounts of a limit that has some.

    ``by_name`` is true if the message gives no id, and ``limit_id`` was made from a display name: the store replaces it
    by the id that belongs to the name, once that is known.
    """

    limit_id: str = MAIN_LIMIT
    limit_name: str | None = None
    windows: dict[str, Window] | None = None
    allowed: bool | None = None
    limit_reached: bool | None = None
    reached_type: str | None = None
    reached_until: Annotated[int, Field(gt=0)] | None = None
    reached_window_minutes: Minutes | None = None
    budget: Budget | None = None
    by_name: bool = False


class Credits(Model):
    """An account's credits. ``balance`` is the server's decimal string; none is ``None``, never ``"0"``."""

    has_credits: bool | None = None
    unlimited: bool | None = None
    balance: str | None = None
    overage_limit_reached: bool | None = None


class Identity(Model):
    """The owner of a request. Made from a token, without holding it.

    ``token_key`` is a visible prefix of the token, ``~`` and ten hex digits of a digest. ``account_id`` and ``user_id``
    together are the account. A login that names no user has an empty ``user_id``, or its token key if it names no
    account either; ``user_reported`` is true if a usage document named its user. ``former_key`` is the key that earlier
    versions gave a short token: its digest gives the token away, so it is never written anywhere.
    """

    token_key: str
    account_id: str = ""
    user_id: str = ""
    email: str | None = None
    plan_type: str | None = None
    expires_at: Timestamp | None = None
    user_reported: bool = False
    former_key: Annotated[str | None, Field(exclude=True, repr=False)] = None


class ModelUsage(Model):
    """Whether a model can be used: if not, from when on (Unix seconds), and whether credits would make it usable."""

    available: bool | None = None
    available_at: Annotated[int, Field(gt=0)] | None = None
    credits_would_enable: bool | None = None


class RateLimits(Model):
    """The rate limits of one message, without the account.

    ``active_limit`` is the id of the limit that the request was charged to. ``server_time`` is the server's own clock
    (reset-at less reset-after), in Unix seconds, if a window had both and no two windows contradict each other.
    ``left_out`` counts limits above the maximum for one message. ``raw`` holds the message's known rate-limit fields as
    they came, for audit.

    ``unnamed`` is true if the message does not name the limit of its main figures: on a turn of a model that has a
    limit of its own, they are those of that limit. ``no_budget`` is true if it says that there is no budget.
    ``reset_credits`` counts banked resets, ``reset_credits_applicable`` those that can be used now, and
    ``reset_credits_expire`` has the timestamps at which they expire, earliest first. ``unknown_fields`` has the names,
    never the values, of fields that look like limits and are not known.
    """

    limits: tuple[Limit, ...] = ()
    active_limit: str = MAIN_LIMIT
    unnamed: bool = False
    no_budget: bool = False
    plan_type: str | None = None
    credits: Credits | None = None
    spend_control_reached: bool | None = None
    reset_credits: Annotated[int, Field(ge=0)] | None = None
    reset_credits_applicable: Annotated[int, Field(ge=0)] | None = None
    reset_credits_expire: tuple[int, ...] | None = None
    model_usage: dict[str, ModelUsage] | None = None
    promo: str | None = None
    server_time: Timestamp | None = None
    left_out: int = 0
    unknown_fields: tuple[str, ...] = ()
    raw: dict[str, Any] = {}


class Snapshot(Model):
    """Everything that one message says about one account, and its source and time.

    ``requested_at`` is the start of the request that the message responds to, in Unix seconds: on a websocket, the
    client's latest ``response.create``. The message was written after it.
    """

    identity: Identity
    observed_at: Timestamp
    requested_at: Timestamp | None = None
    source: Source
    reading: RateLimits
    status: int | None = None
    model: str | None = None
    thread: str | None = None


class Tokens(Model):
    """The tokens of a turn, as its ``response.completed`` counts them.

    ``cached`` and ``cache_write`` are parts of ``input``, ``reasoning`` is one of ``output``.
    """

    input: Annotated[int, Field(ge=0)] | None = None
    cached: Annotated[int, Field(ge=0)] | None = None
    output: Annotated[int, Field(ge=0)] | None = None
    reasoning: Annotated[int, Field(ge=0)] | None = None
    cache_write: Annotated[int, Field(ge=0)] | None = None


class Transport(StrEnum):
    """The transport of a turn."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class Turn(Model):
    """One finished turn of Codex: its account, thread, model, duration and tokens, without its text.

    ``warm_up`` is true if it was sent ahead of a turn and asks for no output. ``status`` is that of the HTTP response,
    or the one in an error on a websocket; ``error_type`` is the server's type of the error. ``response_model`` is the
    model that responded where that differs from the requested ``model``. ``tier`` is the requested service tier
    (``priority`` in Fast mode), ``subagent`` the kind of sub-agent (``review``, say), ``parent_thread`` the thread that
    started it, and ``client`` the client's own name (``codex_exec``, say). ``response_id`` is the server's id of the
    response, by which a turn of a session file is known to be this one.
    """

    identity: Identity
    transport: Transport
    started_at: Timestamp
    first_byte_at: Timestamp | None = None
    ended_at: Timestamp
    limit_id: str = MAIN_LIMIT
    thread: str | None = None
    session: str | None = None
    model: str | None = None
    warm_up: bool = False
    status: int | None = None
    error_type: str | None = None
    tokens: Tokens = Tokens()
    response_model: str | None = None
    reasoning_effort: str | None = None
    tier: str | None = None
    subagent: str | None = None
    parent_thread: str | None = None
    client: str | None = None
    response_id: str | None = None


class SightingKind(StrEnum):
    """What was seen beside limits and turns."""

    HOST = "host"
    """A host of the server that a response led Codex to, and that is watched since."""

    OTHER_HOST = "other_host"
    """A host that a response led Codex to, and that is not watched."""

    UNKNOWN_FIELD = "unknown_field"
    """The name of a field that looks like a limit and is not known."""

    UNKNOWN_LOGIN = "unknown_login"
    """The scheme of a request's login that names no account, on a response with limits."""


class Sighting(Model):
    """Something that was seen by name, without a value: the store counts how often."""

    kind: SightingKind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    seen_at: Timestamp
