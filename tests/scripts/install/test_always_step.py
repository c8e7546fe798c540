"""The second step: a service with one fixed port, and the block in ``.env``."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.demo.certificates import Authority
from scripts.install import always_step
from scripts.install.always_step import (
    DEFAULT_PORT,
    NOTHING_KEPT,
    AlwaysPlan,
    KeptOptions,
    is_current,
    kept_options,
    lead_codex,
    own_environment,
    plan_always,
    start_service,
    write_service,
)
from scripts.install.service_manager import NoManager
from scripts.launch.codex_env_file import parse
from scripts.launch.held_proxy import socket_address
from scripts.launch.running_proxies import describe, published
from scripts.support.beside import Beside
from scripts.support.errors import CommandError
from scripts.support.installation import AlwaysOn, Installation, load_installation, save_installation
from store import files
from store.settings import data_folder, default_database
from tests.support.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")


def plan(port: int | None = None, /, gateways: Sequence[str] = (), **environ: str) -> AlwaysPlan:
    return plan_always({**os.environ, **environ}, port=port, gateways=gateways, beside=Beside())


@pytest.fixture(name="env")
def _env() -> Path:
    """The path of Codex's own .env."""
    return Path(os.environ["CODEX_HOME"]) / ".env"


@dataclass
class Manager:
    """Runs the service as a child of the test."""

    name: str = "systemd"
    file: Path | None = None
    fails: bool = False
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def why_not(self) -> str | None:
        """Return None."""
        return None

    def start(self, command: Sequence[str]) -> None:
        """Start it."""
        self.stop()
        self.processes.append(subprocess.Popen(["/bin/false"] if self.fails else command))

    def stop(self) -> None:
        """Stop it."""
        for process in self.processes:
            with process:
                process.terminate()
        self.processes.clear()


@pytest.fixture(name="manager")
def _manager() -> Iterator[Manager]:
    manager = Manager()
    yield manager
    manager.stop()


def test_the_service_gets_the_variables_of_its_metrics() -> None:
    """They are in its configuration, without those of other installations."""
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SERVICE_NAME": "tap"}
    without, with_metrics = (
        plan_always({**os.environ, **named}, port=None, gateways=(), beside=Beside(otlp=otlp)).config
        for otlp in (False, True)
    )
    assert (with_metrics["command"][-1], "--otlp" in without["command"]) == ("--otlp", False)
    assert with_metrics["environ"] == {**without["environ"], **named}


def test_a_repeat_keeps_what_was_installed(manager: Manager) -> None:
    """The options, and the variables of what they start; the shell's own come first, and a fresh plan keeps nothing."""
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "PGPASSFILE": "/home/ann/pass", "OTEL_X": "1"}
    beside = Beside(serve=True, otlp=True, ship="postgresql://h/d")
    assert kept_options() == NOTHING_KEPT
    first = plan_always({**os.environ, **named}, port=free_port(), gateways=["g"], beside=beside)
    start_service(first, manager, write_service(first))

    kept = kept_options()
    assert kept.options == ["--host", "g", "--serve", "--otlp", "--ship", "postgresql://h/d"]
    again = plan_always(os.environ, port=None, gateways=(), beside=Beside(), kept=kept)
    assert again.config == first.config
    assert is_current(again, manager)
    more = plan_always({**os.environ, "OTEL_X": "2"}, port=None, gateways=["h"], beside=Beside(alerts=True), kept=kept)
    assert more.config["command"][-8:-2] == ["g", "--host", "h", "--serve", "--alerts", "--otlp"]
    assert more.config["environ"] == {**first.config["environ"], "OTEL_X": "2"}
    fresh = plan_always(os.environ, port=None, gateways=(), beside=Beside())
    assert fresh.config["command"][-1] == "--held-socket"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"command": 1}', b"{}"], ids=["cut", "list", "number", "empty"])
def test_a_damaged_configuration_keeps_the_gateways(content: bytes) -> None:
    """They are on record elsewhere."""
    save_installation(Installation(gateways=("g",), always=AlwaysOn(1, "/e", "none")))
    files.write_private(files.service_folder() / files.HOLDER_CONFIG, content)
    assert kept_options() == KeptOptions(("g",))


def test_nothing_changes_before_the_answer(env: Path) -> None:
    """A plan only reads."""
    before = sorted(Path.home().rglob("*"))
    found = plan()
    assert sorted(Path.home().rglob("*")) == before
    assert found.address == f"127.0.0.1:{DEFAULT_PORT}"
    assert (found.env.file.path, found.env.file.content) == (env, None)


@POSIX
def test_the_service_answers_before_codex_is_led_there(env: Path, manager: Manager) -> None:
    """Everything that it needs is private and outside of the checkout, but for the program that reads."""
    env.write_text("FOO=bar\n")
    port = free_port()
    found = plan(port)
    command = write_service(found)
    assert [stat.S_IMODE(Path(each).stat().st_mode) for each in command[-2:]] == [0o600, 0o600]
    assert command[1:3] == ["-I", "-S"]
    assert start_service(found, manager, command)
    assert env.read_text() == "FOO=bar\n"
    assert lead_codex(found, os.environ) == "none"
    assert parse(env.read_text(), {}) == {
        "FOO": "bar",
        "HTTPS_PROXY": f"http://127.0.0.1:{port}",
        "SSL_CERT_FILE": str(files.trusted_file()),
    }
    assert load_installation().always == AlwaysOn(port, str(env), "systemd")

    again = plan()
    assert again.address == found.address
    assert not again.env.is_needed
    assert is_current(again, manager)
    (process,) = manager.processes
    assert start_service(again, manager, write_service(again), is_running=True)
    assert manager.processes == [process]
    assert not is_current(plan(gateways=["g"]), manager)


def test_a_service_that_does_not_work_is_undone(env: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex keeps its way, and nothing is on record."""
    monkeypatch.setattr(always_step, "_ANSWER_SECONDS", 0.5)
    manager.fails = True
    found = plan(free_port())
    with pytest.raises(CommandError, match="the service does not work"):
        start_service(found, manager, write_service(found))
    assert (env.exists(), manager.processes, load_installation()) == (False, [], Installation())
    assert not files.service_folder().exists()


def test_without_a_manager_nothing_leads_to_a_closed_port(env: Path) -> None:
    """The files are written, and the user starts the service first."""
    found = plan(free_port())
    assert not start_service(found, NoManager(), write_service(found))
    assert not env.exists()
    assert (files.service_folder() / files.HOLDER_PROGRAM).exists()


def test_the_upstream_and_the_certificates_of_the_user(env: Path, tmp_path: Path) -> None:
    """Those of the file come before those of the environment; a password is in the private configuration alone."""
    company = Authority(tmp_path).ca_file
    env.write_text("HTTPS_PROXY=http://me:s3cret@corp:3128\n")
    found = plan(HTTPS_PROXY="http://other:1", SSL_CERT_FILE=str(company), OPENAI_API_KEY="sk-x", PATH="/bin")
    assert (found.config["upstream"], found.config["upstream_auth"]) == ("http://corp:3128", "me:s3cret")
    assert found.config["upstream_ca"] == found.trusted_before == str(company)
    assert found.config["environ"]["SSL_CERT_FILE"] == str(company)
    assert not {"HTTPS_PROXY", "OPENAI_API_KEY"} & found.config["environ"].keys()
    assert "s3cret" not in repr(found.upstream) + "".join(found.env_lines)
    write_service(found)
    for path in data_folder().rglob("*"):
        assert path.name == "config.json" or not path.is_file() or b"s3cret" not in path.read_bytes()


def test_repeated_in_a_command_that_codex_runs(env: Path) -> None:
    """There the environment is that of the block: the user's own proxy is not forgotten."""
    first = plan(HTTPS_PROXY="http://me:s3cret@corp:3128")
    write_service(first)
    start_service(first, NoManager(), [])
    save_installation(Installation({str(env): list(first.env_lines)}, always=first.always))
    block = parse((first.env.after or b"").decode(), {})
    first.env.file.replace(first.env.after)
    again = plan(None, **block)
    assert again.config == first.config
    assert again.env.after == first.env.after
    assert plan().config["upstream"] is None


def test_a_second_tap_in_a_row_is_refused() -> None:
    """It would record each turn twice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = socket_address(listener)
        mine = describe(address, default_database(), (), kind="proxy", instance="x")
        with published(mine), pytest.raises(CommandError, match="recorded twice"):
            plan(HTTPS_PROXY=f"http://{address}")


def test_another_port_replaces_the_first(env: Path) -> None:
    """Also if the command was stopped in between: the line of the first port is known for what it is."""
    env.write_text("A=1\n")
    first = plan(26_001)
    start_service(first, NoManager(), write_service(first))
    lead_codex(first, os.environ)
    second = plan(26_002)
    start_service(second, NoManager(), write_service(second))
    again = plan()
    assert (again.address, again.env.edited) == ("127.0.0.1:26002", ())
    lead_codex(again, os.environ)
    assert parse(env.read_text(), {})["HTTPS_PROXY"] == "http://127.0.0.1:26002"
    assert "26001" not in env.read_text()


def test_a_list_of_the_environment_is_narrowed(env: Path) -> None:
    """It would lead round the service."""
    assert "NO_PROXY=localhost" in plan(NO_PROXY="localhost,chatgpt.com").env_lines
    assert not env.exists()


def test_gateways_of_plain_http() -> None:
    """They need a variable of their own, unless that names another proxy of the user's."""
    assert f"HTTP_PROXY=http://127.0.0.1:{DEFAULT_PORT}" in plan(gateways=["g"]).env_lines
    assert plan(gateways=["g"]).config["command"][-2:] == ["--host", "g"]
    lines = plan(gateways=["g"], HTTP_PROXY="http://corp:1").env_lines
    assert not any(line.startswith("HTTP_PROXY") for line in lines)


@POSIX
@pytest.mark.parametrize(
    ("environ", "prepare", "reason"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "CODEX_TAP_PROXY": "http://127.0.0.1:9"}, "", "under codex-tap"),
        ({"HTTPS_PROXY": "socks5://corp:1"}, "", "HTTPS_PROXY names a proxy that codex-tap cannot use"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "", "SSL_CERT_FILE names /nowhere.pem"),
        ({}, "link", "is a link"),
        ({}, "quote", "a quote that is not closed"),
        ({}, "taken", "choose another port with --port"),
    ],
)
def test_what_is_refused(env: Path, environ: dict[str, str], prepare: str, reason: str) -> None:
    """With the reason, and with nothing changed."""
    port = free_port()
    with socket.socket() as taken:
        if prepare == "link":
            env.symlink_to(env.with_name("elsewhere"))
        elif prepare == "quote":
            env.write_text("A='b\n")
        elif prepare == "taken":
            taken.bind(("127.0.0.1", port))
            taken.listen()
        with pytest.raises(CommandError, match=reason):
            plan(port, **environ)
    assert load_installation() == Installation()


def test_a_variable_that_codex_prefers_is_refused(tmp_path: Path) -> None:
    """Codex would not trust the service, unless the file has its certificate."""
    company = Authority(tmp_path).ca_file
    with pytest.raises(CommandError, match="set SSL_CERT_FILE to that file instead"):
        plan(CODEX_CA_CERTIFICATE=str(company))
    write_service(plan())
    with contextlib.closing(files.trusted_file().open()) as file:
        assert plan(CODEX_CA_CERTIFICATE=file.name)


@pytest.mark.parametrize(
    ("mounts", "reason"),
    [
        ("1 0 0:9 / / rw - nfs4 server:/ rw\n", "network file system"),
        ("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", None),
        ("", None),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mounts of Linux")
def test_a_shared_home_is_refused(monkeypatch: pytest.MonkeyPatch, mounts: str, reason: str | None) -> None:
    """The other machine has no such port."""
    monkeypatch.setattr(always_step, "_read_text", lambda path: mounts if path.endswith("mountinfo") else "")
    with pytest.raises(CommandError, match=reason) if reason else contextlib.nullcontext():
        plan()


def test_the_environment_of_the_block_is_not_the_users() -> None:
    """Only the values that lead to the service are left out."""
    known = AlwaysOn(26339, "/e", "none")
    environ = {
        "HTTPS_PROXY": "http://localhost:26339",
        "HTTP_PROXY": "http://corp:1",
        "SSL_CERT_FILE": str(files.trusted_file()),
        "PATH": "/bin",
    }
    assert own_environment(environ, known) == {"HTTP_PROXY": "http://corp:1", "PATH": "/bin"}
    assert own_environment(environ, None) == environ


def test_the_program_of_the_service_is_complete() -> None:
    """It runs without codex-tap: with the standard library alone."""
    found = plan(free_port())
    command = write_service(found)
    program = Path(command[3]).read_text("utf-8")
    assert "import scripts" not in program
    assert "from scripts" not in program
    config = json.loads(Path(command[4]).read_bytes())
    assert config["command"][-1] == "--held-socket"
