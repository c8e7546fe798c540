"""The user's PATH in the registry of Windows, which every program that starts afterwards inherits."""

from __future__ import annotations

import contextlib
import sys
from typing import Protocol

_KEY, _VALUE = "Environment", "Path"
_SEPARATOR = ";"


class UserPath(Protocol):
    """The stored text of the user's PATH, with its ``%NAMES%`` not expanded."""

    def read(self) -> str | None:
        """Return it; None if the user has none."""

    def write(self, text: str | None) -> None:
        """Store another text, or delete it, and tell running programs."""


def put_first(path: str | None, folder: str) -> str:
    """Return the PATH with a folder first, and nowhere else."""
    rest = take_out(path, folder)
    return folder if rest is None else f"{folder}{_SEPARATOR}{rest}"


def take_out(path: str | None, folder: str) -> str | None:
    """Return the PATH without a folder; None if nothing else is in it."""
    if path is None:
        return None
    kept = [each for each in path.split(_SEPARATOR) if each.lower().rstrip("\\") != folder.lower().rstrip("\\")]
    return _SEPARATOR.join(kept) if kept else None


class Registry:
    """The user's PATH in the registry."""

    def read(self) -> str | None:
        """Return the stored text; None if there is none."""
        if sys.platform == "win32":
            import winreg

            with contextlib.suppress(FileNotFoundError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, _KEY) as key:
                return str(winreg.QueryValueEx(key, _VALUE)[0])
        return None

    def write(self, text: str | None) -> None:
        """Store the text with the type that expands names, and tell running programs.

        Raises:
            OSError: it cannot be written.
        """
        if sys.platform == "win32":
            import winreg

            with winreg.CreateKeyEx(winreg.HKEY_CURRENT_USER, _KEY, 0, winreg.KEY_SET_VALUE) as key:
                if text is None:
                    winreg.DeleteValue(key, _VALUE)
                else:
                    winreg.SetValueEx(key, _VALUE, 0, winreg.REG_EXPAND_SZ, text)
            _announce()


def _announce() -> None:
    """Tell the programs that run, as the settings of Windows do; a new terminal has the new PATH then."""
    if sys.platform == "win32":
        import ctypes

        everyone, setting_changed, abort_if_hung = 0xFFFF, 0x001A, 2
        ctypes.windll.user32.SendMessageTimeoutW(everyone, setting_changed, 0, _KEY, abort_if_hung, 1_000, None)
