"""The real Codex, which a response of chatgpt.com leads to another host of the backend."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import exec_turn, log_in
from scripts.demo.replies import Answer, Page, WireWindow, limit_headers, rate_limits_event
from store.database import open_reader
from store.models import SightingKind
from store.queries.sightings import load_sightings
from tests.support.harness import Proxy, codex_environment

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend

ACCOUNT = "acct-moved"
WINDOW = WireWindow(13, 300, 1_895_252_200, 9_000)
ACCOUNTS_CHECK = "/backend-api/wham/accounts/check"


def led_to(origin: str, **more: Any) -> Answer:
    """Return the responses of a backend that has the turns of the account at another origin."""
    entry = {
        "id": ACCOUNT,
        "workspace_backend_origin": origin,
        "account_routing_override": "NO_CONSTRAINT",
        "structure": "personal",
    }
    document = {"accounts": [entry], "account_ordering": [ACCOUNT], "default_account_id": ACCOUNT}
    return Answer(
        headers=limit_headers(WINDOW, plan="plus", active="premium"),
        events=[rate_limits_event(WINDOW, plan="plus")],
        pages={ACCOUNTS_CHECK: Page(body=document, **more)},
    )


def recorded(path: Path) -> tuple[int, list[tuple[str, bool]]]:
    """Return the number of recorded turns, and the hosts that were seen."""
    with closing(open_reader(path)) as connection:
        (turns,) = connection.execute("SELECT count(*) FROM requests WHERE NOT warm_up").fetchone()
        kinds = ((SightingKind.HOST, True), (SightingKind.OTHER_HOST, False))
        return turns, [(host.name, watched) for kind, watched in kinds for host in load_sightings(connection, kind)]


@pytest.mark.parametrize(
    ("host", "seen"),
    [("us.chatgpt.com", []), ("au.chatgpt.com", [("au.chatgpt.com", True)])],
    ids=["watched from the start", "learned"],
)
def test_turns_at_another_host_are_read(
    codex: str, backend: Backend, tmp_path: Path, host: str, seen: list[tuple[str, bool]]
) -> None:
    """The first turn there is read as those after it; after a restart of the proxy the host is still watched."""
    path, home, before = tmp_path / "tap.sqlite3", tmp_path / "home", len(backend.requests)
    backend.answer(led_to(f"https://{host}"), account=ACCOUNT)
    log_in(home, ACCOUNT, "user-1")
    for start in range(2):
        with Proxy(backend, database=path, arguments=["-q"]) as proxy:
            for _ in range(2):
                turn = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
                assert (turn.returncode, turn.stdout.strip()) == (0, "ok"), turn.stderr
            assert proxy.stop() == 0
        assert recorded(path) == (2 * (start + 1), seen)
    turns = [asked for asked in backend.requests[before:] if asked.path.endswith("/responses")]
    assert {asked.host for asked in turns} == {host}
