"""The errors of the x402 package.

    X402Error
     +- MalformedHeader         a header is not base64, not JSON, or not of the shape the spec gives
     +- UnsupportedVersion      a message speaks a version of the protocol that we do not
     +- NotX402                 a 402 without terms that we may read: hand it to a person
     +- PolicyRefused           no offer may be paid; `reasons` has one line per offer
     +- InsecureTransport       a payment would have travelled in the clear
     +- PaymentRefused          a seller did not accept a payment; in x402.seller, beside what it carries
     +- SigningFailed           the wallet gave no usable signature
     +- ResponseRefused         an answer was not read on
     |   +- ResponseTooLarge    longer than the limit
     |   +- EncodedResponse     compressed although identity was asked for
     |   +- RedirectRefused     a redirect would have carried the payment elsewhere
     +- FacilitatorError        the facilitator's answer cannot be used
         +- FacilitatorUnavailable   it was not reached, or is busy: nothing happened, try later
         +- SettlementUnknown        settlement was asked for and no answer came: ask again with the same payment

A caller's own mistake (an address that is none, a negative limit) is a `ValueError`, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "EncodedResponse",
    "FacilitatorError",
    "FacilitatorUnavailable",
    "InsecureTransport",
    "MalformedHeader",
    "NotX402",
    "PolicyRefused",
    "RedirectRefused",
    "ResponseRefused",
    "ResponseTooLarge",
    "SettlementUnknown",
    "SigningFailed",
    "UnsupportedVersion",
    "X402Error",
]


class X402Error(Exception):
    """The base of the family. Its text is safe to log: no key, no signature, no usable authorization."""


class MalformedHeader(X402Error):
    """A protocol header cannot be read. The sender must be mended; sending again will not help."""


class UnsupportedVersion(X402Error):
    """The peer speaks another version of x402 than 1 or 2."""

    def __init__(self, version: int) -> None:
        super().__init__(f"x402 version {version} is not spoken here; versions 1 and 2 are")
        self.version = version


class NotX402(X402Error):
    """The 402 came without payment terms in a place where they may be read. Not to be retried."""


class PolicyRefused(X402Error):
    """No offer of the challenge may be paid.

    `reasons` holds one line for every offer and for every entry that could not be read.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons: tuple[str, ...] = tuple(reasons)
        super().__init__("no offer may be paid: " + ("; ".join(self.reasons) or "the challenge holds none"))


class InsecureTransport(X402Error):
    """A payment was about to travel over plain http to another machine. Use https."""


class SigningFailed(X402Error):
    """The wallet gave no signature, or one that the token contract would refuse."""


class ResponseRefused(X402Error):
    """An answer was not read on. After a paid request this means: outcome unknown."""


class ResponseTooLarge(ResponseRefused):
    """The body is longer than the limit in bytes."""


class EncodedResponse(ResponseRefused):
    """The body is compressed although `identity` was asked for, so its true size cannot be bounded."""


class RedirectRefused(ResponseRefused):
    """A redirect was about to carry a payment to another address. It was not followed."""


class FacilitatorError(X402Error):
    """The facilitator answered with something that is no verdict."""


class FacilitatorUnavailable(FacilitatorError):
    """The facilitator was not reached or is busy. Nothing happened; try later."""


class SettlementUnknown(FacilitatorError):
    """Settlement was asked for and no usable answer came; money may have moved. Settle the same payment again."""
