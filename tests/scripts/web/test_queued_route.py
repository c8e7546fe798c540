"""The queue of questions that may read much: they hold up neither short questions nor the stream."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from scripts.web.queued_route import MAX_AT_ONCE
from store.queries.speed import load_speed
from tests.support.codex_state import write_state
from tests.support.databases import record
from tests.support.harness import wait_until
from tests.support.web_database import reading, turn
from tests.support.web_server import Site, events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 60
"""More questions than the server has threads."""

SHORT = ("/api/usage", "/api/overview", "/api/next", "/api/accounts", "/health", "/metrics", "/")


class LongQuestions:
    """`load_speed`, which computes until it is told to end, like one that reads millions of rows."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.begun = 0
        self.under_way = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def load(self, *args: Any, **named: Any) -> Any:
        """Answer the question once `end` is set."""
        with self._lock:
            self.begun += 1
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        while not self.end.is_set():
            sum(range(1_000))
        with self._lock:
            self.under_way -= 1
        return load_speed(*args, **named)


@pytest.fixture
def long_questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[LongQuestions]:
    """Make the questions for speeds long ones."""
    found = LongQuestions()
    monkeypatch.setattr("scripts.web.api.load_speed", found.load)
    yield found
    found.end.set()


def test_long_questions_hold_up_nothing_else(path: Path, long_questions: LongQuestions) -> None:
    """While long questions are under way and more wait, short ones are answered, and the stream has its events."""
    with Site(path) as site, ThreadPoolExecutor(MANY) as clients:
        long = [clients.submit(site.get, f"/api/speed?since={each + 1}h") for each in range(MANY)]
        try:
            wait_until(lambda: long_questions.under_way == MAX_AT_ONCE, lambda: "no long question is under way")
            assert [site.get(asked).status for asked in SHORT] == [200] * len(SHORT)
            with events(site.port) as lines:
                assert [next(lines) for _ in range(3)][1] == "event: change"
                record(path, reading(15))
                assert next(lines) == "event: change"
            assert site.get("/api/usage").status == 200
            assert not any(each.done() for each in long)
            assert (long_questions.begun, long_questions.under_way) == (MAX_AT_ONCE, MAX_AT_ONCE)
        finally:
            long_questions.end.set()
        assert [each.result().status for each in long] == [200] * MANY
    assert (long_questions.begun, long_questions.most_at_once) == (MANY, MAX_AT_ONCE)


def test_a_question_that_fails_lets_the_next_one_begin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn ends with its response, whatever that is."""

    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    with Site(path) as site:
        with monkeypatch.context() as failing:
            failing.setattr("scripts.web.api.load_speed", fail)
            assert [site.get("/api/speed").status for _ in range(MAX_AT_ONCE + 1)] == [500] * (MAX_AT_ONCE + 1)
        assert site.get("/api/speed?account=nobody").status == 404
        assert site.get("/api/speed").status == 200


def test_what_was_asked_before_is_answered_at_once(path: Path, long_questions: LongQuestions) -> None:
    """It takes no turn, as long as no row has changed; a changed row has another answer."""
    record(path, reading(15))
    with Site(path) as site, ThreadPoolExecutor(MANY) as clients:
        long_questions.end.set()
        first = site.get("/api/speed")
        assert (first.status, long_questions.begun) == (200, 1)
        long_questions.end.clear()
        others = [clients.submit(site.get, f"/api/speed?since={each + 1}h") for each in range(MAX_AT_ONCE)]
        wait_until(lambda: long_questions.under_way == MAX_AT_ONCE, lambda: "no long question is under way")
        again = site.get("/api/speed")
        assert (again.body, again.headers["etag"]) == (first.body, first.headers["etag"])
        assert site.get("/api/speed", If_None_Match=first.headers["etag"]).status == 304
        assert long_questions.begun == 1 + MAX_AT_ONCE
        long_questions.end.set()
        assert [each.result().status for each in others] == [200] * MAX_AT_ONCE
        record(path, reading(16))
        assert site.get("/api/speed").status == 200
        assert long_questions.begun == 2 + MAX_AT_ONCE


def test_one_question_of_many_clients_is_answered_once_for_those_that_wait(
    path: Path, long_questions: LongQuestions
) -> None:
    """Those whose turn comes later find the response of the first ones."""
    with Site(path) as site, ThreadPoolExecutor(MANY) as clients:
        long = [clients.submit(site.get, "/api/speed") for _ in range(MANY)]
        wait_until(lambda: long_questions.under_way == MAX_AT_ONCE, lambda: "no long question is under way")
        long_questions.end.set()
        assert {each.result().status for each in long} == {200}
    assert long_questions.begun == MAX_AT_ONCE


def test_names_and_prices_that_are_written_meanwhile(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next response has them, although the database is the same."""
    home, prices = tmp_path / "codex", tmp_path / "prices.toml"
    home.mkdir()
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setenv("CODEX_TAP_PRICES", str(prices))
    prices.write_text("[models.other]\ninput = 1\noutput = 2\n")
    record(path, reading(15), turn(50, thread="one", model="m"), reading(16, ago=10))
    with Site(path, names_on=True) as site:

        def row() -> Any:
            return site.get("/api/breakdown?since=1h").document["rows"][0]

        assert (row()["title"], row()["api_value_usd"]) == (None, None)
        write_state(home, {"id": "one", "title": "Fix the tests"})
        assert row()["title"] == "Fix the tests"
        prices.write_text("[models.m]\ninput = 1\noutput = 2\n")
        assert row()["api_value_usd"] > 0
