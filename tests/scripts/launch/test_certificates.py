"""The proxy's certificate authority, and the certificates of a company."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.launch.certificates import ensure_authority
from store.files import certificate_folder
from tests.support.launcher import GET, POSIX, Front, environment, launcher, python, run

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend


# On a busy machine, mitmdump may need longer to start than a connection waits for it.
PROBE = """
import os, pathlib, time
from scripts.launch.session import LaunchError, probe
address, certificate = os.environ["HTTPS_PROXY"].removeprefix("http://"), os.environ["CODEX_CA_CERTIFICATE"]
deadline = time.monotonic() + 80
while True:
    try:
        probe(address, pathlib.Path(certificate), seconds=20)
        break
    except LaunchError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.2)
"""


def test_two_first_runs_at_once(tmp_path: Path) -> None:
    """Both use one database and one certificate authority."""
    database = tmp_path / "tap.sqlite3"
    both = [
        subprocess.Popen(
            launcher("run", python(PROBE), database=database), env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=100)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert not list(certificate_folder().parent.glob("ca.*"))


@POSIX
def test_the_authority_is_private() -> None:
    """Other users cannot read the key that signs for chatgpt.com, not even while it is created."""
    certificate = ensure_authority(certificate_folder())
    assert stat.S_IMODE(certificate_folder().parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(certificate_folder().stat().st_mode) == 0o700
    before = certificate.read_bytes()
    assert ensure_authority(certificate_folder()).read_bytes() == before


def test_a_corporate_proxy_and_authority(backend: Backend, front: Front) -> None:
    """Behind a company's proxy and authority the tap reads Codex's hosts and tunnels the others, both verified."""
    environ = environment(HTTPS_PROXY=f"http://127.0.0.1:{front.port}", SSL_CERT_FILE=str(backend.ca_file))
    for _ in range(2):
        done = run(
            *python(GET, "https://gateway.example/", "https://other.example/"),
            hosts=["gateway.example"],
            environ=environ,
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout.splitlines() == ["200 a page of gateway.example", "200 a page of other.example"]
    assert {head.split()[1] for head in front.heads} == {"gateway.example:443", "other.example:443"}
    assert not any("Proxy-Authorization" in head for head in front.heads)
    # One file for the proxy, one for the command, however many runs; neither for others to write.
    bundles = sorted(certificate_folder().glob("*-????????????????.pem"))
    assert [bundle.name.split("-")[0] for bundle in bundles] == ["command", "upstream"]
    if sys.platform != "win32":
        assert [stat.S_IMODE(bundle.stat().st_mode) for bundle in bundles] == [0o600, 0o600]


@pytest.mark.parametrize("variable", ["CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "which cannot be read: "),
        ("", "which has no usable certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "which has no usable certificate"),
    ],
)
def test_a_corporate_authority_that_cannot_be_used(
    variable: str, content: str | None, reason: str, tmp_path: Path
) -> None:
    """The message names the variable and the file; nothing is started."""
    file = tmp_path / "corporate.pem"
    if content is not None:
        file.write_text(content)
    done = run(*python("pass"), environ=environment(**{variable: str(file)}))
    assert done.returncode == 4
    assert done.stderr.startswith(f"codex-tap: {variable} names {file}, {reason}")
