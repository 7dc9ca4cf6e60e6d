"""A training run that never trains: what a job shows after so many seconds, and nothing else goes in.

A job waits a quarter of an epoch in the queue, then trains its epochs one after another. The loss falls to a
floor, with a little noise that depends on the seed alone: the same job always tells the same story.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Snapshot", "Status", "Training"]

Status = Literal["queued", "running", "completed", "failed"]

_QUEUE_EPOCHS: Final = 0.25
_START_LOSS: Final = 3.2
_FLOOR_LOSS: Final = 0.9
_DECAY: Final = 0.45
_FAILURE: Final = "CUDA error: uncorrectable ECC error encountered"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job at one moment. `permille` of the training is done."""

    status: Status
    permille: int
    logs: tuple[str, ...]
    remaining_seconds: float
    metrics: dict[str, float] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Training:
    """The script of one job.

    `fail_at` and `stall_at` are epochs, counted from 1; beyond the last they mean the last.
    """

    seed: str
    gpu_type: str
    job_type: str
    epochs: int
    epoch_seconds: float
    fail_at: int | None = None
    stall_at: int | None = None

    @property
    def total_seconds(self) -> float:
        """From submission to completion when nothing goes wrong."""
        return (self.epochs + _QUEUE_EPOCHS) * self.epoch_seconds

    def at(self, elapsed: float) -> Snapshot:
        """The job `elapsed` seconds after it was accepted."""
        trained = self._epochs_trained(elapsed)
        fails = self._middle_of(self.fail_at)
        stalls = self._middle_of(self.stall_at)
        if trained < 0:
            return Snapshot("queued", 0, (self._waiting(),), self._left(0), None, None)
        if trained >= fails and fails <= stalls:
            reason = f"epoch {math.ceil(fails)}/{self.epochs}: {_FAILURE}"
            return Snapshot("failed", self._permille(fails), (*self._logs(fails), reason), 0, None, reason)
        if trained >= stalls:
            trained = stalls
        if trained < self.epochs:
            return Snapshot(
                "running", self._permille(trained), self._logs(trained), self._left(trained), None, None
            )
        logs = (*self._logs(trained), "training complete, model uploaded")
        return Snapshot("completed", 1_000, logs, 0, self._metrics(), None)

    def _epochs_trained(self, elapsed: float) -> float:
        """Epochs done, fractions included; negative while the job is queued."""
        if elapsed >= self.total_seconds:
            return self.epochs
        return elapsed / self.epoch_seconds - _QUEUE_EPOCHS

    def _middle_of(self, epoch: int | None) -> float:
        return math.inf if epoch is None else min(epoch, self.epochs) - 0.5

    def _permille(self, trained: float) -> int:
        return int(1_000 * trained / self.epochs)

    def _left(self, trained: float) -> float:
        return (self.epochs - trained) * self.epoch_seconds

    def _waiting(self) -> str:
        return f"queued: {self.job_type} waits for 1 x {self.gpu_type}"

    def _logs(self, trained: float) -> tuple[str, ...]:
        done = range(1, int(trained) + 1)
        return (self._waiting(), f"started on 1 x {self.gpu_type}", *map(self._epoch_line, done))

    def _epoch_line(self, epoch: int) -> str:
        loss, val_loss = self._losses(epoch)
        return f"epoch {epoch}/{self.epochs} loss={loss:.4f} val_loss={val_loss:.4f}"

    def _losses(self, epoch: int) -> tuple[float, float]:
        """Training and validation loss at the end of `epoch`."""
        noise = random.Random(f"{self.seed}:{epoch}")
        loss = _FLOOR_LOSS + (_START_LOSS - _FLOOR_LOSS) * math.exp(-_DECAY * epoch) + noise.uniform(-0.02, 0.02)
        return round(loss, 4), round(loss * noise.uniform(1.03, 1.08), 4)

    def _metrics(self) -> dict[str, float]:
        loss, val_loss = self._losses(self.epochs)
        return {
            "epochs": self.epochs,
            "finalLoss": loss,
            "valLoss": val_loss,
            "perplexity": round(math.exp(val_loss), 3),
        }
