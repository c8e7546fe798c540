"""The block in Codex's own ``.env``."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.install import env_block
from scripts.launch.codex_env_file import parse
from scripts.support.errors import CommandError
from store.settings import WATCHED_HOSTS

ADDRESS = "127.0.0.1:26339"
PROXY = f"http://{ADDRESS}"
TRUSTED = "/home/it's me/codex certificates.pem"
CHOSEN = {"HTTPS_PROXY": PROXY, "SSL_CERT_FILE": TRUSTED}
ENV = Path("/home/user/.codex/.env")


def insert(content: bytes | None, chosen: dict[str, str] | None = None) -> bytes:
    return env_block.insert(content, chosen or CHOSEN, {}, ENV)


def restore(content: bytes, chosen: dict[str, str] | None = None) -> env_block.Restored:
    return env_block.restore(content, env_block.block_lines(chosen or CHOSEN))


def parsed(content: bytes) -> dict[str, str]:
    return parse(content.decode("utf-8", "surrogateescape"), {})


FILES = {
    "no file": None,
    "empty": b"",
    "other variables": b"FOO=bar\n# a comment with it's quote\nBAZ='1 2'\n",
    "no line end": b"FOO=bar",
    "line ends of Windows": b"FOO=bar\r\nHTTPS_PROXY=http://corp:3128\r\n",
    "a byte order mark": b"\xef\xbb\xbfFOO=bar\nBAZ=1\n",
    "only a byte order mark": b"\xef\xbb\xbf",
    "a proxy": b"A=1\nHTTPS_PROXY=http://user:pass@corp:3128\nB=2\n",
    "two proxies": b"HTTPS_PROXY=http://one:1\nexport HTTPS_PROXY = 'http://two:2'\n",
    "a proxy without line end": b"HTTPS_PROXY=http://corp:3128",
    "a quote over two lines": b'SSL_CERT_FILE="/a\nb"\nX=1\n',
    "another variable refers to it": b"HTTPS_PROXY=http://corp:3128\nMY_PROXY=$HTTPS_PROXY\n",
    "lone carriage returns": b"A=1\n\rHTTPS_PROXY=x\rB=2",
    "not UTF-8": b"NAME=caf\xe9\nHTTPS_PROXY=http://corp:1\n",
    "a line with the prefix": b"#codex-tap: a note of mine\nHTTPS_PROXY=http://corp:1\n#codex-tap: B=2",
    "lines like those set aside": b"#codex-tap: HTTPS_PROXY=http://corp:3128\n#codex-tap: #codex-tap: A=1\nB=2\n",
    "the prefix before a value": b"#codex-tap: it's\nHTTPS_PROXY=http://corp:1\n#codex-tap: SSL_CERT_FILE='/a\n",
    "the prefix in a value": b'X="\n#codex-tap: HTTPS_PROXY=x\n"\nHTTPS_PROXY=http://corp:1\n',
    "the prefix in a value to set aside": b'HTTPS_PROXY="\n#codex-tap: x\n#codex-tap: #codex-tap: y"\n',
    "invalid lines": b"what is this\nFOO=un quoted\nBAR=1\n",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_the_file_is_restored_byte_for_byte(content: bytes | None) -> None:
    """In between, Codex reads the block's values, and all others as before."""
    changed = insert(content)
    others = {name: value for name, value in parsed(content or b"").items() if name not in CHOSEN}
    assert parsed(changed) == others | CHOSEN
    assert env_block.has_traces(changed, None)
    assert restore(changed) == (content, ())
    assert env_block.restore(changed, None) == (content, ())


PIECES = [
    *("HTTPS_PROXY", "SSL_CERT_FILE", "A=1", "=", " = ", "export ", "http://u:p@c:1", "$HTTPS_PROXY", "${A}", "x y"),
    *("\n", "\n\n", "\r\n", "\r", "\x0c", "\u2028", "'", '"', "\\", "#", "# ", "#codex-tap: ", "\ufeff", "é"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "".join(pieces).encode()))
def test_any_file_is_restored_or_refused(content: bytes) -> None:
    """A file in which Codex would not read the block is refused."""
    try:
        changed = insert(content)
    except CommandError:
        return
    assert {name: value for name, value in parsed(changed).items() if name in CHOSEN} == CHOSEN
    assert restore(changed) == (content, ())


def test_a_proxy_of_the_users_is_a_comment() -> None:
    """It stands where it stood, so a person sees which line counts."""
    changed = insert(FILES["a proxy"])
    assert b"A=1\n#codex-tap: HTTPS_PROXY=http://user:pass@corp:3128\nB=2\n" in changed


@pytest.mark.parametrize("content", [b"FOO='bar\n", b'X="\n', b"A=1\nFOO='bar\nB=2\n"])
def test_an_open_quote_is_refused(content: bytes) -> None:
    """Codex would ignore the block; the message has no value in it."""
    with pytest.raises(CommandError, match=r"\.env has a quote that is not closed") as refused:
        insert(content)
    assert "bar" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "content", "expected"),
    [
        pytest.param({}, b"", None, id="none"),
        pytest.param({"NO_PROXY": "localhost,intranet"}, b"", None, id="harmless"),
        pytest.param({"NO_PROXY": "localhost,chatgpt.com"}, b"", "localhost", id="environment"),
        pytest.param({"NO_PROXY": "*"}, b"", "", id="everything"),
        pytest.param({"no_proxy": "a,.openai.com"}, b"", "a", id="lower case"),
        pytest.param({"NO_PROXY": "x", "no_proxy": "*"}, b"", None, id="upper case decides"),
        pytest.param({}, b"NO_PROXY=openai.com,b\n", "b", id="file"),
        pytest.param({"NO_PROXY": "*"}, b"NO_PROXY=b\n", None, id="the file decides"),
    ],
)
def test_a_list_that_bypasses_the_service_is_narrowed(
    environ: dict[str, str], content: bytes, expected: str | None
) -> None:
    """Only then is it in the block, because it also holds for the commands that Codex runs."""
    chosen = env_block.variables(
        environ, content, address=ADDRESS, trusted="/t.pem", hosts=WATCHED_HOSTS, plain_http=False
    )
    assert chosen.get("NO_PROXY") == expected
    changed = env_block.insert(content, chosen, environ, ENV)
    assert parsed(changed).get("NO_PROXY") == (expected if expected is not None else parsed(content).get("NO_PROXY"))
    assert env_block.restore(changed, env_block.block_lines(chosen)).content == content


def test_plain_http_for_a_gateway() -> None:
    """Gateways may use it."""
    chosen = env_block.variables({}, None, address=ADDRESS, trusted="/t.pem", hosts=["g"], plain_http=True)
    assert chosen == {"HTTPS_PROXY": PROXY, "SSL_CERT_FILE": "/t.pem", "HTTP_PROXY": PROXY}


def test_edited_lines_stay_and_lead_nowhere() -> None:
    """A line of the user's stays; one that would lead Codex to a closed port becomes a comment."""
    changed = insert(b"A=1\n")
    changed = changed.replace(PROXY.encode(), b"http://127.0.0.1:9").replace(b"SSL_CERT", b"MINE=2\nSSL_CERT")
    restored = restore(changed)
    assert restored.content == b"A=1\n# HTTPS_PROXY=http://127.0.0.1:9\nMINE=2\n"
    assert restored.edited == (b"HTTPS_PROXY=http://127.0.0.1:9", b"MINE=2")


@pytest.mark.parametrize(
    ("content", "recorded", "expected"),
    [
        pytest.param(b"#codex-tap: HTTPS_PROXY=x\n", False, None, id="nothing installed"),
        pytest.param(b"#codex-tap: HTTPS_PROXY=x\n", True, b"HTTPS_PROXY=x\n", id="block deleted by hand"),
        pytest.param(b"A=1\n#codex-tap: mine\n", True, None, id="only a note"),
        pytest.param(b"A=1\n#codex-tap: FOO=1\n", True, None, id="a variable that is not the block's"),
        pytest.param(b"#codex-tap: HTTPS_PROXY='x\nA='1\n", True, b"HTTPS_PROXY='x\nA='1\n", id="an open quote"),
        pytest.param(b"A='\n#codex-tap: HTTPS_PROXY=x\n", True, b"A='\nHTTPS_PROXY=x\n", id="after an open quote"),
    ],
)
def test_a_file_without_a_block(content: bytes, *, recorded: bool, expected: bytes | None) -> None:
    """What may be the user's own line stays; with a record, what was set aside comes back."""
    ours = env_block.block_lines(CHOSEN) if recorded else None
    assert env_block.restore(content, ours) == (expected or content, ())
    assert env_block.has_traces(content, ours) == (expected is not None)


def test_a_path_that_cannot_stand_in_the_file() -> None:
    """A value ends with its line."""
    with pytest.raises(CommandError, match="more than one line"):
        env_block.block_lines({"SSL_CERT_FILE": "/a\nb"})
