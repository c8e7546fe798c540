"""Command lines and requests whose outputs are pinned, over the accounts of `tests.support.pinned_story`.

A line may hold ``{home}`` and ``{port}``, a port on which nothing listens.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from store.outbox.ledger import Outbox
from tests.support import pinned
from tests.support.codex_state import write_state
from tests.support.databases import damage
from tests.support.pinned import NOW
from tests.support.pinned_story import BIG, THREADS
from tests.support.session_files import SessionText, limits, thread_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIRST_SCHEMA = Path(__file__).parents[1] / "data" / "first-schema.sql"
"""A database of the first schema, with one reading."""

# Databases


def _execute(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)


def _story(path: Path, story: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(story)


def _none(_path: Path, _story: bytes) -> None:
    """Leave the database out."""


def _empty(path: Path, _story: bytes) -> None:
    pinned.record(path, [])


def _no_bytes(path: Path, _story: bytes) -> None:
    path.touch()


def _damaged(path: Path, story: bytes) -> None:
    _story(path, story)
    damage(path)


def _no_database(path: Path, _story: bytes) -> None:
    path.write_text("a file of somebody else\n" * 100, "utf-8")


def _newer(path: Path, story: bytes) -> None:
    _story(path, story)
    _execute(path, "PRAGMA user_version = 99")


def _first_schema(path: Path, _story: bytes) -> None:
    path.touch(0o600)
    _execute(path, FIRST_SCHEMA.read_text("utf-8"))


DATABASES: dict[str, Callable[[Path, bytes], None]] = {
    "story": _story,
    "no database": _none,
    "empty database": _empty,
    "empty file": _no_bytes,
    "damaged database": _damaged,
    "not a database": _no_database,
    "newer schema": _newer,
    "first schema": _first_schema,
}
"""What stands in the database's place; each takes its path and the story's bytes."""


# Files beside it


def _nothing(_home: Path) -> None:
    """Prepare nothing."""


ALERTS = """\
[targets]
log = ["true"]
broken = ["false"]
phone = "ntfys://ntfy.sh/a-made-up-topic"

[[rules]]
at = [50, 80, 95]
runs_dry = true
limit_reached = true

[[rules]]
account = "work"
window = "7d"
window_reset_early = true
used_elsewhere = 2
targets = ["phone"]

[[rules]]
account = "nobody"
window_reset = true

[[rules]]
limit = "codex_unheard_of"
at = [10]
"""


def alerts_file(content: str) -> Callable[[Path], None]:
    """Return what writes an alerts file."""

    def prepare(home: Path) -> None:
        path = home / "alerts.toml"
        path.write_text(content, "utf-8")
        path.chmod(0o600)

    return prepare


PRICES = '[models."gpt-6.1-sol*"]\ninput = 1\ncached_input = 0.1\noutput = 8\n'


def own_prices(content: str) -> Callable[[Path], None]:
    """Return what writes a file of the user's own prices."""

    def prepare(home: Path) -> None:
        (home / "own.toml").write_text(content, "utf-8")

    return prepare


def _told_before(home: Path) -> None:
    """Leave a state of alerts behind, as an earlier ``alerts watch`` wrote it."""
    alerts_file(ALERTS)(home)
    about = ["dan~0000000001", "codex", "7d"]
    usual = {"about": about, "resets_at": NOW + 172_800, "told_at": NOW - 1_400.0, "rows": None}
    state = {
        "version": 1,
        "since": dict.fromkeys(("limit_reached", "window_reset_early", "used_elsewhere"), NOW - 86_400),
        "runs": [[*about, 100.0, NOW + 172_800]],
        "told": [
            {"kind": "used", "threshold": 95.0, "text": "dan: 7 d at 100 % used", **usual},
            {"kind": "limit_reached", "threshold": None, "text": "dan: 7 d is full", **usual},
        ],
        "unsent": [],
    }
    (home / "tap.sqlite3-alerts.json").write_text(json.dumps(state), "utf-8")


def _copies(home: Path) -> None:
    """Leave copies beside the database."""
    for suffix in (".v1.bak", ".corrupt-20261120-101500", ".unwritten-1795243200000000000-0123abcd.jsonl"):
        path = home / f"tap.sqlite3{suffix}"
        path.write_text("", "utf-8")
        path.chmod(0o600)


def _readable_by_others(home: Path) -> None:
    """Let others read the database."""
    (home / "tap.sqlite3").chmod(0o644)


def _codex(home: Path) -> None:
    """Put a codex in the folder that the PATH names."""
    program = home / "bin" / "codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho codex-cli 0.169.0\n", "utf-8")
    program.chmod(0o700)


def _with_copies_and_codex(home: Path) -> None:
    _copies(home)
    _codex(home)


def _with_sessions(home: Path) -> None:
    """A session from before the tap, and one that names no account."""
    for number, account in enumerate(("acct-ann", None), 1):
        session = SessionText(thread_id(number), account=account, user="user-ann").begin(NOW - 90_000)
        for turn in range(2):
            at = NOW - 90_000 + 60 * turn
            told = limits(10.0 + turn)
            session.ask(at).respond(at + 20, response=f"resp_{number}{turn}", limits=told)
        session.write(home)


def _with_outbox(home: Path) -> None:
    """Set shipping up, and send nothing."""
    Outbox(home / "tap.sqlite3").close()


def _with_session_and_sightings(home: Path) -> None:
    """Write a session file of Codex, and record what was seen and is not understood."""
    _codex(home)
    session = home / "sessions" / "2026" / "11" / "21" / f"rollout-2026-11-21T11-00-00-{_THREAD}.jsonl"
    session.parent.mkdir(parents=True)
    session.write_text("", "utf-8")
    for path, written_at in ((session, NOW - 180), (session.parent, NOW - 3_600)):
        os.utime(path, (written_at, written_at))
    seen = [
        ("host", "eu.chatgpt.com", 2),
        ("other_host", "backend.example", 1),
        ("unknown_field", "x-codex-tertiary-used-percent", 3),
        ("unknown_field", "rate_limit.tertiary_window", 1),
        ("unknown_login", "Basic", 12),
    ]
    entries = [entry for each in seen for entry in pinned.sightings(*each)]
    pinned.record(home / "tap.sqlite3", [*entries, pinned.turn(pinned.identity("ann"), NOW - 170, thread=_THREAD)])


def _threads_of_codex(home: Path) -> None:
    """Write what Codex knows of threads, and record a review, its sub-agent, and a turn that makes a title."""
    shop = {"git_sha": "0" * 40, "git_origin_url": "https://git.example/acme/shop.git"}
    write_state(
        home,
        {"id": THREADS[0], "title": "Refactor the login\nin small steps", "cwd": "/work/shop/src", **shop},
        {"id": THREADS[1], "name": "Write the docs", "title": "please write docs", "cwd": "/work/shop", **shop},
        {"id": THREADS[3], "title": "Try the benchmarks once more with the old compiler", "cwd": "/old/shop"},
        {"id": _REVIEW, "title": "Review the current code changes", "cwd": "/work/shop", **shop},
        {"id": _HELPER, "title": "", "agent_path": "/root/check_tests", "cwd": "/work/shop", **shop},
    )
    ann, of_session = pinned.identity("ann"), {"session": THREADS[1], "model": BIG, "status": 200}
    turns: list[dict[str, Any]] = [
        {"thread": _REVIEW, "parent_thread": THREADS[1], "subagent": "review", "reasoning_effort": "high"},
        {"thread": _HELPER, "parent_thread": _REVIEW, "subagent": "thread_spawn", "tier": "priority"},
        {"thread": _TITLE, "session": _TITLE, "subagent": "thread_title", "client": "codex-tui"},
    ]
    pinned.record(
        home / "tap.sqlite3",
        [
            pinned.turn(ann, NOW - 400 + 100 * number, tokens=(40_000, 30_000, 900, 100), **{**of_session, **each})
            for number, each in enumerate(turns)
        ],
    )


def _of_somebody_else(home: Path) -> None:
    """Put a file of somebody else into the product's folder."""
    folder = pinned.user_data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt").write_text("", "utf-8")
    _copies(home)


def login(account_id: str | None) -> Callable[[Path], None]:
    """Return what writes the login of an account into CODEX_HOME; None writes one that cannot be read."""

    def prepare(home: Path) -> None:
        found = {"auth_mode": "chatgpt", "tokens": {"account_id": account_id}} if account_id else []
        (home / "auth.json").write_text(json.dumps(found), "utf-8")

    return prepare


def _certificate(home: Path) -> None:
    """Write what stands for the proxy's certificate."""
    (home / "it's a ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "utf-8")


# Command lines


class Case(NamedTuple):
    """Command lines that follow each other, and what they find.

    The first goes on after the words of its command, the others are whole. `without` matches lines that differ from
    machine to machine. `interrupted` ends the command at its first pause.
    """

    lines: tuple[str, ...]
    views: tuple[str, ...] = ("pipe",)
    database: str = "story"
    stdin: str = ""
    environment: Mapping[str, str] = {}
    prepare: Callable[[Path], None] = _nothing
    interrupted: bool = False
    without: str | None = None
    note: str = ""


LOOKS = ("pipe", "terminal of 100 columns", "terminal of 60 columns", "terminal of 100 columns with colours")


def text(*lines: str, **fields: Any) -> Case:
    """Return a case that is looked at in every way."""
    return Case(lines, LOOKS, **fields)


def piped(*lines: str, view: str = "pipe", **fields: Any) -> Case:
    """Return a case that is looked at in one way."""
    return Case(lines, (view,), **fields)


def nothing_seen(*lines: str) -> list[Case]:
    """Return cases of a command that finds nothing."""
    return [piped(line, database=name) for line in lines for name in ("no database", "empty database")]


_CONFIG = {"CODEX_TAP_ALERTS": "{home}/alerts.toml"}
_NO_COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}
_NO_TARGETS = "[[rules]]\nat = [80]\n"
_DOCTOR = {"PATH": "{home}/bin"}
_THREAD = "019aa5a0-0000-7000-8000-000000000001"
_REVIEW, _HELPER, _TITLE = (f"019aa5b{number}-0000-7000-8000-000000000001" for number in range(3))
_VERSIONS = r"^.*(versions|Python 3\.12 or newer).*\n|    \{\n      \"name\": \"versions\"(.|\n)*?    \},\n"
_TEAM = "postgresql://ann@127.0.0.1:1/codex_tap"
_ADDRESS = "--proxy 127.0.0.1:{port}"
_CA = '--ca "{home}/it\'s a ca.pem"'

COMMANDS: dict[str, list[Case]] = {
    "": [
        text(""),
        piped("--json"),
        piped("--version"),
        piped("--watch 3", interrupted=True),
        piped("--any", prepare=login("acct-ben")),
        piped("staus"),
        piped("--json status"),
        piped("--watch 3 usage"),
        piped("--db {home}/elsewhere.sqlite3 status"),
        piped("--db {home}/elsewhere.sqlite3"),
    ],
    "status": [
        text("work"),
        text("ben@ dan"),
        piped("--json"),
        piped("eve cora --json"),
        piped("--all eve"),
        piped("nobody"),
        piped("acct-ann"),
        piped("--watch 3 work", interrupted=True),
        piped("--watch 3 --json"),
        piped("--watch 0"),
        piped("", view="ASCII pipe"),
        text("", prepare=login("acct-ben"), note=", logged in"),
        piped("--json", prepare=login("acct-ben"), note=", logged in"),
        piped("ann ben@", prepare=login("acct-ben"), note=", logged in"),
        piped("--any", prepare=login("acct-ben")),
        piped("", prepare=login("acct-new"), note=", logged in and not seen"),
        piped("", prepare=login(None), note=", a login that cannot be read"),
        *nothing_seen("", "--json", "work"),
        *(
            piped("", database=name)
            for name in ("empty file", "damaged database", "not a database", "newer schema", "first schema")
        ),
    ],
    "top": [
        text(""),
        piped("work ben"),
        piped("--names off", view="ASCII pipe"),
        piped("nobody"),
        *nothing_seen(""),
        piped("", database="damaged database"),
    ],
    "forecast": [
        text(""),
        piped("work ben"),
        piped("--json"),
        piped("nobody"),
        *nothing_seen("", "--json"),
    ],
    "usage": [
        text(""),
        text("work --by day --since 5d"),
        piped("--by thread work"),
        piped("--by model"),
        piped("--by hour --since 1d"),
        piped("--by account"),
        piped("--window 5h work"),
        piped("--limit codex_bengalfox"),
        piped("--by hour --since 9d", view="terminal of 100 columns"),
        piped("--by hour --since 9d --all", view="terminal of 100 columns"),
        text("--explain"),
        text("--explain --refit"),
        text("", prepare=_threads_of_codex),
        text("work --tree", prepare=_threads_of_codex),
        piped("work --tree --json", prepare=_threads_of_codex),
        piped("work --tree --csv", prepare=_threads_of_codex),
        text("--by project", prepare=_threads_of_codex),
        piped("--by project --json", prepare=_threads_of_codex),
        *(piped(f"work --by {what}", prepare=_threads_of_codex) for what in ("effort", "subagent", "tier", "client")),
        piped("--names off", prepare=_threads_of_codex),
        piped("", environment={"CODEX_TAP_NAMES": "off"}, prepare=_threads_of_codex),
        piped("", environment={"CODEX_TAP_NAMES": "perhaps"}),
        piped("--names off --by project"),
        piped("--tree --by model"),
        piped("--json"),
        piped("--by account --json"),
        piped("--csv"),
        piped("--ndjson"),
        piped("--since 1min"),
        piped("--since 2026-11-20T08:00"),
        piped("--since never"),
        piped("--since 2030-01-01"),
        piped("--window 3h"),
        piped("--limit codex_unheard_of"),
        piped("--by colour"),
        piped("--json --csv"),
        piped("nobody"),
        text("--by week work"),
        piped("--by month"),
        piped("--by week work --json"),
        piped("--by day --since 2d --csv"),
        piped("--prices {home}/own.toml work", prepare=own_prices(PRICES)),
        piped("--json work", environment={"CODEX_TAP_PRICES": "{home}/own.toml"}, prepare=own_prices(PRICES)),
        piped("--prices {home}/own.toml", prepare=own_prices("[models.gpt-6.1-sol]\ninput = 1\noutput = 2\n")),
        piped("--prices {home}/no.toml"),
        *nothing_seen("", "--json", "--csv"),
    ],
    "speed": [
        text(""),
        text("work --by day --since 5d"),
        piped("--by hour"),
        piped("--by effort"),
        piped("--by tier"),
        piped("--since 24h"),
        piped("--json"),
        piped("--csv"),
        piped("--ndjson"),
        piped("--since 1min"),
        piped("--since 2030-01-01"),
        piped("--by colour"),
        piped("nobody"),
        *nothing_seen("", "--json", "--csv"),
    ],
    "next": [
        text(""),
        piped("--json"),
        piped("--credits ben --json"),
        piped("--credits all ben"),
        piped("--credits nobody"),
        text("dan eve"),
        text("", prepare=login("acct-ann"), note=", logged in"),
        piped("--json", prepare=login("acct-new"), note=", logged in and not seen"),
        piped("nobody"),
        *nothing_seen("", "--json"),
    ],
    "events": [
        text("--since 5d"),
        piped(""),
        piped("work --kind window_moved --kind window_reset_early"),
        text("--since 3d --all --no-pager"),
        piped("--since 3d --pager"),
        piped("--limit codex_bengalfox"),
        piped("--json --since 5d --kind used_elsewhere --kind plan_changed --kind token_refreshed"),
        piped("--csv --since 4d"),
        piped("--ndjson --since 1d"),
        piped("--since 1min"),
        piped("--kind earthquake"),
        piped("--limit codex_unheard_of"),
        piped("--csv --ndjson"),
        piped("nobody"),
        *nothing_seen("", "--json", "--csv"),
    ],
    "history": [
        text("--since 2d"),
        text("work --since 1d"),
        text(""),
        piped("--all"),
        piped("--all --since 1d"),
        piped("--since 12h --no-pager", view="terminal of 100 columns"),
        piped("--limit codex_bengalfox --pager"),
        piped("ben --json --since 3d"),
        piped("--csv --since 2d"),
        piped("--ndjson --since 1d"),
        text("work --plot --since 5d"),
        piped("--plot"),
        piped("dan --plot", view="ASCII pipe"),
        piped("--since 1min"),
        piped("--since 2030-01-01 --plot"),
        piped("--limit codex_unheard_of"),
        piped("--plot --json"),
        piped("nobody"),
        *nothing_seen("", "--json", "--csv", "--plot"),
    ],
    "accounts": [text(""), piped("--json"), piped("--json name"), *nothing_seen("", "--json")],
    "accounts name": [
        piped("ben@ play", "accounts --json", "status play"),
        piped("work --clear", "accounts"),
        piped("ben@ work"),
        piped("ben@ ' '"),
        piped("ben@"),
        piped("nobody somebody"),
        *nothing_seen("ben@ play"),
    ],
    "accounts merge": [
        piped("work ben@ --yes", "accounts", "status acct-ben", "threads"),
        piped("work ben@", "accounts", stdin="n\n"),
        piped("work acct-ann/user-ann"),
        piped("work nobody"),
        piped("work"),
        *nothing_seen("work ben@"),
    ],
    "accounts forget": [
        piped("ben@ --yes", "accounts", "status"),
        piped("ben@", "accounts", stdin="n\n"),
        piped("work", stdin="y\n", prepare=_copies),
        piped("nobody"),
        *nothing_seen("ben@"),
    ],
    "threads": [
        text(""),
        text("--since 2d"),
        piped("--all"),
        text("", prepare=_threads_of_codex),
        text("--tree", prepare=_threads_of_codex),
        piped("--tree --json", prepare=_threads_of_codex),
        piped("--names off", prepare=_threads_of_codex),
        piped("--json"),
        piped("--since 1min"),
        piped("--since never"),
        *nothing_seen("", "--json"),
    ],
    "threads name": [
        piped(f"{THREADS[3]} benchmarks", "threads"),
        piped("refactor-auth ''", "threads"),
        piped("refactor-auth --clear", "threads"),
        piped("refactor-auth x --clear"),
        piped(f"{THREADS[3]} refactor-auth"),
        piped("0199a8c x"),
        piped("nothing x"),
        *nothing_seen("x y"),
    ],
    "guard": [
        *(piped(who) for who in ("", "work", "ben", "cora", "dan", "eve")),
        piped("cora --max-age 7d"),
        piped("work --max-age 1d --window 7d --min-remaining 40"),
        piped("work --max-age 1d --window 3h"),
        piped("ben --max-age 1d --limit codex_bengalfox"),
        piped("ben --limit codex_unheard_of"),
        piped("ben --max-age 1d --no-credits"),
        piped("dan --json"),
        piped("ben --max-age 1d --json"),
        piped("dan --quiet"),
        piped("dan --wait", interrupted=True),
        *(
            piped(line, prepare=login("acct-ben"), note=", logged in")
            for line in ("", "--json", "--any", "work", "work --any")
        ),
        *(piped(line, prepare=login("acct-new"), note=", logged in and not seen") for line in ("", "--json")),
        piped("", prepare=login(None), note=", a login that cannot be read"),
        piped("cora --max-age 1h --fail-open"),
        piped("cora --max-age 1h --fail-open --json"),
        *(
            piped(f"work --budget {budget}", environment={"CODEX_THREAD_ID": THREADS[0]})
            for budget in (
                "20%",
                "1%/day",
                "5%/week --window 5h",
                "2%/hour --names off",
                "20% --json",
                "20% --budget-for account",
            )
        ),
        piped("work --budget 50%/day --budget-for thread"),
        piped("work --budget 50%/month"),
        piped("work --budget-for account"),
        piped("--max-age never"),
        piped("--min-remaining 101"),
        piped("nobody"),
        *nothing_seen("", "--json"),
    ],
    "statusline": [
        *(piped(who) for who in ("", "work", "ben", "cora", "dan", "eve")),
        *(piped(f"{who} --format {form}") for form in ("tmux", "waybar", "json") for who in ("work", "dan")),
        piped("ben --format tmux", environment={"NO_COLOR": "1"}),
        *(
            piped(line, prepare=login("acct-ben"), note=", logged in")
            for line in ("", "--any", "--format json", "--format waybar")
        ),
        *(
            piped(line, prepare=login("acct-new"), note=", logged in and not seen")
            for line in ("", "--format json", "--format waybar")
        ),
        piped("--format html"),
        piped("nobody"),
        *nothing_seen("", "--format tmux", "--format waybar", "--format json"),
    ],
    "alerts": [],
    "alerts check": [
        piped("--config {home}/alerts.toml", prepare=alerts_file(ALERTS)),
        piped("--json", environment=_CONFIG, prepare=alerts_file(ALERTS)),
        piped("", environment=_CONFIG, prepare=_told_before, note=", with a state"),
        piped("--json", environment=_CONFIG, prepare=_told_before, note=", with a state"),
        piped(
            "",
            environment=_CONFIG,
            prepare=alerts_file('quiet_hours = "11:00-13:30"\n' + ALERTS),
            note=", in quiet hours",
        ),
        piped(""),
        *(
            piped("", environment=_CONFIG, prepare=alerts_file(content), note=f", {content!r}")
            for content in (
                "[[rules]\n",
                "colour = 1\n",
                "[[rules]]\nat = [0]\n",
                "[[rules]]\nwindow = 7\n",
                '[[rules]]\nat = [80]\ntargets = ["phone"]\n',
                '[targets]\nphone = "no url"\n',
                'quiet_hours = "25:00-26:00"\n',
            )
        ),
        piped("", environment=_CONFIG, prepare=alerts_file(ALERTS), database="no database"),
        piped("--json", environment=_CONFIG, prepare=alerts_file(ALERTS), database="no database"),
    ],
    "alerts test": [
        piped("log", environment=_CONFIG, prepare=alerts_file(ALERTS)),
        piped("broken", environment=_CONFIG, prepare=alerts_file(ALERTS)),
        piped("phon", environment=_CONFIG, prepare=alerts_file(ALERTS)),
        piped("", environment=_CONFIG, prepare=alerts_file(_NO_TARGETS)),
    ],
    "alerts watch": [
        piped("", environment=_CONFIG, prepare=alerts_file(_NO_TARGETS)),
        piped("", environment=_CONFIG, prepare=alerts_file('[targets]\nlog = ["true"]\n')),
        piped("--config {home}/nowhere.toml --quiet"),
    ],
    "alerts init": [
        piped("--config {home}/new/alerts.toml", "alerts check --config {home}/new/alerts.toml"),
        piped("", environment=_CONFIG, prepare=alerts_file(ALERTS)),
    ],
    "serve": [
        piped("--host 0.0.0.0"),
        piped("", environment={"CODEX_TAP_TOKEN": "short"}),
        piped("--port 70000 --quiet"),
        piped("--names perhaps"),
    ],
    "otlp": [
        piped("--once", environment=_NO_COLLECTOR),
        piped("--once --db {home}/x", environment=_NO_COLLECTOR),
        piped("--quiet", environment={**_NO_COLLECTOR, "OTEL_METRIC_EXPORT_INTERVAL": "a minute"}),
        piped("", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}),
        piped("", environment={"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}),
    ],
    "ship": [
        piped(""),
        piped(_TEAM),
        piped(f"{_TEAM} --watch --beside"),
        piped(f"{_TEAM} --interval 5"),
        piped(f"{_TEAM} --emails all"),
        piped(f"{_TEAM} --threads none"),
        piped(f'{_TEAM} --name " "'),
        piped(f"{_TEAM} --quiet", database="no database"),
        piped("postgresql://ann:secret@127.0.0.1/d"),
        piped("elsewhere"),
        piped("--status", "ship --status --json", "ship --db {home}/x --status"),
        piped("--off", "ship --status --json", "ship --status", prepare=_with_outbox),
        piped("--off"),
        piped("--json"),
    ],
    "mcp": [
        piped("--names maybe"),
        piped("--db {home}/x nobody"),
    ],
    "run": [
        piped(""),
        piped("--ca {home}/ca.pem true"),
        piped("--proxy 127.0.0.1:{port} --db {home}/x true"),
        piped("--proxy 127.0.0.1:{port} --serve true"),
        piped("--proxy 127.0.0.1:{port} --alerts true"),
        piped("--proxy 127.0.0.1:{port} --otlp true"),
        piped(f"--proxy 127.0.0.1:{{port}} --ship {_TEAM} true"),
        piped("--proxy 127.0.0.1:{port} --own true"),
        piped("--proxy 127.0.0.1:{port} true"),
        piped("--proxy nowhere true"),
        piped("--alerts true"),
        piped("--serve true", environment={"CODEX_TAP_TOKEN": "short"}),
    ],
    "proxy": [
        piped("--port 70000"),
        piped("--held-socket"),
        piped("--quiet --verbose"),
        piped("--alerts"),
        piped("--otlp", environment={"OTEL_SDK_DISABLED": "true"}),
        piped("--ship postgresql://ann:secret@127.0.0.1/d"),
        piped("--serve", environment={"CODEX_TAP_TOKEN": "short"}),
    ],
    "env": [
        *(
            piped(f'{_ADDRESS} --ca "{{home}}/it\'s a ca.pem" --shell {shell}', prepare=_certificate)
            for shell in ("sh", "fish", "powershell")
        ),
        piped(
            f"{_ADDRESS} --host gateway.example",
            environment={
                "SHELL": "/usr/bin/fish",
                "NO_PROXY": "localhost,openai.com,gateway.example",
                "HTTP_PROXY": "http://proxy.example:3128",
            },
        ),
        piped(f"{_ADDRESS} {_CA}", view="terminal of 100 columns", prepare=_certificate),
        piped("--proxy nowhere"),
        piped("--shell tcsh"),
        piped(_ADDRESS, environment={"SSL_CERT_FILE": "{home}/nowhere.pem"}),
    ],
    "install": [
        piped("--shell bash", stdin="n\n"),
        piped("--shell zsh --yes", "install --shell zsh --yes", "uninstall --keep-data --yes"),
        *(piped(f"--print --shell {shell}") for shell in ("bash", "fish", "powershell")),
        piped(""),
        piped("--port {port}"),
        piped("--otlp"),
        piped(f"--ship {_TEAM}"),
        piped("--always --print"),
        piped("--always", environment={"HTTPS_PROXY": "http://h:1", "CODEX_TAP_PROXY": "http://h:1"}),
    ],
    "import": [
        piped("--codex-home {home}", "import --codex-home {home}", "threads --since 30d", prepare=_with_sessions),
        piped("--codex-home {home}", "usage --since 30d --json", database="no database", prepare=_with_sessions),
        piped("--codex-home {home} --dry-run --json", database="no database", prepare=_with_sessions),
        piped("--codex-home {home}"),
        piped("--codex-home {home} --quiet", prepare=_with_sessions),
        piped("--codex-home {home} --again", "import --codex-home {home} --again", prepare=_with_sessions),
        piped("--codex-home {home}/nowhere"),
        piped("--since 2030-01-01"),
    ],
    "team": [],
    "team init": [
        piped(""),
        piped("postgresql://ann:secret@db.example/team"),
        piped("postgresql://ann@db.example/team?sslmode=require"),
        piped("postgresql://ann@127.0.0.1:{port}/team --reader-role grafana"),
    ],
    "team add-machine": [
        piped("laptop"),
        piped("laptop --db {home}/x"),
        piped("laptop --renew --no-password --json --db postgresql://ann@127.0.0.1:{port}/team"),
    ],
    "team add-reader": [
        piped("lead"),
        piped("lead --without-emails --renew --no-password --json --db postgresql://ann@127.0.0.1:{port}/team"),
    ],
    "team add-person": [
        piped("ann"),
        piped("ann --machine laptop --renew --no-password --json --db postgresql://ann@127.0.0.1:{port}/team"),
    ],
    "team remove-machine": [piped("laptop"), piped("laptop --yes --db postgresql://ann@127.0.0.1:{port}/team")],
    "team machines": [piped(""), piped("--json --db postgresql://ann@127.0.0.1:{port}/team")],
    "team forget": [piped("ann@"), piped("ann@ --yes --db postgresql://ann@127.0.0.1:{port}/team")],
    "team prune": [
        piped("--keep 12m"),
        piped("--keep soon"),
        piped("--keep 90d --yes --json --db postgresql://ann@127.0.0.1:{port}/team"),
    ],
    "prune": [
        text("--older-than 5d"),
        piped("--older-than 5d --json"),
        piped("--older-than 5d --yes", "history", "threads --since 30d"),
        piped("--older-than 2026-11-19 --yes --json"),
        piped("--older-than 52w"),
        piped("--older-than never"),
        piped("--older-than 2030-01-01"),
        piped(""),
        *nothing_seen("--older-than 5d", "--older-than 5d --json"),
    ],
    "demo": [],
    "doctor": [
        *(
            piped(_ADDRESS, view=view, environment=_DOCTOR, prepare=_with_copies_and_codex, without=_VERSIONS)
            for view in ("pipe", "terminal of 400 columns with colours")
        ),
        piped(
            _ADDRESS,
            environment=_DOCTOR,
            prepare=_with_session_and_sightings,
            without=_VERSIONS,
            note=", a session and what is not understood",
        ),
        piped(_ADDRESS, environment=_DOCTOR, prepare=_readable_by_others, without=_VERSIONS, note=", readable by all"),
        piped(f"{_ADDRESS} --json", environment=_DOCTOR, prepare=_codex, without=_VERSIONS),
        piped(_ADDRESS, environment=_DOCTOR, without=_VERSIONS, database="no database"),
        piped(_ADDRESS, environment=_DOCTOR, prepare=_codex, without=_VERSIONS, database="not a database"),
        piped(
            _ADDRESS,
            environment={**_DOCTOR, "HTTPS_PROXY": "http://127.0.0.1:{port}", "CODEX_CA_CERTIFICATE": "{home}/no.pem"},
            prepare=_codex,
            without=_VERSIONS,
            note=", a shell that leads to no proxy",
        ),
        piped(f"{_ADDRESS} --quiet", environment=_DOCTOR, prepare=_with_copies_and_codex, without=_VERSIONS),
        piped("--proxy nowhere"),
    ],
    "uninstall": [
        piped("--yes", prepare=_of_somebody_else),
        piped("", stdin="n\n"),
        piped("", stdin="y\n"),
        piped("--keep-data"),
        piped("--yes", database="no database"),
        piped("--yes", database="not a database"),
    ],
}
"""The cases of each command, by its words."""


# Requests


class Question(NamedTuple):
    """Requests that follow each other, of a server with these settings; one that is `alone` is nobody else's.

    `part` makes what is pinned of a JSON document. With `wait_for` the first request is repeated until that is in it.
    """

    lines: tuple[str, ...]
    database: str = "story"
    alone: bool = False
    settings: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    body: str | None = None
    part: Callable[[Any], Any] | None = None
    wait_for: str = ""
    show_headers: tuple[str, ...] = ()


def get(target: str, **fields: Any) -> Question:
    """Return a request that changes nothing."""
    return Question((f"GET {target}",), **fields)


def alone(*lines: str, **fields: Any) -> Question:
    """Return requests that change the database."""
    return Question(lines, alone=True, **fields)


def nothing_there(target: str) -> Question:
    """Return a request where nothing was seen yet."""
    return get(target, database="no database")


def _own_parts(document: Any) -> Any:
    """Return OpenAPI's document without what its libraries add to it in one version or another."""
    schemas = document["components"]["schemas"]
    ours = {name: schemas[name] for name in sorted(schemas) if "ValidationError" not in name}
    return _without_double_constants({"info": document["info"], "paths": document["paths"], "schemas": ours})


def _without_double_constants(part: Any) -> Any:
    """Return a part of a schema, in which a constant is not an enumeration of one as well."""
    if isinstance(part, list):
        return [_without_double_constants(each) for each in part]
    if not isinstance(part, dict):
        return part
    left_out = {"enum"} if "const" in part else set()
    return {name: _without_double_constants(value) for name, value in part.items() if name not in left_out}


API: dict[str, list[Question]] = {
    "usage": [
        get("/api/usage"),
        get("/api/usage/work"),
        get("/api/usage/nobody"),
        get("/api/usage/acct-ann"),
        get("/api/usage", headers={"If-None-Match": "*"}),
        nothing_there("/api/usage"),
        nothing_there("/api/usage/work"),
    ],
    "history": [
        get("/api/history"),
        get("/api/history?account=ben&since=3d&points=4"),
        get("/api/history?since=2d&limit=2&limit_id=codex"),
        get("/api/history?since=never"),
        get("/api/history?since=2030-01-01"),
        get("/api/history?points=0"),
        get("/api/history?account=nobody"),
        nothing_there("/api/history"),
    ],
    "peaks": [
        get("/api/peaks?since=3d"),
        get("/api/peaks?account=ben&since=2d&limit_id=codex"),
        get("/api/peaks?account=nobody"),
        nothing_there("/api/peaks"),
    ],
    "requests": [
        get("/api/requests?limit=6"),
        get("/api/requests?account=dan"),
        get("/api/requests?account=work&limit=2&before=20"),
        get("/api/requests?limit=0"),
        get("/api/requests?before=x"),
        nothing_there("/api/requests"),
    ],
    "breakdown": [
        get("/api/breakdown"),
        get("/api/breakdown?account=work&by=day&since=3d&window=5h"),
        get("/api/breakdown?by=model&limit_id=codex_bengalfox"),
        get("/api/breakdown?account=dan&tree=true"),
        get("/api/breakdown?window=3h"),
        get("/api/breakdown?by=colour"),
        get("/api/breakdown?limit=1&since=30d"),
        get("/api/breakdown?account=work&by=week&since=21d"),
        nothing_there("/api/breakdown"),
    ],
    "speed": [
        get("/api/speed"),
        get("/api/speed?account=work&by=day&since=3d"),
        get("/api/speed?by=colour"),
        nothing_there("/api/speed"),
    ],
    "forecast": [
        get("/api/forecast"),
        get("/api/forecast?account=work"),
        get("/api/forecast?account="),
        nothing_there("/api/forecast"),
    ],
    "overview": [
        get("/api/overview"),
        get("/api/overview?search=ben&all=true"),
        get("/api/usage?search=EVE%20example"),
        nothing_there("/api/overview"),
    ],
    "events": [
        get("/api/events?since=2d"),
        get("/api/events?account=ben&kind=plan_changed&kind=credits_bought"),
        get("/api/events?limit_id=codex_bengalfox&limit=1"),
        get("/api/events?since=2d&routine=false&limit=2"),
        get("/api/events?kind=earthquake"),
        nothing_there("/api/events"),
    ],
    "next": [
        get("/api/next"),
        get("/api/next?credits=all"),
        get("/api/next?credits=nobody"),
        nothing_there("/api/next"),
    ],
    "accounts": [
        get("/api/accounts"),
        get("/api/accounts/ben"),
        get("/api/accounts/nobody"),
        alone("PATCH /api/accounts/ben", "GET /api/accounts", body='{"name": "play"}'),
        alone("PATCH /api/accounts/work", "GET /api/accounts/ann", body='{"name": null}'),
        alone("PATCH /api/accounts/ben", body='{"name": "work"}'),
        alone("PATCH /api/accounts/ben", body='{"name": " "}'),
        alone("PATCH /api/accounts/ben", body='{"colour": 1}'),
        alone("PATCH /api/accounts/ben", body="{"),
        alone("PATCH /api/accounts/nobody", body='{"name": "play"}'),
        alone("DELETE /api/accounts/ben", "GET /api/accounts", "DELETE /api/accounts/ben"),
        nothing_there("/api/accounts"),
    ],
    "codex-usage": [
        get("/codex/usage"),
        get("/codex/usage/ben"),
        get("/codex/usage/nobody"),
        nothing_there("/codex/usage"),
    ],
    "health": [
        get("/health"),
        nothing_there("/health"),
        *(
            get("/health", database=name)
            for name in ("empty database", "damaged database", "not a database", "newer schema", "first schema")
        ),
    ],
    "metrics": [
        get("/metrics", wait_for="codex_tap_tokens_total"),
        get("/metrics", settings={"metrics_emails": True}, wait_for="codex_tap_tokens_total"),
        nothing_there("/metrics"),
        get("/metrics", database="not a database"),
    ],
    "openapi": [get("/openapi.json", part=_own_parts)],
    "access": [
        get(
            "/",
            show_headers=(
                *("content-type", "cache-control", "content-security-policy", "x-content-type-options"),
                *("referrer-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"),
            ),
        ),
        get("/nowhere"),
        Question(("POST /api/usage",)),
        get("/api/usage", headers={"Host": "other.example"}),
        get("/api/usage", headers={"Sec-Fetch-Site": "cross-site"}),
        Question(("DELETE /api/accounts/ben",), headers={"Sec-Fetch-Site": "cross-site"}),
        get("/api/usage", settings={"token": "a-made-up-token-of-tests"}),
        get("/", settings={"token": "a-made-up-token-of-tests"}),
        get(
            "/api/accounts",
            settings={"token": "a-made-up-token-of-tests"},
            headers={"Authorization": "Bearer a-made-up-token-of-tests"},
        ),
    ],
}
"""The requests of each file of the API."""
