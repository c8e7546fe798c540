from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import certifi
import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.launch.certificates import ensure_authority
from scripts.maintenance.doctor import Check, examine
from store.database import open_writer
from store.files import LOG_FOLDER, certificate_folder
from store.record import spill
from store.record.statements import Loss, insert_losses
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(tmp_path / "tap.sqlite3", used(13))


@pytest.fixture
def address() -> str:
    """An address without a server."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def certificate() -> Path:
    """The files of a certificate authority, as the proxy creates them."""
    return ensure_authority(certificate_folder())


@pytest.fixture
def proxy(certificate: Path) -> Iterator[str]:
    """The address of a server that responds like a proxy with that authority."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(certificate.read_bytes())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def codex(tmp_path: Path) -> str:
    """A PATH that begins with a folder with a codex."""
    if sys.platform == "win32":
        (tmp_path / "codex.cmd").write_text("@echo codex-cli 0.169.0\r\n")
    else:
        program = tmp_path / "codex"
        program.write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
        program.chmod(0o700)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def found(
    name: str, database: Path, address: str, environ: Mapping[str, str] | None = None, *, now: float = NOON + 10
) -> list[Check]:
    """Return the checks with one name."""
    return [check for check in examine(database, address, {"PATH": "", **(environ or {})}, now) if check.name == name]


def levels(checks: list[Check]) -> list[str]:
    return [check.level for check in checks]


def test_a_database_in_order(path: Path, address: str) -> None:
    """The check has its path, its size and the age of the newest reading."""
    assert found("database", path, address) == [Check("database", "ok", f"{path}, snapshots: 1, accounts: 1")]
    assert found("reading", path, address) == [Check("reading", "ok", "the newest reading is 10 s old")]


def test_the_newest_log_file_is_named(path: Path, address: str) -> None:
    """It exists only if mitmproxy logged a warning."""
    assert found("log", path, address) == []
    folder = certificate_folder().parent / LOG_FOLDER
    folder.mkdir(parents=True)
    for age, name in enumerate(("proxy-1.log", "proxy-2.log")):
        (folder / name).touch()
        os.utime(folder / name, (NOON - age, NOON - age))
    (log,) = found("log", path, address)
    assert (log.level, log.message) == ("note", f"the proxy's warnings are in {folder / 'proxy-1.log'}")


def test_an_old_reading_is_a_note(path: Path, address: str) -> None:
    """Codex may not have been used, or may have bypassed the tap."""
    (check,) = found("reading", path, address, now=NOON + 3 * 86_400)
    assert (check.level, check.message) == ("note", "the newest reading is 3 d old")
    assert "codex-tap run codex" in (check.advice or "")


def test_no_reading_yet_is_a_note(tmp_path: Path, address: str) -> None:
    """It is not a problem before the first turn; the check creates no database."""
    path = tmp_path / "none.sqlite3"
    assert levels(found("database", path, address)) == ["note"]
    assert not path.exists()


def test_a_database_without_accounts_is_a_note(path: Path, address: str) -> None:
    """All of its accounts may have been deleted."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM accounts")
    connection.close()
    assert levels(found("reading", path, address)) == ["note"]


@needs_modes
def test_a_database_that_others_can_read_is_a_problem(path: Path, address: str) -> None:
    """It contains e-mail addresses and the times of use."""
    path.chmod(0o644)
    (check,) = found("database", path, address)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {path}")


def test_a_file_that_is_not_a_database_is_a_problem(tmp_path: Path, address: str) -> None:
    """The message says so."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    (check,) = found("database", path, address)
    assert (check.level, "is not a SQLite database" in check.message) == ("problem", True)


def test_a_damaged_database_is_a_problem(path: Path, address: str) -> None:
    """The other checks still run."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    assert levels(found("database", path, address)) == ["problem"]


def test_dropped_readings_are_a_note(path: Path, address: str) -> None:
    """The note has their number, the reasons and the time; without dropped readings there is none."""
    assert found("dropped", path, address) == []
    why = "could not be written for too long"
    with closing(open_writer(path)) as connection:
        insert_losses(connection, [Loss(NOON - 7_200, 40_000, why), Loss(NOON - 50, 2, why), Loss(NOON - 60, 1, "x")])

    (check,) = found("dropped", path, address)

    assert check.level == "note"
    assert check.message == f"readings dropped: 40,003, the last one 1 min ago: {why}; x"


def test_files_beside_the_database_are_a_note(path: Path, address: str) -> None:
    """Old copies can be deleted, and stored readings will be imported."""
    assert found("copies", path, address) == found("waiting", path, address) == []
    for end in (".corrupt-20261121-101500", ".corrupt-20261121-101500-wal", ".v1.bak"):
        path.with_name(path.name + end).touch()
    spill.write(path, [used(13)], [])

    (copies,), (waiting,) = found("copies", path, address), found("waiting", path, address)

    assert copies.message == f"old copies beside the database: {path.name}.corrupt-20261121-101500, {path.name}.v1.bak"
    assert waiting.message == "files with readings that are not in the database yet: 1"


def test_a_missing_authority_is_a_note(path: Path, address: str) -> None:
    """The first start creates it."""
    assert levels(found("certificate", path, address)) == ["note"]


def test_an_authority_in_order(path: Path, address: str, certificate: Path) -> None:
    """The check has the path of the certificate."""
    assert found("certificate", path, address) == [Check("certificate", "ok", f"{certificate}, its key is private")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mitmproxy-ca.pem", "", "mitmproxy-ca.pem is damaged"),
        ("mitmproxy-ca.pem", None, "mitmproxy-ca.pem is missing"),
        ("mitmproxy-ca-cert.pem", None, "mitmproxy-ca-cert.pem is missing"),
        ("mitmproxy-dhparam.pem", "half", "mitmproxy-dhparam.pem is damaged"),
    ],
)
def test_a_damaged_authority_is_a_problem(
    name: str, content: str | None, reason: str, path: Path, address: str, certificate: Path
) -> None:
    """The check finds what the start of the proxy would find."""
    if content is None:
        (certificate.parent / name).unlink()
    else:
        (certificate.parent / name).write_text(content)
    (check,) = found("certificate", path, address)
    message = f"the certificate authority in {certificate.parent} is unusable: {reason}"
    assert (check.level, check.message) == ("problem", message)


@needs_modes
def test_a_key_that_others_can_read_is_a_problem(path: Path, address: str, certificate: Path) -> None:
    """With the key, any host can be impersonated to this user's Codex."""
    key = certificate.with_name("mitmproxy-ca.pem")
    key.chmod(0o600 | stat.S_IRGRP)
    (check,) = found("certificate", path, address)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {key}")


def test_a_proxy_that_does_not_run_is_a_note(path: Path, address: str) -> None:
    """`codex-tap run` does not need it."""
    assert levels(found("proxy", path, address)) == ["note"]


def test_a_running_proxy(path: Path, proxy: str) -> None:
    """It is recognized by its certificate."""
    assert found("proxy", path, proxy) == [Check("proxy", "ok", f"a codex-tap proxy runs at {proxy}")]


def test_a_shell_without_a_proxy_is_fine(path: Path, address: str) -> None:
    """`codex-tap run` needs none."""
    assert levels(found("environment", path, address)) == ["ok"]


def test_a_shell_that_leads_to_the_proxy(path: Path, proxy: str, certificate: Path, tmp_path: Path) -> None:
    """The variables of `codex-tap env` are correct, also with a bundle that contains the certificate."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(certifi.contents() + certificate.read_text())
    environ = {"HTTPS_PROXY": f"http://{proxy}", "CODEX_CA_CERTIFICATE": str(bundle), "NO_PROXY": "localhost"}
    (check,) = found("environment", path, proxy, environ)
    assert (check.level, check.message) == ("ok", "Codex in this shell goes through the proxy")


def test_a_shell_that_bypasses_the_proxy_is_a_problem(path: Path, proxy: str) -> None:
    """Each variable that makes Codex bypass or distrust the proxy is reported, with the command that corrects it."""
    environ = {"HTTPS_PROXY": f"http://{proxy}", "NO_PROXY": ".chatgpt.com"}
    checks = found("environment", path, proxy, environ)
    assert levels(checks) == ["problem", "problem"]
    assert checks[0].message == "NO_PROXY=.chatgpt.com makes Codex bypass the proxy"
    assert checks[1].message == "CODEX_CA_CERTIFICATE does not name the proxy's certificate"
    assert {check.advice for check in checks} == {f'eval "$(codex-tap env --proxy {proxy})"'}


def test_a_shell_that_leads_to_a_missing_proxy_is_a_problem(path: Path, address: str) -> None:
    """The programs of that shell have no network access."""
    (check,) = found("environment", path, address, {"HTTPS_PROXY": f"http://{address}"})
    assert (check.level, "no network access" in check.message) == ("problem", True)


def test_a_corporate_proxy_is_fine(path: Path, address: str) -> None:
    """It is the upstream of the tap; its password is not shown."""
    secret = "pass" + "word"
    (check,) = found("environment", path, address, {"HTTPS_PROXY": f"http://me:{secret}@corp.example:3128"})
    assert (check.level, "http://corp.example:3128" in check.message, secret in check.message) == ("ok", True, False)


@pytest.mark.parametrize(
    "environ",
    [{"HTTPS_PROXY": "socks5://corp.example:1080"}, {"CODEX_CA_CERTIFICATE": "/nowhere/corp.pem"}],
    ids=["a proxy that cannot be used", "a missing corporate CA"],
)
def test_an_environment_that_a_start_would_refuse_is_a_problem(
    path: Path, address: str, environ: dict[str, str]
) -> None:
    """`codex-tap run` would refuse it as well."""
    assert levels(found("environment", path, address, environ)) == ["problem"]


def test_a_missing_codex_is_a_problem(path: Path, address: str) -> None:
    """The advice is how to install it."""
    assert found("codex", path, address) == [
        Check("codex", "problem", "not found", "get it with: npm install -g @openai/codex")
    ]


def test_codex_and_its_version(path: Path, address: str, codex: str) -> None:
    """The check has the version and the path."""
    (check,) = found("codex", path, address, {"PATH": codex})
    assert (check.level, check.message.startswith("0.169.0 (")) == ("ok", True)


@needs_modes
def test_a_codex_that_fails_is_a_problem(path: Path, address: str, codex: str, tmp_path: Path) -> None:
    """A Codex that cannot print its version will not run."""
    (tmp_path / "codex").write_text("#!/bin/sh\nexit 3\n")
    assert levels(found("codex", path, address, {"PATH": codex})) == ["problem"]


def test_versions_name_an_old_python(path: Path, address: str) -> None:
    """Python 3.11 gets only an older mitmproxy."""
    (check,) = found("versions", path, address)
    assert check.level == ("note" if sys.version_info < (3, 12) else "ok")
    assert "mitmproxy" in check.message


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_exit_code_is_1_with_a_problem(
    path: Path, address: str, codex: str, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """It is 0 without problems, also with notes, and 1 with a problem."""
    monkeypatch.setenv("CODEX_TAP_DB", str(path))
    monkeypatch.setenv("PATH", codex)
    fine = CliRunner().invoke(cli, ["doctor", "--proxy", address, *flags], catch_exceptions=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
    wrong = CliRunner().invoke(cli, ["doctor", "--proxy", address, *flags], catch_exceptions=False)
    assert (fine.exit_code, wrong.exit_code) == (0, 1)
    if flags:
        assert [json.loads(result.stdout)["healthy"] for result in (fine, wrong)] == [True, False]
        assert set(json.loads(wrong.stdout)["checks"][0]) == {"name", "level", "message", "advice"}
    else:
        assert "problem  environment  this shell uses the proxy" in wrong.stdout


def test_another_program_on_the_port_is_not_a_proxy(path: Path) -> None:
    """A program that only listens there is a note."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        (check,) = found("proxy", path, f"127.0.0.1:{server.getsockname()[1]}")
    assert check.level == "note"
