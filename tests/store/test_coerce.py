"""Values off the wire, made harmless or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from store import coerce
from store.models import Window

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_795_243_200.0
RESET = 1_795_252_200

NO_NUMBERS: dict[str, object] = {
    "nothing": None,
    "empty": "",
    "blank": "  ",
    "nan": "NaN",
    "infinity": "inf",
    "overflow": "1e999",
    "exponent": "1e2",
    "negative": "-5",
    "negative zero": "-0",
    "plus": "+5",
    "hexadecimal": "0x10",
    "full-width digits": "１２",
    "arabic digits": "٣",
    "superscript": "²",
    "underscore": "1_0",
    "comma": "1,5",
    "no digit before the point": ".5",
    "no digit after the point": "5.",
    "two numbers": "1 2",
    "number and more": "12%",
    "letters around": "X12X",
    "line break": "12\n",
    "escape sequence": "\x1b[31m12",
    "NUL": "12\x00",
    "64 KiB of digits": "1" * 65_536,
    "16 digits": "1" * 16,
    "16 decimals": "0." + "1" * 16,
    "lone surrogate": "\ud800",
    "a real NaN": float("nan"),
    "a real infinity": float("inf"),
    "a real negative": -5,
    "a small real negative": -0.5,
    "an absurd number": 10**400,
    "a truth value": True,
    "bytes": b"12",
    "a list": [12],
    "a map": {"used": 12},
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
@pytest.mark.parametrize(
    "parse",
    [coerce.percent, coerce.minutes, coerce.seconds, coerce.timestamp, coerce.count],
    ids=lambda parse: parse.__name__,
)
def test_not_a_number(parse: Callable[[object], object], value: object) -> None:
    """A value other than a plain finite number from 0 on is dropped."""
    assert parse(value) is None


@pytest.mark.parametrize(
    ("parse", "value", "parsed"),
    [
        (coerce.percent, "0", 0.0),
        (coerce.percent, 0, 0.0),
        (coerce.percent, "13", 13.0),
        (coerce.percent, " 13.25\t", 13.25),
        (coerce.percent, 100.5, 100.5),
        (coerce.percent, "123.4", 123.4),
        (coerce.percent, "100000", 100_000.0),
        (coerce.percent, "100000.1", None),
        (coerce.percent, 100_001, None),
        (coerce.percent, "0." + "1" * 15, 0.111111111111111),
        (coerce.percent, "1" * 15, None),
        (coerce.percent, " " * 119 + "1", 1.0),
        (coerce.percent, " " * 120 + "1", None),
        (coerce.minutes, "300", 300),
        (coerce.minutes, 10_080.0, 10_080),
        (coerce.minutes, "299.6", 300),
        (coerce.minutes, "0", None),
        (coerce.minutes, 0, None),
        (coerce.minutes, "0.4", None),
        (coerce.minutes, 5_270_400, 5_270_400),
        (coerce.minutes, 5_270_401, None),
        (coerce.seconds, "0", 0.0),
        (coerce.seconds, "332661", 332_661.0),
        (coerce.seconds, 316_224_000, 316_224_000.0),
        (coerce.seconds, 316_224_001, None),
        (coerce.timestamp, "1787196849", 1_787_196_849),
        (coerce.timestamp, 1_787_196_849.6, 1_787_196_850),
        (coerce.timestamp, "1787196849000", 1_787_196_849),
        (coerce.timestamp, 1_787_196_849_600, 1_787_196_850),
        (coerce.timestamp, 10**11, 10**11),
        (coerce.timestamp, 10**11 + 1, 10**8),
        (coerce.timestamp, 10**14, 10**11),
        (coerce.timestamp, 10**14 + 1, None),
        (coerce.timestamp, "0", None),
        (coerce.timestamp, 0.4, None),
        (coerce.count, "2", 2),
        (coerce.count, 0, 0),
        (coerce.count, 1_000_000_000, 1_000_000_000),
        (coerce.count, 1_000_000_001, None),
    ],
)
def test_number(parse: Callable[[object], object], value: object, parsed: object) -> None:
    """A number is read as sent, from a number or a plain decimal string, up to an absurd size."""
    assert parse(value) == parsed
    assert type(parse(value)) is type(parsed)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("2026-11-21T06:40:00Z", int(NOW)),
        ("2026-11-21T06:40:00", int(NOW)),
        ("2026-11-21T07:40:00+01:00", int(NOW)),
        ("2026-11-21T06:40:00." + "0" * 20, int(NOW)),
        ("2026-11-21T06:40:00." + "0" * 21, None),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T00:00:00Z", None),
        ("5138-11-16T09:46:40Z", 10**11),
        ("5138-11-16T09:46:41Z", None),
        ("1795243200.4", int(NOW)),
        (NOW, int(NOW)),
        ("soon", None),
        (None, None),
    ],
)
def test_date(value: object, parsed: int | None) -> None:
    """A date is read in ISO 8601, in UTC unless it names a zone, and as a number."""
    assert coerce.date(value) == parsed


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("True", True),
        ("False", False),
        ("true", True),
        ("FALSE", False),
        ("1", True),
        ("0", False),
        (" true\t", True),
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("", None),
        ("yes", None),
        ("XtrueX", None),
        ("2", None),
        (2, None),
        (-1, None),
        (1.0, None),
        (None, None),
        ([True], None),
        ({}, None),
        ("true\x00", None),
        ("true\n", None),
        ("t" * 65_536, None),
    ],
)
def test_flag(value: object, parsed: object) -> None:
    """A truth value is read in each spelling that was seen, and in no other."""
    assert coerce.flag(value) is parsed


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("plus", "plus"),
        ("  GPT-5.3-Codex-Spark\t", "GPT-5.3-Codex-Spark"),
        ("Größe 語", "Größe 語"),
        ("", None),
        (" \t\r\n", None),
        (None, None),
        (12, None),
        (True, None),
        (b"plus", None),
        (["plus"], None),
        ("a\x00b", "a�b"),
        ("a\nb", "a�b"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("a\x9bb", "a�b"),
        ("a\u202eb", "a�b"),
        ("a\u200bb", "a�b"),
        ("a\u2028b", "a�b"),
        ("a\ud800b", "a�b"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120),
        ("x" * 65_536, "x" * 120),
        ("\x00" * 65_536, "�" * 120),
    ],
)
def test_text(value: object, parsed: object) -> None:
    """A text is one short line without control characters."""
    assert coerce.text(value) == parsed


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("0", "0"),
        ("9.50", "9.50"),
        (" 9.5\t", "9.5"),
        ("000012.00", "000012.00"),
        (9.5, "9.5"),
        (12, "12"),
        (0, "0"),
        ("", None),
        (None, None),
        (True, None),
        (1e-7, None),
        (1e22, None),
        (["9"], None),
        *((value, None) for value in NO_NUMBERS.values()),
    ],
)
def test_decimal(value: object, parsed: object) -> None:
    """A balance is stored in the server's own digits; any other text is dropped."""
    assert coerce.decimal(value) == parsed


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("codex_bengalfox", "codex_bengalfox"),
        ("codex-bengalfox", "codex_bengalfox"),
        ("Codex Bengalfox", "codex_bengalfox"),
        ("GPT-5.3-Codex-Spark", "gpt_5.3_codex_spark"),
        ("--premium--", "premium"),
        ("a\x1b[31m/../b", "a_31m_.._b"),
        ("a - b", "a_b"),
        ("語", None),
        ("", None),
        ("___", None),
        (12, None),
        (None, None),
        ("x" * 65_536, "x" * 120),
    ],
)
def test_limit_id(value: object, parsed: object) -> None:
    """A limit's id has one spelling, of a small alphabet, however the name was written."""
    assert coerce.limit_id(value) == parsed


@pytest.mark.parametrize(
    ("at", "after", "resets_at", "server_time"),
    [
        pytest.param(RESET, None, RESET, None, id="reset-at only"),
        pytest.param(None, 9_000, RESET, None, id="reset-after only"),
        pytest.param(str(RESET), "9000", RESET, NOW, id="both, as strings"),
        pytest.param(RESET, 9_000.4, RESET, NOW - 0.4, id="both, a fraction apart"),
        pytest.param(RESET * 1000, 9_000, RESET, NOW, id="milliseconds"),
        pytest.param(RESET * 1000, None, RESET, None, id="milliseconds only"),
        pytest.param(RESET + 120, 9_000, RESET + 120, NOW + 120, id="120 s apart: the same clock"),
        pytest.param(RESET + 121, 9_000, RESET, NOW + 121, id="121 s apart: our clock is behind"),
        pytest.param(RESET - 120, 9_000, RESET - 120, NOW - 120, id="120 s apart, the other way"),
        pytest.param(RESET - 3_600, 9_000, RESET, NOW - 3_600, id="our clock is an hour ahead"),
        pytest.param(100, 9_000, RESET, 0.0, id="a clock at its beginning"),
        pytest.param("", "", None, None, id="empty"),
        pytest.param("", "0", None, None, id="no window"),
        pytest.param(RESET, 0, RESET, None, id="a span of 0 is none"),
        pytest.param(None, None, None, None, id="missing"),
        pytest.param(0, 0, None, None, id="zeros"),
        pytest.param("soon", 9_000, RESET, None, id="reset-at no number"),
        pytest.param(RESET, "soon", RESET, None, id="reset-after no number"),
        pytest.param(RESET, -5, RESET, None, id="reset-after negative"),
    ],
)
def test_reset(at: object, after: object, resets_at: int | None, server_time: float | None) -> None:
    """A reset is in the time of the local clock; both figures together give the server's time."""
    found = coerce.reset(at, after, NOW)
    assert found.resets_at == resets_at
    assert found.server_time == (None if server_time is None else pytest.approx(server_time))


@pytest.mark.parametrize(
    ("times", "server_time"),
    [
        ([], None),
        ([None, None], None),
        ([NOW + 5], NOW + 5),
        ([None, NOW - 5, NOW], NOW - 5),
        pytest.param([NOW + 18_000, NOW + 5], NOW + 5, id="the one that agrees with the arrival"),
        pytest.param([NOW - 121, NOW + 121, NOW - 120], NOW - 120, id="the edge of agreement"),
        pytest.param([NOW + 18_000], NOW + 18_000, id="our clock may be wrong"),
        pytest.param([NOW + 18_000, NOW + 18_120], NOW + 18_000, id="our clock is wrong"),
        pytest.param([NOW + 18_000, NOW + 18_121], None, id="the windows contradict each other"),
        pytest.param([NOW - 3_600, NOW + 3_600], None, id="neither agrees with anything"),
    ],
)
def test_server_time(times: list[float | None], server_time: float | None) -> None:
    """The server's clock is that of the first window that agrees with the arrival, or the one that all agree on."""
    assert coerce.server_time(times, NOW) == server_time


def test_reset_at_the_epoch() -> None:
    """A reset at 0 is dropped: 0 is not a valid timestamp of a reset."""
    assert coerce.reset(500, 0.2, 0.0).resets_at is None
    assert coerce.reset(None, 0.2, 0.0).resets_at is None


@pytest.mark.parametrize(
    ("values", "window"),
    [
        pytest.param((13, 300, RESET, 9_000), Window(used_percent=13, window_minutes=300, resets_at=RESET), id="whole"),
        pytest.param((0, 0, "", 0), None, id="no window"),
        pytest.param((0, 0, 0, 0), None, id="no window, all zeros"),
        pytest.param((None, None, None, None), None, id="missing"),
        pytest.param(("x", "x", "x", "x"), None, id="nothing readable"),
        pytest.param((0, 300, "", 0), Window(used_percent=0, window_minutes=300), id="a length is enough"),
        pytest.param((0.1, 0, "", 0), Window(used_percent=0.1), id="a use is enough"),
        pytest.param((0, 0, RESET, 0), Window(used_percent=0, resets_at=RESET), id="a reset is enough"),
        pytest.param((None, 0, "", 9_000), Window(resets_at=RESET), id="a span is enough"),
        pytest.param(("NaN", 300, RESET, None), Window(window_minutes=300, resets_at=RESET), id="use dropped"),
        pytest.param((13, -300, RESET, None), Window(used_percent=13, resets_at=RESET), id="length dropped"),
        pytest.param((13, 300, "soon", None), Window(used_percent=13, window_minutes=300), id="reset dropped"),
        pytest.param(
            (123.5, 300, RESET, None), Window(used_percent=123.5, window_minutes=300, resets_at=RESET), id=">100"
        ),
    ],
)
def test_window(values: tuple[object, object, object, object], window: Window | None) -> None:
    """A window needs a use, a length or a reset; an unbelievable figure is dropped by itself."""
    observed_at = RESET if values[2] == RESET and values[3] == 0 else NOW
    assert coerce.window(*values, observed_at).window == window


@pytest.mark.parametrize(
    ("values", "server_time", "readable"),
    [
        pytest.param((13, 300, RESET, 9_000), NOW, True, id="whole"),
        pytest.param((0, 0, "", 0), None, True, id="no window"),
        pytest.param((0, "x", "", 0), None, True, id="a use alone"),
        pytest.param(("x", 0, "", 0), None, True, id="a length alone"),
        pytest.param(("x", "x", RESET, 9_000), NOW, True, id="a reset alone"),
        pytest.param(("x", "x", "x", "x"), None, False, id="nothing readable"),
    ],
)
def test_what_is_known_beside_a_window(
    values: tuple[object, object, object, object], server_time: float | None, readable: bool
) -> None:
    """The server's own clock needs both reset figures; one figure is enough to know whether there is a window."""
    found = coerce.window(*values, NOW)
    assert (found.server_time, found.readable) == (server_time, readable)


@pytest.mark.parametrize(
    ("content", "is_read"),
    [
        (b'{"a":[%s0]}' % (b"[]," * (coerce.MAX_CONTAINERS - 2)), True),
        (b'{"a":[%s0]}' % (b"[]," * (coerce.MAX_CONTAINERS - 1)), False),
        (b'{"a":[%s0]}' % (b"0," * coerce.MAX_VALUES), True),
        (b'{"a":[%s0]}' % (b"0," * (coerce.MAX_VALUES + 1)), False),
        (b'{"a":"%s"}' % (b"x" * 4_000_000), True),
        ('{"a":"\ud800"}', True),
        (b"[" * 1_000 + b"]" * 1_000, False),
        (b'{"a":' * 20_000 + b"0" + b"}" * 20_000, False),
    ],
    ids=[
        "most containers",
        "one container more",
        "most values",
        "one value more",
        "a long text",
        "a lone surrogate",
        "no object",
        "deeper than Python parses",
    ],
)
def test_json_object(content: bytes | str, is_read: bool) -> None:
    """A text with more values than a real message is not parsed, because that would hold up all connections."""
    found = coerce.json_object(content)
    assert isinstance(found, dict)
    assert bool(found) is is_read
