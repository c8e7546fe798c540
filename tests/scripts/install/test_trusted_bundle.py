"""The file of all certificates."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

from scripts.demo.certificates import Authority
from scripts.install.trusted_bundle import bundle, mac_roots, refresh, system_roots, windows_certificates
from scripts.launch.certificates import CorporateCa, ca_certificate, ensure_authority
from scripts.support.errors import LaunchError
from store.files import certificate_folder, trusted_file

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(name="company", scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a company's authority."""
    return Authority(tmp_path_factory.mktemp("company")).ca_file


def certificates(path: Path) -> set[str]:
    return set(CorporateCa.read("a test", str(path)).certificates)


def test_it_has_all_certificates(company: Path) -> None:
    """The system's, those of the user's own file, and the proxy's; OpenSSL reads it."""
    own = ensure_authority(certificate_folder())
    path = refresh(str(company))
    assert certificates(path) == {*system_roots()} | certificates(company) | certificates(own)
    assert len(system_roots()) > 50
    ssl.create_default_context(cafile=str(path))
    assert path == trusted_file()


def test_it_is_written_only_when_something_changes(company: Path) -> None:
    """Its name stays, so .env need not change; a process that reads it sees the old or the new file."""
    ensure_authority(certificate_folder())
    first = refresh(None).stat()
    assert refresh(None).stat().st_ino == first.st_ino
    changed = refresh(str(company)).stat()
    assert changed.st_ino != first.st_ino
    assert changed.st_mode & 0o077 == 0


def test_an_authority_made_anew_is_in_it() -> None:
    """The old certificate is not."""
    folder = certificate_folder()
    old = certificates(ensure_authority(folder))
    refresh(None)
    for each in folder.iterdir():
        each.unlink()
    new = certificates(ensure_authority(folder))
    assert new != old
    assert new <= certificates(refresh(None))
    assert not old & certificates(trusted_file())


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_of_the_users_that_cannot_be_used(tmp_path: Path, text: str | None) -> None:
    """It is named, and nothing is written."""
    ensure_authority(certificate_folder())
    path = tmp_path / "company.pem"
    if text:
        path.write_text(text)
    with pytest.raises(LaunchError, match=f"SSL_CERT_FILE names {path}"):
        refresh(str(path))
    assert not trusted_file().exists()


def test_without_an_authority_it_is_not_written() -> None:
    """A bundle without the proxy's certificate would cut Codex off."""
    with pytest.raises(LaunchError, match="cannot be read"):
        refresh(None)
    assert not ca_certificate(certificate_folder()).exists()


def test_the_keychains_of_macos(company: Path) -> None:
    """Roots of the system, and of those that were added to it the trusted ones."""
    roots = Path(certifi.where()).read_text("utf-8")
    first, second = CorporateCa.read("certifi", certifi.where()).certificates[:2]
    added = f"{company.read_text()}{second}\n"
    verified: list[str] = []

    def run(command: Sequence[str]) -> str | None:
        assert command[0] == "/usr/bin/security"
        if command[1] == "verify-cert":
            verified.append(Path(command[-1]).read_text())
            return "" if verified[-1].strip() == second else None
        return roots if "SystemRoot" in command[-1] else added

    found = mac_roots(run)
    assert (found[0], found[-1]) == (first, second)
    assert len(verified) == 2
    assert not certificates(company) & set(found)
    assert mac_roots(lambda _command: None) == ()


def test_the_store_of_windows() -> None:
    """Certificates that are trusted for servers, in PEM."""
    pem = CorporateCa.read("certifi", certifi.where()).certificates[0]
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    server, mail = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4"
    entries: list[tuple[bytes, str, set[str] | bool]] = [
        (der, "x509_asn", True),
        (der, "x509_asn", {server, mail}),
        (der, "x509_asn", {mail}),
        (der, "x509_asn", False),
        (der, "pkcs_7_asn", True),
    ]
    assert windows_certificates(entries) == (pem, pem)


def test_a_certificate_is_in_the_bundle_once() -> None:
    """In the order of the groups."""
    assert bundle(["a", "b"], (), ["b", "c"]) == b"a\nb\nc\n"
