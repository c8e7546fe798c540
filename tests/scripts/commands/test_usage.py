"""`codex-tap usage`."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import re
import time
from pathlib import Path

import pytest

from scripts.prices import package
from scripts.support.errors import NOTHING_YET
from store.analysis.attribution import (
    DEFAULT_WEIGHTS,
)
from store.files import api_prices_file
from store.settings import config_folder
from tests.support.codex_state import write_state
from tests.support.command_line import invoke
from tests.support.factories import AccountHistory, insert_history
from tests.support.prices import install_made_up_prices
from tests.support.usage_factories import DAY, DOCS, REFACTOR, busy, sample, simulate_use, turn


@pytest.fixture(autouse=True)
def _prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public prices of model m, and none of model n."""
    install_made_up_prices(monkeypatch)


def test_text(path: Path) -> None:
    """A line for each thread has its points, a bar and its tokens; a total and notes follow."""
    insert_history(path, busy(time.time()))
    result = invoke("usage")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("7 d window of codex · ")
    assert lines[0].endswith(" · alice@example.com")
    assert lines[1].split() == ["Thread", "Points", "Turns", "Input", "Cached", "Output", "API", "value"]
    words = [[word for word in line.split() if "█" not in word] for line in lines[2:7]]
    assert words == [
        ["01990000-1", "12.0", "1", "12,000", "9,000", "100", "$0.01"],
        ["01990000-2", "3.0", "1", "1,500", "0", "100", "?"],
        ["thread", "not", "reported", "0.0", "1", "0", "0", "100", "<$0.01"],
        ["used", "elsewhere", "5.0"],
        ["total", "20.0", "3", "13,500", "9,000", "300", "$0.01+"],
    ]
    assert lines[8] == "In all 20 % of a 7 d window, 13,800 tokens, $0.01 at public API prices + 1 turn not priced."
    assert lines[9] == "Few changes: 4 increases in 5 changes."
    assert lines[10].startswith("used elsewhere: increases without a turn through the tap, or")
    assert lines[11:] == [
        "API value: what the tokens are sold for on the public API (genai-prices). On a plan nothing was paid for it.",
        "Not priced: 1 turn of n (no price known).",
    ]


def test_fitted_weights_have_a_note(path: Path) -> None:
    """The note has the weights of the model's tokens, and the number of increases behind them."""
    history = simulate_use(0, {"m": DEFAULT_WEIGHTS}, count=1_500, elsewhere=0, at_end=True)
    begin = time.time() - history.turns[-1].ended_at - 60
    sights = [each._replace(first_at=each.first_at + begin, last_at=each.last_at + begin) for each in history.samples]
    turns = [
        each._replace(started_at=each.started_at + begin, ended_at=each.ended_at + begin) for each in history.turns
    ]
    insert_history(path, AccountHistory(sights, turns))
    (fit,) = json.loads(invoke("usage", "--json").stdout)["weights"]
    assert fit["fitted"]
    (note,) = [line for line in invoke("usage", "--explain").stdout.splitlines() if "fitted" in line]
    assert note.startswith(f"m: token weights {fit['uncached_input']:.2g} (uncached input), ")
    assert note.endswith(f"(output), fitted from {fit['rises']} increases.")
    assert "token weights" not in invoke("usage").stdout


def test_all_increases_are_divided_anew(path: Path) -> None:
    """By weights fitted now; they are kept, so that the next question has the same figures."""
    now = time.time()
    samples, turns, used = [sample(0, now - DAY)], [], 0.0
    for number in range(1, 500):
        at, given = now - DAY + number * 170, 20_000 + number % 7 * 5_000
        used += given / 1e6 + number % 5 / 20
        turns += [
            turn(at - 50, at - 20, 0, thread="reads", input_tokens=given, cached_tokens=given),
            turn(at - 50, at - 10, 100 * (number % 5), thread="writes"),
        ]
        samples.append(sample(used, at))
    insert_history(path, AccountHistory(samples, turns))

    def points(*flags: str) -> dict[str, float]:
        return {row["key"]: row["points"] for row in json.loads(invoke("usage", "--json", *flags).stdout)["rows"]}

    usual, refitted = points(), points("--refit")
    assert refitted["writes"] != pytest.approx(usual["writes"], rel=0.01)
    assert points() == pytest.approx(refitted, rel=1e-6)


def test_a_thread_goes_by_its_name(path: Path) -> None:
    """The table and the JSON document have the name of a thread that has one."""
    insert_history(path, busy(time.time()))
    invoke("threads", "name", REFACTOR, "refactor-auth")
    assert "\nrefactor-auth  " in invoke("usage").stdout
    assert json.loads(invoke("usage", "--json").stdout)["rows"][0]["name"] == "refactor-auth"


def test_json_csv_and_ndjson(path: Path) -> None:
    """All forms have the same rows."""
    insert_history(path, busy(time.time()))
    rows = json.loads(invoke("usage", "--json", "--since", "8d").stdout)["rows"]
    lines = [json.loads(line) for line in invoke("usage", "--ndjson", "--since", "8d").stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(invoke("usage", "--csv", "--since", "8d").stdout)))
    assert lines == rows
    assert [row["key"] for row in table] == [row["key"] or "" for row in rows]
    assert [float(row["points"]) for row in table] == [row["points"] for row in rows]
    assert table[1]["models"] == "m n"


def with_review(now: float) -> AccountHistory:
    """A day's use, in which the second thread is a review that the first one started."""
    history = busy(now)
    turns = [
        each._replace(parent_thread=REFACTOR, subagent="review") if each.thread == DOCS else each
        for each in history.turns
    ]
    return history._replace(turns=turns)


@pytest.fixture
def named(path: Path) -> Path:
    """A review and its session, which Codex knows."""
    insert_history(path, with_review(time.time()))
    remote = {"git_sha": "0", "git_origin_url": "https://git.example/acme/shop.git"}
    write_state(
        Path(os.environ["CODEX_HOME"]),
        {"id": REFACTOR, "title": "Fix the tests", "cwd": "/work/shop/src", **remote},
        {"id": DOCS, "title": "Review the changes", "cwd": "/work/shop", **remote},
    )
    return path


def labels(*words: str) -> list[str]:
    """The labels of the rows."""
    return [line.split("  ")[0] for line in invoke("usage", *words).stdout.split("\n\n")[0].splitlines()[2:]]


def test_titles_and_the_tree_of_a_thread(named: Path) -> None:
    """The review counts for its session."""
    session = json.loads(invoke("usage", "--json", "--tree", "--db", named).stdout)["rows"][0]
    assert (session["key"], session["title"], session["folder"], session["project"], round(session["points"])) == (
        *(REFACTOR, "Fix the tests", "/work/shop/src", "shop"),
        15,
    )
    (review,) = session["tree"]
    assert (review["key"], review["kind"], review["title"], review["parent"], review["depth"]) == (
        *(DOCS, "review", "Review the changes", REFACTOR),
        1,
    )
    rest = ["thread not reported", "used elsewhere", "total"]
    assert labels() == ["Fix the tests", *rest]
    tree = invoke("usage", "--tree").stdout
    assert "\n  review: Review the changes  " in tree
    table = list(csv.DictReader(io.StringIO(invoke("usage", "--csv", "--tree").stdout)))
    assert [(each["key"], each["parent"], each["depth"]) for each in table[:2]] == [
        (REFACTOR, "", "0"),
        (DOCS, REFACTOR, "1"),
    ]


def test_rows_by_project(named: Path) -> None:
    assert labels("--by", "project", "--db", str(named)) == ["shop", "no project known", "used elsewhere", "total"]
    rows = json.loads(invoke("usage", "--json", "--by", "project").stdout)["rows"]
    assert [(row["key"], row["name"], row["project"]) for row in rows] == [
        ("git.example/acme/shop", "shop", "shop"),
        (None, None, None),
        (None, None, None),
    ]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_names_off(named: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Nothing is read from Codex's files; an option wins over the variable."""
    words = ["--names", "off"] if way == "option" else []
    if way == "variable":
        monkeypatch.setenv("CODEX_TAP_NAMES", "off")
        assert "Fix the tests" in invoke("usage", "--names", "on", "--db", named).stdout
    monkeypatch.setattr("scripts.codex_files.names.load_threads", None)
    session = json.loads(invoke("usage", "--json", *words).stdout)["rows"][0]
    assert (session["key"], session["title"], session["folder"], session["project"]) == (REFACTOR, None, None, None)
    result = invoke("usage", "--by", "project", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--by project needs Codex's own files, which --names off leaves out." in result.stderr


def test_a_damaged_state_of_codex_is_no_error(named: Path) -> None:
    (Path(os.environ["CODEX_HOME"]) / "state_6.sqlite").write_bytes(b"damaged")
    result = invoke("usage", "--db", named)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\n01990000  " in result.stdout


@pytest.mark.parametrize("name", ["=1+1", "\x1b[31m"])
def test_text_from_the_wire_is_sanitized(path: Path, name: str) -> None:
    """A model's name is neither a formula in a spreadsheet nor an escape sequence in a terminal."""
    history = busy(time.time())
    insert_history(path, history._replace(turns=[each._replace(model=name) for each in history.turns]))
    assert "\x1b" not in invoke("usage", "--by", "model").stdout
    table = list(csv.DictReader(io.StringIO(invoke("usage", "--by", "model", "--csv").stdout)))
    assert all(not row["key"].startswith(("=", "\x1b")) for row in table)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--window", "1h"], "no window '1h' has been seen; there are: 7 d"),
        (["--limit", "nope"], "no limit 'nope' has been seen; there are: codex"),
        (["carol"], "no account matches 'carol'"),
        (["--json", "--csv"], "--json cannot be combined with --csv."),
        (["--by", "year"], "'year' is not one of"),
        (["--since", "2999-01-01"], "must be in the past"),
        (["--since", "soon"], "'soon' is not a valid time"),
    ],
)
def test_wrong_use(path: Path, words: list[str], error: str) -> None:
    """The exit code is 2, and the error lists the possible values."""
    insert_history(path, busy(time.time()))
    result = invoke("usage", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"], ["--csv"], ["--ndjson"]])
def test_nothing_known_yet(path: Path, flags: list[str]) -> None:
    """The exit code is 3, the JSON document has no rows, and no database is created."""
    result = invoke("usage", *flags)
    assert result.exit_code == 3
    assert NOTHING_YET in result.output
    if flags == ["--json"]:
        assert json.loads(result.stdout)["rows"] == []
    assert not path.exists()


def test_nothing_used_in_that_time(path: Path) -> None:
    """A time range without usage is not an error."""
    insert_history(path, busy(time.time() - 30 * DAY))
    result = invoke("usage", "--since", "1h")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No usage in that time range.\n")


def test_several_accounts(path: Path) -> None:
    """Each account has its own row, and prefixes choose accounts."""
    insert_history(path, busy(time.time()), busy(time.time())._replace(email="bob@example.com"))
    rows = json.loads(invoke("usage", "--by", "account", "--json").stdout)["rows"]
    assert [(row["name"], round(row["points"])) for row in rows] == [
        ("alice@example.com", 15),
        ("bob@example.com", 15),
        (None, 10),
    ]
    chosen = json.loads(invoke("usage", "bob", "--json").stdout)
    assert [account["email"] for account in chosen["accounts"]] == ["bob@example.com"]
    assert round(chosen["total"]["points"]) == 20


@pytest.mark.parametrize(
    ("words", "title", "note", "points"),
    [
        ((), "windows of codex · ", "Windows: 7 d of alice@example.com, 30 d of free@example.com.", "25.0"),
        (("--window", "7d"), "windows of codex · ", "Windows: 7 d of alice@example.com, 30 d", "25.0"),
        (("--window", "30d"), "30 d window of codex · ", None, "5.0"),
        (("--window", "30 d"), "30 d window of codex · ", None, "5.0"),
        (("alice",), "7 d window of codex · ", None, "20.0"),
        (("free", "--window", "7d"), "30 d window of codex · ", None, "5.0"),
    ],
)
def test_no_title_has_one_length_for_several(
    path: Path, words: tuple[str, ...], title: str, note: str | None, points: str
) -> None:
    """A note has the length of each account's window; a Free plan's month is in the slot of the week."""
    now = time.time()
    month = [sample(1, now - DAY, resets_at=int(now) + DAY), sample(6, now - DAY + 60, resets_at=int(now) + DAY)]
    free = AccountHistory([each._replace(window_minutes=43_200) for each in month], [], "free@example.com")
    insert_history(path, busy(now), free)
    lines = invoke("usage", *words).stdout.splitlines()
    assert lines[0].startswith(title)
    assert any(line.startswith(note) for line in lines) if note else not any("Windows:" in line for line in lines)
    assert next(line for line in lines if line.startswith("total")).split()[1] == points


def test_an_increase_that_a_turn_may_explain(path: Path) -> None:
    """It is not yet attributed, and a note says what becomes of it."""
    now = time.time()
    resets_at = int(now) + DAY
    seen = [sample(1, now - 600, resets_at=resets_at), sample(6, now - 300, resets_at=resets_at)]
    insert_history(path, AccountHistory(seen, [], "alice@example.com"))
    lines = invoke("usage").stdout.splitlines()
    assert lines[2].split()[:4] == ["not", "yet", "attributed", "5.0"]
    assert any(line.startswith("not yet attributed: increases of the last hour") for line in lines)
    assert "used_elsewhere" not in invoke("events", "--json").stdout
    (row,) = json.loads(invoke("usage", "--json").stdout)["rows"]
    assert (row["pending"], row["elsewhere"], row["points"]) == (True, False, 5)


def test_dollars_are_never_called_a_cost(path: Path) -> None:
    """On a plan nothing was paid for them: neither the output nor the help says so."""
    insert_history(path, busy(time.time()))
    shown = (invoke("usage").stdout + invoke("usage", "--help").stdout).lower()
    assert "nothing was paid for it" in " ".join(shown.split())
    assert not re.search(r"\b(costs?|spent|spend|spending|bill|billed)\b", shown)


@pytest.mark.parametrize("by", ["environment", "option", "folder"])
def test_the_users_own_prices_win(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str) -> None:
    """Their models are named."""
    insert_history(path, busy(time.time()))
    file = config_folder() / "prices.toml" if by == "folder" else tmp_path / "own.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[models.n]\ninput = 1000\noutput = 5000\n", encoding="utf-8")
    if by == "environment":
        monkeypatch.setenv("CODEX_TAP_PRICES", str(file))
    words = ["--prices", str(file)] if by == "option" else []
    document = json.loads(invoke("usage", "--json", *words).stdout)
    assert (document["own_prices"], document["not_priced"]) == (["n"], [])
    assert {row["key"]: row["api_value_usd"] for row in document["rows"]} == {
        REFACTOR: pytest.approx(0.0088),
        DOCS: pytest.approx(2.0),
        None: None,
    }
    assert "Your own prices: n." in invoke("usage", *words).stdout.splitlines()


def test_a_file_of_prices_with_a_mistake(path: Path, tmp_path: Path) -> None:
    """One line says where it is, and what to write."""
    insert_history(path, busy(time.time()))
    file = tmp_path / "own.toml"
    file.write_text("[models.n]\ninput = 1\noutputs = 2\n", encoding="utf-8")
    result = invoke("usage", "--prices", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"{file}, line 3: models.n.outputs: unknown key; did you mean output?\n")


def test_weeks_have_their_models(path: Path) -> None:
    """A row for each week, by its Monday, and below it one for each model."""
    now = time.time()
    insert_history(path, busy(now), busy(now - 7 * DAY)._replace(email="bob@example.com"))
    document = json.loads(invoke("usage", "--by", "week", "--json").stdout)
    lines = [line.split() for line in invoke("usage", "--by", "week").stdout.splitlines()]
    assert lines[1][:3] == ["Week", "of", "Points"]
    shown = [line[0] for line in lines[2 : lines.index([])]]
    expected = []
    for row in document["rows"]:
        if row["elsewhere"]:
            expected.append("used")
        else:
            monday = dt.datetime.fromtimestamp(row["start"], None)  # noqa: DTZ006 (weeks are those of the machine)
            assert (monday.weekday(), monday.hour, monday.minute) == (0, 0, 0)
            expected += [monday.date().isoformat(), *(each["model"] for each in row["by_model"])]
    assert shown == [*expected, "total", *(each["model"] for each in document["by_model"])]
    assert {each["model"] for each in document["by_model"]} == {"m", "n"}


@pytest.mark.parametrize(("by", "days"), [("week", 28), ("month", 184)])
def test_weeks_and_months_go_further_back(path: Path, by: str, days: int) -> None:
    """Without --since: whole periods, with the one under way."""
    insert_history(path, busy(time.time()))
    document = json.loads(invoke("usage", "--by", by, "--json").stdout)
    assert (0.7 * days - 1) * DAY < document["until"] - document["since"] < (days + 1) * DAY
    chosen = json.loads(invoke("usage", "--by", by, "--since", "2d", "--json").stdout)
    assert chosen["until"] - chosen["since"] == pytest.approx(2 * DAY, abs=60)


def test_the_package_is_imported_once(path: Path) -> None:
    """The next question reads what was stored, which takes no time."""
    insert_history(path, busy(time.time()))
    invoke("usage")
    assert json.loads(api_prices_file().read_bytes())["models"].keys() == {"m", "n"}


def test_without_public_prices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.11: a note says so, and nothing has a value."""
    monkeypatch.setattr(package, "package_state", lambda: None)
    insert_history(path, busy(time.time()))
    lines = invoke("usage").stdout.splitlines()
    assert [line.split()[-1] for line in (lines[2], lines[6])] == ["?", "?"]
    assert lines[-2].startswith("No public prices: genai-prices is not installed (it needs Python 3.12 or newer) or ")
    assert lines[-1] == "Not priced: 2 turns of m (no price known), 1 turn of n (no price known)."
    assert json.loads(invoke("usage", "--json").stdout)["price_source"] is None
