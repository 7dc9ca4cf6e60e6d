"""Epoch and loss of a job, read from its log lines. Pure.

Vendors write their logs as they like; what is understood is `epoch 3/5` with `loss=1.23` (or `loss: 1.23`) on the
same line, which is how most training programs put it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Epoch", "read_epoch"]

_EPOCH: Final = re.compile(r"\bepoch[ :=\[]{0,3}(\d{1,6}) ?/ ?(\d{1,6})\b", re.IGNORECASE | re.ASCII)
_LOSS: Final = re.compile(
    r"(?<![\w.-])(?:train_)?loss ?[:= ] ?(\d{1,9}(?:\.\d{1,9})?)\b", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """`number` of `count` epochs are done; `loss` as the vendor wrote it."""

    number: int
    count: int
    loss: str


def read_epoch(line: str) -> Epoch | None:
    """The epoch that a log line reports as done, if it reports one."""
    found, loss = _EPOCH.search(line), _LOSS.search(line)
    if found is None or loss is None:
        return None
    number, count = int(found[1]), int(found[2])
    return Epoch(number, count, loss[1]) if 0 < number <= count else None
