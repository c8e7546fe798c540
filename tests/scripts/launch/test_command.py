"""The user's command: its exit code, streams, environment and signals, also in a terminal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store.files import certificate_folder, shim_folder
from tests.support.command_line import CLI
from tests.support.launcher import (
    LIVELY,
    POSIX,
    descendants,
    environment,
    launcher,
    python,
    read_line,
    run,
    started,
    wait_until_gone,
)


def press(terminal: subprocess.Popen[str], keys: str) -> None:
    """Type `keys` at a terminal."""
    assert terminal.stdin is not None
    terminal.stdin.write(keys)
    terminal.stdin.flush()


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


@POSIX
@pytest.mark.skipif(shutil.which("bash") is None, reason="process substitution of bash")
@pytest.mark.parametrize("options", ["", "--serve"])
def test_the_shells_descriptors_reach_the_command(options: str) -> None:
    """It reads the pipes of the shell, and has no descriptor that it would not have without the launcher."""
    tapped = f"{shlex.join([sys.executable, str(CLI)])} run {options}"
    listing = shlex.join(python("import os; print(sorted(each for each in os.listdir('/dev/fd')))"))
    script = f"""
        {tapped} cat <(echo one) <(echo two)
        exec 7</dev/null 9>/dev/null
        {listing}
        {tapped} {listing}
    """
    done = subprocess.run(
        [shutil.which("bash") or "", "-c", script],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    one, two, without, through = done.stdout.splitlines()
    assert (one, two) == ("one", "two")
    assert "7" in through
    assert through == without


def test_the_command_has_its_own_stdin_and_stdout(tmp_path: Path) -> None:
    """The command reads and writes as without the launcher, and the database exists when the launcher has ended."""
    database = tmp_path / "new folder" / "tap.sqlite3"
    done = subprocess.run(
        launcher("run", python("import sys; print(sys.stdin.read().upper()); sys.exit('oops')"), database=database),
        env=environment(),
        input="typed",
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "TYPED\n", "oops\n")
    assert database.exists()


@POSIX
def test_the_command_has_the_users_environment_and_signals() -> None:
    """Five variables lead to the tap and PATH begins with the shim; other variables and all signals are unchanged."""
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
        "CODEX_TAP_PROXY": proxy,
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
    ("command", "code", "message"),
    [
        ("no-such-command-anywhere", 127, "no-such-command-anywhere was not found"),
        ("codex", 127, "codex was not found; get it with: npm install -g @openai/codex"),
        pytest.param("./plain", 126, "./plain cannot be executed", marks=POSIX),
        pytest.param("./broken", 127, "./broken cannot be executed: No such file or directory", marks=POSIX),
    ],
)
def test_a_command_that_cannot_be_run(
    command: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of a shell, the message says what to do, and no process is left."""
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("broken").write_text("#!/no/such/interpreter\n")
    Path("broken").chmod(0o700)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(command, environ=environment(PATH=str(empty)))
    assert (done.returncode, done.stderr) == (code, f"codex-tap: {message}\n")


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
def test_an_interrupt_by_a_program_reaches_the_command() -> None:
    """An interrupt that a program sends only to the launcher is passed on to the command."""
    with started(*launcher("run", python(LIVELY)), environ=environment()) as process:
        read_line(process, "up")
        process.send_signal(signal.SIGINT)
        assert read_line(process, "proxy") == "proxy alive at SIGINT"
        assert process.wait(20) == 5


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
