"""Isolation from the user's home, data and proxy, hypothesis profiles, and fixtures that many folders share."""

from __future__ import annotations

import itertools
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from scripts.demo.backend import Backend
from tests.support.harness import require_codex
from tests.support.postgres import PostgresServer, running_postgres

with warnings.catch_warnings():
    # mitmproxy and its libraries use deprecated names of their own dependencies.
    warnings.simplefilter("ignore", DeprecationWarning)
    import mitmproxy.addons  # noqa: F401 (imported for its warnings)

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("fast", max_examples=30, deadline=None, print_blob=True)
settings.register_profile(
    "thorough",
    max_examples=150,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

_HOME_VARIABLES = (
    "HOME",
    "USERPROFILE",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "APPDATA",
    "LOCALAPPDATA",
    "WIN_PD_OVERRIDE_LOCAL_APPDATA",
    "CODEX_HOME",
)
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_POSTGRES_VARIABLES = tuple(name for name in os.environ if name.startswith("PG"))
_CODEX_VARIABLES = ("CODEX_THREAD_ID", "CODEX_SESSION_ID")
_TRUST_VARIABLES = ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


@pytest.fixture(scope="module", name="codex")
def _codex() -> str:
    """Return the real Codex CLI, or skip the tests that need it."""
    return require_codex()


@pytest.fixture(scope="module", name="backend")
def _backend() -> Iterator[Backend]:
    """Run the stand-in; like the real backend it offers HTTP/1.1 and HTTP/2, and the client chooses."""
    with Backend(http2=True) as backend:
        yield backend


@pytest.fixture(scope="session", name="postgres_server")
def _postgres_server() -> Iterator[PostgresServer]:
    """Run PostgreSQL, one server for each process of tests, or skip the tests that need it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def team_database(postgres_server: PostgresServer) -> str:
    """Return the name of a team's database without rows, for this test alone."""
    return postgres_server.create_team_database()


@pytest.fixture(scope="session", name="homes")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the names of folders, one for each test; `mktemp` would look at all folders for the next number."""
    parent = tmp_path_factory.mktemp("homes")
    return (parent / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _away_from_home(monkeypatch: pytest.MonkeyPatch, homes: Iterator[Path]) -> None:
    """Put the database and the home folders of every platform into a folder of the test."""
    folder = next(homes)
    folder.mkdir(mode=0o700)
    for name in _HOME_VARIABLES:
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("CODEX_TAP_DB", str(folder / "codex-tap.sqlite3"))
    for name in (*_PROXY_VARIABLES, *_TRUST_VARIABLES, *_CODEX_VARIABLES, *_POSTGRES_VARIABLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def path() -> Path:
    """Return the path of the default database, in a folder of the test; the file does not exist yet."""
    return Path(os.environ["CODEX_TAP_DB"])


@pytest.fixture(autouse=True)
def _log_records_as_they_are() -> Iterator[None]:
    """Restore the log record factory, which a tap in this process replaces to reduce all log messages."""
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
