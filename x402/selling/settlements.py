"""What sellers remember of payments: which are being settled, which were collected, and with what receipt.

    known = await settlements.begin(mine)       # before the facilitator is asked
    won = await settlements.finish(mine)        # after the money moved: true for one caller in the world
    left = await settlements.give_up(mine)      # after a refusal: true failure only where nothing is left

A payment is *open* from `begin` until every attempt to settle it was given up, and *collected* from `finish` on.
An attempt of a process that died stays: whoever is sent the same payment then settles it again. Nobody holds
anything, so nobody waits for the dead. Why: docs/decisions/0021-what-a-seller-remembers.md.

Here is the memory of one process. Processes that share one: `x402.selling.settlements_sqlite` on one machine,
`x402.selling.settlements_mongo` on many.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from x402.wire import Receipt

__all__ = ["MemorySettlements", "Settlement", "Settlements"]

_MOST_OPEN: Final = 1024
_FIRST_SWEEP: Final = 1024


@dataclass(frozen=True, slots=True)
class Settlement:
    """One payment at one price. `receipt` is there once it was collected.

    `key` is what a token accepts once: network, token, payer and nonce. `fingerprint` is what was asked and signed
    for it: amount, payee, and a hash of the signature. It need not be remembered after `until` (unix s).
    """

    key: str
    fingerprint: str
    until: int
    receipt: Receipt | None = None


class Settlements(Protocol):
    """A memory that all processes of a seller share. Each operation is atomic, and kept when it has returned.

    All of them raise `SettlementsUnavailable` when it cannot be used; whether something was written is not known
    then. One memory may serve many sellers.
    """

    async def find(self, key: str) -> Settlement | None:
        """What is known of a payment."""
        ...

    async def begin(self, settlement: Settlement) -> Settlement:
        """Note one attempt to settle, unless the payment was collected or is open with another fingerprint.

        Returns what is known now.
        """
        ...

    async def give_up(self, settlement: Settlement) -> Settlement | None:
        """Take back an attempt that moved nothing. Returns what is known now; None: no other attempt is open."""
        ...

    async def finish(self, settlement: Settlement) -> bool:
        """Keep the receipt, and say whether it is the first of this payment: only who is first may deliver."""
        ...


class MemorySettlements:
    """The memory of one process and event loop. It ends with them.

    Of what is open the newest 1,024 are kept: a facilitator that never answers must not fill the memory. What was
    collected is kept until nobody could take it for new.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix time in seconds."""
        self._clock = clock
        self._open: dict[str, tuple[Settlement, int]] = {}
        self._collected: dict[str, Settlement] = {}
        self._sweep_at = 2 * _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._open) + len(self._collected)

    async def find(self, key: str) -> Settlement | None:
        """What is known of a payment."""
        return self._find(key)

    async def begin(self, settlement: Settlement) -> Settlement:
        """Note one attempt to settle."""
        known, key = self._find(settlement.key), settlement.key
        if known is None:
            while len(self._open) >= _MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[key] = settlement, 1
            return settlement
        if known.receipt is None and known.fingerprint == settlement.fingerprint:
            self._open[key] = known, self._open[key][1] + 1
        return known

    async def give_up(self, settlement: Settlement) -> Settlement | None:
        """Take back one attempt."""
        if settlement.key in self._open:
            known, attempts = self._open.pop(settlement.key)
            if attempts > 1:
                self._open[settlement.key] = known, attempts - 1
        return self._find(settlement.key)

    async def finish(self, settlement: Settlement) -> bool:
        """Keep the receipt."""
        if settlement.key in self._collected:
            return False
        self._open.pop(settlement.key, None)
        self._sweep()
        self._collected[settlement.key] = settlement
        return True

    def _find(self, key: str) -> Settlement | None:
        return self._collected.get(key) or self._open.get(key, (None,))[0]

    def _sweep(self) -> None:
        if len(self._collected) >= self._sweep_at:
            now = self._clock()
            self._collected = {key: each for key, each in self._collected.items() if each.until > now}
            self._sweep_at = 2 * max(len(self._collected), _FIRST_SWEEP)
