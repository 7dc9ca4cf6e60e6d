"""The golden vectors, typed. They were made by running the official SDK; `about` in the file says how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from net.strict_json import Json, JsonObject


class DomainName(TypedDict):
    name: str
    version: str


class Terms(TypedDict):
    status: int
    headerName: str | None
    headerValue: str | None
    bodyText: str


class TypedData(TypedDict):
    domainSeparator: str
    structHash: str
    digest: str


class Settled(TypedDict):
    success: bool
    payer: str
    transaction: str
    network: str


class ValidExpect(TypedDict):
    settleAtClock: Settled
    settleHeaderName: str
    settleHeaderValue: str


class Valid(TypedDict):
    id: str
    x402Version: int
    network: str
    payerPrivateKey: str
    payer: str
    clock: int
    nonce: str
    validAfter: str
    validBefore: str
    challenge: Terms
    selectedRequirement: dict[str, Json]
    eip712: TypedData
    signature: str
    payload: dict[str, Json]
    headerName: str
    headerValue: str
    expect: ValidExpect


class Chain(TypedDict):
    network: str
    payerBalance: str
    nonceUsed: bool
    tokenDomain: DomainName


class Checked(TypedDict):
    """A row of `tolerated`, and what rows of `invalid` share with it."""

    id: str
    clock: int
    headerName: str
    headerValue: str
    paymentRequirements: dict[str, Json]


class Invalid(Checked):
    x402Version: int
    base: str
    chain: Chain
    acceptClasses: list[str]
    refusedBy: list[str]


class Answer(TypedDict):
    status: int
    headers: dict[str, str]
    body: str


class Client(TypedDict):
    id: str
    requestUrl: str
    response: Answer
    wanted: str


class Separator(TypedDict):
    network: str
    asset: str
    name: str
    version: str
    domainSeparator: str


class External(TypedDict):
    id: str
    network: str
    asset: str
    domain: DomainName
    authorization: dict[str, Json]
    signature: str
    recoversTo: str


class Permit2(TypedDict):
    id: str
    clock: int
    headerName: str
    headerValue: str
    selectedRequirement: dict[str, Json]


class Vectors(TypedDict):
    typeHashes: dict[str, str]
    domainSeparators: list[Separator]
    external: list[External]
    valid: list[Valid]
    permit2: list[Permit2]
    tolerated: list[Checked]
    invalid: list[Invalid]
    client: list[Client]


def load() -> Vectors:
    vectors: Vectors = json.loads((Path(__file__).parent / "x402_vectors.json").read_text())
    return vectors


VECTORS = load()


def row_id(row: object) -> str | None:
    """The name of a parametrized case."""
    return str(row["id"]) if isinstance(row, dict) and "id" in row else None


def challenge_of(row: Valid) -> tuple[dict[str, str], bytes]:
    """Headers and body of a row's 402."""
    terms = row["challenge"]
    name, value = terms["headerName"], terms["headerValue"]
    return ({name: value} if name and value else {}), terms["bodyText"].encode()


def payment_id_of(payload: JsonObject) -> str | None:
    """The `payment-identifier` that the official client sent."""
    extensions = payload.get("extensions")
    entry = extensions.get("payment-identifier") if isinstance(extensions, dict) else None
    info = entry.get("info") if isinstance(entry, dict) else None
    value = info.get("id") if isinstance(info, dict) else None
    return value if isinstance(value, str) else None
