"""The arguments and the environment of the proxy."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

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
    """The upstream gets the password, and the list of processes does not show it."""
    program = "import os; print(os.popen('ps -A -ww -o args=').read())"
    environ = environment(
        https_proxy=f"http://some%40body:hush-hush@127.0.0.1:{front.port}", CODEX_CA_CERTIFICATE=str(backend.ca_file)
    )
    done = run(*python(f"{GET}\n{program}", "https://other.example/"), environ=environ)
    assert done.returncode == 0
    assert f"upstream:http://127.0.0.1:{front.port}" in done.stdout
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


@POSIX
def test_a_proxy_is_never_its_own_upstream() -> None:
    """A shell whose variables lead to the proxy can start it again."""
    port = free_port()
    environ = environment(HTTPS_PROXY=f"http://127.0.0.1:{port}")
    with started(*launcher("proxy", [], port=port), environ=environ) as process:
        read_line(process, "codex-tap: listening at ")
        shown = subprocess.run([PS, "-A", "-ww", "-o", "args="], capture_output=True, check=True, text=True).stdout
        assert f"upstream:http://127.0.0.1:{port}" not in shown
