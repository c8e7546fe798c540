"""The version of a JSON document, for the CLI and the API alike."""

from __future__ import annotations

from store.constants import DOCUMENT_VERSION


def versioned(document: object) -> object:
    """Return a document with its version in front; an array has no room for one."""
    return {"document_version": DOCUMENT_VERSION, **document} if isinstance(document, dict) else document
