"""A wallet at Coinbase: what is asked, what is believed, and what is said when it fails."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.tracebacks import shown
from tests.x402.coinbase import coinbase, p256_der, p256_pem
from tests.x402.samples import KEY, NETWORK, NONCE, NOW, OTHER, PAYEE, PAYER, USDC, challenge, offer
from tests.x402.server import Reply, json_reply
from x402.decode import decode_payment
from x402.eip3009 import Domain, TypedAuthorization
from x402.errors import SigningFailed
from x402.negotiation import build_payment
from x402.selling.facilitator import check
from x402.wallets import cdp
from x402.wallets.cdp import CdpRefused, CdpSigner, CdpUnavailable
from x402.wallets.signers import LocalSigner, Signer, sign_payment
from x402.wire import Authorization

TYPED = TypedAuthorization(Domain("USDC", "2", 84532, USDC), Authorization(PAYER, PAYEE, 10000, 0, NOW, NONCE))


@pytest.mark.parametrize("key", ["ed25519", "p256"])
async def test_a_payment_signed_at_coinbase_is_valid(key: str) -> None:
    """The same bytes as with the key at hand. The stand-in checks the tokens."""
    how = {"api_key": ec.generate_private_key(ec.SECP256R1())} if key == "p256" else {}
    unsigned = build_payment(challenge(), offer(), payer=PAYER, nonce=NONCE, valid_after=0, valid_before=NOW + 60)
    async with coinbase(**how) as (bank, http):
        wallet: Signer = bank.signer(http)
        header = await sign_payment(unsigned, wallet)
    assert wallet.address == PAYER
    assert header == await sign_payment(unsigned, LocalSigner(KEY))
    assert check(decode_payment(header.name, header.value), offer(), NOW).valid


async def test_the_hash_of_a_request_is_the_official_clients() -> None:
    """Taken from a request of cdp-sdk 1.51.0 for the same data."""
    async with coinbase() as (bank, http):
        await bank.signer(http).sign_typed_data(TYPED)
        claims = jwt.decode(bank.seen[0].headers["x-wallet-auth"], options={"verify_signature": False})
    assert claims["reqHash"] == "11033a9c9a2dcd018f58ed3f747a7c32238a0e02aa0cf6f6b8812e3cca3a0317"


async def test_the_same_data_have_the_same_idempotency_key() -> None:
    """And other data another one, so a repeated question gets the answer of the first."""
    other = TypedAuthorization(TYPED.domain, Authorization(PAYER, PAYEE, 10001, 0, NOW, NONCE))
    async with coinbase() as (bank, http):
        for data in (TYPED, TYPED, other):
            await bank.signer(http).sign_typed_data(data)
    first, second, third = (seen.headers["x-idempotency-key"] for seen in bank.seen)
    assert first == second != third
    assert first == TYPED.digest.hex()


@pytest.mark.parametrize("reply", [Reply(503), Reply(429), Reply(body=None), json_reply({}, 409)])
async def test_a_passing_failure_is_tried_once_more(reply: Reply) -> None:
    """The second answer counts."""
    async with coinbase(replies=[reply]) as (bank, http):
        assert (await bank.signer(http).sign_typed_data(TYPED)).startswith("0x")
    assert len(bank.seen) == 2


@pytest.mark.parametrize("reply", [Reply(500), Reply(body=None), Reply(200, body=b"x" * 70_000)])
async def test_a_lasting_failure_is_unavailable(reply: Reply) -> None:
    """After two tries; somebody may try later."""
    async with coinbase(replies=[reply] * 3) as (bank, http):
        with pytest.raises(CdpUnavailable, match="Coinbase"):
            await bank.signer(http).sign_typed_data(TYPED)
    assert len(bank.seen) == 2


async def test_a_silent_platform_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for both tries is bounded."""
    monkeypatch.setattr(cdp, "_SECONDS", 0.05)
    silence = httpx.MockTransport(lambda _: pytest.fail("never called"))

    async def never(*_: object) -> httpx.Response:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(silence, "handle_async_request", never)
    async with coinbase() as (bank, _), httpx.AsyncClient(transport=silence) as http:
        with pytest.raises(CdpUnavailable, match="did not sign for 0xf39F"):
            await bank.signer(http).sign_typed_data(TYPED)


async def test_a_refusal_tells_code_and_reference_and_no_more() -> None:
    """Coinbase's own words might quote what was sent."""
    no = {"errorType": "policy_violation", "errorMessage": "key abc", "correlationId": "9f-1"}
    async with coinbase(replies=[json_reply(no, 403)]) as (bank, http):
        with pytest.raises(CdpRefused) as caught:
            await bank.signer(http).sign_typed_data(TYPED)
    assert str(caught.value) == "Coinbase refuses to sign: 403 policy_violation (correlation 9f-1)"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"<html>", 401, "Coinbase refuses to sign: 401"),
        (b'{"errorType": "a b\\u001b"}', 404, "Coinbase refuses to sign: 404"),
        (b"", 302, "Coinbase refuses to sign: 302"),
        (b"[]", 200, "Coinbase answered without a signature"),
        (b'{"signature": 7}', 200, "Coinbase answered without a signature"),
    ],
)
async def test_odd_answers_are_told_apart(body: bytes, status: int, text: str) -> None:
    """A redirect is not followed: the tokens are for one place."""
    async with coinbase(replies=[Reply(status, {"Location": "/elsewhere"}, body)]) as (bank, http):
        with pytest.raises(SigningFailed) as caught:
            await bank.signer(http).sign_typed_data(TYPED)
    assert str(caught.value) == text
    assert len(bank.seen) == 1


async def test_only_a_signature_of_the_address_is_used() -> None:
    """One of another key, one of other data, and no signature at all are refused alike."""
    of_another = await LocalSigner("11" * 32).sign_typed_data(TYPED)
    for signature in (of_another, "0x" + "11" * 65, "0xzz", ""):
        async with coinbase(replies=[json_reply({"signature": signature})]) as (bank, http):
            with pytest.raises(SigningFailed, match="not one of 0xf39F"):
                await bank.signer(http).sign_typed_data(TYPED)
    async with coinbase(address=OTHER) as (bank, http):
        bank.replies = [json_reply({"signature": await LocalSigner(KEY).sign_typed_data(TYPED)})]
        with pytest.raises(SigningFailed, match=f"not one of {OTHER}"):
            await bank.signer(http).sign_typed_data(TYPED)


WALLET = p256_der(ec.generate_private_key(ec.SECP256R1()))
GOOD: dict[str, Any] = {
    "address": PAYER,
    "api_key_id": "id",
    "api_key_secret": p256_pem(ec.generate_private_key(ec.SECP256R1())),
    "wallet_secret": WALLET,
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "0x12"}, "an address is"),
        ({"api_key_secret": "planted-secret"}, "API key's secret"),
        ({"api_key_secret": "cGxhbnRlZC1zZWNyZXQ="}, "API key's secret"),
        ({"api_key_secret": "-----BEGIN planted-secret-----"}, "API key's secret"),
        ({"api_key_secret": p256_pem(ec.generate_private_key(ec.SECP384R1()))}, "API key's secret"),
        ({"wallet_secret": "planted-secret"}, "wallet secret"),
        ({"wallet_secret": "cGxhbnRlZC1zZWNyZXQ="}, "wallet secret"),
        ({"wallet_secret": p256_der(ec.generate_private_key(ec.SECP384R1()))}, "wallet secret"),
        ({"url": "http://cdp.example/platform"}, "https"),
        ({"url": "https://x:y"}, "cannot be read"),
    ],
)
async def test_bad_credentials_are_refused_without_being_shown(changes: dict[str, Any], why: str) -> None:
    """Not in the message, and not in a traceback with every frame's locals."""
    given = GOOD | changes
    async with httpx.AsyncClient() as http:
        with pytest.raises(ValueError, match=why) as caught:
            CdpSigner(http, **given)
    frames = shown(caught.value, skip=1)
    assert "__init__" in frames
    for name in ("api_key_secret", "wallet_secret"):
        assert given[name][:40] not in frames


async def test_a_key_of_one_line_is_read() -> None:
    """In a .env file the line breaks of a PEM are written out."""
    async with httpx.AsyncClient() as http:
        secret = GOOD["api_key_secret"].replace("\n", "\\n")
        assert CdpSigner(http, **GOOD | {"api_key_secret": secret}).address == PAYER


async def test_nothing_of_a_wallet_shows() -> None:
    """repr has the address; an error's frames show neither the secrets nor the tokens that were made of them."""
    async with coinbase(replies=[Reply(401, {}, b"{}")]) as (bank, http):
        signer = bank.signer(http)
        assert repr(signer) == f"CdpSigner({PAYER})"
        with pytest.raises(CdpRefused) as caught:
            await signer.sign_typed_data(TYPED)
    frames = shown(caught.value, skip=1)
    sent = bank.seen[0].headers
    for secret in (bank.api_secret, p256_der(bank.wallet_key), sent["authorization"][7:], sent["x-wallet-auth"]):
        assert secret not in frames
    assert json.loads(bank.seen[0].body)["domain"]["chainId"] == int(NETWORK.split(":")[1])
