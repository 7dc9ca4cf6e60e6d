"""The exchange of a 402 without I/O: challenge in, payment out, receipt in.

Which messages count, and what must come back: x402 v2 `transports-v2/http.md` and `x402-specification-v2.md`
section 5. Where servers in the wild differ, the comments say which way is taken and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from x402.codec import Json, JsonObject, clean, decode_header, integer_field, parse_object
from x402.decode import challenge_from, decode_receipt, header_in
from x402.eip3009 import Domain, TypedAuthorization
from x402.errors import MalformedHeader, NotX402, PolicyRefused, SigningFailed, X402Error
from x402.networks import V1_NAMES, asset, chain_id, v1_name
from x402.secp256k1 import HALF_ORDER
from x402.wire import (
    CHALLENGE_HEADER,
    PAYMENT_IDENTIFIER,
    RECEIPT_HEADERS,
    Authorization,
    Challenge,
    Offer,
    Payment,
    PaymentHeader,
    Receipt,
    valid_payment_id,
)
