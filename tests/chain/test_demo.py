"""`make demo-chain`, and that it would notice: the balances of the chain are held against the books."""

from __future__ import annotations

import secrets

import pytest

from scripts.demo import chain as demo_chain
from scripts.demo.local_chain import LocalChain
from scripts.demo.run import BUDGET, Outcome, Place, run_demo
from x402.networks import Asset
from x402.secp256k1 import SigningKey

THIEF = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"


@pytest.mark.usefixtures("chain")  # skipped where there is none
def test_the_demo_on_a_chain_ends_well_and_would_notice_a_micro_dollar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One more or less on any side is a fault, named, and the exit code is not 0."""
    seen: list[tuple[LocalChain, Asset, str, Outcome]] = []
    honest = demo_chain.against_chain

    def look(chain: LocalChain, token: Asset, wallet: str, outcome: Outcome) -> tuple[str, ...]:
        seen.append((chain, token, wallet, outcome))
        assert tuple(honest(chain, token, wallet, outcome)) == ()
        payments = outcome.status.payments
        assert len({payment.transaction for payment in payments}) == 2
        chain.mint(token, payments[0].pay_to, 1)
        told = tuple(honest(chain, token, wallet, outcome))
        assert [payments[0].pay_to in fault for fault in told] == [True, False]
        chain.mint(token, wallet, 1)
        return tuple(honest(chain, token, wallet, outcome))

    monkeypatch.setattr(demo_chain, "against_chain", look)
    assert demo_chain.main() != 0
    said = capsys.readouterr().out
    assert said.count("WRONG: ") == 3
    assert "completed" in said
    assert len(seen) == 1


@pytest.mark.usefixtures("chain")
def test_a_wallet_that_is_too_poor_on_the_chain_pays_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends with the shortfall, and no vendor was promised anything."""
    from rich.console import Console

    with LocalChain(demo_chain.BLOCK_SECONDS) as chain:
        token, key = chain.deploy(), secrets.token_hex(32)
        wallet = SigningKey(bytes.fromhex(key)).address
        chain.mint(token, wallet, 1_399_999)
        place: Place = demo_chain._on(chain, token, key)
        outcome = run_demo(Console(), quiet=True, place=place)
        run = outcome.status.run
        assert run.failure is not None
        assert (run.status, run.failure.code, run.budget_spent) == ("failed", "insufficient_funds", 0)
        assert "0.000001 are missing" in run.failure.message
        assert chain.balance(token, wallet) == 1_399_999
        assert chain.supply(token) < BUDGET
