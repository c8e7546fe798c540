"""A session: the launcher with a real mitmdump and real commands, each started as a program."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from scripts.launch.environment import shim_line
from scripts.launch.running_proxies import ask, running_proxies
from scripts.launch.session import environment_lines, probe
from scripts.support.errors import LaunchError
from store.files import certificate_folder, shim_folder
from tests.scripts.launch.test_holder import Service
from tests.support.harness import REPOSITORY, free_port, wait_until
from tests.support.launcher import (
    LIVELY,
    POSIX,
    descendants,
    environment,
    launcher,
    mitmdump_of,
    python,
    read_line,
    run,
    running_proxy,
    started,
    wait_until_gone,
)

# As npm's codex: a process that starts the real one, and hands the signals on.
WRAPPER = f"""
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {LIVELY!r}])
signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
sys.exit(child.wait())
"""


@POSIX
def test_a_killed_launcher_leaves_no_process() -> None:
    """Neither the proxy, nor the command, nor what the command started outlives the launcher."""
    with started(*launcher("run", python(WRAPPER))) as process:
        read_line(process, "up")
        family = descendants(process.pid)
        assert len(family) == 3  # the proxy, the wrapper and its child
        process.kill()
        assert read_line(process, "proxy") == "proxy alive at SIGTERM"
        wait_until_gone(family)


@POSIX
def test_a_launcher_killed_before_the_command_starts_leaves_no_process() -> None:
    """A proxy that is still starting ends as well."""
    with started(*launcher("run", python(LIVELY))) as process:
        wait_until(lambda: bool(descendants(process.pid)), lambda: "no proxy was started")
        family = descendants(process.pid)
        process.kill()
        wait_until_gone(family)


def test_a_running_proxy_can_be_used() -> None:
    """The command goes through a running proxy, if that is a codex-tap proxy."""
    with running_proxy() as (process, address):
        done = run(*python("import os; print(os.environ['HTTPS_PROXY'])"), proxy=address)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"http://{address}\n", "")
        assert process.poll() is None
        with pytest.raises(LaunchError, match="is not a codex-tap proxy with"):
            probe(address, Path(__file__))
        with pytest.raises(LaunchError, match="cannot be read"):
            probe(address, Path(__file__) / "x")


NESTED = [sys.executable, str(REPOSITORY / "scripts" / "cli.py"), "run", "codex", "x"]


@POSIX
def test_every_way_to_start_codex_gets_the_flag(tmp_path: Path) -> None:
    """By name, by path, in a shell, in a run within a run, and with a running proxy; `exec` does not need the flag."""
    codex = tmp_path / "codex"
    codex.write_text('#!/bin/sh\necho "$0" "$@"\n')
    codex.chmod(0o755)
    environ = environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for command in (["codex", "x"], [str(codex), "x"], ["sh", "-c", "codex x"], NESTED):
        assert run(*command, environ=environ).stdout == f"{codex} --no-daemon x\n"
    assert run("sh", "-c", "codex exec x", environ=environ).stdout == f"{codex} exec x\n"
    with running_proxy() as (_, address):
        for command in (["codex", "x"], ["sh", "-c", "codex x"]):
            assert run(*command, environ=environ, proxy=address).stdout == f"{codex} --no-daemon x\n"


def test_a_missing_proxy_is_an_error() -> None:
    """The command is not started, and the message says what to do."""
    address = f"127.0.0.1:{free_port()}"
    done = run(*python("print('started')"), proxy=address)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"codex-tap: no proxy responds at {address} (")
    assert done.stderr.endswith("; start one with: codex-tap proxy\n")


@pytest.mark.parametrize("address", ["", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http"])
def test_an_invalid_address(address: str) -> None:
    """The exit code is 2, and the message shows the form of an address."""
    with pytest.raises(LaunchError, match=re.escape("127.0.0.1:8080")) as caught:
        probe(address, Path(__file__))
    assert caught.value.exit_code == 2


def test_environment_lines_put_the_shim_into_path() -> None:
    """The folder exists then; a shell without a PATH gets none."""
    assert environment_lines("sh", environ={"PATH": "/a"}).splitlines()[-1] == shim_line("sh", str(shim_folder()))[:-1]
    assert shim_folder().is_dir()
    assert "PATH" not in environment_lines("sh", environ={}).replace("HTTPS_PROXY", "")


def test_environment_lines_lead_to_the_proxy(tmp_path: Path) -> None:
    """The whole output for a shell whose NO_PROXY would bypass the tap."""
    certificate = tmp_path / "ca.pem"
    lines = environment_lines("sh", address="127.0.0.1:8081", ca_file=certificate, environ={"no_proxy": "*,x"})
    assert lines.splitlines() == [
        f"export CODEX_CA_CERTIFICATE={certificate}",
        "export CODEX_TAP_PROXY=http://127.0.0.1:8081",
        "export HTTPS_PROXY=http://127.0.0.1:8081",
        f"export NODE_EXTRA_CA_CERTS={certificate}",
        "export https_proxy=http://127.0.0.1:8081",
        "export no_proxy=x",
    ]


def test_environment_lines_name_our_own_authority_by_default() -> None:
    """The proxy that `codex-tap proxy` starts by default needs no options."""
    lines = environment_lines("fish", environ={})
    assert f"set -gx CODEX_CA_CERTIFICATE '{certificate_folder() / 'mitmproxy-ca-cert.pem'}'\n" in lines
    assert "set -gx HTTPS_PROXY 'http://127.0.0.1:8080'\n" in lines


@POSIX
def _is_read(address: str) -> bool:
    """On a busy machine, mitmdump may need longer to start than a connection waits for it."""
    return ask(address, 60).headers[0].split()[1] == "200"


def test_the_installed_service_is_found_and_started_again(tmp_path: Path) -> None:
    """`proxy --held-socket` adopts the service's socket; its mitmdump may be killed, and both end with the service."""
    show = python("import os; print(os.environ['HTTPS_PROXY'])")
    cli = str(REPOSITORY / "scripts" / "cli.py")
    with Service(tmp_path, command=[sys.executable, cli, "proxy", "--held-socket"], environ=environment()) as service:
        address = f"127.0.0.1:{service.port}"
        wait_until(lambda: _is_read(address), lambda: "connections are passed through unread", 60)
        wait_until(lambda: bool(running_proxies()), lambda: "it has no file")
        assert run(*show).stdout == f"http://{address}\n"
        mitmdump = mitmdump_of(service.process.pid)
        assert mitmdump is not None
        os.kill(mitmdump, signal.SIGKILL)
        service.wait_for(last_error=f"the proxy ended with exit code {128 + signal.SIGKILL}")
        wait_until(lambda: _is_read(address), lambda: "connections are passed through unread", 60)
        family = descendants(service.process.pid)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        wait_until_gone(family)
        assert running_proxies() == []
