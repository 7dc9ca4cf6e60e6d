"""Ready-made documents for the tests of the core."""

from __future__ import annotations

from datetime import UTC, datetime

from bson import ObjectId

from agent.book.models import Job, JobParams, Reservation, Run, SignedAuthorization

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def a_run(budget: int = 5_000_000, **fields: object) -> Run:
    """A run that has not done anything yet."""
    run = Run(
        id=ObjectId(),
        user_id="u1",
        goal="Fine-tune tiny-llm",
        budget_total=budget,
        budget_remaining=budget,
        request_hash="0",
        created_at=NOW,
        updated_at=NOW,
        next_tick_at=NOW,
    )
    return run.model_copy(update=fields)


def a_job(run: Run, **fields: object) -> Job:
    """A job that nobody was asked to do yet."""
    job = Job(
        id=ObjectId(),
        run_id=run.id,
        vendor_id="gpu_vendor_1",
        expected_cost=1_400_000,
        job_params=JobParams(job_type="fine_tune", gpu_type="A100", max_hours=1.0, goal=run.goal),
        progress_at=NOW,
        created_at=NOW,
    )
    return job.model_copy(update=fields)


def a_reservation(amount: int = 1_400_000) -> Reservation:
    """Money set aside, nothing signed."""
    return Reservation(amount=amount, vendor_id="gpu_vendor_1", template_id="t", created_at=NOW)


def an_authorization(amount: int = 1_400_000, valid_before: int = 1_800_000_000) -> SignedAuthorization:
    """Looks like a signed authorization; nothing in the ledger reads the signature."""
    return SignedAuthorization(
        header_name="PAYMENT-SIGNATURE",
        header_value="c2VjcmV0LWNoZXF1ZQ==",
        payer="0x" + "11" * 20,
        pay_to="0x" + "22" * 20,
        amount=amount,
        network="eip155:84532",
        asset="0x" + "33" * 20,
        currency="USDC",
        nonce="0x" + "44" * 32,
        valid_before=valid_before,
        signed_at=NOW,
    )
