"""Libraries that import a large module for the few of their functions that most commands never call."""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _LateModule(ModuleType):
    """Stands for a module, which is imported when something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def imported_late(name: str) -> Iterator[None]:
    """Let what is imported in this block have a module only when it uses it; all that is imported later has it at once.

    `importlib.util.LazyLoader` would load the module at the second ``import`` of it.
    """
    if name in sys.modules:
        yield
        return
    late = sys.modules[name] = _LateModule(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is late:
            del sys.modules[name]
