"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Rounds have proxies of their own; a segment is what one figure comes from, of both proxies in turns."""

    rounds: int
    segments: int
    answers: int
    """Short answers of a segment, back to back; a multiple of ten."""
    apart_segments: int
    apart_answers: int
    """Short answers of a segment with pauses."""
    timed_answers: int
    """Answers whose hooks are timed."""
    stream_segments: int
    streams: int
    """Streamed answers of a segment."""
    messages: int
    """Websocket messages of a segment."""
    timed_messages: int
    small_messages: int
    """Messages of 600 bytes after which memory is looked at."""
    large_messages: int
    """... of 100 kB."""
    strangers: int
    """Requests of a segment to a host that is not Codex's."""
    recorder_runs: int
    snapshots: int
    history: int
    """Snapshots in the file that a prompt reads."""
    prompts: int
    long_snapshots: int
    """Snapshots of the year of history on which questions are asked."""
    long_turns: int
    long_days: int
    long_rounds: int
    """How often each question is asked there."""
    heavy_segments: int
    heavy_requests: int
    """Questions of a segment beside a heavy one."""
    heavy_updates: int
    """Changes of a segment of which a page is to hear."""
    question_step: int
    """1: all questions are asked; 3: every third one."""
    import_runs: int
    session_bytes: int
    """Of session files that are imported."""
    team_accounts: int
    """Accounts in a team's database."""
    team_connections: tuple[int, ...]
    """Machines that ship to a team's database at once."""
    team_rows: int
    """Snapshots in a batch of a machine that was away for long, and as many turns."""
    team_bulk: int
    """Such batches, of all machines."""
    team_batches: int
    """Small batches, of all machines."""


FULL = Size(
    rounds=8,
    segments=6,
    answers=40,
    apart_segments=6,
    apart_answers=20,
    timed_answers=2_000,
    stream_segments=24,
    streams=5,
    messages=1_000,
    timed_messages=20_000,
    small_messages=20_000,
    large_messages=2_000,
    strangers=40,
    recorder_runs=3,
    snapshots=100_000,
    history=100_000,
    prompts=20,
    long_snapshots=1_000_000,
    long_turns=2_000_000,
    long_days=365,
    long_rounds=5,
    heavy_segments=3,
    heavy_requests=20,
    heavy_updates=8,
    question_step=1,
    import_runs=3,
    session_bytes=1_000_000_000,
    team_accounts=10_000,
    team_connections=(1, 10, 100),
    team_rows=2_000,
    team_bulk=100,
    team_batches=6_000,
)

QUICK = Size(
    rounds=1,
    segments=6,
    answers=20,
    apart_segments=2,
    apart_answers=4,
    timed_answers=200,
    stream_segments=4,
    streams=3,
    messages=200,
    timed_messages=1_000,
    small_messages=1_000,
    large_messages=60,
    strangers=10,
    recorder_runs=1,
    snapshots=10_000,
    history=5_000,
    prompts=5,
    long_snapshots=20_000,
    long_turns=40_000,
    long_days=365,
    long_rounds=3,
    heavy_segments=1,
    heavy_requests=10,
    heavy_updates=4,
    question_step=3,
    import_runs=3,
    session_bytes=100_000_000,
    team_accounts=1_000,
    team_connections=(1, 10),
    team_rows=2_000,
    team_bulk=10,
    team_batches=600,
)

SMALL = Size(
    rounds=1,
    segments=1,
    answers=10,
    apart_segments=1,
    apart_answers=2,
    timed_answers=10,
    stream_segments=1,
    streams=1,
    messages=20,
    timed_messages=200,
    small_messages=40,
    large_messages=4,
    strangers=2,
    recorder_runs=1,
    snapshots=200,
    history=100,
    prompts=1,
    long_snapshots=300,
    long_turns=600,
    long_days=30,
    long_rounds=1,
    heavy_segments=1,
    heavy_requests=2,
    heavy_updates=2,
    question_step=7,
    import_runs=1,
    session_bytes=500_000,
    team_accounts=250,
    team_connections=(1, 2),
    team_rows=20,
    team_bulk=2,
    team_batches=4,
)
"""Enough to see that everything works; its figures say nothing."""
