"""The screen of `top`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from scripts.render.top import PANES, Contents, View, render_top
from store.analysis.ranking import rank_accounts
from store.database import open_reader
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.forecast import load_forecasts
from store.queries.status import load_status
from store.queries.usage import load_usage
from store.turns_under_way import TurnUnderWay
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, AccountHistory, insert_history, limit, snapshot, windows
from tests.support.rendering import UTC, lines
from tests.support.usage_factories import sample, turn

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600
DAY = 24 * HOUR
REVIEW = TurnUnderWay("acct-b", "user-b", "0199bbbb-01", None, "gpt-5.3-codex", "review", NOON - 4, None)
REFACTOR = TurnUnderWay("acct-a", "user-a", "0199aaaa-00", None, "gpt-6.1-sol", None, NOON - 75, NOON - 74)


def contents(path: Path, **fields: Any) -> Contents:
    """Return what is shown of a database at noon."""
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        status = load_status(connection, NOON, accounts)
        usage = load_usage(connection, NOON, accounts=accounts, since=NOON - 12 * HOUR)
        found = Contents(
            now=NOON,
            status=status,
            forecasts=load_forecasts(connection, NOON, accounts),
            usage=usage,
            ranking=rank_accounts(status, {}, zone=UTC.zone),
            turns=(),
            words={},
            labels={account.key: account.label for account in accounts},
        )
    return found._replace(**fields)


@pytest.fixture
def two(path: Path) -> Path:
    """Alice has used little, Bob much of two limits."""
    spark = limit(windows(64, 9), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark")
    return record(
        path,
        snapshot(limit(windows(13, 41)), at=NOON - 30, plan_type="plus"),
        snapshot(limit(windows(90, 88.5)), spark, who=BOB, at=NOON - 10, plan_type="pro"),
    )


@pytest.fixture
def busy(path: Path) -> Path:
    """Twelve threads that used the window today, each more than the one before."""
    begin = NOON - 12 * HOUR
    used = [sum(range(number + 1)) / 10 for number in range(13)]
    samples = [sample(each, begin + number * HOUR, resets_at=int(NOON + DAY)) for number, each in enumerate(used)]
    turns = [
        turn(at := begin + number * HOUR - 900, at + 300, 1_000 - number, thread=f"{number:08x}-thread")
        for number in range(1, 13)
    ]
    return insert_history(path, AccountHistory(samples, turns))


def screen(found: Contents, view: View, width: int = 60, height: int = 15) -> list[str]:
    shown = render_top(found, view, UTC._replace(width=width), height)
    assert len(shown) == height
    assert all(cell_len(line.plain) <= width for line in shown)
    return [line.plain.rstrip() for line in shown]


def test_sixty_columns_and_fifteen_lines(two: Path) -> None:
    """All of it fits: the verdict, each window of each account, turns under way, and what was used today."""
    found = contents(two, turns=[REFACTOR, REVIEW], logged_in="acct-a/user-a")
    assert "\n".join(screen(found, View())) == lines("""
        12:00 · use bob@example.com: 10 % of 5 h left, resets in 2 …
        Accounts · by pressure
        bob@example.com  5 h █████░   10 % left  in 2 h 30 min
                         7 d █████░ 11.5 % left  in 3 d 11 h
          GPT-5.3-Code…  5 h ████░░   36 % left  in 2 h 30 min
                         7 d █░░░░░   91 % left  in 3 d 11 h
        *alice@example…  5 h █░░░░░   87 % left  in 2 h 30 min
                         7 d ██░░░░   59 % left  in 3 d 11 h
        Turns under way
            1:15  responding  0199aaaa                 gpt-6.1-sol
            0:04  waiting     review: 0199bbbb         gpt-5.3-codex
        Used today · nothing


        ? help  q quit  Tab  a  p n u r
    """)


@pytest.mark.parametrize(("width", "height"), [(40, 8), (60, 15), (80, 24), (120, 40), (200, 60), (60, 200)])
@pytest.mark.parametrize("pane", PANES)
def test_any_size(busy: Path, width: int, height: int, pane: Any) -> None:
    """No line is wider than the screen, and there are as many as it has; all rows are shown or counted."""
    found = contents(busy, turns=[REFACTOR._replace(thread=f"t{number}") for number in range(7)])
    shown = screen(found, View(pane=pane), width, height)
    rows = [line for line in shown if line.endswith("tokens")]
    (title,) = (line for line in shown if line.startswith("Used today"))
    hidden = int(title.split(" · ")[-1].split()[0]) if "more" in title else 0
    assert len(rows) + hidden == len(found.usage["rows"])


def test_what_does_not_fit_is_counted_and_scrolled(busy: Path) -> None:
    """The title counts rows above and below; scrolling ends with the last row."""
    found = contents(busy)
    view = View(pane="usage", offsets={"usage": 2})
    title, first = (line for line in screen(found, view) if line.startswith(("Used today", "0000000a")))
    assert title == "Used today · by points of 7 d · 2 more above, 1 more below"
    assert first.startswith("0000000a")
    view.offsets["usage"] = 1_000
    assert screen(found, view)[-2].startswith("00000001")
    assert view.offsets["usage"] == 3
    view.offsets["usage"] = -1_000
    screen(found, view)
    assert view.offsets["usage"] == 0


def test_the_chosen_pane_has_the_room(busy: Path) -> None:
    """The others keep two rows."""
    found = contents(busy, turns=[REFACTOR._replace(thread=f"t{number}") for number in range(9)])
    shown = screen(found, View(pane="turns"), 60, 15)
    assert sum("responding" in line for line in shown) == 7
    assert sum(line.endswith("tokens") for line in shown) == 2


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("pressure", ["bob@example.com", "alice@example.com"]),
        ("used", ["bob@example.com", "alice@example.com"]),
        ("name", ["alice@example.com", "bob@example.com"]),
        ("reset", ["alice@example.com", "bob@example.com"]),
    ],
)
def test_accounts_are_sorted(two: Path, sort: Any, order: list[str]) -> None:
    """The title names the order."""
    shown = screen(contents(two), View(sort=sort), 80, 24)
    assert [line.split()[0] for line in shown if "@" in line[:20]] == order
    assert shown[1] == f"Accounts · by {sort}"


def test_one_account_alone(two: Path) -> None:
    """Its limits and its turns are shown, and the title names it."""
    shown = screen(contents(two, turns=[REFACTOR, REVIEW]), View(account="acct-b/user-b"), 80, 24)
    assert shown[1] == "Accounts · bob@example.com alone"
    assert not [line for line in shown if line.startswith("alice")]
    assert [line.split()[1] for line in shown if "waiting" in line or "responding" in line] == ["waiting"]


def test_use_by_tokens(busy: Path) -> None:
    """The order is that of tokens, whatever the points."""
    shown = screen(contents(busy), View(by_tokens=True), 80, 24)
    rows = [line.split()[0] for line in shown if line.endswith("tokens")]
    assert rows[0].startswith("00000001")
    assert "Used today · by tokens of 7 d" in "\n".join(shown)


def test_closed_limits(path: Path) -> None:
    """A refused limit says what blocks it, and comes first."""
    refused = limit(windows(100, 41), limit_reached=True, reached_type="rate_limit_reached", allowed=False)
    record(path, snapshot(limit(windows(99, 99)), at=NOON - 30), snapshot(refused, who=BOB, at=NOON - 10))
    shown = screen(contents(path), View(), 80, 24)
    assert shown[2].startswith("bob@example.com")
    assert shown[2].endswith("left  in 2 h 30 min  blocked by 5 h")
    assert screen(contents(path), View(), 60, 15)[2].endswith("left  blocked by 5 h")


def test_old_figures_say_how_old_they_are(path: Path) -> None:
    """In 60 columns the age takes the place of the reset."""
    record(path, snapshot(limit(windows(13, 41)), at=NOON - 2 * HOUR))
    found = contents(path)
    assert screen(found, View(), 80, 24)[2].endswith("87 % left  in 2 h 30 min  seen 2 h ago")
    assert screen(found, View(), 60, 15)[2].endswith("87 % left  seen 2 h ago")


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(used_percent=3, window_minutes=10_080, resets_at=NOON - 5), "100 % left  reset"),
        (Window(window_minutes=10_080), "? left  ?"),
    ],
)
def test_unknown_figures(path: Path, window: Window, expected: str) -> None:
    """Unknown is a ?, never 0, and a reset that nobody has seen is named."""
    record(path, snapshot(limit({"7d": window}), at=NOON - 30))
    assert expected in screen(contents(path), View(), 80, 24)[2]


def test_titles_of_threads(busy: Path) -> None:
    """A turn under way is called as its thread is, in Codex or by a name; another one by its short id."""
    words: Any = {"0199aaaa-00": {"title": "Refactor the\x1b[31m login", "folder": None, "project": None}}
    found = contents(busy, turns=[REFACTOR], words=words)
    (row,) = (line for line in screen(found, View(), 100, 24) if "responding" in line)
    assert "Refactor the�[31m login" in row


def test_a_problem_is_in_the_first_line(two: Path) -> None:
    """What was read before stays on the screen."""
    shown = screen(contents(two, problem="the database is locked\nby another program"), View(), 80, 24)
    assert shown[0] == "codex-tap · 12:00 · the database is locked by another program"
    assert shown[2].startswith("bob@example.com")


def test_help(two: Path) -> None:
    """The keys take the place of the panes."""
    shown = screen(contents(two), View(shows_help=True))
    assert any("choose accounts, turns, use of today" in line for line in shown)
    assert not any("bob" in line for line in shown[1:])


def test_wide_characters(path: Path) -> None:
    """A name in wide characters takes two cells for each."""
    record(
        path,
        snapshot(limit(windows(13)), who=ALICE.model_copy(update={"email": "日本語の長い名前@example.com"}), at=NOON),
    )
    shown = screen(contents(path), View(), 60, 15)
    assert shown[2].startswith("日本語の長い名…  5 h")


def test_a_pipe_gets_everything(busy: Path) -> None:
    """Nothing is left out, cut or counted, and there are no keys."""
    found = contents(busy)
    shown = [line.plain for line in render_top(found, View(), UTC._replace(unlimited=True), None)]
    assert sum(line.endswith("tokens") for line in shown) == len(found.usage["rows"]) == 12
    assert not any("q quit" in line or "more" in line for line in shown)


def test_ascii_glyphs(two: Path) -> None:
    """A terminal that cannot show blocks gets others."""
    from scripts.render.console import _PLAIN

    shown = render_top(contents(two), View(), UTC._replace(width=60, glyphs=_PLAIN), 15)
    assert all(line.plain.isascii() for line in shown)
