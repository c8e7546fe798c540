"""Fuzz the parsers for some minutes; ``python -m tests.fuzz --help`` tells the options.

With atheris (``pip install atheris``, which not every Python and platform has) what is tried next is led by the code it
reached; without it, seeds are changed at random. An input that breaks a promise is printed, kept as ``crash-…`` in the
current folder, and ends with exit code 1: put it into ``tests/fuzz/corpus/TARGET/`` once it is understood, so that the
tests try it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz.seeds import LONGEST, mutated, seeds


def main() -> int:
    """Fuzz each target that was asked for, for its share of the time; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together (default: 5)")
    parser.add_argument("--target", action="append", help="only this one; can be repeated")
    parser.add_argument("--engine", choices=["atheris", "random"], help="default: atheris where it is installed")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices (default: 0)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    engine = asked.engine or ("atheris" if importlib.util.find_spec("atheris") else "random")
    seconds = asked.minutes * 60
    if asked.alone:
        _fuzz_with_atheris(asked.target[0], max(1, round(seconds)), asked.seed)
    from tests.fuzz.targets import TARGETS

    names = asked.target or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.error(f"no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}")
    run = _start_atheris if engine == "atheris" else _fuzz_at_random
    held = [run(name, seconds / len(names), asked.seed) for name in names]
    return 0 if all(held) else 1


def _fuzz_at_random(name: str, seconds: float, seed: int) -> bool:
    """Change seeds at random for some time; tell whether all promises held."""
    from tests.fuzz.targets import DICTIONARY, TARGETS

    target, known = TARGETS[name], seeds(name)
    choice = random.Random(seed)  # noqa: S311 (not for secrets)
    deadline, tried = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        data = known[tried] if tried < len(known) else mutated(choice, known, DICTIONARY)
        tried += 1
        try:
            target(data)
        except Exception:  # noqa: BLE001 (any is a find)
            traceback.print_exc()
            path = Path(f"crash-{name}-{hashlib.sha256(data).hexdigest()[:12]}")
            path.write_bytes(data)
            print(f"{name}: {tried:,} inputs, the last one fails: {data!r}, kept as {path}", flush=True)
            return False
    print(f"{name}: {tried:,} inputs at random, none failed", flush=True)
    return True


def _start_atheris(name: str, seconds: float, seed: int) -> bool:
    """Run atheris in a process of its own, which it ends as it likes; tell whether all promises held."""
    words = ["--alone", "--target", name, "--minutes", str(seconds / 60), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    told = [line for line in lines if line.startswith(("Done ", "stat::number_of_executed_units", "stat::new_units"))]
    if done.returncode:
        print("\n".join(lines[-40:]))
    print(f"{name}: {'; '.join(told) or 'ended early'}; {'failed' if done.returncode else 'none failed'}", flush=True)
    return not done.returncode


def _fuzz_with_atheris(name: str, seconds: int, seed: int) -> None:
    """Fuzz a target until the time is up; never returns."""
    atheris: Any = importlib.import_module("atheris")  # without types, and not everywhere
    with atheris.instrument_imports(include=["addon"]):
        from tests.fuzz.targets import DICTIONARY, TARGETS
    with tempfile.TemporaryDirectory(prefix="codex-tap-fuzz-") as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, data in enumerate(seeds(name)):
            (corpus / str(number)).write_bytes(data)
        dictionary = Path(folder, "dictionary")
        escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in DICTIONARY)
        dictionary.write_text("".join(f'"{word}"\n' for word in escaped))
        flags = [
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            f"-dict={dictionary}",
            f"-artifact_prefix=crash-{name}-",
            f"-seed={seed}",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
