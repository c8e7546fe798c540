"""Which further commands run beside a proxy."""

from __future__ import annotations

from typing import NamedTuple


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


NOTHING_BESIDE = Beside()
"""Nothing but the proxy runs."""
