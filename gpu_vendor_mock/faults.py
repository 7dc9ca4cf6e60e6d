"""Failures on demand: what they are called, how they are written, and when each one fires.

Written `name[=argument][*count]`, several separated by commas. In the FAULTS setting a `vendor:` prefix limits
one to that vendor, and `*count` lets it happen the first so many times only. In the `x-mock-fault` header of
a request it holds for this request and what comes of it (its terms, its job), so neither is taken there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gpu_vendor_mock.catalog import VENDOR_ID_PATTERN
from gpu_vendor_mock.errors import BadSetting

__all__ = [
    "FAULT_HEADER",
    "Endpoint",
    "Fault",
    "FaultBook",
    "FaultName",
    "RequestFaults",
    "parse_faults",
    "parse_header",
]

FAULT_HEADER: Final = "x-mock-fault"
_MAX_TEXT: Final = 4_096
_ITEM: Final = re.compile(
    rf"(?:(?P<vendor>{VENDOR_ID_PATTERN}):)?(?P<name>[a-z0-9_]+)(?:=(?P<argument>[a-z0-9-]+))?(?:\*(?P<count>[1-9]\d{{0,5}}))?"
)


class Endpoint(StrEnum):
    """What `http_500` and `malformed_json` are aimed at. `PAYMENT` is a /submit-job that carries a payment."""

    QUOTE = "quote"
    SUBMIT_JOB = "submit-job"
    PAYMENT = "payment"
    JOB_STATUS = "job-status"


class FaultName(StrEnum):
    """Each fault by name. docs/mock-vendor.md shows what a client sees of it."""

    FAIL_AT_EPOCH = "fail_at_epoch"
    STALL_AT_EPOCH = "stall_at_epoch"
    FORGET_JOB = "forget_job"
    SLOW = "slow"
    HTTP_500 = "http_500"
    MALFORMED_JSON = "malformed_json"
    PRICE_ABOVE_QUOTE = "price_above_quote"
    WRONG_PAYEE = "wrong_payee"
    WRONG_NETWORK = "wrong_network"
    REJECT_PAYMENT = "reject_payment"
    REJECT_BUT_CASH = "reject_but_cash"
    CASH_LATE = "cash_late"
    ASK_FOR_EVER = "ask_for_ever"
    RAISE_ON_SECOND = "raise_on_second"
    SWITCH_PAYEE = "switch_payee"
    NEVER_SETTLE = "never_settle"
    FORGED_RECEIPT = "forged_receipt"
    DENY_PAYMENT = "deny_payment"
    NO_RECEIPT = "no_receipt"
    DUPLICATE_JOB = "duplicate_job"
    OTHER_JOB = "other_job"
    DROP_BEFORE_PAYMENT = "drop_before_payment"
    DROP_AFTER_PAYMENT = "drop_after_payment"


_NUMBERS: Final[Mapping[FaultName, tuple[int, str]]] = {
    FaultName.FAIL_AT_EPOCH: (1_000, "an epoch"),
    FaultName.STALL_AT_EPOCH: (1_000, "an epoch"),
    FaultName.SLOW: (60_000, "milliseconds"),
    FaultName.PRICE_ABOVE_QUOTE: (1_000, "percent"),
    FaultName.RAISE_ON_SECOND: (1_000, "percent"),
}
_AIMED: Final = frozenset({FaultName.HTTP_500, FaultName.MALFORMED_JSON})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as asked for. `number` and `endpoint` are its argument, whichever its name takes."""

    name: FaultName
    number: int = 0
    endpoint: Endpoint | None = None
    vendor_id: str | None = None
    count: int | None = None

    def __str__(self) -> str:
        argument = self.endpoint or self.number or ""
        return f"{self.name}={argument}" if argument else str(self.name)


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read the FAULTS setting.

    Raises:
        BadSetting: naming the fault that cannot be read.
    """
    if len(text) > _MAX_TEXT:
        raise BadSetting(f"more than {_MAX_TEXT} characters of faults")
    return tuple(_parse(item) for item in map(str.strip, text.split(",")) if item)


def parse_header(text: str) -> tuple[Fault, ...]:
    """Read an `x-mock-fault` header.

    Raises:
        BadSetting: as `parse_faults`, and for a vendor prefix or a count.
    """
    faults = parse_faults(text)
    if any(fault.vendor_id or fault.count for fault in faults):
        raise BadSetting("a fault in a header holds for this request: give it no vendor and no *count")
    return faults


def _parse(item: str) -> Fault:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise BadSetting(f"{item!r} is no fault: write [vendor:]name[=argument][*count]")
    try:
        name = FaultName(match["name"])
    except ValueError:
        raise BadSetting(f"no fault is called {match['name']!r}; there are {', '.join(FaultName)}") from None
    number, endpoint = _parse_argument(name, match["argument"])
    count = match["count"]
    return Fault(name, number, endpoint, match["vendor"], int(count) if count else None)


def _parse_argument(name: FaultName, argument: str | None) -> tuple[int, Endpoint | None]:
    if name in _AIMED:
        if argument not in tuple(Endpoint):
            raise BadSetting(f"{name} needs an endpoint: {name}={'|'.join(Endpoint)}")
        return 0, Endpoint(argument)
    if name in _NUMBERS:
        most, unit = _NUMBERS[name]
        number = int(argument) if argument is not None and argument.isdecimal() and len(argument) <= 6 else 0
        if not 1 <= number <= most:
            raise BadSetting(f"{name} needs {unit} from 1 to {most}: {name}=1")
        return number, None
    if argument is not None:
        raise BadSetting(f"{name} takes no argument")
    return 0, None


class FaultBook:
    """The configured faults and how often each may still fire."""

    def __init__(self, configured: Iterable[Fault]) -> None:
        self._left: list[tuple[Fault, int | None]] = [(fault, fault.count) for fault in configured]

    def take(self, vendor_id: str, matches: Callable[[Fault], bool]) -> Fault | None:
        """The first fault of this vendor that `matches` and is not used up; one use of it is spent."""
        for place, (fault, left) in enumerate(self._left):
            if left != 0 and fault.vendor_id in (None, vendor_id) and matches(fault):
                self._left[place] = (fault, None if left is None else left - 1)
                return fault
        return None


@dataclass(frozen=True, slots=True)
class RequestFaults:
    """The faults that hold for one request: those of its header first, then the configured ones."""

    book: FaultBook
    vendor_id: str
    asked: tuple[Fault, ...]
    fired: Callable[[str, Fault], None]
    """Told the vendor and the fault each time one fires."""

    def take(self, name: FaultName, *endpoints: Endpoint) -> Fault | None:
        """The fault of this name, if it is to happen now. With `endpoints`, only one aimed at any of them."""

        def matches(fault: Fault) -> bool:
            return fault.name is name and (not endpoints or fault.endpoint in endpoints)

        fault = next(filter(matches, self.asked), None) or self.book.take(self.vendor_id, matches)
        if fault is not None:
            self.fired(self.vendor_id, fault)
        return fault
