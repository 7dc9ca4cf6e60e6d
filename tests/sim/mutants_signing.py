"""Faults in what is signed: nonce, window, key, job, and the policy that chooses an offer."""

from __future__ import annotations

import copy
from datetime import datetime
from itertools import count
from typing import Any

import agent.engine.tick
import agent.wallet.wallet
from agent.book import ledger
from agent.book.models import Job, Run
from agent.book.models import SignedAuthorization as Signed
from agent.engine import purchase, stopping
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.kinds.rental import quoting
from agent.process.deadline import Deadline
from agent.wallet.wallet import Wallet
from tests.sim.mutants_hunt import Patch, everywhere, mutant
from vendors.client import VendorClient
from vendors.models import Quote, Rejected, Submitted, Vendor
from x402.client import PaymentAuth
from x402.networks import ASSETS
from x402.policy import Policy
from x402.wire import Challenge, Offer


@mutant("happy path")
def random_nonce(patch: Patch) -> None:
    """A random nonce at each signing."""
    real, drawn = Wallet.authorize, count()

    async def authorize(
        self: Wallet, challenge: Challenge, offer: Offer, job_id: str, reserved_at: datetime, now: datetime
    ) -> Signed:
        another = copy.copy(self)
        patch.setattr(another, "_nonce_key", str(next(drawn)).encode())
        return await real(another, challenge, offer, job_id, reserved_at, now)

    patch.setattr(Wallet, "authorize", authorize)


@mutant("happy path")
def window_from_now(patch: Patch) -> None:
    """The validity window starts now and not at the stored reservation."""
    real = Wallet.authorize

    async def authorize(
        self: Wallet, challenge: Challenge, offer: Offer, job_id: str, reserved_at: datetime, now: datetime
    ) -> Signed:
        return await real(self, challenge, offer, job_id, now, now)

    patch.setattr(Wallet, "authorize", authorize)


@mutant("payment lost")
def signed_again(patch: Patch) -> None:
    """What is sent again is signed again, with a window of its own."""
    window_from_now(patch)
    real = purchase.advance

    async def advance(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> None:
        there = desk.draft.reservations[job_id]
        if there.authorization is not None and there.held is None:
            bare = there.model_copy(update={"authorization": None, "unclear": None})
            desk.draft = ledger._put_reservation(desk.draft, job_id, bare)
        await real(desk, services, job_id, deadline)

    patch.setattr(agent.engine.tick, "advance", advance)


@mutant("payment lost")
def another_key(patch: Patch) -> None:
    """A payment is sent again under a new idempotency key."""
    real, drawn = VendorClient.submit, count()

    async def submit(
        self: VendorClient, vendor: Vendor, *, idempotency_key: str, auth: PaymentAuth, **rest: Any
    ) -> Submitted | Rejected:
        key = f"{idempotency_key}-{next(drawn)}" if auth._header is not None else idempotency_key
        return await real(self, vendor, idempotency_key=key, auth=auth, **rest)

    patch.setattr(VendorClient, "submit", submit)


@mutant("answer to payment lost")
def another_job(patch: Patch) -> None:
    """Recovery buys under a new job id."""
    real = purchase.advance

    async def advance(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> None:
        there = desk.draft.reservations[job_id]
        if there.authorization is not None and there.held is None:
            fresh = services.world.new_id()
            job = desk.draft.jobs[job_id].model_copy(update={"id": fresh})
            kept = {key: each for key, each in desk.draft.reservations.items() if key != job_id}
            bare = there.model_copy(update={"authorization": None, "unclear": None})
            desk.set(reservations={**kept, str(fresh): bare}, jobs={str(fresh): job})
            job_id = str(fresh)
        await real(desk, services, job_id, deadline)

    patch.setattr(agent.engine.tick, "advance", advance)


def _lenient(patch: Patch, **terms: object) -> None:
    """The policy as it would be with other terms."""

    def policy(**real: Any) -> Policy:
        return Policy(**{**real, **terms})

    patch.setattr(stopping, "Policy", policy)


@mutant("wrong payee")
def any_payee(patch: Patch) -> None:
    """The payee is not checked."""
    _lenient(patch, payee=None)


@mutant("wrong network")
def any_network(patch: Patch) -> None:
    """The network, and with it the token, is not checked."""
    _lenient(patch, networks=frozenset(token.network for token in ASSETS))


@mutant("overcharge")
def any_price(patch: Patch) -> None:
    """The price is checked neither against the quote nor against the reservation."""

    def authorize(run: Run, job_id: str, signed: Signed) -> Run:
        held = run.reservations[job_id].model_copy(update={"authorization": signed})
        after = ledger._put_reservation(run, job_id, held)
        return ledger._put_payment(after, ledger._payment(run, job_id, signed))

    _lenient(patch, max_amount=10**12)
    patch.setattr(ledger, "authorize", authorize)


@mutant("overcharge")
def any_tolerance(patch: Patch) -> None:
    """A fifth more is tolerated whatever the user says."""
    real = quoting.most

    def most(run: Run, job: Job, quote: Quote, room: int | None) -> int:
        return real(run, job, quote, room) * 6 // 5

    everywhere(patch, real, "most", most)


@mutant("happy path")
def any_window(patch: Patch) -> None:
    """An authorization is valid for a day."""
    patch.setattr(agent.wallet.wallet, "window", lambda _offer, start, _longest: (start, start + 86_400))
