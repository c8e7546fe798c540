"""The JSON API. Its responses are the documents of `store.documents`, as `store.queries` builds them.

The types describe the responses in OpenAPI. Responses are not validated against them at run time.
"""

from __future__ import annotations

import math
import sqlite3
import time
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, Field

from scripts.codex_files.names import name_turns, name_usage, projects_of
from scripts.prices.own_prices import OwnPricesError
from scripts.prices.price_list import open_prices
from scripts.support.database import account_entry, checked_name, open_for_writing, residual_files
from scripts.support.errors import CommandError
from scripts.support.place import own_file
from scripts.support.timespec import parse_since
from scripts.support.version import version
from scripts.web import schemas
from scripts.web.legacy import LegacyDocument, load_legacy_usage
from scripts.web.queued_route import QueuedRoute
from scripts.web.reader import Reader
from scripts.web.responses import json_response
from store import documents
from store.analysis.ranking import rank_accounts
from store.constants import EVENT_KINDS, GroupBy, SpeedBy
from store.edits import forget_account, rename_account
from store.files import spill_files
from store.kept.filling import drop_edited
from store.queries.accounts import count_accounts, find_account, load_accounts
from store.queries.events import empty_event_page, load_event_page
from store.queries.forecast import empty_forecasts, load_forecasts
from store.queries.health import Losses, load_losses
from store.queries.history_points import PointRange, empty_history_points, load_history_points
from store.queries.limits import newest_observation
from store.queries.many_accounts import load_shown, load_shown_status
from store.queries.overview import empty_overview, load_overview
from store.queries.peaks import empty_peaks, load_peaks
from store.queries.retention import account_counts
from store.queries.speed import empty_speed, load_speed
from store.queries.status import empty_status, load_status
from store.queries.turns import load_turns
from store.queries.usage import NotSeenError, empty_usage, load_token_rates, load_usage

if TYPE_CHECKING:
    import pathlib

    from scripts.web.change_stream import Hub
    from store.connection import Connection
    from store.queries.accounts import Account

MAX_ENTRIES = 50_000
MAX_POINTS = 5_000
MAX_TURNS = 1_000
MAX_ROWS = 1_000
MAX_EVENTS = 10_000
_LARGEST_ID = 2**63 - 1

_PROBLEM = {"content": {"application/problem+json": {}}, "model": schemas.Problem}
_ACCOUNT_PROBLEM = {"content": {"application/problem+json": {}}, "model": schemas.AccountProblem}
_UNREADABLE: dict[int | str, dict[str, Any]] = {
    422: {**_PROBLEM, "description": "A value of the request is invalid."},
    503: {**_PROBLEM, "description": "The database, or a file of prices, cannot be used. The detail says what to do."},
}
_NO_ACCOUNT: dict[int | str, dict[str, Any]] = {
    404: {**_ACCOUNT_PROBLEM, "description": "No account matches."},
    409: {**_ACCOUNT_PROBLEM, "description": "Several accounts match."},
}
_CHANGED_ACCOUNT: dict[int | str, dict[str, Any]] = {
    **_NO_ACCOUNT,
    403: {**_PROBLEM, "description": "A team's database is served, which is not changed here."},
}
_GARBLED: dict[int | str, dict[str, Any]] = {400: {**_PROBLEM, "description": "The body is not JSON."}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The document still has the ETag of If-None-Match."}
}

router = APIRouter(responses=_UNREADABLE)
past_router = APIRouter(responses=_UNREADABLE, route_class=QueuedRoute)
"""The questions about the past, which may read much. They wait for each other; no other question waits for them."""

Prefix = Annotated[
    str,
    Path(
        min_length=1,
        max_length=300,
        description="An unambiguous prefix of an account's name, e-mail address, key or token key.",
    ),
]
Search = Annotated[
    str | None,
    Query(max_length=200, description="Only accounts in whose name, e-mail or key each of these words occurs."),
]
Every = Annotated[bool, Query(alias="all", description="Give all accounts, even if there are more than 200.")]

AccountPrefix = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=300,
        description="One account, by an unambiguous prefix of its name, e-mail address or keys.",
    ),
]
Since = Annotated[
    str,
    Query(
        max_length=40,
        description="Start of the time range: `7d`, `36h`, `90min`, `2026-11-20`, `2026-11-20T14:05` or Unix seconds.",
    ),
]


def _known_kind(kind: str) -> str:
    if kind not in EVENT_KINDS:
        raise ValueError(f"unknown kind; known kinds: {', '.join(EVENT_KINDS)}")
    return kind


Kind = Annotated[str, AfterValidator(_known_kind), Field(json_schema_extra={"enum": list(EVENT_KINDS)})]
LimitId = Annotated[str | None, Query(max_length=100, description="One limit, such as `codex`.")]


def _reader(request: Request) -> Reader:
    found = request.app.state.reader
    assert isinstance(found, Reader)
    return found


def _timestamp(text: str, now: float) -> float:
    """Return the start of a time range in Unix seconds, at least 0.

    Raises:
        RequestValidationError: the text is not a time, or not in the past.
    """
    try:
        at = float(text) if text.replace(".", "", 1).isdecimal() else parse_since(text, now)
    except ValueError as error:
        raise _invalid("since", str(error)) from error
    if not math.isfinite(at) or at > now:
        raise _invalid("since", f"{text!r} must be in the past")
    return max(0.0, at)


def _invalid(name: str, message: str, where: str = "query") -> RequestValidationError:
    return RequestValidationError([{"loc": (where, name), "msg": message, "type": "value_error"}])


@router.get("/api/usage", response_model=documents.StatusDocument, responses=_UNCHANGED)
def get_usage(request: Request, search: Search = None, *, every: Every = False) -> Response:
    """How much is left, for all accounts; of more than 200, the most pressed ones and a summary."""
    now = time.time()

    def load(connection: Connection) -> documents.StatusDocument:
        return load_shown_status(connection, now, load_shown(connection, now, search=search, every=every))

    return json_response(request, _reader(request).query(load, empty_status(now)))


@router.get(
    "/api/usage/{prefix:path}", response_model=documents.StatusDocument, responses={**_UNCHANGED, **_NO_ACCOUNT}
)
def get_usage_of(request: Request, prefix: Prefix) -> Response:
    """How much is left, for one account."""
    now = time.time()

    def load(connection: Connection, only: list[Account]) -> documents.StatusDocument:
        return load_status(connection, now, only)

    return json_response(request, _reader(request).query_accounts(prefix, load, empty_status(now)))


@past_router.get(
    "/api/history", response_model=documents.HistoryPointsDocument, responses={**_UNCHANGED, **_NO_ACCOUNT}
)
def get_history(
    request: Request,
    *,
    account: AccountPrefix = None,
    since: Since = "24h",
    limit_id: LimitId = None,
    points: Annotated[
        int | None,
        Query(
            ge=1,
            le=MAX_POINTS,
            description="Divide the time range into so many steps; each has the first and last point of each limit.",
        ),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_ENTRIES, description="Maximum number of entries; the newest are given.")
    ] = 2_000,
) -> Response:
    """The course of each limit since a time."""
    now = time.time()
    begin = _timestamp(since, now)
    step = max(1, math.ceil((now - begin) / points)) if points else None
    selected = PointRange(begin, now, step, limit_id)

    def load(connection: Connection, only: list[Account]) -> documents.HistoryPointsDocument:
        return load_history_points(connection, selected, accounts=only, most=limit)

    return json_response(request, _reader(request).query_accounts(account, load, empty_history_points(selected)))


@past_router.get("/api/peaks", response_model=documents.PeaksDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_peaks(
    request: Request, *, account: AccountPrefix = None, since: Since = "30d", limit_id: LimitId = None
) -> Response:
    """The highest used percent of each window on each day, in the server's time zone."""
    now = time.time()
    begin = _timestamp(since, now)

    def load(connection: Connection, only: list[Account]) -> documents.PeaksDocument:
        return load_peaks(connection, now, accounts=only, since=begin, limit_id=limit_id)

    return json_response(request, _reader(request).query_accounts(account, load, empty_peaks(now, since=begin)))


@router.get("/api/requests", response_model=documents.TurnsDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_requests(
    request: Request,
    account: AccountPrefix = None,
    limit: Annotated[int, Query(ge=1, le=MAX_TURNS)] = 100,
    before: Annotated[
        int | None, Query(ge=1, le=_LARGEST_ID, description="The `next_before` of the previous page.")
    ] = None,
) -> Response:
    """The turns, the newest first."""

    def load(connection: Connection, only: list[Account]) -> list[documents.TurnEntry]:
        return load_turns(connection, only, limit=limit, before=before)

    empty: list[documents.TurnEntry] = []
    turns = _reader(request).query_accounts(account, load, empty)
    document: documents.TurnsDocument = {
        "requests": name_turns(turns) if request.app.state.names_on else turns,
        "next_before": turns[-1]["id"] if len(turns) == limit else None,
    }
    return json_response(request, document)


@past_router.get("/api/breakdown", response_model=documents.UsageDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_breakdown(
    request: Request,
    *,
    account: AccountPrefix = None,
    by: GroupBy = "thread",
    since: Since = "7d",
    window: Annotated[
        str | None, Query(max_length=20, description="A window, by its real length (`30d`) or its slot (`7d`).")
    ] = None,
    limit_id: LimitId = None,
    tree: Annotated[bool, Query(description="List the threads of sub-agents in the rows by thread.")] = False,
    limit: Annotated[
        int, Query(ge=1, le=MAX_ROWS, description="The number of rows; what the others have is in `others`.")
    ] = 500,
) -> Response:
    """What used a window, and the value of its tokens at public API prices.

    Titles, folders and projects of threads are null where the server leaves names out.
    """
    now = time.time()
    begin = _timestamp(since, now)
    names_on = request.app.state.names_on

    def load(connection: Connection, only: list[Account]) -> documents.UsageDocument:
        return load_usage(
            connection,
            now,
            accounts=only,
            by=by,
            since=begin,
            window=window,
            limit_id=limit_id,
            tree=tree,
            projects_of=projects_of if names_on else None,
            prices=prices,
            most=limit,
        )

    try:
        with open_prices() as prices:
            document = _reader(request).query_accounts(account, load, empty_usage(now, by=by, since=begin))
    except NotSeenError as error:
        raise HTTPException(404, str(error)) from error
    except OwnPricesError as error:
        raise HTTPException(503, str(error)) from error
    return json_response(request, name_usage(document) if names_on else document)


@past_router.get("/api/speed", response_model=documents.SpeedDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_speed(
    request: Request, *, account: AccountPrefix = None, by: SpeedBy = "model", since: Since = "7d"
) -> Response:
    """How fast Codex is, beside the same hours of the 28 days (of UTC) before."""
    now = time.time()
    begin = _timestamp(since, now)

    def load(connection: Connection, only: list[Account]) -> documents.SpeedDocument:
        return load_speed(connection, now, accounts=only, by=by, since=begin)

    return json_response(request, _reader(request).query_accounts(account, load, empty_speed(now, by=by, since=begin)))


@router.get("/api/forecast", response_model=documents.ForecastDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_forecast(request: Request, account: AccountPrefix = None) -> Response:
    """When each window runs out."""
    now = time.time()

    def load(connection: Connection, only: list[Account]) -> documents.ForecastDocument:
        return load_forecasts(connection, now, only, recent=request.app.state.recent)

    return json_response(request, _reader(request).query_accounts(account, load, empty_forecasts(now)))


@router.get("/api/overview", response_model=documents.OverviewDocument, responses=_UNCHANGED)
def get_overview(request: Request, search: Search = None, *, every: Every = False) -> Response:
    """How all accounts stand at a glance: a headline, and their windows with levels, the most pressed account first.

    Of more than 200 accounts, it has the most pressed ones and no headline.
    """
    now = time.time()

    def load(connection: Connection) -> documents.OverviewDocument:
        shown = load_shown(connection, now, search=search, every=every)
        document = load_overview(connection, now, shown.accounts, recent=request.app.state.recent)
        # The best of the most pressed accounts is not the one to use.
        return document if shown.summary is None else {**document, "headline": None}

    return json_response(request, _reader(request).query(load, empty_overview(now)))


@past_router.get("/api/events", response_model=documents.EventsPageDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_events(
    request: Request,
    *,
    account: AccountPrefix = None,
    since: Since = "7d",
    kind: Annotated[list[Kind] | None, Query(description="Only events of this kind; repeatable.")] = None,
    limit_id: LimitId = None,
    routine: Annotated[bool, Query(description="False leaves out resets that came when they were due.")] = True,
    limit: Annotated[
        int, Query(ge=1, le=MAX_EVENTS, description="Maximum number of events; the newest are given.")
    ] = 1_000,
) -> Response:
    """What happened: limits reached and freed, windows reset early or moved, use elsewhere."""
    now = time.time()
    begin = _timestamp(since, now)

    def load(connection: Connection, only: list[Account]) -> documents.EventsPageDocument:
        return load_event_page(
            connection,
            now,
            accounts=only,
            since=begin,
            kinds=kind or None,
            limit_id=limit_id,
            routine=routine,
            most=limit,
            recent=request.app.state.recent,
        )

    empty = empty_event_page(now, since=begin, limit_id=limit_id)
    return json_response(request, _reader(request).query_accounts(account, load, empty))


@router.get("/api/next", response_model=documents.NextDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_next(
    request: Request,
    spend: Annotated[
        str,
        Query(
            alias="credits",
            min_length=1,
            max_length=1_000,
            description="Accounts that may spend credits: `none`, `all`, or a comma-separated list of prefixes.",
        ),
    ] = "none",
) -> Response:
    """Which account to use now, and why."""
    now = time.time()

    def load(connection: Connection) -> documents.NextDocument:
        known = load_accounts(connection)
        named = [] if spend in {"none", "all"} else [each.strip() for each in spend.split(",")]
        keys = {find_account(known, each).key for each in named}
        rates = load_token_rates(connection, now, known, recent=request.app.state.recent)
        return rank_accounts(load_status(connection, now, known), rates, credits_for=None if spend == "all" else keys)

    return json_response(request, _reader(request).query(load, rank_accounts(empty_status(now), {})))


@router.get("/api/accounts", response_model=documents.AccountsDocument, responses=_UNCHANGED)
def get_accounts(request: Request) -> Response:
    """All accounts."""
    empty: list[Account] = []
    known = _reader(request).query(load_accounts, empty)
    return json_response(request, {"accounts": [account_entry(account) for account in known]})


@router.get(
    "/api/accounts/{prefix:path}", response_model=documents.AccountDetail, responses={**_UNCHANGED, **_NO_ACCOUNT}
)
def get_account(request: Request, prefix: Prefix) -> Response:
    """One account, and how much is stored for it."""
    return json_response(request, _reader(request).query_account(prefix, _account_detail))


@router.patch(
    "/api/accounts/{prefix:path}",
    response_model=documents.AccountDetail,
    responses={**_GARBLED, **_CHANGED_ACCOUNT},
)
def patch_account(request: Request, prefix: Prefix, change: schemas.AccountChange) -> Response:
    """Give an account a name, or remove the name."""
    reader = _reader(request)
    found = reader.query_account(prefix, lambda _, account: account)
    try:
        name = None if change.name is None else checked_name(change.name)
    except CommandError as error:
        raise _invalid("name", str(error), "body") from error
    try:
        with open_for_writing(_own_file(reader)) as connection:
            rename_account(connection, found.id, name)
    except sqlite3.IntegrityError as error:
        raise HTTPException(409, f"another account already has the name {name!r}") from error
    return json_response(request, reader.query_account(found.key, _account_detail))


@router.delete("/api/accounts/{prefix:path}", response_model=documents.ForgottenAccount, responses=_CHANGED_ACCOUNT)
def delete_account(request: Request, prefix: Prefix) -> Response:
    """Forget an account: delete all its data. This cannot be undone."""
    reader = _reader(request)

    def load(connection: Connection, account: Account) -> tuple[Account, documents.AccountDetail]:
        return account, _account_detail(connection, account)

    found, detail = reader.query_account(prefix, load)
    path = _own_file(reader)
    with open_for_writing(path) as connection:
        forget_account(connection, found.id)
    drop_edited(path)
    files = [each.name for each in residual_files(path)]
    document: documents.ForgottenAccount = {**detail, "files": files}
    return json_response(request, document)


def _own_file(reader: Reader) -> pathlib.Path:
    """Return the file that is served.

    Raises:
        HTTPException: It is a team's database, which is only read.
    """
    path = own_file(reader.place)
    if path is None:
        raise HTTPException(403, "a team's database is not changed here; its administrator has codex-tap team")
    return path


def _account_detail(connection: Connection, account: Account) -> documents.AccountDetail:
    counts = account_counts(connection, account)
    return cast("documents.AccountDetail", {**account_entry(account), **counts._asdict()})


_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`change` events: each says that the database has changed. The first one comes at once.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    503: {**_PROBLEM, "description": "Too many streams are open."},
}


@router.get("/api/stream", response_class=StreamingResponse, responses=_EVENTS)
async def get_stream(request: Request) -> StreamingResponse:
    """Notifications of changes, as server-sent events."""
    hub: Hub = request.app.state.hub
    return hub.respond()


@router.get("/health", response_model=documents.HealthDocument, responses=_UNCHANGED)
def get_health(request: Request) -> Response:
    """Whether the database can be read, and whether readings come in."""
    reader, now = _reader(request), time.time()

    def load(connection: Connection) -> tuple[int, float | None, Losses | None]:
        return count_accounts(connection), newest_observation(connection), load_losses(connection)

    empty: tuple[int, float | None, Losses | None] = (0, None, None)
    number, newest, lost = reader.query(load, empty)
    path = own_file(reader.place)
    document: documents.HealthDocument = {
        "status": "ok" if number else "empty",
        "version": version(),
        "accounts": number,
        "newest_reading_age_seconds": None if newest is None else max(0, int(now - newest)),
        "readings_lost": lost.number if lost else 0,
        "waiting_files": len(spill_files(path)) if path else 0,
    }
    return json_response(request, document)


@router.get("/codex/usage", response_model=LegacyDocument, responses=_UNCHANGED)
def get_legacy_usage(request: Request) -> Response:
    """How much is left, in the older shape."""
    return json_response(request, _legacy_usage(request, None), is_versioned=False)


@router.get("/codex/usage/{token_prefix:path}", response_model=LegacyDocument, responses={**_UNCHANGED, **_NO_ACCOUNT})
def get_legacy_usage_of(request: Request, token_prefix: Prefix) -> Response:
    """How much is left, in the older shape, for one account."""
    return json_response(request, _legacy_usage(request, token_prefix), is_versioned=False)


def _legacy_usage(request: Request, prefix: str | None) -> LegacyDocument:
    now = time.time()

    def load(connection: Connection, only: list[Account]) -> LegacyDocument:
        return load_legacy_usage(connection, now, only)

    empty: LegacyDocument = {"status": "success", "data": {}}
    return _reader(request).query_accounts(prefix, load, empty)
