"""Faults: how they are written, and when each one fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.faults import (
    Endpoint,
    Fault,
    FaultBook,
    FaultName,
    RequestFaults,
    parse_faults,
    parse_header,
)

_NUMBERED = {
    FaultName.FAIL_AT_EPOCH,
    FaultName.STALL_AT_EPOCH,
    FaultName.SLOW,
    FaultName.PRICE_ABOVE_QUOTE,
    FaultName.RAISE_ON_SECOND,
}
_AIMED = {FaultName.HTTP_500, FaultName.MALFORMED_JSON}


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Any fault that can be written."""
    name = draw(st.sampled_from(FaultName))
    return Fault(
        name,
        number=draw(st.integers(1, 1_000)) if name in _NUMBERED else 0,
        endpoint=draw(st.sampled_from(Endpoint)) if name in _AIMED else None,
        vendor_id=draw(st.none() | st.text("abXY09_-", min_size=1, max_size=64)),
        count=draw(st.none() | st.integers(1, 999_999)),
    )


def _written(fault: Fault) -> str:
    vendor = f"{fault.vendor_id}:" if fault.vendor_id else ""
    count = f"*{fault.count}" if fault.count else ""
    return f"{vendor}{fault}{count}"


@given(st.lists(faults(), max_size=5))
def test_what_is_written_is_read(written: list[Fault]) -> None:
    """Any list of faults survives being written and read."""
    assert parse_faults(" , ".join(map(_written, written))) == tuple(written)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "no fault is called 'nonsense'"),
        ("Slow=1", "is no fault"),
        ("slow", "needs milliseconds from 1 to 60000"),
        ("slow=0", "needs milliseconds"),
        ("slow=60001", "needs milliseconds"),
        ("slow=fast", "needs milliseconds"),
        ("slow=9999999", "needs milliseconds"),
        ("fail_at_epoch=0", "needs an epoch"),
        ("price_above_quote=1001", "needs percent"),
        ("http_500", "needs an endpoint"),
        ("http_500=home", "needs an endpoint"),
        ("wrong_payee=1", "takes no argument"),
        ("no_receipt*0", "is no fault"),
        ("no_receipt*", "is no fault"),
        ("a b:no_receipt", "is no fault"),
        ("no_receipt," * 400, "more than 4096 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, says: str) -> None:
    """A fault that is silently ignored would make a test that cannot fail."""
    with pytest.raises(BadSetting, match=says):
        parse_faults(text)


@pytest.mark.parametrize("text", ["gpu_vendor_1:no_receipt", "no_receipt*2"])
def test_a_header_takes_no_vendor_and_no_count(text: str) -> None:
    """A header speaks of one request to one vendor."""
    with pytest.raises(BadSetting, match="give it no vendor"):
        parse_header(text)


class _Request:
    """The faults of one request, and what fired."""

    def __init__(self, book: FaultBook, header: str = "", vendor_id: str = "v1") -> None:
        self.fired: list[tuple[str, str]] = []
        self._faults = RequestFaults(book, vendor_id, parse_header(header), self._note)

    def _note(self, vendor_id: str, fault: Fault) -> None:
        self.fired.append((vendor_id, str(fault)))

    def take(self, name: FaultName, *endpoints: Endpoint) -> Fault | None:
        return self._faults.take(name, *endpoints)


def test_a_fault_fires_as_often_as_its_count_says() -> None:
    """`*2`: the first two times, and never again."""
    request = _Request(FaultBook(parse_faults("no_receipt*2")))
    assert [request.take(FaultName.NO_RECEIPT) is not None for _ in range(4)] == [True, True, False, False]
    assert request.fired == [("v1", "no_receipt")] * 2


def test_a_fault_without_a_count_always_fires() -> None:
    """The vendor is simply like that."""
    request = _Request(FaultBook(parse_faults("no_receipt")))
    assert all(request.take(FaultName.NO_RECEIPT) for _ in range(9))


def test_a_used_up_fault_makes_way_for_the_next_one() -> None:
    """`fail_at_epoch=1*1, fail_at_epoch=2`: the first job fails in epoch 1, the others in epoch 2."""
    request = _Request(FaultBook(parse_faults("fail_at_epoch=1*1,fail_at_epoch=2")))
    taken = [request.take(FaultName.FAIL_AT_EPOCH) for _ in range(3)]
    assert [fault and fault.number for fault in taken] == [1, 2, 2]


def test_a_fault_of_one_vendor_leaves_the_others_alone() -> None:
    """And does not use up its count on them."""
    book = FaultBook(parse_faults("v2:wrong_payee*1"))
    assert _Request(book, vendor_id="v1").take(FaultName.WRONG_PAYEE) is None
    assert _Request(book, vendor_id="v2").take(FaultName.WRONG_PAYEE) is not None


def test_an_aimed_fault_hits_its_endpoint_only() -> None:
    """A paid submission is both `submit-job` and `payment`; a quote is neither."""
    request = _Request(FaultBook(parse_faults("http_500=payment")))
    assert request.take(FaultName.HTTP_500, Endpoint.QUOTE) is None
    assert request.take(FaultName.HTTP_500, Endpoint.SUBMIT_JOB) is None
    assert request.take(FaultName.HTTP_500, Endpoint.SUBMIT_JOB, Endpoint.PAYMENT) is not None


def test_a_header_goes_before_the_configuration_and_spends_none_of_it() -> None:
    """One request can be made worse without changing what the others see."""
    book = FaultBook(parse_faults("slow=5*1"))
    asked = _Request(book, "slow=7").take(FaultName.SLOW)
    configured = _Request(book).take(FaultName.SLOW)
    assert (asked and asked.number, configured and configured.number) == (7, 5)
