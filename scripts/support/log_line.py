"""The log of a program that runs until it is stopped."""

from __future__ import annotations

import sys

from scripts.support.sanitize import sanitize


def log(text: str) -> None:
    """Print a line of the log to stderr."""
    print(f"codex-tap: {sanitize(text)}", file=sys.stderr, flush=True)
