"""The accounts, and the one that a prefix matches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.support.sanitize import sanitize
from store.constants import MANY_ACCOUNTS
from store.database import open_reader, open_writer, transaction
from store.edits import merge_accounts, rename_account
from store.queries.accounts import (
    MAX_LISTED,
    Account,
    AccountError,
    find_account,
    find_stored_account,
    in_order,
    labelled,
    load_accounts,
    load_some_accounts,
    search_accounts,
    workspace_accounts,
)
from store.queries.retention import account_counts
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, used, windows

if TYPE_CHECKING:
    from pathlib import Path


ANN = Account(1, "acct-a/user-a", "work", "ann@example.com", "plus", ("k~2", "k~1"), NOON, NOON)
BEN = Account(2, "acct-b/user-b", None, "ben@example.com", None, ("k~3",), NOON, NOON)
OLD = Account(3, "workshop", None, None, None, (), NOON, NOON)
KNOWN = [ANN, BEN, OLD] = labelled([ANN, BEN, OLD])
ANN_LINE = "  work  ann@example.com  acct-a/user-a  k~2"
BEN_LINE = "  ben@example.com  acct-b/user-b  k~3"


def test_accounts_have_the_newest_facts(path: Path) -> None:
    """The token key used last comes first, the plan is the one reported last, and the name is the user's."""
    renewed = ALICE.model_copy(update={"token_key": "alice~0000000009"})
    record(path, used(1, plan_type="plus"), used(1, who=BOB, at=NOON + 1), used(2, who=renewed, at=NOON + 60))
    record(path, used(3, at=NOON + 90, who=renewed, plan_type="pro"))
    with closing(open_writer(path)) as connection:
        rename_account(connection, 1, "work")
    with closing(open_reader(path)) as connection:
        alice, bob = load_accounts(connection)
    keys = ("alice~0000000009", ALICE.token_key)
    assert alice == Account(1, "acct-a/user-a", "work", ALICE.email, "pro", keys, NOON, NOON + 90, label="work")
    assert (bob.id, bob.name, bob.plan_type, bob.first_seen_at) == (2, None, None, NOON + 1)
    assert (alice.label, bob.label) == ("work", BOB.email)
    assert alice.reference == {"account": "acct-a/user-a", "label": "work", "name": "work", "email": ALICE.email}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("work", ANN),  # an exact name comes before the key "workshop"
        ("works", OLD),
        ("ann@", ANN),
        ("ANN@", ANN),
        ("acct-b", BEN),
        ("k~1", ANN),
        ("k~3", BEN),
    ],
)
def test_a_prefix_matches_one_account(prefix: str, expected: Account) -> None:
    """Name, e-mail, key and every token key count."""
    assert find_account(KNOWN, prefix) == expected


@pytest.mark.parametrize(
    ("known", "prefix", "is_ambiguous", "message"),
    [
        (KNOWN, "acct", True, f"'acct' matches several accounts:\n{ANN_LINE}\n{BEN_LINE}"),
        ([BEN, OLD], "carol", False, f"no account matches 'carol'; there are:\n{BEN_LINE}\n  workshop"),
        ([], "carol", False, "no account matches 'carol'; none has been seen yet"),
    ],
)
def test_a_prefix_without_one_account(known: list[Account], prefix: str, is_ambiguous: bool, message: str) -> None:
    """The error lists the candidates."""
    with pytest.raises(AccountError) as caught:
        find_account(known, prefix)
    assert (str(caught.value), caught.value.is_ambiguous) == (message, is_ambiguous)


def test_accounts_are_in_order_once() -> None:
    """The order is that in which they were first seen."""
    assert in_order([OLD, ANN, BEN, ANN]) == KNOWN


def test_the_rows_of_an_account_are_counted(path: Path) -> None:
    """Snapshots, limits and tokens of this account alone."""
    both = (limit(windows(5)), limit(windows(6), limit_id="codex_bengalfox"))
    record(path, used(1), snapshot(*both, at=NOON + 60), used(9, who=BOB))
    with closing(open_reader(path)) as connection:
        alice, bob = load_accounts(connection)
        assert account_counts(connection, alice) == (3, 2, 1)
        assert account_counts(connection, bob) == (1, 1, 1)


_WORDS = st.sampled_from(["a", "A", "ab", "a/b", "#1", "#2", "-a", " a", "a\u202e", "a~1", "", "a, b"]) | st.text(
    max_size=4
)


@st.composite
def account_sets(draw: st.DrawFn) -> list[Account]:
    """Accounts with ids, names, e-mails and token keys that are alike; names differ, as in the database."""
    count = draw(st.integers(1, 6))
    names = draw(st.lists(_WORDS.filter(bool), min_size=count, max_size=count, unique=True))
    return [
        Account(
            id=number,
            key=draw(_WORDS),
            name=name if draw(st.booleans()) else None,
            email=draw(st.none() | _WORDS),
            plan_type=None,
            token_keys=tuple(draw(st.lists(_WORDS, max_size=2))),
            first_seen_at=NOON,
            last_seen_at=NOON,
            merged=tuple(draw(st.lists(_WORDS, max_size=1))),
        )
        for number, name in enumerate(names, 1)
    ]


@given(account_sets())
def test_each_label_and_each_key_names_one_account(accounts: list[Account]) -> None:
    """Whatever the accounts are called, what is printed of one leads back to it, as it is printed."""
    known = labelled(accounts)
    for account in known:
        for word in (account.label, account.key):
            assert find_account(known, word) == account
            assert sanitize(word) == word == word.strip()
            assert not word.startswith("-")


@given(account_sets())
def test_a_name_or_e_mail_of_one_account_alone_is_its_label(accounts: list[Account]) -> None:
    """The key is shown only where nothing better names the account."""
    for account in labelled(accounts):
        others = [each for each in labelled(accounts) if each.id != account.id]
        taken = {word for each in others for word in (each.name, each.email, each.key, *each.merged, *each.token_keys)}
        wanted = [name for name in (account.name, account.email) if name and name not in taken]
        plain = [name for name in wanted if name.isprintable() and name == name.strip() and not name.startswith("-")]
        assert account.label == (plain[0] if plain else account.key)


def test_the_key_of_a_merged_account_leads_to_the_other(path: Path) -> None:
    """So rules and scripts that name it go on."""
    record(path, used(1), used(2, who=BOB))
    with closing(open_writer(path)) as connection, transaction(connection):
        merge_accounts(connection, 1, 2)
    with closing(open_reader(path)) as connection:
        (alice,) = known = load_accounts(connection)
    assert alice.merged == ("acct-b/user-b",)
    assert find_account(known, "acct-b") == alice
    assert find_account(known, BOB.token_key) == alice


def test_the_accounts_of_a_workspace(path: Path) -> None:
    """Each user of a workspace is an account of its own; one that was merged into another leads to that one."""
    carol = ALICE.model_copy(update={"token_key": "carol~1", "user_id": "user-c", "email": "carol@example.com"})
    dave = BOB.model_copy(update={"token_key": "dave~1", "account_id": "acct-d", "email": "dave@example.com"})
    record(path, used(1), used(2, who=BOB), used(3, who=carol), used(4, who=dave))
    with closing(open_writer(path)) as connection:
        merge_accounts(connection, 2, 4)
    with closing(open_reader(path)) as connection:
        found = {each: workspace_accounts(connection, each) for each in ("acct-a", "acct-d", "acct", "acct-x")}
    assert {key: [account.email for account in accounts] for key, accounts in found.items()} == {
        "acct-a": ["alice@example.com", "carol@example.com"],
        "acct-d": ["bob@example.com"],
        "acct": [],
        "acct-x": [],
    }


@pytest.fixture(name="many")
def _many(path: Path) -> Path:
    """Accounts whose names, e-mails, keys and tokens collide, and accounts without any of them."""
    with closing(open_writer(path)) as connection, transaction(connection):
        rows: list[tuple[str, str, str | None, str | None]] = [
            ("acct-a", "user-a", "work", "ann@example.com"),
            ("acct-b", "user-b", None, "ann@example.com"),
            ("acct-c", "user-c", "ben@example.com", "carl@example.com"),
            ("acct-d", "user-d", None, "ben@example.com"),
            ("acct-e", "", None, "acct-f/user-f"),
            ("acct-f", "user-f", None, "Work@Example.com"),
            ("", "acct-e", "eyJ~11", None),
            ("bad\nid", "user", None, None),
            ("#1", "", None, "STRASSE@example.com"),
            ("acct-g", "user-g", "Straße", None),
            ("acct-h", "user-h", None, "m-1/m-2"),
        ]
        for number, (account_id, user_id, name, email) in enumerate(rows, 1):
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (number, account_id, user_id, name, email, 1_000 - number, 2_000),
            )
            for key in (f"eyJ~{number}", f"eyJ~{number}{number}"):
                connection.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)", (key, number, number, number))
        connection.execute("INSERT INTO merged_accounts VALUES ('m-1', 'm-2', 3)")
    return path


def test_some_accounts_are_as_among_all(many: Path) -> None:
    """Their labels and keys depend on all others, whichever are asked for."""
    with closing(open_reader(many)) as connection:
        known = load_accounts(connection)
        assert load_some_accounts(connection, []) == []
        for account in known:
            assert load_some_accounts(connection, [account.id]) == [account]
        assert load_some_accounts(connection, {7, 2, 5}) == [each for each in known if each.id in {2, 5, 7}]
        assert load_some_accounts(connection, range(1_000)) == known


@pytest.mark.parametrize(
    "prefix",
    [
        *(
            "work",
            "WORK",
            "wor",
            "ann",
            "ann@example.com",
            "ben@example.com",
            "ben",
            "carl",
            "acct-a",
            "acct-e",
            "acct",
        ),
        *(
            "acct-f/user-f",
            "eyJ~1",
            "eyj~1",
            "eyJ~11",
            "EYJ~3",
            "eyJ~4",
            "m-1",
            "m-1/m-2",
            "#8",
            "#1",
            "#2",
            "#",
            "strasse",
        ),
        *("stras", "nobody", "", "bad", "user"),
    ],
)
def test_an_account_is_found_as_among_all(many: Path, prefix: str) -> None:
    """The look-up in the database leads to the same account, or to the same error."""
    with closing(open_reader(many)) as connection:
        found: list[Account | str] = []
        for stored in (False, True):
            try:
                found.append(
                    find_stored_account(connection, prefix)
                    if stored
                    else find_account(load_accounts(connection), prefix)
                )
            except AccountError as error:
                found.append(str(error))
    assert found[0] == found[1]


def test_a_search_for_accounts(many: Path) -> None:
    """Each word has to occur in a name, an e-mail or a key."""
    with closing(open_reader(many)) as connection:
        assert search_accounts(connection, "ANN example") == [2, 1]
        assert search_accounts(connection, "work") == [6, 1]
        assert search_accounts(connection, "m-2") == [11, 3]
        assert search_accounts(connection, "nobody") == []


def test_an_error_lists_some_of_many(path: Path) -> None:
    """The list of candidates ends somewhere."""
    with closing(open_writer(path)) as connection, transaction(connection):
        for number in range(MANY_ACCOUNTS + 1):
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?, '', NULL, NULL, 1, 1, NULL)", (number + 1, f"acct-{number:03}")
            )
    with closing(open_reader(path)) as connection:
        with pytest.raises(AccountError, match=r"^no account matches 'x' among 201$"):
            find_stored_account(connection, "x")
        with pytest.raises(AccountError) as caught:
            find_stored_account(connection, "acct")
    lines = str(caught.value).splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("'acct' matches several accounts:", MAX_LISTED + 2, "  and more")
