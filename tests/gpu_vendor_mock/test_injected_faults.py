"""Each fault as a client meets it, and what the journal says really happened."""

from __future__ import annotations

import itertools
import json

import httpx
import pytest

from gpu_vendor_mock.catalog import WRONG_PAYEE
from gpu_vendor_mock.dropping import ConnectionDropped
from tests.gpu_vendor_mock.conftest import OpenShop
from tests.gpu_vendor_mock.support import Buyer, Clock, Sleeper, Vendor, decoded, dig, text

_LONG = 1_000_000
_KEYS = itertools.count(1)


async def _ending(vendor: Vendor, clock: Clock, bought: httpx.Response) -> str:
    """What becomes of a job in the long run."""
    assert bought.status_code == 200
    clock.now += _LONG
    report = await vendor.status(text(bought.json(), "vendorJobId"))
    return text(report.json(), "status")


async def _counts(vendor: Vendor) -> tuple[int, int]:
    """How many settlements, how many jobs."""
    return len(await vendor.journal("settlements")), len(await vendor.journal("jobs"))


async def test_fail_at_epoch(vendor: Vendor, buyer: Buyer, clock: Clock) -> None:
    """The job fails in that epoch and says so; the money is gone."""
    bought = await vendor.buy(buyer, fault="fail_at_epoch=2")
    clock.now += 0.25 + 1.5
    report = (await vendor.status(text(bought.json(), "vendorJobId"))).json()
    assert (dig(report, "status"), dig(report, "progress"), dig(report, "costSoFar")) == ("failed", 30, 0.42)
    assert text(report, "errorMessage").startswith("epoch 2/5: ")
    assert "finalMetrics" not in report
    assert "artifactUrl" not in report
    assert await _counts(vendor) == (1, 1)


async def test_stall_at_epoch(vendor: Vendor, buyer: Buyer, clock: Clock) -> None:
    """The job runs for ever and gets nowhere."""
    assert await _ending(vendor, clock, await vendor.buy(buyer, fault="stall_at_epoch=2")) == "running"


async def test_fail_vendor_id(open_shop: OpenShop, buyer: Buyer, clock: Clock) -> None:
    """All jobs of that vendor fail in their third epoch, and only those."""
    vendor = open_shop(fail_vendor_id="gpu_vendor_1")
    bought = await vendor.buy(buyer, "k1")
    clock.now += 0.25 + 2.49
    assert text((await vendor.status(text(bought.json(), "vendorJobId"))).json(), "status") == "running"
    clock.now += 0.01
    assert text((await vendor.status(text(bought.json(), "vendorJobId"))).json(), "status") == "failed"
    vendor.vendor_id = "gpu_vendor_2"
    clock.now = Clock().now
    assert await _ending(vendor, clock, await vendor.buy(buyer, "k2")) == "completed"


async def _fates(vendor: Vendor, clock: Clock, jobs: int) -> list[str]:
    """What becomes of so many jobs, one after another."""
    buyer = Buyer(f"0x{next(_KEYS):064x}")
    fates = []
    for number in range(jobs):
        clock.now = Clock().now
        fates.append(await _ending(vendor, clock, await vendor.buy(buyer, f"k{number}")))
    return fates


async def test_fail_rate_is_decided_per_job_and_by_the_seed(open_shop: OpenShop, clock: Clock) -> None:
    """The same seed, the same fates; another seed, others; in between, some of both."""
    first = await _fates(open_shop(fail_rate=0.5, fault_seed=1), clock, 12)
    again = await _fates(open_shop(fail_rate=0.5, fault_seed=1), clock, 12)
    other = await _fates(open_shop(fail_rate=0.5, fault_seed=2), clock, 12)
    assert first == again
    assert first != other
    assert set(first) == {"completed", "failed"}


@pytest.mark.parametrize(("rate", "fates"), [(0.0, {"completed"}), (1.0, {"failed"})])
async def test_fail_rate_reaches_from_never_to_always(
    open_shop: OpenShop, clock: Clock, rate: float, fates: set[str]
) -> None:
    """0 is none of the jobs, 1 is all of them."""
    assert set(await _fates(open_shop(fail_rate=rate), clock, 6)) == fates


async def test_fail_rate_spares_no_vendor_for_what_another_did(open_shop: OpenShop, clock: Clock) -> None:
    """The nth job of a vendor fares the same however many jobs the others had: ticks may come in any order."""
    alone = await _fates(open_shop(fail_rate=0.5), clock, 6)
    vendor = open_shop(fail_rate=0.5)
    vendor.vendor_id = "gpu_vendor_2"
    await _fates(vendor, clock, 3)
    vendor.vendor_id = "gpu_vendor_1"
    assert await _fates(vendor, clock, 6) == alone


async def test_forget_job(vendor: Vendor, buyer: Buyer) -> None:
    """Paid and accepted, and then nobody has ever heard of it."""
    bought = await vendor.buy(buyer, fault="forget_job")
    assert (await vendor.status(text(bought.json(), "vendorJobId"))).status_code == 404
    assert [dig(job, "forgotten") for job in await vendor.journal("jobs")] == [True]
    assert await _counts(vendor) == (1, 1)


async def test_slow(vendor: Vendor, sleeper: Sleeper) -> None:
    """The answer takes that many milliseconds longer."""
    assert (await vendor.quote(fault="slow=250")).status_code == 200
    assert sleeper.slept == [0.25]


@pytest.mark.parametrize("aim", ["quote", "submit-job", "payment", "job-status"])
async def test_http_500(vendor: Vendor, buyer: Buyer, aim: str) -> None:
    """The endpoint it is aimed at answers 500 and does nothing; the others work."""
    fault = f"http_500={aim}"
    quoted = await vendor.quote(fault=fault)
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k", fault=fault)
    payment = buyer.pay(await vendor.submit(template, "k"))
    paid = await vendor.submit(template, "k", payment, fault=fault)
    bought = await vendor.submit(template, "k", payment)
    status = await vendor.status(text(bought.json(), "vendorJobId"), fault=fault)
    assert [response.status_code for response in (quoted, unpaid, paid, status)] == {
        "quote": [500, 402, 200, 200],
        "submit-job": [200, 500, 500, 200],
        "payment": [200, 402, 500, 200],
        "job-status": [200, 402, 200, 500],
    }[aim]
    if paid.status_code == 500:
        assert text(paid.json(), "error", "code") == "internal_error"
    assert len(await vendor.journal("payments")) == 2, "what was sent is noted even when 500 came back"
    assert await _counts(vendor) == (1, 1)


@pytest.mark.parametrize("aim", ["quote", "payment", "job-status"])
async def test_malformed_json(vendor: Vendor, buyer: Buyer, aim: str) -> None:
    """The endpoint does its work and then answers with half of its JSON."""
    fault = f"malformed_json={aim}"
    quoted = await vendor.quote(fault=fault)
    bought = await vendor.buy(buyer, "k", fault=fault)
    (job,) = await vendor.journal("jobs")
    status = await vendor.status(text(job, "vendorJobId"), fault=fault)
    for name, response in (("quote", quoted), ("payment", bought), ("job-status", status)):
        assert response.status_code == 200
        if name == aim:
            with pytest.raises(json.JSONDecodeError):
                response.json()
        else:
            assert response.json()
    assert await _counts(vendor) == (1, 1)


async def test_a_malformed_answer_is_whole_when_asked_for_again(open_shop: OpenShop, buyer: Buyer) -> None:
    """The receipt came through, the body did not: the same request again brings both."""
    vendor = open_shop(faults="malformed_json=payment*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    broken = await vendor.submit(template, "k", payment)
    whole = await vendor.submit(template, "k", payment)
    assert broken.content != whole.content
    assert whole.content.startswith(broken.content)
    assert broken.headers["payment-response"] == whole.headers["payment-response"]
    assert await _counts(vendor) == (1, 1)


async def test_price_above_quote(open_shop: OpenShop, buyer: Buyer) -> None:
    """The 402 asks for more than the quote; whoever pays it, has paid it."""
    vendor = open_shop(faults="price_above_quote=10*1")
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    assert text(decoded(unpaid.headers["payment-required"]), "accepts", 0, "amount") == "1540000"
    assert text(unpaid.json(), "accepts", 0, "maxAmountRequired") == "1540000"
    again = await vendor.submit(template, "k")
    assert text(decoded(again.headers["payment-required"]), "accepts", 0, "amount") == "1540000"
    assert (await vendor.submit(template, "k", buyer.pay(unpaid))).status_code == 200
    (settled,) = await vendor.journal("settlements")
    assert (dig(settled, "quoted"), dig(settled, "amount")) == (1_400_000, 1_540_000)
    other = await vendor.submit(await vendor.template(), "k2")
    assert text(decoded(other.headers["payment-required"]), "accepts", 0, "amount") == "1400000"


async def test_wrong_payee(vendor: Vendor, buyer: Buyer) -> None:
    """The 402 names somebody else; a careless buyer's money goes there."""
    bought = await vendor.buy(buyer, fault="wrong_payee")
    assert bought.status_code == 200
    assert [dig(settled, "payTo") for settled in await vendor.journal("settlements")] == [WRONG_PAYEE]


@pytest.mark.parametrize(
    ("configured", "asked"), [("eip155:84532", "eip155:8453"), ("eip155:8453", "eip155:84532")]
)
async def test_wrong_network(open_shop: OpenShop, buyer: Buyer, configured: str, asked: str) -> None:
    """The 402 asks for payment on another chain; a careless buyer pays there."""
    vendor = open_shop(x402_network=configured)
    assert (await vendor.buy(buyer, "k1", fault="wrong_network")).status_code == 200
    assert (await vendor.buy(buyer, "k2")).status_code == 200
    assert [dig(settled, "network") for settled in await vendor.journal("settlements")] == [asked, configured]


async def test_reject_payment(open_shop: OpenShop, buyer: Buyer) -> None:
    """A good payment is turned down and not cashed; the same one sent again is taken."""
    vendor = open_shop(faults="reject_payment*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    rejected = await vendor.submit(template, "k", payment)
    assert (rejected.status_code, text(rejected.json(), "error")) == (402, "payment rejected by the vendor")
    assert "payment-response" not in rejected.headers
    assert await _counts(vendor) == (0, 0)
    assert [dig(refusal, "nonce") for refusal in await vendor.journal("refusals")] == [f"0x{1:064x}"]
    assert (await vendor.submit(template, "k", payment)).status_code == 200
    assert await _counts(vendor) == (1, 1)


async def test_reject_but_cash(open_shop: OpenShop, buyer: Buyer) -> None:
    """The answer is the same as for `reject_payment`, for ever; the money is gone all the same, once."""
    vendor = open_shop(faults="reject_but_cash*1")
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    payment = buyer.pay(unpaid)
    rejected = await vendor.submit(template, "k", payment)
    assert (rejected.status_code, text(rejected.json(), "error")) == (402, "payment rejected by the vendor")
    assert "payment-response" not in rejected.headers
    for again in (payment, buyer.pay(unpaid)):
        assert (await vendor.submit(template, "k", again)).content == rejected.content
    assert await _counts(vendor) == (1, 0)


async def test_no_receipt(vendor: Vendor, buyer: Buyer) -> None:
    """The payment is taken and the job runs, but nothing shows what was settled."""
    bought = await vendor.buy(buyer, fault="no_receipt")
    assert bought.status_code == 200
    assert not [name for name in bought.headers if name.endswith("payment-response")]
    assert await _counts(vendor) == (1, 1)


async def test_duplicate_job(open_shop: OpenShop, buyer: Buyer, clock: Clock) -> None:
    """A retry under the same key starts a second job, for which nothing more is charged."""
    vendor = open_shop(faults="duplicate_job*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    first, second, third = [await vendor.submit(template, "k", payment) for _ in range(3)]
    assert first.json() != second.json()
    assert third.content == first.content
    assert second.headers["payment-response"] == first.headers["payment-response"]
    jobs = await vendor.journal("jobs")
    assert [dig(job, "key") for job in jobs] == ["k", "k"]
    assert await _counts(vendor) == (1, 2)
    for response in (first, second):
        assert (await vendor.status(text(response.json(), "vendorJobId"))).status_code == 200


async def test_drop_before_payment(open_shop: OpenShop, buyer: Buyer) -> None:
    """No answer and nothing charged; the same request again is served."""
    vendor = open_shop(faults="drop_before_payment*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    with pytest.raises(ConnectionDropped):
        await vendor.submit(template, "k", payment)
    assert await _counts(vendor) == (0, 0)
    assert len(await vendor.journal("payments")) == 1
    assert (await vendor.submit(template, "k", payment)).status_code == 200
    assert await _counts(vendor) == (1, 1)


async def test_drop_after_payment(open_shop: OpenShop, buyer: Buyer) -> None:
    """No answer, but the money is taken and the job runs; the same request again tells so."""
    vendor = open_shop(faults="drop_after_payment*2")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    for _ in range(2):
        with pytest.raises(ConnectionDropped):
            await vendor.submit(template, "k", payment)
        assert await _counts(vendor) == (1, 1)
    recovered = await vendor.submit(template, "k", payment)
    assert recovered.status_code == 200
    (settled,) = await vendor.journal("settlements")
    receipt = decoded(recovered.headers["payment-response"])
    assert text(receipt, "transaction") == text(settled, "transaction")
    assert await _counts(vendor) == (1, 1)


async def test_what_fired_is_in_the_journal(open_shop: OpenShop) -> None:
    """A test that asks for a fault can see that it happened, and not more often than asked."""
    vendor = open_shop(faults="gpu_vendor_1:slow=5*1")
    for _ in range(2):
        await vendor.quote(fault="http_500=quote")
    fired = [(dig(fault, "vendorId"), dig(fault, "fault")) for fault in await vendor.journal("faults")]
    assert fired == [
        ("gpu_vendor_1", "slow=5"),
        ("gpu_vendor_1", "http_500=quote"),
        ("gpu_vendor_1", "http_500=quote"),
    ]


async def test_an_unreadable_fault_header_is_refused(vendor: Vendor) -> None:
    """A misspelt fault must not pass for a vendor that works."""
    response = await vendor.quote(fault="explode")
    assert (response.status_code, text(response.json(), "error", "code")) == (400, "bad_fault")
    assert "explode" in text(response.json(), "error", "message")
