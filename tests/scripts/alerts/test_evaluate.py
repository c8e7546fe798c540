"""One evaluation: quiet hours, and rules that match nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.command_line import invoke
from tests.support.factories import BOB

if TYPE_CHECKING:
    from tests.support.alerts import Desk


def test_quiet_hours_delay_alerts_until_they_end(desk: Desk) -> None:
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


def test_rules_that_match_nothing(desk: Desk) -> None:
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


def test_alerts_of_a_merged_account_are_not_sent_again(desk: Desk) -> None:
    """What was sent for the account that is gone counts for the one that it was merged into."""
    desk.write()
    desk.read(81, who=BOB)
    with desk.watch() as watching:
        desk.look(watching)
        assert len(desk.noted()) == 1
        desk.read(10)
        desk.look(watching)
        desk.read(82, who=BOB)
        assert invoke("accounts", "merge", "alice", "bob", "--yes", "--db", desk.database).exit_code == 0
        desk.look(watching)
        assert len(desk.noted()) == 1
