"""Secrets at rest: what goes in comes out, for its vendor and with its key, and for nobody else."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.process.sealing_keys import MAX_KEYS, parse_keys
from agent.secrets.sealing import CannotOpen, NoKeys, Seals

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))
SECRETS = st.text(VISIBLE, min_size=1, max_size=200)
IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)
KEYS = st.binary(min_size=32, max_size=32)
ONE, TWO = bytes(range(32)), bytes(range(1, 33))


@given(SECRETS, IDS, st.lists(KEYS, min_size=1, max_size=4, unique=True))
def test_what_is_sealed_opens(secret: str, vendor_id: str, keys: list[bytes]) -> None:
    """With all the keys there are, in any order; and the first one has sealed it."""
    sealed = Seals((*keys,)).seal(secret, vendor_id)
    assert Seals((*reversed(keys),)).open(sealed, vendor_id) == secret
    assert Seals((keys[0],)).open(sealed, vendor_id) == secret
    assert Seals((*keys,)).is_newest(sealed)
    assert Seals((*reversed(keys),)).is_newest(sealed) == (len(keys) == 1)


@given(SECRETS, st.data())
def test_a_flipped_bit_does_not_open(secret: str, data: st.DataObject) -> None:
    """Wherever it is: in the version, the key's id, the nonce, the ciphertext or the tag."""
    sealed = Seals((ONE,)).seal(secret, "v").encode()
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(CannotOpen):
        Seals((ONE, TWO)).open(changed.decode("latin-1"), "v")


@given(SECRETS, st.integers(0, 500))
def test_a_part_of_it_does_not_open(secret: str, kept: int) -> None:
    """However much is left."""
    sealed = Seals((ONE,)).seal(secret, "v")
    with pytest.raises(CannotOpen):
        Seals((ONE,)).open(sealed[: min(kept, len(sealed) - 1)], "v")
    for more in ("00", "\n", "x"):
        with pytest.raises(CannotOpen):
            Seals((ONE,)).open(sealed + more, "v")


@given(SECRETS, IDS, IDS)
def test_it_opens_for_its_vendor_only(secret: str, vendor_id: str, other: str) -> None:
    """Whoever can write to the database cannot have it sent to a vendor of his own."""
    sealed = Seals((ONE,)).seal(secret, vendor_id)
    if other != vendor_id:
        with pytest.raises(CannotOpen, match="another vendor"):
            Seals((ONE,)).open(sealed, other)


@given(SECRETS, KEYS)
def test_it_opens_with_its_key_only(secret: str, key: bytes) -> None:
    """Another key is told by its id, and would not open it under a false one."""
    sealed = Seals((ONE,)).seal(secret, "v")
    if key == ONE:
        return
    with pytest.raises(CannotOpen, match="which SEALING_KEYS does not hold") as caught:
        Seals((key,)).open(sealed, "v")
    assert sealed.split(".")[1] in str(caught.value)
    with pytest.raises(CannotOpen):
        Seals((key,)).open(sealed.replace(sealed.split(".")[1], Seals((key,)).seal("x", "v").split(".")[1]), "v")


@given(st.text())
def test_any_text_is_opened_or_refused(text: str) -> None:
    """And nothing else happens."""
    with pytest.raises(CannotOpen):
        Seals((ONE,)).open(text, "v")


def test_no_two_are_alike() -> None:
    """A nonce is used once; and nobody sees that two vendors have the same secret."""
    seals = Seals((ONE,))
    nonces = {seals.seal("the same", "v").split(".")[2][:24] for _ in range(1_000)}
    assert len(nonces) == 1_000


def test_what_was_sealed_once_opens_for_ever() -> None:
    """The form is stored, so it must not change. Made with the cryptography package, from AES-256-GCM alone."""
    sealed = (
        "1.376aa9eb61f25e93.090909090909090909090909d2356a5ee6ed26d6fc7d5f92cef8076e0290dc98f21f8064945cf78d96aa"
    )
    assert Seals((TWO, ONE)).open(sealed, "gpu_vendor_1") == "a-bearer-token"


def test_without_a_key_nothing_is_sealed() -> None:
    """The error says what to set."""
    with pytest.raises(NoKeys, match="needs SEALING_KEYS"):
        Seals(()).seal("secret", "v")
    assert not Seals(()).is_newest("1.0000000000000000.00")


def test_keys_do_not_show() -> None:
    """Their ids do, which lead back to nothing."""
    shown = repr(Seals((ONE, TWO)))
    assert len(shown) == len("Seals(, )") + 32
    assert ONE.hex()[:16] not in shown


@pytest.mark.parametrize(
    "text",
    [
        ONE.hex(),
        ONE.hex().upper(),
        base64.b64encode(ONE).decode(),
        base64.urlsafe_b64encode(ONE).decode(),
        base64.b64encode(ONE).decode().rstrip("="),
        f"  {ONE.hex()} ",
    ],
)
def test_keys_are_read_as_tools_write_them(text: str) -> None:
    """openssl's hex and base64, with the padding or without."""
    assert parse_keys(text) == (ONE,)
    assert parse_keys(f"{text},{TWO.hex()}") == (ONE, TWO)


@given(KEYS)
def test_a_key_in_base64_is_the_key(key: bytes) -> None:
    """In either alphabet."""
    assert (
        parse_keys(base64.b64encode(key).decode()) == parse_keys(base64.urlsafe_b64encode(key).decode()) == (key,)
    )


@pytest.mark.parametrize("bad", ["", "hunter2", ONE.hex()[:-1], ONE.hex() + "00", "?" * 43, "A" * 42, "é" * 64])
def test_a_bad_key_is_named_by_its_place(bad: str) -> None:
    """And never shown."""
    with pytest.raises(ValueError, match="key 2 is not 32 bytes in hex or base64") as caught:
        parse_keys(f"{ONE.hex()},{bad}")
    assert not bad or bad not in str(caught.value)


def test_there_is_an_end_to_the_keys() -> None:
    """Those that are out of use are taken out."""
    with pytest.raises(ValueError, match=f"at most {MAX_KEYS} keys"):
        parse_keys(",".join([ONE.hex()] * (MAX_KEYS + 1)))
