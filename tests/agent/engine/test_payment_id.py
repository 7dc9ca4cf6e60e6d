"""The idempotency id that Purser gives a purchase."""

from __future__ import annotations

from agent.wallet.wallet import Wallet
from net.strict_json import Json
from tests.agent.builders import NOW
from tests.x402.samples import KEY, challenge, offer
from x402.decode import decode_payment
from x402.wallets.signers import LocalSigner
from x402.wire import Payment

DECLARED: dict[str, Json] = {"payment-identifier": {"info": {"required": True}, "schema": {}}}


async def signed_for(job_id: str) -> Payment:
    """The payment that is sent for a job."""
    signed = await Wallet(LocalSigner(KEY), b"nonces").authorize(
        challenge(extensions=DECLARED), offer(), job_id, NOW, NOW
    )
    return decode_payment(signed.header_name, signed.header_value)


async def test_a_payment_id_belongs_to_one_purchase() -> None:
    """A job is bought at one vendor, so no two hosts see the same id; the same job has it again, and the nonce."""
    first, again, other = [await signed_for(job) for job in ("6920a1b2c3d4e5f601234567",) * 2 + ("6" * 24,)]
    assert first == again
    assert first.payment_id is not None
    assert first.payment_id != other.payment_id
    assert first.authorization.nonce != other.authorization.nonce
