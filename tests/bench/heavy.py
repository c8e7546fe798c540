"""Whether one heavy answer of the server holds up the others: the present, and the news of a change."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.figures import Spread
from tests.bench.served import ANSWER_MILLISECONDS
from tests.bench.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.served import Served
    from tests.bench.sizes import Size

HEAVY = "/api/breakdown?since=365d"
CLIENTS = 2
"""As many long answers are computed at a time; a third one would wait (`scripts.web.queued_route`)."""

_APART_SECONDS = 0.05
"""Between two questions of the present."""


def beside_heavy(served: Served, size: Size) -> list[Row]:
    """Milliseconds of `/api/usage` and of the live update, alone and while clients ask a heavy question on and on."""
    alone, beside = _Found([], []), _Found([], [])
    for _ in range(size.heavy_segments):
        _segment(served, size, alone)
        with _asked_on_and_on(served.port):
            _segment(served, size, beside)
    names = ("GET /api/usage", "live update")
    return [row for found in zip(names, alone, beside, strict=True) for row in _rows(*found)]


class _Found(NamedTuple):
    """Milliseconds of answers, and of the delays of updates."""

    usage: list[float]
    updates: list[float]


def _segment(served: Served, size: Size, into: _Found) -> None:
    for _ in range(size.heavy_requests):
        time.sleep(_APART_SECONDS)
        into.usage.append(served.ask_anew("/api/usage"))
    into.updates.extend(served.update_delays(size.heavy_updates))


def _rows(name: str, alone: list[float], beside: list[float]) -> list[Row]:
    measure = f"{name} beside {CLIENTS} clients of {HEAVY}"
    took, target, met = Spread.of(beside), "", None
    if name.startswith("GET"):
        target, met = f"below {ANSWER_MILLISECONDS:,.0f} ms", took.median < ANSWER_MILLISECONDS
    return [
        Row(f"{measure} (bare: alone)", "ms", took, Spread.of(alone), target=target, met=met),
        Row(f"{measure}, longest", "ms", Spread.exactly(max(beside)), Spread.exactly(max(alone))),
    ]


_ASK_ON = """
import http.client, sys
while True:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request("GET", sys.argv[2])
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    print("answered", flush=True)
"""


@contextmanager
def _asked_on_and_on(port: int) -> Iterator[None]:
    """Programs ask the heavy question while the block lasts, each again as soon as it has its answer."""
    command = [sys.executable, "-c", _ASK_ON, str(port), HEAVY]
    with ExitStack() as stack:
        programs = []
        for _ in range(CLIENTS):
            program = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8"))
            stack.callback(program.kill)
            programs.append(program)
        for program in programs:
            assert program.stdout
            program.stdout.readline()
        yield
        if any(program.poll() is not None for program in programs):
            raise RuntimeError(f"{HEAVY} was not answered")
