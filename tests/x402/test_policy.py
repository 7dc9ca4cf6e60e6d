"""What may be paid: one function picks and checks, and it fails closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json
from tests.x402.samples import (
    NETWORK,
    NONCE,
    NOW,
    OTHER,
    PAYEE,
    PAYER,
    URL,
    USDC,
    challenge,
    entry,
    offer,
    v1_entry,
)
from x402.decode import challenge_from, offer_from
from x402.errors import PolicyRefused
from x402.negotiation import build_payment
from x402.policy import Policy, choose
from x402.wire import Challenge

POLICY = Policy(max_amount=20_000, networks=frozenset({NETWORK}), payee=PAYEE, origin=URL)


def refusal(terms: Challenge, policy: Policy = POLICY) -> str:
    with pytest.raises(PolicyRefused) as caught:
        choose(terms, policy)
    assert caught.value.reasons
    return str(caught.value)


def test_an_offer_within_the_policy_is_chosen() -> None:
    """The ordinary case; the limit itself is allowed."""
    assert choose(challenge(), POLICY) == offer()
    assert choose(challenge(offer(amount="20000")), POLICY).amount == 20_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scheme": "upto"}, "scheme 'upto' is not paid here"),
        (
            {"network": "eip155:8453", "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "extra": {}},
            "network eip155:8453 is not allowed",
        ),
        ({"asset": OTHER}, "not a token known here"),
        ({"amount": "20001"}, "amount 20001 is above the limit of 20000"),
        ({"amount": "0"}, "the amount is zero"),
        ({"payTo": OTHER}, f"payee {OTHER} is not the expected {PAYEE}"),
        ({"extra": {"name": "USD Coin", "version": "2"}}, "EIP-712 name is 'USDC'"),
        ({"extra": {"name": "USDC", "version": "1"}}, "EIP-712 version is '2'"),
        ({"extra": {"name": None}}, "EIP-712 name"),
        ({"extra": {"version": 2}}, "EIP-712 version"),
        ({"extra": {"assetTransferMethod": "permit2"}}, "assetTransferMethod"),
        ({"extra": {"assetTransferMethod": None}}, "assetTransferMethod"),
        ({"extra": {"paymentFlow": "escrow"}}, "paymentFlow"),
    ],
)
def test_an_offer_outside_of_the_policy_is_refused_with_its_reason(change: dict[str, Json], why: str) -> None:
    """I4: nothing is paid that differs from what was agreed."""
    assert why in refusal(challenge(offer(**change)))


@pytest.mark.parametrize(
    "extra",
    [{}, {"name": "USDC"}, {"version": "2"}, {"assetTransferMethod": "eip3009", "paymentFlow": "authorization"}],
)
def test_terms_may_be_silent_about_what_our_table_knows(extra: dict[str, Json]) -> None:
    """Name and version come from the table; only a contradiction is refused."""
    assert choose(challenge(offer(extra=extra)), POLICY).extra == extra


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (replace(POLICY, assets=frozenset({USDC.lower()}), payees=frozenset({PAYEE.lower()})), None),
        (replace(POLICY, assets=frozenset({OTHER})), f"asset {USDC} is not allowed"),
        (replace(POLICY, payees=frozenset({OTHER})), f"payee {PAYEE} is not allowed"),
        (replace(POLICY, assets=frozenset()), "is not allowed"),
        (replace(POLICY, payees=frozenset()), "is not allowed"),
    ],
)
def test_only_what_is_on_a_list_is_paid(policy: Policy, why: str | None) -> None:
    """By address, however it is spelled; an empty list has nobody on it."""
    if why is None:
        assert choose(challenge(), policy) == offer()
    else:
        assert why in refusal(challenge(), policy)


def test_the_cheapest_is_chosen_and_of_equals_the_first() -> None:
    """The official client takes the first, however dear (section 11)."""
    dear, cheap, twin = offer(amount="9000"), offer(amount="10"), offer(amount="10", maxTimeoutSeconds=60)
    assert choose(challenge(dear, cheap, twin), POLICY) is cheap
    assert choose(challenge(dear, twin, cheap), POLICY) is twin


def test_a_cheaper_offer_that_is_not_allowed_does_not_win() -> None:
    """The check is of the offer that is returned (cloudflare/agents#2272)."""
    bait, fair = offer(amount="1", payTo=OTHER), offer()
    assert choose(challenge(bait, fair), POLICY) is fair


def test_every_offer_and_every_skipped_entry_has_its_reason() -> None:
    """Whoever reads the refusal sees the whole challenge."""
    terms = challenge_from({"accepts": [entry(payTo=OTHER), entry(amount=1), entry(amount="99999")]}, 2)
    with pytest.raises(PolicyRefused) as caught:
        choose(terms, POLICY)
    first, second, third = caught.value.reasons
    assert first.startswith("offer 1: payee")
    assert second.startswith("offer 2: amount 99999")
    assert third == "entry 1: amount is not a string"


def test_an_empty_challenge_is_refused() -> None:
    """There is nothing to pay, and it is said."""
    with pytest.raises(PolicyRefused, match="the challenge holds none"):
        choose(Challenge(version=2, offers=()), POLICY)


def test_payee_case_is_spelling() -> None:
    """Addresses are compared as numbers."""
    assert choose(challenge(offer(payTo=PAYEE.lower())), POLICY).pay_to == PAYEE.lower()
    assert choose(challenge(), replace(POLICY, payee=PAYEE.lower())).pay_to == PAYEE


def test_without_a_pinned_payee_any_is_allowed() -> None:
    """The first payment to a vendor; the caller pins what it got."""
    assert choose(challenge(offer(payTo=OTHER)), replace(POLICY, payee=None)).pay_to == OTHER


@pytest.mark.parametrize(
    ("stated", "origin"),
    [
        (URL, URL),
        (URL.replace("https", "http"), URL),
        ("https://gpu.example:443/v1/rent", URL),
        ("https://GPU.example/v1/rent?x=1", URL),
        (URL + "/", URL),
        (URL, "https://gpu.example"),
        (URL, "https://gpu.example/v1/"),
        ("http://127.0.0.1:4001/submit-job", "http://127.0.0.1:4001"),
        ("", URL),
    ],
)
def test_terms_for_the_place_that_was_called_are_paid(stated: str, origin: str) -> None:
    """Proxies write http for https and drop default ports (x402#636, #924); that is tolerated in text only."""
    terms = replace(challenge(), resource={"url": stated})
    assert choose(terms, replace(POLICY, origin=origin)) == offer()


@pytest.mark.parametrize(
    ("stated", "origin"),
    [
        ("https://other.example/v1/rent", URL),
        ("https://gpu.example.evil.example/v1/rent", URL),
        ("https://gpu.example@evil.example/v1/rent", URL),
        ("https://gpu.example:8443/v1/rent", URL),
        ("https://gpu.example:99999/v1/rent", URL),
        ("https://gpu.example/v1/other", URL),
        ("https://gpu.example/v1/rental", URL),
        ("https://gpu.example/v2", "https://gpu.example/v1"),
        ("/v1/rent", URL),
        ("nonsense", URL),
        (5, URL),
        ({}, URL),
    ],
)
def test_terms_for_another_place_are_refused(stated: Json, origin: str) -> None:
    """Terms that were altered on the way, or are for something else (x402#3461, #2823)."""
    terms = replace(challenge(), resource={"url": stated})
    assert "another resource" in refusal(terms, replace(POLICY, origin=origin))


def test_terms_without_a_resource_are_paid() -> None:
    """It is optional in practice."""
    for resource in (None, {}, {"description": "x"}):
        assert choose(replace(challenge(), resource=resource), POLICY) == offer()


def test_version_1_states_the_resource_in_each_entry() -> None:
    """The same rule, found in another place."""
    right, wrong = offer_from(v1_entry(), 1), offer_from(v1_entry(resource="https://other.example/"), 1)
    assert choose(Challenge(version=1, offers=(wrong, right)), POLICY) is right


def test_without_an_origin_the_resource_is_not_looked_at() -> None:
    """A caller that has no URL to compare says so."""
    terms = replace(challenge(), resource={"url": "https://other.example/"})
    assert choose(terms, replace(POLICY, origin=None)) == offer()


@given(st.lists(st.integers(0, 40_000), max_size=6), st.integers(1, 40_000))
def test_what_is_chosen_never_exceeds_the_limit(amounts: list[int], limit: int) -> None:
    """For any challenge: the cheapest above zero and within the limit, or a refusal."""
    terms = Challenge(version=2, offers=tuple(offer(amount=str(amount)) for amount in amounts))
    allowed = [amount for amount in amounts if 0 < amount <= limit]
    policy = replace(POLICY, max_amount=limit)
    if allowed:
        assert choose(terms, policy).amount == min(allowed)
    else:
        with pytest.raises(PolicyRefused) as caught:
            choose(terms, policy)
        assert len(caught.value.reasons) == len(amounts)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: replace(POLICY, max_amount=0), "max_amount"),
        (lambda: replace(POLICY, max_amount=-1), "max_amount"),
        (lambda: replace(POLICY, networks=frozenset()), "networks"),
        (lambda: replace(POLICY, networks=frozenset({NETWORK, "base-sepolia"})), "networks"),
        (lambda: replace(POLICY, payee="me"), "payee"),
        (lambda: replace(POLICY, max_validity_seconds=5), "max_validity_seconds"),
        (lambda: replace(POLICY, origin="gpu.example"), "origin"),
    ],
)
def test_a_policy_that_makes_no_sense_cannot_be_built(build: Callable[[], Policy], why: str) -> None:
    """A mistake in the settings must not open the purse."""
    with pytest.raises(ValueError, match=why):
        build()


NEVER = [
    ("0x" + "0" * 40, "is the zero address"),
    (USDC, "is a token's own address"),
    (USDC.lower(), "is a token's own address"),
    ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "is a token's own address"),
    (PAYER, "is the wallet that pays"),
    (PAYER.lower(), "is the wallet that pays"),
    (OTHER.replace("F7", "f7"), "must match the checksum"),
]


@pytest.mark.parametrize(("payee", "why"), NEVER)
def test_what_can_never_be_paid_is_not_signed_for(payee: str, why: str) -> None:
    """Zero, tokens, the payer itself, an address with a wrong checksum; pinned, listed or not."""
    terms, anyone = challenge(offer(payTo=payee)), replace(POLICY, payee=None, payer=PAYER)
    for policy in (anyone, replace(anyone, payee=payee), replace(anyone, payees=frozenset({payee}))):
        assert why in refusal(terms, policy)
    with pytest.raises(PolicyRefused, match=why):
        build_payment(terms, terms.offers[0], payer=PAYER, nonce=NONCE, valid_after=0, valid_before=NOW)


@pytest.mark.parametrize("payee", [PAYEE, PAYEE.lower(), "0x" + PAYEE[2:].upper()])
def test_a_payee_without_a_checksum_or_with_the_right_one_is_paid(payee: str) -> None:
    """Letters of one case are none (EIP-55)."""
    assert choose(challenge(offer(payTo=payee)), replace(POLICY, payer=PAYER)).pay_to == payee


def test_asset_case_is_spelling() -> None:
    """Vector `v2-lowercase-addresses` is paid."""
    assert choose(challenge(offer(asset=USDC.lower())), POLICY).asset == USDC.lower()
