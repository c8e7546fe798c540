"""The file of all certificates that every Codex of the user trusts: the system's, the user's, and the proxy's.

Codex's ``.env`` names it as ``SSL_CERT_FILE``, which replaces the system's list for Codex and for the commands that
Codex runs. Their connections to other hosts are tunnelled, so the file must have everything that they trusted before.
It keeps its name and is replaced in one step, so that ``.env`` need not change with it.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from scripts.launch.certificates import CorporateCa, ca_certificate, ensure_authority
from scripts.support.errors import LaunchError
from scripts.support.installation import load_installation
from store.files import certificate_folder, has_content, trusted_file, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
)
_MAC_ROOTS = "/System/Library/Keychains/SystemRootCertificates.keychain"
_MAC_ADDED = "/Library/Keychains/System.keychain"
_SECURITY = "/usr/bin/security"
_SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"
_SECONDS = 30
_SYSTEM = "the system"


def refresh(before: str | None) -> Path:
    """Write the file anew if a certificate in it has changed, and return its path.

    Args:
        before: the file of certificates that Codex was configured to trust.

    Raises:
        LaunchError: the proxy's certificate or the file in ``before`` cannot be read, or the bundle cannot be written.
    """
    own = CorporateCa.read("codex-tap", str(ca_certificate(certificate_folder()))).certificates
    users = CorporateCa.read("SSL_CERT_FILE", before).certificates if before else ()
    path, content = trusted_file(), bundle(system_roots(), users, own)
    try:
        if not has_content(path, content):
            write_private(path, content)
    except OSError as error:
        raise LaunchError(f"{path} cannot be written: {error.strerror}") from error
    return path


def refresh_installed() -> None:
    """Write the file of the installed service anew if that is due; a failure is printed, and the file stays as it is.

    Called when the proxy of the service starts: its certificate, the system's, or the user's may be another one.
    """
    always = load_installation().always
    if always is None:
        return
    try:
        ensure_authority(certificate_folder())
        refresh(always.trusted_before)
    except LaunchError as error:
        print(f"codex-tap: {trusted_file()} is not renewed: {error}", file=sys.stderr, flush=True)


def bundle(*groups: Iterable[str]) -> bytes:
    """Return the certificates (PEM) of all groups, each once."""
    every = dict.fromkeys(each for group in groups for each in group)
    return "".join(f"{certificate}\n" for certificate in every).encode()


def system_roots(platform: str = sys.platform) -> tuple[str, ...]:
    """Return the certificates (PEM) that the system trusts; those of certifi if it has none."""
    found = {"win32": _windows_roots, "darwin": mac_roots}.get(platform, _file_roots)()
    return found or _read(_certifi())


def mac_roots(run: Callable[[Sequence[str]], str | None] | None = None) -> tuple[str, ...]:
    """Return the roots of macOS, and of those that were added to it the ones that it trusts.

    Args:
        run: runs a program; returns its output, or None if it fails.
    """
    run = run or _output
    own = _certificates(run([_SECURITY, "find-certificate", "-a", "-p", _MAC_ROOTS]))
    added = _certificates(run([_SECURITY, "find-certificate", "-a", "-p", _MAC_ADDED]))
    return (*own, *(each for each in added if _is_trusted_on_mac(each, run)))


def windows_certificates(entries: Iterable[tuple[bytes, str, set[str] | bool]]) -> tuple[str, ...]:
    """Return the certificates (PEM) of a store of Windows that are trusted for servers.

    Args:
        entries: as `ssl.enum_certificates` returns them.
    """
    return tuple(
        ssl.DER_cert_to_PEM_cert(content).strip()
        for content, encoding, trust in entries
        if encoding == "x509_asn" and (trust is True or (isinstance(trust, set) and _SERVER_AUTHENTICATION in trust))
    )


def _windows_roots() -> tuple[str, ...]:
    if sys.platform == "win32":
        # Windows adds a root to its store when it is first needed.
        return (*windows_certificates(ssl.enum_certificates("ROOT")), *_read(_certifi()))
    return ()


def _file_roots() -> tuple[str, ...]:
    for path in _candidates():
        found = _read(path)
        if found:
            return found
    return ()


def _candidates() -> Iterator[str]:
    yield from _SYSTEM_FILES
    # Not `cafile`: that is what SSL_CERT_FILE names.
    yield ssl.get_default_verify_paths().openssl_cafile


def _certifi() -> str:
    import certifi

    return certifi.where()


def _read(path: str) -> tuple[str, ...]:
    try:
        return CorporateCa.read(_SYSTEM, path).certificates
    except LaunchError:
        return ()


def _certificates(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(text)
        file.flush()
        return _read(file.name)


def _is_trusted_on_mac(certificate: str, run: Callable[[Sequence[str]], str | None]) -> bool:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(f"{certificate}\n")
        file.flush()
        return run([_SECURITY, "verify-cert", "-l", "-L", "-R", "offline", "-c", file.name]) is not None


def _output(command: Sequence[str]) -> str | None:
    try:
        completed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return completed.stdout
