"""The application: the page, the API and the metrics behind one guard."""

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
from scripts.web.reader import AccountLookupError, Reader
from scripts.web.responses import problem
from scripts.web.security import SecurityMiddleware
from store.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request, Response
    from starlette.types import ASGIApp

PAGE = Path(__file__).with_name("page")

_RETRY_SECONDS = "5"


@dataclass(frozen=True)
class Settings:
    """What is served, and to whom.

    `host` is the address that is listened at. With a `token` every request needs it. `metrics_emails` lets the metrics
    call an account without a name by its e-mail.
    """

    database: Path
    host: str = "127.0.0.1"
    token: str | None = None
    metrics_emails: bool = False


@dataclass(frozen=True)
class App:
    """The guarded application, and what ends its streams."""

    app: ASGIApp
    hub: Hub
    api: FastAPI


def create_app(settings: Settings) -> App:
    """Return the application for a database, which need not exist yet."""
    hub = Hub(settings.database)
    tally = metrics.TurnCounter(settings.database)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.watch())]
        tally.start()
        try:
            yield
        finally:
            hub.close()
            tally.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="codex-tap",
        summary="How much Codex you have left.",
        version=version(),
        lifespan=lifespan,
        docs_url=None,  # their scripts come from other hosts
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be to whatever the Host header says
        # No request of its own: not even where the environment of another program asks for it.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.state.reader = Reader(settings.database)
    app.state.hub = hub
    app.state.metrics = metrics.registry(settings.database, tally, with_emails=settings.metrics_emails)
    app.include_router(api.router)
    app.include_router(metrics.router)
    _add_page(app)
    _add_problems(app)
    return App(SecurityMiddleware(app, host=settings.host, token=settings.token), hub, app)


def _add_page(app: FastAPI) -> None:
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    # A Windows registry may say anything of these, and a browser that is not to guess then refuses them.
    for kind, suffix in (("text/javascript", ".js"), ("text/css", ".css"), ("image/svg+xml", ".svg")):
        mimetypes.add_type(kind, suffix)
    app.add_api_route("/", index, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=PAGE))


def _add_problems(app: FastAPI) -> None:
    handlers: dict[type[Exception], Any] = {
        HTTPException: _http_problem,
        RequestValidationError: _validation_problem,
        AccountLookupError: _account_problem,
        DatabaseError: _database_problem,
        sqlite3.Error: _database_problem,
        Exception: _unexpected_problem,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _http_problem(_: Request, error: HTTPException) -> Response:
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _validation_problem(_: Request, error: RequestValidationError) -> Response:
    # What was sent is not sent back: it may be no text that JSON can carry.
    found = [{"at": "/".join(map(str, each["loc"])), "message": str(each["msg"])} for each in error.errors()]
    return problem(422, "; ".join(f"{each['at']}: {each['message']}" for each in found), errors=found)


async def _account_problem(_: Request, error: AccountLookupError) -> Response:
    candidates = [account.reference for account in error.candidates]
    return problem(409 if error.ambiguous else 404, str(error), candidates=candidates)


async def _database_problem(_: Request, error: DatabaseError | sqlite3.Error) -> Response:
    detail = str(error) if isinstance(error, DatabaseError) else f"the database cannot be used: {error}"
    return problem(503, detail, headers={"Retry-After": _RETRY_SECONDS})


async def _unexpected_problem(_: Request, _error: Exception) -> Response:
    return problem(500, "something went wrong that nobody foresaw; the server's terminal says what")
