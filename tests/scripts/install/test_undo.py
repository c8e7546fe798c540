"""Everything that was installed, changed back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.install import undo
from scripts.install.always_step import lead_codex, plan_always, start_service, write_service
from scripts.install.service_manager import NoManager, Systemd
from scripts.install.shell_step import apply_shell, plan_shell
from scripts.install.undo import Undone, apply_undo, plan_undo
from scripts.support.beside import Beside
from scripts.support.errors import CommandError
from scripts.support.installation import AlwaysOn, Installation, load_installation, save_installation
from store import files
from tests.scripts.install.test_shell_step import Memory
from tests.support.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="start-up files of POSIX")


@pytest.fixture(name="env")
def _env() -> Path:
    """The path of Codex's own .env."""
    return Path(os.environ["CODEX_HOME"]) / ".env"


def install_all(port: int = 26339) -> Sequence[str]:
    """Install both steps without running the service; return the command that would."""
    (Path.home() / ".bashrc").write_bytes(b"alias x=y")
    apply_shell(plan_shell("bash", [], os.environ))
    plan = plan_always(os.environ, port=port, gateways=[], beside=Beside())
    command = write_service(plan)
    start_service(plan, NoManager(), command)
    lead_codex(plan, os.environ)
    return command


def user_files() -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in Path.home().rglob("*") if path.is_file() and "/ca/" not in str(path)
    }


def test_all_files_are_as_before(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte; a second time there is nothing to do."""
    monkeypatch.setattr(undo, "processes_using", lambda *_: [])
    env.write_bytes(b"A=1\r\nHTTPS_PROXY=http://corp:1\r\n")
    (Path.home() / ".bashrc").write_bytes(b"alias x=y")
    before = user_files()
    install_all()
    assert user_files() != before
    plan = plan_undo(os.environ)
    assert (plan.problems, plan.is_empty) == ({}, False)
    assert apply_undo(plan, os.environ) == Undone("none", [], None)
    assert user_files() == before
    assert plan_undo(os.environ).is_empty
    assert not files.installed_folder().exists()
    assert not files.service_folder().exists()


def test_the_certificates_stay_while_they_are_used(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file would cut the process off; the next time they are deleted."""
    install_all()
    monkeypatch.setattr(undo, "processes_using", lambda *_: [7])
    undone = apply_undo(plan_undo(os.environ), os.environ)
    assert (undone.users, undone.kept, env.exists()) == ([7], files.trusted_file().absolute(), False)
    monkeypatch.setattr(undo, "processes_using", lambda *_: [])
    assert apply_undo(plan_undo(os.environ), os.environ).kept is None
    assert not files.trusted_file().exists()


def test_where_processes_cannot_be_seen_they_stay_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the next time that it is asked for."""
    monkeypatch.setattr(undo, "processes_using", lambda *_: None)
    install_all()
    assert apply_undo(plan_undo(os.environ), os.environ).kept == files.trusted_file().absolute()
    assert apply_undo(plan_undo(os.environ), os.environ).kept is None
    assert not files.trusted_file().exists()


def test_a_lost_record(env: Path) -> None:
    """Blocks in the usual places are found all the same."""
    install_all()
    files.installation_file().unlink()
    apply_undo(plan_undo(os.environ), os.environ)
    assert not env.exists()
    assert (Path.home() / ".bashrc").read_bytes() == b"alias x=y"


def test_the_users_edits_stay(env: Path) -> None:
    """They are counted for the report."""
    install_all()
    env.write_bytes(env.read_bytes().replace(b"SSL_CERT_FILE", b"MINE=1\nSSL_CERT_FILE"))
    plan = plan_undo(os.environ)
    assert plan.env is not None
    assert plan.env.edited == (b"MINE=1",)
    apply_undo(plan, os.environ)
    assert env.read_bytes() == b"MINE=1\n"


def test_a_start_up_file_that_cannot_be_changed(tmp_path: Path) -> None:
    """It is left alone with the reason, stays on record, and the rest is undone."""
    install_all()
    path = Path.home() / ".bashrc"
    path.unlink()
    path.symlink_to(tmp_path)
    plan = plan_undo(os.environ)
    assert list(plan.problems) == [str(path)]
    assert "delete the block of codex-tap there yourself" in plan.problems[str(path)]
    apply_undo(plan, os.environ)
    assert list(load_installation().blocks) == [str(path)]
    assert load_installation().always is None


def test_while_codex_is_led_to_the_service_it_goes_on(env: Path) -> None:
    """A .env that cannot be changed back would strand Codex."""
    install_all()
    env.rename(env.with_name("elsewhere"))
    env.symlink_to("elsewhere")
    with pytest.raises(CommandError, match=r"\.env is a link; .*nothing is undone"):
        plan_undo(os.environ)
    assert files.service_folder().exists()


def test_the_registry_of_windows() -> None:
    """The folder goes out of the user's PATH."""
    registry = Memory(r"C:\x")
    apply_shell(plan_shell("powershell", [], os.environ, registry), registry)
    apply_undo(plan_undo(os.environ), os.environ, registry)
    assert registry.text == r"C:\x"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows the command line of processes")
def test_a_service_that_the_user_runs_is_ended() -> None:
    """Only a process that is one: the number may be another program's by now."""
    command = install_all(free_port())
    with subprocess.Popen(command) as service:
        status = files.service_folder() / files.HOLDER_STATUS
        while not status.exists():
            assert service.poll() is None
        written = json.loads(status.read_text())
        apply_undo(plan_undo(os.environ), os.environ)
        assert service.wait(30) is not None

    install_all(free_port())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        status.write_text(json.dumps(written | {"pid": other.pid}))
        apply_undo(plan_undo(os.environ), os.environ)
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("count", range(1, 12))
def test_killed_in_the_middle(env: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """After any number of written files, each is old or new, and everything can be undone."""
    env.write_bytes(b"A=1\n")
    (Path.home() / ".bashrc").write_bytes(b"alias x=y")
    before = user_files()
    replace, left = Path.replace, count

    def die(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(undo, "processes_using", lambda *_: [])
    monkeypatch.setattr(Path, "replace", die)
    with contextlib.suppress(KeyboardInterrupt):
        install_all()
    monkeypatch.setattr(Path, "replace", replace)
    for path, content in before.items():
        assert Path(path).read_bytes().startswith(content)
    apply_undo(plan_undo(os.environ), os.environ)
    assert user_files() == before


def test_something_that_listens_still_is_reported() -> None:
    """A service that another user or system runs is not ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        save_installation(Installation(always=AlwaysOn(port, "/nowhere/.env", "none")))
        assert apply_undo(plan_undo(os.environ), os.environ).still_listens
    save_installation(Installation(always=AlwaysOn(port, "/nowhere/.env", "none")))
    assert not apply_undo(plan_undo(os.environ), os.environ).still_listens


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the manager of Linux")
def test_a_service_that_the_system_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed again without a manager, it is stopped there as well."""
    calls: list[list[str]] = []
    monkeypatch.setattr(Systemd, "stop", lambda self: calls.append([self.name]))
    install_all()
    apply_undo(plan_undo(os.environ), os.environ)
    assert calls == [["systemd"]]


def test_an_empty_record_is_kept_out() -> None:
    """Nothing installed is nothing to undo."""
    save_installation(Installation())
    assert plan_undo(os.environ).is_empty
