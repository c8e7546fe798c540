"""The text of `usage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.render.usage import render_usage
from store.queries.usage import empty_usage
from tests.support.factories import NOON
from tests.support.rendering import UTC

if TYPE_CHECKING:
    from store.documents import UsageDocument


def document() -> UsageDocument:
    return empty_usage(NOON, by="thread", since=NOON - 86_400)


def test_without_rows() -> None:
    head, columns, total, *_ = render_usage(document(), UTC).plain.splitlines()
    assert columns.split()[0] == "Thread"
    assert total.split() == ["total", "0.0", "0", "0", "0", "0"]
    assert head
