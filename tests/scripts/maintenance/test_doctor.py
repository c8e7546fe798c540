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
from scripts.demo.certificates import Authority
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
    """Where nothing listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """An authority as the proxy makes it, as far as its files go."""
    folder = certificate_folder()
    folder.mkdir(parents=True)
    key = folder / "mitmproxy-ca.pem"
    key.touch(mode=0o600)
    certificate = folder / "mitmproxy-ca-cert.pem"
    certificate.write_bytes(Authority(tmp_path).ca_file.read_bytes())
    return certificate


@pytest.fixture
def proxy(certificate: Path) -> Iterator[str]:
    """The address of what answers like a proxy with that authority."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(certificate.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def codex(tmp_path: Path) -> str:
    """A folder for the PATH with a codex in it."""
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
    """The checks of one name."""
    return [check for check in examine(database, address, {"PATH": "", **(environ or {})}, now) if check.name == name]


def levels(checks: list[Check]) -> list[str]:
    return [check.level for check in checks]


def test_a_database_in_order(path: Path, address: str) -> None:
    """Where it is, how much is in it, how new that is."""
    assert found("database", path, address) == [Check("database", "ok", f"{path}, snapshots: 1, accounts: 1")]
    assert found("reading", path, address) == [Check("reading", "ok", "the newest reading is 10 s old")]


def test_the_newest_log_file_is_named(path: Path, address: str) -> None:
    """There is one only where mitmproxy had something to report."""
    assert found("log", path, address) == []
    folder = certificate_folder().parent / LOG_FOLDER
    folder.mkdir(parents=True)
    for age, name in enumerate(("proxy-1.log", "proxy-2.log")):
        (folder / name).touch()
        os.utime(folder / name, (NOON - age, NOON - age))
    (log,) = found("log", path, address)
    assert (log.level, log.message) == ("note", f"the proxy's warnings are in {folder / 'proxy-1.log'}")


def test_an_old_reading_is_a_note(path: Path, address: str) -> None:
    """It may be that Codex was not used, or that it went past the tap."""
    (check,) = found("reading", path, address, now=NOON + 3 * 86_400)
    assert (check.level, check.message) == ("note", "the newest reading is 3 d old")
    assert "codex-tap run codex" in (check.advice or "")


def test_no_reading_yet_is_a_note(tmp_path: Path, address: str) -> None:
    """Nothing is wrong before the first turn, and asking makes no database."""
    path = tmp_path / "none.sqlite3"
    assert levels(found("database", path, address)) == ["note"]
    assert not path.exists()


def test_a_forgotten_database_is_a_note(path: Path, address: str) -> None:
    """A database from which all was deleted is as good as none."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM accounts")
    connection.close()
    assert levels(found("reading", path, address)) == ["note"]


@needs_modes
def test_a_database_that_others_can_read_is_a_problem(path: Path, address: str) -> None:
    """It holds e-mail addresses and what was used when."""
    path.chmod(0o644)
    (check,) = found("database", path, address)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {path}")


def test_what_is_no_database_is_a_problem(tmp_path: Path, address: str) -> None:
    """The message says why it cannot be used."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    (check,) = found("database", path, address)
    assert (check.level, "is not a SQLite database" in check.message) == ("problem", True)


def test_a_damaged_database_is_a_problem(path: Path, address: str) -> None:
    """It does not keep the other checks from being made."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    assert levels(found("database", path, address)) == ["problem"]


def test_what_was_dropped_is_a_note(path: Path, address: str) -> None:
    """How much, why and when; a database of which nothing is missing says nothing of it."""
    assert found("dropped", path, address) == []
    why = "could not be written for too long"
    with closing(open_writer(path)) as connection:
        insert_losses(connection, [Loss(NOON - 7_200, 40_000, why), Loss(NOON - 50, 2, why), Loss(NOON - 60, 1, "x")])

    (check,) = found("dropped", path, address)

    assert check.level == "note"
    assert check.message == f"readings dropped: 40,003 ({why}; x), the last one 1 min ago"


def test_what_lies_beside_the_database_is_a_note(path: Path, address: str) -> None:
    """Copies may be deleted, readings that wait are taken up."""
    assert found("copies", path, address) == found("waiting", path, address) == []
    for end in (".corrupt-20261121-101500", ".corrupt-20261121-101500-wal", ".v1.bak"):
        path.with_name(path.name + end).touch()
    spill.write(path, [used(13)], [])

    (copies,), (waiting,) = found("copies", path, address), found("waiting", path, address)

    assert copies.message == f"old copies beside the database: {path.name}.corrupt-20261121-101500, {path.name}.v1.bak"
    assert waiting.message == "files with readings that are not in the database yet: 1"


def test_an_authority_not_made_yet_is_a_note(path: Path, address: str) -> None:
    """The first start makes it."""
    assert levels(found("certificate", path, address)) == ["note"]


def test_an_authority_in_order(path: Path, address: str, certificate: Path) -> None:
    """It is said where the certificate is."""
    assert found("certificate", path, address) == [Check("certificate", "ok", f"{certificate}, its key is private")]


@needs_modes
def test_a_key_that_others_can_read_is_a_problem(path: Path, address: str, certificate: Path) -> None:
    """Who has it can pretend to be any host to this user's Codex."""
    key = certificate.with_name("mitmproxy-ca.pem")
    key.chmod(0o600 | stat.S_IRGRP)
    (check,) = found("certificate", path, address)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {key}")


def test_a_proxy_that_does_not_run_is_a_note(path: Path, address: str) -> None:
    """`codex-tap run` needs none."""
    assert levels(found("proxy", path, address)) == ["note"]


def test_a_proxy_that_answers(path: Path, proxy: str) -> None:
    """It is told by the certificate that it hands out."""
    assert found("proxy", path, proxy) == [Check("proxy", "ok", f"a codex-tap proxy runs at {proxy}")]


def test_a_shell_without_a_proxy_is_fine(path: Path, address: str) -> None:
    """It is what `codex-tap run` expects."""
    assert levels(found("environment", path, address)) == ["ok"]


def test_a_shell_that_leads_to_the_proxy(path: Path, proxy: str, certificate: Path, tmp_path: Path) -> None:
    """What `codex-tap env` printed is right, also where a bundle holds the certificate among others."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(certifi.contents() + certificate.read_text())
    environ = {"HTTPS_PROXY": f"http://{proxy}", "CODEX_CA_CERTIFICATE": str(bundle), "NO_PROXY": "localhost"}
    (check,) = found("environment", path, proxy, environ)
    assert (check.level, check.message) == ("ok", "Codex in this shell goes through the proxy")


def test_a_shell_that_leads_past_the_proxy_is_a_problem(path: Path, proxy: str) -> None:
    """Each thing that would keep Codex from the tap or its trust is named, with the line that sets it right."""
    environ = {"HTTPS_PROXY": f"http://{proxy}", "NO_PROXY": ".chatgpt.com"}
    checks = found("environment", path, proxy, environ)
    assert levels(checks) == ["problem", "problem"]
    assert checks[0].message == "NO_PROXY=.chatgpt.com makes Codex bypass the proxy"
    assert checks[1].message == "CODEX_CA_CERTIFICATE does not name the proxy's certificate"
    assert {check.advice for check in checks} == {f'eval "$(codex-tap env --proxy {proxy})"'}


def test_a_shell_that_leads_to_nothing_is_a_problem(path: Path, address: str) -> None:
    """No program of that shell gets out."""
    (check,) = found("environment", path, address, {"HTTPS_PROXY": f"http://{address}"})
    assert (check.level, "no network access" in check.message) == ("problem", True)


def test_a_corporate_proxy_is_fine(path: Path, address: str) -> None:
    """The tap chains to it; its password is not shown."""
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
    """The doctor says it before `codex-tap run` does."""
    assert levels(found("environment", path, address, environ)) == ["problem"]


def test_a_codex_that_is_not_there_is_a_problem(path: Path, address: str) -> None:
    """How to get it is said."""
    assert found("codex", path, address) == [
        Check("codex", "problem", "not found", "get it with: npm install -g @openai/codex")
    ]


def test_codex_and_its_version(path: Path, address: str, codex: str) -> None:
    """Which Codex would run, and how old it is."""
    (check,) = found("codex", path, address, {"PATH": codex})
    assert (check.level, check.message.startswith("0.169.0 (")) == ("ok", True)


@needs_modes
def test_a_codex_that_fails_is_a_problem(path: Path, address: str, codex: str, tmp_path: Path) -> None:
    """One that cannot even tell its version will not run."""
    (tmp_path / "codex").write_text("#!/bin/sh\nexit 3\n")
    assert levels(found("codex", path, address, {"PATH": codex})) == ["problem"]


def test_versions_name_an_old_python(path: Path, address: str) -> None:
    """On Python 3.11 only an older mitmproxy is to be had."""
    (check,) = found("versions", path, address)
    assert check.level == ("note" if sys.version_info < (3, 12) else "ok")
    assert "mitmproxy" in check.message


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_exit_code_tells_whether_something_is_wrong(
    path: Path, address: str, codex: str, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """0 with notes alone, 1 with a problem."""
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


def test_something_else_on_the_port_is_no_proxy(path: Path) -> None:
    """A program that listens there and is no codex-tap proxy is told from one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        (check,) = found("proxy", path, f"127.0.0.1:{server.getsockname()[1]}")
    assert check.level == "note"
