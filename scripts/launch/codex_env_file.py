r"""``$CODEX_HOME/.env``, whose variables override those of the environment that Codex is started with.

Codex reads the file when it starts and sets one variable after the other. The grammar, as observed with Codex 0.169.0:

- ``NAME=value``, also ``export NAME = value``; the last of two lines with one name wins. An invalid line is skipped
  silently. A byte order mark makes the first line invalid.
- A value is bare, in single quotes (nothing is expanded), in double quotes, or a sequence of such pieces. A bare blank
  ends it; only a comment may follow.
- ``$NAME`` (only letters and digits) and ``${NAME}`` are expanded in bare and double-quoted text. The character after
  ``$NAME`` is taken literally, so a quote there does not close.
- A backslash escapes ``\ ' " $``, a blank or ``n``. Before anything else it makes the line invalid.
- A quote may span lines. A quote that is not closed invalidates the rest of the file.
- ``#`` begins a comment at the start of a line and after a single blank.
- Names that begin with ``CODEX_`` are ignored.
"""

from __future__ import annotations

import re
from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scripts.codex_files.location import codex_home
from scripts.launch.environment import parse_proxy_url
from store.files import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_STATEMENT = re.compile(
    r"""
    [^\S\n]*\#[^\n]*(?:\n|\Z)                   # a comment, whatever quotes are in it
    | (?P<text>(?:
        [^\\"'\s] | [\r]
        | \\(?:[^\n]|(?=\n))
        | "(?:\\.|[^"\\])*+"
        | '(?:\\.|[^'\\])*+'
        | [^\S\r\n](?:[^\\"'\n\#]|(?=[\\"'\n]))  # a blank and the character after it, unless that begins a comment
    )*+)
    (?:[^\S\r\n]\#[^\n]*)?(?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT = re.compile(r"\s*(?:export\s+(?!=))?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(?P<value>.*)", re.DOTALL)
_EXPANSION = re.compile(r"\$\{(?P<braced>[^}]*)\}|\$(?!\{)(?P<name>[^\W_]*)(?P<after>[^$]?)", re.DOTALL)
_ESCAPE = re.compile(r"""\\(?:([\\'"$ n])|\Z)""")
_SINGLE_QUOTED = re.compile(r"'([^']*)'")
_BARE = re.compile(r"[A-Za-z0-9_./:,@%+=*-]*")
_MAX_BYTES = 4_000_000
_BLANKS = " \t"
_IGNORED_PREFIX = "CODEX_"

_PROXY_VARIABLES = (("HTTPS_PROXY", "https_proxy"), ("ALL_PROXY", "all_proxy"))
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")


def env_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the file; it need not exist."""
    return codex_home(environ) / ".env"


@dataclass(frozen=True)
class Bypass:
    """A setting of the file that makes Codex bypass the proxy; without its value, which may contain a password."""

    path: Path
    variable: str
    host: str | None = None

    def __str__(self) -> str:
        return f"{self.variable} in {self.path}"

    @property
    def warning(self) -> str:
        """The problem, and what to do about it."""
        if self.host:
            return (
                f"{self.path} sets {self.variable}, which makes Codex bypass the tap for {self.host}; "
                "remove the entry for that host"
            )
        return (
            f"{self.path} sets {self.variable}, which makes Codex bypass the tap; "
            "set it in the shell's environment instead, then codex-tap uses that proxy too"
        )


class Statement(NamedTuple):
    """A line of the file, or several with a quote across them; ``start`` and ``end`` index it, with its line end.

    ``name`` is the variable that it sets; None is for a comment, an empty line and an invalid one.
    """

    name: str | None
    is_comment: bool
    start: int
    end: int


def statements(text: str) -> list[Statement]:
    """Return all statements in the text of the file; those that set a variable may have an invalid value.

    They end where a quote begins that is not closed.
    """
    found = []
    for each in _statements(text):
        match = _ASSIGNMENT.match(each["text"] or "")
        found.append(Statement(match and match["name"], each["text"] is None, each.start(), each.end()))
    return found


def quote(value: str) -> str:
    """Return the text after ``=`` that sets a variable to the value.

    Raises:
        ValueError: the value has a line end in it.
    """
    if "\n" in value or "\r" in value:
        raise ValueError("a value of more than one line")
    if _BARE.fullmatch(value):
        return value
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def exempting_list(environ: Mapping[str, str], found: Mapping[str, str], hosts: Iterable[str]) -> str | None:
    """Return the list of hosts without a proxy that Codex goes by, if it exempts one of ``hosts``.

    Args:
        environ: the environment that Codex is started with.
        found: the variables that the file sets.
        hosts: the watched hosts.
    """
    effective = {**environ, **found}
    no_proxy = effective.get(_first_present(effective, _NO_PROXY_VARIABLES), "")
    return no_proxy if any(_exempts(no_proxy, host) for host in hosts) else None


def find_bypass(environ: Mapping[str, str], address: str, hosts: Iterable[str], *, windows: bool) -> Bypass | None:
    """Return the setting of the file that makes Codex bypass the proxy, or None if there is none.

    Args:
        environ: the environment that Codex is started with.
        address: ``host:port`` of the proxy that it is to use.
        hosts: the watched hosts.
        windows: names of variables are case-insensitive.
    """
    path = env_file(environ)
    text = _read(path)
    if text is None:
        return None
    found = parse(text, environ)
    if windows:
        environ, found = ({name.upper(): value for name, value in each.items()} for each in (environ, found))
    effective = {**environ, **found}
    no_proxy = _first_present(effective, _NO_PROXY_VARIABLES)
    exempt = next((host for host in hosts if _exempts(effective.get(no_proxy, ""), host)), None)
    if no_proxy in found and exempt:
        return Bypass(path, no_proxy, exempt)
    names = [_first_present(effective, each) for each in _PROXY_VARIABLES]
    decisive = next((name for name in names if effective.get(name)), "")
    from_file = next((name for name in names if name in found), None)
    return Bypass(path, from_file) if from_file and not leads_to(effective.get(decisive, ""), address) else None


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the file sets, for a Codex that is started with ``environ``; none without a file."""
    text = _read(env_file(environ))
    return {} if text is None else parse(text, environ)


def parse(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the text of the file sets; ``$NAME`` refers to ``environ`` and to earlier lines."""
    every: dict[str, str] = {}
    effective: dict[str, str] = {}
    known = ChainMap(effective, dict(environ), every)
    for statement in _statements(text):
        assignment = _ASSIGNMENT.match((statement["text"] or "").removesuffix("\r"))
        if assignment is None:
            continue
        name, written = assignment["name"], assignment["value"]
        value = "" if written.startswith("#") else _value(written, known)
        if value is not None:
            every[name] = value
            if not name.upper().startswith(_IGNORED_PREFIX):
                effective[name] = value
    return effective


def is_led_to(path: Path, address: str) -> bool:
    """Return True if the file leads Codex to the proxy at ``address`` (``host:port``)."""
    text = _read(path)
    return text is not None and leads_to(parse(text, {}).get("HTTPS_PROXY", ""), address)


def leads_to(url: str, address: str) -> bool:
    """Return True if a proxy's URL is that of the proxy at ``address`` (``host:port``)."""
    try:
        upstream = parse_proxy_url(url.strip())
    except ValueError:
        return False
    return _numeric(upstream.url) == _numeric(f"http://{address}")


def _numeric(url: str) -> str:
    return url.lower().replace("://localhost:", "://127.0.0.1:")


def _read(path: Path) -> str | None:
    try:
        return read_whole(path, _MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def _first_present(environ: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first of the names that is set, as Codex does, even to an empty value; an empty string if none is."""
    return next((name for name in names if name in environ), "")


def _exempts(no_proxy: str, host: str) -> bool:
    """Return True if Codex exempts the host: it reads the list with commas only, no ports, no wildcard except ``*``."""
    domains = [entry.strip().removeprefix(".").lower() for entry in no_proxy.split(",")]
    return any(domain and (domain == "*" or f".{host.lower()}".endswith(f".{domain}")) for domain in domains)


def _statements(text: str) -> Iterator[re.Match[str]]:
    """Yield each statement; its group ``text`` is without comments and line ends, and None if it is a comment.

    A quote may span lines.
    """
    at = 0
    while at < len(text) and (statement := _STATEMENT.match(text, at)):
        at = statement.end()
        yield statement


def _value(written: str, known: Mapping[str, str]) -> str | None:
    """Return the value of the text after ``=``, or None if it is invalid."""
    parts: list[str] = []
    at, length, quoted = 0, 0, False
    while at < len(written):
        char = written[at]
        if char == "$":
            piece = _EXPANSION.match(written, at)
            part = None if piece is None else _expanded(piece, known)
        elif char == "\\":
            piece = _ESCAPE.match(written, at)
            part = None if piece is None else (piece[1] or "").replace("n", "\n")
        elif char == "'" and not quoted:
            piece = _SINGLE_QUOTED.match(written, at)
            part = None if piece is None else piece[1]
        elif char in _BLANKS and not quoted:
            rest = written[at:].lstrip(_BLANKS)
            return "".join(parts) if not rest or rest.startswith("#") else None
        else:
            quoted ^= char == '"'
            piece, part = None, "" if char == '"' else char
        length += len(part or "")
        if part is None or length > _MAX_BYTES:  # a few lines that refer to one another could take all memory
            return None
        parts.append(part)
        at = at + 1 if piece is None else piece.end()
    return None if quoted else "".join(parts)


def _expanded(piece: re.Match[str], known: Mapping[str, str]) -> str:
    name = piece["name"] if piece["braced"] is None else piece["braced"]
    return known.get(name, "") + (piece["after"] or "")
