"""Commands that read a team's database, and those that need a file."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from scripts.alerts.state import watch_lock
from scripts.support.errors import CommandError
from scripts.support.place import read_place, state_path
from store.database import open_reader, open_writer
from store.edits import rename_account
from store.files import alerts_state_path
from store.queries.accounts import load_accounts
from tests.support import pinned, pinned_story
from tests.support.alerts import write_settings
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB
from tests.support.readings import reading
from tests.support.shipping import ship_file
from tests.support.web_server import Site, events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.team.address import TeamAddress
    from tests.support.postgres import PostgresServer

SECRET = "not-for-anybody"
TOKEN = "dan~0000000001"
"""The key of an account without ids."""

_VISIBLE = re.compile(r"[a-z]+~(?=\d{10})")
"""The visible part of token keys, which a machine does not ship."""


ENDPOINTS = (
    *("usage", "overview", "history", "peaks", "requests", "breakdown"),
    *("speed", "forecast", "events", "next", "accounts"),
)


class Story(NamedTuple):
    """The file of the pinned story, and the URL of the team's database that it was shipped to."""

    path: Path
    url: str


@pytest.fixture(scope="module")
def story(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Story:
    path = tmp_path_factory.mktemp("story") / "codex-tap.sqlite3"
    pinned_story.tell(path)
    with closing(open_reader(path)) as connection:
        (account,) = (each for each in load_accounts(connection) if each.key == TOKEN)
    with closing(open_writer(path)) as connection:
        rename_account(connection, account.id, "dan")
    return Story(path, _url(postgres_server, ship_file(postgres_server, path)))


def _url(server: PostgresServer, address: TeamAddress) -> str:
    return server.url(address.parameters["dbname"])


@pytest.fixture
def still(tmp_path: Path) -> Iterator[None]:
    with pinned.stand_still(tmp_path):
        yield


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "status work ben",
        "status --any",
        "forecast",
        "usage",
        "usage --by day ben",
        "usage --ndjson --since 3d",
        "speed",
        "next",
        "events --all",
        "history --plot",
        "history --since 3d",
        "usage --csv --by model",
        "threads",
        "guard ben --max-age 9999d",
        "statusline ben",
        "statusline --format waybar",
        "top",
    ],
)
@pytest.mark.usefixtures("still")
def test_a_command_prints_the_same(story: Story, words: str) -> None:
    """Of the file, and of the team's database that it was shipped to."""
    of_file, of_team = (invoke(*words.split(), "--db", place) for place in story)
    assert of_team.exit_code == of_file.exit_code < 2
    assert of_team.stdout == _VISIBLE.sub("", of_file.stdout)
    assert of_team.stderr == of_file.stderr


@pytest.mark.usefixtures("still")
def test_the_environment_names_it_as_well(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an option in front of a command, as for a file."""
    expected = invoke("usage", "--db", story.path).stdout
    assert invoke("--db", story.url, "usage").stdout == expected
    monkeypatch.setenv("CODEX_TAP_DB", story.url)
    assert invoke("usage").stdout == expected


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("accounts name ben work", ""),
        ("accounts merge ben ann --yes", ""),
        ("accounts forget ben --yes", "codex-tap team forget"),
        ("threads name t-1 fix", ""),
        ("prune --older-than 1d", "codex-tap team prune"),
        ("import --quiet", ""),
        ("uninstall", ""),
        ("proxy", ""),
    ],
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_command_that_writes_needs_a_file(words: str, instead: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so in a line, and what does the same to a team's database."""
    monkeypatch.setenv("CODEX_TAP_DB", "postgresql:///team?host=/nowhere")
    given = ["--db", "postgresql:///team?host=/nowhere"] if by == "option" else []
    result = invoke(*words.split(), *given)
    assert result.exit_code in {2, 4}
    last = result.stderr.splitlines()[-1]
    assert "this needs a file and no team's database" in last
    assert last.endswith(instead or "CODEX_TAP_DB")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("status", "--db", f"postgresql://ann:{SECRET}@/team"), 2, "~/.pgpass"),
        (("status", "--db", f"postgresql:///team?password={SECRET}"), 2, "~/.pgpass"),
        (("status", "--db", f"postgresql://ann:{SECRET}@[/team"), 2, "cannot be read"),
        (("status", "--db", "postgresql:///team?host=/nowhere"), 4, "/nowhere"),
        (("guard", "--db", "postgresql://127.0.0.1:1/team"), 4, "127.0.0.1"),
        (("top", "--db", "postgresql://127.0.0.1:1/team"), 4, "127.0.0.1"),
        (("events", "--db", "postgresql://127.0.0.1:1/team"), 4, "127.0.0.1"),
    ],
    ids=["password", "parameter", "no URL", "no socket", "no server", "top", "events"],
)
def test_a_place_that_cannot_be_read(words: tuple[str, ...], code: int, message: str) -> None:
    """One line says why; no secret is repeated."""
    result = invoke(*words)
    assert result.exit_code == code
    assert message in result.stderr.splitlines()[-1]
    assert SECRET not in result.output


def test_doctor_says_who_ships(story: Story) -> None:
    """The other checks are about this machine."""
    found = {each["name"]: each for each in json.loads(invoke("doctor", "--json", "--db", story.url).stdout)["checks"]}
    assert found["database"]["level"] == "ok"
    assert "accounts: 5, machines: 1, the last one heard" in found["database"]["message"]
    refused = invoke("doctor", "--json", "--db", "postgresql://127.0.0.1:1/team")
    found = {each["name"]: each for each in json.loads(refused.stdout)["checks"]}
    assert found["database"]["level"] == "problem"


def test_an_empty_one_is_nothing_yet(postgres_server: PostgresServer, team_database: str) -> None:
    """As a file is that has no account."""
    result = invoke("status", "--db", postgres_server.url(team_database))
    assert result.exit_code == 3
    assert "Nothing seen yet" in result.output


def test_alerts_of_each_place_have_a_state_of_their_own(story: Story, tmp_path: Path) -> None:
    """In the data folder; two watchers of one team's database on a machine would send each alert twice."""
    config = write_settings(tmp_path / "alerts.toml", '[targets]\nlog = ["true"]\n\n[[rules]]\nat = [1]\n')
    result = invoke("alerts", "check", "--json", "--config", config, "--db", story.url)
    assert result.exit_code in {0, 1}, result.output
    place = read_place(story.url, is_argument=True)
    with watch_lock(place), pytest.raises(CommandError, match="already watches postgresql:"), watch_lock(place):
        raise AssertionError
    assert not alerts_state_path(state_path(place)).exists()


def test_the_page_and_its_stream(path: Path, postgres_server: PostgresServer, team_database: str) -> None:
    """All endpoints answer, and a batch that arrives is a change."""
    record(path, reading(13))
    ship_file(postgres_server, path, team_database)
    place = read_place(postgres_server.url(team_database), is_argument=True)
    with Site(place) as site:
        for endpoint in (
            "usage",
            "overview",
            "history",
            "peaks",
            "requests",
            "breakdown",
            "speed",
            "forecast",
            "events",
            "next",
            "accounts",
        ):
            assert site.get(f"/api/{endpoint}").status == 200, endpoint
        assert site.get("/api/usage").document["accounts"][0]["limits"][0]["windows"]["5h"]["used_percent"] == 13
        assert site.get("/health").document["status"] == "ok"
        assert "codex_tap_database_readable 1.0" in site.get("/metrics").text
        with events(site.port) as lines:
            assert [next(lines) for _ in range(3)][1] == "event: change"
            record(path, reading(14, who=BOB))
            ship_file(postgres_server, path, team_database)
            assert next(lines) == "event: change"
        assert len(site.get("/api/usage").document["accounts"]) == 2
        refused = site.write("DELETE", f"/api/accounts/{BOB.email}")
        assert (refused.status, refused.document["detail"]) == (
            403,
            "a team's database is not changed here; its administrator has codex-tap team",
        )
        assert len(site.get("/api/usage").document["accounts"]) == 2
