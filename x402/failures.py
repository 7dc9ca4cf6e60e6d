"""Why a payment is refused: our classes, and the many texts that facilitators use for them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["Failure", "classify", "spoken"]


class Failure(Enum):
    """Why a payment is refused. The value is our own word for it; `spoken` is the one facilitators use."""

    AMOUNT_MISMATCH = "amount_mismatch"
    BAD_SIGNATURE = "bad_signature"
    CHAIN_FAILURE = "chain_failure"
    DOMAIN_MISMATCH = "domain_mismatch"
    DOMAIN_MISSING = "domain_missing"
    EXPIRED = "expired"
    FACTORY_NOT_ALLOWED = "factory_not_allowed"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    MALFORMED = "malformed"
    NETWORK_MISMATCH = "network_mismatch"
    NO_PAYMENT = "no_payment"
    NONCE_USED = "nonce_used"
    NOT_ECHOED = "not_echoed"
    NOT_YET_VALID = "not_yet_valid"
    RECIPIENT_MISMATCH = "recipient_mismatch"
    REFUSED = "refused"  # for a reason that is not known here
    UNSUPPORTED = "unsupported"


def classify(reason: str) -> Failure:
    """The failure that a facilitator's own text stands for; `REFUSED` for texts that are not known."""
    for prefix in ("invalid_exact_evm_payload_authorization_", "invalid_exact_evm_payload_", "invalid_exact_evm_"):
        if reason.startswith(prefix):
            return _REASONS.get(reason.removeprefix(prefix), Failure.REFUSED)
    return _REASONS.get(reason, Failure.REFUSED)


def spoken(reason: str) -> str:
    """Our own word for a failure as facilitators say it (the official Python SDK's text); others as they are."""
    return _SPOKEN.get(reason, reason)


# The texts of x402 2.25.0 for Python, which `classify` understands.
_SPOKEN: Final[Mapping[str, str]] = {
    Failure.AMOUNT_MISMATCH.value: "invalid_exact_evm_payload_authorization_value_mismatch",
    Failure.BAD_SIGNATURE.value: "invalid_exact_evm_payload_signature",
    Failure.CHAIN_FAILURE.value: "transaction_failed",
    Failure.DOMAIN_MISMATCH.value: "invalid_exact_evm_token_name_mismatch",
    Failure.DOMAIN_MISSING.value: "missing_eip712_domain",
    Failure.EXPIRED.value: "invalid_exact_evm_payload_authorization_valid_before",
    Failure.FACTORY_NOT_ALLOWED.value: "eip6492_factory_not_allowed",
    Failure.INSUFFICIENT_FUNDS.value: "invalid_exact_evm_insufficient_balance",
    Failure.MALFORMED.value: "invalid_payload",
    Failure.NONCE_USED.value: "invalid_exact_evm_nonce_already_used",
    Failure.NOT_YET_VALID.value: "invalid_exact_evm_payload_authorization_valid_after",
    Failure.RECIPIENT_MISMATCH.value: "invalid_exact_evm_payload_recipient_mismatch",
    Failure.UNSUPPORTED.value: "unsupported_scheme",
}

# x402 2.25.0 (Python, TypeScript, Go), Coinbase CDP, and the texts of the specs; prefixes are cut off before.
_REASONS: Final[Mapping[str, Failure]] = {
    **{failure.value: failure for failure in Failure},
    "value": Failure.AMOUNT_MISMATCH,
    "value_mismatch": Failure.AMOUNT_MISMATCH,
    "value_too_low": Failure.AMOUNT_MISMATCH,
    "authorization_value": Failure.AMOUNT_MISMATCH,
    "signature": Failure.BAD_SIGNATURE,
    "signature_address": Failure.BAD_SIGNATURE,
    "typed_data_message": Failure.BAD_SIGNATURE,
    "token_name_mismatch": Failure.DOMAIN_MISMATCH,
    "token_version_mismatch": Failure.DOMAIN_MISMATCH,
    "missing_eip712_domain": Failure.DOMAIN_MISSING,
    "valid_before": Failure.EXPIRED,
    "valid_after": Failure.NOT_YET_VALID,
    "nonce_already_used": Failure.NONCE_USED,
    "insufficient_balance": Failure.INSUFFICIENT_FUNDS,
    "invalid_network": Failure.NETWORK_MISMATCH,
    "unsupported_scheme": Failure.UNSUPPORTED,
    "invalid_scheme": Failure.UNSUPPORTED,
    "scheme": Failure.UNSUPPORTED,
    "unsupported_payload_type": Failure.UNSUPPORTED,
    "invalid_x402_version": Failure.UNSUPPORTED,
    "invalid_payload": Failure.MALFORMED,
    "invalid_payment_requirements": Failure.MALFORMED,
    "invalid_exact_evm_payload": Failure.MALFORMED,
    "payload": Failure.MALFORMED,
    "missing_signature": Failure.MALFORMED,
    "signature_format": Failure.MALFORMED,
    "eip6492_factory_not_allowed": Failure.FACTORY_NOT_ALLOWED,
    "undeployed_smart_wallet": Failure.FACTORY_NOT_ALLOWED,
    "smart_wallet_deployment_failed": Failure.FACTORY_NOT_ALLOWED,
    "transaction_failed": Failure.CHAIN_FAILURE,
    "transaction_simulation_failed": Failure.CHAIN_FAILURE,
    "invalid_transaction_state": Failure.CHAIN_FAILURE,
    "settlement_pending": Failure.CHAIN_FAILURE,
    "unexpected_verify_error": Failure.CHAIN_FAILURE,
    "unexpected_settle_error": Failure.CHAIN_FAILURE,
}
