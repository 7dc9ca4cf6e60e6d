"""The jobs a process has accepted, and what a vendor reports of each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from gpu_vendor_mock.dollars import dollars_json
from gpu_vendor_mock.errors import Refused
from gpu_vendor_mock.faults import FaultName, RequestFaults
from gpu_vendor_mock.settings import Settings
from gpu_vendor_mock.training import Snapshot, Training

__all__ = ["Job", "Jobs"]


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted job. `started_at` is Unix seconds, `price` the whole price in micro-dollars."""

    vendor_job_id: str
    vendor_id: str
    training: Training
    price: int
    started_at: float
    forgotten: bool
    denied: bool


class Jobs:
    """Starts jobs and reports on them."""

    def __init__(self, settings: Settings, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._jobs: dict[str, Job] = {}
        self._started: Counter[str] = Counter()

    def eta_minutes(self) -> int:
        """How long a job takes when nothing goes wrong, in minutes, at least 1."""
        seconds = (self._settings.epochs + 1) * self._settings.epoch_seconds
        return max(1, round(seconds / 60))

    def start(self, faults: RequestFaults, job_type: str, gpu_type: str, price: int) -> Job:
        """A new job of the vendor the request was for. Its fate is settled here and does not change."""
        vendor_job_id = f"job_{self._new_id()}"
        stall = faults.take(FaultName.STALL_AT_EPOCH)
        job = Job(
            vendor_job_id=vendor_job_id,
            vendor_id=faults.vendor_id,
            training=Training(
                seed=vendor_job_id,
                gpu_type=gpu_type,
                job_type=job_type,
                epochs=self._settings.epochs,
                epoch_seconds=self._settings.epoch_seconds,
                fail_at=self._failing_epoch(faults),
                stall_at=stall.number if stall else None,
            ),
            price=price,
            started_at=self._clock(),
            forgotten=faults.take(FaultName.FORGET_JOB) is not None,
            denied=faults.take(FaultName.DENY_PAYMENT) is not None,
        )
        self._jobs[vendor_job_id] = job
        return job

    def another(self, than: Job) -> Job | None:
        """The oldest other job of the same vendor, whoever ordered it."""
        others = (job for job in self._jobs.values() if job.vendor_id == than.vendor_id and job is not than)
        return next(others, None)

    def report(self, vendor_id: str, vendor_job_id: str) -> dict[str, object]:
        """The answer of GET /job-status.

        Raises:
            Refused: this vendor knows no such job (any more).
        """
        job = self._jobs.get(vendor_job_id)
        if job is None or job.vendor_id != vendor_id or job.forgotten:
            raise Refused(404, "unknown_job", "no such job at this vendor")
        if job.denied:
            return {"status": "failed", "progress": 0, "logs": [], "errorMessage": "this job was never paid for"}
        return _report(job, job.training.at(self._clock() - job.started_at))

    def _failing_epoch(self, faults: RequestFaults) -> int | None:
        """By a fault, or by FAIL_RATE: the nth job of a vendor always fares the same under the same seed."""
        self._started[faults.vendor_id] += 1
        fault = faults.take(FaultName.FAIL_AT_EPOCH)
        if fault is not None:
            return fault.number
        chance = random.Random(f"{self._settings.fault_seed}:{faults.vendor_id}:{self._started[faults.vendor_id]}")
        if chance.random() >= self._settings.fail_rate:
            return None
        return chance.randint(1, self._settings.epochs)


def _report(job: Job, now: Snapshot) -> dict[str, object]:
    report: dict[str, object] = {
        "status": now.status,
        "progress": now.permille / 10,
        "logs": list(now.logs),
        "estimatedRemainingMinutes": round(now.remaining_seconds / 60, 2),
        "costSoFar": dollars_json(job.price * now.permille // 1_000),
    }
    if now.metrics is not None:
        report["finalMetrics"] = now.metrics
        report["artifactUrl"] = (
            f"https://artifacts.example.com/{job.vendor_id}/{job.vendor_job_id}/model.safetensors"
        )
    if now.error is not None:
        report["errorMessage"] = now.error
    return report
