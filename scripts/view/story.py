"""A run told as it happens: what is new in each answer, as lines and progress bars. Keeps its place; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from scripts.client.shapes import Job, Observation, Status
from scripts.view.entries import Entry, entry
from scripts.view.epochs import Epoch, read_epoch
from scripts.view.runs import ENDED, Bar
from scripts.view.text import plain

__all__ = ["Story"]

_TOLD_OTHERWISE: Final = ("phase", "metric")


class Story:
    """One run's story, told once."""

    def __init__(self) -> None:
        """Nothing has been told."""
        self._told = 0
        self._vendor = ""
        self._epochs: dict[str, Epoch] = {}

    def tell(self, status: Status) -> Iterator[Entry | Bar]:
        """What the answer holds that was not told before, in order."""
        jobs = {job.id: job for job in status.jobs}
        for seen in status.observations:
            if seen.seq > self._told:
                self._told = seen.seq
                yield from self._pieces(seen, jobs)

    def bars(self, status: Status) -> list[Bar]:
        """The jobs that a vendor is working on, as they stand."""
        return [self._bar(job) for job in status.jobs if job.status not in (*ENDED, "pending")]

    def _pieces(self, seen: Observation, jobs: dict[str, Job]) -> Iterator[Entry | Bar]:
        if seen.type in _TOLD_OTHERWISE or (seen.type == "error" and "code" in seen.data):
            return  # of a job that failed, by its own entry
        job = jobs.get(str(seen.data.get("jobId")))
        if seen.type == "job_log" and job is not None and (epoch := read_epoch(seen.content)):
            self._epochs[job.id] = epoch
            yield Bar(job.vendor_id, 100 * epoch.number / epoch.count, epoch, "running")
            return
        if seen.type in ("job_completed", "job_failed") and job is not None and job.vendor_job_id is not None:
            yield self._bar(job)
        yield entry(seen)
        if seen.type == "agent_reasoning":
            yield from self._switch(seen)

    def _switch(self, seen: Observation) -> Iterator[Entry]:
        """Say so when a plan turns to another vendor than the one before."""
        action = seen.data.get("action")
        chosen = action.get("vendorId") if isinstance(action, dict) else None
        if isinstance(chosen, str):
            if self._vendor not in ("", chosen):
                yield Entry("switch", "bold yellow", Text(f"from {plain(self._vendor)} to {plain(chosen)}"))
            self._vendor = chosen

    def _bar(self, job: Job) -> Bar:
        return Bar(job.vendor_id, job.progress, self._epochs.get(job.id), job.status)
