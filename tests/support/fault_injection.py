"""A mitmproxy script that makes any function of the addon fail on demand; mitmproxy loads it before the tap.

The file that `TEST_FAULT` names says what fails: the name of a function of `addon`, which raises then, or that name and
`()`, where what it returns is callable and raises. With `?` in it nothing fails. `TEST_NOTES` names a file that gets a
line for each such name that is called (with `?`) or has failed, and for each observation that the recorder's thread has
taken from its queue (`taken`).
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

import addon
from store.record.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAULT, NOTES = Path(os.environ["TEST_FAULT"]), Path(os.environ["TEST_NOTES"])

# Nobody guards a stream callable or what makes a log record: the first two are the guard themselves. The others end
# with the proxy.
UNGUARDED = (
    "bodies.BodyTap.__call__",
    "log_redaction.LogRedaction._make_record",
    "tap.Tap.done",
    "tap.Tap.running",
    "tap.Tap.load",
    "tap.Tap.configure",
)


class FaultError(Exception):
    """An error that the addon itself never raises."""


def fail(*_: object, **__: object) -> None:
    """Raise `FaultError`."""
    raise FaultError


def note(what: str) -> None:
    """Append a line to the notes."""
    with NOTES.open("a") as notes:
        notes.write(f"{what}\n")


def faulty(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that fails on demand, and otherwise calls `whole`."""

    @functools.wraps(whole)
    def called(*arguments: Any, **named: Any) -> Any:
        wanted = FAULT.read_text()
        if wanted == name:
            note(f"failed {name}")
            fail()
        result = whole(*arguments, **named)
        if callable(result):
            if wanted == f"{name}()":
                note(f"failed {name}()")
                return fail
            if wanted == "?":
                note(f"called {name}()")
        if wanted == "?":
            note(f"called {name}")
        return result

    return called


def noted_after(what: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `whole` and notes when the call has ended."""

    @functools.wraps(whole)
    def called(*arguments: Any, **named: Any) -> Any:
        try:
            return whole(*arguments, **named)
        finally:
            note(what)

    return called


def modules() -> Iterator[ModuleType]:
    """Yield every module of the addon except the script and the launcher's control channel."""
    for found in pkgutil.iter_modules(addon.__path__):
        if found.name not in {"codex_tap", "control_channel"}:
            yield importlib.import_module(f"addon.{found.name}")


def is_ours(value: object) -> bool:
    """Return True if a value is a function of the addon's source, cached or not."""
    code = getattr(getattr(value, "__wrapped__", value), "__code__", None)
    return code is not None and Path(code.co_filename).parent.name == "addon"


def inject() -> None:
    """Replace each function by a faulty one, wherever a name refers to it."""
    instead: dict[int, Callable[..., Any]] = {}
    for module in modules():
        room = module.__name__.removeprefix("addon.")
        for name, value in list(vars(module).items()):
            if is_ours(value) and value.__module__ == module.__name__:
                instead[id(value)] = faulty(f"{room}.{name}", value)
            elif isinstance(value, type) and value.__module__ == module.__name__:
                inject_into_class(f"{room}.{name}", value)
    for module in modules():
        for space in [vars(module), *(each for each in vars(module).values() if isinstance(each, dict))]:
            for name, value in list(space.items()):
                if id(value) in instead:
                    space[name] = instead[id(value)]
    Recorder.put = faulty("Recorder.put", Recorder.put)  # type: ignore[method-assign]
    Recorder._take = noted_after("taken", Recorder._take)  # type: ignore[method-assign]


def inject_into_class(path: str, kind: type) -> None:
    """Replace the methods of a class by faulty ones."""
    for name, value in list(vars(kind).items()):
        if not isinstance(value, FunctionType) or not is_ours(value) or f"{path}.{name}" in UNGUARDED:
            continue
        setattr(kind, name, faulty(f"{path}.{name}", value))


inject()
