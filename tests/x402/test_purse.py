"""What a payer can afford goes into the choice: the cheapest offer that may and can be paid, or why none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json
from tests.x402.samples import NETWORK, OTHER, PAYEE, URL, challenge, entry, offer, usual
from x402.decode import challenge_from
from x402.errors import ChainError, ChainUnavailable, PolicyRefused
from x402.networks import Asset
from x402.policy import Policy, choose, payable_in, refusals
from x402.purse import Funds, HasCode, Purse, Unaffordable, objection
from x402.wire import Offer

BASE, CELO = "eip155:8453", "eip155:42220"
POLICY = Policy(10_000, frozenset({NETWORK, BASE, CELO}), payee=PAYEE, origin=URL)
DOWN = ChainUnavailable("no node of it answers")


def on(network: str, amount: int, **changes: str) -> Offer:
    """An offer in a network's usual token."""
    return offer(network=network, asset=usual(network).address, amount=str(amount), extra={}, **changes)


def test_an_offer_that_cannot_be_paid_is_passed_over() -> None:
    """solana-foundation/pay-kit#184: another network or token may do."""
    cheap, dear = on(NETWORK, 9_000), on(BASE, 9_500)
    purse: Purse = {usual(NETWORK): Funds(8_999), usual(BASE): Funds(9_500)}
    assert choose(challenge(cheap, dear), POLICY, purse) is dear
    assert choose(challenge(cheap, dear), POLICY, {usual(NETWORK): Funds(9_000)}) is cheap
    assert refusals(challenge(cheap, dear), POLICY, purse) == (
        "the payer holds 8999 of 9000 atomic units: 1 missing",
        None,
    )


def test_what_is_promised_already_is_not_there_to_pay_with() -> None:
    """On top of it, to the unit."""
    one = on(NETWORK, 1_000)
    assert choose(challenge(one), POLICY, {usual(NETWORK): Funds(3_000, promised=2_000)}) is one
    with pytest.raises(Unaffordable, match="holds 2999 of 1000 atomic units and has promised 2000: 1 missing"):
        choose(challenge(one), POLICY, {usual(NETWORK): Funds(2_999, promised=2_000)})


def test_a_token_that_was_not_asked_about_is_not_checked() -> None:
    """Where no node is set it is as it was; it is no reason to prefer a dearer one either."""
    cheap, dear = on(NETWORK, 9_000), on(BASE, 9_500)
    assert choose(challenge(cheap, dear), POLICY) is cheap
    assert choose(challenge(cheap, dear), POLICY, {usual(BASE): Funds(10**9)}) is cheap


def test_balances_of_other_networks_say_nothing() -> None:
    """The same address may be a token on two chains: a purse is by chain and token."""
    one = on(NETWORK, 9_000)
    assert choose(challenge(one), POLICY, {usual(BASE): Funds(0)}) is one


def test_a_chain_that_cannot_be_asked_is_passed_over_while_another_can_pay() -> None:
    """Only when no other is left its silence decides, and then nothing follows from it but to ask later."""
    cheap, dear = on(NETWORK, 9_000), on(BASE, 9_500)
    purse: Purse = {usual(NETWORK): DOWN, usual(BASE): Funds(9_500)}
    assert choose(challenge(cheap, dear), POLICY, purse) is dear
    for known in (Funds(9_499), HasCode()):
        with pytest.raises(ChainUnavailable, match="no node of it answers"):
            choose(challenge(dear, cheap), POLICY, {**purse, usual(BASE): known})


def test_an_address_with_code_pays_nothing_there() -> None:
    """However much it holds; the refusal says what to do."""
    one, two = on(NETWORK, 9_000), on(BASE, 9_500)
    purse: Purse = {usual(NETWORK): HasCode(OTHER), usual(BASE): Funds(9_500)}
    assert choose(challenge(one, two), POLICY, purse) is two
    with pytest.raises(Unaffordable) as caught:
        choose(challenge(one), POLICY, purse)
    assert f"is delegated to {OTHER} (EIP-7702)" in str(caught.value)
    assert "remove the delegation or pay from a plain key" in str(caught.value)
    with pytest.raises(Unaffordable, match=r"is a contract: .*; pay from a plain key"):
        choose(challenge(one), POLICY, {usual(NETWORK): HasCode()})


def test_every_offer_has_its_reason() -> None:
    """What is not allowed, what cannot be paid, and of which nobody knows; the first of them is the cheapest."""
    dear, cheap, foreign = on(BASE, 9_500), on(NETWORK, 9_000), on(CELO, 10, payTo=OTHER)
    with pytest.raises(Unaffordable) as caught:
        choose(challenge(dear, cheap, foreign), POLICY, {usual(NETWORK): Funds(0), usual(BASE): Funds(1)})
    assert [reason[:12] for reason in caught.value.reasons] == ["offer 1: the", "offer 2: the", "offer 3: pay"]
    assert (caught.value.offer, caught.value.entry) == (cheap, Funds(0))


def test_a_full_purse_allows_nothing() -> None:
    """What the policy refuses stays refused, with the policy's reason."""
    with pytest.raises(PolicyRefused, match="amount 10001 is above the limit"):
        choose(challenge(on(NETWORK, 10_001)), POLICY, {usual(NETWORK): Funds(10**12)})


def test_only_tokens_of_allowed_offers_are_worth_asking_about() -> None:
    """Each once, that of the cheapest offer first: what a seller adds costs no question."""
    offers = (
        on(NETWORK, 900),
        on(BASE, 800),
        on(NETWORK, 700),
        on(CELO, 1, payTo=OTHER),
        offer(asset=OTHER, amount="1"),
    )
    assert payable_in(challenge(*offers), POLICY) == (usual(NETWORK), usual(BASE))


_entries = st.one_of(
    st.builds(Funds, st.integers(0, 12_000), st.integers(0, 4_000)), st.just(HasCode()), st.just(DOWN)
)
_offers = st.lists(
    st.builds(
        lambda network, amount, payee: entry(
            network=network, asset=usual(network).address, amount=str(amount), payTo=payee, extra={}
        ),
        st.sampled_from([NETWORK, BASE, CELO]),
        st.integers(0, 12_000),
        st.sampled_from([PAYEE, PAYEE, OTHER]),
    ),
    max_size=6,
)


@given(_offers, st.dictionaries(st.sampled_from([usual(NETWORK), usual(BASE), usual(CELO)]), _entries))
def test_what_is_chosen_is_the_cheapest_that_is_allowed_and_can_be_paid(
    accepts: list[dict[str, Json]], purse: dict[Asset, Funds | HasCode | ChainError]
) -> None:
    """For any challenge and any purse; and where none can, no chain's silence is taken for a no."""
    terms = challenge_from({"accepts": [*accepts]}, 2)
    allowed = [each for each in terms.offers if each.pay_to == PAYEE and 0 < each.amount <= 10_000]
    payable = []
    for each in allowed:
        known = purse.get(usual(each.network))
        if known is None or (isinstance(known, Funds) and known.promised + each.amount <= known.held):
            payable.append(each)
    unknown = any(purse.get(usual(each.network)) is DOWN for each in allowed)
    if payable:
        taken = choose(terms, POLICY, purse)
        assert taken in payable
        assert taken.amount == min(each.amount for each in payable)
        assert objection(taken, purse) is None
        return
    why = Unaffordable if allowed and not unknown else ChainUnavailable if allowed else PolicyRefused
    with pytest.raises(why) as caught:
        choose(terms, POLICY, purse)
    if isinstance(caught.value, Unaffordable):
        assert caught.value.offer.amount == min(each.amount for each in allowed)
        assert len(caught.value.reasons) == len(terms.offers)
