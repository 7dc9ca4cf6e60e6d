"""The stories of docs/reliability.md are true: what each buyer presents and pays for one purchase."""

from __future__ import annotations

import pytest

from tests.peers.stories import OFFICIAL, TOLD, Case, play

OURS = [case for case in TOLD if case.buyer == "Purser"]
THEIRS = [case for case in TOLD if case.buyer != "Purser"]


def name(case: Case) -> str:
    """What a test of it is called."""
    return f"{case.story}, {case.seller}"


@pytest.mark.parametrize("case", OURS, ids=name)
def test_purser_presents_one_authorization_and_pays_once(case: Case) -> None:
    """The same bytes again, whatever the seller makes of them."""
    outcome = play(case)

    assert (outcome.nonces, outcome.settlements) == TOLD[case] == (1, 1)
    assert outcome.presented == 2, "it was presented again: the story took place"


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the official client is not installed: make peers-lose-money")
@pytest.mark.parametrize("case", THEIRS, ids=name)
def test_the_official_client_fares_as_told(case: Case) -> None:
    """Two nonces and two settlements, unless the seller keeps orders."""
    outcome = play(case)

    assert (outcome.nonces, outcome.settlements) == TOLD[case]
