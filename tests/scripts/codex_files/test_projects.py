from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.codex_files.projects import remote_project, repository_root, short_names

SECRET = "hunter" + "2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://git.example/acme/shop.git", "git.example/acme/shop"),
        ("https://Git.Example/acme/shop/", "git.example/acme/shop"),
        ("git@git.example:acme/shop.git", "git.example/acme/shop"),
        ("ssh://git@git.example:2222/acme/shop.git", "git.example/acme/shop"),
        ("https://git.example:8443/acme/shop?x=1#y", "git.example/acme/shop"),
        (f"https://ann:{SECRET}@git.example/acme/shop.git", "git.example/acme/shop"),
        (f"https://ann:p/{SECRET}@git.example/acme/shop.git", "git.example/acme/shop"),
        (f"https://ann:p@{SECRET}@git.example/acme/shop.git", "git.example/acme/shop"),
        ("/srv/git/shop.git", "/srv/git/shop"),
        ("file:///srv/git/shop.git", "/srv/git/shop"),
        ("../shop.git", "../shop"),
        (r"C:\git\shop.git", r"C:\git\shop"),
        ("https://git.example/", None),
        ("shop", None),
        ("", None),
        (":", None),
    ],
)
def test_remote_project(url: str, expected: str | None) -> None:
    assert remote_project(url) == expected


def test_root_of_a_repository_and_of_its_worktrees(tmp_path: Path) -> None:
    repository, worktree, module = tmp_path / "shop", tmp_path / "elsewhere" / "tree", tmp_path / "shop" / "module"
    for each in (repository / ".git" / "worktrees" / "tree", repository / "src" / "deep", worktree / "src", module):
        each.mkdir(parents=True)
    (worktree / ".git").write_text(f"gitdir: {repository / '.git' / 'worktrees' / 'tree'}\n", encoding="utf-8")
    (module / ".git").write_text("gitdir: ../.git/modules/module\n", encoding="utf-8")

    roots = {
        str(each): repository_root(str(each)) for each in (repository, repository / "src" / "deep", worktree / "src")
    }

    assert set(roots.values()) == {str(repository)}
    assert repository_root(str(module)) == str(module)


@pytest.mark.parametrize(
    "folder",
    ["", "relative/folder", "//server/share/shop", r"\\server\share\shop", "/gone/since/long", "/with\0nul"],
)
def test_no_root(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)

    assert repository_root(folder) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_in_place_of_a_repository_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".git")

    assert repository_root(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["git.example/acme/shop", "/home/ann/blog"], ["shop", "blog"]),
        (["git.example/acme/shop", "/home/ann/shop"], ["acme/shop", "ann/shop"]),
        (["/a/x/shop", "/b/x/shop", "/c/y/shop"], ["/a/x/shop", "/b/x/shop", "y/shop"]),
        (["/shop", "/home/shop"], ["/shop", "/home/shop"]),
        (["a/x/shop", "b/x/shop"], ["a/x/shop", "b/x/shop"]),
        ([r"C:\work\shop", "/work/blog"], ["shop", "blog"]),
        (["/", "/shop", "/shop"], ["/", "/shop"]),
        (["/a/shop", "/a//shop"], ["/a/shop", "/a//shop"]),
        ([], []),
    ],
)
def test_short_names(keys: list[str], expected: list[str]) -> None:
    assert list(short_names(keys).values()) == expected


def test_the_users_home_is_a_tilde() -> None:
    assert short_names([str(Path.home())]) == {str(Path.home()): "~"}
