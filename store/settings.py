"""What the addon and the scripts both have to know: where things lie and which hosts are Codex's.

It imports nothing heavy: every command of the CLI, and the prompt of a shell, goes through here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WATCHED_HOSTS = ("chatgpt.com", "chat.openai.com", "api.openai.com")
"""The hosts whose connections are decrypted and whose figures are believed; telemetry hosts are not."""

DATABASE_VARIABLE = "CODEX_TAP_DB"
"""Environment variable that puts the database elsewhere."""

UPSTREAM_AUTH_VARIABLE = "CODEX_TAP_UPSTREAM_AUTH"
"""Carries ``user:password`` of an upstream proxy to ours: others can read a command line, not an environment."""

READY = "codex-tap ready"
"""What the proxy says on stdout, with its address behind it, when it listens for whoever started it."""

ENDED = "codex-tap ended"
"""What the proxy says on stdout at its end, with its counts (`addon.traffic_counts`) as JSON behind it."""


def data_folder() -> Path:
    """Return the platform's data folder of codex-tap; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("codex-tap", appauthor=False))


def default_database(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the database's path: ``CODEX_TAP_DB`` where it is set, else in the data folder."""
    chosen = environ.get(DATABASE_VARIABLE)
    return Path(chosen).expanduser() if chosen else data_folder() / "codex-tap.sqlite3"
