"""The files that `codex-tap uninstall` deletes, and those that it leaves alone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.alerts.settings import default_path
from scripts.cli import cli
from scripts.launch.certificates import (
    CorporateCa,
    ca_certificate,
    ensure_authority,
    node_bundle,
    upstream_bundle,
)
from scripts.launch.shim import place_shim
from scripts.maintenance.uninstall import remove_program
from store.database import open_reader
from store.files import LOG_FOLDER, api_prices_file, certificate_folder, probed_programs, shim_folder
from store.settings import data_folder
from tests.support.databases import record
from tests.support.factories import used

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")

# What the store leaves beside a database when something goes wrong, and SQLite when a program was killed.
COMPANIONS = [
    "-wal",
    "-shm",
    "-journal",
    ".corrupt-20261121-101500",
    ".corrupt-20261121-101500-1",
    ".corrupt-20261121-101500-wal",
    ".v1.bak",
    ".v1.bak-2",
    ".unwritten-1795243200000000000-0123abcd.jsonl",
    ".unwritten-1795243200000000000-0123abcd.jsonl.part",
    ".unwritten-1795243200000000000-0123abcd.jsonl.abcd_123.part",
    "-alerts.json",
    "-alerts.json.part",
    "-alerts.json.abcd_123.part",
    "-alerts.lock",
    "-token-secret",
    "-token-secret.abcd_123.part",
]
# A person's own copies, and files that only begin alike.
OTHERS = [".bak", "-old", ".corrupt", "2", ".v1", ".unwritten", ".csv"]


def invoke(*arguments: str | Path, answer: str | None = None) -> Result:
    words = ["uninstall", *map(str, arguments)]
    return CliRunner().invoke(cli, words, input=answer, prog_name="codex-tap", catch_exceptions=False)


def beside(database: Path, suffixes: list[str]) -> list[Path]:
    """Make files whose names are the database's name and a suffix."""
    made = [database.with_name(database.name + suffix) for suffix in suffixes]
    for path in made:
        path.write_text("x")
    return made


@pytest.fixture(autouse=True)
def _default_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEX_TAP_DB")


@pytest.fixture(name="database")
def _database() -> Path:
    """A database in its default place, with an authority and a bundle in theirs."""
    database = record(data_folder() / "codex-tap.sqlite3", used(13))
    certificate = ensure_authority(certificate_folder())
    bundle = upstream_bundle(certificate_folder(), CorporateCa((certificate.read_text(),)))
    assert node_bundle(certificate_folder(), certificate, str(bundle)) != certificate
    return database


@pytest.mark.parametrize("arguments", [["--yes"], []])
def test_all_files_are_deleted(database: Path, arguments: list[str]) -> None:
    """The database and its companions, the authority, bundles and logs, and the folders that are empty then."""
    made = beside(database, COMPANIONS)
    cut_off = certificate_folder().with_name("ca.abcd_123")
    cut_off.mkdir()
    (cut_off / "mitmproxy-ca.pem").write_text("x")
    (certificate_folder() / "tmpabcd_123").write_text("x")
    logs = data_folder() / LOG_FOLDER
    logs.mkdir()
    for name in ("proxy-4711.log", "proxy-4711.log.1"):
        (logs / name).write_text("x")
    shim = place_shim()
    assert shim is not None
    probed_programs().write_text("{}")
    api_prices_file().write_text("{}")
    for path in (shim / "codex", shim / "codex.cmd", shim / ".codex-tap-shim", probed_programs(), api_prices_file()):
        path.with_name(f"{path.name}.abcd_123").write_text("x")
    kept = [path for path in data_folder().rglob("*") if path.is_file()]

    result = invoke(*arguments, answer="y\n")

    assert (result.exit_code, result.stderr) == (0, "")
    assert {*made, database, ca_certificate(certificate_folder())} <= {*kept}
    assert [path for path in kept if f"\n  {path}\n" not in result.stdout] == []
    assert not data_folder().exists()
    assert "\nDeleted.\n" in result.stdout
    assert result.stdout.endswith(f"To remove it:\n  {remove_program()}\n")


def test_the_alerts_file_is_deleted(database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may contain secrets; a file that the user put elsewhere stays."""
    rules, elsewhere = default_path({}), tmp_path / "elsewhere.toml"
    rules.parent.mkdir(parents=True, exist_ok=True)
    for path in (rules, elsewhere):
        path.write_text("[targets]")
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(elsewhere))

    assert f"\n  {rules}\n" in invoke("--yes").stdout
    assert (rules.parent.exists(), elsewhere.exists(), database.exists()) == (False, True, False)


def test_it_asks_first(database: Path) -> None:
    """Without confirmation nothing is deleted, and the exit code is 1."""
    before = sorted(data_folder().rglob("*"))
    result = invoke(answer="n\n")
    assert result.exit_code == 1
    assert "This cannot be undone. Delete it? [y/N]: n" in result.stdout
    assert sorted(data_folder().rglob("*")) == before
    assert database.exists()


def test_with_nothing_there() -> None:
    """Nothing to delete is a success without a question."""
    result = invoke()
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "Nothing to delete.")


def test_foreign_files_stay(database: Path) -> None:
    """Foreign files in our folders are listed and stay, with their folders."""
    others = beside(database, OTHERS)
    (data_folder() / LOG_FOLDER).mkdir()
    place_shim()
    for folder in (data_folder(), certificate_folder(), data_folder() / LOG_FOLDER, shim_folder()):
        others.append(folder / "notes.txt")
        others[-1].write_text("theirs")
    result = invoke("--yes")
    heading, _, rest = result.stdout.partition("This deletes:\n")
    assert result.exit_code == 0
    assert heading.splitlines() == ["Not created by codex-tap, not deleted:", *(f"  {path}" for path in sorted(others))]
    assert not [path for path in others if str(path) in rest.splitlines()]
    assert sorted(path for path in data_folder().rglob("*") if path.is_file()) == sorted(others)


def test_a_database_elsewhere(database: Path, tmp_path: Path) -> None:
    """The database of `--db` is deleted with its companions; other files beside it stay."""
    elsewhere = record(tmp_path / "mine" / "tap.sqlite3", used(13))
    made, others = beside(elsewhere, COMPANIONS), beside(elsewhere, OTHERS)
    result = invoke("--db", elsewhere, "--yes")
    assert result.exit_code == 0
    assert [path for path in (database, elsewhere, *made) if path.exists()] == []
    assert sorted(elsewhere.parent.iterdir()) == sorted(others)


def test_the_environments_database(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database of CODEX_TAP_DB is deleted, and the one in the default place as well."""
    elsewhere = record(tmp_path / "tap.sqlite3", used(13))
    monkeypatch.setenv("CODEX_TAP_DB", str(elsewhere))
    assert invoke("--yes").exit_code == 0
    assert not elsewhere.exists()
    assert not database.exists()


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


@pytest.mark.parametrize(
    "make",
    [foreign, Path.touch, lambda path: path.write_text("dear diary"), Path.mkdir],
    ids=["another-programs", "empty", "no-database", "folder"],
)
def test_a_foreign_file_at_the_databases_path(tmp_path: Path, make: object) -> None:
    """A file of `--db` that is not our database stays, with the files that look like its companions."""
    assert callable(make)
    path = tmp_path / "theirs.sqlite3"
    make(path)
    companions = beside(path, COMPANIONS)
    result = invoke("--db", path, "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Not created by codex-tap, not deleted:\n  {path}\nNothing to delete.\n")
    assert [each for each in (path, *companions) if not each.exists()] == []


@POSIX
def test_a_link_is_not_followed(database: Path, tmp_path: Path) -> None:
    """Neither a link nor its target is deleted; for a database, a folder and a file in it."""
    elsewhere = record(tmp_path / "tap.sqlite3", used(13))
    links = [
        tmp_path / "link.sqlite3",
        certificate_folder().with_name("ca.linked_1"),
        certificate_folder() / "tmplinked_1",
    ]
    target = tmp_path / "folder"
    target.mkdir()
    (target / "mitmproxy-ca.pem").write_text("theirs")
    for link, aim in zip(links, (elsewhere, target, target / "mitmproxy-ca.pem"), strict=True):
        link.symlink_to(aim)
    result = invoke("--db", links[0], "--yes")
    assert result.exit_code == 0
    assert [link for link in links if not link.is_symlink() or f"  {link}\n" not in result.stdout] == []
    assert elsewhere.exists()
    assert (target / "mitmproxy-ca.pem").read_text() == "theirs"
    assert not database.exists()


def test_a_database_in_use_is_a_failure(database: Path) -> None:
    """A running proxy would create a new one, so nothing is deleted while a program has it open."""
    before = sorted(data_folder().rglob("*"))
    with contextlib.closing(open_reader(database)) as connection:
        connection.execute("SELECT count(*) FROM snapshots").fetchone()
        result = invoke("--yes")
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: {database} is in use; stop the proxy")
    assert {*before} <= {*data_folder().rglob("*")}
    assert invoke("--yes").exit_code == 0


def test_a_damaged_database_is_deleted(database: Path) -> None:
    """A database in the data folder is ours even if it cannot be opened."""
    database.write_bytes(b"\xff" * 10_000)
    assert invoke("--yes").exit_code == 0
    assert not database.exists()


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may delete anything")
def test_a_file_that_cannot_be_deleted(database: Path) -> None:
    """The message names the file and the reason."""
    certificate_folder().chmod(0o500)
    result = invoke("--yes")
    certificate_folder().chmod(0o700)
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: {certificate_folder()}")
    assert "cannot be deleted: " in result.stderr
    assert not database.exists()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (("home", "pipx", "venvs", "codex-tap"), "pipx uninstall codex-tap"),
        (("share", "uv", "tools", "codex-tap"), "uv tool uninstall codex-tap"),
        (("checkout", ".venv"), "delete its checkout, or the environment {}"),
    ],
)
def test_how_to_remove_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: tuple[str, ...], expected: str
) -> None:
    """Each kind of installation has its own command."""
    environment = str(tmp_path.joinpath(*prefix))
    monkeypatch.setattr(sys, "prefix", environment)
    assert remove_program() == expected.format(environment)
