"""Session files as the real Codex 0.169.0 writes them, line by line; those of older versions lack some of them."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.factories import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPT, RESPONSE = "PROMPT-THAT-NOBODY-KEEPS", "RESPONSE-THAT-NOBODY-KEEPS"
"""Stand in each file where a prompt and a response stand."""

WEEK = {"used_percent": 40.0, "window_minutes": 10_080, "resets_at": int(NOON) + 300_000}


def thread_id(number: int) -> str:
    """Return the id of a thread."""
    return str(uuid.UUID(int=0x0199_0000_0000_7000_8000_0000_0000_0000 + number))


def usage(tokens: tuple[int, ...]) -> dict[str, int]:
    """Return tokens as session files have them: input, cached, output, reasoning, written into the cache."""
    given, cached, output, reasoning, written = (*tokens, 0, 0, 0, 0)[:5]
    return {
        "input_tokens": given,
        "cached_input_tokens": cached,
        "cache_write_input_tokens": written,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
        "total_tokens": given + output,
    }


@dataclass
class SessionText:
    """The lines of one session; each is appended by a method, at a time in Unix seconds."""

    thread: str = field(default_factory=lambda: thread_id(1))
    account: str | None = "acct-a"
    user: str | None = "user-a"
    lines: list[bytes] = field(default_factory=list)
    ordinals: bool = True
    totals: list[int] = field(default_factory=lambda: [0] * 5)

    def add(self, at: float, kind: str, payload: dict[str, Any]) -> SessionText:
        """Append a line as it is in the file."""
        written = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"timestamp": written, **({"ordinal": len(self.lines)} if self.ordinals else {})}
        line = json.dumps({**head, "type": kind, "payload": payload}, separators=(",", ":"))
        self.lines.append(line.encode() + b"\n")
        return self

    def begin(self, at: float, **fields: Any) -> SessionText:
        """Append the first line of a session."""
        owner = {"creator_user_id": self.user, "creator_account_id": self.account} if self.account else {}
        return self.add(
            at,
            "session_meta",
            {
                **owner,
                "session_id": self.thread,
                "id": self.thread,
                "cwd": "/home/somebody/secret-project",
                "originator": "codex_exec",
                "source": "exec",
                "model_provider": "openai",
                "base_instructions": {"text": f"You are Codex. {PROMPT}"},
                **fields,
            },
        )

    def ask(self, at: float, model: str | None = "gpt-6.1-sol", effort: str | None = None) -> SessionText:
        """Append a turn's context and its prompt."""
        self.add(at, "turn_context", {"cwd": "/home/somebody/secret-project", "model": model, "effort": effort})
        content = [{"type": "input_text", "text": PROMPT}]
        return self.add(at, "response_item", {"type": "message", "role": "user", "content": content})

    def output(self, at: float, text: str = PROMPT) -> SessionText:
        """Append the output of a command, which the next request sends."""
        return self.add(at, "response_item", {"type": "function_call_output", "call_id": "c", "output": text})

    def tier(self, at: float, tier: str | None) -> SessionText:
        """Append the settings of a thread."""
        return self.add(at, "event_msg", {"type": "thread_settings_applied", "thread_settings": {"service_tier": tier}})

    def respond(
        self,
        at: float,
        tokens: tuple[int, ...] = (1_000, 800, 50, 20, 0),
        *,
        response: str | None = None,
        limits: dict[str, Any] | None = None,
        record: bool = True,
    ) -> SessionText:
        """Append the end of a response: its text, its tokens and the limits; without a `record` as before 0.169."""
        content = [{"type": "output_text", "text": RESPONSE}]
        self.add(at, "response_item", {"type": "message", "role": "assistant", "content": content})
        if record:
            about = {"thread_id": self.thread, "turn_id": "turn", "session_id": self.thread, "response_id": response}
            self.add(at, "token_usage_record", {**about, "usage": usage(tokens)})
        self.totals = [total + number for total, number in zip(self.totals, (*tokens, 0, 0, 0, 0), strict=False)]
        return self.count(at, tokens, limits=limits)

    def count(self, at: float, tokens: tuple[int, ...] | None, *, limits: dict[str, Any] | None = None) -> SessionText:
        """Append a count of tokens; None stands for one before the first response."""
        info = tokens and {
            "total_token_usage": usage(tuple(self.totals)),
            "last_token_usage": usage(tokens),
            "model_context_window": 258_400,
        }
        return self.add(at, "event_msg", {"type": "token_count", "info": info, "rate_limits": limits})

    @property
    def content(self) -> bytes:
        """The bytes of the file so far."""
        return b"".join(self.lines)

    def write(self, home: Path, *, folder: str = "sessions/2026/11/21", end: str = ".jsonl") -> Path:
        """Write the file where Codex has it, as long as it is so far."""
        path = home / folder / f"rollout-2026-11-21T12-00-00-{self.thread}{end}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        return path


def limits(used: float = 40.0, **fields: Any) -> dict[str, Any]:
    """Return the limits of a count: the window of 7 d, as used as it is."""
    return {
        "limit_id": "codex",
        "limit_name": None,
        "primary": {**WEEK, "used_percent": used},
        "secondary": None,
        **fields,
    }


_TEMPLATES = 20


def write_sessions(home: Path, size: int, *, seed: int = 1) -> int:
    """Write sessions of real proportions, about `size` bytes in all; return the number of their responses.

    After the first ones, sessions repeat earlier ones under another thread.
    """
    chance = random.Random(seed)  # noqa: S311 (a made-up history)
    made: list[tuple[str, bytes, int]] = []
    written = responses = number = 0
    while written < size:
        number += 1
        session = SessionText(thread_id(number))
        if len(made) < _TEMPLATES:
            lines = list(_lines(session, chance, NOON - 30 * 86_400 + number * 9_000, responses))
            made.append((session.thread, b"".join(line for line, _ in lines), sum(ends for _, ends in lines)))
            content, turns = made[-1][1:]
        else:
            thread, content, turns = made[number % _TEMPLATES]
            content = content.replace(thread.encode(), session.thread.encode())
        path = session.write(home)
        written += path.write_bytes(content)
        responses += turns
    return responses


def _lines(session: SessionText, chance: random.Random, at: float, first: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines of a session of some ten turns, and whether each ends a response."""
    session.begin(at, base_instructions={"text": _text(chance, 22_000)})
    session.add(at, "response_item", {"type": "additional_tools", "tools": _text(chance, 38_000)})
    session.add(at, "response_item", {"type": "message", "role": "developer", "content": _text(chance, 30_000)})
    yield from _taken(session)
    number = first
    for _ in range(chance.randint(3, 20)):
        at += 60
        session.ask(at)
        for _ in range(chance.randint(1, 16)):
            at += chance.uniform(2, 12)
            number += 1
            session.add(at, "response_item", {"type": "reasoning", "encrypted_content": _text(chance, 2_400)})
            session.add(at, "response_item", {"type": "function_call", "arguments": _text(chance, 400)})
            given = chance.randint(5_000, 200_000)
            session.respond(
                at,
                (given, given * 9 // 10, chance.randint(50, 3_000), 40),
                response=f"resp_{number:032x}",
                limits=limits(number // 40 % 100),
            )
            length = min(40_000, int(chance.expovariate(1 / 3_500)))
            session.output(at + 1, _text(chance, length))
            session.add(at + 1, "event_msg", {"type": "item_completed", "item": _text(chance, length)})
            yield from _taken(session)


def _taken(session: SessionText) -> Iterator[tuple[bytes, bool]]:
    lines, session.lines = session.lines, []
    return ((line, b'"token_usage_record"' in line[:100]) for line in lines)


_NOISE = "The quick brown fox said \\n that {x: 1} is [2]. " * 1_000


def _text(chance: random.Random, length: int) -> str:
    begin = chance.randrange(1_000)
    return _NOISE[begin : begin + length]
