"""What `codex-tap install` has changed on this machine, as it is stored for `uninstall` and for the launcher."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from store.files import installation_file, read_regular, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_VERSION = 1
_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class AlwaysOn:
    """The always-on service."""

    port: int
    """The loopback port that it holds."""

    env_file: str
    """The path of the ``.env`` of Codex that names the port."""

    service: str
    """What runs it: ``systemd``, ``launchd``, ``task``, or ``none``."""

    trusted_before: str | None = None
    """The file of certificates that Codex was configured to trust before."""


@dataclass(frozen=True)
class Installation:
    """Everything that is installed."""

    blocks: dict[str, list[str]] = field(default_factory=dict)
    """The lines of the marked block in each file of the user's, by path."""

    gateways: tuple[str, ...] = ()
    """Gateways to watch beside Codex's own hosts."""

    in_user_path: str | None = None
    """The folder that was put into the user's PATH in the registry of Windows."""

    always: AlwaysOn | None = None

    def with_block(self, path: str, lines: Sequence[str]) -> Installation:
        """Return the record with the lines of a block, beside those of an earlier one, which may still be in the file.

        Args:
            path: the file of the user's.
            lines: the lines of the block.
        """
        every = dict.fromkeys([*self.blocks.get(path, ()), *lines])
        return replace(self, blocks={**self.blocks, path: list(every)})


def load_installation() -> Installation:
    """Return what is installed; a missing or damaged file counts as nothing."""
    try:
        content = json.loads(read_regular(installation_file(), _MAX_BYTES))
        if content["version"] != _VERSION:
            return Installation()
        return _parsed(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Installation()


def save_installation(installation: Installation) -> None:
    """Store what is installed; nothing at all deletes the file.

    Raises:
        OSError: it cannot be written.
    """
    if installation == Installation():
        installation_file().unlink(missing_ok=True)
        return
    text = json.dumps({"version": _VERSION, **asdict(installation)}, indent=1)
    write_private(installation_file(), text.encode("utf-8", "surrogateescape"))


def _parsed(content: Any) -> Installation:
    always = content["always"]
    return Installation(
        {str(path): [str(line) for line in lines] for path, lines in content["blocks"].items()},
        tuple(map(str, content["gateways"])),
        content["in_user_path"],
        None if always is None else AlwaysOn(**always),
    )
