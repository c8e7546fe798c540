from __future__ import annotations

import pytest

from scripts.codex_files.login import Login
from scripts.render.selection import login_marks, login_reference, reason, selection, unread_login
from scripts.support.database import NO_ACCOUNT, Selected
from tests.support.status_factories import account, five

HERE, NOBODY = Login("~/.codex", "acct-1"), Login("~/.codex")
WORK = account("work", five(20))
NOT_SEEN = "the account that ~/.codex is logged in with has not been seen yet"


@pytest.mark.parametrize(
    ("selected", "login", "sentence", "short"),
    [
        (Selected(WORK, "argument"), Login(""), "for work, as asked for", ""),
        (Selected(WORK, "last_seen"), NOBODY, "for work, the account seen last", "seen last"),
        (Selected(WORK, "codex_home", 1), HERE, "for work, the login of ~/.codex", "login of ~/.codex"),
        (
            Selected(WORK, "codex_home", 3),
            HERE,
            "for work, the login of ~/.codex, of its 3 users the one seen last",
            "login of ~/.codex, of its 3 users the one seen last",
        ),
    ],
    ids=["named", "seen last", "logged in", "one of three users"],
)
def test_why_it_is_this_account(selected: Selected, login: Login, sentence: str, short: str) -> None:
    assert selection(selected, login) == {"selected_by": selected.by, "selection": sentence}
    assert reason(selected, login) == short


@pytest.mark.parametrize(
    ("selected", "sentence"),
    [
        (NO_ACCOUNT, NOT_SEEN),
        (Selected(None, "last_seen"), "nothing is known of any account"),
        (Selected(None, "argument"), "nothing is known of any account"),
    ],
    ids=["its login was not seen", "nothing was seen", "named, and nothing was seen"],
)
def test_no_account(selected: Selected, sentence: str) -> None:
    assert selection(selected, HERE)["selection"] == sentence


@pytest.mark.parametrize(
    ("selected", "login", "reference", "marks"),
    [
        (NO_ACCOUNT, NOBODY, (None, None), {}),
        (NO_ACCOUNT, HERE, (None, NOT_SEEN), {"": NOT_SEEN}),
        (
            Selected(WORK, "codex_home", 1),
            HERE,
            ("work/key", "~/.codex is logged in as work"),
            {"work/key": "login of ~/.codex"},
        ),
        (
            Selected(WORK, "codex_home", 2),
            HERE,
            ("work/key", "~/.codex is logged in as work, of its 2 users the one seen last"),
            {"work/key": "login of ~/.codex, of its 2 users the one seen last"},
        ),
    ],
    ids=["nobody", "not seen", "seen", "one of two users"],
)
def test_which_account_is_logged_in(
    selected: Selected, login: Login, reference: tuple[str | None, str | None], marks: dict[str, str]
) -> None:
    """Documents have it in two fields; lists of accounts mark the account, or say above all that it is missing."""
    found = login_reference(selected, login)
    assert (found["logged_in"], found["login"]) == reference
    assert login_marks(selected, login) == marks


def test_a_login_that_cannot_be_read() -> None:
    assert unread_login(Login("~/.codex", problem="Permission denied")) == (
        "codex-tap: note: the login of ~/.codex cannot be read (Permission denied); nobody counts as logged in"
    )
