"""Whatever stands where codex-tap reads a file: a named pipe and an endless file keep no command waiting."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from scripts.launch.certificates import ensure_authority
from store import files
from store.settings import data_folder
from tests.support.command_line import invoke, started
from tests.support.databases import record
from tests.support.factories import used

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.skipif(
    not Path("/dev/zero").exists() or sys.platform == "win32", reason="no named pipes and no endless file here"
)


class Case(NamedTuple):
    """A command, its exit code, the end of what it prints on standard error, and the variable that names the file.

    Without a variable the file is in its place in the data folder.
    """

    command: str
    code: int
    error: str = ""
    variable: str | None = None


_RUN = "run --quiet true"
_NO_REGULAR = ", which cannot be read: it is not a regular file"

VARIABLES = {
    "a company's authority": Case(_RUN, 4, _NO_REGULAR, "CODEX_CA_CERTIFICATE"),
    "certificates of OpenSSL": Case(_RUN, 4, _NO_REGULAR, "SSL_CERT_FILE"),
    "certificates of Node.js": Case(_RUN, 0, "", "NODE_EXTRA_CA_CERTS"),
    "certificates for the service": Case("install --always --no-service --yes", 4, _NO_REGULAR, "SSL_CERT_FILE"),
    "certificates for doctor": Case("doctor", 1, "", "CODEX_CA_CERTIFICATE"),
    "alerts": Case("alerts check", 2, "it is not a regular file", "CODEX_TAP_ALERTS"),
    "alerts to watch": Case("alerts watch", 2, "it is not a regular file", "CODEX_TAP_ALERTS"),
    "a test of alerts": Case("alerts test", 2, "it is not a regular file", "CODEX_TAP_ALERTS"),
    "a database": Case(
        "status", 4, "is not a regular file; name another file with --db or CODEX_TAP_DB", "CODEX_TAP_DB"
    ),
    "a database to write": Case(
        "prune --older-than 1d --yes", 4, "name another file with --db or CODEX_TAP_DB", "CODEX_TAP_DB"
    ),
}

PLACES = {
    ".env": Case(_RUN, 0),
    ".env for doctor": Case("doctor", 1),
    "app-server-daemon/daemon.pid": Case("doctor", 1),
    "config.toml": Case("doctor", 1),
    "tap.sqlite3-alerts.json": Case("alerts check", 4, "it is not a regular file"),
    "tap.sqlite3-token-secret": Case(_RUN, 0),
    "tap.sqlite3.unwritten-1-00000000.jsonl": Case(_RUN, 0),
    "data/shim/codex": Case(_RUN, 0),
    "data/bin/codex": Case("install --shell bash --yes", 0),
    "data/bin/codex for doctor": Case("doctor", 1),
    "data/codex-certificates.pem": Case("install --always --no-service --yes", 0),
    "data/service/holder.py": Case("install --always --no-service --yes", 0),
    "data/service/config.json": Case("install --always --no-service --yes", 0),
    "data/ca/mitmproxy-ca-cert.pem for doctor": Case("doctor", 1),
}


def _ended(case: Case, **environment: str) -> subprocess.CompletedProcess[str]:
    found = started(*case.command.split(), stdin=-3, env={**os.environ, **environment})
    assert "Traceback" not in found.stderr
    assert found.returncode == case.code, found.stderr
    assert found.stderr.rstrip("\n").endswith(case.error), found.stderr
    return found


def _put(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    ensure_authority(folder)
    return folder


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize("case", VARIABLES.values(), ids=VARIABLES)
def test_a_file_that_a_variable_names(tmp_path: Path, case: Case, kind: str) -> None:
    """It is refused in one line."""
    _put(tmp_path / "odd", kind)
    assert case.variable is not None
    _ended(case, **{case.variable: str(tmp_path / "odd")})


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize("place", PLACES)
def test_a_file_in_its_place(tmp_path: Path, authority: Path, place: str, kind: str) -> None:
    """Somebody who can write to the folder has put it there."""
    database = tmp_path / "tap.sqlite3"
    record(database, used(5))
    shutil.copytree(authority, files.certificate_folder())
    (tmp_path / "alerts.toml").write_text('[targets]\nlog = ["true"]\n[[rules]]\nat = [80]\n')
    (tmp_path / "alerts.toml").chmod(0o600)
    name = place.split(maxsplit=1)[0]
    data = data_folder()
    _put(data / name.removeprefix("data/") if name.startswith("data/") else tmp_path / name, kind)
    _ended(
        PLACES[place],
        CODEX_HOME=str(tmp_path),
        CODEX_TAP_DB=str(database),
        CODEX_TAP_ALERTS=str(tmp_path / "alerts.toml"),
    )


def test_the_files_are_read_otherwise(tmp_path: Path) -> None:
    """The commands of the cases succeed where nothing is odd."""
    database = tmp_path / "tap.sqlite3"
    record(database, used(5))
    (tmp_path / "alerts.toml").write_text('[targets]\nlog = ["true"]\n[[rules]]\nat = [80]\n')
    for command in ("alerts check", "prune --older-than 1d --yes", "status"):
        options = ["--config", str(tmp_path / "alerts.toml")] if command.startswith("alerts") else []
        assert invoke(*command.split(), *options, "--db", database).exit_code == 0
