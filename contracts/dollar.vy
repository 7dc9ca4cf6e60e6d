# pragma version 0.4.3
"""
@title Test dollar
@notice A token of 6 decimals with EIP-3009, for tests and the demo on a chain of one's own. Worth nothing.
@dev It refuses what Circle's FiatToken v2 refuses, with the same texts: a used or cancelled nonce, a time outside
     the window (both ends excluded), a high s, a v other than 27 or 28, a signature that is not the payer's.
     With FEE above zero the payee gets less than was signed, as with tokens that tax transfers.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

event AuthorizationCanceled:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

decimals: public(constant(uint8)) = 6
name: public(String[32])
version: public(String[8])
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])

FEE: immutable(uint256)  # in thousandths of what is transferred; it goes to the owner
OWNER: immutable(address)
SEPARATOR: immutable(bytes32)

DOMAIN_TYPEHASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
TRANSFER_TYPEHASH: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_TYPEHASH: constant(bytes32) = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)")
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168


@deploy
def __init__(_name: String[32], _version: String[8], fee: uint256):
    self.name = _name
    self.version = _version
    FEE = fee
    OWNER = msg.sender
    SEPARATOR = keccak256(
        abi_encode(DOMAIN_TYPEHASH, keccak256(_name), keccak256(_version), chain.id, self)
    )


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return SEPARATOR


@external
def mint(receiver: address, amount: uint256):
    assert msg.sender == OWNER, "FiatToken: caller is not a minter"
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._transfer(msg.sender, receiver, amount)
    return True


@external
def transferWithAuthorization(
    payer: address,
    payee: address,
    amount: uint256,
    validAfter: uint256,
    validBefore: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert block.timestamp > validAfter, "FiatTokenV2: authorization is not yet valid"
    assert block.timestamp < validBefore, "FiatTokenV2: authorization is expired"
    struct_hash: bytes32 = keccak256(
        abi_encode(TRANSFER_TYPEHASH, payer, payee, amount, validAfter, validBefore, nonce)
    )
    self._use_up(payer, nonce, struct_hash, v, r, s)
    log AuthorizationUsed(authorizer=payer, nonce=nonce)
    self._transfer(payer, payee, amount)


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    self._use_up(authorizer, nonce, keccak256(abi_encode(CANCEL_TYPEHASH, authorizer, nonce)), v, r, s)
    log AuthorizationCanceled(authorizer=authorizer, nonce=nonce)


@internal
def _use_up(signer: address, nonce: bytes32, struct_hash: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert not self.authorizationState[signer][nonce], "FiatTokenV2: authorization is used or canceled"
    assert convert(s, uint256) <= HALF_ORDER, "ECRecover: invalid signature 's' value"
    assert v == 27 or v == 28, "ECRecover: invalid signature 'v' value"
    assert not signer.is_contract, "FiatTokenV2: invalid signature"
    digest: bytes32 = keccak256(concat(x"1901", SEPARATOR, struct_hash))
    recovered: address = ecrecover(digest, v, r, s)
    assert recovered != empty(address) and recovered == signer, "FiatTokenV2: invalid signature"
    self.authorizationState[signer][nonce] = True


@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address), "ERC20: transfer to the zero address"
    assert self.balanceOf[sender] >= amount, "ERC20: transfer amount exceeds balance"
    taken: uint256 = amount * FEE // 1000
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount - taken
    log Transfer(sender=sender, receiver=receiver, value=amount - taken)
    if taken > 0:
        self.balanceOf[OWNER] += taken
        log Transfer(sender=sender, receiver=OWNER, value=taken)
