"""The queue of messages: retries, targets that hang, and the limit of waiting messages."""

from __future__ import annotations

import json
import sys
import time

from scripts.alerts import state as states
from scripts.alerts.outbox import MAX_PENDING
from scripts.alerts.watcher import MAX_SECONDS
from store.files import alerts_state_path
from tests.support.alerts import Desk, Server, reading
from tests.support.databases import record
from tests.support.factories import ALICE
from tests.support.harness import wait_until


def test_a_failed_attempt_is_repeated(desk: Desk) -> None:
    """There is an attempt after each pause; other targets are not delayed."""
    with Server(500, 500) as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch() as watching:
            desk.look(watching)
        assert len(server.posted) == 3
    assert len(desk.noted()) == 1
    tried = [line for line in desk.log if "next attempt in 0 s" in line]
    assert len(tried) == 2
    assert all(line.startswith("hook (json://…): refused (HTTP 500); next attempt") for line in tried)


def test_a_message_is_dropped_after_the_last_attempt(desk: Desk) -> None:
    """There is one attempt more than pauses."""
    with Server(*[500] * 9) as server:
        desk.write(hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch() as watching:
            desk.look(watching)
            desk.look(watching)
        assert len(server.posted) == 3
    assert "dropped after 3 attempts" in desk.log[-1]


def test_a_target_that_hangs_does_not_delay_others(desk: Desk) -> None:
    """The other target gets its message, and steps do not block."""
    release = desk.config.with_name("release")
    script = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)"
    desk.write(slow=json.dumps([sys.executable, "-c", script, str(release)]), log=desk.note)
    desk.read(81)
    with desk.watch() as watching:
        watching.step(time.time(), MAX_SECONDS)
        wait_until(lambda: bool(desk.noted()), lambda: "the other target got nothing")
        assert not watching.is_idle
        release.touch()
        desk.look(watching)


def test_waiting_messages_are_sent_after_a_restart(desk: Desk) -> None:
    """A waiting message is not lost with the process."""
    with Server(500) as server:
        desk.write(hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch(pauses=(3_600.0,)) as watching:
            watching.step(time.time(), MAX_SECONDS)

            def refused() -> bool:
                watching.step(time.time(), MAX_SECONDS)
                return bool(desk.log)

            wait_until(refused, lambda: "it was not refused")
        assert not watching.is_idle
        with desk.watch(pauses=(3_600.0,)) as watching:
            desk.look(watching, now=time.time() + 3_601)
        assert len(server.posted) == 2


def test_waiting_messages_are_bounded(desk: Desk) -> None:
    """If many messages wait for one target, the oldest are dropped."""
    desk.write(hook='"json://127.0.0.1:9/"')
    names = [f"user{number}" for number in range(MAX_PENDING + 5)]
    who = [ALICE.model_copy(update={"token_key": f"{each}~0", "user_id": each, "email": f"{each}@x"}) for each in names]
    record(desk.database, *(reading(81, who=each) for each in who))
    with desk.watch(pauses=(3_600.0,)) as watching:
        watching.step(time.time(), MAX_SECONDS)
        assert len(states.load(alerts_state_path(desk.database)).unsent) == MAX_PENDING
    assert len([line for line in desk.log if "too many messages are waiting; dropped" in line]) == 5
