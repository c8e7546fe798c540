"""Checks of the set-up, for when nothing is recorded: each has a result, and advice where something is to be done.

A problem keeps Codex or the tap from working as configured; a note is for information.
"""

from __future__ import annotations

import itertools
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

from scripts.launch import authority, session
from scripts.launch.certificates import CorporateCa, ca_certificate
from scripts.launch.environment import CA_VARIABLE, find_corporate_ca, find_upstream, without_bypasses
from scripts.launch.proxy_log import log_files
from scripts.support.database import open_for_reading
from scripts.support.version import version
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
    """The result of a check; `advice` is None if nothing is to be done."""

    name: str
    level: Literal["ok", "note", "problem"]
    message: str
    advice: str | None = None


def examine(database: Path, address: str, environ: Mapping[str, str], now: float) -> list[Check]:
    """Run all checks.

    Args:
        database: the database in use.
        address: ``host:port`` at which a shared proxy would listen.
        environ: the environment of the shell.
        now: in Unix seconds.
    """
    certificate = ca_certificate(certificate_folder())
    is_running, proxy = _check_proxy(address, certificate)
    return [
        _check_programs(),
        *_check_database(database, now),
        *_check_beside(database),
        *_check_authority(certificate),
        *_check_log(log_folder()),
        proxy,
        *_check_environment(environ, address, certificate, is_running=is_running),
        _check_codex(environ),
    ]


def _check_programs() -> Check:
    mitmproxy = metadata.version("mitmproxy")
    message = f"codex-tap {version()}, Python {platform.python_version()}, mitmproxy {mitmproxy}"
    if sys.version_info < (3, 12):
        advice = "this works; Python 3.12 or newer gets a newer mitmproxy with newer libraries"
        return Check("versions", "note", message, advice)
    return Check("versions", "ok", message)


def _check_database(path: Path, now: float) -> Iterator[Check]:
    name = "database"
    try:
        with open_for_reading(path) as connection:
            found, lost = load_summary(connection), load_losses(connection)
    except MissingError:
        yield Check(name, "note", f"no readings yet; {path} is missing or empty", _FIRST_READING)
        return
    except (DatabaseError, sqlite3.Error, OSError) as error:
        yield Check(name, "problem", str(error), f"use another file with --db or {DATABASE_VARIABLE}")
        return
    if _is_private(path):
        yield Check(name, "ok", f"{path}, snapshots: {found.snapshots:,}, accounts: {found.accounts}")
    else:
        yield Check(name, "problem", f"other users can read {path}", f"chmod 600 {path}")
    yield _check_age(found.last_seen_at, now)
    if lost:
        reasons, age = "; ".join(lost.reasons), _age(max(0, now - lost.last_at))
        message = f"readings dropped: {lost.number:,}, the last one {age} ago: {reasons}"
        yield Check("dropped", "note", message, "the history has gaps; later readings are stored")


def _check_beside(path: Path) -> Iterator[Check]:
    """Report the files beside the database that do not belong to its normal operation."""
    copies = backup_files(path)
    if copies:
        names = ", ".join(each.name for each in copies)
        yield Check("copies", "note", f"old copies beside the database: {names}", "safe to delete")
    waiting = spill_files(path)
    if waiting:
        message = f"files with readings that are not in the database yet: {len(waiting)}"
        yield Check("waiting", "note", message, "the next start of the proxy imports them")


def _check_log(folder: Path) -> Iterator[Check]:
    """Report the newest log file; it exists only if the proxy logged a warning."""
    for path in itertools.islice(log_files(folder), 1):
        yield Check("log", "note", f"the proxy's warnings are in {path}", "no action is needed while Codex works")


def _check_age(last_seen_at: float | None, now: float) -> Check:
    if last_seen_at is None:
        return Check("reading", "note", "no readings yet", _FIRST_READING)
    age = max(0, now - last_seen_at)
    message = f"the newest reading is {_age(age)} old"
    if age < _OLD_SECONDS:
        return Check("reading", "ok", message)
    return Check("reading", "note", message, f"if Codex was used since then, it bypassed the tap; {_FIRST_READING}")


def _age(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(seconds)} s"


def _check_authority(certificate: Path) -> Iterator[Check]:
    name, key = "certificate", certificate.with_name(authority.KEY)
    if authority.is_missing(certificate.parent):
        yield Check(name, "note", "no certificate authority yet; the first start of the proxy creates it")
        return
    damage = authority.find_damage(certificate.parent)
    if damage is not None:
        advice = "the next start of the proxy makes a new one; then restart the commands that run through codex-tap"
        yield Check(name, "problem", f"the certificate authority in {key.parent} is unusable: {damage.reason}", advice)
    elif not _is_private(key):
        yield Check(name, "problem", f"other users can read its key {key}", f"chmod 600 {key}")
    else:
        yield Check(name, "ok", f"{certificate}, its key is private")


def _is_private(path: Path) -> bool:
    """Return True if only its owner can read a file. On Windows the access rights of its folder ensure that."""
    return _WINDOWS or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _check_proxy(address: str, certificate: Path) -> tuple[bool, Check]:
    try:
        session.probe(address, certificate, seconds=_PROBE_SECONDS)
    except session.LaunchError as error:
        if error.exit_code == 2:
            raise
        # A problem only if the shell leads there, which the check of the environment reports.
        return False, Check("proxy", "note", str(error), "codex-tap run does not need it, it starts its own proxy")
    return True, Check("proxy", "ok", f"a codex-tap proxy runs at {address}")


def _check_environment(
    environ: Mapping[str, str], address: str, certificate: Path, *, is_running: bool
) -> Iterator[Check]:
    name = "environment"
    try:
        upstream = find_upstream(environ, windows=_WINDOWS)
        corporate = find_corporate_ca(environ, windows=_WINDOWS)
        if corporate:
            CorporateCa.read(*corporate)
    except session.LaunchError as error:
        yield Check(name, "problem", str(error), "correct the variable, or unset it")
        return
    leads_here = upstream is not None and upstream.url == f"http://{address}"
    if upstream and not leads_here:
        yield Check(name, "ok", f"this shell uses the proxy {upstream.url}; the tap forwards everything to it")
    elif not upstream:
        yield Check(name, "ok", "this shell uses no proxy, so only codex-tap run goes through the tap")
    elif not is_running:
        message = f"this shell uses the proxy {address}, which does not run: its programs have no network access"
        yield Check(name, "problem", message, "start codex-tap proxy there, or unset HTTPS_PROXY https_proxy")
    else:
        yield from _check_route(environ, certificate, f'eval "$(codex-tap env --proxy {address})"')


def _check_route(environ: Mapping[str, str], certificate: Path, advice: str) -> Iterator[Check]:
    """Check that Codex in a shell that uses the proxy goes through it and trusts its certificate."""
    name, found = "environment", False
    for variable in ("NO_PROXY", "no_proxy"):
        value = environ.get(variable, "")
        if without_bypasses(value, WATCHED_HOSTS) != value:
            found = True
            yield Check(name, "problem", f"{variable}={value} makes Codex bypass the proxy", advice)
    if not _trusts(environ.get(CA_VARIABLE), certificate):
        found = True
        yield Check(name, "problem", f"{CA_VARIABLE} does not name the proxy's certificate", advice)
    if not found:
        yield Check(name, "ok", "Codex in this shell goes through the proxy")


def _trusts(named: str | None, certificate: Path) -> bool:
    """Return True if the file that a variable names has the proxy's certificate, alone or among others."""
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
        completed = subprocess.run(
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
        return Check(
            "codex", "problem", f"{codex} --version fails: {error}", "reinstall it with: npm install -g @openai/codex"
        )
    match = re.search(r"\d+\.\d+\.\d+\S*", completed.stdout)
    return Check("codex", "ok", f"{match[0] if match else 'unknown version'} ({codex})")
