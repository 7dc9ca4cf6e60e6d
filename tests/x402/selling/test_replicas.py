"""Two processes of one seller that share a file: real sockets, real kills."""

from __future__ import annotations

from pathlib import Path

from tests.x402 import replicas


async def test_a_payment_that_is_sent_to_both_is_served_by_one(tmp_path: Path) -> None:
    """With memories of their own both served 24 of 30."""
    await replicas.one_delivery_for_each_payment(tmp_path, str(tmp_path / "sold.db"))


async def test_what_one_had_settled_when_it_was_killed_the_other_delivers(tmp_path: Path) -> None:
    """Between the transfer and its record."""
    await replicas.killed_before_recording(tmp_path, str(tmp_path / "sold.db"))


async def test_what_one_had_recorded_when_it_was_killed_the_other_shows(tmp_path: Path) -> None:
    """Between the record and the answer."""
    await replicas.killed_after_recording(tmp_path, str(tmp_path / "sold.db"))
