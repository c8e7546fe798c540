"""The page in a real browser, on a real `codex-tap serve`."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import expect

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, WireWindow, limit_headers, token_counts
from scripts.render.console import clock_time
from scripts.render.forecast import words
from scripts.render.team import silence_line
from store.analysis import formatting
from store.analysis.forecast import NO_RESET_REPORTED, TOO_LITTLE_HISTORY, Forecast
from store.constants import MANY_ACCOUNTS, MOST_PRESSED
from store.models import Budget, Credits, Identity, ModelUsage, Source, Tokens, Window
from tests.support.browser import PHONE, opened, running_browser
from tests.support.codex_state import write_state
from tests.support.command_line import started
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, turn, windows
from tests.support.harness import Proxy, codex_environment, free_port
from tests.support.page_states import record_accounts
from tests.support.synthetic_history import Size, generate
from tests.support.web_server import WRITE, Program, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator

    from scripts.demo.backend import Backend
    from store.models import Snapshot
    from store.record.writer import Entry
    from tests.support.browser import Watched
    from tests.support.postgres import PostgresServer

TOKEN = "made-up-token-for-tests"
LOST = r"console: Failed to load resource: net::ERR_|ERR_INCOMPLETE_CHUNKED_ENCODING"
"""The browser's own errors about a lost connection."""
DENIED = r"status of 401"
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
DIRECTION = "\u202egnp.exe"
HOSTILE = Identity(
    token_key="evil~0000000003",
    account_id='acct-"><script>alert(3)</script>',
    user_id="u" * 100,
    email=f"{MARKUP}&amp;{DIRECTION}{'w' * 150}@example.com",
)


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module", name="server")
def _server(folder: Path) -> Iterator[Program]:
    """A server that most tests share: `path` is its database."""
    with Program("--db", folder / "page.sqlite3", CODEX_HOME=str(folder / "codex")) as server:
        yield server


@pytest.fixture(name="codex_home")
def _codex_home(folder: Path) -> Path:
    """The CODEX_HOME of `server`."""
    return folder / "codex"


@pytest.fixture(name="path")
def _path(folder: Path, server: Program) -> Path:
    """The empty database of `server`."""
    for account in ask(server.port, "GET", "/api/accounts").document["accounts"]:
        ask(server.port, "DELETE", f"/api/accounts/{quote(account['account'], safe='')}", WRITE)
    return folder / "page.sqlite3"


def reading(five: float, seven: float = 41.0, *, who: Identity = ALICE, age: float = 10, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, `age` seconds ago."""
    now = time.time()
    return snapshot(limit(windows(five, seven, at=now)), who=who, at=now - age, **fields)


def several() -> list[Entry]:
    """Accounts in every state that a card can show."""
    now = time.time()
    closed = limit(windows(1, 100, at=now))
    month = Window(used_percent=37.0, window_minutes=43_200, resets_at=int(now) + 1_000_000)
    over = Window(used_percent=103.0, window_minutes=300, resets_at=int(now) - 3_600)
    spark = limit(windows(62, 81, at=now), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark")

    def who(name: str) -> Identity:
        return Identity(token_key=f"{name}~0", account_id=f"acct-{name}", user_id="user", email=f"{name}@example.com")

    money = Credits(has_credits=True, unlimited=False, balance="9.5")
    return [
        snapshot(limit(windows(13, 41.5, at=now)), spark, at=now - 10, plan_type="plus", credits=money),
        snapshot(closed, who=who("weekly"), at=now - 10, plan_type="pro"),
        snapshot(limit({"5h": over}), who=who("unseen"), at=now - 90_000),
        snapshot(limit({"30d": month}), who=who("month"), at=now - 5_000, plan_type="free"),
        snapshot(limit({"7d": Window(used_percent=None, window_minutes=10_080)}), who=who("unsure"), at=now - 10),
    ]


def past() -> list[Entry]:
    """A few hours of one account: two threads, and a reset on the way."""
    now = time.time()
    resets = int(now) - 7_200
    told = [(-14_000, 20.0, 30.0), (-12_000, 60.0, 34.0), (-7_000, 5.0, 35.0), (-3_000, 12.0, 38.0), (-60, 30.0, 40.0)]
    entries: list[Entry] = []
    for after, five, seven in told:
        until = resets if after < -7_200 else resets + 18_000
        found = {
            "5h": Window(used_percent=five, window_minutes=300, resets_at=until),
            "7d": Window(used_percent=seven, window_minutes=10_080, resets_at=int(now) + 300_000),
        }
        entries.append(snapshot(limit(found), at=now + after))
        thread, model = ("thread-one", "gpt-6.1-sol") if after < -5_000 else ("thread-two", "gpt-6.1-luna")
        tokens = Tokens(input=50_000, cached=40_000, output=2_000, reasoning=100)
        entries.append(turn(thread, at=now + after + 30, model=model, status=200, tokens=tokens))
    return entries


def card(watched: Watched, label: str) -> str:
    """Return the text of an account's card, with single spaces."""
    return " ".join(watched.page.get_by_role("article", name=label, exact=True).inner_text().split())


def figure(watched: Watched, text: str) -> Locator:
    """A figure on a card."""
    return watched.page.locator("#cards").get_by_text(text, exact=True)


# What is there


def test_cards(browser: Browser, server: Program, path: Path) -> None:
    """The card of each account shows its windows, what is left, the reset, the plan and the age; credits if any."""
    record(path, *several())
    with opened(browser, server.port, wait=".card") as watched:
        alice = card(watched, "alice@example.com")
        clock = f"{dt.datetime.fromtimestamp(int(time.time()) + 9_000):%H:%M}"  # noqa: DTZ006 (as a wall clock shows it)
        hour = clock[:3]
        assert re.search(rf"plus ⋯ 5 h 87 % left 13 % used resets in 2 h (29|30) min · (\w+ )?{hour}", alice), alice
        assert re.search(r"7 d 58.5 % left 41.5 % used resets in 3 d 11 h · ", alice), alice
        assert re.search(r"Credits 9.5 1 further limit Seen \d\d s ago$", alice), alice
        meter = watched.page.get_by_role("article", name="alice@example.com").get_by_role("meter").first
        assert meter.get_attribute("aria-valuenow") == "87"
        assert meter.get_attribute("aria-valuetext") == "87 % left, 13 % used"

        weekly = card(watched, "weekly@example.com")
        assert re.search(r"pro ⋯ Blocked by weekly until \w+ \d\d:\d\d 5 h 99 % left 1 % used", weekly), weekly
        unseen = card(watched, "unseen@example.com")
        assert re.search(r"5 h 100 % left 0 % used reset, not seen since \(due .*\) Old: seen 1 d 1 h ago$", unseen), (
            unseen
        )
        month = card(watched, "month@example.com")
        assert re.search(r"free ⋯ 30 d 63 % left 37 % used resets in 11 d .*Old: seen 1 h 23 min ago", month), month
        assert "7 d left unknown reset unknown" in card(watched, "unsure@example.com")
        assert watched.page.title() == "100 % · codex-tap"


def test_colours(browser: Browser, server: Program, path: Path) -> None:
    """A bar without a forecast is green below 50 % used, yellow to 80 and red above."""
    levels = {0: "low", 49.9: "low", 50: "medium", 80: "medium", 80.1: "high"}
    now = time.time()
    with opened(browser, server.port) as watched:
        root = "getComputedStyle(document.documentElement)"
        for used, level in levels.items():
            window = Window(used_percent=used, window_minutes=300, resets_at=int(now) + 9_000)
            who = Identity(
                token_key=f"{used}~0", account_id=f"acct-{used}", user_id="user", email=f"{used}@example.com"
            )
            record(path, snapshot(limit({"5h": window}), who=who, at=now))
            named = watched.page.evaluate(f"{root}.getPropertyValue('--{level}').trim()")
            red, green, blue = (int(named[place : place + 2], 16) for place in (1, 3, 5))
            bar = watched.page.get_by_role("article", name=f"{used}@example.com", exact=True).locator(".fill")
            expect(bar).to_have_css("background-color", f"rgb({red}, {green}, {blue})")


def test_colours_follow_the_forecast(browser: Browser, server: Program, path: Path) -> None:
    """A nearly full window that lasts is green, a nearly empty one that runs dry is red, and so are the words."""
    now = time.time()

    def week(who: Identity, age: float, used: float, left: float) -> Snapshot:
        window = Window(used_percent=used, window_minutes=10_080, resets_at=int(now + left))
        return snapshot(limit({"7d": window}), who=who, at=now - age)

    ages = [60.0 + 7_200 * number for number in range(36)]
    record(path, *(week(ALICE, age, 85 - number * 85 / 36, 3_600) for number, age in reversed(list(enumerate(ages)))))
    record(path, *(week(BOB, age, 36.0 - number, 600_000) for number, age in reversed(list(enumerate(ages)))))
    with opened(browser, server.port, wait=".card") as watched:
        for who, level, word in (
            (ALICE, "low", "Lasts until the reset"),
            (BOB, "high", "likely to run dry, at about "),
        ):
            found = watched.page.get_by_role("article", name=who.email or "", exact=True)
            expect(found.locator(".forecast")).to_contain_text(word)
            expect(found.locator(".window")).to_have_attribute("data-level", level)
            expect(found.locator(".forecast")).to_have_attribute("data-level", level)
            expect(found.locator(".forecast p").first).to_be_hidden()
            found.locator(".forecast summary").click()
            expect(found.locator(".forecast p").first).to_be_visible()
            expect(found.locator(".gone")).to_have_count(1)
            expect(found.locator(".band")).to_have_count(1)
        labels = watched.page.locator(".card h3").all_inner_texts()
        assert labels == ["bob@example.com", "alice@example.com"], "the most pressed account is the first"


def test_further_limits_are_folded(browser: Browser, server: Program, path: Path) -> None:
    """Further limits are folded, and stay open while values change and other accounts disappear."""
    record(path, reading(50, who=BOB), *several()[:4])
    with opened(browser, server.port, wait=".card") as watched:
        spark = watched.page.get_by_role("heading", name="GPT-5.3-Codex-Spark").first
        expect(spark).to_be_hidden()
        watched.page.get_by_text("1 further limit").click()
        expect(spark).to_be_visible()
        alice = watched.page.get_by_role("article", name="alice@example.com")
        expect(alice.get_by_role("meter", name="7 d window").last).to_have_attribute("aria-valuenow", "19")
        alice.locator(".menu summary").focus()
        record(path, reading(14))
        expect(figure(watched, "86 %")).to_be_visible()
        ask(server.port, "DELETE", "/api/accounts/bob@example.com", WRITE)
        expect(watched.page.get_by_role("article", name="bob@example.com")).to_have_count(0)
        expect(spark).to_be_visible()
        assert watched.page.evaluate("document.activeElement.ariaLabel") == "Actions for alice@example.com"


def test_a_budget(browser: Browser, server: Program, path: Path) -> None:
    """A budget stands for a main limit without windows, with its amounts; models and banked resets are told."""
    now = time.time()
    amounts = Budget(limit="25000", used="24000", remaining="1000")
    window = {"budget": Window(used_percent=96.0, resets_at=int(now) + 19 * 86_400)}
    budget = limit(window, limit_id="spend_control", limit_name="Monthly credit limit", budget=amounts)
    models = {"gpt-6-astra": ModelUsage(available=False, available_at=int(now) + 9 * 86_400)}
    banked: dict[str, Any] = {
        "reset_credits": 2,
        "reset_credits_applicable": 0,
        "reset_credits_expire": (int(now) + 86_400,),
    }
    record(path, snapshot(limit({}), budget, at=now - 10, model_usage=models, **banked))
    with opened(browser, server.port, wait=".card") as watched:
        words = watched.words(".card")
        assert "Monthly credit limit: 24,000 of 25,000 credits" in words
        assert "budget 4 % left 96 % used" in words
        assert "Resets to spend 2 (none now, until " in words
        assert "gpt-6-astra not available until " in words
        assert "1 further limit" in words


def test_past(browser: Browser, server: Program, path: Path) -> None:
    """Below the cards are the charts, the use and the events of the chosen time range."""
    record(path, *past())
    with opened(browser, server.port, wait=".chart canvas") as watched:
        chart = watched.page.get_by_role("img", name="alice@example.com")
        short = "5 h window now 30 %, highest 60 %, 1 reset"
        long = "7 d window now 40 %, highest 40 %, 0 resets"
        label = re.compile(re.escape(f"alice@example.com · codex: {short}") + ".*" + re.escape(long))
        expect(chart).to_have_attribute("aria-label", label)
        expect(watched.page.locator(".legend")).to_contain_text("5 h 30 % 1 reset")
        drawn = "(canvas) => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
        assert watched.page.locator(".chart canvas").evaluate(drawn) > 20
        threads = watched.page.locator("#used section").first
        expect(threads).to_contain_text("5 turns; together 10 % of the 7 d window")
        expect(threads.locator("li").first).to_contain_text("thread-one")
        expect(watched.page.locator("#used section").last).to_contain_text("gpt-6.1-luna")
        expect(watched.page.locator("#events")).to_contain_text("1 routine reset not shown")
        watched.page.get_by_role("combobox", name="Show").select_option("window_reset")
        expect(watched.page.locator("#events")).to_contain_text(
            "The 5 h window was reset when it was due, from 60 % used to 5 %."
        )

        chart.hover()
        expect(watched.page.locator(".legend")).not_to_contain_text("1 reset")
        watched.page.get_by_role("radio", name="24 h").focus()
        watched.page.keyboard.press("ArrowLeft")
        expect(watched.page.get_by_role("radio", name="5 h")).to_be_checked()
        watched.page.reload()
        expect(watched.page.get_by_role("radio", name="5 h")).to_be_checked()


def test_one_account_of_several_can_be_chosen(browser: Browser, server: Program, path: Path) -> None:
    """All accounts show their main limits; a chosen account shows all its limits and its own use."""
    record(path, *past(), reading(50, who=BOB), turn("thread-of-bob", who=BOB, at=time.time() - 20))
    with opened(browser, server.port, wait=".chart canvas") as watched:
        expect(watched.page.get_by_role("img", name="5 h window")).to_have_count(2)
        expect(watched.page.locator("#used")).to_contain_text("thread-of-bob")
        watched.page.get_by_role("combobox", name="Account").select_option(label="alice@example.com")
        expect(watched.page.get_by_role("img", name="5 h window")).to_have_count(1)
        expect(watched.page.locator("#used")).not_to_contain_text("thread-of-bob")


def test_threads_have_titles_and_projects(browser: Browser, server: Program, path: Path, codex_home: Path) -> None:
    """They are text, whatever Codex has written; without any that is known, there is no block of projects."""
    titles = turn("title-1", at=time.time() - 30, subagent="thread_title", model="m", status=200)
    record(path, *past(), titles)
    with opened(browser, server.port, wait="#used section") as watched:
        expect(watched.page.locator("#used section")).to_have_count(2)

    write_state(
        codex_home,
        {"id": "thread-one", "title": MARKUP, "cwd": "/work/shop"},
        {"id": "thread-two", "title": "Fix the tests", "cwd": "/work/blog"},
    )
    try:
        with opened(browser, server.port, wait="#used section") as watched:
            threads, projects, _ = watched.page.locator("#used section").all()
            expect(threads).to_contain_text("Fix the tests")
            expect(threads).to_contain_text("Titles of threads")
            expect(threads).to_contain_text(MARKUP)
            expect(projects).to_contain_text("shop")
            expect(projects).to_contain_text("no project known")
    finally:
        (codex_home / "state_5.sqlite").unlink()


def test_nothing_yet(browser: Browser, tmp_path: Path) -> None:
    """Without data the page says what to do, and updates itself with the first reading."""
    path = tmp_path / "page.sqlite3"
    with Program("--db", path) as server, opened(browser, server.port, wait="#empty") as watched:
        assert "codex-tap run codex" in watched.words("#empty")
        expect(watched.page.locator("#past")).to_be_hidden()
        record(path, reading(13))
        expect(figure(watched, "87 %")).to_be_visible()
        expect(watched.page.locator("#empty")).to_be_hidden()
        expect(watched.page.locator(".chart canvas")).to_be_visible()


# At a glance


def headline(watched: Watched) -> str:
    return watched.words("#headline")


def test_the_headline(browser: Browser, server: Program, path: Path) -> None:
    """It says which account to use, which ones are closed until when, and how the longest window stands."""
    record(path, reading(13))
    with opened(browser, server.port, wait="#headline") as watched:
        assert headline(watched) == "All right · this week 59 % left"
        full = limit(windows(100, 20, at=time.time()))
        record(path, snapshot(full, who=BOB, at=time.time() - 5))
        clock = f"{dt.datetime.fromtimestamp(int(time.time()) + 9_000):%H:}"  # noqa: DTZ006 (as a wall clock shows it)
        expect(watched.page.locator("#headline")).to_contain_text(
            re.compile("^Use alice@example.com · bob@example.com is")
        )
        assert re.fullmatch(
            rf"Use alice@example.com · bob@example.com is full until (\w+ )?{clock}\d\d · this week 59 % left",
            headline(watched),
        )
        watched.page.get_by_role("radio", name="used").check()
        expect(watched.page.locator("#headline")).to_contain_text("this week 41 % used")
        watched.page.reload()
        expect(watched.page.get_by_role("radio", name="used")).to_be_checked()
        expect(figure(watched, "13 %").first).to_be_visible()
        ask(server.port, "DELETE", "/api/accounts/alice@example.com", WRITE)
        expect(watched.page.locator("#headline")).to_have_text(re.compile(rf"^Full until (\w+ )?{clock}\d\d$"))


WINDOW = {"slot": "7d", "window_minutes": 10_080, "used_percent": 38.0, "reset_unseen": False, "runs_dry_at": None}
ACCOUNT = {"label": "work"}


@pytest.mark.parametrize(
    ("found", "several", "sentence"),
    [
        ({"level": "low", "windows": [{"forecast_level": "low"}]}, True, "Use work · this week 62 % left, on pace"),
        ({"level": "low", "windows": [{"forecast_level": "low"}]}, False, "All right · this week 62 % left, on pace"),
        (
            {"level": "medium", "windows": [{"forecast_level": "medium"}]},
            False,
            "May not last · this week 62 % left, may run dry",
        ),
        (
            {"level": "high", "windows": [{"forecast_level": "high", "slot": "5h", "window_minutes": 300}, {}]},
            False,
            "Will not last at this pace · 5 h 62 % left, runs dry · this week 62 % left",
        ),
        ({"windows": [{"window_minutes": 43_200, "used_percent": None}]}, False, "Open · this month unknown"),
        (
            {"windows": [{"used_percent": 0, "reset_unseen": True}]},
            True,
            "Use work · this week 100 % left, reset, not seen since",
        ),
        ({"on_credits": True}, True, "Use work, on credits"),
        ({"state": "unknown"}, True, "Nothing is known now of work"),
        ({"state": "wait", "closed": [{"until": None}]}, True, "No account can be used now · lab is full"),
        ({"state": "wait", "closed": [{"until": None}]}, False, "Full"),
        ({"closed": [{"length": None}]}, True, "Use work · lab is blocked"),
        ({"closed": [{}] * 5}, True, "Use work · lab is full · lab is full · 3 more are closed"),
        (None, True, ""),
    ],
)
def test_the_sentence_of_the_headline(
    module: Watched, found: dict[str, Any] | None, several: bool, sentence: str
) -> None:
    """Each state has its words; the rules are those of the API."""
    document: Any = found and {"state": "use", "account": ACCOUNT, "on_credits": False, "level": None, **found}
    if document:
        document["windows"] = [{**WINDOW, "forecast_level": None, **each} for each in document.get("windows", [])]
        document["closed"] = [
            {"label": "lab", "length": "5h", "until": None, **each} for each in document.get("closed", [])
        ]
    script = """async ([found, several]) => {
        const all = (await import('/static/headline.js')).headlineBody(found, several, 'left', 0);
        return all.map((each) => each.textContent).join('');
    }"""
    assert module.page.evaluate(script, [document, several]) == sentence


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"chance_dry": 0.19, "chance_lasts": 0.81, "forecast_level": "medium"}, "81 % likely to last"),
        ({"chance_dry": 0.0, "chance_lasts": 1, "forecast_level": "low"}, "Lasts until the reset"),
        ({"chance_dry": 0.001, "chance_lasts": 0.999, "forecast_level": "low"}, "99 % likely to last"),
        ({"chance_dry": 0.9, "chance_lasts": 0.1, "forecast_level": "high"}, "90 % likely to run dry"),
        ({"chance_dry": 1, "chance_lasts": 0, "forecast_level": "high"}, "Runs dry"),
        ({"chance_dry": 1, "chance_lasts": None, "forecast_level": "high"}, None),
        ({"note": TOO_LITTLE_HISTORY}, "Too little history for a forecast"),
        ({"note": "was due, not reset"}, "Nothing to forecast: was due, not reset"),
        ({"note": "reset, not seen since"}, None),
        ({"used_percent": None}, None),
    ],
)
def test_a_forecast_in_a_few_words(module: Watched, fields: dict[str, Any], said: str | None) -> None:
    """What is not certain is never 0 or 100 %."""
    usual = {"used_percent": 40.0, "chance_lasts": None, "forecast_level": None}
    script = "async (window) => (await import('/static/format.js')).lastsWords(window, 0)"
    assert module.page.evaluate(script, {**Forecast()._asdict(), **usual, **fields}) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.004, "<$0.01"), (0.005, "$0.01"), (12.4, "$12.40"), (1234.5, "$1,234.50"), (0, "$0.00")]
)
def test_dollars(module: Watched, value: float, said: str) -> None:
    """Two digits behind the point."""
    script = "async (value) => (await import('/static/format.js')).dollars(value)"
    assert module.page.evaluate(script, value) == said


def test_many_accounts_are_a_table(browser: Browser, tmp_path: Path) -> None:
    """From six accounts on; it can be filtered and sorted, and shows the card of an account on demand."""
    path = record_accounts(tmp_path / "page.sqlite3", 8, days=3)
    with Program("--db", path) as server, opened(browser, server.port, wait="#table .row") as watched:
        page = watched.page
        rows, names = page.locator("#table .row"), page.locator("#table .row .open")
        expect(page.locator("#cards")).to_be_hidden()
        expect(rows).to_have_count(8)
        expect(page.locator(".spark").first).to_be_visible()
        expect(page.locator("#charts figure")).to_have_count(6)
        page.get_by_role("button", name="Show 2 more charts").click()
        expect(page.locator("#charts figure")).to_have_count(8)
        pressed = names.all_inner_texts()
        assert pressed[0] in {"lab@example.com", "team-05@example.com"}, "a closed one is the first"

        page.get_by_role("button", name="Account", exact=True).click()
        expect(page.locator("th[aria-sort=ascending]")).to_have_text("Account")
        assert names.all_inner_texts() == sorted(pressed)
        page.get_by_role("button", name="Account", exact=True).press("Enter")
        assert names.all_inner_texts() == sorted(pressed, reverse=True)
        page.get_by_role("button", name="Account", exact=True).press("Enter")
        assert names.all_inner_texts() == pressed

        page.get_by_role("searchbox", name="Filter accounts").fill("WORK plus")
        expect(rows).to_have_count(1)
        expect(page.locator("#rows-words")).to_have_text("1 of 8 accounts")
        names.first.press("Enter")
        expect(names.first).to_have_attribute("aria-expanded", "true")
        assert page.evaluate("document.activeElement.dataset.open") == "acct-work/user"
        expect(page.get_by_role("article", name="work@example.com")).to_be_visible()
        assert watched.axe() == []
        names.first.press("Enter")
        expect(page.get_by_role("article")).to_have_count(0)


def test_a_great_many_accounts(browser: Browser, tmp_path: Path) -> None:
    """Numbers by plan, the most pressed accounts, a search among all, and the past of one at a time."""
    path = tmp_path / "page.sqlite3"
    generate(path, Size(snapshots=1_500, turns=3_000, accounts=MANY_ACCOUNTS + 50, days=8), time.time())
    with Program("--db", path) as server, opened(browser, server.port, wait="#table .row") as watched:
        page = watched.page
        rows = page.locator("#table .row")
        expect(rows).to_have_count(MOST_PRESSED)
        expect(page.locator("#rows-words")).to_have_text("20 of 250 accounts")
        expect(page.locator("#headline")).to_have_text("")
        plans = page.get_by_role("table", name="Accounts by plan")
        expect(plans.get_by_role("row").last).to_contain_text("All250")
        expect(page.locator("#charts figure")).to_have_count(1)
        assert watched.axe() == []
        page.get_by_role("searchbox", name="Filter accounts").fill("person-177")
        expect(rows).to_have_count(1)
        expect(page.locator("#rows-words")).to_have_text("1 of 250 accounts")
        expect(page.locator("#who")).to_have_value("acct-177/user-177")
        page.get_by_role("searchbox", name="Filter accounts").fill("nobody")
        expect(rows).to_have_count(0)
        expect(page.locator("#past")).to_be_hidden()
        page.get_by_role("searchbox", name="Filter accounts").fill("")
        expect(rows).to_have_count(MOST_PRESSED)
        assert not [url for url in watched.asked if "/api/peaks" in url]
        assert all("account=" in url for url in watched.asked if "/api/history" in url or "/api/breakdown" in url)


def test_a_team(browser: Browser, path: Path, postgres_server: PostgresServer, team_database: str) -> None:
    """A team's database is shown like a file; a machine that was not heard for hours is named, until it is heard."""
    record(path, reading(13))
    url = postgres_server.url(team_database)
    assert started("ship", url, "--db", path).returncode == 0
    with Program("--db", url) as server, opened(browser, server.port, wait=".card") as watched:
        expect(watched.page.locator(".card")).to_contain_text("alice@example.com")
        silent = watched.page.locator("#silent")
        expect(silent).to_be_hidden()
        postgres_server.execute("UPDATE codex_tap.machines SET last_seen_at = last_seen_at - 50000", team_database)
        postgres_server.execute("UPDATE codex_tap.installation SET edits = edits + 1", team_database)
        expect(silent).to_have_text(re.compile(r"^Machines not heard lately, .*: \S+ \(13 h 53 min\)\.$"))
        assert watched.axe() == []


@pytest.mark.parametrize("number", [0, 1, 5, 6, 1_200])
def test_silent_machines_read_as_in_the_terminal(module: Watched, number: int) -> None:
    """The first five by name, and the number of the others."""
    machines = [{"machine": f"build\x1b-{place}", "last_heard_at": 0, "silent_seconds": 900} for place in range(number)]
    script = "async (machines) => (await import('/static/format.js')).silenceLine(machines)"
    assert module.page.evaluate(script, machines) == silence_line(machines)  # type: ignore[arg-type]


def test_the_compact_view(browser: Browser, server: Program, path: Path) -> None:
    """It fits a window of 320 px, with the headline and a bar for each window, and loads nothing else."""
    record(path, *several()[:4], *past())
    with opened(browser, server.port, size=(320, 480), wait="#headline", at="/?view=compact") as watched:
        assert watched.words("#cards li:has-text('month@')") == "month@example.com 30 d 63 % 11 d 13 h"
        expect(watched.page.locator("#past")).to_be_hidden()
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 320
        assert watched.axe() == []
        assert not [url for url in watched.asked if "/api/history" in url or "/api/breakdown" in url]


def test_it_can_be_installed(browser: Browser, server: Program) -> None:
    """The browser finds no fault in the manifest."""
    with opened(browser, server.port) as watched:
        session = watched.page.context.new_cdp_session(watched.page)
        found = session.send("Page.getAppManifest")
        assert found["url"].endswith("/static/manifest.webmanifest")
        assert found["errors"] == []
        found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert [each["errorId"] for each in found] == ["in-incognito"], "as every page of a test is"


def test_peaks_of_days(module: Watched) -> None:
    """A chart of 30 days has the peak of each day, and nothing on a day without one."""
    limits = [
        {
            "account": "a",
            "limit_id": "codex",
            "limit_name": None,
            "windows": {
                "7d": {"window_minutes": 10_080, "days": [{"start": 0, "end": 10, "used_percent": 4.0}]},
                "5h": {"window_minutes": 300, "days": [{"start": 10, "end": 20, "used_percent": 9.0}]},
            },
        }
    ]
    script = """async (limits) => {
        const series = await import('/static/series.js');
        const [{ lines }] = series.peaksOf({ limits });
        return [lines.map((line) => line.slot), series.peakColumns(lines)];
    }"""
    assert module.page.evaluate(script, limits) == [["5h", "7d"], [[5, 15], [None, 9.0], [4.0, None]]]


def test_use_by_day(browser: Browser, tmp_path: Path) -> None:
    """Over days, use is a column for each day; the threads of sub-agents are folded into those that started them."""
    path = record_accounts(tmp_path / "page.sqlite3", 1, days=3)
    with Program("--db", path) as server, opened(browser, server.port, wait="#used section") as watched:
        expect(watched.page.locator(".by-day")).to_have_count(0)
        watched.page.get_by_role("radio", name="7 d").check()
        expect(watched.page.locator(".by-day li").first).to_be_visible()
        expect(watched.page.locator(".by-day .piece").first).to_be_visible()
        branch = watched.page.locator(".tree li").first
        expect(branch).to_be_hidden()
        watched.page.locator("#used summary", has_text="of sub-agents").first.click()
        watched.page.locator("#used summary", has_text="of a sub-agent").or_(branch).first.wait_for()
        watched.page.get_by_role("radio", name="30 d").check()
        expect(watched.page.get_by_role("img", name=re.compile("5 h window by day, highest"))).to_be_visible()


def test_speed(browser: Browser, server: Program, path: Path) -> None:
    """The medians of each model, over days of each day too."""
    now = time.time()
    entries: list[Entry] = [reading(13)]
    for number in range(4):
        at = now - 60 * number - 60
        tokens = Tokens(input=100, output=80)
        done = turn("t", at=at, first_byte_at=at - 4, model="gpt-6.1-sol", status=200, tokens=tokens)
        entries.append(done)
    record(path, *entries)
    with opened(browser, server.port, wait="#speed table") as watched:
        found = watched.page.get_by_role("table", name="Speed by model")
        expect(found.get_by_role("row").last).to_have_text("gpt-6.1-sol41 s20")
        watched.page.get_by_role("radio", name="7 d").check()
        expect(watched.page.get_by_role("table", name="Speed by day")).to_contain_text("1 s")


STATES = {"light": ((1280, 900), False), "dark": ((1280, 900), True), "phone": (PHONE, True)}


@pytest.mark.parametrize("number", [1, 3, 20])
def test_states(browser: Browser, tmp_path: Path, number: int) -> None:
    """One, three and twenty accounts have no serious problem in any colour scheme and width, and fit the width.

    With `CODEX_TAP_SCREENSHOTS` their pictures go to that folder.
    """
    shots = Path(os.environ.get("CODEX_TAP_SCREENSHOTS") or tmp_path)
    path = record_accounts(tmp_path / "page.sqlite3", number)
    with Program("--db", path) as server:
        for name, (size, dark) in STATES.items():
            with opened(browser, server.port, size=size, dark=dark, wait="#used section") as watched:
                expect(watched.page.locator("#events > *").first).to_be_visible()
                watched.page.wait_for_timeout(700)  # bars and colours are on their way
                watched.page.screenshot(path=shots / f"page-{number}-{name}.png", full_page=True)
                assert watched.axe() == []
                assert watched.page.evaluate("document.documentElement.scrollWidth") <= size[0]


# What moves


def test_the_countdown_runs(browser: Browser, server: Program, path: Path) -> None:
    """The time until a reset runs down; in the last minute second by second."""
    soon = Window(used_percent=70.0, window_minutes=300, resets_at=int(time.time()) + 55)
    record(path, snapshot(limit({"5h": soon}), at=time.time() - 60))
    with opened(browser, server.port, wait=".card") as watched:
        first = watched.words(".countdown")
        assert re.fullmatch(r"\d\d s", first)
        expect(watched.page.locator(".countdown").first).not_to_have_text(first)
        assert int(watched.words(".countdown").split()[0]) < int(first.split()[0])


def test_a_reset_that_passes_is_told(browser: Browser, server: Program, path: Path) -> None:
    """A window whose reset passes while the page is open becomes "reset, not seen since" by itself."""
    now = time.time()
    soon = Window(used_percent=70.0, window_minutes=300, resets_at=int(now) + 5)
    record(path, snapshot(limit({"5h": soon}), at=now - 60))
    with opened(browser, server.port, wait=".card") as watched:
        expect(watched.page.locator(".resets")).to_contain_text("reset, not seen since")
        assert "100 % left 0 % used" in watched.words(".card")


def test_a_refusal_is_told_and_ends(browser: Browser, server: Program, path: Path) -> None:
    """A limit that the server closed until a time is shown as blocked, and opens again by itself."""
    now = time.time()
    until = int(now) + 8
    refusal = limit(None, limit_reached=True, reached_until=until)
    record(path, reading(13), snapshot(refusal, at=now, source=Source.ERROR, status=429))
    (account,) = ask(server.port, "GET", "/api/usage").document["accounts"]
    assert (account["limits"][0]["blocked_by"], account["limits"][0]["reached_until"]) == ("limit", until)
    with opened(browser, server.port, wait=".card") as watched:
        expect(watched.page.locator(".card")).to_contain_text(f"until {dt.datetime.fromtimestamp(until):%H:%M}")  # noqa: DTZ006 (as a wall clock shows it)
        expect(watched.page.locator(".card[data-blocked]")).to_have_count(1)
        expect(watched.page.locator(".card .alarm, .card[data-blocked]")).to_have_count(0, timeout=20_000)


def test_a_new_reading_arrives(browser: Browser, server: Program, path: Path) -> None:
    """A new reading is shown without a reload, and until then the page sends no requests."""
    record(path, reading(13))
    with opened(browser, server.port, wait=".chart canvas") as watched:
        watched.page.evaluate("window.stillHere = true")
        watched.page.wait_for_load_state("load")
        watched.page.wait_for_timeout(500)
        before = len(watched.asked)
        watched.page.wait_for_timeout(2_500)
        assert watched.asked[before:] == []
        record(path, reading(57))
        expect(figure(watched, "43 %")).to_be_visible()
        expect(watched.page.locator(".legend")).to_contain_text("57 %")
        assert watched.page.evaluate("window.stillHere")


def test_it_recovers_when_the_server_restarts(browser: Browser, tmp_path: Path) -> None:
    """A lost connection is shown, and the missed data appears when the server is back."""
    path = tmp_path / "page.sqlite3"
    record(path, reading(13))
    port = free_port()
    with (
        Program("--port", str(port), "--db", path) as server,
        opened(browser, port, wait=".card", forgiven=LOST) as watched,
    ):
        server.end()
        expect(watched.page.locator("#line")).to_have_text("Connection lost. Trying again…")
        expect(watched.page.get_by_role("status")).to_have_text("Connection lost. Trying again…")
        expect(figure(watched, "87 %")).to_be_visible()
        record(path, reading(57))
        with Program("--port", str(port), "--db", path):
            expect(watched.page.locator("#line")).to_have_text("Live")
            expect(figure(watched, "43 %")).to_be_visible()


def test_an_unusable_database_is_told(browser: Browser, tmp_path: Path) -> None:
    """If the database cannot be read, the page shows the error of the server."""
    path = tmp_path / "page.sqlite3"
    path.write_bytes(b"this is no database at all, " * 200)
    with (
        Program("--db", path) as server,
        opened(browser, server.port, wait="#notice", forgiven="status of 503") as watched,
    ):
        assert "is not a SQLite database" in watched.words("#notice")


# What can be done


def choose(watched: Watched, action: str, label: str) -> None:
    """Choose an action of an account's menu."""
    watched.page.get_by_label(f"Actions for {label}").click()
    watched.page.get_by_role("button", name=f"{action} {label}").click()


def test_the_menu_closes(browser: Browser, server: Program, path: Path) -> None:
    """With Escape, which gives the focus back, with a click elsewhere, and when the focus leaves it."""
    record(path, reading(13))
    with opened(browser, server.port, wait=".card") as watched:
        menu, rename = watched.page.locator(".menu summary"), watched.page.get_by_role("button", name="Rename")
        for leave in ("Escape", "click", "Tab"):
            menu.click()
            expect(rename).to_be_visible()
            if leave == "click":
                watched.page.get_by_role("heading", name="Events").click()
            else:
                watched.page.keyboard.press("Tab")
                watched.page.keyboard.press(leave)
                watched.page.keyboard.press(leave)
            expect(rename).to_be_hidden()
            if leave == "Escape":
                expect(menu).to_be_focused()


def test_rename(browser: Browser, server: Program, path: Path) -> None:
    """An account can be renamed with the keyboard alone; a name in use is refused with the reason."""
    record(path, reading(13), reading(50, who=BOB))
    with opened(browser, server.port, wait=".card", forgiven="status of 409") as watched:
        for email, name in (("alice@example.com", "work"), ("bob@example.com", "work")):
            watched.page.get_by_label(f"Actions for {email}").focus()
            for key in ("Enter", "Tab", "Enter"):
                watched.page.keyboard.press(key)
            expect(watched.page.get_by_label("Name", exact=True)).to_be_focused()
            watched.page.keyboard.type(name)
            watched.page.keyboard.press("Enter")
            if email.startswith("alice"):
                expect(watched.page.get_by_role("article", name="work", exact=True)).to_be_visible()
                expect(watched.page.get_by_role("dialog")).to_have_count(0)
        expect(watched.page.get_by_role("alert").filter(has_text="already has the name 'work'")).to_be_visible()
        watched.page.keyboard.press("Escape")
        expect(watched.page.get_by_role("dialog")).to_have_count(0)

        choose(watched, "Rename", "work")
        watched.page.get_by_label("Name", exact=True).fill("")
        watched.page.get_by_role("button", name="Save").click()
        expect(watched.page.get_by_role("article", name="alice@example.com", exact=True)).to_be_visible()


def test_forget(browser: Browser, server: Program, path: Path) -> None:
    """An account is forgotten after confirmation only."""
    record(path, reading(13), reading(50, who=BOB))
    with opened(browser, server.port, wait=".card") as watched:
        confirm = watched.page.get_by_role("alertdialog")
        for decline in ("Cancel", "Escape"):
            choose(watched, "Forget", "alice@example.com")
            expect(confirm).to_contain_text("1 snapshot")
            expect(confirm).to_contain_text("This cannot be undone")
            expect(confirm.get_by_role("button", name="Cancel")).to_be_focused()
            if decline == "Cancel":
                confirm.get_by_role("button", name="Cancel").click()
            else:
                watched.page.keyboard.press("Escape")
            expect(confirm).to_have_count(0)
            expect(watched.page.locator(".card")).to_have_count(2)
        choose(watched, "Forget", "alice@example.com")
        confirm.get_by_role("button", name="Forget").click()
        expect(watched.page.locator(".card")).to_have_count(1)
        expect(watched.page.get_by_role("article", name="bob@example.com")).to_be_visible()
        watched.page.reload()
        expect(watched.page.locator(".card")).to_have_count(1)


def test_token(browser: Browser, tmp_path: Path) -> None:
    """The page asks for the token of a server, stores it in the tab, and asks again when the token changes."""
    path = tmp_path / "page.sqlite3"
    record(path, reading(13))
    port = free_port()
    listening = ("--port", str(port), "--db", path)
    with (
        Program(*listening, CODEX_TAP_TOKEN=TOKEN) as server,
        opened(browser, port, wait="dialog#token", forgiven=f"{DENIED}|{LOST}") as watched,
    ):
        token = watched.page.get_by_label("Token", exact=True)
        live = watched.page.locator("#line").get_by_text("Live")
        expect(watched.page.locator(".card")).to_have_count(0)
        token.fill("not-the-token-of-this-server")
        watched.page.keyboard.press("Enter")
        expect(watched.page.get_by_text("Wrong token.")).to_be_visible()
        token.fill(TOKEN)
        watched.page.keyboard.press("Enter")
        expect(figure(watched, "87 %")).to_be_visible()
        expect(live).to_be_visible()
        watched.page.reload()
        expect(figure(watched, "87 %")).to_be_visible()
        assert not [url for url in watched.asked if TOKEN in url]

        server.end(signal.SIGTERM)
        with Program(*listening, CODEX_TAP_TOKEN=f"another-{TOKEN}"):
            expect(watched.page.get_by_text("The token has changed.")).to_be_visible()
            token.fill(f"another-{TOKEN}")
            watched.page.keyboard.press("Enter")
            expect(live).to_be_visible()


# For everybody


@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), (PHONE, True)], ids=["desktop-light", "phone-dark"])
def test_axe(browser: Browser, server: Program, path: Path, size: tuple[int, int], dark: bool) -> None:
    """The page, its dialogs and the empty page have no serious accessibility problem."""
    with opened(browser, server.port, size=size, dark=dark, wait="#empty") as watched:
        assert watched.axe() == []
        record(path, *several()[:4], *past(), hostile())
        expect(watched.page.locator(".card")).to_have_count(5)
        expect(watched.page.locator(".events li").first).to_be_visible()
        watched.page.get_by_text("1 further limit").first.click()
        watched.page.wait_for_timeout(700)  # bars and colours are on their way
        assert watched.axe() == []
        for name in ("Rename", "Forget"):
            choose(watched, name, "alice@example.com")
            assert watched.axe() == []
            watched.page.keyboard.press("Escape")


def test_phone(browser: Browser, server: Program, path: Path) -> None:
    """On a phone everything fits the width without horizontal scrolling, even with very long names."""
    record(path, *several()[:4], *past(), hostile(), turn(MARKUP * 5, who=HOSTILE, at=time.time(), model="m" * 300))
    with opened(browser, server.port, size=PHONE, wait=".events") as watched:
        expect(watched.page.locator("#used li").first).to_be_visible()
        wide = """() => [...document.querySelectorAll('main *')].filter((each) =>
            each.getBoundingClientRect().right > innerWidth && each.checkVisibility()
            && !each.closest('h3, .plan, .mail, .row-name, .u-wrap')).map((each) => each.outerHTML.slice(0, 200))"""
        assert watched.page.evaluate(wide) == []
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_dark(browser: Browser, server: Program, path: Path) -> None:
    """The page and its charts follow the colour scheme of the system, also when it changes."""
    record(path, *past())
    brightness = "sum(getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3).map(Number))"
    brightness = f"(name) => {{ const sum = (all) => all.reduce((one, other) => one + other); return {brightness}; }}"
    with opened(browser, server.port, dark=True, wait=".chart canvas") as watched:
        page = watched.page
        assert page.evaluate(brightness, "color") - page.evaluate(brightness, "backgroundColor") > 500
        dark_chart = page.locator(".chart canvas").evaluate("(canvas) => canvas.toDataURL()")
        page.emulate_media(color_scheme="light")
        assert page.evaluate(brightness, "backgroundColor") - page.evaluate(brightness, "color") > 500
        page.wait_for_function("(old) => document.querySelector('.chart canvas').toDataURL() !== old", arg=dark_chart)


def hostile() -> Snapshot:
    """A reading with markup in every text."""
    now = time.time()
    main = limit(windows(13, 41, at=now), limit_name=MARKUP, reached_type=MARKUP)
    other = limit(windows(13, 41, at=now), limit_id="codex_<b>", limit_name=MARKUP)
    money = Credits(has_credits=True, unlimited=False, balance=MARKUP)
    return snapshot(main, other, who=HOSTILE, at=now - 10, plan_type=MARKUP, credits=money)


def test_hostile_text_is_text(browser: Browser, server: Program, path: Path) -> None:
    """Text from the traffic is shown as text: no element, no script, no change of direction."""
    record(path, hostile(), turn(MARKUP, who=HOSTILE, at=time.time() - 5, model=MARKUP, status=200))
    with opened(browser, server.port, wait=".chart canvas") as watched:
        page = watched.page
        expect(page.locator("#used li").first).to_contain_text(MARKUP)
        # An e-mail that could change the direction of the text is no label.
        expect(page.locator(".card h3")).to_contain_text(HOSTILE.account_id)
        expect(page.locator(".card .mail")).to_contain_text(MARKUP)
        expect(page.locator(".card .plan")).to_contain_text(MARKUP)
        expect(page.locator(".chart h3").first).to_contain_text("<img")
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Rename").click()
        page.get_by_label("Name", exact=True).fill(MARKUP)
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".card h3")).to_contain_text(MARKUP)
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Forget").click()
        expect(page.get_by_role("alertdialog")).to_contain_text(MARKUP)
        page.keyboard.press("Escape")
        assert page.locator("main img, main script, main b > img").count() == 0
        assert DIRECTION[0] not in page.locator("body").inner_text()
        assert page.evaluate("document.querySelectorAll('script').length") == 2


def test_the_keyboard_reaches_everything(browser: Browser, server: Program, path: Path) -> None:
    """The Tab key reaches every control in reading order, and the focus is visible."""
    record(path, reading(13), reading(50, who=BOB))
    with opened(browser, server.port, wait=".chart canvas") as watched:
        reached = []
        for _ in range(10):
            watched.page.keyboard.press("Tab")
            outline = (
                "(e = document.activeElement) => [e.ariaLabel || e.name || e.textContent.trim(),"
                " getComputedStyle(e.type === 'radio' ? e.nextElementSibling : e).outlineStyle]"
            )
            name, style = watched.page.evaluate(f"({outline})()")
            assert style == "solid", name
            reached.append(name)
        menus = [f"Actions for {who}@example.com" for who in ("bob", "alice")]
        choices = ["span", "who", "filter"]
        assert reached == ["Skip to the accounts", "mode", *menus, *choices, "Compact view", "Metrics", "API"]


# One truth


WHOLE = st.integers(0, 5_000_000)
MOMENTS = st.integers(1_700_000_000, 1_900_000_000)


def test_it_says_what_the_terminal_says(module: Watched) -> None:
    """Durations, percentages, window lengths and timestamps read the same on the page and in the terminal."""

    @settings(suppress_health_check=list(HealthCheck))
    @example(seconds=86_399, used=99.97, minutes=10_079, at=1_795_262_400, later=-1)
    @example(seconds=86_400, used=0.05, minutes=2_189, at=1_795_262_400, later=0)
    @example(seconds=86_401, used=0.1, minutes=2_190, at=1_795_262_400, later=60)
    @example(seconds=3_599, used=100.04, minutes=2_191, at=1_795_262_400, later=86_400)
    @example(seconds=3_600, used=100.05, minutes=2_130, at=1_795_262_400, later=-86_400)
    @example(seconds=0, used=49.99, minutes=43_200, at=1_795_262_400, later=86_400 * 6)
    @given(
        seconds=WHOLE,
        used=st.floats(0, 150),
        minutes=st.integers(1, 100_000),
        at=MOMENTS,
        later=st.integers(-(9**7), 9**7),
    )
    def same(seconds: int, used: float, minutes: int, at: int, later: int) -> None:
        found = module.page.evaluate(
            """async ([seconds, used, minutes, at, now]) => {
                const say = await import('/static/format.js');
                const length = say.windowLength('x', minutes);
                return [say.duration(seconds), say.percent(used), length, say.moment(at, now)];
            }""",
            [seconds, used, minutes, at + later, at],
        )
        assert found == [
            formatting.duration(seconds),
            formatting.percent(used),
            formatting.window_length("x", minutes),
            clock_time(at + later, at),
        ]

    same()


@pytest.mark.parametrize(
    "number", [0, 999, 1_000, 99_999, 100_000, 999_499, 999_500, 9_994_999, 41_700_000, 99_950_000, 5e12]
)
def test_amounts_read_as_in_the_terminal(module: Watched, number: int) -> None:
    """Exact below 100,000, else with three digits."""
    script = "async (number) => (await import('/static/format.js')).count(number)"
    assert module.page.evaluate(script, number) == formatting.amount(number)


@pytest.mark.parametrize("written", ["25000", "25000.50", "0099", "9.5", "-5", "1e9", "?", "", "9" * 40, "1.", ".5"])
def test_a_servers_amounts_read_as_in_the_terminal(module: Watched, written: str) -> None:
    """Thousands are parted; what is no plain decimal number stays as it is."""
    script = "async (written) => (await import('/static/format.js')).amount(written)"
    assert module.page.evaluate(script, written) == formatting.decimal_amount(written)


@pytest.mark.parametrize(
    "fields",
    [
        {"at_reset": 98.4, "at_reset_low": 60.0, "at_reset_high": 143.0},
        {"at_reset": 120.0, "at_reset_low": 100.5, "at_reset_high": 260.0},
        {"at_reset": None, "note": NO_RESET_REPORTED},
        {"at_reset": 0.0, "at_reset_low": 0.0, "at_reset_high": 0.0},
    ],
)
def test_forecasts_have_the_words_of_the_terminal(module: Watched, fields: dict[str, Any]) -> None:
    """No figure is above 100 %."""
    forecast = {**Forecast(safe=True, chance_dry=0.1)._asdict(), "used_percent": 5.0, "resets_at": None, **fields}
    window: Any = {**forecast, "forecast_level": "low"}
    script = "async (window) => (await import('/static/format.js')).forecastWords(window, 0)"
    assert module.page.evaluate(script, window).lower() == words(window, 0)


@pytest.mark.parametrize("at", [0.49, 0.5, 0.51, 42.5, 43.49, 43.5, 99.5])
def test_a_forecast_reads_as_in_the_terminal(module: Watched, at: float) -> None:
    """The page and the terminal round forecasts in the same way."""
    window: Any = {
        "used_percent": 0.1,
        "note": None,
        "chance_dry": 0.145,
        "runs_dry_at": None,
        "safe": True,
        "at_reset": at,
        "at_reset_low": at / 2,
        "at_reset_high": at + 1,
        "resets_at": None,
        "forecast_level": "low",
    }
    script = "async (window) => (await import('/static/format.js')).forecastWords(window, 0)"
    assert module.page.evaluate(script, window).lower() == words(window, 0)


@pytest.mark.parametrize(
    ("readings", "points", "resets"),
    [
        pytest.param([(100, 150, 10, 500)], [[100, 10], [400, 10]], [], id="held-until-now"),
        pytest.param([(100, 150, 10, 500), (200, 200, 30, 500)], [[100, 10], [200, 30], [400, 30]], [], id="risen"),
        pytest.param(
            [(100, 150, 80, 200), (300, 300, 5, 900)],
            [[100, 80], [200, 0], [300, 5], [400, 5]],
            [{"at": 200, "unseen": False}],
            id="reset-between",
        ),
        pytest.param(
            [(100, 150, 80, 500), (300, 300, 5, 900)],
            [[100, 80], [300, 5], [400, 5]],
            [{"at": 300, "unseen": False}],
            id="reset-early",
        ),
        pytest.param(
            [(100, 150, 80, 500), (300, 300, 5, 900), (350, 350, 9, 900)],
            [[100, 80], [300, 5], [350, 9], [400, 9]],
            [{"at": 300, "unseen": False}],
            id="reset-early-and-used-again",
        ),
        pytest.param(
            [(100, 150, 80, 500), (300, 300, 70, 510)], [[100, 80], [300, 70], [400, 70]], [], id="fallen-not-reset"
        ),
        pytest.param(
            [(100, 150, 80, 350)],
            [[100, 80], [350, 0], [400, 0]],
            [{"at": 350, "unseen": True}],
            id="reset-and-not-seen-since",
        ),
        pytest.param([(100, 150, 0, 200), (300, 300, 0, 900)], [[100, 0], [300, 0], [400, 0]], [], id="sliding-at-0"),
        pytest.param([(10, 150, 10, 500)], [[50, 10], [400, 10]], [], id="began-before-the-span"),
        pytest.param(
            [(100, 150, 10, 500), (200, 200, None, None), (300, 300, 20, 500)],
            [[100, 10], [200, None], [300, 20], [400, 20]],
            [],
            id="not-told-in-between",
        ),
        pytest.param(
            [(200, 200, 10, 500), (100, 100, 20, 500)], [[200, 20], [400, 20]], [], id="the-clock-stepped-back"
        ),
    ],
)
def test_lines(
    module: Watched,
    readings: list[tuple[float, float, float | None, float | None]],
    points: list[list[float | None]],
    resets: list[dict[str, object]],
) -> None:
    """A line holds each reading until the next; a reset is a fall, at the time that the API gives."""
    entries = [
        {
            "first_seen_at": first,
            "last_seen_at": last,
            "windows": {"5h": {"used_percent": used, "window_minutes": 300, "resets_at": until}},
        }
        for first, last, used, until in readings
    ]
    found = module.page.evaluate(
        "async ([entries, resets]) => (await import('/static/series.js')).lineOf(entries, '5h', resets, 50, 400)",
        [entries, resets],
    )
    assert (found["points"], found["resets"]) == (points, resets)


@pytest.fixture(scope="module", name="module")
def _module(browser: Browser, server: Program) -> Iterator[Watched]:
    """A page for calls of its modules; it stays open while other tests delete the accounts that it shows."""
    with opened(browser, server.port, forgiven="status of 404") as watched:
        yield watched


# The real thing


def test_a_real_turn(
    browser: Browser, server: Program, codex: str, backend: Backend, path: Path, tmp_path: Path
) -> None:
    """A turn of the real Codex through the real proxy appears on the open page, with its use."""
    now = int(time.time())
    five, seven = WireWindow(13, 300, now + 9_000, 9_000), WireWindow(41, 10_080, now + 300_000, 300_000)
    told = Answer(upgrade=101, headers=limit_headers(five, seven, plan="plus", active="premium"))
    backend.answer(replace(told, tokens=token_counts(1_000, 800, 50, 20)), account="acct-page")
    home = tmp_path / "home"
    log_in(home, "acct-page", "user-1", email="page@example.com", plan="plus")
    with opened(browser, server.port, wait="#empty") as watched:
        with Proxy(backend, database=path, arguments=["-q"]) as proxy:
            turn_done = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
            assert turn_done.returncode == 0, turn_done.stderr
            expect(watched.page.locator(".card")).to_be_visible()
        found = card(watched, "page@example.com")
        assert re.search(
            r"plus ⋯ 5 h 87 % left 13 % used resets in 2 h \d\d min · .* 7 d 59 % left 41 % used", found
        ), found
        expect(watched.page.locator("#used section").last).to_contain_text("gpt-6.1-sol")
        expect(watched.page.locator("#used")).to_contain_text("1 turn · 1,000 tokens in (80 % cached), 50 out")
