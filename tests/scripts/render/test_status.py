"""The text of `status`, and the colours of its windows."""

from __future__ import annotations

import datetime as dt
import io
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from rich.text import Text

from scripts.render.console import detect_profile, print_text
from scripts.render.forecast import render_forecasts
from scripts.render.status import render_status
from store.analysis.forecast import TOO_LITTLE_HISTORY, Forecast
from store.database import open_reader
from store.models import Credits, Identity, ModelUsage, Window
from store.queries.accounts import load_accounts
from store.queries.forecast import load_forecasts
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, used, windows
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.render.console import TerminalProfile
    from store.documents import ForecastDocument
    from store.models import Snapshot


def shown(path: Path, *snapshots: Snapshot, now: float = NOON, profile: TerminalProfile = UTC) -> str:
    """Record snapshots, and return the text of their status."""
    return styled(path, *snapshots, now=now, profile=profile).plain


def styled(path: Path, *snapshots: Snapshot, now: float = NOON, profile: TerminalProfile = UTC) -> Text:
    with closing(open_reader(record(path / "tap.sqlite3", *snapshots))) as connection:
        return render_status(load_status(connection, now, load_accounts(connection)), profile)


def test_status_shows_accounts_limits_and_windows_at_80_columns(tmp_path: Path) -> None:
    """Each account has a line of facts, each limit its age, each window its length, bar, used, left and reset."""
    first = used(13, 41, at=NOON - 100, plan_type="plus")
    second = snapshot(
        limit(windows(62.5, 100), limit_reached=True),
        limit(windows(64, 9), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark"),
        who=BOB,
        at=NOON - 7_500,
        status=429,
        plan_type="pro",
        credits=Credits(has_credits=True, unlimited=False, balance="9.5"),
    )
    assert shown(tmp_path, first, second) == lines("""
        bob@example.com · pro · credits 9.5
          codex · seen 2 h 5 min ago
            5 h  ████████░░░░░  62.5 % used  37.5 % left  resets in 2 h 30 min (14:30)
            7 d  █████████████   100 % used     0 % left  resets in 3 d 11 h (Tue 23:20)
            blocked by 7 d until Tue 23:20
          GPT-5.3-Codex-Spark (codex_bengalfox) · seen 2 h 5 min ago
            5 h  ████████░░░░░    64 % used    36 % left  resets in 2 h 30 min (14:30)
            7 d  █░░░░░░░░░░░░     9 % used    91 % left  resets in 3 d 11 h (Tue 23:20)

        alice@example.com · plus
          codex · seen 1 min ago
            5 h  ██░░░░░░░░░░░    13 % used    87 % left  resets in 2 h 30 min (14:30)
            7 d  █████░░░░░░░░    41 % used    59 % left  resets in 3 d 11 h (Tue 23:20)
    """)


def test_unknown_figures_are_question_marks(tmp_path: Path) -> None:
    """Unknown use, reset and length show as ?, never as 0, and an unseen reset is marked."""
    week = Window(window_minutes=43_200, resets_at=NOON + 700_000)
    lapsed = Window(used_percent=90, window_minutes=10_080, resets_at=NOON - 5)
    old = snapshot(limit({"5h": Window(used_percent=3), "7d": lapsed, "30d": week}), at=NOON - 200_000)
    nothing = snapshot(limit({}, limit_id="odd"), at=NOON)
    assert shown(tmp_path, old, nothing) == lines("""
        alice@example.com
          codex · seen 2 d 7 h ago
            5 h?  █░░░░░░░░░░░░░  3 % used   97 % left  resets ?
             7 d  ░░░░░░░░░░░░░░  0 % used  100 % left  reset, not seen since
            30 d                    ? used      ? left  resets in 8 d 2 h (29 Nov 14:26)
          odd · seen just now
            no windows reported
    """)


@pytest.mark.parametrize(
    ("width", "window"),
    [
        (120, "    5 h  ████░░░░░░░░░░░░░░░░░░░░░░░░░░  13 % used  87 % left  resets in 2 h 30 min (14:30)"),
        (80, "    5 h  ██░░░░░░░░░░░░░░░░░  13 % used  87 % left  resets in 2 h 30 min (14:30)"),
        (66, "    5 h  13 % used  87 % left  resets in 2 h 30 min (14:30)"),
        (60, "    5 h  13 % used  87 % left  resets in 2 h 30 min (14:30)"),
        (55, "    5 h  13 % used  87 % left  resets in 2 h 30 min"),
        (50, "    5 h  13 % used  resets in 2 h 30 min"),
    ],
)
def test_a_window_fits_its_line(tmp_path: Path, width: int, window: str) -> None:
    """With less room the bar shrinks and disappears, then the time of the reset, then what is left."""
    text = shown(tmp_path, snapshot(limit(windows(13))), profile=UTC._replace(width=width))
    assert text.splitlines()[2] == window
    assert len(window) <= width


@pytest.mark.parametrize(
    ("reached_type", "last_line"),
    [
        ("rate_limit_reached", "blocked by the server (rate_limit_reached)"),
        (None, "blocked by the server"),
        ("member_credits_depleted", "blocked: credits are used up (member_credits_depleted)"),
    ],
)
def test_a_block_without_a_full_window_has_its_reason(tmp_path: Path, reached_type: str | None, last_line: str) -> None:
    """A block by the server and used-up credits are distinct."""
    text = shown(tmp_path, snapshot(limit(windows(10, 20), limit_reached=True, reached_type=reached_type)))
    assert text.splitlines()[-1].strip() == last_line
    refused = limit(windows(10, 20), limit_reached=True, reached_type=reached_type, reached_until=NOON + 3_600)
    assert shown(tmp_path / "until", snapshot(refused)).splitlines()[-1].strip() == f"{last_line} until 13:00"


def test_a_full_window_on_credits_is_not_a_block(tmp_path: Path) -> None:
    """The line names credits as the reason, and the heading has the balance."""
    carried = snapshot(limit(windows(100, 20)), credits=Credits(has_credits=True, balance="3"))
    text = shown(tmp_path, carried)
    assert "credits 3" in text.splitlines()[0]
    assert text.splitlines()[-1] == "    used up, running on credits"


@pytest.mark.parametrize(
    ("reading", "facts"),
    [
        ({"credits": Credits(has_credits=True)}, "credits ?"),
        ({"credits": Credits(has_credits=False, unlimited=True)}, "credits without limit"),
        ({"credits": Credits(has_credits=False, unlimited=False), "plan_type": "go"}, "go"),
        ({"reset_credits": 2}, "resets to spend: 2"),
        ({"spend_control_reached": True}, "spending limit reached"),
    ],
)
def test_an_accounts_facts_stand_in_its_first_line(tmp_path: Path, reading: dict[str, Any], facts: str) -> None:
    """The heading has credits, resets to spend and a spending limit; no credits are not mentioned."""
    text = shown(tmp_path, snapshot(limit(windows(1, 2)), **reading))
    assert text.splitlines()[0] == f"alice@example.com · {facts}"


def test_accounts_of_one_e_mail_are_distinct(tmp_path: Path) -> None:
    """Accounts with the same e-mail are called by their keys, which the e-mail follows."""
    workspace = Identity(token_key="k~2", account_id="team", user_id="user-a", email=ALICE.email)
    text = shown(tmp_path, used(1), used(2, who=workspace))
    heads = [line for line in text.splitlines() if "alice" in line]
    assert heads == ["acct-a/user-a · alice@example.com", "team/user-a · alice@example.com"]


def test_an_account_without_a_name_goes_by_its_key(tmp_path: Path) -> None:
    """An account without name and e-mail is shown by its key."""
    opaque = Identity(token_key="sk-x~0123456789", user_id="sk-x~0123456789")
    assert shown(tmp_path, used(1, who=opaque)).splitlines()[0] == "sk-x~0123456789"


def test_the_colour_is_on_bar_and_figure(tmp_path: Path) -> None:
    """The bar and the figure have the same colour."""
    text = styled(tmp_path, snapshot(limit(windows(90))))
    red = [text.plain[span.start : span.end].strip() for span in text.spans if span.style == "red"]
    assert red == ["█████████████████", "90 % used"]


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "██"), ("cp1252", "##"), ("ascii", "##")])
def test_characters_fit_the_encoding(tmp_path: Path, encoding: str, bar: str) -> None:
    """Blocks and dots that cannot be encoded are replaced."""
    with (tmp_path / "out.txt").open("w", encoding=encoding) as file:
        profile = detect_profile(Console(file=file, width=80))
        text = shown(tmp_path, snapshot(limit(windows(13))), profile=profile._replace(zone=dt.UTC))
        text.encode(encoding)
        assert bar in text


# Colours

UNKNOWN_FORECAST: dict[str, Any] = {"safe": None, "chance_dry": None, "note": TOO_LITTLE_HISTORY}


def forecast(slot: str = "5h", **fields: Any) -> dict[str, Any]:
    """A forecast of a window that is 90 % used, by its slot, with these fields changed."""
    whole = {"used_percent": 90.0, "window_minutes": 300, "resets_at": NOON + 9_000, **Forecast()._asdict(), **fields}
    return {slot: whole}


def of_alice(windows: dict[str, Any], limit_id: str = "codex") -> ForecastDocument:
    """The forecasts of windows of one of Alice's limits."""
    account = {"account": "acct-a/user-a", "limits": [{"limit_id": limit_id, "windows": windows}]}
    return cast("ForecastDocument", {"generated_at": NOON, "accounts": [account]})


def coloured(path: Path, *snapshots: Snapshot, forecasts: ForecastDocument | None) -> str:
    """The status with the codes of colours, in a terminal too narrow for bars."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", no_color=False, width=66)
    with closing(open_reader(record(path / "tap.sqlite3", *snapshots))) as connection:
        document = load_status(connection, NOON, load_accounts(connection))
    print_text(console, render_status(document, UTC._replace(width=66), forecasts))
    return file.getvalue()


GREEN, YELLOW, RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"


@pytest.mark.parametrize(
    ("used", "fields", "colour"),
    [
        pytest.param(90, {"safe": True, "chance_dry": 0.01}, GREEN, id="nearly full, lasts"),
        pytest.param(90, {"safe": False, "chance_dry": 0.3}, YELLOW, id="nearly full, may run dry"),
        pytest.param(20, {"safe": False, "chance_dry": 0.9}, RED, id="nearly empty, runs dry"),
        pytest.param(20, UNKNOWN_FORECAST, GREEN, id="nearly empty, forecast unknown"),
        pytest.param(60, UNKNOWN_FORECAST, YELLOW, id="half full, forecast unknown"),
        pytest.param(90, UNKNOWN_FORECAST, RED, id="nearly full, forecast unknown"),
    ],
)
def test_a_forecast_colours_its_window(tmp_path: Path, used: float, fields: dict[str, Any], colour: str) -> None:
    """The colour shows whether the window lasts; without a forecast it shows how full the window is."""
    text = coloured(tmp_path, snapshot(limit(windows(used))), forecasts=of_alice(forecast(**fields)))
    assert f"5 h  {colour}{used} % used  \x1b[0m" in text


def test_a_forecast_colours_no_other_window(tmp_path: Path) -> None:
    """The other window of the limit, other limits and other accounts keep the colour of their level."""
    mine = snapshot(limit(windows(90, 91)), limit(windows(92), limit_id="codex_bengalfox"))
    forecasts = of_alice(forecast(safe=True, chance_dry=0.0))
    text = coloured(tmp_path, mine, snapshot(limit(windows(93)), who=BOB), forecasts=forecasts)
    assert f"{GREEN}90 % used" in text
    for full in (91, 92, 93):
        assert f"{RED}{full} % used" in text


def test_each_forecast_colours_its_window(tmp_path: Path) -> None:
    """A window has the colour of its forecast, even where the line below is about another window."""
    forecasts = forecast("7d", safe=False, chance_dry=0.9) | forecast("5h", safe=True, chance_dry=0.0)
    text = coloured(tmp_path, snapshot(limit(windows(95, 30))), forecasts=of_alice(forecasts))
    assert f"{GREEN}95 % used" in text
    assert f"{RED}30 % used" in text


def test_colours_leave_the_text_alone(tmp_path: Path) -> None:
    """With a forecast the lines of the windows are the same as without."""
    seen = snapshot(limit(windows(90)))
    with_forecast = coloured(tmp_path, seen, forecasts=of_alice(forecast(safe=True, chance_dry=0.0)))
    without = coloured(tmp_path, seen, forecasts=None)
    plain = [Text.from_ansi(each).plain.splitlines()[:3] for each in (with_forecast, without)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"reset_credits": 2}, "resets to spend: 2"),
        ({"reset_credits": 2, "reset_credits_applicable": 2}, "resets to spend: 2"),
        ({"reset_credits": 2, "reset_credits_applicable": 0}, "resets to spend: 2 (none now)"),
        ({"reset_credits": 1, "reset_credits_expire": (NOON + 3_600,)}, "resets to spend: 1 (until 13:00)"),
        (
            {"reset_credits": 2, "reset_credits_expire": (NOON - 5, NOON + 3_600, NOON + 7_200)},
            "resets to spend: 2 (the first until 13:00)",
        ),
        ({"reset_credits": 0, "reset_credits_applicable": 0}, None),
    ],
)
def test_banked_resets_have_their_end(tmp_path: Path, fields: dict[str, Any], fact: str | None) -> None:
    """Beside their number it says whether they can be used now, and until when."""
    heading, *_ = shown(tmp_path, snapshot(limit(windows(13)), **fields)).splitlines()
    assert heading == " · ".join(["alice@example.com", *([fact] if fact else [])])


def test_a_model_that_is_not_available_has_a_line(tmp_path: Path) -> None:
    """It names the model and the time, and goes when that has come."""
    astra = ModelUsage(available=False, available_at=NOON + 3_600, credits_would_enable=True)
    found = snapshot(limit(windows(13)), model_usage={"gpt-6-\x1bastra": astra, "sol": ModelUsage(available=True)})
    line = "  gpt-6-\N{REPLACEMENT CHARACTER}astra is not available until 13:00, or with credits"
    assert shown(tmp_path, found).splitlines()[-1] == line
    assert "available" not in shown(tmp_path / "later", found, now=NOON + 3_600)


def test_a_forecast_of_a_further_limit_colours_its_window(tmp_path: Path) -> None:
    """The line below is about the main limit alone."""
    seen = snapshot(limit(windows(30)), limit(windows(92), limit_id="codex_bengalfox"))
    text = coloured(tmp_path, seen, forecasts=of_alice(forecast(safe=True, chance_dry=0.0), "codex_bengalfox"))
    assert f"{GREEN}92 % used" in text
    assert "lasts" not in text


@pytest.mark.parametrize(
    ("windows_forecast", "line"),
    [
        pytest.param(forecast(**UNKNOWN_FORECAST), "too little history for a forecast", id="too little history"),
        pytest.param(
            forecast(**UNKNOWN_FORECAST) | forecast("7d", safe=True, chance_dry=0.0, at_reset=None),
            "5 h lasts",
            id="the other window has one",
        ),
        pytest.param(forecast(note="reset, not seen since"), None, id="nothing to forecast"),
    ],
)
def test_the_forecasts_line(tmp_path: Path, windows_forecast: dict[str, Any], line: str | None) -> None:
    """It is about the most urgent window with a forecast, or says why there is none."""
    seen = snapshot(limit(windows(90, 40)))
    with closing(open_reader(record(tmp_path / "tap.sqlite3", seen))) as connection:
        document = load_status(connection, NOON, load_accounts(connection))
    last = render_status(document, UTC, of_alice(windows_forecast)).plain.splitlines()[-1]
    assert last.strip() == line if line else last.startswith("    7 d")


def test_status_and_forecast_say_one_thing(tmp_path: Path) -> None:
    """The line of ``status`` stands in ``forecast`` word for word."""
    readings = [used(0, 1 + number, at=NOON - (60 - number) * 3_600) for number in range(60)]
    with closing(open_reader(record(tmp_path / "tap.sqlite3", *readings))) as connection:
        accounts = load_accounts(connection)
        document, forecasts = load_status(connection, NOON, accounts), load_forecasts(connection, NOON, accounts)
    line = render_status(document, UTC, forecasts).plain.splitlines()[-1].strip()
    assert line.startswith("7 d at this pace dry at ")
    assert line.removeprefix("7 d ") in render_forecasts(forecasts, UTC).plain
