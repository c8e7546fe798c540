"""A real PostgreSQL in a temporary folder, run as an unprivileged user, with a database for each test that asks."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, Self

from store.team.schema import install
from tests.support.harness import required

if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    import psycopg

ADMIN = "postgres"
"""The superuser of the server; a connection by the socket needs no password, whatever its user."""

_USERS = ("nobody", "postgres")
_START_SECONDS = 60
_STOP_SECONDS = 20

# The data of a test may go with the machine; `durable` servers keep PostgreSQL's own defaults.
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "130",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


_WATCH = ("sh", "-c", 'read -r nothing || kill -INT "$0"')


def find_programs() -> str | None:
    """Return the folder of PostgreSQL's server programs, or None."""
    folders = []
    config = shutil.which("pg_config")
    if config:
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip() or "/nowhere"))
    # Debian keeps them out of the PATH; its pg_config knows them with the package libpq-dev alone.
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name), reverse=True)
    return next((str(each) for each in folders if (each / "initdb").is_file()), None)


def require_postgres() -> Path:
    """Return the folder of the programs; without, skip the test, or fail it if `CODEX_TAP_REQUIRE_POSTGRES` is 1."""
    reason = "no PostgreSQL: install it (Debian's package postgresql), so that pg_config --bindir names its programs"
    return Path(required(find_programs(), reason, "CODEX_TAP_REQUIRE_POSTGRES"))


class PostgresServer:
    """A server on a socket of its own while the `with` block lasts.

    settings: more lines for postgresql.conf.
    files: written into the data folder, as private files of the server's user: pg_hba.conf, or keys.
    durable: keeps what is committed through a crash of the machine, as a real server does.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        *,
        durable: bool = False,
    ) -> None:
        self._programs = require_postgres()
        self._numbers = itertools.count(1)
        # A socket's path has room for 107 bytes.
        short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108 (only the start of the path)
        self.folder = Path(tempfile.mkdtemp(prefix="codex-tap-pg-", dir=short))
        self.data = self.folder / "data"
        self._settings = {**_SETTINGS, **({} if durable else _QUICK), **(settings or {})}
        self._files = files or {}
        self.port = int(self._settings["port"])
        self._team_template: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """The server's log."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it can be used; after `kill` until what it left behind is free."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._programs / "postgres", "-D", self.data],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    **_as_unprivileged(),
                )
            while self._process.poll() is None:
                if self._accepts():
                    # Its input ends with this process, however that ends.
                    watch = [*_WATCH, str(self._process.pid)]
                    self._watcher = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"PostgreSQL did not start:\n{self.log}")
                time.sleep(0.02)
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL ended with {self._process.returncode}:\n{self.log}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server: its connections are cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server as a crash would; its connections' processes notice and end."""
        self._end(signal.SIGKILL)

    def url(self, database: str, user: str = ADMIN) -> str:
        """Return the URL of a database, by the socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def connect(self, database: str = "postgres", user: str = ADMIN) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection; each statement is a transaction of its own."""
        import psycopg

        return psycopg.connect(self.url(database, user), autocommit=True)

    def create_database(self, template: str = "template1") -> str:
        """Return the name of a new database."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return name

    def create_team_database(self) -> str:
        """Return the name of a new database with the schema of a team's database, empty."""
        if self._team_template is None:
            self._team_template = self.create_database()
            with contextlib.closing(self.connect(self._team_template)) as connection:
                install(connection)
        return self.create_database(self._team_template)

    def execute(self, statement: LiteralString | bytes, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser; return its rows."""
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _initialize(self) -> None:
        user = _unprivileged()
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        options = ["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--auth=trust", f"-U{ADMIN}"]
        done = subprocess.run(
            [self._programs / "initdb", *options, "-D", self.data],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **_as_unprivileged(),
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        settings = {"unix_socket_directories": str(self.folder), **self._settings}
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        for name, content in self._files.items():
            path = self.data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if user:
                os.chown(path, user.pw_uid, user.pw_gid)

    def _accepts(self) -> bool:
        asked = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)],
            env={"PATH": os.environ.get("PATH", "")},
            check=False,
        )
        return asked.returncode == 0

    def _end(self, sent: signal.Signals) -> None:
        process, self._process = self._process, None
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill()
            watcher.communicate()
        if process is None or process.poll() is not None:
            return
        process.send_signal(sent)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(_STOP_SECONDS)


@functools.cache
def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user for a server of root's, because PostgreSQL refuses to run as root; None for any other user."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user {' or '.join(_USERS)}")


def _as_unprivileged() -> dict[str, Any]:
    user = _unprivileged()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a quick server while the `with` block lasts."""
    with PostgresServer() as server:
        yield server
