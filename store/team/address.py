"""Reads the address of a team's database, and connects to it.

An argument holds no password, because every user of the machine can read the arguments of a program. Beyond this
machine a connection is encrypted, and the server proves that it is the host that was named. No message repeats a
password.
"""

from __future__ import annotations

import configparser
import contextlib
import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from store.errors import DatabaseError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_CHECKED = "verify-full"
_CONNECT_SECONDS = 10

_TRIED = re.compile(r"(connection failed: )?connection to server (at|on socket) \"[^\"]*\"[^:]*: (FATAL: +)?")
"""What libpq says before the reason: the address, which every message names already."""


class TeamAddress(NamedTuple):
    """Where a team's database is.

    parameters: what psycopg connects with, perhaps a password among them.
    shown: the address for people, without one.
    """

    parameters: Mapping[str, str]
    shown: str

    def __repr__(self) -> str:
        return f"TeamAddress({self.shown!r})"

    def __str__(self) -> str:
        return self.shown


def read_address(text: str, *, is_argument: bool, environment: Mapping[str, str] = os.environ) -> TeamAddress:
    """Return the address that a URL names, with what its service and the environment add.

    Args:
        text: A URL, as PostgreSQL's own programs take it.
        is_argument: Whether it came from the command line, where it may hold no password.
        environment: PostgreSQL's variables (PGHOST and the like).

    Raises:
        SettingError: The URL cannot be read, holds a password where it must not, or leads over a network unprotected.
        DatabaseError: psycopg is not installed.
    """
    given = _parsed(text)
    if is_argument and any(given.get(name) for name in _SECRETS):
        raise SettingError(
            "the address of a team's database holds a password, which other users of this machine could read: "
            "leave it out, and put it into ~/.pgpass, a service file or the environment variable PGPASSWORD"
        )
    service = given.pop("service", None) or environment.get("PGSERVICE")
    parameters = {**(_of_service(service, environment) if service else {}), **given}
    if not _is_local(parameters, environment):
        _require_checked_host(parameters, environment)
    return TeamAddress(parameters, _shown(parameters, service))


@contextlib.contextmanager
def explained(address: TeamAddress) -> Iterator[None]:
    """Turn a failure of psycopg into one of the database, named by its address.

    Raises:
        DatabaseError: psycopg has raised an error meanwhile.
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise DatabaseError(f"{address.shown}: {_reason(error)}") from None


def connect(address: TeamAddress, **options: Any) -> psycopg.Connection[Any]:
    """Open a connection; each statement outside a transaction is one of its own.

    Args:
        address: Where to.
        options: Further arguments of `psycopg.connect`.

    Raises:
        DatabaseError: There is no connection to be had; the message has the server's reason.
    """
    import psycopg

    with explained(address):
        wanted = {"autocommit": True, "connect_timeout": _CONNECT_SECONDS, "application_name": "codex-tap"}
        return psycopg.connect(**{**wanted, **address.parameters, **options})


def _parsed(text: str) -> dict[str, str]:
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise DatabaseError(
            "a team's database needs psycopg: install it with pip install 'codex-tap[team]', or pipx inject codex-tap "
            "'psycopg[binary]'"
        ) from None
    try:
        found = conninfo_to_dict(text)
    except ProgrammingError:
        # PostgreSQL's own message repeats the address.
        raise SettingError(
            "the address of a team's database cannot be read: it has the form postgresql://USER@HOST/DATABASE or "
            "postgresql://?service=NAME"
        ) from None
    return {name: str(value) for name, value in found.items() if value not in {None, ""}}


def _of_service(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a service file says of a service; libpq would read it too late for the checks."""
    named = environment.get("PGSERVICEFILE")
    system = environment.get("PGSYSCONFDIR")
    files = [Path(named) if named else Path.home() / ".pg_service.conf"]
    files += [Path(system) / "pg_service.conf"] if system else []
    for file in files:
        parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False)
        try:
            parser.read_string(file.read_text(encoding="utf-8"))
        except OSError:
            continue
        except (configparser.Error, ValueError):
            raise SettingError(f"{file} cannot be read: it has lines name=value under [SERVICE]") from None
        if parser.has_section(name):
            return dict(parser.items(name))
    raise SettingError(f"there is no service {name!r} in {' or '.join(map(str, files))}")


def _is_local(parameters: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    """Return True if the connection stays on this machine: by a socket, or by a loopback address."""
    where = parameters.get("hostaddr") or environment.get("PGHOSTADDR")
    where = where or parameters.get("host") or environment.get("PGHOST") or ""
    return all(_is_local_host(host) for host in where.split(","))


def _is_local_host(host: str) -> bool:
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_checked_host(parameters: dict[str, str], environment: Mapping[str, str]) -> None:
    """Make the server prove who it is: by your authority if you named one, else by a public one."""
    mode = parameters.get("sslmode") or environment.get("PGSSLMODE") or _CHECKED
    if mode != _CHECKED:
        raise SettingError(
            f"sslmode={mode} does not check that the server is the host that was named: leave it out, or use "
            f"sslmode={_CHECKED}, with the certificate of your authority in sslrootcert"
        )
    parameters["sslmode"] = mode
    if parameters.get("sslrootcert") or environment.get("PGSSLROOTCERT"):
        return
    if not (Path.home() / ".postgresql" / "root.crt").is_file():
        import certifi

        parameters["sslrootcert"] = certifi.where()


def _shown(parameters: Mapping[str, str], service: str | None) -> str:
    if service:
        return f"postgresql://?service={service}"
    user = f"{parameters['user']}@" if "user" in parameters else ""
    host = parameters.get("host", "")
    port = f":{parameters['port']}" if "port" in parameters else ""
    shown = f"postgresql://{user}{'' if host.startswith('/') else host + port}/{parameters.get('dbname', '')}"
    return f"{shown}?host={host}" if host.startswith("/") else shown


def _reason(error: psycopg.Error) -> str:
    """Return the first line of what the server or libpq says; it never repeats the password."""
    told = error.diag.message_primary or str(error).strip() or type(error).__name__
    return _TRIED.sub("", told.splitlines()[0])


def url_of_role(address: TeamAddress, database: str, role: str) -> str:
    """Return the URL by which another role reaches a database of the same server, without a password."""
    from urllib.parse import quote, urlencode

    given = address.parameters
    host, port = given.get("host", ""), given.get("port")
    where = "" if host.startswith("/") else host + (f":{port}" if port else "")
    options = {"host": host, **({"port": port} if port else {})} if host.startswith("/") else {}
    authority = given.get("sslrootcert")
    if authority and not _is_certifi(authority):
        options["sslrootcert"] = authority
    query = f"?{urlencode(options, safe='/')}" if options else ""
    return f"postgresql://{quote(role)}@{where}/{quote(database)}{query}"


def pgpass_line(connection: psycopg.Connection[Any], role: str, password: str) -> str:
    """Return the line of ``~/.pgpass`` by which a role logs in to the database of a connection."""
    info = connection.info
    fields = (info.host or "localhost", str(info.port), info.dbname, role, password)
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)


def _is_certifi(path: str) -> bool:
    import certifi

    return path == certifi.where()
