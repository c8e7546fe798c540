"""``$CODEX_HOME/.env``: its grammar, and the settings that make Codex bypass the tap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import exec_turn, log_in
from scripts.launch.codex_env_file import (
    exempting_list,
    find_bypass,
    is_led_to,
    leads_to,
    parse,
    quote,
    statements,
)
from store.settings import WATCHED_HOSTS
from tests.support.harness import REPOSITORY, Listener
from tests.support.launcher import Front
from tests.system.test_real_codex import answer, run_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.demo.backend import Backend

CLI = REPOSITORY / "scripts" / "cli.py"
ADDRESS = "127.0.0.1:40123"
URL = f"http://{ADDRESS}"
TAPPED = {"HTTPS_PROXY": URL, "https_proxy": URL}

# What is written, and the value of A; "-" where A is not set. All of them were seen with Codex 0.169.0.
GRAMMAR = {
    "plain": ("A=b\n", "b"),
    "no line end": ("A=b", "b"),
    "empty": ("A=\n", ""),
    "blanks alone": ("A=  \n", ""),
    "spaces around =": ("  A \t=  b  \n", "b"),
    "export": ("export A = b\n", "b"),
    "a variable called export": ("export=b\nA=${export}\n", "b"),
    "single quotes": ("A='b $C \"d\"'\n", 'b $C "d"'),
    "double quotes": ('A="b \'c\' \\"d\\" \\$e"\n', "b 'c' \"d\" $e"),
    "pieces": ("A=b'c d'\"e\"\\ f\n", "bc de f"),
    "comment": ("# A=x, don't\nA=b\n", "b"),
    "comment after a value": ("A=b # it's\n", "b"),
    "comment alone": ("A=# b\n", ""),
    "no comment": ("A=b#c\n", "b#c"),
    "an apostrophe after two blanks opens a quote": ("X=a  # don't\nA=b\n", "-"),
    "an apostrophe without a blank opens a quote": ("X=a#don't\nA=b\n", "-"),
    "CRLF": ('A=b\r\nX="c"\r\n', "b"),
    "byte order mark": ("\ufeffA=b\n", "-"),
    "byte order mark, second line": ("\ufeffX=1\nA=b\n", "b"),
    "the last wins": ("A=x\nA=b\n", "b"),
    "an unreadable last does not": ("A=b\nA=c d\n", "b"),
    "blanks unquoted": ("A=b c\n", "-"),
    "bad escape": ("A=b\\q\n", "-"),
    "backslash at the end": ("X=a\\\nA=b\n", "b"),
    "a blank at the end of the file": ("A=b ", "-"),
    "two blanks at the end of the file": ("A=b  ", "b"),
    "colon": ("A: b\n", "-"),
    "a name that is none": ("X-Y=1\nA=b\n", "b"),
    "open quote before": ('X="a\nA=b\n', "-"),
    "open quote after": ("A=b\nX='a\n", "b"),
    "quote over lines": ('X="a\nA=x"\nA=b\n', "b"),
    "value over lines": ('A="b\nc"\n', "b\nc"),
    "expansion": ("A=$HOST:${PORT}\n", "h:1"),
    "expansion in double quotes": ('A="${HOST}:$PORT/"\n', "h:1/"),
    "a quote after $NAME does not close": ('A="$PORT"\n', "-"),
    "$NAME ends at an underscore": ("A=$HOST_X\n", "h_X"),
    "$NAME$NAME": ("A=$HOST$PORT\n", "h1"),
    "open brace": ("A=${HOST\n", "-"),
    "unknown variable": ("A=a${NOPE}b\n", "ab"),
    "the file's own variable": ("X=1\nA=$X\n", "1"),
    "the file's own beats the environment's": ("PORT=2\nA=$PORT\n", "2"),
    "the file's own of Codex": ("CODEX_X=2\nA=${CODEX_X}\n", "2"),
}


@pytest.mark.parametrize(("text", "value"), GRAMMAR.values(), ids=list(GRAMMAR))
def test_the_grammar(text: str, value: str) -> None:
    assert parse(text, {"HOST": "h", "PORT": "1"}).get("A", "-") == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("http://127.0.0.1:26339", "http://127.0.0.1:26339"),
        ("", ""),
        ("/a b/c.pem", "'/a b/c.pem'"),
        ("C:\\Users\\me\\c.pem", "'C:\\Users\\me\\c.pem'"),
        ("it's $HOME", '"it\'s \\$HOME"'),
        ('it\'s "so" \\', '"it\'s \\"so\\" \\\\"'),
        ("C:\\", '"C:\\\\"'),
        ("# no comment", "'# no comment'"),
    ],
)
def test_a_value_is_quoted_where_it_has_to_be(value: str, written: str) -> None:
    """The grammar gives the value back, whatever follows."""
    assert quote(value) == written
    assert parse(f"A={written}\nB=1\n", {"HOME": "/h"}) == {"A": value, "B": "1"}


@pytest.mark.parametrize("value", ["a\nb", "a\r"])
def test_a_value_ends_with_its_line(value: str) -> None:
    """Another program could not read it."""
    with pytest.raises(ValueError, match="more than one line"):
        quote(value)


def test_a_value_that_grows_without_bound() -> None:
    """A value of absurd length counts as invalid, and the lines after it are read."""
    found = parse("A=xx\n" + "A=$A$A\n" * 60 + "B=1\n", {})
    assert found["B"] == "1"
    assert len(found["A"]) < 5_000_000


def test_assignments_have_their_place() -> None:
    """With the lines of a quote, and those whose value is invalid."""
    text = "# A=0\nA=1\nexport B = 'x\ny' # c\nnonsense\nC=un quoted\nA=2"
    found = [(each.name, text[each.start : each.end]) for each in statements(text) if each.name]
    assert found == [
        ("A", "A=1\n"),
        ("B", "export B = 'x\ny' # c\n"),
        ("C", "C=un quoted\n"),
        ("A", "A=2"),
    ]


def test_whether_a_file_leads_to_a_proxy(tmp_path: Path) -> None:
    """Which is also the case under another name of this machine."""
    path = tmp_path / ".env"
    assert not is_led_to(path, ADDRESS)
    path.write_text("HTTPS_PROXY=http://localhost:40123\n")
    assert is_led_to(path, ADDRESS)
    assert not is_led_to(path, "127.0.0.1:40124")


def test_the_list_that_exempts_a_host() -> None:
    """The file comes before the environment, and upper case before lower case."""
    exempt = {"NO_PROXY": "a,chatgpt.com"}
    assert exempting_list(exempt, {}, WATCHED_HOSTS) == "a,chatgpt.com"
    assert exempting_list(exempt, {"NO_PROXY": "b"}, WATCHED_HOSTS) is None
    assert exempting_list({"no_proxy": "*"}, {"NO_PROXY": ""}, WATCHED_HOSTS) is None


def test_names_of_codex_itself_are_ignored() -> None:
    """In any case; Codex reads these only from the environment."""
    assert parse("CODEX_CA_CERTIFICATE=x\ncodex_home=y\nOTHER=z\n", {}) == {"OTHER": "z"}


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        (URL, True),
        (f"{URL}/", True),
        (ADDRESS, True),
        ("http://localhost:40123", True),
        (f"https://{ADDRESS}", False),
        ("http://127.0.0.1:40124", False),
        ("http://user:hush@proxy.example:3128", False),
        ("socks5://127.0.0.1:40123", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_our_own_proxy(url: str, ours: bool) -> None:
    assert leads_to(url, ADDRESS) is ours


# What the file says, what the environment has beside the tap's own, and the variable that makes Codex bypass the tap.
BYPASSES: dict[str, tuple[str, dict[str, str], str | None]] = {
    "nothing": ("", {}, None),
    "another proxy": ("HTTPS_PROXY=http://user:hush@proxy.example:3128\n", {}, "HTTPS_PROXY"),
    "our own proxy": (f"HTTPS_PROXY={URL}\n", {}, None),
    "our own proxy by its variable": ("HTTPS_PROXY=${https_proxy}\n", {}, None),
    "no proxy at all": ("HTTPS_PROXY=\n", {}, "HTTPS_PROXY"),
    "none, but ours for everything": (f"HTTPS_PROXY=\nALL_PROXY={URL}\n", {}, None),
    "lower case has no say": ("https_proxy=http://proxy.example\n", {}, None),
    "nor has the one for everything": ("ALL_PROXY=http://proxy.example\nall_proxy=x\n", {}, None),
    "nor the one for plain HTTP": ("HTTP_PROXY=http://proxy.example\n", {}, None),
    "exempt host": ("NO_PROXY='localhost, ChatGPT.com'\n", {}, "NO_PROXY"),
    "exempt domain": ("no_proxy=.openai.com\n", {}, "no_proxy"),
    "everything exempt": ("NO_PROXY=*\n", {}, "NO_PROXY"),
    "exempt gateway": ("NO_PROXY=gateway.example\n", {}, "NO_PROXY"),
    "other hosts exempt": ("NO_PROXY=localhost,gpt.com\n", {}, None),
    "what Codex does not take for an exemption": ("NO_PROXY='*.chatgpt.com,chatgpt.com:443,a chatgpt.com'\n", {}, None),
    "upper case decides": ("no_proxy=chatgpt.com\n", {"NO_PROXY": ""}, None),
    "certificates": ("SSL_CERT_FILE=/none\nCODEX_CA_CERTIFICATE=/none\n", {}, None),
}


@pytest.mark.parametrize(("text", "more", "variable"), BYPASSES.values(), ids=list(BYPASSES))
def test_what_makes_codex_bypass_the_tap(tmp_path: Path, text: str, more: dict[str, str], variable: str | None) -> None:
    """The warning names the file and the variable, but not the value."""
    (tmp_path / ".env").write_text(text)
    environ = {**TAPPED, **more, "CODEX_HOME": str(tmp_path)}
    found = find_bypass(environ, ADDRESS, (*WATCHED_HOSTS, "gateway.example"), windows=False)
    assert (found and found.variable) == variable
    if found:
        assert found.warning.startswith(f"{tmp_path / '.env'} sets {variable}, which makes Codex bypass the tap")
        assert "hush" not in found.warning + str(found) + repr(found)


def test_names_are_case_insensitive_on_windows(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("Https_Proxy=http://proxy.example\n")
    found = [
        find_bypass({**TAPPED, "CODEX_HOME": str(tmp_path)}, ADDRESS, WATCHED_HOSTS, windows=windows)
        for windows in (False, True)
    ]
    assert [each and each.variable for each in found] == [None, "HTTPS_PROXY"]


@pytest.mark.parametrize("made", ["missing", "folder", "pipe", "bytes"])
def test_a_file_that_cannot_be_read_causes_no_warning(tmp_path: Path, made: str) -> None:
    """A named pipe is not read either: its content is for one reader, Codex."""
    path = tmp_path / ".env"
    if made == "folder":
        path.mkdir()
    elif made == "pipe":
        if sys.platform == "win32":
            pytest.skip("no named pipes there")
        os.mkfifo(path)
    elif made == "bytes":
        path.write_bytes(b"\xff\xfe=\x00\n" * 100)
    assert find_bypass({**TAPPED, "CODEX_HOME": str(tmp_path)}, ADDRESS, WATCHED_HOSTS, windows=False) is None


def test_without_codex_home_it_is_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEX_HOME")
    folder = Path.home() / ".codex"
    folder.mkdir()
    (folder / ".env").write_text("HTTPS_PROXY=http://proxy.example\n")
    found = find_bypass(TAPPED, ADDRESS, WATCHED_HOSTS, windows=False)
    assert found
    assert found.path == folder / ".env"


# The command line


def started(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``codex-tap`` with a CODEX_HOME."""
    return subprocess.run(
        [sys.executable, str(CLI), *arguments],
        env={**os.environ, "CODEX_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_run_warns_and_continues_or_stops(tmp_path: Path) -> None:
    """A warning and the command's exit code; with --strict an error, exit code 4, and the command is not started."""
    (tmp_path / ".env").write_text("HTTPS_PROXY=http://user:hush@proxy.example:3128\n")
    warning = f"{tmp_path / '.env'} sets HTTPS_PROXY, which makes Codex bypass the tap; "
    command = [sys.executable, "-c", "print('started'); raise SystemExit(7)"]

    lenient = started(tmp_path, "run", *command)
    assert (lenient.returncode, lenient.stdout) == (7, "started\n")
    assert lenient.stderr.startswith(f"codex-tap: {warning}")
    assert lenient.stderr.count("\n") == 1

    strict = started(tmp_path, "run", "--strict", *command)
    assert (strict.returncode, strict.stdout) == (4, "")
    assert strict.stderr.startswith(f"Error: {warning}")

    assert "hush" not in lenient.stderr + strict.stderr


def test_env_warns_as_well(tmp_path: Path) -> None:
    """The warning is on stderr, because a shell evaluates stdout."""
    (tmp_path / ".env").write_text("NO_PROXY=chatgpt.com\n")
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    done = started(tmp_path, "env", "--shell", "sh", "--proxy", "127.0.0.1:9", "--ca", str(authority))
    assert done.returncode == 0
    assert "bypass" not in done.stdout
    assert f"Note: {tmp_path / '.env'} sets NO_PROXY, which makes Codex bypass the tap for chatgpt.com;" in done.stderr


# The real Codex reads the file as these tests do


@pytest.fixture(name="other")
def _other(backend: Backend) -> Iterator[Listener]:
    """Another proxy in front of the stand-in, which bypasses the tap."""
    front = Front(backend.port)
    yield front
    front.close()


REAL = {
    "unset": ("X=1\n", {}),
    "plain": ("HTTPS_PROXY=@URL\n", {}),
    "export, spaces, comment": ("export HTTPS_PROXY = '@URL' # it's\r\n", {}),
    "expansion": ('P=@PORT\nHTTPS_PROXY="http://127.0.0.1:${P}"\n', {"P": "9"}),
    "a quote after $NAME": ('HTTPS_PROXY="http://127.0.0.1:$P"\n', {"P": "@PORT"}),
    "byte order mark": ("\ufeffHTTPS_PROXY=@URL\n", {}),
    "open quote": ("X=a#don't\nHTTPS_PROXY=@URL\n", {}),
    "lower case": ("https_proxy=@URL\nALL_PROXY=@URL\n", {}),
    "empty": ("HTTPS_PROXY=\nhttps_proxy=\nALL_PROXY=@URL\n", {}),
    "a missing SSL_CERT_FILE": ("SSL_CERT_FILE=/does/not/exist\n", {}),
    "no exemption": ("NO_PROXY=*.chatgpt.com\n", {}),
}


@pytest.mark.parametrize(("text", "more"), REAL.values(), ids=list(REAL))
def test_the_real_codex_agrees(
    codex: str, backend: Backend, tmp_path: Path, other: Front, text: str, more: dict[str, str]
) -> None:
    """A turn bypasses the proxy of the environment exactly where a bypass is found."""

    def filled(written: str) -> str:
        return written.replace("@URL", f"http://127.0.0.1:{other.port}").replace("@PORT", str(other.port))

    tap = Front(backend.port)
    home = tmp_path / "home"
    backend.answer(answer(13, "plus", upgrade=101), account="acct-env")
    log_in(home, "acct-env", "user-1")
    (home / ".env").write_bytes(filled(text).encode())
    url = f"http://127.0.0.1:{tap.port}"
    environ = {
        **run_environment(backend, tmp_path, tmp_path / "tap.sqlite3"),
        "HTTPS_PROXY": url,
        "https_proxy": url,
        "CODEX_CA_CERTIFICATE": str(backend.ca_file),
        **{name: filled(value) for name, value in more.items()},
    }
    try:
        turn = exec_turn(codex, home, "say ok", environ)
    finally:
        tap.close()
    assert turn.returncode == 0, turn.stderr
    by_tap, by_other = ("CONNECT chatgpt.com:443" in "".join(front.heads) for front in (tap, other))
    assert by_tap is not by_other
    found = find_bypass({**environ, "CODEX_HOME": str(home)}, f"127.0.0.1:{tap.port}", WATCHED_HOSTS, windows=False)
    assert (found is not None) is by_other
