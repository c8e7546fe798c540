"""The proxy's certificate authority, and bundles of its certificate with those of a company."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.support.errors import LaunchError
from store.files import bundle_file, create_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.files import BundleKind

# mitmproxy makes its key private; the modes of its other files depend on the umask.
_CREATE_AUTHORITY = (
    "import os, pathlib, sys; from mitmproxy.certs import CertStore; os.umask(0o077); "
    "CertStore.create_store(pathlib.Path(sys.argv[1]), 'mitmproxy', 2048)"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


@dataclass(frozen=True)
class CorporateCa:
    """Certificates (PEM) of a file that a variable of the user's environment names."""

    certificates: tuple[str, ...]

    @classmethod
    def read(cls, variable: str, path: str) -> CorporateCa:
        """Read the certificates of the file that ``variable`` names.

        Raises:
            LaunchError: the file cannot be read, or has no certificate that OpenSSL can use.
        """
        try:
            text = Path(path).read_text("utf-8", "replace")
        except OSError as error:
            raise LaunchError(f"{variable} names {path}, which cannot be read: {error.strerror}") from error
        certificates = _certificates(text)
        if not certificates or not _are_usable(certificates):
            raise LaunchError(f"{variable} names {path}, which has no usable certificate (PEM)")
        return cls(certificates)


def ca_certificate(folder: Path) -> Path:
    """Return the path of the certificate of the authority in ``folder``; it need not exist."""
    return folder / "mitmproxy-ca-cert.pem"


def ensure_authority(folder: Path) -> Path:
    """Create the authority if it is missing and return the path of its certificate.

    It is created in a temporary folder that is then renamed: two proxies that start at the same time for the first time
    would otherwise use different certificates, and Codex would refuse one of them.

    Raises:
        LaunchError: the folder cannot be written.
    """
    certificate = ca_certificate(folder)
    if not certificate.exists():
        try:
            _create_authority(folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise LaunchError(f"no certificate can be created in {folder}: {error}") from error
    return certificate


def upstream_bundle(folder: Path, corporate: CorporateCa) -> Path:
    """Write the certificates that the proxy is to trust, public ones and a company's; return the path."""
    import certifi

    # mitmproxy's option replaces certifi's list.
    public = Path(certifi.where()).read_text("utf-8")
    return _write_bundle(folder, "upstream", (*_certificates(public), *corporate.certificates))


def command_bundle(folder: Path, ca_file: Path, corporate: CorporateCa | None) -> Path:
    """Return the file of certificates that the command is to trust: the proxy's, and a company's if there is one.

    Hosts that are not Codex's are tunnelled, so the command has to verify their certificates itself.

    Raises:
        LaunchError: ``ca_file`` cannot be read, or the bundle cannot be written.
    """
    return ca_file if corporate is None else _with_corporate(folder, "command", ca_file, corporate)


def node_bundle(folder: Path, ca_file: Path, before: str | None) -> Path:
    """Return the file of certificates that Node.js is to trust in addition: the proxy's, and those of ``before``.

    Node ignores, with a warning, a file that it cannot read or that has no certificate. ``before`` is ignored in these
    cases too: in one bundle with it, Node would ignore the proxy's certificate as well.

    Args:
        folder: the folder for a bundle.
        ca_file: the certificate of the proxy's authority.
        before: the file that ``NODE_EXTRA_CA_CERTS`` names already.

    Raises:
        LaunchError: ``ca_file`` cannot be read, or the bundle cannot be written.
    """
    if before is None or not ca_file.exists():
        return ca_file
    try:
        corporate = CorporateCa.read("NODE_EXTRA_CA_CERTS", before)
    except LaunchError:
        return ca_file
    return _with_corporate(folder, "node", ca_file, corporate)


def _with_corporate(folder: Path, kind: BundleKind, ca_file: Path, corporate: CorporateCa) -> Path:
    """Return a bundle of the proxy's and the company's certificates, or ``ca_file`` if it has all of them."""
    try:
        own = _certificates(ca_file.read_text("utf-8"))
    except OSError as error:
        raise LaunchError(f"the proxy's certificate {ca_file} cannot be read: {error.strerror}") from error
    if set(corporate.certificates) <= set(own):
        return ca_file
    return _write_bundle(folder, kind, (*own, *corporate.certificates))


def _create_authority(folder: Path) -> None:
    create_private_folder(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        program = [sys.executable, "-P", "-c", _CREATE_AUTHORITY, str(temporary)]
        subprocess.run(program, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        _replace_empty_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_empty_folder(temporary: Path, folder: Path) -> None:
    # Only an empty folder can be replaced, so the first of two processes wins. If the folder has bundles of an earlier
    # authority, the proxy creates the new authority itself.
    with contextlib.suppress(OSError):
        if sys.platform == "win32":  # a rename replaces no folder there, not even an empty one
            folder.rmdir()
        temporary.rename(folder)


def _certificates(text: str) -> tuple[str, ...]:
    """Return the certificates of a PEM text without duplicates."""
    found = (re.sub(r"\s*\n\s*", "\n", block) for block in _CERTIFICATE.findall(text))
    return tuple(dict.fromkeys(found))


def _are_usable(certificates: Iterable[str]) -> bool:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(certificates))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _write_bundle(folder: Path, kind: BundleKind, certificates: Iterable[str]) -> Path:
    """Write a bundle whose name follows from its content, so that every start with the same content shares the file."""
    content = "".join(f"{certificate}\n" for certificate in dict.fromkeys(certificates)).encode()
    path = bundle_file(folder, kind, hashlib.sha256(content).hexdigest())
    if path.exists():
        return path
    try:
        write_private(path, content)
    except OSError as error:
        raise LaunchError(f"{path} cannot be written: {error.strerror}") from error
    return path
