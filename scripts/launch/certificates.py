"""The proxy's certificate authority, and bundles of its certificate with those of a company."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch import authority
from scripts.launch.authority import pem_certificates
from scripts.support.errors import LaunchError
from scripts.support.output_queue import STDERR
from store.files import bundle_file, has_content, read_whole, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.launch.authority import Damage
    from store.files import BundleKind


MAX_BUNDLE_BYTES = 16_000_000
"""Bytes of a file of certificates that is read; the largest lists of public ones have half a million."""


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
            text = read_whole(Path(path), MAX_BUNDLE_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise LaunchError(f"{variable} names {path}, which cannot be read: {error.strerror}") from error
        certificates = pem_certificates(text)
        if not certificates or not _are_usable(certificates):
            raise LaunchError(f"{variable} names {path}, which has no usable certificate (PEM)")
        return cls(certificates)


def ca_certificate(folder: Path) -> Path:
    """Return the path of the certificate of the authority in ``folder``; it need not exist."""
    return folder / authority.PUBLIC


def ensure_authority(folder: Path) -> Path:
    """Create the authority if it is missing, replace it if it is damaged, and return the path of its certificate.

    A line on stderr reports a replacement.

    Raises:
        LaunchError: the folder cannot be written.
    """
    if authority.find_damage(folder) is not None:
        try:
            repaired = authority.repair(folder)
        except subprocess.SubprocessError as error:
            raise LaunchError(f"no certificate authority can be created in {folder}: {_reason(error)}") from error
        except OSError as error:
            advice = f"make {folder} a folder that you can write to"
            reason = error.strerror or error
            raise LaunchError(f"no certificate authority can be created in {folder}: {reason}; {advice}") from error
        if repaired and repaired[1]:
            STDERR.put(f"codex-tap: {_repair_message(folder, *repaired)}")
    return ca_certificate(folder)


def upstream_bundle(folder: Path, corporate: CorporateCa) -> Path:
    """Write the certificates that the proxy is to trust, public ones and a company's; return the path."""
    import certifi

    # mitmproxy's option replaces certifi's list.
    public = Path(certifi.where()).read_text("utf-8")
    return _write_bundle(folder, "upstream", (*pem_certificates(public), *corporate.certificates))


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
        own = pem_certificates(read_whole(ca_file, MAX_BUNDLE_BYTES).decode("utf-8", "replace"))
    except OSError as error:
        raise LaunchError(f"the proxy's certificate {ca_file} cannot be read: {error.strerror}") from error
    if set(corporate.certificates) <= set(own):
        return ca_file
    return _write_bundle(folder, kind, (*own, *corporate.certificates))


def _repair_message(folder: Path, damage: Damage, aside: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in aside)
    return (
        f"the certificate authority in {folder} was made anew: {damage.reason}; "
        f"restart the commands and proxies that run through codex-tap (set aside: {names})"
    )


def _reason(error: subprocess.SubprocessError) -> str:
    """Return the last line of what the program printed, without its traceback."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode("utf-8", "replace").splitlines()
        return lines[-1] if lines else f"exit code {error.returncode}"
    return "mitmproxy does not respond"


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
    try:
        if has_content(path, content):
            return path
        write_private(path, content)
    except OSError as error:
        raise LaunchError(f"{path} cannot be written: {error.strerror}") from error
    return path
