"""Titles, folders and projects that the real Codex writes, and the threads of its reviews and sub-agents."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.codex import log_in
from scripts.demo.replies import Answer, Event, Pause, WireWindow, rate_limits_event
from tests.support.harness import REPOSITORY, Proxy, codex_environment, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.backend import Backend

CLI = REPOSITORY / "scripts" / "cli.py"
ACCOUNT = "acct-names"
SPAWN = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "namespace": "collaboration",
    "name": "spawn_agent",
    "arguments": json.dumps({"task_name": "check_tests", "message": "look at the tests"}),
}


class User:
    """A person with Codex behind a proxy with the tap."""

    def __init__(self, codex: str, proxy: Proxy, folder: Path) -> None:
        self.home, self.database = folder / "codex", folder / "tap.sqlite3"
        self._codex = codex
        self._environment = {**codex_environment(proxy, self.home), "CODEX_TAP_DB": str(self.database)}
        log_in(self.home, ACCOUNT, "user-1")

    def exec(self, folder: Path, *words: str) -> None:
        """Run ``codex exec`` in a folder."""
        command = [self._codex, "exec", "--skip-git-repo-check", *words]
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    def asks(self, *words: str) -> Any:
        """Return the document of a command of codex-tap."""
        command = [sys.executable, str(CLI), *words, "--json"]
        found = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)


def make_repository(folder: Path, remote: str | None) -> Path:
    """Create a git repository with a commit, a sub-folder and a change."""
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", folder.name)
    if remote:
        git(folder, "remote", "add", "origin", remote)
    (folder / "src" / "a.txt").write_text("a change to review\n", encoding="utf-8")
    return folder


def git(folder: Path, *words: str) -> None:
    someone = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
    subprocess.run(["git", *someone, *words], cwd=folder, check=True)  # noqa: S607 (it is where PATH has it)


def answer(*events: Event) -> Answer:
    """Return a turn that reports a window."""
    window = WireWindow(13, 10_080, int(time.time()) + 300_000)
    return Answer(events=[rate_limits_event(window, plan="plus"), *events])


def spawn_once(backend: Backend) -> threading.Thread:
    """Let the model start one sub-agent: the next response calls the tool, those after it say "ok"."""
    before = len(backend.requests)
    called: list[Event] = [Pause(1), {"type": "response.output_item.done", "output_index": 0, "item": SPAWN}]
    backend.answer(answer(*called), account=ACCOUNT)

    def asked() -> bool:
        new = [each for each in backend.requests[before:] if each.method == "MESSAGE"]
        return any(b'"generate":false' not in each.body.replace(b" ", b"") for each in new)

    def then_ok() -> None:
        wait_until(asked, lambda: "no turn")
        backend.answer(answer(), account=ACCOUNT)

    found = threading.Thread(target=then_ok)
    found.start()
    return found


@pytest.mark.skipif(shutil.which("git") is None, reason="git makes the repositories")
def test_titles_projects_reviews_and_sub_agents(codex: str, backend: Backend, tmp_path: Path) -> None:
    shop = make_repository(tmp_path / "work" / "shop", "https://git.example/acme/checkout-service.git")
    blog = make_repository(tmp_path / "work" / "blog", None)
    git(shop, "worktree", "add", "-q", str(tmp_path / "tree"))
    git(blog, "worktree", "add", "-q", str(tmp_path / "blog-tree"))
    backend.answer(answer(), account=ACCOUNT)
    with Proxy(backend, database=tmp_path / "tap.sqlite3", arguments=["-q"]) as proxy:
        user = User(codex, proxy, tmp_path)
        user.exec(shop / "src", "fix the tests\nof the checkout")
        user.exec(tmp_path / "tree", "try another way")
        user.exec(blog / "src", "write a post")
        user.exec(tmp_path / "blog-tree", "write another post")
        user.exec(shop, "review", "--uncommitted")
        waiting = spawn_once(backend)
        user.exec(blog, "ask for help")
        waiting.join()
        assert proxy.stop() == 0
    shutil.rmtree(tmp_path / "tree")

    threads = user.asks("threads", "--tree")
    assert [(each["title"], each["project"]) for each in threads if not each["title"].startswith("Review ")] == [
        ("ask for help", "blog"),
        ("write another post", "blog"),
        ("write a post", "blog"),
        ("try another way", "checkout-service"),
        ("fix the tests of the checkout", "checkout-service"),
    ]
    helped, reviewed, *_, first = threads
    assert first["folder"] == str(shop / "src")
    assert [(each["kind"], each["title"], each["project"], each["depth"]) for each in helped["tree"]] == [
        ("thread_spawn", "check tests", "blog", 1)
    ]
    assert [(each["kind"], each["project"]) for each in reviewed["tree"]] == [("review", "checkout-service")]
    assert reviewed["title"].startswith("Review the current code changes")

    rows = user.asks("usage", "--by", "project")["rows"]
    assert {(row["key"], row["name"]): row["turns"] for row in rows} == {
        (str(blog), "blog"): sum(each["turns"] for each in threads if each["project"] == "blog"),
        ("git.example/acme/checkout-service", "checkout-service"): 3,
    }
    by_thread = {row["key"]: row for row in user.asks("usage", "--tree")["rows"]}
    assert {key: row["title"] for key, row in by_thread.items()} == {each["thread"]: each["title"] for each in threads}
    assert [each["kind"] for each in by_thread[helped["thread"]]["tree"]] == ["thread_spawn"]

    kept = b"".join(each.read_bytes() for each in tmp_path.glob("tap.sqlite3*"))
    assert [
        each
        for each in (b"checkout", b"write a post", b"check tests", b"check_tests", str(shop).encode())
        if each in kept
    ] == []
    assert all(each["title"] is None for each in user.asks("threads", "--names", "off"))
