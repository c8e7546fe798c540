"""The schema of the alerts file, and its errors: each names the line and the key, and says what to write.

Values are never part of an error, because they may be secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scripts.support.sanitize import sanitize
from scripts.support.toml_file import Location, key_lines, line_of, nearest
from store.analysis.alerting import EARLY, ELSEWHERE, REACHED, RESET, RUNS_DRY, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

MAX_RULES, MAX_TARGETS = 200, 50

_EVENT_KEYS = {"runs_dry": RUNS_DRY, "limit_reached": REACHED, "window_reset": RESET, "window_reset_early": EARLY}
_CONDITIONS = ("at", *_EVENT_KEYS, "used_elsewhere")

_TABLE_HINT = "write each rule as a table: [[rules]]"
_TARGET_HINT = 'write an apprise URL in quotes ("ntfys://…"), or a command as a list (["program", "argument"])'
_NO_CONDITION = "no_condition"
_NO_CONDITION_HINT = f"the rule has no condition; add one of {', '.join(_CONDITIONS)}"

_SHOWN = 60
"""The length of a key that is shown."""

_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


class InvalidError(Exception):
    """The contents are invalid.

    Args:
        at: the keys, and numbers of tables, that lead to the place.
        message: what to write there.
        line: the line of the place, or None if unknown.
    """

    def __init__(self, at: Location, message: str, line: int | None) -> None:
        name = ".".join(_shown(part) for part in at if isinstance(part, str))
        super().__init__(f"{name}: {message}" if name else message)
        self.line = line


def parse(text: str, contents: Mapping[str, object]) -> AlertsFile:
    """Check the contents of a file.

    Args:
        text: the text of the file.
        contents: the same as parsed TOML.

    Raises:
        InvalidError: the contents are invalid; of several errors, the first one in the file.
    """
    try:
        file = AlertsFile.model_validate(contents)
        problems = list(_unknown_targets(file))
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors(include_url=False, include_input=False)]
    else:
        if not problems:
            return file
    lines = key_lines(text)
    placed = [InvalidError(at, message, line_of(lines, at)) for at, message in problems]
    raise min(placed, key=lambda each: each.line or float("inf"))


# The schema. The description of a field is what to write if the value is wrong.


def _minutes_of_day(value: object) -> tuple[int, int]:
    written = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if written:
        hours = [int(each) for each in written.groups()]
        start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if start != end:
            return start, end
    raise ValueError


def _with_program(command: list[str]) -> list[str]:
    if not command or not command[0]:
        raise ValueError
    return command


_Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Length = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^([0-9]+ ?(m|min|h|d)( ?[0-9]+ ?(m|min|h))?|budget|unknown)$"),
]
_TargetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
_Url = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S*$")]
_Command = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]], AfterValidator(_with_program)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class RuleTable(_Table):
    """A rule as it is written."""

    at: Annotated[
        list[_Percent], Field(min_length=1, description="write percents above 0 and up to 100 as a list: [80, 95]")
    ] = []
    runs_dry: Annotated[bool, Field(description="write true or false")] = False
    limit_reached: Annotated[bool, Field(description="write true or false")] = False
    window_reset: Annotated[bool, Field(description="write true or false")] = False
    window_reset_early: Annotated[bool, Field(description="write true or false")] = False
    used_elsewhere: Annotated[
        bool | _Percent, Field(description="write true, false, or a number of points up to 100: 5")
    ] = False
    account: Annotated[
        _Name | None, Field(description='write one account in quotes: account = "…"; leave the key out for all')
    ] = None
    limit: Annotated[
        _Name | None, Field(description='write one limit in quotes: limit = "…"; leave the key out for all')
    ] = None
    window: Annotated[
        _Length | None, Field(description='write "5h", "7d", or another window that status shows, in quotes')
    ] = None
    targets: Annotated[
        list[_TargetName] | None, Field(min_length=1, description='write the names of targets as a list: ["phone"]')
    ] = None

    @model_validator(mode="after")
    def _has_condition(self) -> RuleTable:
        if not self.at and not self._kinds:
            raise PydanticCustomError(_NO_CONDITION, "the rule has no condition")
        return self

    @property
    def _kinds(self) -> frozenset[str]:
        elsewhere = [ELSEWHERE] if self.used_elsewhere is not False else []
        return frozenset([*elsewhere, *(kind for key, kind in _EVENT_KEYS.items() if getattr(self, key))])

    def as_rule(self, names: tuple[str, ...]) -> Rule:
        """Return the rule; without targets of its own it has all `names`."""
        return Rule(
            at=tuple(sorted(set(self.at))),
            kinds=self._kinds,
            elsewhere_points=0.0 if isinstance(self.used_elsewhere, bool) else self.used_elsewhere,
            account=self.account,
            limit=self.limit,
            window=self.window,
            targets=names if self.targets is None else tuple(dict.fromkeys(self.targets)),
        )


class AlertsFile(_Table):
    """The contents of the file; `quiet_hours` are minutes since midnight, a target is a URL or a command."""

    quiet_hours: Annotated[
        tuple[int, int] | None,
        PlainValidator(_minutes_of_day),
        Field(description='write the start and the end in quotes, as in "22:00-07:30"; they must differ'),
    ] = None
    targets: Annotated[
        dict[_TargetName, _Url | _Command],
        Field(max_length=MAX_TARGETS, description=f"write at most {MAX_TARGETS} targets, in the table [targets]"),
    ] = {}
    rules: Annotated[
        list[RuleTable],
        Field(max_length=MAX_RULES, description=f"write each rule as a table, [[rules]], and at most {MAX_RULES}"),
    ] = []


# Errors


def _problem(error: ErrorDetails) -> tuple[Location, str]:
    """Return where an error of pydantic is, and what to write there."""
    match error["loc"]:
        case ("targets", str() as name, "[key]", *_):
            return ("targets", name), "a target's name consists of letters, digits, - and _, 40 at most"
        case ("targets", name, *_):
            return ("targets", name), _TARGET_HINT
        case ("rules", number, str() as key, *_):
            return ("rules", number, key), _hint(RuleTable, key)
        case ("rules", number, *_):
            return ("rules", number), _NO_CONDITION_HINT if error["type"] == _NO_CONDITION else _TABLE_HINT
        case (key, *_):
            return (key,), _hint(AlertsFile, str(key))
    return (), "the contents are not a table"


def _hint(table: type[_Table], key: str) -> str:
    field = table.model_fields.get(key)
    return f"unknown key; {nearest(key, list(table.model_fields))}" if field is None else field.description or ""


def _unknown_targets(file: AlertsFile) -> Iterator[tuple[Location, str]]:
    for number, rule in enumerate(file.rules):
        for name in rule.targets or ():
            if name not in file.targets:
                yield ("rules", number, "targets"), f"unknown target {name!r}; {nearest(name, list(file.targets))}"


def _shown(key: str) -> str:
    """Return a key as it may be shown. One with a URL in it may be secret: names and values are easily swapped."""
    return "…" if "://" in key else sanitize(key[:_SHOWN])
