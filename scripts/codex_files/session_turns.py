"""Lines of a session file → turns and limits. No prompt and no response is read: `session_lines` passes them over.

What Codex writes, as observed with 0.169.0, and with 0.98.0 where the two differ:

- ``session_meta`` names thread, session, parent, client and account. The file of a fork may begin with a copy of its
  parent's lines, its parent's ``session_meta`` among them (0.98.0). All copies have the time of the fork.
- ``turn_context`` tells model and effort of the requests that follow, ``thread_settings_applied`` the service tier.
- ``token_usage_record`` has the tokens of one response, and its id. Before it existed, ``token_count`` told them:
  ``last_token_usage`` is that of one response, and is repeated where nothing but a limit is new.
- ``token_count`` has the limits that came with the beginning of a response, and is written at its end: they held when
  the request was sent. One that is written by itself holds from then on.
- A refusal is written as a limit without windows, which says nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from scripts.codex_files.session_lines import LineKind
from store import coerce
from store.constants import MAIN_LIMIT, MAIN_NAMES
from store.imports import ImportedLimit, ImportedTurn, Owner
from store.windows import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.codex_files.session_lines import Line
    from store.models import Window

COPY_SECONDS = 0.05
"""Lines of a copy follow each other at once: no server responds that fast."""

_TIME = b'{"timestamp":"'
_MINUTE_END, _ZONE_AT = len(_TIME) + len("2026-11-21T12:00"), len(_TIME) + len("2026-11-21T12:00:00.000")
MAX_TIME_BYTES = 60
"""A line's time stands within its first bytes."""

_COUNT, _USAGE = LineKind.COUNT, LineKind.USAGE

_LIMITS, _INFO, _LAST = b',"rate_limits":', b'"info":', b',"last_token_usage"'


class SessionInfo(NamedTuple):
    """What a session says of itself; ``provider`` is that of its model, ``owner`` the account that began it."""

    thread: str
    session: str | None = None
    parent_thread: str | None = None
    subagent: str | None = None
    client: str | None = None
    provider: str | None = None
    owner: Owner | None = None


class Mark(NamedTuple):
    """Where a line begins, and its time as it is written there: by it a file is known again."""

    begins_at: int
    written: str


class SessionTurns:
    """The turns and limits of one session file, fed line by line.

    ``info`` is what the session says of itself. ``damaged`` counts lines that are not what they should be, and have no
    effect. ``passed_over`` is true if something was before the time asked for. ``turns`` are those since the last
    `take`.
    """

    def __init__(self, thread: str, since: float, until: float) -> None:
        """Read the session of a thread, and of it what is from `since` to `until` (Unix seconds)."""
        self.info = SessionInfo(thread)
        self.damaged = 0
        self.passed_over = False
        self._since, self._until = since, until
        self.turns: list[ImportedTurn] = []
        self._limits: list[ImportedLimit] = []
        self._limit: ImportedLimit | None = None
        self._limit_seen_at = 0.0
        self._model: str | None = None
        self._effort: str | None = None
        self._tier: str | None = None
        self._asked_at: float | None = None
        self._asked_at_before = 0.0
        self._last: Line | None = None
        self._copied_at: float | None = None
        self._recorded = False
        self._totals, self._reading = _Totals(), _Repeated()

    @property
    def mark(self) -> Mark | None:
        """The last line that was fed; None before the first."""
        return Mark(self._last.begins_at, written_time(self._last.content)) if self._last else None

    @property
    def state(self) -> str:
        """What the lines that follow depend on, as JSON for `resume`."""
        return json.dumps(
            {
                "model": self._model,
                "effort": self._effort,
                "tier": self._tier,
                "asked_at": self._asked_at,
                "asked_at_before": self._asked_at_before,
                "recorded": self._recorded,
                "copied_at": self._copied_at,
                "totals": self._totals.digest,
                "mark": self.mark,
            }
        )

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on after the last line of an earlier time."""
        self._model, self._effort, self._tier = (coerce.text(state.get(name)) for name in ("model", "effort", "tier"))
        self._asked_at, self._copied_at = (
            coerce.number(state.get(name), self._until) for name in ("asked_at", "copied_at")
        )
        self._asked_at_before = coerce.number(state.get("asked_at_before"), self._until) or 0.0
        self._recorded = state.get("recorded") is True
        self._totals = _Totals(coerce.text(state.get("totals")))

    def take(self) -> tuple[list[ImportedTurn], list[ImportedLimit]]:
        """Return the turns and limits since the last call; the last limit may be returned again, seen later."""
        turns, limits = self.turns, [*self._limits, *self._current_limit()]
        self.turns, self._limits = [], []
        wanted = [each for each in limits if each.last_seen_at >= self._since]
        self.passed_over |= len(wanted) < len(limits)
        return turns, wanted

    def feed(self, line: Line) -> None:
        """Read one line."""
        kind, content = line.kind, line.content
        if kind is _COUNT and self._recorded and self._reading.equals(_limits_of(content)):
            # Nearly all counts: the line before has the tokens, and the limits are as they were.
            self._recorded = False
            self._totals.note(content)
            self._see_limit_again(self._asked_at_before)
            return
        usual = _USUAL_USAGE(content) if kind is _USAGE else None
        at = _minute_and(usual[1], usual[2]) if usual else _time(content)
        if at is None or at > self._until:
            self.damaged += 1
            return
        self._last = line
        if self._copied_at is not None:
            self._copied_at = at if at - self._copied_at <= COPY_SECONDS else None
        if line.input_head:
            self.note_input(line.input_head)
        if usual:
            _, _, thread, response, *counts = usual.groups()
            self._take_usage(thread.decode(), response.decode(), TokenCounts(*map(int, counts)), at)
        elif kind is _USAGE:
            self._read_usage(content, at)
        elif kind is _COUNT:
            self._read_count(content, at)
        else:
            self._read_about(kind, content, at)

    def _read_about(self, kind: LineKind, content: bytes, at: float) -> None:
        """Read a line about the turns that follow."""
        payload = _payload(content)
        if payload is None:
            self.damaged += 1
        elif kind is LineKind.CONTEXT:
            self._model, self._effort = coerce.text(payload.get("model")), coerce.text(payload.get("effort"))
            self._asked_at = at
        elif kind is LineKind.SETTINGS:
            self._tier = coerce.text(coerce.mapping(payload.get("thread_settings")).get("service_tier"))
        elif payload.get("id") != self.info.thread:
            self._copied_at = at
        else:
            self.info = _session_info(payload, self.info.thread)

    def note_input(self, head: bytes | bytearray) -> None:
        """Take the time of a line with something that the next request sends, by its first bytes."""
        self._asked_at = _time(head) or self._asked_at

    def _read_usage(self, content: bytes, at: float) -> None:
        found = _usage_of(content)
        if found is None:
            self._recorded = True
            self.damaged += 1
        else:
            self._take_usage(*found, at)

    def _take_usage(self, thread: str | None, response: str | None, counts: TokenCounts | None, at: float) -> None:
        self._recorded = True
        if thread in {None, self.info.thread}:
            self._add(counts, response, at)
        self._asked_at_before, self._asked_at = self._asked_before(at), at

    def _read_count(self, content: bytes, at: float) -> None:
        is_recorded, self._recorded = self._recorded, False
        has_turn = not self._totals.repeats(content) and not is_recorded and _LAST in content
        # With the end of a response come the limits of its beginning.
        held_at = self._asked_at_before if is_recorded else self._asked_before(at) if has_turn else at
        if self._reading.repeats(_limits_of(content)) and not has_turn:
            self._see_limit_again(held_at)
            return
        payload = _payload(content)
        if payload is None:
            self.damaged += 1
            return
        self._read_limit(coerce.mapping(payload.get("rate_limits")), held_at)
        if has_turn:
            self._add(_counts(coerce.mapping(payload.get("info")).get("last_token_usage")), None, at)
            self._asked_at = at

    def _asked_before(self, at: float) -> float:
        """Return when the request was sent whose response ended at a time, as far as the file tells."""
        return at if self._asked_at is None else min(self._asked_at, at)

    def _add(self, counts: TokenCounts | None, response_id: str | None, at: float) -> None:
        if counts is None:
            self.damaged += 1
        elif at < self._since:
            self.passed_over = True
        elif self._copied_at is None:
            about = self._model, self._effort, self._tier
            self.turns.append(ImportedTurn(*about, self._asked_before(at), at, response_id, *counts))

    def _read_limit(self, found: Mapping[str, Any], at: float) -> None:
        if self._copied_at is not None:
            self._reading = _Repeated()
            return
        limit_id = coerce.limit_id(found.get("limit_id")) or MAIN_LIMIT
        if limit_id in MAIN_NAMES:
            limit_id = MAIN_LIMIT
        windows = normalize(_window(found.get("primary"), at), _window(found.get("secondary"), at), at)
        if self._limit and (self._limit.limit_id, self._limit.windows) == (limit_id, windows):
            self._see_limit_again(at)
            return
        self._limits += self._current_limit()
        name = coerce.text(found.get("limit_name"))
        self._limit = ImportedLimit(limit_id, name, at, at, windows) if windows else None
        self._limit_seen_at = at

    def _see_limit_again(self, at: float) -> None:
        self._limit_seen_at = max(self._limit_seen_at, at)

    def _current_limit(self) -> list[ImportedLimit]:
        return [self._limit._replace(last_seen_at=self._limit_seen_at)] if self._limit else []


class _Repeated:
    """A part of a line that most lines repeat; ``digest`` stands for the latest, which need not be kept itself."""

    def __init__(self, digest: str | None = None) -> None:
        self._digest = digest
        self._part: bytes | None = None

    @property
    def digest(self) -> str | None:
        return self._digest if self._part is None else hashlib.blake2b(self._part, digest_size=8).hexdigest()

    def equals(self, part: bytes) -> bool:
        """Return True if a part equals the latest one."""
        return part == self._part

    def repeats(self, part: bytes) -> bool:
        """Return True if a part equals the one before it, in whose place it stands from now on."""
        before = self.digest if self._part is None else None
        was, self._part = self._part, part
        return part == was if was is not None else before is not None and before == self.digest


class _Totals:
    """How many tokens there were so far, by the latest count; nearly always that is not asked for."""

    def __init__(self, digest: str | None = None) -> None:
        self._latest: bytes | None = None
        self._part = _Repeated(digest)

    @property
    def digest(self) -> str | None:
        self._look()
        return self._part.digest

    def note(self, count: bytes) -> None:
        """Note the line of a count."""
        self._latest = count

    def repeats(self, count: bytes) -> bool:
        """Return True if the line of a count says what the one before it said."""
        self._look()
        return self._part.repeats(_totals_of(count))

    def _look(self) -> None:
        if self._latest is not None:
            self._part.repeats(_totals_of(self._latest))
            self._latest = None


def _totals_of(content: bytes) -> bytes:
    """Return the part of a count that says how many tokens there were so far."""
    begin = content.find(_INFO)
    end = content.find(_LAST, begin)
    return content[begin : end if end > 0 else content.find(_LIMITS, begin)]


def _limits_of(content: bytes) -> bytes:
    """Return the part of a count that says how limits stand."""
    return content[content.rfind(_LIMITS) :]


class TokenCounts(NamedTuple):
    """The tokens of a response, in the order of `store.imports.ImportedTurn`; None is unknown."""

    input: int | None
    cached: int | None
    cache_write: int | None
    output: int | None
    reasoning: int | None


class _Usage(NamedTuple):
    """A record of the tokens of a response: whose thread it is, the response's id, and the tokens."""

    thread: str | None
    response_id: str | None
    counts: TokenCounts | None


_USUAL_USAGE = re.compile(
    rb'\{"timestamp":"([0-9T:-]{16}):([0-9]{2}\.[0-9]{3})Z",(?:"ordinal":[0-9]+,)?"type":"token_usage_record",'
    rb'"payload":\{"thread_id":"([0-9a-f-]{36})",[^{}]*"response_id":"([A-Za-z0-9_-]{1,120})",'
    rb'"usage":\{"input_tokens":([0-9]{1,9}),"cached_input_tokens":([0-9]{1,9}),"cache_write_input_tokens":([0-9]{1,9}),'
    rb'"output_tokens":([0-9]{1,9}),"reasoning_output_tokens":([0-9]{1,9}),'
).match
"""A record as Codex 0.169.0 writes it: several times as fast as to read its JSON."""


def _usage_of(content: bytes) -> _Usage | None:
    """Return what a record of tokens says; None if it cannot be read."""
    payload = _payload(content)
    if payload is None:
        return None
    thread = payload.get("thread_id")
    return _Usage(
        thread if isinstance(thread, str) else None,
        coerce.text(payload.get("response_id")),
        _counts(payload.get("usage")),
    )


def _counts(usage: object) -> TokenCounts | None:
    """Return the tokens of a response; None if there are none."""
    if not isinstance(usage, dict):
        return None
    return TokenCounts(
        coerce.count(usage.get("input_tokens")),
        coerce.count(usage.get("cached_input_tokens")),
        coerce.count(usage.get("cache_write_input_tokens")),
        coerce.count(usage.get("output_tokens")),
        coerce.count(usage.get("reasoning_output_tokens")),
    )


def written_time(content: bytes | bytearray) -> str:
    """Return the time as it is written at the beginning of a line; empty if there is none."""
    begin = len(_TIME) if content.startswith(_TIME) else MAX_TIME_BYTES
    return content[begin : max(begin, content.find(b'"', begin, MAX_TIME_BYTES))].decode("ascii", "replace")


def _time(content: bytes | bytearray) -> float | None:
    """Return the time (Unix seconds) at the beginning of a line; None if there is none."""
    if content.startswith(_TIME) and content[_ZONE_AT : _ZONE_AT + 1] == b"Z":
        minute = _minute(bytes(content[len(_TIME) : _MINUTE_END]))
        if minute is not None:
            try:
                return minute + float(content[_MINUTE_END + 1 : _ZONE_AT])
            except ValueError:
                return None
    return _timestamp(written_time(content))


@functools.lru_cache(maxsize=64)
def _minute(written: bytes) -> float | None:
    """Return the beginning (Unix seconds) of a minute such as ``2026-11-21T12:00``; None if it is none."""
    return _timestamp(f"{written.decode('ascii', 'replace')}:00Z")


def _minute_and(minute: bytes, seconds: bytes) -> float | None:
    begin = _minute(minute)
    return None if begin is None else begin + float(seconds)


def _timestamp(written: str) -> float | None:
    """Return the Unix seconds of a time as Codex writes it, in UTC; None if it is none."""
    try:
        found = datetime.fromisoformat(written)
        at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if at > 0 else None


def _payload(content: bytes) -> dict[str, Any] | None:
    """Return the payload of a line; None if it is not JSON or has none."""
    try:
        found = from_json(content)
    except (ValueError, RecursionError):
        return None
    payload = found.get("payload") if isinstance(found, dict) else None
    return payload if isinstance(payload, dict) else None


def _session_info(payload: Mapping[str, Any], thread: str) -> SessionInfo:
    account_id = coerce.text(payload.get("creator_account_id"))
    return SessionInfo(
        thread=thread,
        session=coerce.text(payload.get("session_id")) or thread,
        parent_thread=coerce.text(payload.get("parent_thread_id")),
        subagent=_subagent(payload.get("source")),
        client=coerce.text(payload.get("originator")),
        provider=coerce.text(payload.get("model_provider")),
        owner=Owner(account_id, coerce.text(payload.get("creator_user_id")) or "") if account_id else None,
    )


def _subagent(source: object) -> str | None:
    """Return the kind of sub-agent, which Codex writes as a word, or as an object with the kind as its one field."""
    found = coerce.mapping(source).get("subagent")
    if isinstance(found, dict):
        found = next(iter(found), None)
    return coerce.text(found)


def _window(found: object, at: float) -> Window | None:
    window = coerce.mapping(found)
    used, minutes, resets_at, resets_in = (
        window.get(name) for name in ("used_percent", "window_minutes", "resets_at", "resets_in_seconds")
    )
    return coerce.window(used, minutes, resets_at, resets_in, at).window
