from __future__ import annotations

import base64
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.codex_files import login
from scripts.codex_files.login import MAX_BYTES, Login, LoginError, find_login, logged_in_account
from scripts.demo.codex import log_in, make_token

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "a-made-up-secret-of-this-test"


def token(account_id: str = "acct-claimed") -> str:
    """Return a token like Codex's, whose claims name the account."""
    return make_token(account_id, "user-1", expires_at=int(time.time()) + 600)


def tokens(**fields: Any) -> dict[str, Any]:
    """Return the ``tokens`` of a ChatGPT login."""
    return {"id_token": token(), "access_token": token(), "refresh_token": SECRET, "account_id": "acct-1", **fields}


def chatgpt(**fields: Any) -> dict[str, Any]:
    """Return the content of the file of a ChatGPT login."""
    return {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens(), **fields}


def claims(value: object) -> str:
    """Return a token with any JSON in the place of its claims."""
    parts = ({"alg": "none"}, value)
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts]
    return ".".join([*encoded, "c2ln"])


NO_ID = {"account_id": None}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (chatgpt(), "acct-1"),
        (chatgpt(auth_mode="chatgptAuthTokens"), "acct-1"),
        ({"tokens": tokens()}, "acct-1"),
        (chatgpt(tokens=tokens(**NO_ID)), "acct-claimed"),
        (chatgpt(tokens=tokens(account_id=" ", id_token="opaque")), "acct-claimed"),
        (chatgpt(tokens=tokens(account_id="x" * 121)), "acct-claimed"),
        (chatgpt(tokens=tokens(account_id="two\nlines")), "acct-claimed"),
        (chatgpt(tokens={"access_token": "opaque"}), None),
        (chatgpt(tokens={"access_token": "a.b.c"}), None),
        (chatgpt(tokens={"access_token": claims({"https://api.openai.com/auth": ["x"]})}), None),
        (chatgpt(tokens={"access_token": claims(["x"])}), None),
        (chatgpt(tokens=None), None),
        (chatgpt(auth_mode="apikey", OPENAI_API_KEY=SECRET), None),
        (chatgpt(auth_mode="a mode of the future"), None),
        ({"OPENAI_API_KEY": SECRET, "tokens": tokens()}, None),
        ({"OPENAI_API_KEY": "", "tokens": tokens()}, None),
        ({"personal_access_token": SECRET, "tokens": tokens()}, None),
        ({"auth_mode": "agentIdentity", "agent_identity": {"account_id": "acct-2"}, "tokens": tokens()}, "acct-2"),
        ({"auth_mode": "agentIdentity", "agent_identity": SECRET}, None),
        ({"OPENAI_API_KEY": SECRET}, None),
        ({}, None),
    ],
    ids=[
        "a ChatGPT login",
        "tokens of another program",
        "a file of an earlier Codex",
        "the id only in the id token",
        "the id only in the access token",
        "an id that is too long",
        "an id of two lines",
        "an opaque token",
        "no token at all",
        "claims of another form",
        "claims that are no mapping",
        "no tokens",
        "an API key beside tokens",
        "a mode of the future",
        "an API key and no mode",
        "an empty API key and no mode",
        "an access token and no mode",
        "an agent's login",
        "an agent's login of another form",
        "an API key alone",
        "nothing",
    ],
)
def test_the_account_of_a_login(tmp_path: Path, content: dict[str, Any], expected: str | None) -> None:
    (tmp_path / "auth.json").write_text(json.dumps(content), "utf-8")
    assert logged_in_account(tmp_path) == expected


def test_the_login_of_codex_itself(tmp_path: Path) -> None:
    """The stand-in writes the file as Codex does; a folder without one has no login."""
    assert logged_in_account(tmp_path) is None
    log_in(tmp_path, "acct-9", "user-9")
    assert logged_in_account(tmp_path) == "acct-9"


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _content(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_folder, "it is not a regular file"),
        pytest.param(
            _pipe,
            "it is not a regular file",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system there"),
        ),
        (_content(b""), "it is not the JSON that Codex writes"),
        (_content(f'{{"tokens": {{"refresh_token": "{SECRET}'.encode()), "it is not the JSON that Codex writes"),
        (_content(json.dumps([SECRET]).encode()), "it is not the JSON that Codex writes"),
        (_content(b'{"x": "\xff"}'), "it is not the JSON that Codex writes"),
        (_content(b"[" * 200_000), "it is not the JSON that Codex writes"),
        (_content(json.dumps(chatgpt(x="x" * MAX_BYTES)).encode()), "it is not the JSON that Codex writes"),
    ],
    ids=["a folder", "a pipe", "an empty file", "a cut file", "a list", "no text", "deep nesting", "a large file"],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    """The error says why; neither its text nor anything that hangs on it holds what the file does."""
    make(tmp_path / "auth.json")
    with pytest.raises(LoginError) as caught:
        logged_in_account(tmp_path)
    assert str(caught.value) == problem
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, OSError)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.filename == login.__file__]
    assert frames
    assert SECRET not in "".join(str(frame.locals) for frame in frames)


def test_a_file_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex empties the file before it writes it."""
    (tmp_path / "auth.json").write_text("", "utf-8")
    monkeypatch.setattr(time, "sleep", lambda _: log_in(tmp_path, "acct-9", "user-9"))
    assert logged_in_account(tmp_path) == "acct-9"


_ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.just("a.b.c")
    | st.just("chatgpt"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["auth_mode", "tokens", "account_id", "id_token", "agent_identity"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=64) | _ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_has_an_account_or_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Or it cannot be read; an account is one line of bounded length."""
    home = tmp_path_factory.mktemp("any")
    (home / "auth.json").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(login, "_WRITING_SECONDS", 0)
        try:
            found = logged_in_account(home)
        except LoginError:
            return
    assert found is None or (found.isprintable() and 0 < len(found) <= 120)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom file modes bind")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    log_in(tmp_path, "acct-9", "user-9")
    (tmp_path / "auth.json").chmod(0)
    with pytest.raises(LoginError, match="Permission denied"):
        logged_in_account(tmp_path)


def test_the_login_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is written as people write it."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    log_in(tmp_path / ".codex", "acct-1", "user-1")
    log_in(tmp_path / "work" / "codex", "acct-2", "user-2")
    assert find_login({}) == Login(str(Path("~/.codex")), "acct-1")
    assert find_login({"CODEX_HOME": str(tmp_path / "work/codex")}) == Login(str(Path("~/work/codex")), "acct-2")
    assert find_login({"CODEX_ACCESS_TOKEN": SECRET}) == Login(str(Path("~/.codex")))
    elsewhere = tmp_path.parent / "nobody"
    assert find_login({"CODEX_HOME": str(elsewhere)}) == Login(str(elsewhere))
    (tmp_path / ".codex" / "auth.json").write_text("{", "utf-8")
    assert find_login({}) == Login(str(Path("~/.codex")), None, "it is not the JSON that Codex writes")


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in."""

    def fail() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", fail)
    assert find_login({}).account_id is None
