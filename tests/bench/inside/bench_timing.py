"""Times the tap's hooks inside mitmdump, and writes what it found to `CODEX_TAP_BENCH_TIMES` when mitmdump stops.

The file is JSON, lists of nanoseconds:

    answers       all hooks of one HTTP answer together, by the clock
    answers_own   the same in CPU of the thread, less the runs of the garbage collector that fell into them
    hook NAME     each call of a hook, by the clock
    others_cpu    CPU of all threads but that of the hooks, in sum
    told, others  the hook on websocket messages of the backend: those that tell of limits, and all others
    null          a hook that does nothing, on those others
"""

from __future__ import annotations

import functools
import gc
import json
import os
from collections import defaultdict
from pathlib import Path
from time import perf_counter_ns, process_time_ns, thread_time_ns
from typing import TYPE_CHECKING, Any

from mitmproxy.http import HTTPFlow

from addon.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Callable

OF_AN_ANSWER = ("requestheaders", "responseheaders", "response", "error")
OTHERS = ("websocket_message", "websocket_end", "tls_clienthello")
MOST = 200_000
"""Calls of a hook that are kept; a run has fewer."""

TELLS = b'"codex.rate_limits"'


class Times:
    """What was found."""

    def __init__(self) -> None:
        self.found: defaultdict[str, list[int]] = defaultdict(list)
        self._open: dict[str, tuple[int, int]] = {}

    def note(self, name: str, flow: Any, took: int, used: int) -> None:
        """Keep one call: by the clock, and in CPU of its own."""
        self._keep(f"hook {name}", took)
        if not isinstance(flow, HTTPFlow):
            return
        if name == "websocket_message":
            self._note_message("", flow, took)
        if flow.websocket is None and name in OF_AN_ANSWER:
            self._note_answer(name, flow, took, used)

    def note_null(self, flow: HTTPFlow, took: int) -> None:
        """Keep one call of the hook that does nothing."""
        self._note_message("null", flow, took)

    def _note_answer(self, name: str, flow: HTTPFlow, took: int, used: int) -> None:
        before = self._open.pop(flow.id, (0, 0))
        total = (before[0] + took, before[1] + used)
        if name in {"response", "error"}:
            self._keep("answers", total[0])
            self._keep("answers_own", total[1])
        else:
            self._open[flow.id] = total

    def _note_message(self, kind: str, flow: HTTPFlow, took: int) -> None:
        message = flow.websocket.messages[-1] if flow.websocket else None
        if message is None or message.from_client:
            return
        tells = TELLS in message.content
        if kind and not tells:
            self._keep(kind, took)
        elif not kind:
            self._keep("told" if tells else "others", took)

    def _keep(self, name: str, took: int) -> None:
        if len(self.found[name]) < MOST:
            self.found[name].append(took)


class Collector:
    """How long the garbage collector has run."""

    def __init__(self) -> None:
        self.nanoseconds = 0
        self._begin = 0

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        """Take note, as one of `gc.callbacks`."""
        if phase == "start":
            self._begin = thread_time_ns()
        else:
            self.nanoseconds += thread_time_ns() - self._begin


times = Times()
collector = Collector()
gc.callbacks.append(collector)


def timed(name: str, hook: Callable[[Tap, Any], None]) -> Callable[[Tap, Any], None]:
    """Time each call of a hook of the tap's by the clock, as `Null` times itself."""

    @functools.wraps(hook)
    def run(self: Tap, data: Any) -> None:
        begin = perf_counter_ns()
        hook(self, data)
        times.note(name, data, perf_counter_ns() - begin, 0)

    return run


def timed_twice(name: str, hook: Callable[[Tap, Any], None]) -> Callable[[Tap, Any], None]:
    """Time each call by the clock and, around that, in CPU of the thread, which takes a system call."""

    @functools.wraps(hook)
    def run(self: Tap, data: Any) -> None:
        cpu = thread_time_ns() - collector.nanoseconds
        begin = perf_counter_ns()
        hook(self, data)
        took = perf_counter_ns() - begin
        times.note(name, data, took, thread_time_ns() - collector.nanoseconds - cpu)

    return run


# mitmproxy looks a hook up at each call: the class may be changed after the tap was made.
for _name in OF_AN_ANSWER:
    setattr(Tap, _name, timed_twice(_name, getattr(Tap, _name)))
for _name in OTHERS:
    setattr(Tap, _name, timed(_name, getattr(Tap, _name)))


class Null:
    """A hook that does nothing, timed like the tap's, and the file at the end."""

    def running(self) -> None:
        """Note what the threads have used before there is traffic."""
        self._others = process_time_ns() - thread_time_ns()

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Time nothing."""
        begin = perf_counter_ns()
        self.nothing(flow)
        times.note_null(flow, perf_counter_ns() - begin)

    def nothing(self, flow: HTTPFlow) -> None:
        """Do nothing."""

    def done(self) -> None:
        """Write what was found; the tap, which was loaded before, has written all it had."""
        times.found["others_cpu"].append(process_time_ns() - thread_time_ns() - self._others)
        Path(os.environ["CODEX_TAP_BENCH_TIMES"]).write_text(json.dumps(times.found), encoding="utf-8")


addons = [Null()]
