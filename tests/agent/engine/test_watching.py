"""A run whose chain can be read: promises are covered, and what became of them is the chain's word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from agent.book.models import Run
from agent.engine import watching
from agent.engine.watching import CHAIN_PATIENCE
from agent.process.settings import Settings
from agent.process.world import real_world
from agent.wiring import wire
from tests.agent.chain import LedgerChain
from tests.agent.stage import START, Stage, a_stage
from tests.x402.samples import usual
from x402 import networks
from x402.codec import decode_header, encode_header
from x402.errors import ChainUnavailable
from x402.networks import asset
from x402.wire import CHALLENGE_HEADER

NETWORK = "eip155:84532"
DOWN = ChainUnavailable("down")


async def a_watched_stage(faults: str = "") -> tuple[Stage, LedgerChain]:
    stage = await a_stage(faults)
    chain = LedgerChain(stage.chain, stage.clock.unix)
    stage.services = replace(stage.services, chains={NETWORK: chain})
    return stage, chain


async def says(stage: Stage, run: Run) -> list[str]:
    return [str(each.data.get("event", each.type)) for each in await stage.trail(run)]


async def test_a_payment_is_booked_when_the_chain_shows_it() -> None:
    """Until then the vendor's receipt is a claim, and the money stays reserved."""
    stage, chain = await a_watched_stage()
    chain.hidden = True
    run = await stage.start()
    first = (await stage.tick(run)).run
    assert (first.budget_reserved, first.budget_spent) == (1_400_000, 0)
    stage.clock.pass_(15)
    second = (await stage.tick(run)).run
    (reservation,) = second.reservations.values()
    assert (second.budget_reserved, reservation.chain_seen_at) == (1_400_000, stage.clock.now)
    assert chain.named == [reservation.transaction]
    chain.hidden = False
    stage.clock.pass_(15)
    after = (await stage.tick(run)).run
    assert (after.budget_reserved, after.budget_spent) == (0, 1_400_000)
    ended = await stage.finish(run)
    assert (ended.status, [each.status for each in await stage.payments(run)]) == ("completed", ["completed"])
    assert (await says(stage, run)).count("held") == 1


async def test_a_run_does_not_end_before_the_chain_has_confirmed_and_then_soon() -> None:
    stage, chain = await a_watched_stage()
    chain.hidden = True
    run = await stage.start()
    for _ in range(8):
        run = (await stage.tick(run)).run
        stage.clock.pass_(15)
    assert (run.status, run.ending is not None, run.budget_reserved) == ("running", True, 1_400_000)
    assert run.next_tick_at is not None
    assert run.next_tick_at - stage.clock.now < timedelta(seconds=15)
    chain.hidden = False
    assert (await stage.tick(run)).run.status == "completed"


async def test_a_forged_receipt_costs_nothing() -> None:
    """The vendor shows a settlement that never happened: once it can no longer happen, the money is free."""
    stage, _ = await a_watched_stage("gpu_vendor_1:forged_receipt")
    ended = await stage.finish(await stage.start())
    assert (ended.status, ended.budget_spent, ended.budget_remaining) == ("completed", 0, 5_000_000)
    assert [each.status for each in await stage.payments(ended)] == ["failed"]
    assert "lapsed" in await says(stage, ended)
    assert [each.actual_cost for each in await stage.jobs(ended)] == [0]


async def test_a_refused_payment_that_was_never_cashed_is_free_again() -> None:
    """Without a chain it would have been written off."""
    stage, _ = await a_watched_stage("gpu_vendor_1:reject_payment")
    ended = await stage.finish(await stage.start())
    assert (ended.status, ended.budget_spent) == ("completed", 1_800_000)
    assert sorted(each.status for each in await stage.payments(ended)) == ["completed", "failed"]


@pytest.mark.parametrize("fault", ["reject_but_cash", "no_receipt", "drop_after_payment"])
async def test_money_that_moved_is_found_with_its_transaction(fault: str) -> None:
    """Whatever the vendor says or does not say."""
    stage, _ = await a_watched_stage(f"gpu_vendor_1:{fault}")
    run = await stage.start()
    ended = await stage.finish(run)
    moved = sum(each.value for each in stage.chain.journal)
    assert (ended.status, ended.budget_spent) == ("completed", moved)
    assert {each.status for each in await stage.payments(run)} == {"completed"}
    assert {each.x402_tx_id for each in await stage.payments(run)} == {
        each.transaction for each in stage.chain.journal
    }


async def test_nothing_is_free_before_the_chains_own_clock_says_so() -> None:
    """Our clock may be ahead: as long as no block is younger than `validBefore`, the transfer may still come."""
    stage, chain = await a_watched_stage("gpu_vendor_1:ask_for_ever")
    run = await stage.start(1_400_000)
    run = (await stage.tick(run)).run
    chain.behind = 600
    while stage.clock.now < START + timedelta(seconds=700):
        run = (await stage.tick(run)).run
        stage.clock.pass_(15)
    assert run.budget_reserved == 1_400_000
    chain.behind = 0
    assert (await stage.tick(run)).run.budget_remaining == 1_400_000


async def test_a_chain_that_is_away_leaves_the_money_reserved_for_a_bounded_time() -> None:
    """Then it is booked as without a chain: unresolved and spent, and the run ends."""
    stage, chain = await a_watched_stage("gpu_vendor_1:ask_for_ever")
    run = await stage.start(1_400_000)
    await stage.tick(run)
    chain.down = DOWN
    stage.clock.pass_(420)
    late = (await stage.tick(run)).run
    assert (late.budget_reserved, late.budget_spent) == (1_400_000, 0)
    stage.clock.pass_(CHAIN_PATIENCE.total_seconds())
    after = (await stage.tick(run)).run
    assert (after.budget_reserved, after.budget_spent) == (0, 1_400_000)
    assert [each.status for each in await stage.payments(run)] == ["unresolved"]
    silences = [each for each in await stage.trail(run) if "the chain cannot be asked" in each.content]
    assert len(silences) == 1


async def test_a_chain_that_comes_back_in_that_time_is_believed() -> None:
    stage, chain = await a_watched_stage("gpu_vendor_1:ask_for_ever")
    run = await stage.start(1_400_000)
    await stage.tick(run)
    chain.down = DOWN
    stage.clock.pass_(1_000)
    await stage.tick(run)
    chain.down = None
    stage.clock.pass_(15)
    assert (await stage.tick(run)).run.budget_remaining == 1_400_000


async def test_a_wallet_that_cannot_pay_signs_nothing_and_says_what_is_missing() -> None:
    """The run ends with the shortfall to the micro-dollar, instead of failing at the vendor."""
    stage, chain = await a_watched_stage()
    chain.holds = 1_399_999
    ended = await stage.finish(await stage.start())
    assert ended.failure is not None
    assert (ended.status, ended.failure.code, ended.budget_spent) == ("failed", "insufficient_funds", 0)
    assert "holds 1.399999 USDC on eip155:84532, 1.4 are to be paid: 0.000001 are missing" in ended.failure.message
    assert stage.record.payments == []
    assert await stage.payments(ended) == []
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.reliability_score == vendor.reliability_prior


async def test_what_is_promised_already_is_counted() -> None:
    """1.40 is out with the first vendor, unpaid for now; 1.80 more must be covered on top."""
    stage, chain = await a_watched_stage("gpu_vendor_1:reject_payment")
    chain.holds = 3_199_999
    ended = await stage.finish(await stage.start())
    assert ended.failure is not None
    assert "1.8 are to be paid and 1.4 are promised already: 0.000001 are missing" in ended.failure.message
    stage, chain = await a_watched_stage("gpu_vendor_1:reject_payment")
    chain.holds = 3_200_000
    assert (await stage.finish(await stage.start())).status == "completed"


BASE = "eip155:8453"


class TwoOffers(httpx.AsyncBaseTransport):
    """The vendors, each of which takes the same price on Base as well; it is the second entry."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if CHALLENGE_HEADER in response.headers:
            terms = decode_header(CHALLENGE_HEADER, response.headers[CHALLENGE_HEADER])
            accepts = terms["accepts"]
            assert isinstance(accepts, list)
            also = accepts[0] | {"network": BASE, "asset": usual(BASE).address, "extra": {}}
            response.headers[CHALLENGE_HEADER] = encode_header({**terms, "accepts": [*accepts, also]})
        return response


async def a_stage_with_two_chains(faults: str = "") -> tuple[Stage, LedgerChain, LedgerChain]:
    """Every offer comes on two networks, and both can be read."""
    stage = await a_stage(faults, settings={"x402_networks": f"{NETWORK},{BASE}"})
    stage.transport._inner = TwoOffers(stage.transport._inner)  # type: ignore[assignment]
    first, second = (LedgerChain(stage.chain, stage.clock.unix) for _ in range(2))
    stage.services = replace(stage.services, chains={NETWORK: first, BASE: second})
    return stage, first, second


async def signed_on(stage: Stage, run: Run) -> list[str]:
    """The networks of what was signed, as the trail has it."""
    return [str(each.data["network"]) for each in await stage.trail(run) if each.data.get("event") == "authorized"]


async def test_an_offer_that_the_wallet_cannot_pay_is_passed_over_for_one_that_it_can() -> None:
    """solana-foundation/pay-kit#184: the dearer or later entry is signed, and the trail says why."""
    stage, first, _ = await a_stage_with_two_chains()
    run = await stage.start()
    await stage.tick(run)
    assert await signed_on(stage, run) == [NETWORK]
    stage, first, _ = await a_stage_with_two_chains()
    first.holds = 1_399_999
    run = await stage.start()
    await stage.tick(run)
    assert (await signed_on(stage, run))[0] == BASE
    [told] = [each.data["policy"] for each in await stage.trail(run) if each.data.get("event") == "authorized"]
    assert isinstance(told, dict)
    assert told["passedOver"] == ["offer 1: the payer holds 1399999 of 1400000 atomic units: 1 missing"]


async def test_what_is_promised_counts_for_its_own_token_only() -> None:
    """1.40 is promised on the first chain, so the next 1.80 comes from the second, which owes nothing."""
    stage, first, second = await a_stage_with_two_chains("gpu_vendor_1:reject_payment")
    first.holds, second.holds = 3_199_999, 1_800_000
    run = await stage.start()
    for _ in range(3):
        await stage.tick(run)
        stage.clock.pass_(15)
    assert (await signed_on(stage, run))[:2] == [NETWORK, BASE]


async def test_where_no_offer_can_be_paid_the_shortfall_of_the_cheapest_is_told() -> None:
    """And that others were looked at."""
    stage, first, second = await a_stage_with_two_chains()
    first.holds, second.holds = 1, 2
    ended = await stage.finish(await stage.start())
    assert ended.failure is not None
    assert (ended.failure.code, stage.record.payments) == ("insufficient_funds", [])
    assert "1.399999 are missing; of 1 more offers none is allowed and can be paid" in ended.failure.message


async def test_a_chain_that_is_away_is_passed_over_where_another_offer_can_be_paid() -> None:
    """Its silence decides only when nothing else is left: then the order waits, as with one offer."""
    stage, first, second = await a_stage_with_two_chains()
    first.down = DOWN
    run = await stage.start()
    await stage.tick(run)
    assert (await signed_on(stage, run))[0] == BASE
    stage, first, second = await a_stage_with_two_chains()
    first.down, second.holds = DOWN, 0
    run = await stage.start()
    waiting = (await stage.tick(run)).run
    assert (waiting.budget_reserved, await signed_on(stage, run)) == (1_400_000, [])
    assert waiting.ending is None
    first.down = None
    stage.clock.pass_(15)
    await stage.tick(run)
    assert (await signed_on(stage, run))[0] == NETWORK


async def test_balance_and_code_are_asked_about_once_for_each_offer_that_is_allowed() -> None:
    """Two questions for one purchase; what the policy refuses costs none."""
    stage, chain = await a_watched_stage()
    stage.transport._inner = TwoOffers(stage.transport._inner)  # type: ignore[assignment]
    other = LedgerChain(stage.chain, stage.clock.unix)
    stage.services = replace(stage.services, chains={NETWORK: chain, BASE: other})
    chain.hidden = True
    run = await stage.start(1_400_000)
    await stage.tick(run)
    assert (await signed_on(stage, run), chain.asked, other.asked) == ([NETWORK], 3, 0)


async def test_a_wallet_whose_address_has_code_signs_nothing() -> None:
    """x402-rs/x402-rs#26: the run ends before anything is signed, and says what to do."""
    stage, chain = await a_watched_stage()
    chain.has_code = bytes.fromhex("ef0100" + "cd" * 20)
    ended = await stage.finish(await stage.start())
    assert ended.failure is not None
    assert (ended.status, ended.failure.code, ended.budget_spent) == ("failed", "wallet_unfit", 0)
    assert "(EIP-7702)" in ended.failure.message
    assert "remove the delegation or pay from a plain key" in ended.failure.message
    assert stage.record.payments == []
    assert await stage.payments(ended) == []
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.reliability_score == vendor.reliability_prior


async def test_a_wallet_that_has_code_on_one_chain_pays_on_another() -> None:
    stage, first, _ = await a_stage_with_two_chains()
    first.has_code = b"\x60\x80"
    run = await stage.start()
    await stage.tick(run)
    assert (await signed_on(stage, run))[0] == BASE


async def test_nothing_is_pinned_where_nothing_can_be_paid() -> None:
    """The payee of a vendor's first payment is learned when there is one."""
    stage = await a_stage(pinned=False)
    chain = LedgerChain(stage.chain, stage.clock.unix, holds=0)
    stage.services = replace(stage.services, chains={NETWORK: chain})
    await stage.finish(await stage.start())
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.pay_to is None


async def test_nothing_is_signed_while_the_balance_cannot_be_read() -> None:
    """The order waits for the chain, at most as long as any order waits for a signature."""
    stage, chain = await a_watched_stage()
    chain.down = DOWN
    run = await stage.start()
    for _ in range(3):
        waiting = (await stage.tick(run)).run
        assert waiting.budget_reserved == 1_400_000
        stage.clock.pass_(15)
    chain.down = None
    assert (await stage.finish(run)).status == "completed"
    said = [each for each in await stage.trail(run) if "nothing is signed" in each.content]
    assert len(said) == 1


async def test_a_token_that_kept_a_part_leaves_the_payment_unresolved() -> None:
    """The wallet has paid and the payee got less: spent, and not what was agreed."""
    stage, chain = await a_watched_stage()
    chain.fee = 1
    ended = await stage.finish(await stage.start())
    assert ended.budget_spent == 1_400_000
    assert [each.status for each in await stage.payments(ended)] == ["unresolved"]


async def test_a_cancelled_authorization_is_free_at_once() -> None:
    stage, chain = await a_watched_stage("gpu_vendor_1:reject_payment")
    run = await stage.start()
    await stage.tick(run)
    [payment] = await stage.payments(run)
    chain.cancelled.add(payment.nonce)
    stage.clock.pass_(15)
    await stage.tick(run)
    assert (await stage.payments(run))[0].status == "failed"


async def test_a_token_that_is_not_known_any_more_is_not_guessed_about(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, chain = await a_watched_stage("gpu_vendor_1:ask_for_ever")
    run = await stage.start(1_400_000)
    await stage.tick(run)
    monkeypatch.setattr(networks, "_BY_ADDRESS", {})
    stage.clock.pass_(420)
    asked = chain.asked
    assert (await stage.tick(run)).run.budget_reserved == 1_400_000
    assert chain.asked == asked


async def test_settings_name_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_BY_ADDRESS", dict(networks._BY_ADDRESS))
    monkeypatch.setattr(networks, "_DEFAULTS", dict(networks._DEFAULTS))
    token = '[{"network": "eip155:31337", "address": "0x%s", "name": "T", "version": "2"}]' % ("22" * 20)
    told = {"x402_assets": token, "x402_rpc_urls": "eip155:31337=http://127.0.0.1:1/hush-hush"}
    settings = Settings.model_validate(told)
    stage = await a_stage()
    services = wire(settings, real_world(), stage.database)
    await services.close()
    assert set(services.chains) == {"eip155:31337"}
    assert asset("eip155:31337", "0x" + "22" * 20) is not None
    assert "hush" not in repr(settings) + repr(services.chains)
    plain = wire(Settings(), real_world(), stage.database)
    await plain.close()
    assert plain.chains == {}


async def test_a_chain_that_hangs_is_a_chain_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before signing and after: a tick is never held up by a node."""
    monkeypatch.setattr(watching, "CHAIN_SECONDS", 0.01)
    stage, chain = await a_watched_stage("gpu_vendor_1:ask_for_ever")
    run = await stage.start(1_400_000)
    chain.hangs = True
    await stage.tick(run)
    assert await stage.payments(run) == []
    chain.hangs = False
    await stage.tick(run)
    assert len(await stage.payments(run)) == 1
    chain.hangs = True
    stage.clock.pass_(420)
    assert (await stage.tick(run)).run.budget_reserved == 1_400_000


async def test_a_network_without_a_node_is_paid_on_as_before() -> None:
    """A node of another network says nothing of this one."""
    stage, chain = await a_watched_stage()
    stage.services = replace(stage.services, chains={"eip155:8453": chain})
    chain.down = DOWN
    ended = await stage.finish(await stage.start())
    assert (ended.status, ended.budget_spent, chain.asked) == ("completed", 1_400_000, 0)
