"""The errors of the x402 package.

    X402Error
     +- MalformedHeader         a header is not base64, not JSON, or not of the shape the spec gives
     +- UnsupportedVersion      a message speaks a version of the protocol that we do not
     +- NotX402                 a 402 without terms that we may read: hand it to a person
     +- PolicyRefused           no offer may be paid; `reasons` has one line per offer
     +- Unaffordable            offers are allowed, the payer can pay none; in x402.purse, beside what it carries
     +- InsecureTransport       a payment would have travelled in the clear
     +- PaymentRefused          a seller did not accept a payment; in x402.selling.seller, beside what it carries
     +- SettlementsUnavailable  a seller cannot read or write what it collected: it sells nothing meanwhile
     +- PaymentIdMissing        the terms require a payment id; in x402.selling.idempotency, as is the next
     +- PaymentIdConflict       an id was used with another payment or request
     +- SigningFailed           the wallet gave no usable signature
     |   +- CdpUnavailable      Coinbase was not reached; in x402.wallets.cdp, as is the next
     |   +- CdpRefused          Coinbase said no
     +- KeystoreError           a keystore cannot be read; in x402.wallets.keystore, as is the next
     |   +- WrongPassword       the password does not open it
     +- ResponseRefused         an answer was not read on
     |   +- ResponseTooLarge    longer than the limit
     |   +- EncodedResponse     compressed although identity was asked for
     |   +- RedirectRefused     a redirect would have carried the payment elsewhere
     +- ChainError              a chain could not be asked, or what it says cannot be used
     |   +- ChainUnavailable    no node answered in time: ask later
     |   +- ChainUnclear        a node's answer is none, or contradicts itself: nothing follows from it
     |   +- WrongChain          the node serves another chain than it is configured for
     +- FacilitatorError        the facilitator's answer cannot be used
         +- FacilitatorUnavailable   it was not reached, or is busy: nothing happened, try later
         +- SettlementUnknown        settlement was asked for and no answer came: ask again with the same payment

A caller's own mistake (an address that is none, a negative limit) is a `ValueError`, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ChainError",
    "ChainUnavailable",
    "ChainUnclear",
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
    "SettlementsUnavailable",
    "SigningFailed",
    "UnsupportedVersion",
    "WrongChain",
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


class SettlementsUnavailable(X402Error):
    """What was collected cannot be read or written, so nothing is sold. HTTP status 503: the payer sends the same
    payment again.
    """


class ResponseRefused(X402Error):
    """An answer was not read on. After a paid request this means: outcome unknown."""


class ResponseTooLarge(ResponseRefused):
    """The body is longer than the limit in bytes."""


class EncodedResponse(ResponseRefused):
    """The body is compressed although `identity` was asked for, so its true size cannot be bounded."""


class RedirectRefused(ResponseRefused):
    """A redirect was about to carry a payment to another address. It was not followed."""


class ChainError(X402Error):
    """A chain could not be asked, or what it says cannot be used. Nothing may be concluded from it."""


class ChainUnavailable(ChainError):
    """No node answered in time. Ask later."""


class ChainUnclear(ChainError):
    """A node answered something that is no answer, or that contradicts itself (a lagging or pruned node does)."""


class WrongChain(ChainError):
    """The node serves another chain than the one it is configured for. The configuration must be mended."""


class FacilitatorError(X402Error):
    """The facilitator answered with something that is no verdict."""


class FacilitatorUnavailable(FacilitatorError):
    """The facilitator was not reached or is busy. Nothing happened; try later."""


class SettlementUnknown(FacilitatorError):
    """Settlement was asked for and no usable answer came; money may have moved. Settle the same payment again.

    `transaction` is the one that may move it, where it is known.
    """

    def __init__(self, message: str, transaction: str | None = None) -> None:
        super().__init__(message)
        self.transaction = transaction
