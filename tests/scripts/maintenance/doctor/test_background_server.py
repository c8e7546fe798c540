"""The check of Codex's background server."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor.background_server import check_background_server
from scripts.support.installation import AlwaysOn, Installation, save_installation
from tests.support.background_server import listening_socket, running_server
from tests.support.harness import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scripts.maintenance.doctor.check import Check

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Python has no Unix sockets there")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows a process's environment")


def server(home: Path, certificate: Path) -> Check:
    """Return the result of the check."""
    (check,) = check_background_server({"CODEX_HOME": str(home)}, certificate)
    return check


def judged(home: Path, certificate: Path, environ: Mapping[str, str]) -> Check:
    """Return the result for a server with an environment."""
    with running_server(home, environ):
        return server(home, certificate)


@pytest.fixture
def other_proxy() -> Iterator[str]:
    """The address of a program that accepts connections and closes them."""
    listener = Listener(lambda client: client.close())
    with contextlib.closing(listener):
        yield f"127.0.0.1:{listener.port}"


def test_no_server(tmp_path: Path, certificate: Path) -> None:
    """It is the usual state before the first interactive session."""
    check = server(tmp_path, certificate)
    assert (check.level, check.message) == ("ok", "Codex's background server does not run")


def test_a_server_whose_environment_is_hidden(tmp_path: Path, certificate: Path) -> None:
    """The result says that it is not known."""
    with listening_socket(tmp_path):
        check = server(tmp_path, certificate)
    assert (check.level, "cannot be found out" in check.message) == ("note", True)


@on_linux
@pytest.mark.parametrize(
    "environ", [{}, {"HTTPS_PROXY": "http://{proxy}", "NO_PROXY": "a.example,chatgpt.com"}], ids=["none", "bypassed"]
)
def test_a_server_without_a_proxy(tmp_path: Path, certificate: Path, proxy: str, environ: dict[str, str]) -> None:
    """Sessions that use it go round the tap."""
    filled = {name: value.format(proxy=proxy) for name, value in environ.items()}
    check = judged(tmp_path / "codex", certificate, filled)
    assert (check.level, check.message) == ("note", "Codex's background server runs without a proxy")


@on_linux
def test_beside_the_service_a_server_without_a_proxy_is_a_problem(tmp_path: Path, certificate: Path) -> None:
    """It was started before, and never reads Codex's `.env` again."""
    save_installation(Installation(always=AlwaysOn(9, "/x/.env", "none")))
    check = judged(tmp_path / "codex", certificate, {})
    assert (check.level, "are not read" in check.message) == ("problem", True)
    assert "codex app-server daemon restart" in (check.advice or "")


@on_linux
def test_a_server_whose_proxy_has_ended(tmp_path: Path, certificate: Path, address: str) -> None:
    """Its sessions wait for the network; the password of the proxy is not shown."""
    secret = "pass" + "word"
    check = judged(tmp_path / "codex", certificate, {"HTTPS_PROXY": f"http://me:{secret}@{address}"})
    assert check.level == "problem"
    assert check.message == (
        f"Codex's background server uses the proxy http://{address}, which does not respond: "
        "sessions that use the server wait for the network"
    )
    assert "codex app-server daemon restart" in (check.advice or "")


@on_linux
@pytest.mark.parametrize("trusts", [True, False])
def test_a_server_with_the_proxy_of_codex_tap(tmp_path: Path, certificate: Path, proxy: str, trusts: bool) -> None:
    """It has to trust the certificate of the proxy."""
    environ = {"HTTPS_PROXY": f"http://{proxy}", **({"SSL_CERT_FILE": str(certificate)} if trusts else {})}
    check = judged(tmp_path / "codex", certificate, environ)
    assert check.level == ("ok" if trusts else "problem")
    assert ("which is codex-tap's" if trusts else "does not trust") in check.message


@on_linux
def test_a_server_with_another_proxy(tmp_path: Path, certificate: Path, other_proxy: str) -> None:
    """It works, unread."""
    check = judged(tmp_path / "codex", certificate, {"ALL_PROXY": f"http://{other_proxy}"})
    assert (check.level, "which is not codex-tap's" in check.message) == ("note", True)


@on_linux
@pytest.mark.parametrize("url", ["socks5://127.0.0.1:9", "http://[", "http://:80"])
def test_a_server_with_a_proxy_that_codex_tap_cannot_use(tmp_path: Path, certificate: Path, url: str) -> None:
    """Nothing of the URL is shown."""
    check = judged(tmp_path / "codex", certificate, {"HTTPS_PROXY": url})
    assert check.level == "note"
    assert url not in str(check)
