"""Checks of the service, its port, Codex's .env and the certificates."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.install import env_block, trusted_bundle
from scripts.launch import holder
from scripts.maintenance.doctor import installed_service
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.installed_service import check_bundle, check_env_file, check_port, check_service
from scripts.support.installation import AlwaysOn, Installation, save_installation
from store.files import HOLDER_STATUS, service_folder, write_private
from tests.support.factories import NOON
from tests.support.harness import Listener, free_port, wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

STATUS = {
    "version": 1,
    "pid": os.getpid(),
    "started_at": NOON - 7_200,
    "child_pid": 5,
    "restarts": 0,
    "tunnelled": 0,
    "last_tunnelled_at": None,
    "last_error": None,
    "last_error_at": None,
}

RUNS = "you run the service, for 2 h"


def install(port: int = 9, *, service: str = "none", path: Path | None = None, content: bytes | None = None) -> Path:
    """Write the record and the `.env` of an installation, and return the path of the `.env`."""
    path = path or Path.home() / ".env"
    chosen = env_block.variables(
        {}, content, address=f"127.0.0.1:{port}", trusted="/x/all.pem", hosts=("chatgpt.com",), plain_http=False
    )
    path.write_bytes(env_block.insert(content, chosen, {}, path))
    lines = env_block.block_lines(chosen)
    save_installation(Installation({str(path): lines}, always=AlwaysOn(port, str(path), service)))
    return path


def write_status(**changed: object) -> None:
    write_private(service_folder() / HOLDER_STATUS, json.dumps(STATUS | changed).encode())


def service(environ: Mapping[str, str] | None = None) -> Check:
    (check,) = check_service(environ or {}, NOON)
    return check


def env_file(environ: Mapping[str, str] | None = None) -> list[Check]:
    home = {"CODEX_HOME": str(Path.home())}
    return list(check_env_file(home | dict(environ or {}), Path("/nowhere/cert.pem")))


# The service


def test_no_service() -> None:
    """It is neither a problem nor in order."""
    assert (service().level, service().advice) == ("off", "to read it: codex-tap install --always")


@pytest.mark.parametrize(
    ("changed", "level", "message"),
    [
        ({}, "ok", RUNS),
        pytest.param(
            {"pid": 2**22 + 1},
            "problem",
            f"{RUNS.partition(',')[0]}; it has ended without a report",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="a signal would end a process there"),
        ),
        ({"pid": None}, "note", "you run the service; it has ended"),
        ({"pid": "x"}, "note", "you run the service; it has not reported its state"),
        (
            {"restarts": 2, "last_error": "the proxy ended with signal 9", "last_error_at": NOON - 300},
            "note",
            f"{RUNS}; its proxy was started again 2 times; the last error, 5 min ago: the proxy ended with signal 9",
        ),
        (
            {"restarts": 1, "last_error": "x", "last_error_at": NOON - 200_000},
            "ok",
            f"{RUNS}; its proxy was started again once; the last error, 2 d ago: x",
        ),
        (
            {"tunnelled": 1_200, "last_tunnelled_at": NOON - 60},
            "note",
            f"{RUNS}; connections that were passed through unread: 1,200, the last one 1 min ago",
        ),
    ],
)
def test_the_state_of_the_service(changed: dict[str, object], level: str, message: str) -> None:
    """It is what the service has written down; what happened more than a day ago is for information."""
    install()
    write_status(**changed)
    assert (service().level, service().message) == (level, message)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b'{"pid": 1}', b"[" * 60_000])
def test_a_damaged_state(content: bytes) -> None:
    """A service that has just started has written none."""
    install()
    write_private(service_folder() / HOLDER_STATUS, content)
    assert service().message == "you run the service; it has not reported its state"


def make_systemd(folder: Path, script: str) -> dict[str, str]:
    """Make a systemctl and a loginctl, and return an environment that finds the unit."""
    for name in ("systemctl", "loginctl"):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    unit = folder / "systemd" / "user" / "codex-tap.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    return {"XDG_CONFIG_HOME": str(folder)}


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for the service manager are sh scripts")
@pytest.mark.parametrize(
    ("script", "level", "word"),
    [
        ('[ "$1" = show-user ] && echo Linger=yes; exit 0', "ok", "systemd runs the service, for 2 h"),
        ('[ "$1" = show-user ] && echo Linger=no; exit 0', "problem", "would end when you log out"),
        ("exit 1", "problem", "there is no systemd for this user (exit code 1)"),
        ("sleep 600 & wait", "note", "systemd cannot be asked about the service: no response in 0 s"),
    ],
    ids=["in order", "ends at logout", "no manager", "a manager that hangs"],
)
def test_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, level: str, word: str
) -> None:
    """It is asked, and not waited for long."""
    environ = make_systemd(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(installed_service, "_MANAGER_SECONDS", 0.4 if "sleep" in script else 30.0)
    install(service="systemd")
    write_status()
    check = service(environ)
    assert (check.level, word in check.message) == (level, True)
    assert (check.advice is None) == (level != "problem")


def test_a_service_whose_description_is_gone(tmp_path: Path) -> None:
    """Nothing starts it."""
    install(service="systemd")
    check = service({"XDG_CONFIG_HOME": str(tmp_path)})
    assert (check.level, check.message) == (
        "problem",
        f"{tmp_path}/systemd/user/codex-tap.service is missing, so nothing starts the service",
    )


# The port


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a program that closes every connection."""
    listener = Listener(lambda client: client.close())
    with contextlib.closing(listener):
        yield listener.port


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of a program that is not a proxy."""

    def serve(client: socket.socket) -> None:
        with client:
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    listener = Listener(serve)
    with contextlib.closing(listener):
        yield listener.port


def test_no_port_without_a_service(certificate: Path) -> None:
    """There is nothing to say."""
    assert list(check_port(certificate)) == []


def test_the_port_of_a_proxy(certificate: Path, proxy: str) -> None:
    """It is recognized by its certificate."""
    install(int(proxy.rpartition(":")[2]))
    assert list(check_port(certificate)) == [Check("port", "ok", f"codex-tap listens at {proxy}, and reads")]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing", "nothing listens at {}: a Codex that its .env leads there has no network"),
        ("silent", "what listens at {} does not respond like a proxy"),
        ("web_server", "another program listens at {}"),
    ],
)
def test_a_port_without_a_proxy(certificate: Path, request: pytest.FixtureRequest, kind: str, message: str) -> None:
    """Each is a problem: Codex is led there."""
    port = free_port() if kind == "nothing" else request.getfixturevalue(kind)
    install(port)
    (check,) = check_port(certificate)
    assert (check.level, check.message) == ("problem", message.format(f"127.0.0.1:{port}"))


def test_a_service_that_passes_everything_through(certificate: Path, tmp_path: Path) -> None:
    """The real one, whose proxy cannot be started: the port and the state show it."""
    port = free_port()
    install(port)
    config = {
        "version": 1,
        "host": "127.0.0.1",
        "port": port,
        "command": [str(tmp_path / "no program")],
        "environ": None,
        "upstream": None,
        "upstream_auth": None,
        "status": str(service_folder() / HOLDER_STATUS),
    }
    write_private(service_folder() / "config.json", json.dumps(config).encode())
    with subprocess.Popen([sys.executable, holder.__file__, str(service_folder() / "config.json")]) as process:
        try:
            wait_until(lambda: "cannot be started" in service().message, lambda: service().message)
            (check,) = check_port(certificate)
        finally:
            process.terminate()
    assert check.level == "problem"
    assert check.message == f"127.0.0.1:{port} passes everything through unread, because no proxy runs behind it"


# Codex's .env


def test_no_env_file() -> None:
    """There is nothing to say."""
    assert env_file() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A=1\n", ""),
        ("HTTPS_PROXY=http://me:pw@corp.example:3128\n", "{} sets HTTPS_PROXY, which makes Codex bypass the tap"),
        ("# >>> codex-tap >>>\n", "{} has lines of codex-tap, although the service is not installed"),
        ("#codex-tap: HTTPS_PROXY=http://corp:1\n", ""),
    ],
    ids=["other variables", "a proxy", "a block", "a comment"],
)
def test_an_env_file_without_the_service(content: str, message: str) -> None:
    """A proxy there makes Codex bypass `codex-tap run`."""
    path = Path.home() / ".env"
    path.write_text(content)
    checks = env_file()
    assert [(each.level, each.message) for each in checks] == [("problem", message.format(path))] * bool(message)
    assert "corp" not in str(checks)


def test_an_env_file_in_order() -> None:
    """The result names the port."""
    install(26_339)
    assert env_file() == [Check(".env", "ok", "every Codex is led to 127.0.0.1:26339")]


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        (lambda _: None, "problem", "{} does not lead Codex to the service any more"),
        (lambda _: b"A=1\n", "problem", "{} does not lead Codex to the service any more"),
        (
            lambda text: text + b"HTTPS_PROXY=http://me:pw@corp.example\n",
            "problem",
            "{} no longer sets HTTPS_PROXY as codex-tap wrote it",
        ),
        (
            lambda text: text.replace(b":26339", b":26340"),
            "problem",
            "{} no longer sets HTTPS_PROXY as codex-tap wrote it",
        ),
        (
            lambda text: text.replace(b"SSL_CERT_FILE", b"# SSL"),
            "problem",
            "{} no longer sets SSL_CERT_FILE as codex-tap wrote it",
        ),
        (
            lambda text: b'A="open\n' + text,
            "problem",
            "{} no longer sets HTTPS_PROXY, SSL_CERT_FILE as codex-tap wrote it",
        ),
        (
            lambda text: text.replace(b"# <<<", b"B=secret\n# <<<"),
            "note",
            "{}: 1 of the lines in the block of codex-tap are not its own",
        ),
        (lambda text: b"NO_PROXY=chatgpt.com\n" + text, "problem", "NO_PROXY makes a Codex of this shell bypass"),
    ],
    ids=["deleted", "no block", "overridden", "another port", "commented out", "an open quote", "edited", "NO_PROXY"],
)
def test_an_env_file_that_was_changed(change: object, level: str, message: str) -> None:
    """The result says what keeps Codex from the service, without a value."""
    assert callable(change)
    path = install(26_339)
    content = change(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    checks = env_file()
    assert [(each.level, each.message.startswith(message.format(path))) for each in checks] == [(level, True)]
    assert "pw" not in str(checks)
    assert "secret" not in str(checks)


@pytest.mark.parametrize(
    ("environ", "level", "message"),
    [
        ({"NO_PROXY": "localhost"}, "ok", "every Codex is led to"),
        ({"no_proxy": ".chatgpt.com"}, "problem", "NO_PROXY makes a Codex of this shell bypass the service"),
        ({"CODEX_CA_CERTIFICATE": "/x/corp.pem"}, "problem", "CODEX_CA_CERTIFICATE keeps a Codex of this shell from"),
        ({"CODEX_HOME": "/another"}, "note", "CODEX_HOME of this shell is another folder"),
    ],
)
def test_a_shell_that_gets_in_the_way(environ: dict[str, str], level: str, message: str) -> None:
    """Some variables of the shell beat the file."""
    install(26_339)
    (check,) = env_file(environ)
    assert (check.level, message in check.message) == (level, True)


# The certificates


def bundle(certificate: Path) -> list[Check]:
    return [each._replace(message=each.message.partition(" ")[2]) for each in check_bundle(certificate)]


def test_the_certificates(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the system, now, and ours."""
    assert bundle(certificate) == []
    install()
    ((_, level, message, _),) = bundle(certificate)
    assert (level, message) == ("problem", "is missing: Codex cannot connect to anything")

    path = trusted_bundle.refresh(None)
    ((_, level, message, _),) = bundle(certificate)
    assert (level, message) == ("ok", "certificates of the system are there, and that of codex-tap")

    roots = trusted_bundle.system_roots()
    path.write_text("".join(f"{each}\n" for each in roots))
    ((_, level, message, _),) = bundle(certificate)
    assert (level, message) == ("problem", "does not have the certificate of codex-tap: Codex cannot connect")

    path.write_text("".join(f"{each}\n" for each in roots[2:]) + certificate.read_text())
    monkeypatch.setattr(trusted_bundle, "system_roots", lambda: roots)
    ((_, level, message, _),) = bundle(certificate)
    assert (level, message) == ("note", "lacks certificates that the system trusts by now: 2")
