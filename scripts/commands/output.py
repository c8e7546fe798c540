"""Printing that commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def list_paths(heading: str, paths: Sequence[Path]) -> None:
    """Print a heading and paths under it."""
    click.echo("\n".join([heading, *(f"  {sanitize(path)}" for path in paths)]))
