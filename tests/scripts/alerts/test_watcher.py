"""Evaluating and sending: the commands as people run them, with real programs and a real server as targets."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from apprise import Apprise
from click.testing import CliRunner, Result

from scripts.alerts import state as states
from scripts.alerts.outbox import MAX_PENDING
from scripts.alerts.targets import AppriseTarget, CommandTarget, SendError, trial_message
from scripts.alerts.watcher import MAX_SECONDS, MIN_SECONDS, Watch
from scripts.cli import cli
from store.models import Window
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot
from tests.support.harness import REPOSITORY, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.models import Identity, Snapshot

CLI = REPOSITORY / "scripts" / "cli.py"
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, groups and SIGTERM are POSIX's")
SECRET = "tk-not-a-real-one"
NOTE = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"


class Server(contextlib.AbstractContextManager["Server"]):
    """An HTTP server on loopback that stores requests; responses have the next of `statuses`, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.posted: list[dict[str, Any]] = []
        waiting = list(statuses)
        posted = self.posted

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(waiting.pop(0) if waiting else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/{SECRET}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Desk:
    """A database, an alerts file, and a command as a target that writes its messages to a file."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "tap.sqlite3"
        self.config = folder / "alerts.toml"
        self.notes = folder / "notes.jsonl"
        self.said: list[str] = []
        self.ticks = 0.0

    @property
    def note(self) -> str:
        """The target that notes, as TOML."""
        return json.dumps([sys.executable, "-c", NOTE, str(self.notes)])

    def write(self, rules: str = "at = [80, 95]", *, head: str = "", **targets: str) -> Path:
        """Write the alerts file; targets are TOML."""
        named = "\n".join(f"{name} = {value}" for name, value in (targets or {"log": self.note}).items())
        self.config.write_text(f"{head}\n[targets]\n{named}\n\n[[rules]]\n{rules}\n", encoding="utf-8")
        self.config.chmod(0o600)
        return self.config

    def read(self, used: float, *, who: Identity = ALICE, resets_in: float = 9_000) -> None:
        """Let the proxy record a reading."""
        record(self.database, reading(used, who=who, resets_in=resets_in))

    def noted(self) -> list[str]:
        """The sentences that the command got."""
        lines = self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []
        return [json.loads(line)["text"] for line in lines]

    @contextlib.contextmanager
    def watch(self, pauses: tuple[float, ...] = (0.0, 0.0)) -> Iterator[Watch]:
        """Watch, without a process of its own."""
        with contextlib.closing(Watch(self.database, self.config, pauses=pauses, log=self.said.append)) as watching:
            yield watching

    def look(self, watching: Watch, *, now: float | None = None) -> None:
        """Let a minute pass, look, and wait until all that is due is sent or given up."""
        self.ticks += MAX_SECONDS
        watching.step(now or time.time(), self.ticks)

        def settled() -> bool:
            watching.step(now or time.time(), self.ticks)
            return watching.is_idle

        wait_until(settled, lambda: f"still being sent; said: {self.said}")

    def invoke(self, *arguments: str) -> Result:
        """Run a command line in this process."""
        words = ["alerts", *arguments, "--config", str(self.config)]
        words += [] if arguments[0] in {"test", "init"} else ["--db", str(self.database)]
        return CliRunner().invoke(cli, words, prog_name="codex-tap", catch_exceptions=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``alerts watch`` as a program."""
        words = ["alerts", "watch", "--config", str(self.config), "--db", str(self.database), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, str(CLI), *words], stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8"
        )


def reading(used: float, *, who: Identity = ALICE, resets_in: float = 9_000) -> Snapshot:
    now = time.time()
    window = Window(used_percent=used, window_minutes=300, resets_at=int(now // 600 * 600 + 600 + resets_in))
    return snapshot(limit({"5h": window}), who=who, at=now)


@pytest.fixture(scope="module", autouse=True)
def _apprise() -> None:
    """Let apprise load its services first: on Python 3.11 its imports cause deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert Apprise.instantiate("json://127.0.0.1:9/")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# Targets


def test_a_command_gets_json_on_stdin(desk: Desk) -> None:
    """The command gets one line, and runs without a shell, so shell syntax is a plain argument."""
    script = "import json, sys; json.dump([json.load(sys.stdin), sys.argv[1]], open(sys.argv[2], 'w'))"
    CommandTarget([sys.executable, "-c", script, "$(id) && true", str(desk.notes)]).send(trial_message(1.5))
    message, argument = json.loads(desk.notes.read_text(encoding="utf-8"))
    assert (message, argument) == (trial_message(1.5), "$(id) && true")
    assert (message["kind"], message["test"], message["at"]) == ("test", True, 1.5)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit(7)", SECRET], "exit code 7"),
        (["no-such-program-anywhere", SECRET], "the program was not found"),
        ([sys.executable, "-c", "import time; time.sleep(60)", SECRET], "killed after 1 s"),
    ],
)
def test_a_command_that_fails(command: list[str], said: str) -> None:
    """The error says why, and has none of the arguments."""
    with pytest.raises(SendError) as caught:
        CommandTarget(command, seconds=1).send(trial_message(0))
    assert str(caught.value) == said


def test_a_command_need_not_read_its_stdin() -> None:
    """A command that ignores its stdin is fine."""
    CommandTarget([sys.executable, "-c", "pass"]).send(trial_message(0) | {"text": "x" * 1_000_000})


@POSIX
def test_a_command_that_takes_too_long_goes_with_all_that_it_started(desk: Desk) -> None:
    """A shell's child is killed, too."""
    script = f"sleep 60 & echo $! > {desk.notes}; wait"
    with pytest.raises(SendError):
        CommandTarget(["sh", "-c", script], seconds=1).send(trial_message(0))
    pid = int(desk.notes.read_text(encoding="utf-8"))
    wait_until(lambda: not _runs(pid), lambda: "it still runs")


def _runs(pid: int) -> bool:
    """Return True if a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return not stat.parent.parent.exists()


def test_a_url_is_told_through_apprise(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The text is unchanged, and the URL is never logged or printed."""
    with Server(200, 500, 403) as server:
        AppriseTarget(server.url).send(trial_message(0) | {"text": "<b>80 % & *more*</b>"})
        for said in ("refused (HTTP 500)", "refused (HTTP 403)"):
            with pytest.raises(SendError) as caught:
                AppriseTarget(server.url).send(trial_message(0))
            assert str(caught.value) == said
    assert [each["message"] for each in server.posted] == ["<b>80 % & *more*</b>", *[trial_message(0)["text"]] * 2]
    with pytest.raises(SendError, match="refused, or no response"):
        AppriseTarget(server.url).send(trial_message(0))
    with pytest.raises(SendError, match="apprise does not support this URL"):
        AppriseTarget(f"nosuchservice://{SECRET}").send(trial_message(0))
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


# Looking


def test_what_is_due_is_sent_once(desk: Desk) -> None:
    """Each target gets an alert once, also after a restart, and the next threshold is a new alert."""
    with Server() as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        desk.read(81)
        for _ in range(2):
            with desk.watch() as watching:
                desk.look(watching)
                desk.look(watching)
        (text,) = desk.noted()
        assert text.startswith("alice@example.com: 5 h limit at 81 % used, resets ")
        assert [each["message"] for each in server.posted] == [text]
        desk.read(96)
        with desk.watch() as watching:
            desk.look(watching)
        assert len(desk.noted()) == len(server.posted) == 2
    assert not [line for line in desk.said if SECRET in line]
    assert SECRET not in states.state_path(desk.database).read_text(encoding="ascii")


def test_a_target_that_fails_is_tried_again(desk: Desk) -> None:
    """There is an attempt after each pause; other targets are not delayed."""
    with Server(500, 500) as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch() as watching:
            desk.look(watching)
        assert len(server.posted) == 3
    assert len(desk.noted()) == 1
    tried = [line for line in desk.said if "next attempt in 0 s" in line]
    assert len(tried) == 2
    assert all(line.startswith("hook (json://…): refused (HTTP 500); next attempt") for line in tried)


def test_a_target_that_goes_on_failing_is_given_up(desk: Desk) -> None:
    """There is one attempt more than pauses."""
    with Server(*[500] * 9) as server:
        desk.write(hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch() as watching:
            desk.look(watching)
            desk.look(watching)
        assert len(server.posted) == 3
    assert "dropped after 3 attempts" in desk.said[-1]


def test_a_target_that_hangs_holds_nobody_up(desk: Desk) -> None:
    """The other target gets its message, and steps do not block."""
    release = desk.config.with_name("release")
    script = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)"
    desk.write(slow=json.dumps([sys.executable, "-c", script, str(release)]), log=desk.note)
    desk.read(81)
    with desk.watch() as watching:
        watching.step(time.time(), MAX_SECONDS)
        wait_until(lambda: bool(desk.noted()), lambda: "the other target got nothing")
        assert not watching.is_idle
        release.touch()
        desk.look(watching)


def test_what_was_not_sent_is_sent_after_a_restart(desk: Desk) -> None:
    """A waiting message is not lost with the process."""
    with Server(500) as server:
        desk.write(hook=json.dumps(server.url))
        desk.read(81)
        with desk.watch(pauses=(3_600.0,)) as watching:
            watching.step(time.time(), MAX_SECONDS)

            def refused() -> bool:
                watching.step(time.time(), MAX_SECONDS)
                return bool(desk.said)

            wait_until(refused, lambda: "it was not refused")
        assert not watching.is_idle
        with desk.watch(pauses=(3_600.0,)) as watching:
            desk.look(watching, now=time.time() + 3_601)
        assert len(server.posted) == 2


def test_what_waits_is_bounded(desk: Desk) -> None:
    """If many messages wait for one target, the oldest are dropped."""
    desk.write(hook='"json://127.0.0.1:9/"')
    names = [f"user{number}" for number in range(MAX_PENDING + 5)]
    who = [ALICE.model_copy(update={"token_key": f"{each}~0", "user_id": each, "email": f"{each}@x"}) for each in names]
    record(desk.database, *(reading(81, who=each) for each in who))
    with desk.watch(pauses=(3_600.0,)) as watching:
        watching.step(time.time(), MAX_SECONDS)
        assert len(states.load(states.state_path(desk.database)).unsent) == MAX_PENDING
    assert len([line for line in desk.said if "too many messages are waiting; dropped" in line]) == 5


def test_quiet_hours_hold_it_back_until_they_end(desk: Desk) -> None:
    """Alerts that still hold are sent afterwards."""
    now = time.time()
    hours = [time.strftime("%H:%M", time.localtime(now + minutes * 60)) for minutes in (-10, 10)]
    desk.write(head=f'quiet_hours = "{hours[0]}-{hours[1]}"')
    desk.read(81)
    desk.read(85, who=BOB)
    with desk.watch() as watching:
        desk.look(watching)
        assert desk.noted() == []
    desk.read(20, who=BOB, resets_in=99_000)
    with desk.watch() as watching:
        desk.look(watching, now=now + 1_200)
    assert [text.partition(":")[0] for text in desk.noted()] == ["alice@example.com"]


def test_it_looks_when_the_database_has_changed(desk: Desk) -> None:
    """An evaluation follows a change, after the minimum time."""
    desk.write()
    desk.read(20)
    with desk.watch() as watching:
        watching.step(time.time(), 0.0)
        desk.read(81)
        watching.step(time.time(), MIN_SECONDS - 1)
        assert watching.is_idle
        watching.step(time.time(), MIN_SECONDS * 2)
        assert not watching.is_idle
        wait_until(lambda: bool(desk.noted()), lambda: "it was not told")


def test_the_file_is_read_again_when_it_is_changed(desk: Desk) -> None:
    """An invalid file is reported, and the previous rules stay in force."""
    desk.write("at = [90]")
    desk.read(81)
    with desk.watch() as watching:
        desk.look(watching)
        desk.write("at = [90.0]\nwindows = '5h'")
        desk.look(watching)
        assert "did you mean window?; the previous rules stay in force" in desk.said[-1]
        assert desk.noted() == []
        desk.write("at = [80]")
        desk.look(watching)
    assert len(desk.noted()) == 1


def test_a_database_that_comes_later(desk: Desk) -> None:
    """A watch that was started first finds the database of the first turn."""
    desk.write()
    with desk.watch() as watching:
        desk.look(watching)
        desk.read(81)
        desk.look(watching)
    assert len(desk.noted()) == 1


def test_a_memory_that_is_damaged_is_begun_anew(desk: Desk) -> None:
    """The damage is reported, and alerts that still hold are sent again."""
    desk.write()
    desk.read(81)
    states.state_path(desk.database).write_text('{"version": 1, "since": 7}', encoding="ascii")
    with desk.watch() as watching:
        desk.look(watching)
    assert len(desk.noted()) == 1
    assert "is damaged" in desk.said[0]


def test_a_forgotten_account_is_in_no_file(desk: Desk) -> None:
    """The state file has neither its sent nor its waiting alerts."""
    desk.write(hook='"json://127.0.0.1:9/"')
    desk.read(81)
    desk.read(82, who=BOB)
    with desk.watch(pauses=(3_600.0,)) as watching:
        watching.step(time.time(), MAX_SECONDS)
        words = ["accounts", "forget", "alice", "--yes", "--db", str(desk.database)]
        assert CliRunner().invoke(cli, words).exit_code == 0
        watching.step(time.time(), MAX_SECONDS * 2)
    kept = states.state_path(desk.database).read_text(encoding="ascii")
    assert ("alice" in kept or "acct-a" in kept, "acct-b" in kept) == (False, True)


# The commands


def test_check_says_what_would_be_told_and_what_was(desk: Desk) -> None:
    """The exit code is 1 if alerts are due, else 0; nothing is sent or changed."""
    desk.write()
    assert desk.invoke("check").exit_code == 3
    desk.read(81)
    for _ in range(2):
        result = desk.invoke("check")
        assert result.exit_code == 1
        assert result.stdout.startswith("Due now:\n  alice@example.com: 5 h limit at 81 % used, resets ")
        assert result.stdout.endswith("  → log\nNo alerts sent yet.\n")
    with desk.watch() as watching:
        desk.look(watching)
    result = desk.invoke("check")
    assert (result.exit_code, result.stdout.splitlines()[:2]) == (0, ["No alerts due.", "Already sent:"])
    assert len(desk.noted()) == 1


def test_check_for_programs(desk: Desk) -> None:
    """Due alerts are as a command gets them, with their targets."""
    desk.write(log=desk.note, hook=f'"json://127.0.0.1:9/{SECRET}"')
    desk.read(97)
    result = desk.invoke("check", "--json")
    document = json.loads(result.stdout)
    assert SECRET not in result.output
    assert document["targets"] == {"log": Path(sys.executable).name, "hook": "json://…"}
    assert (document["held"], document["fired"], document["problems"]) == ([], [], [])
    (due,) = document["due"]
    assert (due["kind"], due["threshold"], due["used_percent"], due["window"]) == ("used", 95.0, 97.0, "5h")
    assert (due["account"], due["targets"]) == ("acct-a/user-a", ["log", "hook"])
    with desk.watch(pauses=()) as watching:
        desk.look(watching)
    fired = json.loads(desk.invoke("check", "--json").stdout)["fired"]
    assert [each["threshold"] for each in fired] == [80.0, 95.0]


def test_check_in_quiet_hours(desk: Desk) -> None:
    """Held alerts are shown separately, and the exit code is 0."""
    hours = [time.strftime("%H:%M", time.localtime(time.time() + minutes * 60)) for minutes in (-10, 10)]
    desk.write(head=f'quiet_hours = "{hours[0]}-{hours[1]}"')
    desk.read(81)
    result = desk.invoke("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("Held until ")
    document = json.loads(desk.invoke("check", "--json").stdout)
    assert (len(document["held"]), document["due"]) == (1, [])


def test_a_rule_for_what_is_not_known(desk: Desk) -> None:
    """The rule is reported, and the other rules apply."""
    rules = ('account = "wrok"', 'limit = "codecs"', 'account = "alice"')
    desk.write("[[rules]]\n".join(f"at = [80]\n{rule}\n" for rule in rules))
    desk.read(81)
    result = desk.invoke("check")
    assert (result.exit_code, result.stdout.count("81 % used")) == (1, 1)
    assert result.stderr.splitlines() == [
        "Note: rule 1 is not in force: no account matches 'wrok'",
        "Note: rule 2 is not in force yet: unknown limit 'codecs'; known: codex",
    ]


@pytest.mark.parametrize("command", ["check", "test", "watch"])
def test_a_wrong_file_is_wrong_use(desk: Desk, command: str) -> None:
    """The error has the line, the key and a correction."""
    desk.write("at = [80]\nwindw = '5h'")
    result = desk.invoke(command)
    assert result.exit_code == 2
    assert result.stderr.endswith("alerts.toml, line 7: rules.windw: unknown key; did you mean window?\n")
    desk.config.unlink()
    assert desk.invoke(command).stderr.endswith("does not exist; create it with: codex-tap alerts init\n")


def test_test_tells_each_target(desk: Desk) -> None:
    """There is a line for each target; the exit code is 4 if one failed, and no state is stored."""
    with Server(200, 200, 401) as server:
        desk.write(log=desk.note, hook=json.dumps(server.url))
        result = desk.invoke("test")
        assert (result.exit_code, result.stderr) == (0, "")
        lines = {"hook (json://…): sent", f"log ({Path(sys.executable).name}): sent"}
        assert set(result.stdout.splitlines()) == lines
        assert (len(server.posted), len(desk.noted())) == (1, 1)
        assert desk.invoke("test", "hook").exit_code == 0
        assert (len(server.posted), len(desk.noted())) == (2, 1)
        result = desk.invoke("test")
    assert (result.exit_code, result.stderr) == (4, "Error: 1 of 2 failed\n")
    assert "hook (json://…): refused (HTTP 401)" in result.stdout
    assert SECRET not in result.output
    assert not states.state_path(desk.database).exists()


def test_test_of_a_target_that_there_is_not(desk: Desk) -> None:
    """The error names the nearest target."""
    desk.write(phone=desk.note)
    result = desk.invoke("test", "fone")
    assert (result.exit_code, result.stderr) == (2, "Error: no target is named 'fone'; did you mean phone?\n")


@POSIX
def test_a_file_that_others_can_read_is_told_of(desk: Desk) -> None:
    """There is a warning, and the command still runs."""
    desk.write().chmod(0o644)
    result = desk.invoke("test")
    assert result.exit_code == 0
    assert "other users can read" in result.stderr
    assert f"chmod 600 {desk.config}" in result.stderr


def test_init_writes_a_file_once(desk: Desk) -> None:
    """Only the owner can read the file, and an existing file is not overwritten."""
    assert desk.invoke("init").exit_code == 0
    if os.name == "posix":
        assert desk.config.stat().st_mode & 0o777 == 0o600
    before = desk.config.read_bytes()
    result = desk.invoke("init")
    assert (result.exit_code, desk.config.read_bytes()) == (2, before)
    assert "already exists" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("[[rules]]\nat = [80]\n", "has no targets"), ("[targets]\nlog = ['a']\n", "has no rules")],
)
def test_watch_with_nobody_to_tell_or_nothing_to(desk: Desk, text: str, said: str) -> None:
    """The watch ends at once."""
    desk.config.write_text(text, encoding="utf-8")
    result = desk.invoke("watch")
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_run_tells_beside_its_proxy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whom, and what was recorded last is told, too, before it ends with the command."""
    desk.write()
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    script = (
        "import sys; from pathlib import Path; from tests.scripts.alerts.test_watcher import reading; "
        f"from tests.support.databases import record; record(Path({str(desk.database)!r}), reading(81)); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, str(CLI), "run", "--alerts", "--db", str(desk.database), sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "codex-tap: alerts go to log\n")
    assert len(desk.noted()) == 1
    with states.exclusive_lock(desk.database):
        pass


@POSIX
def test_a_killed_launcher_leaves_no_watch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch ends with its parent process, and holds the lock until then."""
    desk.write()
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    command = [sys.executable, str(CLI), "proxy", "--alerts", "--port", str(free_port()), "--db", str(desk.database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "codex-tap: alerts go to log\n"
        wait_until(lambda: not _is_free(desk.database), lambda: "it does not watch")
        process.kill()
    wait_until(lambda: _is_free(desk.database), lambda: "the watch is still there")


def _is_free(database: Path) -> bool:
    try:
        with states.exclusive_lock(database):
            return True
    except states.AlreadyRunningError:
        return False


@pytest.mark.parametrize("command", [["run", "--alerts", "codex"], ["proxy", "--alerts"]])
def test_nothing_is_started_with_a_wrong_file(desk: Desk, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """The error comes at the start."""
    desk.write("ats = [80]")
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    result = CliRunner().invoke(cli, command, prog_name="codex-tap", catch_exceptions=False)
    assert (result.exit_code, "did you mean at?" in result.stderr) == (2, True)


def test_a_running_proxy_has_alerts_of_its_own() -> None:
    """`run --proxy --alerts` would look at another database than the one that is written."""
    result = CliRunner().invoke(cli, ["run", "--proxy", "127.0.0.1:8080", "--alerts", "codex"], prog_name="codex-tap")
    assert (result.exit_code, "--alerts" in result.stderr) == (2, True)


def test_watch_as_a_program(desk: Desk) -> None:
    """The watch says what it watches, sends alerts, and is the only one; a waiting one takes over when it ends."""
    desk.write()
    desk.read(81)
    with desk.start() as first:
        assert first.stderr is not None
        assert first.stderr.readline().endswith(
            f"watching {desk.database}, sending alerts to log; press Ctrl-C to stop\n"
        )
        wait_until(lambda: bool(desk.noted()), lambda: "it was not told")
        other = desk.invoke("watch")
        assert (other.exit_code, "watches" in other.stderr) == (4, True)
        with desk.start("--beside") as beside:
            assert beside.stdout is not None
            assert beside.stdin is not None
            assert beside.stdout.readline() == "codex-tap alerting log\n"
            first.send_signal(signal.SIGTERM)
            code = first.wait(20)
            assert os.name != "posix" or code == 0
            desk.read(96)
            wait_until(lambda: len(desk.noted()) == 2, lambda: "the other one did not take over")
            beside.stdin.close()
            assert beside.wait(20) == 0
    if os.name == "posix":
        assert states.state_path(desk.database).stat().st_mode & 0o777 == 0o600
