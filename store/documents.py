"""The JSON documents of the CLI (`--json`) and of the API: one `TypedDict` for each object in them.

What holds for every document:

- Timestamps are Unix seconds; a name that ends in ``_seconds`` or ``_minutes`` has that unit.
- Percentages run from 0 to 100; the server may report more. ``used_percent`` is stored as sent.
- Null means that no message has reported the value. It never means 0 or false.
- ``account`` is an account's key, ``label`` what to show for it, ``name`` the name that a person gave it, ``email`` its
  e-mail address. Key and label name exactly one account, wherever a command or a path of the API takes one.
- A slot is ``5h``, ``7d``, ``budget``, or a window's own length (``30d``). ``window_minutes`` and ``length`` are always
  the real length: the slot ``7d`` of a Free plan has the length ``30d``.
- ``document_version`` is `DOCUMENT_VERSION`. An array, rows as NDJSON and CSV have no room for it, and are of that
  version, too. Later versions of codex-tap only add fields.

Only types belong here, and commands import them for type checking alone: creating these classes takes some
milliseconds. That is why the lists that a command needs (`EVENT_KINDS`, `GROUP_BY`) are in `store.constants`, and why
annotations are not strings here: each string would be compiled.
"""

import sys
from typing import Any, Literal, NotRequired

from store.constants import EventKind, GroupBy, SpeedBy

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    # pydantic accepts only this one on Python 3.11.
    from typing_extensions import TypedDict


class SilentMachine(TypedDict):
    """A machine of a team's database that was not heard for a while: what it has seen meanwhile is not known yet."""

    machine: str
    last_heard_at: float
    silent_seconds: float


class Document(TypedDict):
    """What every document that is an object begins with; the output adds it (`scripts.support.json_document`)."""

    document_version: NotRequired[int]
    """`DOCUMENT_VERSION`: it grows when a field's meaning changes or a field goes, not when one is added."""
    machines_silent: NotRequired[list[SilentMachine]]
    """Of a team's database alone: the machines that have seen the document's accounts and were not heard lately."""


class AccountReference(TypedDict):
    """The account that a document, or a part of one, is about."""

    account: str
    label: str
    name: str | None
    email: str | None


Level = Literal["low", "medium", "high"]
"""How a window stands: by its forecast it lasts, may run dry, likely does; without one by its used percent."""

SelectedBy = Literal["argument", "codex_home", "last_seen"]
"""How a command came to the account that it answers for: it was named, it is logged in here, or it was seen last."""


class Selection(TypedDict):
    """Which account a command answers for, and why."""

    selected_by: SelectedBy
    selection: str
    """The reason as a phrase for people; it names the account."""


class LoginReference(TypedDict):
    """Which of the accounts is logged in in the shell's ``CODEX_HOME``."""

    logged_in: str | None
    """The account's key; null where nobody is logged in, that account was not seen yet, or ``--any`` was given."""
    login: str | None
    """The login as a phrase for people; null where nobody is logged in, or ``--any`` was given."""


class ThreadWords(TypedDict):
    """What Codex's own files on this machine tell of a thread; null where they do not, and where names are off."""

    title: str | None
    """Its name in Codex, else the beginning of its first message."""
    folder: str | None
    project: str | None
    """The repository that it works in, else the folder, as short as is unambiguous in the document."""


class ReportedWindow(TypedDict):
    """A window as it was last reported."""

    used_percent: float | None
    window_minutes: int | None
    length: str | None
    """Its real length, whatever its slot is called: `5h`, `30d`; null where it is unknown."""
    resets_at: int | None


# status


class WindowStatus(TypedDict):
    """A window of a limit as it is now.

    A window whose reset has passed since it was last reported counts as reset: ``used_percent`` is 0,
    ``reset_unseen`` true, ``resets_at`` the reset that passed, ``resets_in_seconds`` 0. ``remaining_percent`` and
    ``resets_in_seconds`` are never negative.
    """

    used_percent: float | None
    remaining_percent: float | None
    window_minutes: int | None
    length: str | None
    """Its real length, whatever its slot is called: `5h`, `30d`; null where it is unknown."""
    resets_at: int | None
    resets_in_seconds: int | None
    reset_unseen: bool
    """Its reset has passed since it was last seen."""
    reset_overdue: bool
    """It was reported after ``resets_at``: it was due then, and was not reset."""


class BudgetStatus(TypedDict):
    """The amounts of a limit that counts credits or money, as decimal strings; `unit` is null for credits.

    `source` is the server's word for where the budget comes from.
    """

    limit: str | None
    used: str | None
    remaining: str | None
    unit: str | None
    source: str | None


class LimitStatus(TypedDict):
    """A limit of an account as it is now, the main limit (``codex``) first among an account's limits.

    The server's verdict (``limit_reached``, ``reached_type``, ``reached_until``) is null once it has expired: at
    ``reached_until``, else at the reset of the full window.
    """

    limit_id: str
    limit_name: str | None
    state: Literal["open", "refused", "on_credits", "unknown"]
    """``blocked_by`` and ``on_credits`` follow from it."""
    state_until: int | None
    """When included usage comes back, where the limit is refused or on credits; null where that is unknown."""
    limit_reached: bool | None
    reached_type: str | None
    reached_until: int | None
    """When the server said that a reached limit comes back."""
    blocked_by: str | None
    """What refuses: the slot of a window, `limit`, `credits`; null in any other state."""
    windows: dict[str, WindowStatus]
    """By slot: `5h`, `7d`, `budget`, else the real length (`30d`)."""
    on_credits: bool
    """The included usage is used up, and credits carry the limit."""
    budget: BudgetStatus | None
    """The amounts of a limit that has some, such as `spend_control`."""
    observed_at: int
    age_seconds: int
    source: str
    model: str | None


class CreditsStatus(TypedDict):
    """An account's credits; `balance` is the server's decimal string."""

    has_credits: bool | None
    unlimited: bool | None
    balance: str | None


class UnavailableModel(TypedDict):
    """A model that the account cannot use now."""

    model: str
    available_at: int | None
    credits_would_enable: bool | None


class AccountStatus(AccountReference):
    """An account and its limits as they are now; ``token_key`` is that of its newest token."""

    plan_type: str | None
    token_key: str | None
    credits: CreditsStatus | None
    spend_control_reached: bool | None
    reset_credits: int | None
    """How many banked resets are left."""
    reset_credits_applicable: int | None
    """How many of them can be used now."""
    reset_credits_expire: list[int] | None
    """When each of them expires, the earliest first."""
    unavailable_models: list[UnavailableModel]
    promo: str | None
    limits: list[LimitStatus]


class PlanSummary(TypedDict):
    """Accounts of a plan by how they stand: by the state of the limit that decides, open ones by its used percent.

    ``plan_type`` is null where no message has told the plan.
    """

    plan_type: str | None
    accounts: int
    refused: int
    on_credits: int
    high: int
    medium: int
    low: int
    unknown: int


class AccountsSummary(TypedDict):
    """A great many accounts: how many there are, and how those of each plan stand, the most frequent plan first."""

    accounts: int
    plans: list[PlanSummary]


class StatusDocument(Document):
    """How much is left: ``/api/usage``, and most of ``codex-tap status --json``.

    Above 200 accounts, ``accounts`` has the most pressed ones alone, and ``summary`` counts all.
    """

    generated_at: int
    accounts: list[AccountStatus]
    summary: NotRequired[AccountsSummary]


class StatusCommandDocument(StatusDocument, LoginReference):
    """How much is left: ``codex-tap status --json``, with the account first that is logged in here."""


class StatuslineDocument(AccountReference, Selection, Document):
    """The main limit of one account: ``codex-tap statusline --format json``."""

    plan_type: str | None
    credits: CreditsStatus | None
    limit_id: str
    windows: dict[str, WindowStatus]
    state: Literal["open", "refused", "on_credits", "unknown"]
    state_until: int | None
    limit_reached: bool | None
    reached_until: int | None
    blocked_by: str | None
    on_credits: bool
    age_seconds: int
    stale: bool


class UnknownStatuslineDocument(Selection, Document):
    """``codex-tap statusline --format json`` while nothing is known of the account."""

    account: None


WaybarDocument = TypedDict(
    "WaybarDocument",
    {
        "text": str,
        "tooltip": str,
        "class": Literal["blocked", "stale", "low", "medium", "high", "unknown"],
        "percentage": int,
    },
)
"""A module of waybar: ``codex-tap statusline --format waybar``. ``text`` and ``tooltip`` are Pango markup.

``percentage`` is a whole number up to 100: that of the fullest window. (`class` is a keyword, hence this form.)
"""


# forecast


class WindowForecast(ReportedWindow):
    """What a window will come to by its reset; ranges hold the truth in 80 of 100 cases.

    ``at_reset`` may exceed 100: it is what the window would come to if nothing stopped it. ``pace_per_hour`` is in
    percentage points per hour of work. The ``runs_dry_…`` fields are null where the window lasts. Without a forecast,
    with too little history above all, ``note`` says why, and the other fields are null.
    """

    pace_per_hour: float | None
    at_reset: float | None
    at_reset_low: float | None
    at_reset_high: float | None
    runs_dry_at: int | None
    runs_dry_low: int | None
    runs_dry_high: int | None
    safe: bool | None
    """The window lasts until its reset, and so does the whole range."""
    chance_dry: float | None
    """The chance, from 0 to 1, that the window runs dry before its reset."""
    readings: int
    imported_readings: int
    """How many readings from session files, of the time before the tap's first one, the forecast rests on as well."""
    note: str | None


class LimitForecast(TypedDict):
    """The forecasts of a limit's windows by slot."""

    limit_id: str
    limit_name: str | None
    windows: dict[str, WindowForecast]


class AccountForecast(AccountReference):
    """The forecasts of an account's limits."""

    plan_type: str | None
    limits: list[LimitForecast]


class ForecastDocument(Document):
    """When each window runs out: ``codex-tap forecast --json`` and ``/api/forecast``."""

    generated_at: int
    accounts: list[AccountForecast]


# overview


class WindowOutlook(WindowForecast):
    """A window's forecast, and what a view shows of it without a rule of its own."""

    level: Level | None
    """Null where neither a forecast nor the used percent is known."""
    forecast_level: Level | None
    """The level by the forecast alone; null without one."""
    chance_lasts: float | None
    """The chance, from 0 to 1, that the window lasts until its reset; null for a full one too."""
    elapsed_percent: float | None
    """How much of the window's time has passed, from 0 to 100; null where that is unknown."""


class LimitOutlook(TypedDict):
    """The windows of a limit by slot."""

    limit_id: str
    limit_name: str | None
    windows: dict[str, WindowOutlook]


class AccountOutlook(AccountReference):
    """The limits of an account, and the level of its main limit: that of its worst window, high where it is closed."""

    level: Level | None
    limits: list[LimitOutlook]


class HeadlineWindow(TypedDict):
    """A window that the headline is about."""

    slot: str
    window_minutes: int | None
    length: str | None
    used_percent: float | None
    remaining_percent: float | None
    resets_at: int | None
    reset_unseen: bool
    forecast_level: Level | None
    runs_dry_at: int | None


class ClosedAccount(AccountReference):
    """An account that cannot be used now: by which window (null for anything else), and until when, where known."""

    length: str | None
    until: int | None


class Headline(TypedDict):
    """How things stand, in one sentence.

    ``state`` is ``use`` where an account has included usage, ``wait`` where none can be used, ``unknown`` where nothing
    is known of the best one. ``windows`` are those of that account: of its longest window, and before it of any other
    that may run dry.
    """

    state: Literal["use", "wait", "unknown"]
    account: AccountReference | None
    """The account to use, as ``next`` has it; null with `wait`."""
    on_credits: bool
    """It would spend credits."""
    level: Level | None
    windows: list[HeadlineWindow]
    closed: list[ClosedAccount]
    """The accounts that cannot be used, the first to open again ahead."""


class LevelThresholds(TypedDict):
    """From which used percent a window without a forecast is medium, and above which it is high."""

    medium: float
    high: float


class OverviewDocument(Document):
    """How all accounts stand at a glance: ``/api/overview``. ``accounts`` has the most pressed one first."""

    generated_at: int
    headline: Headline | None
    """Null while nothing is known."""
    accounts: list[AccountOutlook]
    thresholds: LevelThresholds


# usage


class UsageFigures(TypedDict):
    """What a row used: points of the window's used percent, and the turns and tokens that used them.

    Points of the rows add up to the points of the total. Turns are those that ended in the time range, without
    ``refused`` ones and ``warm_ups``. Tokens are those that were reported for all of these; cached tokens are part of
    the input, reasoning tokens part of the output. ``models`` is sorted, ``threads`` is a count. ``last_at`` is when
    the last turn ended, or when the last increase without a turn was read.
    """

    points: float
    share: float | None
    """Of the total, from 0 to 1; null where the total is 0."""
    turns: int
    imported_turns: int
    """Those of the turns that are from session files; the tap did not see them."""
    refused: int
    warm_ups: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    models: list[str]
    threads: int
    last_at: float | None
    api_value_usd: float | None
    """What the tokens of the turns are sold for on the public API, in dollars, without those of ``not_priced_turns``.

    It is not what was paid: on a plan nothing was paid for it. Null where no turn has a known price.
    """
    not_priced_turns: int
    """Turns without a value: ``not_priced`` of the document says which, and why."""
    amount: float | None
    """The points in the ``unit`` of the document; null without one."""


class ModelUse(UsageFigures):
    """The use of a model within a row; ``model`` is null where none was reported."""

    model: str | None


class UsageEntry(UsageFigures, ThreadWords):
    """The use of one thread, project, model, account, day and the like, or of none that was seen (``elsewhere``).

    ``key`` is the thread (the session of a client that names no threads), the project (host and path of its git remote,
    else a folder), the model, the reasoning effort, the kind of sub-agent, the service tier, the client, the account's
    key, the machine (in a team's database), the day (``2026-11-21``), the ISO week (``2026-W47``), the month
    (``2026-11``) or the hour (``2026-11-21 14:00``). It is null where none was reported, in the row of use elsewhere,
    and for the machine of a file. ``name`` is the name that a person gave the thread, the project's short name, or the
    account's label; null where it would repeat the key.
    """

    key: str | None
    name: str | None
    elsewhere: bool
    """No turn that was seen can have used it."""
    pending: bool
    """No turn that ended has used it, and one under way still may: it becomes a turn's or is used elsewhere."""
    kind: str | None
    """The kind of sub-agent whose thread it is: `review`, say. Null for anything else."""
    parent: str | None
    """The thread that started this one, where it is in the tree of another."""
    depth: int
    """0 for a row, 1 for a thread that the thread of the row started, and so on."""


class UsageRow(UsageEntry):
    """A row of ``usage``. The turns of sub-agents and reviews count for the thread that started them.

    The row with the key ``thread_title`` has the turns in which Codex makes the titles of threads.
    """

    tree: list[UsageEntry]
    """The threads of its sub-agents, where they were asked for: each before those below it, which it includes."""
    start: float | None
    """When the day, week or month of the row begins; null for any other row."""
    end: float | None
    by_model: list[ModelUse]
    """The models of a day, week or month, the most used first; empty for any other row."""


class NotPricedTurns(TypedDict):
    """Turns without a value at public API prices, and why.

    ``reason`` is ``model`` or ``tier`` where that one has no known price, else ``model_not_reported`` or
    ``tokens_not_reported`` (the turn was cut off). ``model`` is the one that responded, ``tier`` the service tier where
    that is the reason.
    """

    reason: Literal["model", "tier", "model_not_reported", "tokens_not_reported"]
    model: str | None
    tier: str | None
    turns: int


class TokenWeights(TypedDict):
    """How much a token of a model weighs when an increase is divided among turns.

    ``fitted`` is true where the weights come from the account's own history: ``rises`` counts the increases behind
    them. These are the weights for increases of now. Earlier increases keep the weights that they were divided by.
    """

    account: str
    model: str | None
    fitted: bool
    rises: int
    uncached_input: float
    cached_input: float
    output: float
    fitted_at: float | None
    """When the history that they are fitted from ends: the beginning of a day or week in UTC. Null if not fitted."""


class AccountWindow(TypedDict):
    """The window of an account that a document is about; ``account`` is the account's key."""

    account: str
    window: str
    window_minutes: int | None
    length: str | None


class UsageDocument(Document):
    """What used a window: ``codex-tap usage --json`` and ``/api/breakdown``.

    ``window`` is a slot, null while no window was seen; where it is not the same for all accounts, the length that was
    asked for. ``window_minutes`` and ``length`` are null where they are not the same for all accounts: ``windows`` has
    that of each. ``readings`` counts the readings of the time range, ``imported_readings`` those of them that are from
    session files, ``rises`` those that show more use than the one before.
    """

    generated_at: int
    since: float
    until: float
    by: GroupBy
    limit_id: str | None
    window: str | None
    window_minutes: int | None
    length: str | None
    windows: list[AccountWindow]
    accounts: list[AccountReference]
    rows: list[UsageRow]
    others: UsageFigures | None
    """The sum of further rows, where only so many were asked for; null where all are listed."""
    other_rows: int
    """How many these are."""
    total: UsageFigures
    readings: int
    imported_readings: int
    rises: int
    weights: list[TokenWeights]
    by_model: list[ModelUse]
    """The models of the whole time range, where rows are days, weeks or months; else empty."""
    unit: str | None
    """The unit of ``amount`` where the window is a budget: `credits`, or the server's own word; else null."""
    not_priced: list[NotPricedTurns]
    """The turns whose value is not part of ``api_value_usd``, the most frequent reason first."""
    price_source: str | None
    """Where the public prices come from: `genai-prices`; null where there are none, or none were asked for."""
    own_prices: list[str]
    """The models whose prices are the user's own."""


# speed


class SpeedQuantiles(TypedDict):
    """Figures of `turns` turns: their median, and what the slowest 5 of 100 turns exceed, or fall short of.

    For seconds ``slow`` is the 95th percentile, for tokens a second the 5th. Both are null where there are no figures.
    """

    turns: int
    median: float | None
    slow: float | None


class SpeedUsual(TypedDict):
    """The same figures of the 28 days (of UTC) before the one that the time range begins in, in the same hours.

    ``failed_share`` (0 to 1) is that of the turns that failed, null where there were none. ``turns`` counts those that
    were looked at: where there are very many, every second one, say.
    """

    turns: int
    first_byte_seconds: SpeedQuantiles
    seconds: SpeedQuantiles
    tokens_per_second: SpeedQuantiles
    failed_share: float | None


class SpeedFigures(TypedDict):
    """How fast turns were, and how they ended.

    ``turns`` is the sum of ``answered``, ``failed`` (``errors`` counts the failures by the server's type, or by the
    status), ``refused`` (by the limits) and ``interrupted`` (the end was never seen: the client or the network ended
    the turn). Warm-ups are left out. ``rerouted`` counts turns to which another model responded. The quantiles are
    those of answered turns. ``input_tokens`` is the median of their inputs.
    """

    turns: int
    answered: int
    failed: int
    refused: int
    interrupted: int
    rerouted: int
    errors: dict[str, int]
    first_byte_seconds: SpeedQuantiles
    seconds: SpeedQuantiles
    tokens_per_second: SpeedQuantiles
    input_tokens: float | None
    usual: SpeedUsual


class SpeedModel(TypedDict):
    """How fast the turns of a day were that asked for one model; null where none was reported."""

    model: str | None
    turns: int
    first_byte_seconds: SpeedQuantiles
    tokens_per_second: SpeedQuantiles


class SpeedRow(SpeedFigures):
    """The turns of one model, effort, tier, day (``2026-11-21``) or hour of the day (``14:00``).

    ``key`` is null where none was reported; for a tier that is the standard one. ``models`` has the models of a day,
    the most used first; other rows have none.
    """

    key: str | None
    models: list[SpeedModel]


class SpeedComparison(TypedDict):
    """A figure of the last hours (``median``) beside that of the same hours of the days before (``usual``).

    ``slowdown`` is how many times as long as usual turns of the same model, effort, tier and size of input take (for a
    speed: how many times as slow they are); ``days_exceeded`` of ``days`` earlier days were faster than that.
    ``verdict`` is ``unknown`` with fewer than 10 such turns or 5 such days.
    """

    verdict: Literal["slower", "usual", "faster", "unknown"]
    turns: int
    median: float | None
    usual: SpeedQuantiles
    slowdown: float | None
    days: int
    days_exceeded: int


class SpeedChange(TypedDict):
    """What is different about the user's own turns: the median of the input tokens, or a value's share (0 to 1)."""

    what: Literal["input_tokens", "model", "reasoning_effort", "tier"]
    value: str | None
    now: float
    usual: float


class SpeedNow(TypedDict):
    """Whether the turns since ``since`` are slower than those of the same hours of the 28 days before.

    ``is_own`` is true where they take longer and turns of the same kind do not: then ``changes`` says why. ``text`` has
    the same in sentences.
    """

    since: float
    verdict: Literal["slower", "usual", "faster", "unknown"]
    is_own: bool
    turns: int
    failed: int
    usual_failed_share: float | None
    more_failures: bool
    first_byte_seconds: SpeedComparison
    tokens_per_second: SpeedComparison
    changes: list[SpeedChange]
    text: list[str]


class SpeedDocument(Document):
    """How fast Codex is: ``codex-tap speed --json`` and ``/api/speed``."""

    generated_at: int
    since: float
    until: float
    by: SpeedBy
    accounts: list[AccountReference]
    now: SpeedNow
    rows: list[SpeedRow]
    total: SpeedFigures


# events


class EventReading(TypedDict):
    """One of the two readings that an event comes from.

    ``id`` is that of the snapshot's row, null for a token. ``seen_at`` is when the earlier reading was last seen, and
    when the later one was first seen. ``used_percent`` and ``resets_at`` are those of the event's window, null for an
    event without one.
    """

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


class EventEntry(AccountReference):
    """Something that happened between two readings.

    ``at`` is when it was first seen; for what was due (a reset, and the limit that it freed), when that was due.
    ``slot``, ``window_minutes`` and ``length`` are null for an event without a window, ``limit_id`` and ``limit_name``
    for an event of the whole account. ``text`` is a sentence for people. ``credits`` is how many were bought or spent,
    as a decimal string.
    """

    at: float
    kind: EventKind
    limit_id: str | None
    limit_name: str | None
    slot: str | None
    window_minutes: int | None
    length: str | None
    text: str
    note: str | None
    """What is not sure about it."""
    short_text: str
    """``text`` without the time of the event, for a list that shows that beside it."""
    routine: bool
    """It is a reset that came when it was due, and nothing about it is unsure: a list may leave it out."""
    seconds: float | None
    """By how much a reset was early or moved; negative where it comes sooner."""
    points: float | None
    """How many points were used elsewhere, or by how many the used percent fell."""
    credits: str | None
    before: EventReading
    after: EventReading


class EventsDocument(Document):
    """What happened, the oldest first: ``codex-tap events --json``.

    ``readings`` counts the rows that were compared. Turns are known since ``turns_known_since``: use before it cannot
    be attributed to "elsewhere"; null means always.
    """

    generated_at: int
    since: float | None
    limit_id: str | None
    turns_known_since: float | None
    readings: int
    accounts: list[AccountReference]
    events: list[EventEntry]


class EventsPageDocument(EventsDocument):
    """The newest events, the oldest of them first: ``/api/events``. ``left_out`` counts the events before those.

    ``routine_left_out`` counts the routine ones that were not asked for.
    """

    left_out: int
    routine_left_out: int


# history and turns


class HistoryEntry(AccountReference):
    """A snapshot, an element of ``codex-tap history --json``: a limit from ``first_seen_at`` to ``last_seen_at``.

    ``late`` is true where a newer message overtook the one that opened the snapshot. ``raw`` holds the known
    rate-limit fields of that message as they were sent.
    """

    id: int
    token_key: str
    limit_id: str
    limit_name: str | None
    first_seen_at: float
    last_seen_at: float
    observations: int
    late: bool
    windows: dict[str, ReportedWindow]
    budget: BudgetStatus | None
    allowed: bool | None
    limit_reached: bool | None
    reached_type: str | None
    reached_until: int | None
    plan_type: str | None
    credits: CreditsStatus | None
    source: str
    status: int | None
    model: str | None
    thread: str | None
    raw: Any


class HistoryPoint(TypedDict):
    """A limit as it stood from ``first_seen_at`` to ``last_seen_at``, for a chart."""

    id: int
    account: str
    limit_id: str
    limit_name: str | None
    first_seen_at: float
    last_seen_at: float
    observations: int
    windows: dict[str, ReportedWindow]
    budget: BudgetStatus | None
    limit_reached: bool | None
    plan_type: str | None
    source: str
    status: int | None
    model: str | None
    thread: str | None


class HistoryReset(TypedDict):
    """A reset of a window at ``at``; ``unseen`` is true where it was due then, and no reading has followed yet."""

    account: str
    limit_id: str
    window: str
    at: float
    unseen: bool


class HistoryPointsDocument(Document):
    """The course of each limit, the oldest point first: ``/api/history``.

    For each limit it has the snapshot that stood at ``since``, and the first and the last of each step; all of them
    where ``step_seconds`` is null. Only the newest points are given where there are too many; ``left_out`` counts the
    others. Late snapshots are left out.
    """

    since: float
    until: float
    step_seconds: int | None
    left_out: int
    accounts: list[AccountReference]
    entries: list[HistoryPoint]
    resets: list[HistoryReset]
    """The resets of each window, in the order of time."""


class DayPeak(TypedDict):
    """The highest used percent of a window on a day (``2026-11-21``), and when that day begins and ends."""

    day: str
    start: float
    end: float
    used_percent: float


class WindowPeaks(TypedDict):
    """The peaks of a window, the earliest day first; days on which nothing was seen are left out."""

    window_minutes: int | None
    length: str | None
    days: list[DayPeak]


class LimitPeaks(TypedDict):
    """The peaks of a limit's windows by slot; ``account`` is the account's key."""

    account: str
    limit_id: str
    limit_name: str | None
    windows: dict[str, WindowPeaks]


class PeaksDocument(Document):
    """The highest used percent of each window on each day, in the server's time zone: ``/api/peaks``."""

    since: float
    until: float
    accounts: list[AccountReference]
    limits: list[LimitPeaks]


class TurnEntry(AccountReference, ThreadWords):
    """A turn of Codex. Tokens read from and written into the cache are part of the input, reasoning ones of the output.

    ``thread`` is null for a client that names no threads; ``thread_name`` is then the name of its ``session``.
    ``subagent`` is the kind of sub-agent (``review``, say), and ``parent_thread`` the thread that started it. ``tier``
    is the requested service tier (``priority`` in Fast mode), and ``client`` the client's own name. ``imported`` is
    true for a turn of a session file that the tap did not see: its ``token_key`` is empty, its ``transport``
    ``unknown``.
    """

    id: int
    imported: bool
    token_key: str
    limit_id: str
    thread: str | None
    thread_name: str | None
    session: str | None
    parent_thread: str | None
    subagent: str | None
    client: str | None
    model: str | None
    response_model: str | None
    """The model that responded, where it is not the requested one."""
    reasoning_effort: str | None
    tier: str | None
    transport: Literal["http", "websocket"]
    warm_up: bool
    started_at: float
    first_byte_at: float | None
    ended_at: float
    status: int | None
    error_type: str | None
    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


class TurnsDocument(Document):
    """Turns, the newest first: ``/api/requests``. ``next_before`` asks for the next page, null on the last page."""

    requests: list[TurnEntry]
    next_before: int | None


# accounts and threads


class AccountEntry(AccountReference):
    """An account, an element of ``codex-tap accounts --json``. The newest token key comes first.

    ``merged`` has the keys of the accounts that were merged into this one.
    """

    plan_type: str | None
    token_keys: list[str]
    merged: list[str]
    first_seen_at: float
    last_seen_at: float


class AccountsDocument(Document):
    """All accounts in the order in which they were first seen: ``/api/accounts``."""

    accounts: list[AccountEntry]


class AccountDetail(AccountEntry, Document):
    """An account, and the number of rows stored for it: ``/api/accounts/<prefix>``."""

    snapshots: int
    limits: int
    tokens: int


class ForgottenAccount(AccountDetail):
    """A deleted account, and the files beside the database that may still contain its data."""

    files: list[str]


class ThreadBranch(ThreadWords):
    """A thread of Codex, with the use of those that it started.

    ``accounts`` are keys. ``turns`` counts the answered turns of the time range, ``imported_turns`` those of them that
    are from session files, and the tokens are those of all of its turns. ``points`` are those of the window that
    ``usage`` shows by default. ``is_session`` is true if the client names no threads: then ``thread`` is its session.
    ``name`` is the one that a person gave it in codex-tap.
    """

    thread: str
    is_session: bool
    name: str | None
    accounts: list[str]
    turns: int
    imported_turns: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    points: float
    first_seen_at: float
    last_seen_at: float
    kind: str | None
    """The kind of sub-agent: `review`, say. Null for a thread that a person began."""
    parent: str | None
    """The thread that started it, where it is in the tree of another."""
    depth: int
    """0 for an entry of the list, 1 for a thread that this one started, and so on."""


class ThreadEntry(ThreadBranch):
    """A thread that a person began, an element of ``codex-tap threads --json``.

    The entry with the id ``thread_title`` has the threads in which Codex makes the titles of others.
    """

    tree: list[ThreadBranch]
    """The threads of its sub-agents, where they were asked for: each before those below it, which it includes."""


# next and guard


class RankingEntry(AccountReference):
    """How an account can be used, and why.

    ``window`` is the slot of the tightest one, and ``length``, ``remaining_percent`` and ``resets_at`` are those of
    that window. Accounts with included usage are ordered by ``room`` times ``size``. ``stale`` is true where the
    reading is an hour old or older, or there is none.
    """

    plan_type: str | None
    usage: Literal["included", "credits", "unknown", "blocked"]
    room: float | None
    """What is left of the tightest window against its time left."""
    size: float
    """How much the account's windows hold in the same time against those of a Plus plan: 20 for 20 times as much."""
    size_from: Literal["turns", "plan"]
    """The source of `size`: the account's own turns, or its plan."""
    window: str | None
    length: str | None
    remaining_percent: float | None
    resets_at: int | None
    blocked_by: str | None
    blocked_until: int | None
    credits_balance: str | None
    age_seconds: int | None
    stale: bool
    reason: str


class NextDocument(Document):
    """Which account to use now: ``/api/next``, and most of ``codex-tap next --json``; null where none can be used."""

    generated_at: int
    account: str | None
    label: str | None
    name: str | None
    email: str | None
    reason: str
    ranking: list[RankingEntry]


class NextCommandDocument(NextDocument, LoginReference):
    """Which account to use now, and which is logged in here: ``codex-tap next --json``."""


class BudgetUse(TypedDict):
    """What a thread, a project or an account has used of the budget that ``guard --budget`` was given.

    ``points`` is the budget and ``used`` what was used, both in percent of the window, from ``since`` to now. The
    period ends at ``until``; null where that is not known. ``window`` is the slot of the window that is counted.
    """

    points: float
    used: float
    period: Literal["window", "day", "hour", "week"]
    since: int
    until: int | None
    window: str
    window_minutes: int | None
    length: str | None
    scope: Literal["thread", "project", "account"]
    key: str
    """The thread at the top of a session, the project (`UsageRow`), or the account's key."""
    name: str | None
    """The thread's name or title, the project's short name; null where it has none."""
    seen: bool
    """Whether any turn of the thread was ever seen, or lately of the project: if not, ``used`` is 0 for that reason."""


class GuardDocument(Selection, Document):
    """Whether a script may go on: ``codex-tap guard --json``. ``account`` is null while nothing is known.

    ``window`` is the slot of the window that decides; ``length``, ``remaining_percent`` and ``resets_at`` are those of
    that window.
    ``wait_until`` is when a limit or a budget that is below will have been reset. The last four fields repeat what was
    asked for and give the exit code.
    """

    account: str | None
    label: str | None
    name: str | None
    email: str | None
    answer: Literal["go", "below", "old", "unknown"]
    reason: str
    window: str | None
    length: str | None
    remaining_percent: float | None
    resets_at: int | None
    wait_until: int | None
    blocked_by: str | None
    age_seconds: int | None
    budget: BudgetUse | None
    """With ``--budget``, where what was used is known."""
    limit_id: str
    min_remaining: float
    max_age_seconds: float | None
    exit_code: int
    """0 as well where nothing is known, with ``--fail-open``."""


# agents


class AgentAnswer(TypedDict):
    """What each document of ``codex-tap mcp`` begins with. None of them has an e-mail, title or folder unasked.

    ``known`` is false while nothing was seen of the account: then the rest is empty or null. ``account`` is the name
    that a person gave the account, else its key; ``chosen_by`` says whether it was asked for, is the one logged in, or
    the one seen last.
    """

    known: bool
    account: str | None
    chosen_by: SelectedBy


class AgentWindow(TypedDict):
    """A window: percent from 0 to 100, a length such as ``5h``, its reset in Unix seconds and in minutes from now."""

    window: str
    used_percent: float | None
    remaining_percent: float | None
    resets_at: int | None
    resets_in_minutes: int | None


class AgentLimit(TypedDict):
    """A limit (``codex`` is the main one), and how old that is; ``state`` is that of `LimitStatus`."""

    limit_id: str
    name: str | None
    state: Literal["open", "refused", "on_credits", "unknown"]
    opens_at: int | None
    age_seconds: int
    windows: list[AgentWindow]


class AgentLimits(AgentAnswer):
    """What is left: the tool ``limits``."""

    limits: list[AgentLimit]


class AgentForecastWindow(TypedDict):
    """When a window runs out. Null where nothing can be forecast: ``text`` says why.

    ``chance_dry_percent`` is the chance that it runs out before its reset, ``runs_dry_at`` the likely time of that in
    Unix seconds, null where it lasts; ``at_reset_percent`` is what will be used by its reset, at most 100.
    """

    limit_id: str
    window: str
    used_percent: float | None
    chance_dry_percent: float | None
    runs_dry_at: int | None
    at_reset_percent: float | None
    resets_at: int | None
    text: str


class AgentForecast(AgentAnswer):
    """When each window runs out: the tool ``forecast``."""

    windows: list[AgentForecastWindow]


class AgentUsageRow(TypedDict):
    """What one thread, model, … used: points are percent of the window; ``key`` is null for use elsewhere.

    ``title`` and ``folder`` are null unless they were asked for.
    """

    key: str | None
    points: float
    turns: int
    input_tokens: int
    output_tokens: int
    title: str | None
    folder: str | None


class AgentUsage(AgentAnswer):
    """What used a window since a time (Unix seconds): the tool ``usage``. ``left_out`` counts further rows."""

    window: str | None
    since: float
    by: str
    points: float
    turns: int
    rows: list[AgentUsageRow]
    left_out: int


class AgentGuard(AgentAnswer):
    """Whether to go on: the tool ``guard``. The fields but ``advice`` are those of `GuardDocument`."""

    answer: Literal["go", "below", "old", "unknown"]
    reason: str
    advice: str
    window: str | None
    remaining_percent: float | None
    min_remaining: float
    resets_at: int | None
    age_seconds: int | None


# alerts


AlertKind = Literal["used", "runs_dry", "limit_reached", "window_reset", "window_reset_early", "used_elsewhere"]


class AlertMessage(TypedDict):
    """An alert as a target gets it. ``account`` is the key, ``name`` the account's label; both are empty in a test.

    Text and names are free of control characters: they may come from the wire.
    """

    kind: AlertKind | Literal["test"]
    text: str
    account: str
    name: str
    limit_id: str
    limit_name: str | None
    window: str | None
    window_minutes: int | None
    length: str | None
    used_percent: float | None
    threshold: float | None
    resets_at: int | None
    at: float
    test: bool


class PendingAlert(AlertMessage):
    """An alert that would be sent now, and the names of its targets."""

    targets: list[str]


class FiredAlert(TypedDict):
    """An alert that was sent at ``told_at``, and that is not sent again in the same period of its window."""

    told_at: float
    kind: AlertKind
    account: str
    limit_id: str
    window: str | None
    threshold: float | None
    resets_at: int | None
    text: str


class AlertCheckDocument(Document):
    """What would be sent now: ``codex-tap alerts check --json``.

    Alerts are ``due``, or ``held`` during quiet hours, which end at ``quiet_until``. ``targets`` has each target as it
    may be shown, without a secret. ``problems`` are sentences about rules that cover nothing.
    """

    generated_at: int
    config: str
    targets: dict[str, str]
    quiet_until: float | None
    due: list[PendingAlert]
    held: list[PendingAlert]
    fired: list[FiredAlert]
    problems: list[str]


# upkeep


CheckLevel = Literal["ok", "note", "problem", "off"]
"""``off`` is a part of codex-tap that is not installed."""


class CheckEntry(TypedDict):
    """The result of one check, and what to do about it."""

    name: str
    level: CheckLevel
    message: str
    advice: str | None


class DoctorDocument(Document):
    """The checks of the set-up: ``codex-tap doctor --json``. ``healthy`` is true where none found a problem."""

    healthy: bool
    checks: list[CheckEntry]


class PrunedAccount(AccountReference):
    """The rows of an account that are older than ``before``, and how many rows stay."""

    snapshots: int
    turns: int
    imported_limits: int
    """Readings of session files."""
    threads: int
    snapshots_kept: int
    turns_kept: int


class UnreadableFile(TypedDict):
    """A session file, or a folder of them, that could not be read to its end."""

    path: str
    reason: str


class ImportDocument(Document):
    """What ``codex-tap import --json`` stored, or would store.

    ``files`` and ``bytes`` are all session files that are there. ``sessions`` are those with ``new_turns``, the oldest
    and the newest of which ended at ``first_at`` and ``last_at``. ``known_turns`` were stored before, by the tap or by
    an import. ``turns_without_account`` are the new ones of sessions that name no account. ``limits`` counts readings.
    ``unfinished_files`` end within a line that is being written. ``other_providers`` counts sessions with models of
    another provider, which are left out.
    """

    generated_at: int
    codex_homes: list[str]
    since: float | None
    dry_run: bool
    files: int
    bytes: int
    sessions: int
    new_turns: int
    known_turns: int
    turns_without_account: int
    limits: int
    first_at: float | None
    last_at: float | None
    unfinished_files: int
    damaged_lines: int
    other_providers: int
    interrupted: bool
    unreadable: list[UnreadableFile]


class PruneDocument(Document):
    """What ``codex-tap prune --json`` deleted, or would delete. ``freed_bytes`` is an estimate until it is deleted."""

    before: float
    deleted: bool
    freed_bytes: int
    accounts: list[PrunedAccount]


class TeamMachine(TypedDict):
    """A machine of a team's database: one database file of one role.

    ``snapshots`` and ``turns`` were taken from it, ``left_out`` rows were too old or of a deleted account, ``not_sent``
    were waiting at its last batch (null where it does not say), and ``accounts`` is how many it has seen.
    ``clock_offset_seconds`` is how far its clock is behind.
    """

    machine: str
    role: str
    version: str | None
    first_heard_at: float
    last_heard_at: float
    silent_seconds: float
    snapshots: int
    turns: int
    not_sent: int | None
    left_out: int
    accounts: int
    clock_offset_seconds: float


class TeamMachinesDocument(Document):
    """What ``codex-tap team machines --json`` prints; the machine that was heard last is the first.

    ``never_heard`` has the names of those that were added and have not shipped yet.
    """

    generated_at: int
    machines: list[TeamMachine]
    never_heard: list[str]


class TeamRoleDocument(Document):
    """A role that ``codex-tap team add-… --json`` made, with what its machine needs; the password is shown this once.

    ``password`` and ``pgpass``, the line for that file, are null where the role has none.
    """

    role: str
    address: str
    password: str | None
    pgpass: str | None


class TeamMonth(TypedDict):
    """A month of rows, ``2026-11``, and the bytes that it takes."""

    month: str
    bytes: int


class TeamPruneDocument(Document):
    """What ``codex-tap team prune --json`` dropped, or would drop: whole months, and ``before`` is the first kept."""

    before: float
    deleted: bool
    freed_bytes: int
    months: list[TeamMonth]


class HealthDocument(Document):
    """Whether the database can be read, and whether readings come in: ``/health``."""

    status: Literal["ok", "empty"]
    version: str
    accounts: int
    newest_reading_age_seconds: int | None
    readings_lost: int
    waiting_files: int


class ShipStatusDocument(TypedDict):
    """``ship --status --json``: the rows that are not known to be in the team's database.

    ``sent_at`` is when rows were last taken there, null for never; ``shipping`` is false after ``ship --off``.
    """

    generated_at: int
    shipping: bool
    snapshots_left: int
    turns_left: int
    sent_at: float | None
