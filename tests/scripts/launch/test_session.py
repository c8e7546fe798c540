"""The launcher with a real mitmdump and real commands, each started as a program."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mitmproxy.options import Options

from scripts.demo.backend import Backend
from scripts.demo.http_heads import read_head
from scripts.launch.certificates import ensure_authority
from scripts.launch.mitmdump import why_refused
from scripts.launch.session import probe
from scripts.support.errors import LaunchError
from store.files import certificate_folder, shim_folder
from store.settings import default_database
from tests.support.harness import Listener, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[3]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

PS = shutil.which("ps") or ""

# The launcher as the command line calls it: arguments as JSON, an expected failure in one line.
LAUNCHER = """
import json, sys
from pathlib import Path
from scripts.launch import session as launch

name, words, named = json.loads(sys.argv[1])
named |= {key: Path(named[key]) for key in ("database", "ca_file") if key in named}
try:
    sys.exit(getattr(launch, name)(words, **named))
except launch.LaunchError as error:
    print(f"codex-tap: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""

GET = """
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=os.environ["CODEX_CA_CERTIFICATE"])
for url in sys.argv[1:]:
    with urllib.request.urlopen(url, context=context) as answer:
        print(answer.status, answer.read().decode().strip())
"""

# A command that says "up", and on a signal whether its proxy still answers.
LIVELY = """
import os, signal, socket, sys, time, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
def end(number, _frame):
    socket.create_connection((proxy.hostname, proxy.port), 5).close()
    print("proxy alive at", signal.Signals(number).name, flush=True)
    sys.exit(5)
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, end)
print("up", proxy.port, flush=True)
time.sleep(60)
"""

# As npm's codex: a process that starts the real one, and hands the signals on.
WRAPPER = f"""
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {LIVELY!r}])
signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
sys.exit(child.wait())
"""


def launcher(name: str, words: Sequence[str], **named: object) -> list[str]:
    """Return the command that calls a function of the launcher."""
    return [sys.executable, "-c", LAUNCHER, json.dumps([name, words, named], default=str)]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run(*command: str, environ: Mapping[str, str] | None = None, **named: object) -> subprocess.CompletedProcess[str]:
    """Call `run` to its end."""
    return subprocess.run(
        launcher("run", command, **named),
        env=environ or environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@contextlib.contextmanager
def started(
    *command: str, environ: Mapping[str, str] | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a process whose output is read line by line; at the end it and its descendants are killed."""
    process = subprocess.Popen(
        command, env=environ or environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    family = {process.pid}
    try:
        yield process
    finally:
        family |= descendants(process.pid)
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the state of every process."""
    listed = subprocess.run([PS, "-A", "-o", "pid=,ppid=,stat="], capture_output=True, check=True, text=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return {int(pid): (int(parent), state) for pid, parent, state, *_ in rows}


def descendants(pid: int) -> set[int]:
    """Return the process ids of a process's descendants."""
    parents = {child: parent for child, (parent, _) in processes().items()}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in (pid, *found) and child not in found}:
        found |= more
    return found


def wait_until_gone(pids: set[int]) -> None:
    """Wait until the processes have ended; a zombie has ended as well."""

    def living() -> set[int]:
        return {pid for pid, (_, state) in processes().items() if pid in pids and not state.startswith("Z")}

    wait_until(lambda: not living(), lambda: f"still there: {living()}")


def read_line(process: subprocess.Popen[str], start: str) -> str:
    """Return the next line of output that begins with `start`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line.rstrip()
    raise AssertionError(f"it never said {start!r}")


def press(terminal: subprocess.Popen[str], keys: str) -> None:
    """Type `keys` at a terminal."""
    assert terminal.stdin is not None
    terminal.stdin.write(keys)
    terminal.stdin.flush()


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("pass", 0),
        ("import sys; sys.exit(7)", 7),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, marks=POSIX),
    ],
)
def test_the_commands_exit_code_is_the_launchers(program: str, code: int) -> None:
    """A script can use the launcher in place of the command; the proxy adds no output."""
    done = run(*python(program))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_stdin_and_stdout_are_the_commands_own(tmp_path: Path) -> None:
    """The command reads and writes as without the launcher, and the database exists when the launcher has ended."""
    database = tmp_path / "new folder" / "tap.sqlite3"
    done = subprocess.run(
        launcher("run", python("import sys; print(sys.stdin.read().upper()); sys.exit('oops')"), database=database),
        env=environment(),
        input="told",
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "TOLD\n", "oops\n")
    assert database.exists()


@POSIX
def test_the_command_has_the_users_environment_and_signals() -> None:
    """Four variables lead to the tap and PATH begins with the shim; other variables and all signals are unchanged."""
    program = "import json, os, signal; print(json.dumps([dict(os.environ), int(signal.getsignal(signal.SIGHUP))]))"
    environ = environment(no_proxy="chatgpt.com,localhost", HTTP_PROXY="http://127.0.0.1:9")
    inner, hangup = json.loads(run(*python(program), environ=environ).stdout)
    for shell_variable in ("_", "SHLVL", "PWD", "LC_CTYPE"):  # the interpreter and a shell may add these
        inner.pop(shell_variable, None)
        environ.pop(shell_variable, None)
    proxy = inner["HTTPS_PROXY"]
    assert proxy.startswith("http://127.0.0.1:")
    assert inner == {
        **environ,
        "PATH": f"{shim_folder()}{os.pathsep}{environ['PATH']}",
        "no_proxy": "localhost",
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "CODEX_CA_CERTIFICATE": str(certificate_folder() / "mitmproxy-ca-cert.pem"),
        "NODE_EXTRA_CA_CERTS": str(certificate_folder() / "mitmproxy-ca-cert.pem"),
    }
    assert hangup == signal.SIG_DFL


@POSIX
def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup the command survives the end of the terminal, as without the launcher."""
    program = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    words = launcher("run", python(program))
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "-", *words],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("no-such-command-anywhere", 127, "no-such-command-anywhere was not found"),
        ("codex", 127, "codex was not found; get it with: npm install -g @openai/codex"),
        pytest.param("./plain", 126, "./plain cannot be executed", marks=POSIX),
        pytest.param("./broken", 127, "./broken cannot be executed: No such file or directory", marks=POSIX),
    ],
)
def test_a_command_that_cannot_be_run(
    command: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of a shell, the message says what to do, and no process is left."""
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("broken").write_text("#!/no/such/interpreter\n")
    Path("broken").chmod(0o700)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(command, environ=environment(PATH=str(empty)))
    assert (done.returncode, done.stderr) == (code, f"codex-tap: {told}\n")


def test_a_proxy_that_cannot_start(tmp_path: Path) -> None:
    """The command is not started, and the message has the proxy's output."""
    done = run(*python("print('started')"), database=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("codex-tap: the proxy did not start: ")
    assert str(tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1


@POSIX
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_reaches_the_command(sent: signal.Signals) -> None:
    """The command handles the signal while its proxy still works; no process is left."""
    with started(*launcher("run", python(LIVELY))) as process:
        read_line(process, "up")
        family = descendants(process.pid)
        process.send_signal(sent)
        assert read_line(process, "proxy") == f"proxy alive at {sent.name}"
        assert process.wait(20) == 5
        wait_until_gone(family)


@POSIX
def test_an_interrupt_that_no_terminal_sent_reaches_the_command() -> None:
    """An interrupt that a program sends only to the launcher is passed on to the command."""
    with started(*launcher("run", python(LIVELY)), environ=environment()) as process:
        read_line(process, "up")
        process.send_signal(signal.SIGINT)
        assert read_line(process, "proxy") == "proxy alive at SIGINT"
        assert process.wait(20) == 5


@POSIX
def test_a_killed_launcher_leaves_nothing() -> None:
    """Neither the proxy, nor the command, nor what the command started outlives the launcher."""
    with started(*launcher("run", python(WRAPPER))) as process:
        read_line(process, "up")
        family = descendants(process.pid)
        assert len(family) == 3  # the proxy, the wrapper and its child
        process.kill()
        assert read_line(process, "proxy") == "proxy alive at SIGTERM"
        wait_until_gone(family)


@POSIX
def test_a_launcher_killed_before_the_command_leaves_nothing() -> None:
    """A proxy that is still starting ends as well."""
    with started(*launcher("run", python(LIVELY))) as process:
        wait_until(lambda: bool(descendants(process.pid)), lambda: "no proxy was started")
        family = descendants(process.pid)
        process.kill()
        wait_until_gone(family)


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@POSIX
def test_ctrl_c_in_a_terminal() -> None:
    """The command handles Ctrl-C while its proxy still works, and sets the exit code; no process is left."""
    with started(*python(IN_A_TERMINAL, *launcher("run", python(LIVELY)))) as terminal:
        read_line(terminal, "up")
        family = descendants(terminal.pid)
        press(terminal, "\x03")
        assert "proxy alive at SIGINT" in read_line(terminal, "^Cproxy")
        assert terminal.wait(20) == 5
        wait_until_gone(family)


@POSIX
@pytest.mark.skipif(shutil.which("bash") is None, reason="job control of bash")
def test_ctrl_z_and_fg() -> None:
    """The shell gets its prompt back at Ctrl-Z, and the command goes on at fg."""
    command = shlex.join(launcher("run", python("print('up', flush=True); print('got', input(), flush=True)")))
    with started(*python(IN_A_TERMINAL, "bash", "--norc", "--noprofile", "-i")) as terminal:
        press(terminal, f"PS1=; stty -echo\n{command}\n")
        read_line(terminal, "up")
        press(terminal, "\x1a")
        read_line(terminal, "[1]+  Stopped")
        # The shell sets the terminal up for its own prompt, and what is typed just then is lost.
        time.sleep(1)
        press(terminal, "fg\n")
        # The shell says what goes on, and hands the terminal over: what is typed before that may be the shell's.
        read_line(terminal, command[:20])
        time.sleep(0.3)
        press(terminal, "on\n")
        assert read_line(terminal, "got") == "got on"
        press(terminal, "echo code $?; exit\n")
        assert read_line(terminal, "code ") == "code 0"


def test_two_first_runs_at_once(tmp_path: Path) -> None:
    """Both use one database and one certificate authority."""
    program = (
        "import os, pathlib; from scripts.launch.session import probe;"
        "probe(os.environ['HTTPS_PROXY'].removeprefix('http://'), pathlib.Path(os.environ['CODEX_CA_CERTIFICATE']))"
    )
    database = tmp_path / "tap.sqlite3"
    both = [
        subprocess.Popen(
            launcher("run", python(program), database=database), env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert not list(certificate_folder().parent.glob("ca.*"))


@POSIX
def test_the_authority_is_private() -> None:
    """Other users cannot read the key that signs for chatgpt.com, not even while it is created."""
    certificate = ensure_authority(certificate_folder())
    assert stat.S_IMODE(certificate_folder().parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(certificate_folder().stat().st_mode) == 0o700
    before = certificate.read_bytes()
    assert ensure_authority(certificate_folder()).read_bytes() == before


class Front(Listener):
    """An HTTP proxy that stores the heads of its requests and forwards everything to another proxy."""

    def __init__(self, port: int) -> None:
        self.heads: list[str] = []
        self._behind = port
        super().__init__(self._hand_on)

    def _hand_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._behind)) as server:
            head = read_head(client)
            self.heads.append(head.decode())
            server.sendall(head)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def front(backend: Backend) -> Iterator[Front]:
    front = Front(backend.port)
    yield front
    front.close()


def test_a_corporate_proxy_and_authority(backend: Backend, front: Front) -> None:
    """Behind a company's proxy and authority the tap reads Codex's hosts and tunnels the others, both verified."""
    environ = environment(HTTPS_PROXY=f"http://127.0.0.1:{front.port}", SSL_CERT_FILE=str(backend.ca_file))
    for _ in range(2):
        done = run(
            *python(GET, "https://gateway.example/", "https://other.example/"),
            hosts=["gateway.example"],
            environ=environ,
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout.splitlines() == ["200 a page of gateway.example", "200 a page of other.example"]
    assert {head.split()[1] for head in front.heads} == {"gateway.example:443", "other.example:443"}
    assert not any("Proxy-Authorization" in head for head in front.heads)
    # One file for the proxy, one for the command, however many runs; neither for others to write.
    bundles = sorted(certificate_folder().glob("*-????????????????.pem"))
    assert [bundle.name.split("-")[0] for bundle in bundles] == ["command", "upstream"]
    if sys.platform != "win32":
        assert [stat.S_IMODE(bundle.stat().st_mode) for bundle in bundles] == [0o600, 0o600]


@POSIX
def test_the_password_of_an_upstream_proxy(backend: Backend, front: Front) -> None:
    """The upstream gets the password, and the list of processes does not show it."""
    program = "import os; print(os.popen('ps -A -ww -o args=').read())"
    environ = environment(
        https_proxy=f"http://some%40body:hush-hush@127.0.0.1:{front.port}", CODEX_CA_CERTIFICATE=str(backend.ca_file)
    )
    done = run(*python(f"{GET}\n{program}", "https://other.example/"), environ=environ)
    assert done.returncode == 0
    assert f"upstream:http://127.0.0.1:{front.port}" in done.stdout
    assert "hush-hush" not in done.stdout.replace(front.heads[0], "")
    expected = base64.b64encode(b"some@body:hush-hush").decode()
    assert [f"Proxy-Authorization: Basic {expected}" in head for head in front.heads] == [True]


@pytest.mark.parametrize("variable", ["CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "which cannot be read: "),
        ("", "which has no usable certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "which has no usable certificate"),
    ],
)
def test_a_corporate_authority_that_cannot_be_used(
    variable: str, content: str | None, told: str, tmp_path: Path
) -> None:
    """The message names the variable and the file; nothing is started."""
    file = tmp_path / "corporate.pem"
    if content is not None:
        file.write_text(content)
    done = run(*python("pass"), environ=environment(**{variable: str(file)}))
    assert done.returncode == 4
    assert done.stderr.startswith(f"codex-tap: {variable} names {file}, {told}")


def test_warnings_of_the_proxy_are_printed_after_the_command(backend: Backend) -> None:
    """They do not disturb the command's terminal, and are not lost."""
    program = GET.replace('os.environ["CODEX_CA_CERTIFICATE"]', "None")
    environ = environment(HTTPS_PROXY=backend.proxy_url, CODEX_CA_CERTIFICATE=str(backend.ca_file))
    done = run(*python(program, "https://chatgpt.com/"), environ=environ)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("codex-tap: proxy: ")
    assert "does not trust the proxy's certificate" in last


@contextlib.contextmanager
def running_proxy(*arguments: str, **named: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`codex-tap proxy` on a free port, and its address."""
    port = free_port()
    with started(*launcher("proxy", arguments, port=port, **named)) as process:
        line = read_line(process, "codex-tap: listening at ")
        yield process, line.split()[3].rstrip(";,")


@POSIX
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_foreground_proxy_ends_cleanly(sent: signal.Signals) -> None:
    """After Ctrl-C, SIGTERM or SIGHUP the exit code is 0 and no process is left."""
    with running_proxy() as (process, _):
        family = descendants(process.pid)
        process.send_signal(sent)
        assert process.wait(20) == 0
        wait_until_gone(family)
    assert default_database().exists()


@POSIX
def test_the_foreground_proxy_does_not_outlive_its_launcher() -> None:
    """When the launcher is killed, the port becomes free."""
    with running_proxy() as (process, _):
        family = descendants(process.pid)
        process.kill()
        wait_until_gone(family)


def test_a_port_in_use_is_an_error() -> None:
    """The message names the address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            launcher("proxy", [], port=port), env=environment(), capture_output=True, check=False, text=True, timeout=60
        )
    assert done.returncode == 4
    assert done.stderr.startswith(f"codex-tap: the proxy cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.endswith("; use another port with --port\n")


def test_mitmdumps_own_arguments_win(tmp_path: Path) -> None:
    """Arguments after `--` take precedence over those of the launcher."""
    port = free_port()
    with running_proxy(
        "--listen-port", str(port), "--set", "termlog_verbosity=info", "--set", f"codex_tap_db={tmp_path}/x"
    ) as (_, address):
        assert address == f"127.0.0.1:{port}"
        assert (tmp_path / "x").exists()


def proxy_fails(*arguments: str, **named: object) -> subprocess.CompletedProcess[str]:
    """A `codex-tap proxy` that does not start."""
    return subprocess.run(
        launcher("proxy", arguments, port=free_port(), **named),
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "host"),
    [([], "0.0.0.0"), (["--listen-h", "::"], "127.0.0.1")],  # noqa: S104 (what is refused)
    ids=["ours", "mitmdumps-own-shortened"],
)
def test_other_machines_need_a_password(arguments: list[str], host: str) -> None:
    """Listening for other machines without a password is wrong use, and the message says what to do."""
    done = proxy_fails(*arguments, host=host)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"codex-tap: refusing to listen at {arguments[-1] if arguments else host}: ")
    assert "-- --set proxyauth=USER:PASSWORD" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"listen_host": "127.0.0.1"}, None),
        ({"listen_host": "127.0.0.2"}, None),
        ({"listen_host": "::1"}, None),
        ({"listen_host": "localhost"}, None),
        ({"listen_host": "127.0.0.1", "mode": ["upstream:http://proxy.example:3128", "socks5@127.0.0.1:1080"]}, None),
        ({"listen_host": "", "server": False}, None),
        ({"listen_host": "", "mode": ["local"]}, None),
        ({"listen_host": "", "proxyauth": "someone:hush"}, None),
        ({"listen_host": "0.0.0.0", "proxyauth": "@htpasswd"}, None),  # noqa: S104
        ({"listen_host": ""}, "all addresses"),
        ({"listen_host": "0.0.0.0"}, "0.0.0.0"),  # noqa: S104
        ({"listen_host": "::"}, "::"),
        ({"listen_host": "::", "proxyauth": ""}, "::"),
        ({"listen_host": "::", "proxyauth": "any"}, "::"),
        ({"listen_host": "192.0.2.1"}, "192.0.2.1"),
        ({"listen_host": "localhost.example"}, "localhost.example"),
        ({"listen_host": "127.0.0.1", "mode": ["regular@0.0.0.0:8080"]}, "0.0.0.0"),  # noqa: S104
        ({"listen_host": "127.0.0.1", "mode": ["regular", "socks5@192.0.2.1:1080"]}, "192.0.2.1"),
        ({"listen_host": "127.0.0.1", "mode": ["reverse:https://chatgpt.com@[::]:8080"]}, "[::]"),
    ],
    ids=str,
)
def test_which_addresses_are_refused(options: dict[str, object], refused: str | None) -> None:
    """Loopback needs no password; any other address does, and `any`, which accepts every password, does not count."""
    known = Options()
    known.add_option("proxyauth", str | None, None, "")
    known.update(**options)
    why = why_refused(known)
    assert (why and why.split(": other machines")[0]) == (refused and f"refusing to listen at {refused}")


def test_a_password_is_required(backend: Backend) -> None:
    """With it the proxy can be used, and without it not even a tunnel can be opened."""
    with running_proxy("--set", "proxyauth=someone:hush") as (_, address):
        host, _, port = address.rpartition(":")
        answers = []
        for password in ("", "Proxy-Authorization: Basic c29tZW9uZTpodXNo\r\n"):  # someone:hush
            with socket.create_connection((host, int(port)), 10) as client:
                client.sendall(f"CONNECT 127.0.0.1:{backend.port} HTTP/1.1\r\n{password}\r\n".encode())
                answers.append(client.recv(100).split()[1])
        assert answers == [b"407", b"200"]


def test_mitmdump_can_be_asked_for_its_version() -> None:
    """An option that makes mitmdump print and exit does just that."""
    done = subprocess.run(
        launcher("proxy", ["--version"]), env=environment(), capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.startswith("Mitmproxy: ")


def test_a_running_proxy_can_be_used() -> None:
    """The command goes through a running proxy, if that is a codex-tap proxy."""
    with running_proxy() as (process, address):
        done = run(*python("import os; print(os.environ['HTTPS_PROXY'])"), proxy=address)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"http://{address}\n", "")
        assert process.poll() is None
        with pytest.raises(LaunchError, match="is not a codex-tap proxy with"):
            probe(address, Path(__file__))
        with pytest.raises(LaunchError, match="cannot be read"):
            probe(address, Path(__file__) / "x")


NESTED = [sys.executable, str(ROOT / "scripts" / "cli.py"), "run", "codex", "x"]


@POSIX
def test_every_way_to_codex_gets_the_flag(tmp_path: Path) -> None:
    """By name, by path, in a shell, in a run within a run, and with a running proxy; `exec` does not need the flag."""
    codex = tmp_path / "codex"
    codex.write_text('#!/bin/sh\necho "$0" "$@"\n')
    codex.chmod(0o755)
    environ = environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for command in (["codex", "x"], [str(codex), "x"], ["sh", "-c", "codex x"], NESTED):
        assert run(*command, environ=environ).stdout == f"{codex} --no-daemon x\n"
    assert run("sh", "-c", "codex exec x", environ=environ).stdout == f"{codex} exec x\n"
    with running_proxy() as (_, address):
        for command in (["codex", "x"], ["sh", "-c", "codex x"]):
            assert run(*command, environ=environ, proxy=address).stdout == f"{codex} --no-daemon x\n"


@POSIX
def test_a_proxy_is_never_its_own_upstream() -> None:
    """A shell whose variables lead to the proxy can start it again."""
    port = free_port()
    environ = environment(HTTPS_PROXY=f"http://127.0.0.1:{port}")
    with started(*launcher("proxy", [], port=port), environ=environ) as process:
        read_line(process, "codex-tap: listening at ")
        shown = subprocess.run([PS, "-A", "-ww", "-o", "args="], capture_output=True, check=True, text=True).stdout
        assert f"upstream:http://127.0.0.1:{port}" not in shown


def test_a_missing_proxy_is_an_error() -> None:
    """The command is not started, and the message says what to do."""
    address = f"127.0.0.1:{free_port()}"
    done = run(*python("print('started')"), proxy=address)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"codex-tap: no proxy responds at {address} (")
    assert done.stderr.endswith("; start one with: codex-tap proxy\n")


@pytest.mark.parametrize("address", ["", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http"])
def test_an_invalid_address(address: str) -> None:
    """The exit code is 2, and the message shows the form of an address."""
    with pytest.raises(LaunchError, match=re.escape("127.0.0.1:8080")) as caught:
        probe(address, Path(__file__))
    assert caught.value.exit_code == 2
