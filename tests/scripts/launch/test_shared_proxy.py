"""Which running proxy a command uses: with real proxies, and commands as programs."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from scripts.launch.certificates import ca_certificate
from scripts.launch.running_proxies import Kind, RunningProxy, describe, publish
from scripts.launch.shared_proxy import find_shared, refuse_second, without_running_proxies
from scripts.support.errors import LaunchError
from store.files import certificate_folder
from tests.support.command_line import started as command
from tests.support.harness import REPOSITORY, Listener, free_port
from tests.support.launcher import (
    POSIX,
    environment,
    launcher,
    mitmdump_of,
    python,
    read_line,
    run,
    running_proxy,
    started,
)

if TYPE_CHECKING:
    from pathlib import Path

SHOW = python("import os; print(os.environ['HTTPS_PROXY'].removeprefix('http://'))")
CLI = str(REPOSITORY / "scripts" / "cli.py")


@pytest.fixture(name="mine")
def _mine(path: Path) -> RunningProxy:
    """A proxy of this process that passes connections through, as its file says."""
    authority = ca_certificate(certificate_folder())
    authority.parent.mkdir(parents=True)
    authority.write_text("certificate")
    return describe(f"127.0.0.1:{free_port()}", path, ["gateway.example"], kind="proxy", instance="abc")


def responding(response: bytes) -> Listener:
    def serve(client: object) -> None:
        with client:  # type: ignore[attr-defined]
            client.recv(1_000)  # type: ignore[attr-defined]
            client.sendall(response)  # type: ignore[attr-defined]

    return Listener(serve)


READ = b"HTTP/1.1 200 OK\r\n\r\ncertificate"
UNREAD = b"HTTP/1.1 503 x\r\nX-Codex-Tap: abc\r\n\r\n"


@pytest.mark.parametrize(
    ("response", "unread"),
    [(READ, False), (UNREAD, True), (b"HTTP/1.1 200 OK\r\n\r\nother", None)],
    ids=["reads", "passes-through", "another-program"],
)
def test_a_proxy_has_to_show_that_it_is_ours(
    mine: RunningProxy, path: Path, response: bytes, unread: bool | None
) -> None:
    """One that only passes connections through at the moment is used, with a warning."""
    listening = responding(response)
    mine = mine._replace(address=f"127.0.0.1:{listening.port}")
    publish(mine)
    found = find_shared({}, path, [])
    listening.close()
    assert (found and (found.proxy, found.is_unread)) == (None if unread is None else (mine, unread))
    assert bool(found and found.warning) is bool(unread)


@pytest.mark.parametrize(
    ("changes", "environ", "hosts"),
    [
        ({"database": "/elsewhere"}, {}, []),
        ({"kind": "run"}, {}, []),
        ({}, {}, ["other.example"]),
        ({}, {"HTTPS_PROXY": "http://company.example:3128"}, []),
        ({"upstream": "http://a.example:1"}, {"HTTPS_PROXY": "http://b.example:1"}, []),
    ],
    ids=["another-database", "that-of-a-run", "another-gateway", "no-upstream", "another-upstream"],
)
def test_a_proxy_that_does_not_suit(
    mine: RunningProxy, path: Path, changes: dict[str, Any], environ: dict[str, str], hosts: list[str]
) -> None:
    """A proxy of the command's own is needed."""
    listening = responding(READ)
    publish(mine._replace(address=f"127.0.0.1:{listening.port}", **changes))
    assert find_shared(environ, path, hosts) is None
    listening.close()


def test_a_proxy_of_the_same_upstream_suits(mine: RunningProxy, path: Path) -> None:
    listening = responding(READ)
    publish(mine._replace(address=f"127.0.0.1:{listening.port}", upstream="http://company.example:3128"))
    for environ in ({}, {"HTTPS_PROXY": "http://user:word@company.example:3128"}):
        assert find_shared(environ, path, ["gateway.example"]) is not None
    assert find_shared({}, path, [], own=True) is None
    listening.close()


def test_a_port_where_nobody_listens(mine: RunningProxy, path: Path) -> None:
    """The file is that of an earlier process with the same id."""
    publish(mine)
    assert find_shared({"HTTPS_PROXY": f"http://{mine.address}"}, path, []) is None
    assert not mine.file.exists()


@pytest.mark.parametrize("kind", ["run", "proxy", "installed"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_proxy_that_the_environment_leads_to_is_used(
    mine: RunningProxy, path: Path, tmp_path: Path, kind: Kind, place: str
) -> None:
    """Whatever kind it is; if that is impossible, the command is not started."""
    listening = responding(READ)
    mine = mine._replace(address=f"127.0.0.1:{listening.port}", kind=kind)
    publish(mine)
    environ = {"CODEX_HOME": str(tmp_path)}
    variable = f"HTTPS_PROXY=http://localhost:{listening.port}"
    if place == ".env":
        (tmp_path / ".env").write_text(variable + "\n")
    else:
        environ["HTTPS_PROXY"] = variable.partition("=")[2]
    found = find_shared(environ, path, ["gateway.example"])
    assert found is not None
    assert found.proxy == mine
    with pytest.raises(LaunchError, match=r"does not watch b\.example; give --host to that proxy") as caught:
        find_shared(environ, path, ["gateway.example", "b.example"])
    assert caught.value.exit_code == 2
    with pytest.raises(LaunchError, match="leave out --own"):
        find_shared(environ, path, [], own=True)
    assert find_shared(environ, path.with_name("other"), [], own=True) is None
    listening.close()


def test_a_second_proxy_in_a_row_is_refused(mine: RunningProxy, path: Path) -> None:
    """One of another database is not, nor the proxy itself, which is started again."""
    publish(mine)
    environ = {"HTTPS_PROXY": f"http://{mine.address}"}
    with pytest.raises(LaunchError, match="each turn would be recorded twice") as caught:
        refuse_second(environ, path, "127.0.0.1:1")
    assert caught.value.exit_code == 2
    refuse_second(environ, path.with_name("other"), "127.0.0.1:1")
    refuse_second(environ, path, mine.address)
    refuse_second({}, path, "127.0.0.1:1")


# Whole programs


def test_run_and_env_use_a_running_proxy() -> None:
    """`run --own`, another database and other gateways get a proxy of their own."""
    with running_proxy(hosts=["gateway.example"]) as (_, address):
        assert run(*SHOW).stdout.strip() == address
        assert run(*SHOW, hosts=["gateway.example"]).stdout.strip() == address
        assert run(*SHOW, own=True).stdout.strip() != address
        assert run(*SHOW, hosts=["other.example"]).stdout.strip() != address
        assert f"HTTPS_PROXY=http://{address}\n" in command("env", "--shell", "sh").stdout
    assert run(*SHOW).stdout.strip() != address


def test_a_run_in_a_run_has_one_proxy() -> None:
    """It is that of the outer one, which goes on afterwards."""
    nested = [sys.executable, CLI, "run", *SHOW]
    both = python(
        "import subprocess, sys; print(subprocess.check_output(sys.argv[1:], text=True).strip()); " + SHOW[-1]
    )
    first, second = run(*both, *nested).stdout.split()
    assert first == second


@POSIX
def test_a_proxy_in_a_row_with_a_running_one_is_wrong_use() -> None:
    """The shell has evaluated `codex-tap env`."""
    with running_proxy() as (_, address):
        shell = environment(HTTPS_PROXY=f"http://{address}")
        done = command("proxy", "--port", "0", env=shell)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: HTTPS_PROXY leads to the running proxy at {address}, which records to")
        assert done.stderr.count("\n") == 1
        done = run(*SHOW, environ=shell, own=True)
        assert done.returncode == 2


@POSIX
def test_a_proxy_without_its_mitmdump_is_used_with_a_warning() -> None:
    """It passes connections through until it has started again; here mitmdump is held back."""
    port = free_port()
    with started(*launcher("proxy", [], port=port)) as process:
        read_line(process, "codex-tap: listening at ")
        mitmdump = mitmdump_of(process.pid)
        assert mitmdump is not None
        os.kill(mitmdump, signal.SIGSTOP)
        done = run(*SHOW)
        os.kill(mitmdump, signal.SIGCONT)
        assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{port}\n")
        assert done.stderr == (
            f"codex-tap: the proxy at 127.0.0.1:{port} passes connections through unread at the moment; "
            "new connections are read as soon as it has started again\n"
        )


COMPANY = "http://company.example:3128"


@pytest.mark.parametrize(
    ("environ", "upstream", "expected"),
    [
        ({"HTTPS_PROXY": "http://{tap}", "http_proxy": "{tap}"}, None, {}),
        ({"HTTPS_PROXY": "http://{tap}/"}, COMPANY, {"HTTPS_PROXY": COMPANY}),
        ({"HTTPS_PROXY": COMPANY, "ALL_PROXY": "http://{tap}"}, None, {"HTTPS_PROXY": COMPANY}),
        ({"HTTPS_PROXY": COMPANY, "FOO": "", "BAR": "http://{tap}"}, None, None),
        ({"HTTPS_PROXY": "http://gone.example", "CODEX_TAP_PROXY": "http://gone.example"}, None, {}),
    ],
    ids=["round it", "to its upstream", "some", "unchanged", "of a proxy that is not known"],
)
def test_round_running_proxies(
    mine: RunningProxy, environ: dict[str, str], upstream: str | None, expected: dict[str, str] | None
) -> None:
    """What leads to a running proxy leads to its upstream, or is left out."""
    publish(mine._replace(upstream=upstream))
    given = {name: value.format(tap=mine.address) for name, value in environ.items()}
    assert without_running_proxies(given) == (given if expected is None else expected)
