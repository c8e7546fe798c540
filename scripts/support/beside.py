"""Which further commands run beside a proxy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Beside(NamedTuple):
    """The commands that run beside a proxy, and end with it: one field for each option that asks for one."""

    serve: bool = False
    """The web page."""

    alerts: bool = False
    """Alerts are sent."""

    otlp: bool = False
    """Metrics are sent."""

    ship: str | None = None
    """The address of the team's database to which the database is shipped; an empty one is that of the environment."""

    @property
    def options(self) -> list[list[str]]:
        """The options that ask for them, each with its value."""
        given = {name: value for name, value in self._asdict().items() if value not in {False, None}}
        return [[f"--{name}", *([value] if isinstance(value, str) else [])] for name, value in given.items()]

    def or_else(self, earlier: Beside) -> Beside:
        """Return what this or an earlier choice asks for; a value of this one comes first."""
        return Beside(
            self.serve or earlier.serve,
            self.alerts or earlier.alerts,
            self.otlp or earlier.otlp,
            earlier.ship if self.ship is None else self.ship,
        )


def beside_of(arguments: Sequence[str]) -> Beside:
    """Return what the options of a command line ask for; others are left out."""
    ship = dict(itertools.pairwise(arguments)).get("--ship")
    return Beside("--serve" in arguments, "--alerts" in arguments, "--otlp" in arguments, ship)


NOTHING_BESIDE = Beside()
"""Nothing but the proxy runs."""
