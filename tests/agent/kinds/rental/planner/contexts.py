"""Contexts for the planners' tests, plain and generated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, get_args

from hypothesis import strategies as st

from agent.book.lifecycle import JobStatus, PaymentStatus
from agent.book.models import Constraints
from agent.kinds.rental.planner.context import JobView, PaymentView, PlanContext, VendorView

__all__ = ["FIRST", "NOW", "SECOND", "context", "contexts", "job"]

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

FIRST: Final = VendorView(
    vendor_id="gpu_vendor_1",
    name="First GPU",
    base_price_per_hour=1_400_000,
    reliability=0.9,
    completed=0,
    failed=0,
    supported_gpu_types=("A100", "RTX4090"),
    failures_in_run=0,
)
SECOND: Final = VendorView(
    vendor_id="gpu_vendor_2",
    name="Second GPU",
    base_price_per_hour=1_800_000,
    reliability=0.95,
    completed=0,
    failed=0,
    supported_gpu_types=("A100", "H100"),
    failures_in_run=0,
)


def context(
    *vendors: VendorView,
    goal: str = "Fine-tune tiny-llm",
    budget: int = 5_000_000,
    constraints: Constraints | None = None,
    jobs: tuple[JobView, ...] = (),
    payments: tuple[PaymentView, ...] = (),
) -> PlanContext:
    """A context with these vendors, the two usual ones where none are given."""
    return PlanContext(
        goal=goal,
        now=NOW,
        budget_remaining=budget,
        constraints=constraints or Constraints(),
        vendors=vendors or (FIRST, SECOND),
        jobs=jobs,
        payments=payments,
        idle_waits=0,
    )


def job(
    status: JobStatus = "failed", failure: str | None = "GPU fell off the bus", vendor_id: str = "gpu_vendor_1"
) -> JobView:
    """A job of the run."""
    return JobView(vendor_id, status, expected_cost=1_400_000, actual_cost=900_000, progress=60.0, failure=failure)


_ids = st.sampled_from([f"vendor-{n}" for n in range(4)])
_gpus = st.sampled_from(["A100", "H100", "RTX4090"])
_micro = st.integers(1, 50_000_000)

_vendors = st.lists(
    st.builds(
        VendorView,
        vendor_id=_ids,
        name=st.text(max_size=40),
        base_price_per_hour=_micro,
        reliability=st.floats(0, 1),
        completed=st.integers(0, 100),
        failed=st.integers(0, 100),
        supported_gpu_types=st.lists(_gpus, min_size=1, max_size=3, unique=True).map(tuple),
        failures_in_run=st.integers(0, 3),
        barred=st.none() | st.just("it is not dealt with"),
        unreached=st.integers(0, 2),
        away=st.none() | st.just("it could not be reached"),
        room=st.none() | st.integers(0, 50_000_000),
        known_room=st.none() | st.integers(0, 50_000_000),
    ),
    max_size=4,
    unique_by=lambda vendor: vendor.vendor_id,
).map(tuple)

_constraints = st.builds(
    Constraints,
    gpu_type=st.none() | _gpus,
    job_type=st.none() | st.text(max_size=20),
    max_hours=st.none() | st.floats(0.001, 2_000),
    max_price_per_hour=st.none() | _micro,
    vendor_ids=st.none() | st.lists(_ids, max_size=4).map(tuple),
    deadline=st.none() | st.timedeltas(timedelta(hours=-1), timedelta(days=60)).map(lambda left: NOW + left),
    price_tolerance=st.decimals(Decimal(0), Decimal("0.5"), places=2),
)

_jobs = st.lists(
    st.builds(
        JobView,
        vendor_id=_ids,
        status=st.sampled_from(get_args(JobStatus)),
        expected_cost=_micro,
        actual_cost=st.none() | _micro,
        progress=st.floats(0, 100),
        failure=st.none() | st.text(max_size=60),
    ),
    max_size=3,
).map(tuple)

contexts: Final = st.builds(
    PlanContext,
    goal=st.text(max_size=200),
    now=st.just(NOW),
    budget_remaining=st.integers(0, 100_000_000),
    constraints=_constraints,
    vendors=_vendors,
    jobs=_jobs,
    payments=st.lists(
        st.builds(PaymentView, _ids, _micro, st.sampled_from(get_args(PaymentStatus))), max_size=3
    ).map(tuple),
    idle_waits=st.integers(0, 30),
)
