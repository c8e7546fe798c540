from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.thread_tree import MAX_DEPTH, TITLES, Branch, ThreadOrigin, ThreadTree


def review(
    thread: str | None, parent: str | None, session: str | None = None, kind: str | None = "review"
) -> ThreadOrigin:
    return ThreadOrigin(thread, session, parent, kind)


@pytest.mark.parametrize(
    ("origins", "roots"),
    [
        pytest.param([], {"a": "a"}, id="nothing"),
        pytest.param([review("a", "root")], {"a": "root", "root": "root"}, id="a review"),
        pytest.param([review("a", "b"), review("b", "root")], {"a": "root", "b": "root"}, id="two levels"),
        pytest.param([review("a", "b", "root")], {"a": "root", "b": "root"}, id="a parent that was not seen"),
        pytest.param([review("a", None, "root")], {"a": "root"}, id="the session alone"),
        pytest.param([review("a", "root", kind=None)], {"a": "root"}, id="no kind"),
        pytest.param([review("a", None, "s", kind=None)], {"a": "a"}, id="a session is no parent"),
        pytest.param([review("a", "a", "a")], {"a": "a"}, id="its own parent"),
        pytest.param([review(None, "root")], {"root": "root"}, id="no thread"),
        pytest.param([review("a", None, "a", TITLES)], {"a": TITLES}, id="a title"),
        pytest.param([review("a", "b"), review("b", "a")], {"a": "a", "b": "a"}, id="a circle"),
        pytest.param(
            [review("x", "b"), review("b", "c"), review("c", "b")],
            {"x": "b", "b": "b", "c": "b"},
            id="a way into a circle",
        ),
    ],
)
def test_roots(origins: list[ThreadOrigin], roots: dict[str, str]) -> None:
    tree = ThreadTree(origins)

    assert {each: tree.root(each) for each in roots} == roots


def test_branches() -> None:
    """A branch comes before those below it; what is between a thread and its session is added."""
    origins = [review("a", "root"), review("b", "root"), review("deep", "between", "root"), review("between", "a")]
    tree = ThreadTree(origins)

    found = tree.branches(["deep", "b", "root", "other"], lambda each: (each,))

    assert found == {
        "root": [
            Branch("a", "root", 1),
            Branch("between", "a", 2),
            Branch("deep", "between", 3),
            Branch("b", "root", 1),
        ]
    }
    assert tree.kinds == dict.fromkeys(["a", "b", "deep", "between"], "review")


def test_a_chain_of_any_length() -> None:
    """What is too far down is as if the thread at the top had started it."""
    count = 20_000
    tree = ThreadTree(review(str(number), str(number + 1)) for number in range(count))

    assert tree.root("0") == str(count)
    branches = tree.branches(map(str, range(count)), lambda each: (each,))[str(count)]
    assert len(branches) == count
    assert max(branch.depth for branch in branches) == MAX_DEPTH
    assert (tree.parent("0"), tree.parent(str(count - MAX_DEPTH))) == (str(count), str(count - MAX_DEPTH + 1))


_ids = st.sampled_from([None, "a", "b", "c", "d", "e"])


@given(st.lists(st.builds(ThreadOrigin, _ids, _ids, _ids, st.sampled_from([None, "review", TITLES]))))
def test_any_origins_give_a_forest(origins: list[ThreadOrigin]) -> None:
    """Each thread is in the tree of its root, once."""
    tree = ThreadTree(origins)
    threads = ["a", "b", "c", "d", "e"]

    found = tree.branches(threads, lambda each: (each,))

    listed = [branch.thread for branches in found.values() for branch in branches]
    assert len(listed) == len(set(listed))
    assert set(listed) | {each for each in threads if tree.root(each) == each} >= set(threads)
    for root, branches in found.items():
        assert {tree.root(branch.thread) for branch in branches} == {root}
        depths = {root: 0}
        for branch in branches:
            assert branch.depth == depths[branch.parent] + 1
            depths[branch.thread] = branch.depth
