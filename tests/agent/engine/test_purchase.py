"""The corners of a purchase: what is reserved and forgotten, refused late, or proven by the wrong receipt."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from agent.book import booking
from agent.book.jobs import LOG_LINES_PER_TICK, MAX_MESSAGE, fail, follow
from agent.book.ledger import reserve
from agent.book.models import Constraints, Run
from agent.intake import runs
from agent.kinds.rental.kind import Rental
from agent.kinds.rental.planner.fireworks import FireworksPlanner
from agent.kinds.rental.quoting import refusal
from agent.process.settings import load_settings
from agent.process.world import real_world
from agent.store.embedded import EmbeddedDatabase
from agent.wallet.wallet import Wallet
from agent.wiring import wire
from tests.agent.builders import NOW, a_job, a_reservation, a_run, an_authorization
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import KEY, Stage, a_stage
from vendors.models import JobReport, Quote
from x402.errors import SigningFailed
from x402.wire import Receipt


async def reserved_and_forgotten() -> tuple[Stage, Run]:
    """A process died after it had reserved and before it asked; its lease is over."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    reaper.kill_at("POST /submit-job", after=False)
    with pytest.raises(Killed):
        await stage.tick(run)
    reaper.kill_at(None, after=False)
    stage.clock.pass_(50)
    return stage, run


async def first_failure(stage: Stage, run: Run) -> tuple[str, int | None]:
    job = (await stage.jobs(run))[0]
    assert job.failure is not None
    return job.failure.code, job.actual_cost


async def failures_of(stage: Stage, vendor_id: str) -> int:
    vendor = await stage.services.vendors.find(vendor_id)
    assert vendor is not None
    return vendor.record.failed


async def test_what_was_reserved_is_ordered_by_the_next_tick() -> None:
    """While the offer is still young."""
    stage, run = await reserved_and_forgotten()

    assert (await stage.tick(run)).run.budget_spent == 1_400_000
    assert len(await stage.jobs(run)) == 1


async def test_what_was_reserved_too_long_ago_is_given_up() -> None:
    """Its money is free, and the vendor is not blamed for it."""
    stage, run = await reserved_and_forgotten()
    stage.clock.pass_(80)

    await stage.tick(run)

    assert await first_failure(stage, run) == ("order_lapsed", 0)
    assert await failures_of(stage, "gpu_vendor_1") == 0
    assert (await stage.finish(run)).status == "completed"


async def test_cancelling_orders_nothing_more() -> None:
    """What is only reserved is released; the vendor is not asked."""
    stage, run = await reserved_and_forgotten()

    ended = (await runs.cancel(stage.services, run.id)).run

    assert (ended.status, ended.budget_remaining) == ("cancelled", 5_000_000)
    assert await first_failure(stage, run) == ("run_ended", 0)
    assert (await stage.journal())["jobs"] == []


async def test_a_vendor_struck_off_before_it_was_asked_gets_nothing() -> None:
    """The money is free at once."""
    stage, run = await reserved_and_forgotten()
    await stage.services.vendors.remove("gpu_vendor_1")

    await stage.tick(run)

    assert await first_failure(stage, run) == ("vendor_removed", 0)


async def test_a_vendor_spoiled_in_the_registry_gets_nothing_either() -> None:
    """As if it were not there: no fault of ours, no end of the run."""
    stage, run = await reserved_and_forgotten()
    vendors = stage.database.collection("vendors")
    await vendors.update({"_id": "gpu_vendor_1"}, {"$set": {"endpoint": "ftp://elsewhere"}})

    ended = await stage.finish(run)

    assert await first_failure(stage, run) == ("vendor_removed", 0)
    assert (ended.status, ended.faults) == ("completed", 0)


async def test_with_no_time_left_the_order_is_left_to_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor is not blamed for our haste."""
    stage, run = await reserved_and_forgotten()
    monkeypatch.setattr("agent.engine.purchase.LEAST_SECONDS", 1_000.0)
    await stage.tick(run)
    assert (await stage.journal())["payments"] == []

    monkeypatch.undo()
    ended = await stage.finish(run)

    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)
    assert await failures_of(stage, "gpu_vendor_1") == 0


async def test_a_payee_that_somebody_else_pinned_meanwhile_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offer names another one: nothing is signed."""
    stage = await a_stage(pinned=False)

    async def other(vendor_id: str, pay_to: str) -> str:
        return "0x" + "99" * 20

    monkeypatch.setattr(stage.services.vendors, "pin_payee", other)
    run = await stage.start()
    await stage.tick(run)

    assert await first_failure(stage, run) == ("offer_refused", 0)
    assert (await stage.journal())["payments"] == []


async def test_a_wallet_that_does_not_sign_is_our_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job fails with its money free, and the vendor's record stays clean."""
    stage = await a_stage()

    async def failing(*_: object) -> None:
        raise SigningFailed("the wallet is locked")

    monkeypatch.setattr(Wallet, "authorize", failing)
    run = await stage.start()
    await stage.tick(run)

    assert await first_failure(stage, run) == ("payment_not_possible", 0)
    assert await failures_of(stage, "gpu_vendor_1") == 0


async def test_a_vendor_whose_token_is_not_set_is_passed_over() -> None:
    """Naming the variable; another vendor is used."""
    stage = await a_stage()
    ref = "GPU_VENDOR_SECRET_EU"
    await stage.services.vendors.change("gpu_vendor_1", lambda each: replace(each, secret_ref=ref))

    run = await stage.finish(await stage.start())

    first = (await stage.jobs(run))[0]
    assert first.failure is not None
    assert ref in first.failure.message
    assert run.status == "completed"
    assert await failures_of(stage, "gpu_vendor_1") == 0


async def test_a_402_without_terms_breaks_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the vendor's doing, and costs nothing."""
    stage = await a_stage()
    real = stage.transport.handle_async_request

    async def bare(request: httpx.Request) -> httpx.Response:
        return httpx.Response(402, json={}) if request.url.path == "/submit-job" else await real(request)

    monkeypatch.setattr(stage.transport, "handle_async_request", bare)
    run = await stage.start()
    await stage.tick(run)

    assert await first_failure(stage, run) == ("contract_broken", 0)
    assert await failures_of(stage, "gpu_vendor_1") == 1


async def test_an_authorization_that_was_not_stored_in_time_is_not_taken_for_unpaid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody knows whether the write happened: it stays open, and the same bytes go out with the next tick."""
    stage = await a_stage()
    real = stage.services.runs.commit
    late = False

    async def hanging(before: Run, after: Run) -> Run:
        nonlocal late
        if not late and any(each.authorization for each in after.reservations.values()):
            late = True
            await asyncio.Event().wait()
        return await real(before, after)

    monkeypatch.setattr(stage.services.runs, "commit", hanging)
    monkeypatch.setattr("agent.engine.purchase.CALL_SECONDS", 0.2)
    run = await stage.start()
    first = await stage.tick(run)

    assert late
    assert (first.run.budget_reserved, first.run.phase) == (1_400_000, "waiting")
    assert (await stage.journal())["payments"] == []
    ended = await stage.finish(run)
    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)


SIGNED = an_authorization()
TRANSACTION = "0x" + "ab" * 32
RECEIPT = Receipt(True, TRANSACTION, SIGNED.network, SIGNED.payer, SIGNED.amount)


@pytest.mark.parametrize(
    ("receipt", "proven"),
    [
        (RECEIPT, TRANSACTION),
        (replace(RECEIPT, payer=None, amount=None), TRANSACTION),
        (replace(RECEIPT, payer=SIGNED.payer.upper().replace("0X", "0x")), TRANSACTION),
        (replace(RECEIPT, network="eip155:8453"), None),
        (replace(RECEIPT, payer="0x" + "77" * 20), None),
        (replace(RECEIPT, amount=SIGNED.amount - 1), None),
        (replace(RECEIPT, transaction="pending"), None),
        (replace(RECEIPT, transaction=""), None),
        (None, None),
    ],
)
def test_a_receipt_proves_only_the_payment_it_can_be_of(receipt: Receipt | None, proven: str | None) -> None:
    """Same network, same payer and amount where it names them, and a transaction that is one."""
    assert booking.proof(receipt, SIGNED) == proven


@pytest.mark.parametrize(
    ("price", "constraints", "why"),
    [
        (1_400_000, {}, None),
        (1_400_001, {}, "list price"),
        (1_540_000, {"price_tolerance": "0.1"}, None),
        (1_540_001, {"price_tolerance": "0.1"}, "list price"),
        (1_400_000, {"max_price_per_hour": 1_399_999}, "maxPricePerHour"),
    ],
)
def test_a_quote_is_taken_within_its_limits(price: int, constraints: dict[str, object], why: str | None) -> None:
    """To the micro-dollar."""
    run = a_run(constraints=Constraints.model_validate(constraints))

    said = refusal(run, a_job(run), Quote("t", price, "USD", None), None)

    assert (said is None) if why is None else (said is not None and why in said)


def test_a_quote_above_what_remains_is_not_taken() -> None:
    """The budget is a hard limit."""
    run = a_run(1_000_000)

    said = refusal(run, a_job(run), Quote("t", 1_400_000, "USD", None), None)

    assert said is not None
    assert "remaining" in said


def test_a_long_log_is_taken_over_in_pieces_and_its_rest_is_counted() -> None:
    """A tick is bounded; what is cut off at the end of a job is said to be."""
    run = a_run()
    job = a_job(run, status="running", vendor_job_id="j")
    run = reserve(run, job, a_reservation())
    lines = tuple(f"line {number}" for number in range(LOG_LINES_PER_TICK * 2 + 5))
    report = JobReport("running", 50.0, lines, None, None, None, None, None)

    first = follow(run, job, report, NOW)
    taken = first.jobs[str(job.id)]
    last = follow(first, taken, replace(report, status="completed"), NOW)

    said = [each.content for each in last.outbox.observations if each.type == "job_log"]
    assert said[:-1] == list(lines[: LOG_LINES_PER_TICK * 2])
    assert said[-1] == "(5 more lines were not kept)"


def test_the_wallet_shows_its_address_only() -> None:
    """And gives each job a nonce of its own, the same every time."""
    wallet = Wallet.local(KEY)

    assert repr(wallet) == "Wallet(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)"
    assert wallet.nonce("a") == Wallet.local(KEY).nonce("a") != wallet.nonce("b")
    assert wallet.nonce("a") != Wallet.local("11" * 32).nonce("a")


def test_the_clock_is_utc_with_whole_milliseconds() -> None:
    """What is hashed must be what the store keeps."""
    world = real_world()

    assert world.now().microsecond % 1_000 == 0
    assert world.now().utcoffset() is not None
    assert world.new_token() != world.new_token()


async def test_settings_choose_the_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its prices, in micro-dollars, where they are given."""
    monkeypatch.setenv("PLANNER_MODE", "fireworks")
    monkeypatch.setenv("FIREWORKS_API_KEY", "fw-test-key")
    monkeypatch.setenv("FIREWORKS_INPUT_PRICE", "0.6")

    services = wire(load_settings(), real_world(), EmbeddedDatabase())

    assert isinstance(services.kind, Rental)
    assert isinstance(services.kind.planner, FireworksPlanner)
    await services.close()


def test_why_a_job_failed_is_one_line_of_bounded_length() -> None:
    """A vendor with a reason for each of its many offers filled the job's document with them once."""
    run = a_run()
    job = a_job(run)
    failed = fail(run, job, "offer_refused", "offer 1: \x1b[31m no\n" * 10_000, NOW, vendor_fault=True)
    (told,) = failed.outbox.jobs
    assert told.failure is not None
    assert len(told.failure.message) == MAX_MESSAGE
    assert told.failure.message.isprintable()
    assert failed.outbox.observations[-1].content.endswith(told.failure.message)
