"""Rows of docs/x402.md that need no peer and belong to no single module."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json
from tests.x402.samples import KEY, NETWORK, NONCE, NOW, OTHER, PAYEE, URL, entry
from x402.codec import decode_header, encode_header, object_field
from x402.errors import PolicyRefused
from x402.negotiation import build_payment, read_challenge, window
from x402.policy import Policy, choose
from x402.wallets.signers import LocalSigner, sign_payment

_entries = st.lists(
    st.builds(
        lambda amount, payee, network, seconds: entry(
            amount=str(amount), payTo=payee, network=network, maxTimeoutSeconds=seconds
        ),
        st.integers(0, 20_000),
        st.sampled_from([PAYEE, OTHER]),
        st.sampled_from([NETWORK, "eip155:8453", "solana:mainnet"]),
        st.integers(-1, 10_000),
    ),
    max_size=6,
)


@given(_entries)
async def test_the_entry_that_was_checked_is_the_one_that_is_signed(entries: list[dict[str, Json]]) -> None:
    """cloudflare/agents#2272: whatever stands beside it, all that is signed and echoed is of one allowed entry."""
    accepts: list[Json] = [*entries]
    challenge = read_challenge({"PAYMENT-REQUIRED": encode_header({"x402Version": 2, "accepts": accepts})}, b"")
    policy, signer = Policy(10_000, frozenset({NETWORK}), payee=PAYEE, origin=URL), LocalSigner(KEY)
    allowed = [each for each in entries if each["network"] == NETWORK and each["payTo"] == PAYEE]
    try:
        offer = choose(challenge, policy)
    except PolicyRefused:
        return
    after, before = window(offer, NOW, policy.max_validity_seconds)
    unsigned = build_payment(
        challenge, offer, payer=signer.address, nonce=NONCE, valid_after=after, valid_before=before
    )
    header = await sign_payment(unsigned, signer)
    sent = decode_header(header.name, header.value)
    signed = object_field(object_field(sent, "payload"), "authorization")
    assert sent["accepted"] in allowed
    assert (signed["value"], signed["to"]) == (offer.raw["amount"], PAYEE)
    assert unsigned.typed.domain.contract == offer.raw["asset"]
    assert 0 < int(str(signed["value"])) <= 10_000
