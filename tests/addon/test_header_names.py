"""The meaning of headers' names."""

from __future__ import annotations

from addon.header_names import MAX_NAME_LENGTH, MAX_NAMES, HeaderNames


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
