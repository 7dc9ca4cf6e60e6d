"""The two stories, with Purser and with the official client, at two kinds of sellers, whose journal tells.

python -m tests.peers.stories      a table; exit code 0 if the stories went as they are told, 1 if not
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import httpx

from agent.book.money import usd_json
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.serve.servers import ROOT, ServerProcess, clean, vendor_server
from tests.peers.ours import KEY, purser_buys

__all__ = ["OFFICIAL", "TOLD", "Case", "Outcome", "play"]

OFFICIAL: Final = ROOT / ".venv-peers/bin/python"
"""The Python in whose environment x402 is the official SDK."""

PEER_SECONDS: Final = 60.0

SELLER: Final = replace(DEFAULT_CATALOG[0], base_price_per_hour=500_000)
"""Half a dollar an hour: below the official client's limit of one dollar a payment."""

_CATALOG: Final = json.dumps(
    [
        {
            "vendorId": SELLER.vendor_id,
            "name": SELLER.name,
            "basePricePerHour": usd_json(SELLER.base_price_per_hour),
            "supportedGpuTypes": SELLER.supported_gpu_types,
            "payTo": SELLER.pay_to,
        }
    ]
)

Story = Literal["answer lost, then retry", "died after sending, then restart"]
Buyer = Literal["x402 2.25.0", "Purser"]
Seller = Literal["plain x402", "keeps orders"]


@dataclass(frozen=True, slots=True)
class Case:
    """Who buys from whom in which story."""

    story: Story
    seller: Seller
    buyer: Buyer


@dataclass(frozen=True, slots=True)
class Outcome:
    """One purchase by the seller's journal: payments presented, nonces among them, how often money moved."""

    presented: int
    nonces: int
    settlements: int


LOST: Final[Story] = "answer lost, then retry"
DIED: Final[Story] = "died after sending, then restart"

TOLD: Final[dict[Case, tuple[int, int]]] = {
    Case(LOST, "plain x402", "x402 2.25.0"): (2, 2),
    Case(LOST, "plain x402", "Purser"): (1, 1),
    Case(LOST, "keeps orders", "x402 2.25.0"): (1, 1),
    Case(LOST, "keeps orders", "Purser"): (1, 1),
    Case(DIED, "plain x402", "x402 2.25.0"): (2, 2),
    Case(DIED, "plain x402", "Purser"): (1, 1),
    Case(DIED, "keeps orders", "x402 2.25.0"): (1, 1),
    Case(DIED, "keeps orders", "Purser"): (1, 1),
}
"""Nonces and settlements of one purchase, as the stories are told in docs/reliability.md."""


def play(case: Case) -> Outcome:
    """Play it with a seller of its own, and read the seller's journal."""
    faults = {"FAULTS": "drop_after_payment*1"} if case.story == LOST else {}
    with tempfile.TemporaryDirectory() as empty, _seller(case.seller, Path(empty), faults) as url:
        if case.buyer == "Purser":
            asyncio.run(purser_buys(url, SELLER, dies=case.story == DIED))
        else:
            _official_buys(url, Path(empty), dies=case.story == DIED)
        return _witness(url)


@contextmanager
def _seller(kind: Seller, empty: Path, faults: dict[str, str]) -> Iterator[str]:
    settings = {"EPOCH_SECONDS": "60", "MOCK_VENDORS": _CATALOG, **faults}
    if kind == "keeps orders":
        server = vendor_server(empty, settings)
    else:
        server = ServerProcess("plain seller", ["tests.peers.plain_seller"], "/health", empty, clean(settings))
    with server:
        yield server.ready()


def _official_buys(url: str, empty: Path, *, dies: bool) -> None:
    """A process of its own, in an empty directory; started again under the same key where it died."""
    script = ROOT / "tests/peers/python/buyer.py"
    command = [str(OFFICIAL), "-I", str(script), url, LOCAL_SECRET, SELLER.vendor_id, f"0x{KEY}", "purchase-1"]
    for ending in [("1", "die"), ("1",)] if dies else [("2",)]:
        done = subprocess.run(
            [*command, *ending], cwd=empty, capture_output=True, text=True, timeout=PEER_SECONDS, check=False
        )
        if done.returncode != (9 if "die" in ending else 0):
            raise AssertionError(f"the official client ended with {done.returncode}: {done.stderr[-2000:]}")


def _witness(url: str) -> Outcome:
    headers = {"Authorization": f"Bearer {LOCAL_SECRET}"}
    journal = httpx.get(f"{url}/journal", headers=headers, timeout=10, trust_env=False).raise_for_status().json()
    presented = [each["nonce"] for each in journal["payments"]]
    return Outcome(len(presented), len(set(presented)), len(journal["settlements"]))


def main() -> int:
    """Play all of them and print what came of it."""
    if not OFFICIAL.exists():
        sys.stderr.write("the official client is not installed: make peers-lose-money installs it\n")
        return 1
    form = "{:<34}{:<15}{:<14}{:>10}{:>9}{:>13}\n"
    sys.stdout.write(form.format("story", "seller", "buyer", "presented", "nonces", "settlements"))
    as_told = True
    for case, told in TOLD.items():
        outcome = play(case)
        true = (outcome.nonces, outcome.settlements) == told
        as_told = as_told and true
        row = (case.story, case.seller, case.buyer, outcome.presented, outcome.nonces, outcome.settlements)
        sys.stdout.write(form.format(*row) + ("" if true else f"  NOT AS TOLD: {told}\n"))
        sys.stdout.flush()
    return 0 if as_told else 1


if __name__ == "__main__":
    sys.exit(main())
