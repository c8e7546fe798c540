"""The doors of the pinned outputs: the recorder, the command line, the API, and a stopped clock.

The product's modules are imported here and nowhere else for these tests, so that a change of its tree is one change of
this file.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import pytest

from scripts.cli import cli
from scripts.web.app import PAGE
from store.analysis.hourly_usage import HourlyUsage, UsageSample, usable_samples
from store.models import (
    Credits,
    Identity,
    Limit,
    RateLimits,
    Sighting,
    SightingKind,
    Snapshot,
    Source,
    Tokens,
    Transport,
    Turn,
    Window,
)
from store.record.recorder import Recorder
from store.settings import data_folder
from tests.addon import test_golden
from tests.support import web_server
from tests.support.prices import install_made_up_prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

NOW = 1_795_262_400
"""The time of every output: Saturday, 2026-11-21 12:00 UTC."""

Entry = Snapshot | Turn | Sighting
Account = Identity
OneLimit = Limit

_HOMES = (
    *("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "WIN_PD_OVERRIDE_LOCAL_APPDATA", "CODEX_HOME"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"),
)
_UNSET = (
    *("NO_COLOR", "FORCE_COLOR", "COLORTERM", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("CODEX_TAP_TOKEN", "CODEX_TAP_ALERTS", "CODEX_TAP_PRICES", "CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"),
    *("NODE_EXTRA_CA_CERTS", "CODEX_THREAD_ID", "CODEX_SESSION_ID"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
_WIDE = 2_000
"""Columns of the help, so that click wraps nothing."""


# Environment


@contextlib.contextmanager
def stand_still(home: Path) -> Iterator[pytest.MonkeyPatch]:
    """Stop the clock at `NOW` in UTC, and take `home` for every home folder and for the database's folder.

    Prices of models are made up: those of the package change with its releases.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in _UNSET:
            patch.delenv(name, raising=False)
        for name in _HOMES:
            patch.setenv(name, str(home))
        for name, value in (("TZ", "UTC"), ("TERM", "xterm-256color"), ("LINES", "50"), ("SHELL", "/bin/sh")):
            patch.setenv(name, value)
        patch.setenv("CODEX_TAP_DB", str(home / "tap.sqlite3"))
        patch.setattr(time, "time", lambda: float(NOW))
        install_made_up_prices(patch)
        _read_time_zone()
        yield patch
    _read_time_zone()


def _read_time_zone() -> None:
    if sys.platform != "win32":
        time.tzset()


def stop_at_first_sleep(patch: pytest.MonkeyPatch) -> None:
    """Let a command that repeats itself end at its first pause, as Ctrl-C ends it."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    patch.setattr(time, "sleep", interrupt)


def user_data_folder() -> Path:
    """Return the folder in which the product keeps its files."""
    return data_folder()


def version() -> str:
    """Return the product's version."""
    return run(["--version"]).stdout.split()[-1]


# Recording


def identity(name: str, **fields: Any) -> Identity:
    """Return a made-up account; `fields` take the place of what follows from its name."""
    usual = {
        "token_key": f"{name}~0000000001",
        "account_id": f"acct-{name}",
        "user_id": f"user-{name}",
        "email": f"{name}@example.com",
    }
    return Identity(**{**usual, **fields})


def limit(windows: Mapping[str, tuple[float | None, int | None, int | None]] | None, **fields: Any) -> Limit:
    """Return a limit; a window is its used percent, its minutes and its reset."""
    if windows is None:
        return Limit(**fields)
    found = {
        slot: Window(used_percent=used, window_minutes=minutes, resets_at=resets_at)
        for slot, (used, minutes, resets_at) in windows.items()
    }
    return Limit(windows=found, **fields)


def credit(*, has: bool, balance: str | None = None, **fields: Any) -> Credits:
    """Return what a message says of credits."""
    return Credits(has_credits=has, balance=balance, **fields)


def sightings(kind: str, name: str, times: int) -> list[Entry]:
    """Return what was seen by name so many times, an hour ago for the last time."""
    return [Sighting(kind=SightingKind(kind), name=name, seen_at=NOW - 3_600 - number) for number in range(times)]


def snapshot(
    who: Identity,
    at: float,
    *limits: Limit,
    source: str = "headers",
    about: Mapping[str, Any] | None = None,
    **said: Any,
) -> Snapshot:
    """Return a message about limits; `about` are its status, model and thread, `said` is the rest of what it says."""
    reading = RateLimits(limits=limits, **said)
    return Snapshot(identity=who, observed_at=at, source=Source(source), reading=reading, **(about or {}))


def turn(
    who: Identity, ended_at: float, *, transport: str = "websocket", tokens: tuple[int, ...] = (), **fields: Any
) -> Turn:
    """Return a turn of 20 seconds; `tokens` are input, cached, output and reasoning."""
    names = ("input", "cached", "output", "reasoning")
    usual = {"started_at": ended_at - 20, "first_byte_at": ended_at - 14, "ended_at": ended_at}
    return Turn(
        identity=who,
        transport=Transport(transport),
        tokens=Tokens(**dict(zip(names, tokens, strict=False))),
        **{**usual, **fields},
    )


def _parse(entry: Entry | Callable[[], Entry | None]) -> Entry | None:
    return entry() if callable(entry) else entry


def record(path: Path, entries: Iterable[Entry | Callable[[], Entry | None]]) -> None:
    """Bring entries to the database at `path` as the tap does, in their order."""
    recorder = Recorder(path, _parse)
    recorder.start()
    for entry in entries:
        recorder.put(entry)
    assert recorder.close()


def capture_entries() -> Iterator[tuple[str, list[Entry]]]:
    """Yield each capture of ``tests/data`` by its name, with what the tap would record of it."""
    for path in test_golden.CAPTURES:
        capture = test_golden.load(path)
        who = identity(path.stem)
        if capture["source"] == "turn":
            yield path.stem, [test_golden.read_turn(capture).model_copy(update={"identity": who})]
            continue
        yield (
            path.stem,
            [
                Snapshot(
                    identity=who,
                    observed_at=capture["observed_at"],
                    source=told.source,
                    status=told.status,
                    reading=told.reading,
                )
                for told in test_golden.read(capture)
            ],
        )


# Reading a database without the product


def connect(path: Path) -> sqlite3.Connection:
    """Open a database the way any other program does."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    return connection


def rows(connection: sqlite3.Connection, table: str, where: str = "1", values: Sequence[object] = ()) -> list[str]:
    """Return the rows of a table or view as lines of JSON, without the columns that are null."""
    found = connection.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608 (names of our own tables)
    return [json.dumps({name: row[name] for name in row.keys() if row[name] is not None}) for row in found]  # noqa: SIM118


# The command line


class Output(NamedTuple):
    """The output and the exit code of a command."""

    stdout: str
    stderr: str
    exit_code: int


class _Stream(io.TextIOWrapper):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8", content: str = "") -> None:
        buffer = io.BytesIO(content.encode())
        super().__init__(buffer, encoding=encoding, errors="replace", newline="\n", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        """Return the text written so far."""
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def run(arguments: Sequence[str], *, terminal: bool = False, encoding: str = "utf-8", stdin: str = "") -> Output:
    """Run a command line in this process."""
    given = _Stream(terminal=False, content=stdin)
    out, err = (_Stream(terminal=terminal, encoding=encoding) for _ in range(2))
    before, sys.stdin = sys.stdin, given
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main(list(arguments), prog_name="codex-tap", terminal_width=_WIDE)
                code: object = 0
            except SystemExit as ended:
                code = ended.code
    finally:
        sys.stdin = before
    return Output(out.text, err.text, code if isinstance(code, int) else 0 if code is None else 1)


def commands() -> dict[str, click.Command]:
    """Return every command and group by its words: ``""`` is codex-tap itself."""
    return dict(_walk(cli, click.Context(cli, info_name="codex-tap"), ()))


def _walk(
    command: click.Command, context: click.Context, words: tuple[str, ...]
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _walk(found, click.Context(found, parent=context, info_name=name), (*words, name))


# One rule of the forecast and of the page, which no command shows by itself


PAGE_LINES = PAGE / "series.js"
"""The module that makes lines of a history in the browser."""


def forecast_points(readings: Sequence[tuple[float, float, float | None]], now: float, length: float) -> float:
    """Return the points that the forecast takes for used between readings: time, used percent, reset."""
    samples = [UsageSample(at, at, used, resets_at) for at, used, resets_at in readings]
    return sum(HourlyUsage(usable_samples(samples, now), now, length, utc_offset=0.0).used)


# The API


Response = web_server.Answer
WRITE = web_server.WRITE
ask = web_server.ask


@contextlib.contextmanager
def site(database: Path, **settings: Any) -> Iterator[web_server.Site]:
    """Serve the API of a database on a port of its own."""
    with web_server.Site(database, **settings) as found:
        yield found
