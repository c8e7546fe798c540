"""The shapes of the JSON API's answers; OpenAPI is made of them.

Percent is from 0 to 100 (the server may go above), ``…_minutes`` and ``…_seconds`` say what they count, a moment is in
Unix seconds. Null stands for what no message has told. Later versions only add fields.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Candidate(BaseModel):
    """An account that may have been meant."""

    account: str
    name: str | None
    email: str | None


class AccountProblem(Problem):
    """What was named is not one account; `candidates` are those that it may stand for, or all there are."""

    candidates: list[Candidate] = []


class Window(BaseModel):
    """A window of a limit as it stands now."""

    used_percent: float | None
    remaining_percent: float | None
    window_minutes: int | None
    resets_at: int | None
    resets_in_seconds: int | None
    reset_unseen: Annotated[bool, Field(description="Its reset has passed since it was last seen.")]


class Limit(BaseModel):
    """A limit of an account as it stands now."""

    limit_id: str
    limit_name: str | None
    limit_reached: bool | None
    reached_type: str | None
    reached_until: Annotated[int | None, Field(description="When the server said that a reached limit comes back.")]
    blocked_by: Annotated[
        str | None, Field(description="The slot of the full window, `limit`, `credits`, or null where it is open.")
    ]
    windows: Annotated[dict[str, Window], Field(description="By slot: `5h`, `7d`, else the real length (`30d`).")]
    on_credits: bool
    observed_at: int
    age_seconds: int
    source: str
    model: str | None


class Credits(BaseModel):
    """An account's credits; `balance` is the server's decimal string."""

    has_credits: bool | None
    unlimited: bool | None
    balance: str | None


class AccountUsage(BaseModel):
    """How an account stands."""

    account: str
    name: str | None
    email: str | None
    plan_type: str | None
    token_key: str | None
    credits: Credits | None
    spend_control_reached: bool | None
    reset_credits: int | None
    promo: str | None
    limits: list[Limit]


class Status(BaseModel):
    """How much is left: the document of `codex-tap status --json`."""

    generated_at: int
    accounts: list[AccountUsage]


class Account(BaseModel):
    """An account, as people and programs name it; the newest of its token keys comes first."""

    account: str
    name: str | None
    email: str | None
    plan_type: str | None
    token_keys: list[str]
    first_seen_at: float
    last_seen_at: float


class Accounts(BaseModel):
    """All accounts, in the order in which they were first seen."""

    accounts: list[Account]


class AccountDetail(Account):
    """An account, and how much is kept of it."""

    snapshots: int
    limits: int
    tokens: int


class AccountChange(BaseModel):
    """What is to be changed of an account: its name, or null to take it away."""

    model_config = {"extra": "forbid"}

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None


class Forgotten(AccountDetail):
    """What was deleted, and the files beside the database that may still hold it."""

    files: list[str]


class WindowRow(BaseModel):
    """A window as it was last seen."""

    used_percent: float | None
    window_minutes: int | None
    resets_at: int | None


class KnownAccount(BaseModel):
    """An account that figures are about."""

    account: str
    name: str | None
    email: str | None


class HistoryEntry(BaseModel):
    """A limit as it stood from `first_seen_at` to `last_seen_at`."""

    id: int
    account: str
    limit_id: str
    limit_name: str | None
    first_seen_at: float
    last_seen_at: float
    observations: int
    windows: dict[str, WindowRow]
    limit_reached: bool | None
    plan_type: str | None
    source: str
    status: int | None
    model: str | None
    thread: str | None


class History(BaseModel):
    """How it came to this: the oldest first. Of more entries than were asked for, the newest are given (`left_out`)."""

    since: float
    until: float
    step_seconds: int | None
    left_out: int
    accounts: list[KnownAccount]
    entries: list[HistoryEntry]


class Turn(BaseModel):
    """A turn of Codex. Cached tokens are part of the input, reasoning ones of the output."""

    id: int
    account: str
    name: str | None
    email: str | None
    token_key: str
    limit_id: str
    thread: str | None
    thread_name: str | None
    session: str | None
    model: str | None
    transport: Literal["http", "websocket"]
    warm_up: bool
    started_at: float
    first_byte_at: float | None
    ended_at: float
    status: int | None
    error_type: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


class Turns(BaseModel):
    """Turns, the newest first; `next_before` asks for the page behind them, null where there is none."""

    requests: list[Turn]
    next_before: int | None


class UsedFigures(BaseModel):
    """What a row used: points of the window's used percent, and what the turns took."""

    points: float
    share: Annotated[float | None, Field(description="Of the total, from 0 to 1.")]
    turns: int
    refused: int
    warm_ups: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    models: list[str]
    threads: int
    last_at: float | None


class UsedRow(UsedFigures):
    """A thread, model, account, day or hour; `elsewhere` is what none of the turns that were seen can have used."""

    key: str | None
    name: str | None
    elsewhere: bool


class Weights(BaseModel):
    """What the tokens of a model were weighed by."""

    account: str
    model: str | None
    fitted: bool
    rises: int
    uncached_input: float
    cached_input: float
    output: float


class Usage(BaseModel):
    """What used it: the document of `codex-tap usage --json`."""

    generated_at: int
    since: float
    until: float
    by: str
    limit_id: str | None
    window: str | None
    window_minutes: int | None
    accounts: list[KnownAccount]
    rows: list[UsedRow]
    total: UsedFigures
    readings: int
    rises: int
    weights: list[Weights]


class WindowForecast(WindowRow):
    """What a window will come to by its reset; ranges hold the truth in 80 of 100 cases."""

    pace_per_hour: float | None
    at_reset: float | None
    at_reset_low: float | None
    at_reset_high: float | None
    runs_dry_at: int | None
    runs_dry_low: int | None
    runs_dry_high: int | None
    safe: bool | None
    chance_dry: float | None
    readings: int
    note: str | None


class LimitForecast(BaseModel):
    """The forecasts of a limit's windows by slot."""

    limit_id: str
    limit_name: str | None
    windows: dict[str, WindowForecast]


class AccountForecast(BaseModel):
    """The forecasts of an account's limits."""

    account: str
    name: str | None
    email: str | None
    plan_type: str | None
    limits: list[LimitForecast]


class Forecasts(BaseModel):
    """When it runs out: the document of `codex-tap forecast --json`."""

    generated_at: int
    accounts: list[AccountForecast]


class EventReading(BaseModel):
    """One of the two readings that an event comes from; `id` is null for a token's."""

    id: int | None
    seen_at: float
    used_percent: float | None
    resets_at: int | None
    reached_type: str | None
    reached_until: int | None
    plan_type: str | None
    credits_balance: str | None
    source: str | None
    token_key: str | None


class Event(BaseModel):
    """Something that happened between two readings."""

    at: float
    kind: str
    account: str
    name: str | None
    email: str | None
    limit_id: str | None
    limit_name: str | None
    slot: str | None
    window_minutes: int | None
    text: str
    note: Annotated[str | None, Field(description="What is not sure about it.")]
    seconds: Annotated[float | None, Field(description="By how much a reset was early or moved.")]
    points: Annotated[float | None, Field(description="How many were used elsewhere, or fell.")]
    credits: str | None
    before: EventReading
    after: EventReading


class Events(BaseModel):
    """What happened, the oldest first: the document of `codex-tap events --json`, the newest if there are too many."""

    generated_at: int
    since: float | None
    limit_id: str | None
    turns_known_since: float | None
    readings: int
    accounts: list[KnownAccount]
    events: list[Event]
    left_out: int


class Choice(BaseModel):
    """How an account can be used, and why."""

    account: str
    name: str | None
    email: str | None
    plan_type: str | None
    usage: Literal["included", "credits", "unknown", "blocked"]
    room: Annotated[float | None, Field(description="What is left of the tightest window against its time left.")]
    window: str | None
    remaining_percent: float | None
    resets_at: int | None
    blocked_by: str | None
    blocked_until: int | None
    credits_balance: str | None
    age_seconds: int | None
    stale: bool
    reason: str


class Next(BaseModel):
    """Which account to use now: the document of `codex-tap next --json`; null where none can be used."""

    generated_at: int
    account: str | None
    name: str | None
    email: str | None
    reason: str
    ranking: list[Choice]


class Health(BaseModel):
    """Whether the server can read, and whether something comes in."""

    status: Literal["ok", "empty"]
    version: str
    accounts: int
    newest_reading_age_seconds: int | None
    readings_lost: int
    waiting_files: int


class OlderRecord(BaseModel):
    """The main limit of an account as older tools write it."""

    codex_5h_used_percent: float | None
    codex_5h_reset_after_seconds: int | None
    codex_5h_window_minutes: int | None
    codex_7d_used_percent: float | None
    codex_7d_reset_after_seconds: int | None
    codex_7d_window_minutes: int | None
    primary_used_percent: float | None
    primary_reset_after_seconds: int | None
    primary_window_minutes: int | None
    secondary_used_percent: float | None
    secondary_reset_after_seconds: int | None
    secondary_window_minutes: int | None
    primary_over_secondary_percent: float | None
    updated_at: str | None
    token_name: str | None
    token_key: str | None


class OlderUsage(BaseModel):
    """The older shape: a record for each account, by its newest token key."""

    status: Literal["success"]
    data: dict[str, OlderRecord]
