"""The program of `codex-tap demo`: turns of two made-up accounts through the real proxy, to a stand-in on this machine.

The database, the certificates and Codex's home are in a temporary folder, which is deleted at the end.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient
from scripts.demo.codex import exec_turn, find_codex, log_in
from scripts.demo.replies import Answer, WireWindow, credits_object, limit_headers, rate_limits_event
from scripts.launch.certificates import ca_certificate
from scripts.launch.environment import CA_VARIABLE, command_environment
from scripts.launch.session import managed_proxy
from scripts.support.database import open_for_reading
from store.queries.accounts import load_accounts
from store.queries.status import load_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.documents import StatusDocument

    Report = Callable[[str], None]

_HOUR, _DAY = 3_600, 86_400


class _Person(NamedTuple):
    """A made-up account, and the stand-in's response to it."""

    account_id: str
    user_id: str
    email: str
    plan: str
    answer: Answer


def play(report: Report) -> StatusDocument:
    """Do it all and return the document of ``status --json``; `report` takes a line for each thing done.

    Raises:
        LaunchError: the proxy did not start.
    """
    with contextlib.ExitStack() as stack:
        # On Windows a file may stay open shortly after the end of the program that used it.
        temporary = tempfile.TemporaryDirectory(prefix="codex-tap-demo-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        backend = stack.enter_context(Backend())
        report(f"A stand-in for OpenAI's backend listens at {backend.proxy_url}.")
        database = folder / "demo.sqlite3"
        with _proxy(folder, backend, database) as address:
            report(f"The proxy with the tap listens at {address} and forwards to the stand-in.")
            _take_turns(folder, backend, address, report)
        with open_for_reading(database) as connection:
            return load_status(connection, time.time(), load_accounts(connection))


def _people(now: int) -> list[_Person]:
    """Return two typical accounts: one with both windows, and one near its limit that has a second limit."""
    before, after = (WireWindow(used, 300, now + 2 * _HOUR + 1_799, 2 * _HOUR + 1_799) for used in (12, 15))
    week = WireWindow(41, 10_080, now + 3 * _DAY + 4 * _HOUR, 3 * _DAY + 4 * _HOUR)
    ann = Answer(
        headers=limit_headers(before, week, plan="plus", active="premium", credits=credits_object()),
        events=[rate_limits_event(after, week, plan="plus")],
    )
    full = WireWindow(88.5, 10_080, now + 17 * _HOUR + 1_200, 17 * _HOUR + 1_200)
    spark = (WireWindow(64, 300, now + 4_000, 4_000), WireWindow(9, 10_080, now + 5 * _DAY, 5 * _DAY))
    some_credits = credits_object(has=True, balance="9.5")
    ben = Answer(
        headers={
            **limit_headers(full, plan="pro", active="premium", credits=some_credits),
            **limit_headers(*spark, family="bengalfox", limit_name="GPT-5.3-Codex-Spark"),
        }
    )
    return [
        _Person("demo-account-1", "demo-user-1", "ann@example.com", "plus", ann),
        _Person("demo-account-2", "demo-user-2", "ben@example.com", "pro", ben),
    ]


@contextlib.contextmanager
def _proxy(folder: Path, backend: Backend, database: Path) -> Iterator[str]:
    """Run the proxy as ``codex-tap run`` does, with the stand-in as its upstream; yield its address.

    When the context ends, everything is recorded.
    """
    # The stand-in takes the place of a company's proxy with a certificate authority of its own.
    environ = {**_own_environment(), "HTTPS_PROXY": backend.proxy_url, CA_VARIABLE: str(backend.ca_file)}
    with managed_proxy(database=database, folder=_authority(folder), environ=environ) as process:
        yield process.wait_until_ready()


def _authority(folder: Path) -> Path:
    return folder / "ca"


def _take_turns(folder: Path, backend: Backend, address: str, report: Report) -> None:
    codex = find_codex()
    if codex is None:
        report("Codex was not found here, so a small client takes its place.")
    for person in _people(int(time.time())):
        backend.answer(person.answer, account=person.account_id)
        home = folder / person.account_id
        token = log_in(home, person.account_id, person.user_id, email=person.email, plan=person.plan)
        if codex and not _codex_turn(codex, folder, person, address):
            report("This Codex did not finish its turn, so a small client takes its place.")
            codex = None
        if codex is None:
            _client_turn(folder, person, token, address)
        who = "The small client" if codex is None else "The real Codex CLI"
        report(f"{who} took a turn as {person.email} ({person.plan}).")


def _codex_turn(codex: str, folder: Path, person: _Person, address: str) -> bool:
    """Take a turn with the real Codex; return True if it succeeds."""
    user = folder / "user"
    user.mkdir(exist_ok=True)
    authority = str(ca_certificate(_authority(folder)))
    environment = command_environment(
        {**_own_environment(), "HOME": str(user), "USERPROFILE": str(user), "HTTP_PROXY": f"http://{address}"},
        proxy_url=f"http://{address}",
        ca_file=authority,
        node_ca_file=authority,
        gateways=(),
        windows=sys.platform == "win32",
    )
    try:
        return exec_turn(codex, folder / person.account_id, "say ok", environment).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _client_turn(folder: Path, person: _Person, token: str, address: str) -> None:
    authority = ca_certificate(_authority(folder))
    with CodexClient(f"http://{address}", [authority], token=token, account_id=person.account_id) as client:
        client.websocket_turn("say ok")


_LEFT_OUT = ("proxy", "codex_", "openai_", "ssl_cert_")


def _own_environment() -> dict[str, str]:
    """Return this environment without its proxies and their exceptions, its logins and its certificates."""
    return {name: value for name, value in os.environ.items() if not any(part in name.lower() for part in _LEFT_OUT)}
