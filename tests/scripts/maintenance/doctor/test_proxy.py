"""Checks of the proxy, its authority, the shell's way to it, and its log."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

from scripts.launch.running_proxies import Kind, describe, published
from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.proxy import check_authority, check_log, check_way
from scripts.support.errors import LaunchError
from store.files import certificate_folder
from tests.support.factories import NOON
from tests.support.harness import Listener, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")


def way(name: str, address: str, environ: Mapping[str, str] | None = None) -> list[Check]:
    """Return the results with one name."""
    certificate = certificate_folder() / "mitmproxy-ca-cert.pem"
    return [check for check in check_way(environ or {}, address, certificate) if check.name == name]


def levels(checks: list[Check]) -> list[str]:
    return [check.level for check in checks]


def test_a_missing_authority_is_a_note(tmp_path: Path) -> None:
    """The first start creates it."""
    assert levels(list(check_authority(tmp_path / "mitmproxy-ca-cert.pem"))) == ["note"]


def test_an_authority_in_order(certificate: Path) -> None:
    """The check has the path of the certificate."""
    assert list(check_authority(certificate)) == [Check("certificate", "ok", f"{certificate}, its key is private")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mitmproxy-ca.pem", "", "mitmproxy-ca.pem is damaged"),
        ("mitmproxy-ca.pem", None, "mitmproxy-ca.pem is missing"),
        ("mitmproxy-ca-cert.pem", None, "mitmproxy-ca-cert.pem is missing"),
        ("mitmproxy-dhparam.pem", "half", "mitmproxy-dhparam.pem is damaged"),
    ],
)
def test_a_damaged_authority_is_a_problem(certificate: Path, name: str, content: str | None, reason: str) -> None:
    """The check finds what the start of the proxy would find."""
    if content is None:
        (certificate.parent / name).unlink()
    else:
        (certificate.parent / name).write_text(content)
    (check,) = check_authority(certificate)
    message = f"the certificate authority in {certificate.parent} is unusable: {reason}"
    assert (check.level, check.message) == ("problem", message)


@needs_modes
def test_a_key_that_others_can_read_is_a_problem(certificate: Path) -> None:
    """With the key, any host can be impersonated to this user's Codex."""
    key = certificate.with_name("mitmproxy-ca.pem")
    key.chmod(0o600 | stat.S_IRGRP)
    (check,) = check_authority(certificate)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {key}")


def test_a_proxy_that_does_not_run_is_off(address: str) -> None:
    """`codex-tap run` does not need it."""
    (check,) = way("proxy", address)
    assert (check.level, check.message) == ("off", f"no codex-tap proxy runs at {address}")
    with published(describe("127.0.0.1:8081", Path("/x/tap.sqlite3"), [], kind="proxy", instance="")):
        (check,) = way("proxy", address)
    assert check.message == f"no codex-tap proxy runs at {address}; there is one at 127.0.0.1:8081"


def test_a_running_proxy(proxy: str) -> None:
    """It is recognized by its certificate."""
    assert way("proxy", proxy) == [Check("proxy", "ok", f"a codex-tap proxy runs at {proxy}")]


def test_another_program_on_the_port_is_not_a_proxy() -> None:
    """A program that only listens there, and never responds, is a note."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert levels(way("proxy", f"127.0.0.1:{server.getsockname()[1]}")) == ["note"]


@pytest.mark.parametrize(
    ("head", "level", "word"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "note", "is not a codex-tap proxy of yours"),
        (b"HTTP/1.1 502 Bad Gateway\r\nX-Codex-Tap: 1f\r\n\r\n", "problem", "passes everything through unread"),
        (b"SSH-2.0-OpenSSH\r\n", "note", "does not respond like a proxy"),
    ],
)
def test_what_listens_is_told_by_its_response(head: bytes, level: str, word: str) -> None:
    """A codex-tap whose mitmdump is missing says that it is one."""

    def serve(client: socket.socket) -> None:
        with client:
            client.recv(65_536)
            client.sendall(head)

    with contextlib.closing(Listener(serve)) as listener:
        (check,) = way("proxy", f"127.0.0.1:{listener.port}")
    assert (check.level, word in check.message) == (level, True)


@pytest.mark.parametrize("kind", ["run", "proxy", "installed"])
def test_a_shell_under_the_tap(certificate: Path, proxy: str, tmp_path: Path, kind: Kind) -> None:
    """Its proxy is found by its file, at whatever address it runs."""
    environ = {"HTTPS_PROXY": f"http://{proxy}", "CODEX_CA_CERTIFICATE": str(certificate)}
    with published(describe(proxy, tmp_path / "tap.sqlite3", [], kind=kind, instance="")):
        (check,) = way("environment", f"127.0.0.1:{free_port()}", environ)
    assert (check.level, check.message) == ("ok", "Codex in this shell goes through the proxy")


def test_an_invalid_address_is_wrong_use() -> None:
    """It is the error of the command."""
    with pytest.raises(LaunchError, match="nowhere is not a proxy's address"):
        way("proxy", "nowhere")


def test_a_shell_without_a_proxy_is_fine(address: str) -> None:
    """`codex-tap run` needs none."""
    assert levels(way("environment", address)) == ["ok"]


def test_a_shell_that_leads_to_the_proxy(proxy: str, certificate: Path, tmp_path: Path) -> None:
    """The variables of `codex-tap env` are correct, also with a bundle that contains the certificate."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(certifi.contents() + certificate.read_text())
    environ = {"HTTPS_PROXY": f"http://{proxy}", "CODEX_CA_CERTIFICATE": str(bundle), "NO_PROXY": "localhost"}
    (check,) = way("environment", proxy, environ)
    assert (check.level, check.message) == ("ok", "Codex in this shell goes through the proxy")


def test_a_shell_that_bypasses_the_proxy_is_a_problem(proxy: str) -> None:
    """Each variable that makes Codex bypass or distrust the proxy is reported, with the command that corrects it."""
    checks = way("environment", proxy, {"HTTPS_PROXY": f"http://{proxy}", "NO_PROXY": ".chatgpt.com"})
    assert levels(checks) == ["problem", "problem"]
    assert checks[0].message == "NO_PROXY=.chatgpt.com makes Codex bypass the proxy"
    assert checks[1].message == "CODEX_CA_CERTIFICATE does not name the proxy's certificate"
    assert {check.advice for check in checks} == {f'eval "$(codex-tap env --proxy {proxy})"'}


def test_a_shell_that_leads_to_a_missing_proxy_is_a_problem(address: str) -> None:
    """The programs of that shell have no network access."""
    (check,) = way("environment", address, {"HTTPS_PROXY": f"http://{address}"})
    assert (check.level, "no network access" in check.message) == ("problem", True)


def test_a_corporate_proxy_is_fine(address: str) -> None:
    """It is the upstream of the tap; its password is not shown."""
    secret = "pass" + "word"
    (check,) = way("environment", address, {"HTTPS_PROXY": f"http://me:{secret}@corp.example:3128"})
    assert (check.level, "http://corp.example:3128" in check.message, secret in check.message) == ("ok", True, False)


@pytest.mark.parametrize(
    "environ",
    [{"HTTPS_PROXY": "socks5://corp.example:1080"}, {"CODEX_CA_CERTIFICATE": "/nowhere/corp.pem"}],
    ids=["a proxy that cannot be used", "a missing corporate CA"],
)
def test_an_environment_that_a_start_would_refuse_is_a_problem(address: str, environ: dict[str, str]) -> None:
    """`codex-tap run` would refuse it as well."""
    assert levels(way("environment", address, environ)) == ["problem"]


def write_log(folder: Path, name: str, *lines: str, written_at: float = NOON) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    os.utime(path, (written_at, written_at))
    return path


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S,000", time.localtime(seconds))


@needs_modes
def test_a_named_pipe_is_no_log_file(tmp_path: Path) -> None:
    """It is not opened, which would wait for a writer."""
    os.mkfifo(tmp_path / "proxy-1.log")
    assert list(check_log(tmp_path, NOON)) == []


def test_no_log_file(tmp_path: Path) -> None:
    """It exists only if mitmproxy logged a warning."""
    assert list(check_log(tmp_path / "logs", NOON)) == []


def test_the_newest_log_file_is_named(tmp_path: Path) -> None:
    """Warnings alone are not quoted."""
    write_log(tmp_path, "proxy-2.log", f"{stamp(NOON)} ERROR mitmproxy: old", written_at=NOON - 1)
    newest = write_log(tmp_path, "proxy-1.log", f"{stamp(NOON)} WARNING mitmproxy: a warning")
    (check,) = check_log(tmp_path, NOON)
    assert (check.level, check.message) == ("note", f"the proxy's warnings are in {newest}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("cannot write", "cannot write"), ("x" * 500, "x" * 200)],
    ids=["short", "long"],
)
def test_the_last_error_of_the_log_is_quoted(tmp_path: Path, text: str, shown: str) -> None:
    """With its age, without the lines of its traceback; a long one is cut."""
    path = write_log(
        tmp_path,
        "proxy-1.log",
        "x" * 100_000,
        f"{stamp(NOON - 900)} ERROR addon.tap: an earlier one",
        f"{stamp(NOON - 300)} ERROR addon.tap: {text}",
        "Traceback (most recent call last):",
        f"{stamp(NOON - 60)} WARNING mitmproxy.proxy: a warning",
    )
    (check,) = check_log(tmp_path, NOON)
    assert (check.level, check.message) == ("note", f"the last error of a proxy, 5 min ago: {shown}; more in {path}")
