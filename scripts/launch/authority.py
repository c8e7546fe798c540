"""Checks, makes and replaces the files of the proxy's certificate authority.

``mitmproxy-ca.pem`` has the key and its certificate, which mitmproxy uses. ``mitmproxy-ca-cert.pem`` has the same
certificate once more, which commands trust.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from store.files import (
    AUTHORITY_FOLDER_SUFFIXES,
    authority_lock_path,
    create_private_folder,
    locked,
    set_aside,
    write_private,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

KEY = "mitmproxy-ca.pem"
PUBLIC = "mitmproxy-ca-cert.pem"
_DH_PARAMETERS = "mitmproxy-dhparam.pem"
# In the order in which they are written: without the key, the other files count for nothing.
_ALL = ("mitmproxy-ca.p12", "mitmproxy-ca-cert.p12", "mitmproxy-ca-cert.cer", _DH_PARAMETERS, PUBLIC, KEY)

# mitmproxy makes its key private; the modes of its other files depend on the umask.
_CREATE = (
    "import os, pathlib, sys; from mitmproxy.certs import CertStore; os.umask(0o077); "
    "CertStore.create_store(pathlib.Path(sys.argv[1]), 'mitmproxy', 2048)"
)
_CREATE_SECONDS = 120
_EXPIRES_SOON_SECONDS = 86_400

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class Damage(NamedTuple):
    """Why an authority cannot be used, as a sentence's predicate, and the names of the files to be made anew."""

    reason: str
    files: tuple[str, ...]


class _UnusableError(Exception):
    """A file cannot be used; the message is the reason."""


def is_missing(folder: Path) -> bool:
    """Return True if there is no authority yet."""
    return not any(_is_there(folder / name) for name in (KEY, PUBLIC))


def find_damage(folder: Path, now: float | None = None) -> Damage | None:
    """Return why the authority in ``folder`` cannot be used, or None if it can. A missing one is damaged.

    Args:
        folder: the folder of the authority.
        now: in Unix seconds.
    """
    try:
        own = _check_key(folder / KEY, time.time() if now is None else now)
    except _UnusableError as problem:
        return Damage(str(problem), _ALL)
    try:
        if _read_certificates(folder / PUBLIC) != own:
            return Damage(f"{PUBLIC} is not the certificate of the key", (PUBLIC,))
    except _UnusableError as problem:
        return Damage(str(problem), (PUBLIC,))
    return _find_damage_of_parameters(folder / _DH_PARAMETERS)


def repair(folder: Path) -> tuple[Damage, list[Path]] | None:
    """Set damaged files aside and make new ones; create the authority if it is missing.

    Another process may do the same at the same time: one of them repairs, and the other finds nothing to do.

    Returns:
        The damage and the new paths of the files that were set aside, or None if nothing was damaged.

    Raises:
        OSError: the folder cannot be written.
        subprocess.SubprocessError: mitmproxy cannot create an authority.
    """
    create_private_folder(folder)
    with locked(authority_lock_path(folder), wait=True):
        damage = find_damage(folder)
        if damage is None:
            return None
        _delete_unfinished(folder)
        aside = [set_aside(folder / name) for name in reversed(damage.files) if _is_there(folder / name)]
        if damage.files == (PUBLIC,):
            certificates = pem_certificates((folder / KEY).read_text("utf-8", "replace"))
            write_private(folder / PUBLIC, "".join(f"{each}\n" for each in certificates).encode())
        else:
            _create(folder, damage.files)
        return damage, aside


def pem_certificates(text: str) -> tuple[str, ...]:
    """Return the certificates of a PEM text without duplicates."""
    found = (re.sub(r"\s*\n\s*", "\n", block) for block in _CERTIFICATE.findall(text))
    return tuple(dict.fromkeys(found))


def _check_key(path: Path, now: float) -> set[bytes]:
    """Return the certificates (DER) beside the key, of which the first belongs to it."""
    import ssl

    _check_readable(path)
    try:
        # It also compares the key with the certificate. An encrypted key would ask for a password.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: b"")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        reason = "has a key and a certificate that do not belong together" if mismatch else "is damaged"
        raise _UnusableError(f"{path.name} {reason}") from error
    except (OSError, ValueError) as error:
        raise _UnusableError(f"{path.name} is damaged") from error
    context = _trust(path)
    for certificate in context.get_ca_certs():
        if now < ssl.cert_time_to_seconds(str(certificate["notBefore"])):
            raise _UnusableError(f"its certificate is not valid before {certificate['notBefore']}")
        if now > ssl.cert_time_to_seconds(str(certificate["notAfter"])) - _EXPIRES_SOON_SECONDS:
            raise _UnusableError(f"its certificate expires on {certificate['notAfter']}")
    found = set(context.get_ca_certs(binary_form=True))
    if not found:
        raise _UnusableError(f"{path.name} has no certificate of an authority")
    return found


def _read_certificates(path: Path) -> set[bytes]:
    """Return the certificates (DER) of authorities in a file."""
    _check_readable(path)
    return set(_trust(path).get_ca_certs(binary_form=True))


def _find_damage_of_parameters(path: Path) -> Damage | None:
    import ssl

    if not _is_there(path):  # mitmproxy makes it
        return None
    try:
        _check_readable(path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_dh_params(str(path))
    except _UnusableError as problem:
        return Damage(str(problem), (_DH_PARAMETERS,))
    except OSError:
        return Damage(f"{path.name} is damaged", (_DH_PARAMETERS,))
    return None


def _trust(path: Path) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise _UnusableError(f"{path.name} is damaged") from error
    return context


def _check_readable(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _UnusableError(f"{path.name} is not a regular file")
        path.open("rb").close()
    except FileNotFoundError as error:
        raise _UnusableError(f"{path.name} is missing") from error
    except OSError as error:
        raise _UnusableError(f"{path.name} cannot be read: {error.strerror}") from error


def _is_there(path: Path) -> bool:
    """Return True if there is anything at a path, a broken link included."""
    return os.path.lexists(path)


def _create(folder: Path, names: Iterable[str]) -> None:
    """Let mitmproxy create an authority elsewhere, and write these of its files to ``folder``."""
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        subprocess.run(
            [sys.executable, "-E", "-P", "-c", _CREATE, str(temporary)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CREATE_SECONDS,
        )
        for name in names:
            write_private(folder / name, (temporary / name).read_bytes())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _delete_unfinished(folder: Path) -> None:
    """Delete what an interrupted creation left behind, which may be a key."""
    unfinished = re.compile(re.escape(folder.name) + AUTHORITY_FOLDER_SUFFIXES)
    for each in folder.parent.iterdir():
        if each.name != folder.name and unfinished.fullmatch(each.name) and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
