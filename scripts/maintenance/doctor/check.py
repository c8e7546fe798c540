"""The result of a check, and the words that checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.formatting import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from store.documents import CheckEntry, CheckLevel


class Check(NamedTuple):
    """The result of a check; `advice` is None if nothing is to be done.

    A problem keeps Codex or the tap from working as configured, a note is for information, and ``off`` is a part of
    codex-tap that is not installed.
    """

    name: str
    level: CheckLevel
    message: str
    advice: str | None = None

    def entry(self) -> CheckEntry:
        """Return it as ``doctor --json`` writes it."""
        return {"name": self.name, "level": self.level, "message": self.message, "advice": self.advice}


def age(seconds: float) -> str:
    """Write an age in its largest unit, rounded down: ``3 d``, ``2 h``, ``5 min``, ``10 s``. A negative one is 0."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(max(0.0, seconds))} s"
