"""The certificate authority, with each way in which its files can be damaged."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from mitmproxy.certs import CertStore

from scripts.launch import authority
from scripts.launch.authority import KEY, PUBLIC
from scripts.launch.certificates import ensure_authority
from scripts.support.errors import LaunchError
from scripts.support.output_queue import STDERR
from store.files import AUTHORITY_NAMES, certificate_folder
from tests.support.launcher import GET, POSIX, environment, launcher, python, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.demo.backend import Backend

DH = "mitmproxy-dhparam.pem"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

as_other_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser and Windows read files of any mode"
)


class Pair(NamedTuple):
    """A key and its certificate, as PEM."""

    key: bytes
    certificate: bytes


def issue(
    key: rsa.RSAPrivateKey, *, start: datetime = NOW - DAY, end: datetime = NOW + DAY * 99, ca: bool = True
) -> Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mitmproxy")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


RSA = rsa.generate_private_key(65537, 2048)
OTHER = issue(rsa.generate_private_key(65537, 2048))


def put(folder: Path, pair: Pair) -> None:
    """Make both files those of a pair."""
    (folder / KEY).write_bytes(pair.key + pair.certificate)
    (folder / PUBLIC).write_bytes(pair.certificate)


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("kept")


def replace_by_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def encrypt(path: Path) -> None:
    encrypted = RSA.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"a password"),
    )
    path.write_bytes(encrypted + issue(RSA).certificate)


def leave_unfinished(folder: Path) -> None:
    (folder / KEY).unlink()
    unfinished = folder.with_name(f"{folder.name}.abcd1234")
    unfinished.mkdir()
    (unfinished / KEY).write_bytes(OTHER.key)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "half of the key file": (lambda folder: halve(folder / KEY), f"{KEY} is damaged"),
    "an empty key file": (lambda folder: (folder / KEY).write_bytes(b""), f"{KEY} is damaged"),
    "garbage for the key file": (lambda folder: (folder / KEY).write_bytes(os.urandom(3_000)), f"{KEY} is damaged"),
    "a key without a certificate": (lambda folder: (folder / KEY).write_bytes(OTHER.key), f"{KEY} is damaged"),
    "a certificate without a key": (lambda folder: (folder / KEY).write_bytes(OTHER.certificate), f"{KEY} is damaged"),
    "the key of another": (
        lambda folder: (folder / KEY).write_bytes(OTHER.key + (folder / PUBLIC).read_bytes()),
        f"{KEY} has a key and a certificate that do not belong together",
    ),
    "a key with a password": (lambda folder: encrypt(folder / KEY), f"{KEY} is damaged"),
    "the key file is missing": (lambda folder: (folder / KEY).unlink(), f"{KEY} is missing"),
    "a folder for the key file": (lambda folder: replace_by_folder(folder / KEY), f"{KEY} is not a regular file"),
    "expired": (
        lambda folder: put(folder, issue(RSA, start=NOW - DAY * 9, end=NOW - DAY)),
        "its certificate expires on ",
    ),
    "expires in an hour": (
        lambda folder: put(folder, issue(RSA, end=NOW + timedelta(hours=1))),
        "its certificate expires on ",
    ),
    "not valid yet": (
        lambda folder: put(folder, issue(RSA, start=NOW + DAY)),
        "its certificate is not valid before ",
    ),
    "not an authority": (
        lambda folder: put(folder, issue(RSA, ca=False)),
        f"{KEY} has no certificate of an authority",
    ),
    "the certificate is missing": (lambda folder: (folder / PUBLIC).unlink(), f"{PUBLIC} is missing"),
    "an empty certificate": (lambda folder: (folder / PUBLIC).write_bytes(b""), f"{PUBLIC} is damaged"),
    "half of the certificate": (lambda folder: halve(folder / PUBLIC), f"{PUBLIC} is damaged"),
    "the certificate of another": (
        lambda folder: (folder / PUBLIC).write_bytes(OTHER.certificate),
        f"{PUBLIC} is not the certificate of the key",
    ),
    "a folder for the certificate": (
        lambda folder: replace_by_folder(folder / PUBLIC),
        f"{PUBLIC} is not a regular file",
    ),
    "damaged parameters": (lambda folder: (folder / DH).write_bytes(b"-----BEGIN DH"), f"{DH} is damaged"),
    "an interrupted creation": (leave_unfinished, f"{KEY} is missing"),
}
POSIX_CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "the key file is a link to itself": (lambda folder: replace_by_loop(folder / KEY), f"{KEY} cannot be read: "),
    "the certificate is a link to itself": (
        lambda folder: replace_by_loop(folder / PUBLIC),
        f"{PUBLIC} cannot be read: ",
    ),
    "the key file is a named pipe": (lambda folder: replace_by_pipe(folder / KEY), f"{KEY} is not a regular file"),
}
TABLE = [
    *(pytest.param(*case, id=name) for name, case in CASES.items()),
    *(pytest.param(*case, id=name, marks=POSIX) for name, case in POSIX_CASES.items()),
    pytest.param(
        lambda folder: (folder / KEY).chmod(0),
        f"{KEY} cannot be read: Permission denied",
        id="the key file cannot be read",
        marks=as_other_user,
    ),
]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority as mitmproxy makes it, to be copied."""
    folder = tmp_path_factory.mktemp("authority")
    CertStore.create_store(folder, "mitmproxy", 2048)
    return folder


@pytest.fixture
def folder(pristine: Path) -> Path:
    """The authority in the user's data folder."""
    return shutil.copytree(pristine, certificate_folder())


def test_one_in_order_stays(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and nothing said."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert authority.find_damage(folder) is None
    assert ensure_authority(folder) == folder / PUBLIC
    STDERR.drain()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert capfd.readouterr().err == ""


def test_its_dates_are_looked_at(folder: Path) -> None:
    """It is of use for ten years."""
    assert authority.find_damage(folder, time.time() + 9 * 365 * 86_400) is None
    damage = authority.find_damage(folder, time.time() + 11 * 365 * 86_400)
    assert damage is not None
    assert damage.reason.startswith("its certificate expires on ")


def test_a_missing_one_is_created(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a word: nothing runs that would have to be restarted."""
    folder = certificate_folder()
    assert authority.is_missing(folder)
    ensure_authority(folder)
    STDERR.drain()
    assert not authority.is_missing(folder)
    assert authority.find_damage(folder) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("spoil", "reason"), TABLE)
def test_a_damaged_one(
    spoil: Callable[[Path], object], reason: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is found, set aside and made anew; mitmproxy uses the new one, and commands trust its certificate."""
    before = (folder / PUBLIC).read_bytes()
    spoil(folder)
    damage = authority.find_damage(folder)
    assert damage is not None
    assert damage.reason.startswith(reason)
    there = {path.name for path in folder.iterdir()} & set(damage.files)
    certificate = ensure_authority(folder)
    STDERR.drain()
    assert authority.find_damage(folder) is None
    store = CertStore.from_store(folder, "mitmproxy", 2048)
    assert store.default_ca.to_pem() == certificate.read_bytes()
    assert (certificate.read_bytes() == before) == (KEY not in damage.files)
    aside = [path for path in folder.iterdir() if ".damaged-" in path.name]
    assert {path.name.partition(".damaged-")[0] for path in aside} == there
    assert not list(folder.parent.glob("ca.*"))
    written = capfd.readouterr().err
    assert len(written.splitlines()) == bool(there)
    assert (f"was made anew: {reason}" in written) == bool(there)
    # Every name is one that `codex-tap uninstall` knows.
    assert [path.name for path in folder.iterdir() if not re.fullmatch(AUTHORITY_NAMES, path.name)] == []
    if sys.platform != "win32":
        files = [path for path in (*aside, *(folder / name for name in damage.files)) if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@POSIX
@pytest.mark.parametrize(
    "name",
    [
        "half of the key file",
        "the key of another",
        "expired",
        "the certificate of another",
        "the certificate is missing",
        "a folder for the key file",
        "damaged parameters",
    ],
)
def test_run_with_a_damaged_one(name: str, folder: Path, backend: Backend) -> None:
    """The command runs, and trusts the proxy."""
    spoil, reason = CASES[name]
    spoil(folder)
    done = run(
        *python(GET, "https://gateway.example/"),
        hosts=["gateway.example"],
        environ=environment(HTTPS_PROXY=backend.proxy_url, SSL_CERT_FILE=str(backend.ca_file)),
    )
    assert (done.stdout, done.returncode) == ("200 a page of gateway.example\n", 0)
    if name == "the certificate is missing":
        assert done.stderr == ""
    else:
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"codex-tap: the certificate authority in {folder} was made anew: {reason}")


def test_two_at_once(folder: Path) -> None:
    """One of them makes the new authority, and both use it."""
    halve(folder / KEY)
    program = python("import os, sys; sys.stdout.write(open(os.environ['CODEX_CA_CERTIFICATE']).read())")
    both = [
        subprocess.Popen(
            launcher("run", program), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert {output for output, _ in outputs} == {(folder / PUBLIC).read_text()}
    assert sorted(len(errors.splitlines()) for _, errors in outputs) == [0, 1]


def test_a_folder_that_cannot_be_made() -> None:
    """One line says what to do."""
    folder = certificate_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file")
    with pytest.raises(LaunchError, match=f"{re.escape(str(folder))} a folder that you can write to$"):
        ensure_authority(folder)


def test_mitmproxy_cannot_create_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the last line of the program, without its traceback."""
    monkeypatch.setattr(authority, "_CREATE", "raise ValueError('no randomness')")
    with pytest.raises(LaunchError, match=r"ValueError: no randomness$"):
        ensure_authority(tmp_path / "ca")
    assert [path.name for path in (tmp_path / "ca").iterdir()] == ["authority.lock"]
