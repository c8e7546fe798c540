"""Profiles mitmdump from its start to its stop, into `CODEX_TAP_BENCH_PROFILE` (as `pstats` reads it)."""

from __future__ import annotations

import cProfile
import os


class Profiling:
    """One profile; from Python 3.12 on it has the recorder's thread in it too, mixed with the hooks'."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def running(self) -> None:
        """Begin."""
        self._profile.enable()

    def done(self) -> None:
        """Write it."""
        self._profile.disable()
        self._profile.dump_stats(os.environ["CODEX_TAP_BENCH_PROFILE"])


addons = [Profiling()]
