"""Requests to a host that is not Codex's: tunnelled by the tap, decrypted by bare mitmdump."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.answers import paired
from tests.bench.programs import StandIn, cpu_seconds
from tests.bench.sides import Side, both, in_rounds

if TYPE_CHECKING:
    from tests.bench.sizes import Size
    from tests.bench.table import Row

URL = "https://registry.example/package"
TO_A_CONNECTION = 5


def cpu(size: Size) -> list[Row]:
    """CPU of mitmdump per request, five to a connection, as a package manager asks."""

    def measure(side: Side) -> float:
        before = cpu_seconds(side.proxy)
        for number in range(size.strangers):
            if number % TO_A_CONNECTION == 0:
                side.client.close()
            reply = side.client.get(URL)
            if reply.status != 200:
                raise RuntimeError(f"status {reply.status}")
        return (cpu_seconds(side.proxy) - before) / size.strangers * 1e6

    with tempfile.TemporaryDirectory() as folder, StandIn() as stand_in:
        pairs = in_rounds(
            max(1, size.rounds // 2),
            size.segments,
            lambda number: both(stand_in, Path(folder), f"strangers-{number}"),
            measure,
        )
    row = paired("CPU per request to another host", "µs", pairs)
    return [replace(row, target="at most half of bare", met=pairs.ratios().median <= 0.5)]
