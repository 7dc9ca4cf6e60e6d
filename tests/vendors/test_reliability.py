"""What a vendor did moves its score; one outcome counts once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vendors.samples import NOON, a_vendor, evidence
from vendors.models import Record, Vote
from vendors.reliability import BEST_VOTE, MAX_EVIDENCE, MOST_OF_ONE_USER, heard, learn, score, user_hash


@pytest.mark.parametrize(
    ("prior", "completed", "failed", "expected"),
    [
        (0.9, 0, 0, 0.9),
        (0.9, 0, 1, 0.8182),
        (0.95, 1, 0, 0.9545),
        (0.9, 90, 0, 0.99),
        (0.9, 0, 90, 0.09),
        (0, 0, 5, 0.0),
        (1, 5, 0, 1.0),
    ],
)
def test_the_prior_counts_as_ten_jobs(prior: float, completed: int, failed: int, expected: float) -> None:
    """One failure does not condemn, a long record outweighs what was believed."""
    assert score(prior, Record(completed, failed)) == expected


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_score_is_a_share_and_moves_the_right_way(prior: float, completed: int, failed: int) -> None:
    """Always 0..1; never lower for a job completed, never higher for one failed."""
    now = score(prior, Record(completed, failed))
    assert 0 <= now <= 1
    assert score(prior, Record(completed + 1, failed)) >= now >= score(prior, Record(completed, failed + 1))


def test_an_outcome_moves_the_score_and_is_kept() -> None:
    """Counts, evidence and score move together, from the prior and not from the last score."""
    failed = learn(a_vendor(reliability_score=0.5), evidence(1, "failed"))
    assert (failed.record.completed, failed.record.failed) == (0, 1)
    assert failed.record.evidence == (evidence(1, "failed"),)
    assert failed.reliability_score == 0.8182
    both = learn(failed, evidence(2, "completed"))
    assert (both.record.completed, both.record.failed) == (1, 1)
    assert both.record.evidence == (evidence(1, "failed"), evidence(2, "completed"))
    assert both.reliability_score == 0.8333
    assert both.reliability_prior == 0.9


def test_an_outcome_told_twice_counts_once() -> None:
    """A crash may repeat what was said; even told otherwise, the first word on a job stands."""
    once = learn(a_vendor(), evidence(1, "completed"))
    assert learn(once, evidence(1, "completed")) == once
    assert learn(once, evidence(1, "failed")) == once


def test_evidence_is_bounded_and_counts_are_not() -> None:
    """The newest outcomes are kept, the counts go on."""
    vendor = a_vendor()
    for number in range(MAX_EVIDENCE + 10):
        vendor = learn(vendor, evidence(number, "completed"))
    assert vendor.record.completed == MAX_EVIDENCE + 10
    assert [seen.job_id for seen in vendor.record.evidence] == [f"job{n}" for n in range(10, MAX_EVIDENCE + 10)]


def vote(user: str = "a", run: str = "run1", score: int = 5) -> Vote:
    return Vote(user_hash(user), run, score, NOON)


def test_a_vote_moves_the_score_like_a_job() -> None:
    """A 5 like one that completed, a 0 like one that failed, a 3 like six tenths of one."""
    vendor = a_vendor()
    assert heard(vendor, vote(score=5)).reliability_score == score(0.9, Record(1, 0))
    assert heard(vendor, vote(score=0)).reliability_score == score(0.9, Record(0, 1))
    assert heard(vendor, vote(score=3)).reliability_score == round((9 + 0.6) / 11, 4)


def test_a_user_has_one_vote_for_a_run() -> None:
    """The last one counts."""
    vendor = heard(heard(a_vendor(), vote(score=0)), vote(score=4))
    assert [each.score for each in vendor.record.votes] == [4]
    assert heard(vendor, vote(run="run2", score=0)).record.vote_average == 2
    assert heard(vendor, vote(user="b", score=1)).record.vote_count == 2


def test_one_users_votes_and_outcomes_move_a_score_only_so_far() -> None:
    """Whatever they do: as many as ten jobs, beside the ten of the prior. Others weigh on."""
    vendor = a_vendor()
    for number in range(500):
        vendor = learn(vendor, evidence(number, "failed"), user_hash("a"))
        vendor = heard(vendor, vote(run=f"run{number}", score=0))
    floor = round(9 / (10 + MOST_OF_ONE_USER), 4)
    assert vendor.reliability_score == floor
    assert vendor.record.vote_count == 10
    for number in range(500, 550):
        vendor = learn(vendor, evidence(number, "completed"), user_hash("b"))
    assert vendor.reliability_score == round((9 + MOST_OF_ONE_USER) / (10 + 2 * MOST_OF_ONE_USER), 4)


def test_what_was_learned_before_users_were_told_apart_counts_in_full() -> None:
    old = replace(a_vendor(), record=Record(90, 0))
    assert learn(old, evidence(1, "completed"), user_hash("a")).reliability_score == score(0.9, Record(91, 0))


def test_a_record_does_not_grow_with_its_users() -> None:
    """Nor does anybody's name stand in it."""
    vendor = a_vendor()
    for number in range(300):
        vendor = learn(vendor, evidence(number, "completed"), user_hash(f"user{number}"))
        vendor = heard(vendor, vote(user=f"user{number}", score=BEST_VOTE))
    assert (len(vendor.record.shares), len(vendor.record.votes)) == (200, 200)
    assert vendor.record.completed == 300
    assert "user" not in {each.user[:4] for each in vendor.record.shares}


def test_a_user_that_is_forgotten_counts_no_more_than_before() -> None:
    """Whoever makes two hundred users does not set free what one of them did."""
    vendor = a_vendor()
    for number in range(500):
        vendor = learn(vendor, evidence(number, "failed"), user_hash("a"))
    for number in range(500, 700):
        vendor = learn(vendor, evidence(number, "completed"), user_hash(f"user{number}"))
    assert vendor.record.failed == MOST_OF_ONE_USER
    assert vendor.reliability_score == round((9 + 200) / 220, 4)
