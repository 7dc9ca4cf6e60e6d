"""The facilitator as a program: it serves what `x402.selling.desk` answers, and says what moved."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from gpu_vendor_mock import facilitator
from gpu_vendor_mock.facilitator import facilitator_app
from tests.x402.samples import NETWORK, PAYEE, offer, payment_for
from x402.selling.facilitator import Kind
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.remote import RemoteFacilitator

ROOT = Path(__file__).parents[2]


def client() -> httpx.AsyncClient:
    ledger = MemoryLedger()
    app = facilitator_app(OfflineFacilitator(ledger, time.time), ledger)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://facilitator.example")


async def test_a_seller_settles_through_it_and_the_journal_shows_what_moved() -> None:
    """Over HTTP, with the client of this project."""
    payment = await payment_for(offer(), now=int(time.time()))
    async with client() as http:
        far = RemoteFacilitator(http, "http://facilitator.example")
        assert Kind(2, "exact", NETWORK) in await far.supported()
        assert (await far.verify(payment, offer())).valid
        receipt = await far.settle(payment, offer())
        (moved,) = (await http.get("/journal")).json()
    assert (moved["transaction"], moved["payee"], moved["value"]) == (receipt.transaction, PAYEE, 10_000)


async def test_long_bodies_and_other_paths_are_turned_away() -> None:
    """A body is not collected beyond what can be read."""
    async with client() as http:
        assert (await http.post("/verify", content=b" " * 70_000)).status_code == 413
        assert (await http.get("/verify")).status_code == 405
        assert (await http.get("/other")).status_code == 404
        assert (await http.get("/supported")).headers["cache-control"] == "no-store"


def test_the_program_prints_its_address_and_ends_when_told() -> None:
    """Port 0 is a free one."""
    command = [sys.executable, "-m", "gpu_vendor_mock.facilitator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().removeprefix("facilitator at ").strip()
            assert httpx.get(f"{url}/supported", timeout=60).json()["kinds"]
        finally:
            process.terminate()


def test_an_address_that_cannot_be_listened_on_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(sys, "argv", ["facilitator", "--port", str(taken.getsockname()[1])])
        assert facilitator.main() == 2
    assert "cannot listen on" in capsys.readouterr().err
