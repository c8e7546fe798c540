"""Two proxies in front of one backend, bare and with the tap, and a client of each."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.bench.figures import Pairs, in_turns, joined
from tests.bench.programs import StandIn, bare, tap
from tests.bench.traffic import Figures, client, make_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.demo.client import CodexClient
    from tests.support.harness import Proxy


@dataclass
class Side:
    """One proxy, its client, and the figures that its account is told."""

    stand_in: StandIn
    proxy: Proxy
    client: CodexClient
    figures: Figures


Sides: TypeAlias = AbstractContextManager[tuple[Side, Side]]


@contextmanager
def both(
    stand_in: StandIn, folder: Path, name: str, *, answers: int = 0, http2: bool = False
) -> Iterator[tuple[Side, Side]]:
    """The bare side and the tapped one, with new processes and a new database; `answers`: at most, of each."""
    token = make_token()
    with ExitStack() as stack:
        sides = []
        for proxy in (bare(stand_in), tap(stand_in, folder / f"{name}.sqlite3")):
            stack.enter_context(proxy)
            asking = stack.enter_context(client(proxy, stand_in, token=token, http2=http2))
            sides.append(Side(stand_in, proxy, asking, Figures(answers)))
        yield sides[0], sides[1]


def in_rounds(rounds: int, segments: int, start: Callable[[int], Sides], measure: Callable[[Side], float]) -> Pairs:
    """Measure so many segments of both sides in turns, in so many rounds; the first of each round is to warm up.

    A process has its own luck with the layout of its memory: rounds have new ones, and even that out.
    """
    return joined([_one_round(segments, start(number), measure) for number in range(rounds)])


def _one_round(segments: int, sides: Sides, measure: Callable[[Side], float]) -> Pairs:
    with sides as (bare_side, tap_side):
        measure(bare_side)
        measure(tap_side)
        return in_turns(segments, lambda: measure(bare_side), lambda: measure(tap_side))
