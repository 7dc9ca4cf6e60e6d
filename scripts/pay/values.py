"""What `purser pay` is asked and what it answers, as values."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

import httpx

from net.hosts import place
from net.strict_json import load_json
from scripts.pay.journal import Signed, name_key, request_key
from x402.wire import Offer

__all__ = ["Order", "Outcome", "PayExit", "Priced", "Refusal"]


class PayExit(IntEnum):
    """Exit codes of `purser pay`."""

    OK = 0
    TOO_EXPENSIVE = 3
    NOT_ALLOWED = 4
    VENDOR = 5
    UNKNOWN = 6
    SETUP = 7


class Refusal(Exception):
    """Nothing more is done. `code` is a stable word, the text is for people."""

    def __init__(self, exit_code: PayExit, code: str, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.code = code


@dataclass(frozen=True, slots=True)
class Order:
    """What the user wants. `max_amount` in micro-dollars; `name` is the Idempotency-Key, if one was given.

    `assets` and `payees` are the only addresses that may be paid with or to, `hosts` the only places (`name` or
    `name:port`), all in lower case; None allows any.
    """

    method: str
    url: httpx.URL
    max_amount: int
    networks: frozenset[str]
    assets: frozenset[str] | None = None
    payees: frozenset[str] | None = None
    hosts: frozenset[str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    name: str | None = None
    new_purchase: bool = False
    dry_run: bool = False

    @property
    def key(self) -> str:
        """What the journal knows this purchase by: its name at this seller, or else the request itself."""
        if self.name is None:
            return self.request
        found = place(str(self.url))
        return name_key(f"{self.url.scheme}://{found[:2] if found else self.url.netloc!r}", self.name)

    @property
    def older_key(self) -> str:
        """What earlier versions knew a named purchase by: one of theirs may be open still."""
        return request_key(self.method, str(self.url), self.body, self.name)

    @property
    def request(self) -> str:
        """Which request it is. With a name, JSON counts by what it says and not by how it is spaced."""
        body = self.body
        if body is not None and self.name is not None:
            with suppress(ValueError):
                body = json.dumps(load_json(body.decode()), sort_keys=True).encode()
        return request_key(self.method, str(self.url), body, None)

    @property
    def place(self) -> str:
        """Where it goes, without the query: that may hold a token."""
        return str(self.url.copy_with(query=None, fragment=None))


@dataclass(frozen=True, slots=True)
class Priced:
    """An offer of the vendor's and what the policy says to it: `refused` is None where it may be paid."""

    offer: Offer
    refused: str | None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `signed` is the authorization that went out; `notes` are for people."""

    response: httpx.Response | None = None
    priced: tuple[Priced, ...] = ()
    signed: Signed | None = None
    transaction: str | None = None
    again: bool = False
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> PayExit:
        """How the command ends."""
        return PayExit.OK if self.refusal is None else self.refusal.exit_code
