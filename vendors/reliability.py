"""Reliability is learned: outcomes and users' votes move a vendor's score, and the newest evidence is kept.

The score is a mean with a prior: the one that the vendor was registered with counts as `_PRIOR_JOBS` jobs, so a
first failure does not condemn a vendor and a long record outweighs what was believed of it. What one user's runs
and votes bring counts as `MOST_OF_ONE_USER` jobs at the most, so that nobody makes or breaks a vendor alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import Final

from vendors.models import Evidence, Record, UserShare, Vendor, Vote

__all__ = ["BEST_VOTE", "MAX_EVIDENCE", "MOST_OF_ONE_USER", "heard", "learn", "score", "user_hash"]

MAX_EVIDENCE: Final = 50
"""Outcomes kept per vendor. The counts go back further."""

MOST_OF_ONE_USER: Final = 10
"""Jobs that all that one user brings counts as, at the most: as much as what was believed at first."""

BEST_VOTE: Final = 5
"""A vote of this counts as a job that completed, one of 0 as one that failed."""

_PRIOR_JOBS: Final = 10
_MAX_USERS: Final = 200
_MAX_VOTES: Final = 200
_MAX_VOTES_OF_ONE_USER: Final = 10


def user_hash(user_id: str) -> str:
    """How a user is known in a record: the first 16 hex digits of the SHA-256 of the id."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:16]


def score(prior: float, record: Record) -> float:
    """The expected share of jobs that complete, to 4 decimals."""
    known = [UserShare("", record.completed, record.failed), *record.shares]
    votes = defaultdict[str, list[int]](list)
    for vote in record.votes:
        votes[vote.user].append(vote.score)
    nobodys = known[0]
    for share in record.shares:
        nobodys = UserShare("", nobodys.completed - share.completed, nobodys.failed - share.failed)
    good, weight = prior * _PRIOR_JOBS + nobodys.completed, float(_PRIOR_JOBS + nobodys.completed + nobodys.failed)
    outcomes = {share.user: share for share in record.shares}
    for user in {*outcomes, *votes}:
        share = outcomes.get(user, UserShare(user, 0, 0))
        well = share.completed + sum(votes[user]) / BEST_VOTE
        count = share.completed + share.failed + len(votes[user])
        most = min(1.0, MOST_OF_ONE_USER / count)
        good, weight = good + well * most, weight + count * most
    return round(good / weight, 4)


def learn(vendor: Vendor, evidence: Evidence, user: str = "") -> Vendor:
    """`vendor` after one more outcome; unchanged where the job is in its evidence already.

    `user` is the hash of whose run it was. An outcome may be told twice (after a crash), and is counted once as
    long as fewer than `MAX_EVIDENCE` others came in between.
    """
    known = vendor.record
    if any(seen.job_id == evidence.job_id for seen in known.evidence):
        return vendor
    completed, failed = int(evidence.outcome == "completed"), int(evidence.outcome == "failed")
    after = replace(
        known,
        completed=known.completed + completed,
        failed=known.failed + failed,
        evidence=(*known.evidence, evidence)[-MAX_EVIDENCE:],
    )
    return _scored(vendor, _shared(after, user, completed, failed) if user else after)


def heard(vendor: Vendor, vote: Vote) -> Vendor:
    """`vendor` after a vote. Another one of the same user on the same run takes its place."""
    others = [each for each in vendor.record.votes if (each.user, each.run_id) != (vote.user, vote.run_id)]
    own = [each for each in others if each.user == vote.user]
    dropped = own[: max(0, len(own) + 1 - _MAX_VOTES_OF_ONE_USER)]
    kept = [each for each in others if each not in dropped]
    return _scored(vendor, replace(vendor.record, votes=(*kept, vote)[-_MAX_VOTES:]))


def _scored(vendor: Vendor, record: Record) -> Vendor:
    return replace(vendor, record=record, reliability_score=score(vendor.reliability_prior, record))


def _shared(record: Record, user: str, completed: int, failed: int) -> Record:
    """The record with one more outcome of this user. Of too many users the one that was idle longest is forgotten:
    what it brought stays in the counts, but for what never counted."""
    before = next((each for each in record.shares if each.user == user), UserShare(user, 0, 0))
    after = UserShare(user, before.completed + completed, before.failed + failed)
    shares = (*(each for each in record.shares if each.user != user), after)
    for each in shares[:-_MAX_USERS]:
        count = each.completed + each.failed
        kept = each.completed * min(count, MOST_OF_ONE_USER) // count
        record = replace(
            record,
            completed=record.completed - each.completed + kept,
            failed=record.failed - each.failed + min(count, MOST_OF_ONE_USER) - kept,
        )
    return replace(record, shares=shares[-_MAX_USERS:])
