"""What a person would check when nothing comes in: each check says how it stands and what to do about it.

A problem is what keeps Codex or the tap from working as it is set up; a note is what one may want to know.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from scripts.launch import session
from scripts.launch.certificates import CorporateCa, ca_certificate
from scripts.launch.environment import CA_VARIABLE, find_corporate_ca, find_upstream, without_bypasses
from scripts.launch.proxy_log import log_files
from scripts.support.version import version
from store.database import open_reader
from store.errors import DatabaseError, MissingError
from store.files import backup_files, certificate_folder, log_folder, spill_files
from store.queries.health import load_losses, load_summary
from store.settings import DATABASE_VARIABLE, WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WINDOWS = sys.platform == "win32"
_OLD_SECONDS = 86_400
_CODEX_SECONDS = 20
_PROBE_SECONDS = 2.0
_FIRST_READING = "run Codex through the tap once: codex-tap run codex"


class Check(NamedTuple):
    """How one thing stands; `advice` says what to do where something is to be done."""

    name: str
    level: Literal["ok", "note", "problem"]
    message: str
    advice: str | None = None


def examine(database: Path, address: str, environ: Mapping[str, str], now: float) -> list[Check]:
    """Check everything; `address` is where a proxy would listen, `now` is in Unix seconds."""
    certificate = ca_certificate(certificate_folder())
    answering, proxy = _check_proxy(address, certificate)
    return [
        _check_programs(),
        *_check_database(database, now),
        *_check_beside(database),
        *_check_authority(certificate),
        *_check_log(log_folder()),
        proxy,
        *_check_environment(environ, address, certificate, answering=answering),
        _check_codex(environ),
    ]


def _check_programs() -> Check:
    mitmproxy = metadata.version("mitmproxy")
    message = f"codex-tap {version()}, Python {platform.python_version()}, mitmproxy {mitmproxy}"
    if sys.version_info < (3, 12):
        advice = "Python 3.12 or newer gets a newer mitmproxy with newer libraries; this one works, too"
        return Check("versions", "note", message, advice)
    return Check("versions", "ok", message)


def _check_database(path: Path, now: float) -> Iterator[Check]:
    name = "database"
    try:
        with contextlib.closing(open_reader(path)) as connection:
            found, lost = load_summary(connection), load_losses(connection)
    except MissingError:
        yield Check(name, "note", f"no reading yet; {path} is not there or empty", _FIRST_READING)
        return
    except (DatabaseError, sqlite3.Error, OSError) as error:
        yield Check(name, "problem", str(error), f"another file can be named with --db or {DATABASE_VARIABLE}")
        return
    if _is_private(path):
        yield Check(name, "ok", f"{path}: {found.snapshots:,} snapshots, accounts: {found.accounts}")
    else:
        yield Check(name, "problem", f"{path} can be read by others", f"chmod 600 {path}")
    yield _check_age(found.last_seen_at, now)
    if lost:
        reasons = "; ".join(f"that {reason}" for reason in lost.reasons)
        message = f"{lost.number:,} readings were dropped {reasons}; the last {_age(max(0, now - lost.last_at))} ago"
        yield Check("dropped", "note", message, "what came after them is kept; only the history has gaps")


def _check_beside(path: Path) -> Iterator[Check]:
    """Tell of the files that were left beside the database."""
    copies = backup_files(path)
    if copies:
        names = ", ".join(each.name for each in copies)
        yield Check(
            "copies", "note", f"beside the database lie {names}", "nothing needs them any more; delete them at will"
        )
    waiting = spill_files(path)
    if waiting:
        message = f"readings of an earlier stop wait in files: {len(waiting)}"
        yield Check("waiting", "note", message, "the next start of the proxy takes them up")


def _check_log(folder: Path) -> Iterator[Check]:
    """Name the newest log file; there is one only if the proxy had something to report."""
    for path in itertools.islice(log_files(folder), 1):
        yield Check("log", "note", f"the proxy's warnings are in {path}", "nothing to do while Codex works")


def _check_age(last_seen_at: float | None, now: float) -> Check:
    if last_seen_at is None:
        return Check("reading", "note", "no reading yet", _FIRST_READING)
    age = max(0, now - last_seen_at)
    message = f"the newest is {_age(age)} old"
    if age < _OLD_SECONDS:
        return Check("reading", "ok", message)
    return Check(
        "reading", "note", message, f"has Codex been used since? If so, it went past the tap: {_FIRST_READING}"
    )


def _age(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(seconds)} s"


def _check_authority(certificate: Path) -> Iterator[Check]:
    key = certificate.with_name("mitmproxy-ca.pem")
    if not certificate.exists() or not key.exists():
        yield Check("certificate", "note", "the proxy's own authority is not made yet; the first start makes it")
    elif not os.access(certificate, os.R_OK) or not os.access(key, os.R_OK):
        yield Check("certificate", "problem", f"{certificate} or its key cannot be read", f"chown it: {key.parent}")
    elif not _is_private(key):
        yield Check("certificate", "problem", f"its key {key} can be read by others", f"chmod 600 {key}")
    else:
        yield Check("certificate", "ok", f"{certificate}, its key is private")


def _is_private(path: Path) -> bool:
    """Tell whether only its owner can read a file; Windows keeps that in its folder's rights, not in a mode."""
    return _WINDOWS or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _check_proxy(address: str, certificate: Path) -> tuple[bool, Check]:
    try:
        session.probe(address, certificate, seconds=_PROBE_SECONDS)
    except session.LaunchError as error:
        if error.exit_code == 2:
            raise
        # It is needed only where a shell leads there, and that is checked with the shell's environment.
        return False, Check("proxy", "note", str(error), "codex-tap run needs none, it starts its own")
    return True, Check("proxy", "ok", f"a codex-tap proxy answers at {address}")


def _check_environment(
    environ: Mapping[str, str], address: str, certificate: Path, *, answering: bool
) -> Iterator[Check]:
    name = "environment"
    try:
        upstream = find_upstream(environ, windows=_WINDOWS)
        corporate = find_corporate_ca(environ, windows=_WINDOWS)
        if corporate:
            CorporateCa.read(*corporate)
    except session.LaunchError as error:
        yield Check(name, "problem", str(error), "set it right, or take it away")
        return
    leads_here = upstream is not None and upstream.url == f"http://{address}"
    if upstream and not leads_here:
        yield Check(name, "ok", f"this shell has a proxy, {upstream.url}; the tap passes everything on to it")
    elif not upstream:
        yield Check(name, "ok", "this shell has no proxy: only codex-tap run leads through the tap from here")
    elif not answering:
        message = f"this shell leads to {address}, where no codex-tap proxy answers: nothing gets out of it"
        yield Check(name, "problem", message, "start codex-tap proxy there, or unset HTTPS_PROXY https_proxy")
    else:
        yield from _check_way_in(environ, certificate, f'eval "$(codex-tap env --proxy {address})"')


def _check_way_in(environ: Mapping[str, str], certificate: Path, set_right: str) -> Iterator[Check]:
    """Check a shell that leads to the proxy: does Codex go there, and does it trust what it meets?"""
    name, found = "environment", False
    for variable in ("NO_PROXY", "no_proxy"):
        value = environ.get(variable, "")
        if without_bypasses(value, WATCHED_HOSTS) != value:
            found = True
            yield Check(name, "problem", f"{variable}={value} leads Codex past the proxy", set_right)
    if not _trusts(environ.get(CA_VARIABLE), certificate):
        found = True
        yield Check(name, "problem", f"{CA_VARIABLE} does not name the proxy's certificate", set_right)
    if not found:
        yield Check(name, "ok", "this shell leads Codex through the proxy")


def _trusts(named: str | None, certificate: Path) -> bool:
    """Tell whether the file a variable names holds the proxy's certificate; it may hold others as well."""
    try:
        trusted = Path(named or "").read_text("utf-8", "replace")
        return "".join(certificate.read_text("utf-8").split()) in "".join(trusted.split())
    except OSError:
        return False


def _check_codex(environ: Mapping[str, str]) -> Check:
    codex = shutil.which("codex", path=environ.get("PATH"))
    if codex is None:
        return Check("codex", "problem", "not found", "get it with: npm install -g @openai/codex")
    try:
        answer = subprocess.run(
            [codex, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CODEX_SECONDS,
            check=True,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("codex", "problem", f"{codex} does not tell its version: {error}", "npm install -g @openai/codex")
    told = re.search(r"\d+\.\d+\.\d+\S*", answer.stdout)
    return Check("codex", "ok", f"{told[0] if told else 'of an unknown version'} ({codex})")
