"""Where the figures are: a file, or a team's database."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from scripts.support.errors import CommandError
from scripts.support.place import default_place, own_file, read_place, state_path
from store.errors import SettingError
from store.files import alerts_state_path
from store.settings import data_folder, default_database
from store.team.address import TeamAddress

URL = "postgresql://ann@/team?host=/run/postgresql"
SECRET = "not-for-anybody"


@pytest.mark.parametrize("text", [URL, "postgres:///team", "service=none host=/run"])
def test_a_url_names_a_team_database(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the environment, where a path may stand, too; a file is no place for one."""
    services = tmp_path / "services"
    services.write_text("[none]\ndbname=team\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("CODEX_TAP_DB", text)
    place = default_place()
    assert isinstance(place, TeamAddress)
    assert own_file(place) is None
    with pytest.raises(SettingError, match="needs a file"):
        default_database()


def test_any_other_text_names_a_file(path: Path) -> None:
    """As before there was a team's database."""
    assert (default_place(), default_place({})) == (path, default_database({}))
    assert own_file(path) == path
    for text in ("postgresql.sqlite3", "./postgresql:/x", "services.sqlite3"):
        assert read_place(text, is_argument=True) == Path(text)


def test_each_team_database_has_files_of_its_own() -> None:
    """Named without what the address may have of secrets."""
    first, same, other = (
        read_place(text, is_argument=False)
        for text in (URL, URL.replace("ann@", f"ann:{SECRET}@"), URL.replace("/team", "/other"))
    )
    assert state_path(first) == state_path(same) != state_path(other)
    assert state_path(first).parent == data_folder()
    assert re.fullmatch(r"team-[0-9a-f]{12}-alerts\.json", alerts_state_path(state_path(first)).name)
    assert SECRET not in f"{same} {same!r}"


def test_a_password_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others can read arguments; the environment is the user's own."""
    text = URL.replace("ann@", f"ann:{SECRET}@")
    with pytest.raises(SettingError, match="password") as caught:
        read_place(text, is_argument=True)
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("CODEX_TAP_DB", text)
    assert str(default_place()) == URL


def test_without_psycopg_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user got codex-tap from."""
    monkeypatch.setattr("scripts.support.packages.is_installed", lambda _: False)
    with pytest.raises(CommandError) as caught:
        read_place(URL, is_argument=True)
    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        f'a team\'s database needs the package psycopg. Install it:  "{sys.executable}" -m pip install'
        ' "psycopg[binary]>=3.2"'
    )
