"""The application: the page, the API and the metrics behind the access control."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from scripts.support.version import version
from scripts.web import api, metrics
from scripts.web.change_stream import Hub
from scripts.web.kept_filler import KeptFiller
from scripts.web.queued_route import make_queue
from scripts.web.reader import Reader
from scripts.web.response_memory import ResponseMemory
from scripts.web.responses import problem
from scripts.web.security import SecurityMiddleware
from store.errors import DatabaseError, failure_text
from store.queries.accounts import AccountError
from store.queries.recent import Recent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request, Response
    from starlette.types import ASGIApp

    from scripts.support.place import Place

PAGE = Path(__file__).with_name("page")

_RETRY_SECONDS = "5"

_TYPES = (
    ("text/javascript", ".js"),
    ("text/css", ".css"),
    ("image/svg+xml", ".svg"),
    ("application/manifest+json", ".webmanifest"),
)
"""The types of the page's files."""


@dataclass(frozen=True)
class Settings:
    """The settings of the server.

    `host` is the address that the server listens on. If there is a `token`, every request needs it. With
    `metrics_emails` the metrics label an account without a name by its e-mail address. With `names_on` the API has the
    titles, folders and projects of threads.
    """

    database: Place
    host: str = "127.0.0.1"
    token: str | None = None
    metrics_emails: bool = False
    names_on: bool = False


@dataclass(frozen=True)
class App:
    """The protected application, its hub of event streams, and the FastAPI application inside."""

    app: ASGIApp
    hub: Hub
    api: FastAPI


def create_app(settings: Settings) -> App:
    """Return the application for a database, which need not exist yet."""
    hub = Hub(settings.database)
    turn_counter = metrics.TurnCounter(settings.database)
    kept_filler = KeptFiller(settings.database)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.watch())]
        turn_counter.start()
        kept_filler.start()
        try:
            yield
        finally:
            hub.close()
            turn_counter.stop()
            kept_filler.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="codex-tap",
        summary="How much Codex you have left.",
        version=version(),
        lifespan=lifespan,
        docs_url=None,  # the scripts of these pages come from other hosts
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host of the Host header
        # FastAPI must not send requests, whatever the environment configures for other programs.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.state.reader = Reader(settings.database)
    app.state.names_on = settings.names_on
    app.state.hub = hub
    app.state.metrics = metrics.registry(settings.database, turn_counter, with_emails=settings.metrics_emails)
    app.state.queue = make_queue()
    app.state.recent = Recent()
    app.state.memory = ResponseMemory()
    app.include_router(api.router)
    app.include_router(api.past_router)
    app.include_router(metrics.router)
    _add_page(app)
    _add_problems(app)
    return App(SecurityMiddleware(app, host=settings.host, token=settings.token), hub, app)


def _add_page(app: FastAPI) -> None:
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    # A Windows registry may have other types for these, and with nosniff a browser then refuses the files.
    for kind, suffix in _TYPES:
        mimetypes.add_type(kind, suffix)
    app.add_api_route("/", index, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=PAGE))


def _add_problems(app: FastAPI) -> None:
    handlers: dict[type[Exception], Any] = {
        HTTPException: _http_problem,
        RequestValidationError: _validation_problem,
        AccountError: _account_problem,
        DatabaseError: _database_problem,
        sqlite3.Error: _database_problem,
        Exception: _unexpected_problem,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _http_problem(_: Request, error: HTTPException) -> Response:
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _validation_problem(_: Request, error: RequestValidationError) -> Response:
    # The input is not part of the response: JSON may be unable to represent it.
    found = [{"at": "/".join(map(str, each["loc"])), "message": str(each["msg"])} for each in error.errors()]
    return problem(422, "; ".join(f"{each['at']}: {each['message']}" for each in found), errors=found)


async def _account_problem(_: Request, error: AccountError) -> Response:
    candidates = [account.reference for account in error.candidates]
    return problem(409 if error.is_ambiguous else 404, error.summary, candidates=candidates)


async def _database_problem(_: Request, error: DatabaseError | sqlite3.Error) -> Response:
    detail = str(error) if isinstance(error, DatabaseError) else f"the database cannot be used: {failure_text(error)}"
    return problem(503, detail, headers={"Retry-After": _RETRY_SECONDS})


async def _unexpected_problem(_: Request, _error: Exception) -> Response:
    return problem(500, "internal error; see the server's log")
