"""The environment of a command: tables, and shells that evaluate it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.launch.environment import (
    Shell,
    command_environment,
    find_corporate_ca,
    find_upstream,
    leads_through_tap,
    shell_lines,
    shim_line,
    without_bypasses,
    without_tap,
)
from scripts.support.errors import LaunchError
from store.settings import WATCHED_HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY = "http://127.0.0.1:40123"
TAPPED = {
    "HTTPS_PROXY": PROXY,
    "https_proxy": PROXY,
    "CODEX_CA_CERTIFICATE": "/ca.pem",
    "NODE_EXTRA_CA_CERTS": "/node.pem",
    "CODEX_TAP_PROXY": PROXY,
}
PLAIN = {"HTTP_PROXY": PROXY, "http_proxy": PROXY}
ODD = '/tmp/it\'s a "path" with $HOME, `id` and \\'  # noqa: S108 - a name, no file

NO_PROXY = [
    ("", ""),
    ("*", ""),
    ("chatgpt.com", ""),
    ("ChatGPT.com", ""),
    (".chatgpt.com", ""),
    ("*.chatgpt.com", ""),
    ("chatgpt.com.", ""),
    ("com", ""),
    ("openai.com", ""),
    ("api.openai.com:443", ""),
    (".openai.com:443", ""),
    ("chatgpt.com:8443", "chatgpt.com:8443"),
    ("gpt.com", "gpt.com"),
    ("notchatgpt.com", "notchatgpt.com"),
    ("ab.chatgpt.com,auth.openai.com", "ab.chatgpt.com,auth.openai.com"),
    ("localhost,127.0.0.1,::1,[::1]:443,10.0.0.0/8,fd00::/8", "localhost,127.0.0.1,::1,[::1]:443,10.0.0.0/8,fd00::/8"),
    ("localhost, chatgpt.com ,.corp.example", "localhost,.corp.example"),
    ("localhost *", "localhost"),
    (" localhost , .corp.example ", " localhost , .corp.example "),
    (".", "."),
]


@pytest.mark.parametrize(("before", "after"), NO_PROXY)
def test_only_entries_that_bypass_the_tap_leave_no_proxy(before: str, after: str) -> None:
    """An entry is removed if it exempts a watched host; a list without such entries is unchanged."""
    assert without_bypasses(before, WATCHED_HOSTS) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("au.chatgpt.com,localhost", "localhost"),
        (".AU.chatgpt.com,*.sg.api.openai.com:443,localhost", "localhost"),
        ("au.chatgpt.com:8443,ab.chatgpt.com,auth.openai.com", "au.chatgpt.com:8443,ab.chatgpt.com,auth.openai.com"),
        ("notchatgpt.com, .corp.example", "notchatgpt.com, .corp.example"),
    ],
)
def test_hosts_that_may_be_learned_leave_no_proxy(before: str, after: str) -> None:
    """A response may lead Codex there while the command runs; the tap tunnels what it does not watch."""
    changed = command_environment(
        {"NO_PROXY": before}, proxy_url=PROXY, ca_file="ca", node_ca_file="node", gateways=(), windows=False
    )
    assert changed["NO_PROXY"] == after


def test_a_gateway_is_watched_as_well() -> None:
    """A gateway is not exempted either."""
    assert without_bypasses("corp.example,x.example", ["gateway.corp.example"]) == "x.example"
    assert without_bypasses("gateway.example:4000,x.example:80", ["gateway.example"]) == "x.example:80"


ENVIRONMENTS: list[tuple[str, dict[str, str], bool, dict[str, str]]] = [
    ("empty", {}, False, TAPPED),
    ("both cases", {"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, False, TAPPED),
    (
        "nothing else",
        {"HTTP_PROXY": "a", "ALL_PROXY": "b", "SSL_CERT_FILE": "c", "REQUESTS_CA_BUNDLE": "d", "PATH": "e"},
        False,
        {"HTTP_PROXY": "a", "ALL_PROXY": "b", "SSL_CERT_FILE": "c", "REQUESTS_CA_BUNDLE": "d", "PATH": "e", **TAPPED},
    ),
    ("an empty list goes", {"NO_PROXY": "*", "no_proxy": "chatgpt.com,x"}, False, {"no_proxy": "x", **TAPPED}),
    ("an empty list stays", {"NO_PROXY": ""}, False, {"NO_PROXY": "", **TAPPED}),
    ("POSIX has cases", {"No_Proxy": "*"}, False, {"No_Proxy": "*", **TAPPED}),
    (
        "Windows has none",
        {"Https_Proxy": "http://a", "codex_ca_certificate": "b", "No_Proxy": "*,x", "Path": "c"},
        True,
        {
            "HTTPS_PROXY": PROXY,
            "CODEX_CA_CERTIFICATE": "/ca.pem",
            "NODE_EXTRA_CA_CERTS": "/node.pem",
            "CODEX_TAP_PROXY": PROXY,
            "No_Proxy": "x",
            "Path": "c",
        },
    ),
]


@pytest.mark.parametrize(
    ("before", "windows", "after"), [case[1:] for case in ENVIRONMENTS], ids=[case[0] for case in ENVIRONMENTS]
)
def test_the_commands_environment(before: dict[str, str], windows: bool, after: dict[str, str]) -> None:
    """The command's environment gets the variables that lead to the tap; all others are unchanged."""
    kept = dict(before)
    made = command_environment(
        before, proxy_url=PROXY, ca_file="/ca.pem", node_ca_file="/node.pem", gateways=(), windows=windows
    )
    assert made == after
    assert before == kept


def test_the_way_through_the_tap_is_recognised_and_left_out() -> None:
    """Also with a gateway; an environment that another program has changed is the user's own."""
    users = {"PATH": "/bin", "no_proxy": "x", "SSL_CERT_FILE": "/c.pem"}
    tapped = command_environment(
        users, proxy_url=PROXY, ca_file="/ca.pem", node_ca_file="/node.pem", gateways=["g"], windows=False
    )
    assert leads_through_tap(tapped)
    assert without_tap(tapped) == users
    for environ in (users, {**tapped, "HTTPS_PROXY": "http://corp:1"}, {"HTTPS_PROXY": "", "CODEX_TAP_PROXY": ""}):
        assert not leads_through_tap(environ)
        assert without_tap(environ) == environ


# What was set before, and whether plain HTTP is led through the tap for the sake of a gateway.
WITH_GATEWAYS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"HTTP_PROXY": "", "HTTPS_PROXY": "http://h:1"}, True),
    ({"HTTP_PROXY": "http://h:1/", "HTTPS_PROXY": "h:1"}, True),
    ({"http_proxy": "http://h:1", "ALL_PROXY": "http://h:1"}, True),
    ({"HTTP_PROXY": "http://h:1"}, False),
    ({"http_proxy": "http://h:2", "HTTPS_PROXY": "http://h:1"}, False),
    ({"HTTP_PROXY": "http://h:1", "HTTPS_PROXY": "socks5://h:1"}, False),
    ({"HTTP_PROXY": "socks5://h:1", "HTTPS_PROXY": "http://h:1"}, False),
]


@pytest.mark.parametrize(("before", "led"), WITH_GATEWAYS)
def test_plain_http_for_gateways(before: dict[str, str], led: bool) -> None:
    """Plain HTTP goes through the tap only if it has no proxy of its own, or the same one as HTTPS."""
    made = command_environment(
        before,
        proxy_url=PROXY,
        ca_file="/ca.pem",
        node_ca_file="/node.pem",
        gateways=["gateway.example"],
        windows=False,
    )
    assert made == {**before, **TAPPED, **(PLAIN if led else {})}


UPSTREAMS: list[tuple[dict[str, str], bool, str | None, str | None]] = [
    ({}, False, None, None),
    ({"HTTPS_PROXY": ""}, False, None, None),
    ({"HTTP_PROXY": "http://h:1"}, False, None, None),
    ({"HTTPS_PROXY": "http://h:1", "https_proxy": "http://l:1", "ALL_PROXY": "http://a:1"}, False, "http://h:1", None),
    ({"https_proxy": "http://l:1", "ALL_PROXY": "http://a:1"}, False, "http://l:1", None),
    ({"ALL_PROXY": "http://A:1", "all_proxy": "http://a:1"}, False, "http://a:1", None),
    ({"all_proxy": "http://a:1/"}, False, "http://a:1", None),
    ({"HTTPS_PROXY": "h:3128"}, False, "http://h:3128", None),
    ({"HTTPS_PROXY": "h"}, False, "http://h", None),
    ({"HTTPS_PROXY": "https://h:8443"}, False, "https://h:8443", None),
    ({"HTTPS_PROXY": "http://[::1]:3128"}, False, "http://[::1]:3128", None),
    ({"HTTPS_PROXY": "http://us%40er:p%3Aw@h:1"}, False, "http://h:1", "us@er:p:w"),
    ({"HTTPS_PROXY": "user@h:1"}, False, "http://h:1", "user:"),
    ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": "*"}, False, None, None),
    ({"HTTPS_PROXY": "http://h:1", "no_proxy": "localhost,*"}, False, None, None),
    ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": "localhost", "no_proxy": "*"}, False, "http://h:1", None),
    ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": "localhost,.corp.example"}, False, "http://h:1", None),
    ({"Https_Proxy": "http://h:1"}, False, None, None),
    ({"Https_Proxy": "http://h:1"}, True, "http://h:1", None),
    ({"Https_Proxy": "http://h:1", "No_Proxy": "*"}, True, None, None),
]


@pytest.mark.parametrize(("environ", "windows", "url", "auth"), UPSTREAMS)
def test_the_upstream_proxy_is_the_one_codex_would_use(
    environ: Mapping[str, str], windows: bool, url: str | None, auth: str | None
) -> None:
    """The variables are read in Codex's order, and the password is kept apart from the URL."""
    upstream = find_upstream(environ, windows=windows)
    assert (upstream.url, upstream.auth) == (url, auth) if upstream else (url, auth) == (None, None)
    assert auth is None or auth not in repr(upstream)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("socks5://user:geheim@h:1080", "socks5:// is not supported"),
        ("socks5h://h", "socks5h:// is not supported"),
        ("http://h:geheim", "it is not a valid URL"),
        ("http://user:geheim/1@h:1", "it is not a valid URL"),
        ("http://geheim:[h:1", "it is not a valid URL"),
        ("http://", "it has no host"),
        ("http://:geheim@h:1", "a password without a user"),
    ],
)
def test_an_upstream_that_cannot_be_used_is_refused(url: str, reason: str) -> None:
    """The message names the variable and the problem, but not the password."""
    with pytest.raises(LaunchError, match=reason) as caught:
        find_upstream({"ALL_PROXY": url}, windows=False)
    assert "ALL_PROXY" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"CODEX_CA_CERTIFICATE": "", "SSL_CERT_FILE": ""}, None),
        ({"SSL_CERT_FILE": "/s"}, ("SSL_CERT_FILE", "/s")),
        ({"CODEX_CA_CERTIFICATE": "/c", "SSL_CERT_FILE": "/s"}, ("CODEX_CA_CERTIFICATE", "/c")),
        ({"REQUESTS_CA_BUNDLE": "/r"}, None),
    ],
)
def test_the_corporate_ca_is_the_one_codex_would_use(environ: Mapping[str, str], found: tuple[str, str] | None) -> None:
    """Codex's own variable takes precedence over the common one."""
    assert find_corporate_ca(environ, windows=False) == found


SHELL_LINES: list[tuple[Shell, str]] = [
    ("sh", "unset GONE\nexport CODEX_CA_CERTIFICATE='it'\"'\"'s'\nexport HTTPS_PROXY=p\nexport NEW='a b'\n"),
    ("fish", "set -e GONE\nset -gx CODEX_CA_CERTIFICATE 'it\\'s'\nset -gx HTTPS_PROXY 'p'\nset -gx NEW 'a b'\n"),
    (
        "powershell",
        "Remove-Item Env:GONE\n$env:CODEX_CA_CERTIFICATE = 'it''s'\n$env:HTTPS_PROXY = 'p'\n$env:NEW = 'a b'\n",
    ),
]


@pytest.mark.parametrize(("shell", "lines"), SHELL_LINES)
def test_the_lines_of_each_shell(shell: Shell, lines: str) -> None:
    """Changed variables are set or unset, those that lead to the proxy are always set, all others are left out."""
    before = {"GONE": "x", "SAME": "y", "HTTPS_PROXY": "p"}
    after = {"SAME": "y", "HTTPS_PROXY": "p", "CODEX_CA_CERTIFICATE": "it's", "NEW": "a b"}
    assert shell_lines(shell, before, after) == lines


EVALUATE: dict[str, tuple[Shell, list[str]]] = {
    "sh": ("sh", ["sh", "-c", 'eval "$1"; "$2" -c "$3"', "-"]),
    "bash": ("sh", ["bash", "-c", 'eval "$1"; "$2" -c "$3"', "-"]),
    "zsh": ("sh", ["zsh", "-c", 'eval "$1"; "$2" -c "$3"', "-"]),
    "fish": ("fish", ["fish", "-c", "eval $argv[1]; $argv[2] -c $argv[3]"]),
}
SHOW_PATH = "import os; print(os.environ['PATH'])"
SHOW = "import json, os; print(json.dumps([os.environ.get(n) for n in ('CODEX_CA_CERTIFICATE', 'NO_PROXY')]))"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
@pytest.mark.parametrize("name", EVALUATE)
@pytest.mark.parametrize("odd", ["/plain", ODD])
def test_a_real_shell_gets_the_exact_value(name: str, odd: str) -> None:
    """Special characters of a path are unchanged in the environment of a shell that evaluates the lines."""
    shell, command = EVALUATE[name]
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    lines = shell_lines(shell, {"NO_PROXY": "*"}, {"CODEX_CA_CERTIFICATE": odd})
    shown = subprocess.run(
        [*command, lines, sys.executable, SHOW],
        env={"NO_PROXY": "*", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    escaped = odd.replace("\\", "\\\\").replace('"', '\\"')
    assert shown == f'["{escaped}", null]\n'


PATH_TWICE = {
    "sh": ["sh", "-c", 'eval "$1"; eval "$1"; "$2" -c "$3"', "-"],
    "bash": ["bash", "-c", 'eval "$1"; eval "$1"; "$2" -c "$3"', "-"],
    "zsh": ["zsh", "-c", 'eval "$1"; eval "$1"; "$2" -c "$3"', "-"],
    "fish": ["fish", "-c", "eval $argv[1]; eval $argv[1]; $argv[2] -c $argv[3]"],
}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
@pytest.mark.parametrize("name", PATH_TWICE)
@pytest.mark.parametrize("odd", ["/plain", ODD.replace(":", "")])
def test_a_real_shell_has_the_folder_first_in_path_once(name: str, odd: str) -> None:
    """The line can be evaluated repeatedly, and a path may have special characters."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    shown = subprocess.run(
        [*PATH_TWICE[name], shim_line("fish" if name == "fish" else "sh", odd), sys.executable, SHOW_PATH],
        env={"PATH": "/a b:/usr/bin:/bin"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert shown == f"{odd}:/a b:/usr/bin:/bin\n"


def test_powershell_has_the_folder_first_in_path_once() -> None:
    assert shim_line("powershell", "/it's") == (
        f"if (-not \"$env:PATH\".StartsWith('/it''s{os.pathsep}')) {{ $env:PATH = '/it''s{os.pathsep}' + $env:PATH }}\n"
    )
