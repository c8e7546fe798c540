"""What the screen shows, loaded in a thread of its own, so that keys are answered however long the history is."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from scripts.codex_files.login import find_login
from scripts.codex_files.names import NO_NAMES, ThreadNames, load_names, name_usage
from scripts.support.database import login_account, session
from scripts.support.database_watcher import DatabaseWatcher
from scripts.support.errors import NOTHING_YET
from scripts.support.place import own_file
from store.analysis.ranking import rank_accounts
from store.errors import DatabaseError, MissingError
from store.queries.forecast import load_forecasts
from store.queries.status import empty_status, load_status
from store.queries.usage import empty_usage, load_token_rates, load_usage
from store.turns_under_way import load_turns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.support.database import Session
    from scripts.support.place import Place
    from store.analysis.ranking import TokenRate
    from store.documents import ForecastDocument, NextDocument, StatusDocument, UsageDocument
    from store.queries.accounts import Account
    from store.turns_under_way import TurnUnderWay

POLL_SECONDS = 1.0
"""How often the database and the files of turns are looked at."""

_MAX_AGE_SECONDS, _MAX_HEAVY_AGE_SECONDS = 60.0, 300.0
"""After so long all is loaded again although nothing has changed: time itself changes what is left."""

_MIN_HEAVY_SECONDS, _SHARE = 2.0, 10
"""Forecasts and use are loaded at most so often, and take at most one in `_SHARE` parts of the time."""


class Shown(NamedTuple):
    """What is shown. `problem` is why the newest could not be read; what was read before stays."""

    status: StatusDocument
    forecasts: ForecastDocument
    usage: UsageDocument
    ranking: NextDocument
    turns: Sequence[TurnUnderWay] = ()
    names: ThreadNames = NO_NAMES
    labels: Mapping[str, str] = {}
    """The label of each account by its key, and by the keys of the accounts that were merged into it."""
    logged_in: str | None = None
    problem: str | None = None


class _Heavy(NamedTuple):
    """What takes long to load on a long history, when it was loaded, and how long that took."""

    forecasts: ForecastDocument
    usage: UsageDocument
    rates: Mapping[str, TokenRate]
    at: float
    seconds: float
    accounts: Sequence[str]


def midnight(now: float, zone: dt.tzinfo | None = None) -> float:
    """Return the beginning of the day of a timestamp, in `zone` or the machine's own."""
    return dt.datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def nothing_shown(now: float, problem: str | None = None) -> Shown:
    """Return what is shown of a database that does not exist yet."""
    status = empty_status(now)
    usage = empty_usage(now, by="thread", since=midnight(now))
    return Shown(status, {"generated_at": int(now), "accounts": []}, usage, rank_accounts(status, {}), problem=problem)


class Loader:
    """Keeps `shown` up to date, once by itself and then in a thread; `number` grows with each change of it."""

    def __init__(self, place: Place, prefixes: Sequence[str] = (), *, names_on: bool = True) -> None:
        """Prepare the loader.

        Args:
            place: the database, which may be created later.
            prefixes: accounts to show; all, if there is none.
            names_on: whether titles of threads are read from Codex's own files.
        """
        self._place = place
        self._prefixes = prefixes
        self._names_on = names_on
        self._watcher = DatabaseWatcher(place)
        self._heavy: _Heavy | None = None
        self._state: object = None
        self._loaded_at = self._changed_at = 0.0
        self._only: str | None = None
        self._read_only: str | None = None
        self._wake = threading.Event()
        self._is_ended = False
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self.shown = nothing_shown(time.time())
        self.number = 0

    def start(self) -> None:
        """Keep `shown` up to date from now on."""
        self._watcher.close()  # SQLite wants a connection to stay in its thread
        self._thread.start()

    def choose(self, account: str | None) -> None:
        """Load the use of today of one account by its key, or of all."""
        if account != self._only:
            self._only = account
            self._wake.set()

    def stop(self) -> None:
        """End the thread; one that is busy ends with the process."""
        self._is_ended = True
        self._wake.set()
        if not self._thread.is_alive():
            self._watcher.close()

    def load(self, now: float) -> None:
        """Bring `shown` up to date.

        Raises:
            AccountError: A prefix matches no account or several.
        """
        state = self._watcher.state()
        path = own_file(self._place)
        turns = load_turns(path, now) if path else []
        if state != self._state:
            self._state, self._loaded_at, self._changed_at = state, 0.0, now
        if not 0 <= now - self._loaded_at < _MAX_AGE_SECONDS or self._wants_heavy(now) or self._only != self._read_only:
            self._loaded_at, self._read_only = now, self._only
            found = self._read(now)
        else:
            found = self.shown
        found = found._replace(turns=turns)
        if turns and self._names_on:
            missing = {turn.thread for turn in turns} - found.names.threads.keys()
            if missing - {None}:
                found = found._replace(names=load_names([*found.names.threads, *missing]))
        if found != self.shown:
            self.shown = found
            self.number += 1

    def _run(self) -> None:
        while not self._is_ended:
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            try:
                self.load(time.time())
            except Exception as error:  # noqa: BLE001 (the screen says so, and goes on)
                self._fail(f"{type(error).__name__}: {error}")
        self._watcher.close()

    def _fail(self, problem: str) -> None:
        self._loaded_at = 0.0  # the next poll tries again
        if self.shown.problem != problem:
            self.shown = self.shown._replace(problem=problem)
            self.number += 1

    def _read(self, now: float) -> Shown:
        try:
            with session(self._place, self._prefixes) as found:
                return self._read_session(found, now)
        except MissingError:
            self._heavy = None
            return nothing_shown(now, NOTHING_YET)
        except (DatabaseError, sqlite3.Error, OSError) as error:
            self._loaded_at = 0.0  # the next poll tries again
            return self.shown._replace(problem=str(error))

    def _read_session(self, found: Session, now: float) -> Shown:
        login = find_login(os.environ)
        status = load_status(found.connection, now, found.accounts)
        heavy = self._heavy
        keys = [account.key for account in found.accounts if self._only in {None, account.key}]
        if heavy is None or heavy.accounts != keys or self._wants_heavy(now):
            heavy = self._heavy = self._read_heavy(found, now, keys)
        logged_in = login_account(found, login.account_id, now).status if login.account_id else None
        return Shown(
            status,
            heavy.forecasts,
            heavy.usage,
            rank_accounts(status, heavy.rates),
            self.shown.turns,
            self.shown.names,
            _labels(found.known),
            logged_in and logged_in["account"],
        )

    def _read_heavy(self, found: Session, now: float, keys: Sequence[str]) -> _Heavy:
        began = time.monotonic()
        accounts = [account for account in found.accounts if account.key in keys]
        usage = load_usage(found.connection, now, accounts=accounts, since=midnight(now))
        return _Heavy(
            load_forecasts(found.connection, now, found.accounts),
            name_usage(usage) if self._names_on else usage,
            load_token_rates(found.connection, now, found.accounts),
            now,
            time.monotonic() - began,
            keys,
        )

    def _wants_heavy(self, now: float) -> bool:
        """Return True if forecasts and use are old, or of before the last change or midnight, and may be loaded now."""
        heavy = self._heavy
        if heavy is None or 0 <= now - heavy.at < max(_MIN_HEAVY_SECONDS, _SHARE * heavy.seconds):
            return False
        return (
            not 0 <= now - heavy.at < _MAX_HEAVY_AGE_SECONDS
            or heavy.at < self._changed_at
            or midnight(heavy.at) != midnight(now)
        )


def _labels(known: Sequence[Account]) -> dict[str, str]:
    return {key: account.label for account in known for key in (account.key, *account.merged)}
