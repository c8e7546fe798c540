"""The proxy's certificate authority, and the bundles of it with the authorities of a company."""

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

# mitmproxy makes its key private and leaves the rest to the umask.
_MAKE_AUTHORITY = (
    "import os, pathlib, sys; from mitmproxy.certs import CertStore; os.umask(0o077); "
    "CertStore.create_store(pathlib.Path(sys.argv[1]), 'mitmproxy', 2048)"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


@dataclass(frozen=True)
class CorporateCa:
    """Certificates (PEM) that a variable of the user's environment names."""

    certificates: tuple[str, ...]

    @classmethod
    def read(cls, variable: str, path: str) -> CorporateCa:
        """Read the certificates of the file that ``variable`` names.

        Raises:
            LaunchError: it cannot be read, or holds no certificate that OpenSSL can.
        """
        try:
            text = Path(path).read_text("utf-8", "replace")
        except OSError as error:
            raise LaunchError(f"{variable} names {path}, which cannot be read: {error.strerror}") from error
        certificates = _certificates(text)
        if not certificates or not _usable(certificates):
            raise LaunchError(f"{variable} names {path}, which holds no usable certificate (PEM)")
        return cls(certificates)


def ca_certificate(folder: Path) -> Path:
    """Return where the certificate of the authority in ``folder`` lies; it need not exist."""
    return folder / "mitmproxy-ca-cert.pem"


def ensure_authority(folder: Path) -> Path:
    """Make the authority where there is none and return its certificate's path.

    It is made aside and put in place whole: of two proxies that start at once for the first time, each would
    otherwise go on with a certificate of its own, and Codex would refuse that of one.

    Raises:
        LaunchError: the folder cannot be written.
    """
    certificate = ca_certificate(folder)
    if not certificate.exists():
        try:
            _make_authority(folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise LaunchError(f"no certificate can be made in {folder}: {error}") from error
    return certificate


def upstream_bundle(folder: Path, corporate: CorporateCa) -> Path:
    """Write what the proxy shall trust: the public authorities and the company's; return its path."""
    import certifi

    # mitmproxy's option takes the place of certifi's list, it does not add to it.
    public = Path(certifi.where()).read_text("utf-8")
    return _write_bundle(folder, "upstream", (*_certificates(public), *corporate.certificates))


def command_bundle(folder: Path, ca_file: Path, corporate: CorporateCa | None) -> Path:
    """Return the file that the command shall trust: the proxy's authority, and the company's if any.

    Hosts that are not Codex's are tunnelled, so the command has to verify those itself.

    Raises:
        LaunchError: ``ca_file`` cannot be read, or the bundle not be written.
    """
    return ca_file if corporate is None else _with_corporate(folder, "command", ca_file, corporate)


def node_bundle(folder: Path, ca_file: Path, before: str | None) -> Path:
    """Return the file that Node.js shall trust beside its own roots: the proxy's authority, and those of ``before``.

    Node ignores a file with a warning where it cannot read it or find a certificate in it, and so is ``before``
    ignored there: in one bundle with it, the proxy's authority would be ignored as well.

    Args:
        folder: where a bundle is written.
        ca_file: the certificate of the proxy's authority.
        before: the file that ``NODE_EXTRA_CA_CERTS`` names so far.

    Raises:
        LaunchError: ``ca_file`` cannot be read, or the bundle not be written.
    """
    if before is None or not ca_file.exists():
        return ca_file
    try:
        corporate = CorporateCa.read("NODE_EXTRA_CA_CERTS", before)
    except LaunchError:
        return ca_file
    return _with_corporate(folder, "node", ca_file, corporate)


def _with_corporate(folder: Path, kind: BundleKind, ca_file: Path, corporate: CorporateCa) -> Path:
    """Return a bundle of the authority and the company's, or ``ca_file`` where it has those already."""
    try:
        own = _certificates(ca_file.read_text("utf-8"))
    except OSError as error:
        raise LaunchError(f"the proxy's certificate {ca_file} cannot be read: {error.strerror}") from error
    if set(corporate.certificates) <= set(own):
        return ca_file
    return _write_bundle(folder, kind, (*own, *corporate.certificates))


def _make_authority(folder: Path) -> None:
    create_private_folder(folder)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        program = [sys.executable, "-P", "-c", _MAKE_AUTHORITY, str(aside)]
        subprocess.run(program, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        _put_in_place(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(aside: Path, folder: Path) -> None:
    # Only an empty folder can be replaced, so the first of two wins. Where bundles of an earlier authority
    # are left, the proxy makes the new one itself.
    with contextlib.suppress(OSError):
        if sys.platform == "win32":  # there not even an empty one can
            folder.rmdir()
        aside.rename(folder)


def _certificates(text: str) -> tuple[str, ...]:
    """Return the certificates of a PEM text, each once."""
    found = (re.sub(r"\s*\n\s*", "\n", block) for block in _CERTIFICATE.findall(text))
    return tuple(dict.fromkeys(found))


def _usable(certificates: Iterable[str]) -> bool:
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
