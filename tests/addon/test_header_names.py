"""The meaning of headers' names, and where the wanted ones stand."""

from __future__ import annotations

from addon.header_names import (
    MAX_LAYOUT_LENGTH,
    MAX_LAYOUTS,
    MAX_NAME_LENGTH,
    MAX_NAMES,
    HeaderLayouts,
    HeaderNames,
)


def test_a_name_is_classified_once() -> None:
    """Each spelling is classified at its first look-up, a name that is not wanted too."""
    asked: list[bytes] = []

    def classify(name: bytes) -> int | None:
        asked.append(name)
        return len(name) if name.startswith(b"x-") else None

    names = HeaderNames(classify)
    assert [names[name] for name in (b"x-a", b"X-A", b"x-a", b"X-A")] == [3, None, 3, None]
    assert asked == [b"x-a", b"X-A"]


def test_a_long_name() -> None:
    """A name that is longer than any known one is not wanted, and is not held."""
    names = HeaderNames(len)
    assert names[b"x" * MAX_NAME_LENGTH] == MAX_NAME_LENGTH
    assert names[b"x" * (MAX_NAME_LENGTH + 1)] is None
    assert len(names) == 1


def test_many_names() -> None:
    """Only so many names are held, and each is classified rightly afterwards."""
    names = HeaderNames(int)
    assert [names[b"%d" % number] for number in range(2 * MAX_NAMES + 1)] == list(range(2 * MAX_NAMES + 1))
    assert len(names) == 1
    assert names[b"7"] == 7


def test_a_layout_is_decided_once() -> None:
    """Each order of names is decided at its first look-up, as spelled."""
    asked: list[tuple[bytes, ...]] = []

    def decide(names: tuple[bytes, ...]) -> int:
        asked.append(names)
        return names.index(b"b")

    layouts = HeaderLayouts(decide)
    orders = [(b"a", b"b"), (b"b", b"a"), (b"b", b"A")]
    assert [layouts[names] for names in (*orders, *orders)] == [1, 0, 0, 1, 0, 0]
    assert asked == orders


def test_a_layout_of_long_names() -> None:
    """An order of very long names is decided each time, and is not held."""
    layouts = HeaderLayouts(len)
    held = b"x" * (MAX_LAYOUT_LENGTH - 1)
    assert layouts[held, b"y"] == 2
    assert layouts[held, b"yz"] == 2
    assert list(layouts) == [(held, b"y")]


def test_many_layouts() -> None:
    """Only so many orders are held, and each is decided rightly afterwards."""
    layouts = HeaderLayouts(lambda names: int(names[0]))
    assert [layouts[(b"%d" % number,)] for number in range(2 * MAX_LAYOUTS + 1)] == list(range(2 * MAX_LAYOUTS + 1))
    assert len(layouts) == 1
    assert layouts[(b"7",)] == 7
