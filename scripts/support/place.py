"""Where the figures are: in the file of this machine, or in a team's database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.support.errors import FAILED, CommandError
from store.settings import DATABASE_VARIABLE, database_path, default_database, is_team_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.team.address import TeamAddress

    Place = Path | TeamAddress

_PACKAGE = "psycopg[binary]>=3.2"


def default_place(environ: Mapping[str, str] = os.environ) -> Place:
    """Return what ``CODEX_TAP_DB`` names, if it is set, else the file in the data folder.

    Raises:
        SettingError: The variable names neither, or the user has no home folder.
        CommandError: It names a team's database, and psycopg is not installed.
    """
    chosen = environ.get(DATABASE_VARIABLE)
    return read_place(chosen, is_argument=False) if chosen else default_database(environ)


def read_place(text: str, *, is_argument: bool) -> Place:
    """Return the file or the team's database that a person named.

    Args:
        text: A path, or a URL.
        is_argument: Whether it came from the command line, where it may hold no password.

    Raises:
        SettingError: It names neither, or holds a password where it must not.
        CommandError: It names a team's database, and psycopg is not installed.
    """
    if not is_team_address(text):
        return database_path(text)
    from scripts.support.packages import how_to_install, is_installed

    if not is_installed("psycopg"):
        install = how_to_install(_PACKAGE)
        raise CommandError(f"a team's database needs the package psycopg. Install it:  {install}", FAILED)
    from store.team.address import read_address

    return read_address(text, is_argument=is_argument)


def own_file(place: Place) -> Path | None:
    """Return the file, beside which other files may be; None of a team's database."""
    return place if isinstance(place, Path) else None


def state_path(place: Place) -> Path:
    """Return the path that the files of a watcher are named by and beside which they are.

    Raises:
        SettingError: The user has no home folder.
    """
    from store.files import team_state_path

    return place if isinstance(place, Path) else team_state_path(str(place))
