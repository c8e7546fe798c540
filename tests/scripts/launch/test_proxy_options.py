"""The arguments and the environment of the proxy."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.launch.proxy_options import proxy_environ, sets_data, sets_listening
from tests.support.harness import free_port
from tests.support.launcher import (
    GET,
    POSIX,
    PS,
    Front,
    environment,
    launcher,
    python,
    read_line,
    run,
    running_proxy,
    started,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend


@POSIX
def test_the_password_of_an_upstream_proxy(backend: Backend, front: Front) -> None:
    """The upstream gets the password; neither arguments nor environment of the proxy show it, nor any API key."""
    program = (
        "import os; shown = os.popen('ps eww -A -o command=').read().splitlines()\n"
        "print(*(line for line in shown if 'launch/mitm' + 'dump.py' in line))"
    )
    environ = environment(
        https_proxy=f"http://some%40body:hush-hush@127.0.0.1:{front.port}",
        CODEX_CA_CERTIFICATE=str(backend.ca_file),
        OPENAI_API_KEY="hush-hush",
        HOME=str(backend.ca_file.parent),
    )
    done = run(*python(f"{GET}\n{program}", "https://other.example/"), environ=environ)
    assert done.returncode == 0
    assert f"upstream:http://127.0.0.1:{front.port}" in done.stdout
    assert f"HOME={backend.ca_file.parent}" in done.stdout, "the environment is shown, too"
    assert "hush-hush" not in done.stdout.replace(front.heads[0], "")
    expected = base64.b64encode(b"some@body:hush-hush").decode()
    assert [f"Proxy-Authorization: Basic {expected}" in head for head in front.heads] == [True]


def test_arguments_for_mitmdump_take_precedence(tmp_path: Path) -> None:
    """Arguments after `--` take precedence over those of the launcher."""
    port = free_port()
    with running_proxy(
        "--listen-port", str(port), "--set", "termlog_verbosity=info", "--set", f"codex_tap_db={tmp_path}/x"
    ) as (_, address):
        assert address == f"127.0.0.1:{port}"
        assert (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "listening", "data"),
    [
        ([], False, False),
        (["--flow-detail", "2", "-q"], False, False),
        (["--set", "termlog_verbosity=info"], False, False),
        (["--mode", "socks5"], True, False),
        (["--mode=socks5"], True, False),
        (["-m", "regular"], True, False),
        (["-mregular"], True, False),
        (["-p", "8081"], True, False),
        (["--listen-h", "::1"], True, False),
        (["--proxya", "a:b"], True, False),
        (["-n"], True, False),
        (["--set", "listen_port=8081"], True, False),
        (["--set=proxyauth=a:b"], True, False),
        (["--set", "codex_tap_db=/x"], False, True),
        (["--set=confdir=/x"], False, True),
    ],
    ids=str,
)
def test_what_arguments_for_mitmdump_set(arguments: list[str], *, listening: bool, data: bool) -> None:
    """The launcher's socket is not for another mode, and tunnels ask nobody for a password."""
    assert (sets_listening(arguments), sets_data(arguments)) == (listening, data)


def test_the_proxys_environment_holds_no_secret() -> None:
    """It has what a program needs, and nothing of the user's logins and of Python's settings."""
    kept = {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "LC_ALL": "C",
        "XDG_DATA_HOME": "/data",
        "SSL_CERT_DIR": "/certificates",
        "CODEX_TAP_DB": "/tap.sqlite3",
        "SystemRoot": "C:",
    }
    names = [
        "OPENAI_API_KEY",
        "CODEX_API_KEY",
        "GH_TOKEN",
        "CODEX_TAP_TOKEN",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
    ]
    names += ["PYTHONPATH", "PYTHONWARNINGS", "PYTHONSTARTUP", "AWS_SECRET_ACCESS_KEY", "SSLKEYLOGFILE", "DATABASE_URL"]
    assert proxy_environ({**kept, **dict.fromkeys(names, "hush")}) == kept


@POSIX
def test_a_proxy_is_never_its_own_upstream() -> None:
    """A shell whose variables lead to the proxy can start it again."""
    port = free_port()
    environ = environment(HTTPS_PROXY=f"http://127.0.0.1:{port}")
    with started(*launcher("proxy", [], port=port), environ=environ) as process:
        read_line(process, "codex-tap: listening at ")
        shown = subprocess.run([PS, "-A", "-ww", "-o", "args="], capture_output=True, check=True, text=True).stdout
        assert f"upstream:http://127.0.0.1:{port}" not in shown
