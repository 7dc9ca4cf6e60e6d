"""What can go wrong with a vendor, one family; and the one thing that is wrong on our side.

VendorError                 an error of that vendor: recorded, never a crash
├── VendorUnavailable       no answer, 408, 425, 429 or 5xx to a call that bought nothing: try again later
├── VendorRefused           a clear no (other 4xx) before anything was paid
├── ContractBroken          an answer outside the contract, before anything was paid
└── OutcomeUnknown          a payment left us and no usable answer came: reconcile, never sign again

InvalidVendor (ValueError)  a vendor, or its secret, that must not be used; `field` names what is at fault

What says no to paying (x402's PolicyRefused, SigningFailed) and whatever the caller's own callbacks raise
passes through unchanged: it is not the vendor's doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from x402.wire import Receipt

__all__ = [
    "ContractBroken",
    "InvalidVendor",
    "OutcomeUnknown",
    "VendorError",
    "VendorRefused",
    "VendorUnavailable",
]


class VendorError(Exception):
    """Base of the family. The message names the vendor, what `happened`, and in `advice` what to do next."""

    def __init__(self, vendor_id: str, happened: str, advice: str) -> None:
        super().__init__(f"{vendor_id} {happened}; {advice}")
        self.vendor_id = vendor_id


class VendorUnavailable(VendorError):
    """The call did nothing and may be made again, after `retry_after` seconds where the vendor said so."""

    def __init__(self, vendor_id: str, happened: str, advice: str, retry_after: float | None = None) -> None:
        super().__init__(vendor_id, happened, advice)
        self.retry_after = retry_after


class VendorRefused(VendorError):
    """The vendor said no with `status` and `reason`; asking the same again would get the same answer."""

    def __init__(self, vendor_id: str, happened: str, advice: str, *, status: int, reason: str) -> None:
        super().__init__(vendor_id, happened, advice)
        self.status = status
        self.reason = reason


class ContractBroken(VendorError):
    """The answer is not one that the contract allows; `detail` is what was wrong with it."""

    def __init__(self, vendor_id: str, happened: str, advice: str, *, detail: str) -> None:
        super().__init__(vendor_id, happened, advice)
        self.detail = detail


class OutcomeUnknown(VendorError):
    """A payment left us and what became of it is not known: the money may have moved, the job may run.

    `receipt` is the settlement that the vendor showed before its answer broke, if it did.
    """

    def __init__(self, vendor_id: str, happened: str, receipt: Receipt | None = None) -> None:
        shown = "" if receipt is None else f", having settled transaction {receipt.transaction}"
        super().__init__(
            vendor_id,
            f"was sent a payment and {happened}{shown}",
            "send the same authorization again or look for its nonce on chain, never sign another",
        )
        self.receipt = receipt


class InvalidVendor(ValueError):
    """A vendor that must not be used as it is. `field` is the attribute at fault, `problem` what it must be."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem
