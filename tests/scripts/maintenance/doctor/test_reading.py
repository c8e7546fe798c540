"""Is Codex read? Codex's session files, compared with what was recorded."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.launch.running_proxies import describe, published
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.reading import check_reading
from scripts.support.installation import Installation, save_installation
from store.files import installation_file
from store.record import spill
from tests.scripts.codex_files.test_session_files import thread, write_session
from tests.support.databases import record
from tests.support.factories import BOB, NOON, turn, used
from tests.support.launcher import POSIX

if TYPE_CHECKING:
    from pathlib import Path


HOUR = 3_600
THREAD, OTHER = thread(0xA << 124), thread(0xB << 124)


def reading(path: Path, home: Path, now: float = NOON) -> Check:
    """Return the result of the check."""
    (check,) = check_reading(path, {"CODEX_HOME": str(home)}, now)
    return check


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A CODEX_HOME with one session, last written three minutes before noon."""
    home = tmp_path / "codex"
    write_session(home, THREAD, NOON - 180)
    return home


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a database that does not exist."""
    return tmp_path / "tap.sqlite3"


def test_a_session_that_was_read(path: Path, home: Path) -> None:
    """The line says so, with both times."""
    record(path, used(13, at=NOON - 120), turn(THREAD, at=NOON - 200))
    check = reading(path, home)
    assert (check.level, check.message) == (
        "ok",
        "Codex is read: it worked 3 min ago, the last response was read 2 min ago",
    )


@pytest.mark.parametrize(
    ("read_at", "level"),
    [(NOON - 2 * HOUR, "problem"), (NOON - 180 - 590, "ok"), (NOON + HOUR, "ok")],
    ids=["hours before", "in the same minutes", "a clock that was set back"],
)
def test_a_session_that_goes_round_the_tap(path: Path, home: Path, read_at: float, level: str) -> None:
    """A turn is recorded at its end, so minutes do not count."""
    record(path, used(13, at=read_at), turn(THREAD, at=read_at))
    check = reading(path, home)
    assert check.level == level
    if level == "problem":
        assert check.message == "Codex worked 3 min ago, the last response was read 2 h ago: it goes round the tap"
        assert "codex-tap run codex" in (check.advice or "")


def test_a_turn_without_limits_is_a_reading(path: Path, home: Path) -> None:
    """With an API key the server sends no limits."""
    record(path, used(13, at=NOON - 2 * HOUR), turn(THREAD, at=NOON - 170, who=BOB))
    assert reading(path, home).level == "ok"


def test_an_old_bypass_is_a_note(path: Path, home: Path) -> None:
    """What went round the tap days ago may be mended."""
    record(path, used(13, at=NOON - 2 * HOUR))
    check = reading(path, home, now=NOON + 3 * 24 * HOUR)
    assert (check.level, check.message) == (
        "note",
        "Codex worked 3 d ago, the last response was read 3 d ago: it goes round the tap",
    )


@pytest.mark.parametrize(
    ("config", "level", "word"),
    [
        ('model_provider = "local"', "note", "model_provider"),
        ('model_provider = "openai"', "problem", None),
        ('profile = "p"\n[profiles.p]\nmodel_provider = "local"', "note", "model_provider"),
        ('profile = "p"\nprofiles = 3', "problem", None),
        ('openai_base_url = "https://gateway.example/v1"', "note", "openai_base_url"),
        ('chatgpt_base_url = "https://chatgpt.com/backend-api/"', "problem", None),
        ('openai_base_url = "http://[x"', "note", "openai_base_url"),
        ("model_provider = ", "problem", None),
        ("a = " + "[" * 50_000, "problem", None),
        ('model_provider = ["local"]', "note", "model_provider"),
        ("", "problem", None),
    ],
)
def test_another_provider_is_no_bypass(path: Path, home: Path, config: str, level: str, word: str | None) -> None:
    """Its turns are not read under the tap either; no value of the file is shown."""
    record(path, used(13, at=NOON - 2 * HOUR))
    (home / "config.toml").write_text(config)
    check = reading(path, home)
    assert check.level == level
    assert word is None or word in (check.advice or "")
    assert "gateway" not in str(check)
    assert "local" not in str(check)


@POSIX
def test_a_named_pipe_as_configuration_is_not_opened(path: Path, home: Path) -> None:
    """It would wait for a writer."""
    record(path, used(13, at=NOON - 2 * HOUR))
    os.mkfifo(home / "config.toml")
    assert reading(path, home).level == "problem"


def test_deleted_readings_prove_nothing(path: Path, home: Path) -> None:
    """The account that worked last was forgotten; later readings count again."""
    record(path, used(13, at=NOON - 2 * HOUR), used(13, at=NOON - 100, who=BOB), turn(THREAD, at=NOON - 100, who=BOB))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM accounts WHERE account_id = ?", (BOB.account_id,))
        connection.commit()
    check = reading(path, home)
    assert (check.level, "newest snapshots were deleted" in check.message) == ("note", True)

    record(path, used(14, at=NOON - HOUR), turn("t-9", at=NOON - HOUR))
    assert reading(path, home).level == "problem"


def test_readings_that_are_elsewhere_prove_nothing(path: Path, home: Path) -> None:
    """In a file that is not imported yet, in a database that was set aside, or in that of another proxy."""
    other = path.with_name("other.sqlite3")
    with published(describe("127.0.0.1:8081", other, [], kind="installed", instance="")):
        message = f"because the proxy at 127.0.0.1:8081 records to another database, {other}"
        assert message in reading(path, home).message
        record(path, used(13, at=NOON - 2 * HOUR))
        assert message in reading(path, home).message
    assert reading(path, home).level == "problem"

    spill.write(path, [used(14)], [])
    check = reading(path, home)
    assert (check.level, "some changes are not in the database yet" in check.message) == ("note", True)


def test_a_new_database_proves_nothing(path: Path, home: Path) -> None:
    """The damaged one before it may have had readings."""
    save_installation(Installation({"/x/.bashrc": []}))
    os.utime(installation_file(), (NOON - 2 * HOUR, NOON - 2 * HOUR))
    path.with_name(f"{path.name}.corrupt-20261120-101500").touch()
    assert "an earlier database was set aside" in reading(path, home).message


def test_one_of_two_sessions_is_not_read(path: Path, home: Path) -> None:
    """Times alone would not show it: another session is read at the same time."""
    write_session(home, OTHER, NOON - 700)
    record(path, used(13, at=NOON - 60), turn(THREAD, at=NOON - 60), turn(OTHER, at=NOON - 2 * HOUR))
    check = reading(path, home)
    assert check.level == "note"
    assert check.message == (
        f"the last response was read 1 min ago, but the latest turns of session {OTHER[:8]} were not read; "
        "Codex worked there 11 min ago"
    )


@pytest.mark.parametrize(
    ("written_at", "level"),
    [(NOON - 30, "ok"), (NOON - 700, "note"), (NOON - 2 * HOUR, "ok")],
    ids=["its first turn may run", "it ended", "long ago"],
)
def test_a_session_that_was_never_read(path: Path, home: Path, written_at: float, level: str) -> None:
    """The first turn is recorded at its end; an account that was forgotten may have had a session of hours ago."""
    write_session(home, OTHER, written_at)
    record(path, used(13, at=NOON - 60), turn(THREAD, at=NOON - 60))
    assert reading(path, home).level == level


def test_a_session_that_another_proxy_may_have_read(path: Path, home: Path) -> None:
    """It is not called unread."""
    write_session(home, OTHER, NOON - 700)
    record(path, used(13, at=NOON - 60), turn(THREAD, at=NOON - 60))
    with published(describe("127.0.0.1:8081", path.with_name("other"), [], kind="run", instance="")):
        assert reading(path, home).level == "ok"
    assert reading(path, home).level == "note"


def test_a_client_without_threads_is_known_by_its_session(path: Path, home: Path) -> None:
    """Older versions of Codex name only the session."""
    write_session(home, OTHER, NOON - 700)
    record(path, turn(None, at=NOON - 700, session=OTHER), used(13, at=NOON - 60), turn(THREAD, at=NOON - 60))
    assert reading(path, home).level == "ok"


def test_a_file_from_the_future_says_nothing(path: Path, home: Path) -> None:
    """The clock of a file server may be wrong."""
    write_session(home, OTHER, NOON + 24 * HOUR)
    record(path, used(13, at=NOON - 120), turn(THREAD, at=NOON - 120))
    assert reading(path, home).level == "ok"


def test_no_reading_yet(path: Path, home: Path) -> None:
    """It is not a problem before the first turn; the check creates no database."""
    check = reading(path, home)
    assert (check.level, check.message) == ("note", "nothing was read yet, and Codex worked 3 min ago")
    assert not path.exists()


@pytest.mark.parametrize(
    ("now", "level", "message"),
    [
        (NOON + 10, "ok", "the last response was read 10 s ago"),
        (NOON + 3 * 24 * HOUR, "note", "the last response was read 3 d ago"),
    ],
)
def test_without_session_files_the_age_is_all(tmp_path: Path, path: Path, now: float, level: str, message: str) -> None:
    """Codex may not have been used, or may have bypassed the tap."""
    check = reading(record(path, used(13)), tmp_path / "nowhere", now)
    assert (check.level, check.message) == (level, message)
    assert (check.advice is None) == (level == "ok")


def test_nothing_at_all(tmp_path: Path, path: Path) -> None:
    """Neither readings nor sessions."""
    assert reading(path, tmp_path / "nowhere").message == "nothing was read yet"


def test_a_damaged_database_is_left_to_its_own_check(path: Path, home: Path) -> None:
    """The reason is in its line."""
    path.write_text("dear diary, " * 100)
    assert reading(path, home) == Check("reading", "note", "not known, because the database cannot be read")


@pytest.mark.parametrize(
    ("installed_at", "level", "message"),
    [
        (
            NOON - 2 * HOUR,
            "problem",
            "Codex worked 3 min ago, and nothing was read since the installation 2 h ago: it goes round the tap",
        ),
        (NOON - 60, "note", "nothing was read yet, and Codex worked 3 min ago"),
    ],
    ids=["it worked since", "it worked before"],
)
def test_nothing_was_read_since_the_installation(
    path: Path, home: Path, installed_at: float, level: str, message: str
) -> None:
    """A turn of before the installation proves nothing."""
    save_installation(Installation({"/x/.bashrc": []}))
    os.utime(installation_file(), (installed_at, installed_at))
    check = reading(path, home)
    assert (check.level, check.message) == (level, message)
    assert "codex-tap run" not in (check.advice or "")
