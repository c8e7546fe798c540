"""The state that the always-on service writes down (`scripts.launch.holder`)."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from store.files import HOLDER_STATUS, read_regular, service_folder


class ServiceStatus(NamedTuple):
    """The state of the service; timestamps are Unix seconds.

    ``pid`` is None if the service has ended, ``child_pid`` if no proxy runs behind it. ``restarts`` counts the starts
    of that proxy after the first, ``tunnelled`` the connections that were passed through unread.
    """

    pid: int | None
    started_at: float
    child_pid: int | None
    restarts: int
    tunnelled: int
    last_tunnelled_at: float | None
    last_error: str | None
    last_error_at: float | None


def load_service_status() -> ServiceStatus | None:
    """Return what the service wrote last, or None if there is nothing valid."""
    try:
        content = json.loads(read_regular(service_folder() / HOLDER_STATUS, _MAX_BYTES))
        status = ServiceStatus(**{name: content[name] for name in ServiceStatus._fields})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return status if all(_is_valid(name, value) for name, value in status._asdict().items()) else None


def _is_valid(name: str, value: object) -> bool:
    return isinstance(value, _TYPES[name]) and (not isinstance(value, float) or math.isfinite(value))


_MAX_BYTES = 65_536
_TYPES: dict[str, tuple[type, ...]] = {
    "pid": (int, type(None)),
    "started_at": (int, float),
    "child_pid": (int, type(None)),
    "restarts": (int,),
    "tunnelled": (int,),
    "last_tunnelled_at": (int, float, type(None)),
    "last_error": (str, type(None)),
    "last_error_at": (int, float, type(None)),
}
