"""The product's outputs, byte for byte, over a made-up database and at a fixed time.

``tests/data/pinned`` has a file for each command, for each endpoint, and for what the recorder writes; its sections are
the cases. ``python -m tests.system.test_pinned_outputs`` writes the files again; what it changes is then to be read in
the diff: each line of it is a change of behaviour.

Left out is what no two machines share: paths, ports, versions, the wrapping of help, and the last digits of numbers.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click
import pytest

from tests.support import pinned, pinned_story
from tests.support.harness import free_port, wait_until
from tests.support.pinned_cases import API, COMMANDS, DATABASES, Case, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PINNED = Path(__file__).parents[1] / "data" / "pinned"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot choose its time zone there")

VIEWS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "pipe": ({}, {"COLUMNS": "100"}),
    "ASCII pipe": ({"encoding": "ascii"}, {"COLUMNS": "100"}),
    "terminal of 100 columns": ({"terminal": True}, {"COLUMNS": "100", "NO_COLOR": "1"}),
    "terminal of 60 columns": ({"terminal": True}, {"COLUMNS": "60", "NO_COLOR": "1"}),
    "terminal of 100 columns with colours": ({"terminal": True}, {"COLUMNS": "100"}),
    "terminal of 400 columns with colours": ({"terminal": True}, {"COLUMNS": "400"}),
}
"""How an output is looked at: what it goes to, and the environment."""

STARTS_PROGRAMS = {"run", "proxy", "install", "serve", "demo", "alerts watch"}
"""Commands that do not end by themselves or start others; their own tests run them, and not every option is a case."""


# Normal form


class _Replacer:
    """Writes names in the place of what differs between machines."""

    def __init__(self, home: Path, port: int) -> None:
        self._texts = {
            str(pinned.user_data_folder()): "<data>",
            str(home): "<home>",
            sys.prefix: "<prefix>",
            f":{port}": ":<port>",
            f"codex-tap {pinned.version()}": "codex-tap <version>",
            f'version": "{pinned.version()}"': 'version": "<version>"',
            f'version="{pinned.version()}"': 'version="<version>"',
        }

    def __call__(self, text: str) -> str:
        for found, name in self._texts.items():
            text = text.replace(found, name)
        text = re.sub(r"-?\d+\.\d{12,}(?:e[+-]?\d+)?", lambda number: f"{float(number[0]):.12g}", text)
        text = text.replace("Unprocessable Entity", "Unprocessable Content")  # its name before Python 3.13
        text = re.sub(r"\[Errno \d+\] ", "", text)
        # How many pages a file has is SQLite's own affair.
        text = re.sub(r'(?<="freed_bytes": )\d+|\b[\d.]+(?= MB\b)', "<size>", text)
        return text.replace("\x1b", "␛").replace("\r", "␍")


def _unwrapped(text: str) -> str:
    """Return help without its alignment and its brackets around a command that may be left out, which are click's."""
    return re.sub(r"(?<=\S) {2,}", "  ", text).replace("[COMMAND] [ARGS]", "COMMAND [ARGS]")


# The command line


@functools.cache
def _story() -> bytes:
    """Return the database of the story."""
    with tempfile.TemporaryDirectory() as folder, pinned.stand_still(Path(folder)):
        path = Path(folder) / "tap.sqlite3"
        pinned_story.tell(path)
        return path.read_bytes()


def _command_file(words: str, _sites: Sites) -> str:
    """Return the help of a command and the outputs of its cases."""
    parts = [_help(words)]
    for case in COMMANDS.get(words, ()):
        parts += [_case(words, case, view) for view in case.views]
    return "\n".join(parts)


def _help(words: str) -> str:
    with tempfile.TemporaryDirectory() as folder, pinned.stand_still(Path(folder)):
        found = pinned.run([*words.split(), "--help"])
        assert (found.stderr, found.exit_code) == ("", 0)
        return f"$ codex-tap {words} --help".replace("  ", " ") + f"\n{_unwrapped(found.stdout)}"


def _case(words: str, case: Case, view: str) -> str:
    """Run the commands of a case in a home of its own, and return what they wrote."""
    target, environment = VIEWS[view]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        home, port = Path(name).resolve() / "home", free_port()
        home.mkdir()
        patch = stack.enter_context(pinned.stand_still(home))
        DATABASES[case.database](home / "tap.sqlite3", _story())
        for variable, value in {**environment, **case.environment}.items():
            patch.setenv(variable, value.format(home=home, port=port))
        case.prepare(home)
        if case.interrupted:
            pinned.stop_at_first_sleep(patch)
        replace = _Replacer(home, port)
        written = []
        for number, line in enumerate(case.lines):
            arguments = [each.format(home=home, port=port) for each in shlex.split(line)]
            own = [] if number else words.split()
            found = pinned.run([*own, *arguments], stdin="" if number else case.stdin, **target)
            heading = f"$ codex-tap {' '.join([*own, line])}".rstrip()
            title = "" if number else f"  # {view}{'' if case.database == 'story' else f', {case.database}'}{case.note}"
            written.append(heading + title + "\n" + replace(_shown(found, case.without)))
        return "".join(written)


def _shown(found: pinned.Output, without: str | None) -> str:
    """Return what a command wrote, one stream after the other, without lines that `without` matches."""
    streams = [found.stdout, found.stderr]
    if without is not None:
        streams = [re.sub(without, "", each, flags=re.MULTILINE) for each in streams]
    out, err = streams
    if found.stderr.startswith("Usage: "):
        err = err.partition("\n\n")[2]
    ends = [each if not each or each.endswith("\n") else f"{each}⏎\n" for each in (out, err.lstrip("\n"))]
    code = f"[exit code {found.exit_code}]\n" if found.exit_code else ""
    return ends[0] + (f"[standard error]\n{ends[1]}" if ends[1] else "") + code


# The API


class Sites(contextlib.ExitStack):
    """Servers that run until the `with` block ends, one for each database and its settings."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, tuple[Path, Any]] = {}

    def find(self, question: Question) -> tuple[Path, Any]:
        """Return the home and the server of a question."""
        if question.alone:
            return self._open(question)
        key = repr((question.database, question.settings))
        if key not in self._found:
            self._found[key] = self._open(question)
        return self._found[key]

    def _open(self, question: Question) -> tuple[Path, Any]:
        home = Path(self.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))).resolve()
        DATABASES[question.database](home / "tap.sqlite3", _story())
        return home, self.enter_context(pinned.site(home / "tap.sqlite3", **question.settings))


def _api_file(name: str, sites: Sites) -> str:
    """Ask the questions of an endpoint."""
    parts = []
    for question in API[name]:
        home, site = sites.find(question)
        with pinned.stand_still(home):
            parts.append(_Replacer(home, 1)(_asked(question, site)))
    return "\n".join(parts)


def _asked(question: Question, site: Any) -> str:
    """Return the requests of a question and what came back."""
    settings = "".join(f", {name}={value}" for name, value in question.settings.items())
    database = "" if question.database == "story" else f", {question.database}"
    written = []
    for number, line in enumerate(question.lines):
        method, _, target = line.partition(" ")
        body = None if number or question.body is None else question.body
        headers = {**(pinned.WRITE if method != "GET" else {}), **question.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if question.wait_for:
            _wait_for(question.wait_for, site, target)
        found = pinned.ask(site.port, method, target, headers, body)
        sent = f" {json.dumps(question.headers)}" if question.headers else ""
        about = f"  #{settings}{database}".replace("#, ", "# ").removesuffix("  #")
        written.append(f"> {line}{sent}{f' {body}' if body else ''}{about}\n{_received(found, question)}")
    return "".join(written)


def _wait_for(text: str, site: Any, target: str) -> None:
    """Return when a text is in the response: turns are counted apart after the start."""
    wait_until(lambda: text in site.get(target).text, lambda: f"{target} never says {text}")


_HEADERS = ("content-type", "cache-control", "retry-after", "www-authenticate")


def _received(found: pinned.Response, question: Question) -> str:
    named = question.show_headers or _HEADERS
    lines = [f"< {found.status}", *(f"{name}: {found.headers[name]}" for name in named if name in found.headers)]
    return "\n".join([*lines, _body(found, question.part)]).rstrip("\n") + "\n"


def _body(found: pinned.Response, part: Callable[[Any], Any] | None) -> str:
    """Return a body as it came; JSON is laid out, where it was as compact as it can be."""
    if not found.body or found.headers["content-type"].startswith("text/html"):
        return ""
    text = found.body.decode()
    if "json" not in found.headers["content-type"]:
        return text
    document = json.loads(text)
    compact = json.dumps(document, separators=(",", ":"))
    if part is None:
        assert text == compact
    return json.dumps(document if part is None else part(document), indent=2)


# What the recorder writes


TABLES = ("accounts", "tokens", "snapshots", "limits", "requests", "threads", "losses", "spills")
OTHERS = ("latest", "changes", "turns")


def _schema(path: Path) -> str:
    """Return the whole schema of a database and what its header says."""
    with contextlib.closing(pinned.connect(path)) as connection:
        pragmas = ("application_id", "user_version", "journal_mode", "page_size", "auto_vacuum", "encoding")
        header = [f"{name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]}" for name in pragmas]
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name"
        )
        applied = connection.execute("SELECT migration_set, name FROM _sqlite_migrations ORDER BY name")
        steps = [f"applied {row['migration_set']}: {row['name']}" for row in applied]
        return "\n\n".join(["\n".join([*header, *steps]), *(f"{row['sql']};" for row in found)]) + "\n"


def _store_schema(folder: Path) -> str:
    path = folder / "tap.sqlite3"
    pinned.record(path, [])
    return _schema(path)


def _store_first_schema(folder: Path) -> str:
    """Bring a file of the first schema to today's, and return what became of it."""
    path = folder / "tap.sqlite3"
    DATABASES["first schema"](path, b"")
    at = pinned_story.MIDNIGHT
    pinned.record(path, [pinned.snapshot(pinned_story.ANN, at, pinned.limit({"5h": (14.0, 300, at + 9_000)}))])
    new = folder / "new.sqlite3"
    pinned.record(new, [])
    files = sorted(each.name for each in folder.iterdir() if each.name.startswith("tap."))
    differs = "" if _schema(path) == _schema(new) else _schema(path)
    return f"files: {', '.join(files)}\nschema: {differs or 'as in a new file'}\n\n{_tables(path, (*TABLES, *OTHERS))}"


def _store_story(folder: Path) -> str:
    path = folder / "tap.sqlite3"
    path.write_bytes(_story())
    return _tables(path, (*TABLES, *OTHERS))


def _tables(path: Path, names: tuple[str, ...]) -> str:
    with contextlib.closing(pinned.connect(path)) as connection:
        return "\n".join("\n".join([f"-- {name}", *pinned.rows(connection, name), ""]) for name in names)


def _store_captures(folder: Path) -> str:
    """Return the rows that each capture of ``tests/data`` leaves behind."""
    path = folder / "tap.sqlite3"
    captures = list(pinned.capture_entries())
    pinned.record(path, [entry for _, entries in captures for entry in entries])
    parts = []
    with contextlib.closing(pinned.connect(path)) as connection:
        for name, _ in captures:
            found = connection.execute("SELECT id FROM accounts WHERE account_id = ?", (f"acct-{name}",)).fetchone()
            lines = [f"-- {name}"]
            if found:
                lines += [
                    f"{table}: {row}"
                    for table in ("accounts", "snapshots", "limits", "requests")
                    for row in pinned.rows(
                        connection, table, f"{'id' if table == 'accounts' else 'account'} = ?", (found["id"],)
                    )
                ]
            parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


STORE = {
    "schema": _store_schema,
    "first-schema": _store_first_schema,
    "story": _store_story,
    "captures": _store_captures,
}


def _store_file(name: str, _sites: Sites) -> str:
    with tempfile.TemporaryDirectory() as folder, pinned.stand_still(Path(folder)):
        return STORE[name](Path(folder))


# The files


class _File(NamedTuple):
    """A pinned file: who writes it, and what of."""

    write: Callable[[str, Sites], str]
    name: str


def _files() -> Iterator[tuple[str, _File]]:
    for words in pinned.commands():
        yield f"cli/{words.replace(' ', '-') or 'codex-tap'}.txt", _File(_command_file, words)
    for name in API:
        yield f"api/{name}.txt", _File(_api_file, name)
    for name in STORE:
        yield f"store/{name}.txt", _File(_store_file, name)


FILES = dict(_files())


@pytest.fixture(scope="module", name="sites")
def _sites() -> Iterator[Sites]:
    with Sites() as sites:
        yield sites


@pytest.mark.parametrize("name", FILES)
def test_output(name: str, sites: Sites) -> None:
    """What is written is what stands in the file, byte for byte."""
    file = FILES[name]
    assert file.write(file.name, sites) == (PINNED / name).read_text("utf-8")


def test_no_file_is_left_over() -> None:
    """Each pinned file belongs to a command, an endpoint or the store."""
    assert {path.relative_to(PINNED).as_posix() for path in PINNED.rglob("*.txt")} == set(FILES)


def test_every_command_has_a_case() -> None:
    """A command that is new has outputs to pin, beside its help, and no case is of a command that is gone."""
    assert set(COMMANDS) == set(pinned.commands())
    # The demo shows real times; ``alerts`` and ``team`` alone show their help.
    assert {words for words, cases in COMMANDS.items() if not cases} == {"demo", "alerts", "team"}


def _options(command: click.Command) -> Iterator[click.Option]:
    yield from (each for each in command.params if isinstance(each, click.Option) and not each.hidden)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in STARTS_PROGRAMS])
def test_every_option_has_a_case(words: str) -> None:
    """An option that is new has an output to pin."""
    used = {word for case in COMMANDS[words] for word in shlex.split(case.lines[0])}
    left = {option.opts[0] for option in _options(pinned.commands()[words]) if not used & set(option.opts)}
    assert left <= {"--db", "--config"}


def test_every_endpoint_has_a_case(tmp_path: Path) -> None:
    """An endpoint that is new has responses to pin."""
    with pinned.site(tmp_path / "tap.sqlite3") as site:
        paths = site.get("/openapi.json").document["paths"]
    wanted = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    asked = {tuple(line.split(" ", 1)) for questions in API.values() for each in questions for line in each.lines}
    found = {
        (method, path)
        for method, path in wanted
        for asked_method, target in asked
        if method == asked_method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), urlsplit(target).path)
    }
    # The stream never ends; its own tests listen to it.
    assert wanted - found == {("GET", "/api/stream")}


def write_files() -> None:
    """Write every file again, and delete those that are left over."""
    shutil.rmtree(PINNED, ignore_errors=True)
    with Sites() as sites:
        for name, file in FILES.items():
            path = PINNED / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.write(file.name, sites), "utf-8", newline="\n")


if __name__ == "__main__":
    write_files()
