"""What sellers remember: one contract for all memories, and what a file adds. MongoDB's own is in tests/wire."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from pymongo import AsyncMongoClient

from tests.wire.given import drop, fresh_name, needs_server, server_uri
from tests.x402.samples import NETWORK, NOW, PAYEE, PAYER, URL, payment_for
from x402.errors import SettlementsUnavailable, SettlementUnknown
from x402.selling import settlements_sqlite
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import Seller
from x402.selling.settlements import MemorySettlements, Settlement, Settlements
from x402.selling.settlements_mongo import MongoSettlements
from x402.selling.settlements_sqlite import SqliteSettlements
from x402.wire import Offer, Payment, Receipt

LATER: Final = 4_000_000_000
RECEIPT: Final = Receipt(True, "0x" + "ab" * 32, NETWORK, payer=PAYER, amount=10_000)
MINE: Final = Settlement("a payment", "at a price", LATER)
PAID: Final = replace(MINE, receipt=RECEIPT)

Process: TypeAlias = Callable[[], Settlements]


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongodb", marks=needs_server)])
async def process(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Process]:
    """One more process that shares the memory: all that this gives know the same."""
    if request.param == "memory":
        memory = MemorySettlements(lambda: 0)
        yield lambda: memory
    elif request.param == "sqlite":
        opened: list[SqliteSettlements] = []

        def open_file() -> Settlements:
            opened.append(SqliteSettlements(tmp_path / "sold.db", lambda: 0))
            return opened[-1]

        yield open_file
        for each in opened:
            await each.close()
    else:
        name = fresh_name()
        clients: list[AsyncMongoClient[dict[str, object]]] = []

        def connect() -> Settlements:
            clients.append(AsyncMongoClient(server_uri()))
            return MongoSettlements(clients[-1][name]["settlements"])

        yield connect
        for client in clients:
            await client.close()
        drop(name)


async def test_what_one_process_began_and_finished_another_one_knows(process: Process) -> None:
    """Open with what was asked for it, then collected with its receipt."""
    one, other = process(), process()
    assert await other.find(MINE.key) is None
    assert await one.begin(MINE) == MINE
    assert await other.find(MINE.key) == MINE
    assert await one.finish(PAID)
    assert await other.find(MINE.key) == PAID
    assert await other.begin(MINE) == PAID
    assert await other.give_up(MINE) == PAID


async def test_a_payment_is_open_until_every_attempt_was_given_up(process: Process) -> None:
    """An attempt that nobody gives up, as of a process that died, stays."""
    one, other = process(), process()
    for each in (one, other):
        await each.begin(MINE)
    assert await one.give_up(MINE) == MINE
    assert await other.give_up(MINE) is None
    assert await one.find(MINE.key) is None
    assert await one.give_up(MINE) is None


async def test_what_is_open_for_one_price_is_not_begun_for_another(process: Process) -> None:
    """The first one stands, and the other one's attempt was none."""
    one, other = process(), process()
    await one.begin(MINE)
    assert await other.begin(replace(MINE, fingerprint="at another price")) == MINE
    assert await one.give_up(MINE) is None


async def test_what_was_collected_is_kept_even_where_nobody_knew_of_it(process: Process) -> None:
    """An open payment may have been forgotten meanwhile; the first receipt counts, whatever it was asked for."""
    one, other = process(), process()
    assert await one.finish(PAID)
    assert not await other.finish(replace(PAID, receipt=replace(RECEIPT, transaction="0x77")))
    assert not await other.finish(replace(PAID, fingerprint="at another price"))
    assert await other.find(MINE.key) == PAID


async def test_of_many_at_once_one_is_first(process: Process) -> None:
    """Who may deliver is one, and of two prices for one payment one is begun."""
    many = [process() for _ in range(8)]
    for number in range(30):
        each = replace(MINE, key=f"payment {number}")
        prices = [replace(each, fingerprint=f"at price {n % 2}") for n in range(len(many))]
        known = await asyncio.gather(*(one.begin(price) for one, price in zip(many, prices, strict=True)))
        assert len({settlement.fingerprint for settlement in known}) == 1
        first = await asyncio.gather(*(one.finish(replace(each, receipt=RECEIPT)) for one in many))
        assert sum(first) == 1


async def test_attempts_of_many_at_once_are_all_counted(process: Process) -> None:
    """None is lost, none is left over."""
    many = [process() for _ in range(8)]

    async def try_and_fail(one: Settlements) -> None:
        for _ in range(5):
            await one.begin(MINE)
            await one.give_up(MINE)

    await asyncio.gather(*(try_and_fail(one) for one in many))
    assert await many[0].find(MINE.key) is None
    await asyncio.gather(*(one.begin(MINE) for one in many))
    left = [await one.give_up(MINE) for one in many]
    assert left == [MINE] * 7 + [None]


async def operate(memory: Settlements, chosen: str, settlement: Settlement, paid: Settlement) -> object:
    """One operation, by its name."""
    if chosen == "find":
        return await memory.find(settlement.key)
    if chosen == "begin":
        return await memory.begin(settlement)
    return await (memory.give_up(settlement) if chosen == "give_up" else memory.finish(paid))


@pytest.mark.parametrize("seed", range(5))
async def test_every_memory_answers_as_the_simplest_one(process: Process, seed: int) -> None:
    """A hundred operations by chance, on few payments, by two processes."""
    rng, simplest = random.Random(seed), MemorySettlements(lambda: 0)
    processes = [process(), process()]
    for step in range(100):
        settlement = Settlement(rng.choice("abc"), rng.choice("xy"), LATER)
        paid = replace(settlement, receipt=replace(RECEIPT, transaction=str(step)))
        operation = rng.choice(["find", "begin", "give_up"] * 3 + ["finish"])
        expected = await operate(simplest, operation, settlement, paid)
        found = await operate(rng.choice(processes), operation, settlement, paid)
        assert found == expected, (step, operation)


@pytest.mark.parametrize(
    "receipt",
    [
        RECEIPT,
        Receipt(True, "", NETWORK),
        Receipt(True, "0x1", "eip155:1", payer=PAYER, amount=2**256 - 1),
        Receipt(True, "!" * 256, "solana", amount=0, error_reason='"\\ é'),
    ],
)
async def test_a_receipt_comes_back_as_it_was(process: Process, receipt: Receipt) -> None:
    """Whatever a facilitator may have written into it."""
    assert await process().finish(replace(MINE, receipt=receipt))
    assert await process().find(MINE.key) == replace(MINE, receipt=receipt)


async def test_a_time_that_is_very_far_away_is_kept(process: Process) -> None:
    """As far as a seller asks for."""
    far = replace(MINE, until=250_000_000_900)
    await process().begin(far)
    assert await process().find(MINE.key) == far


def files(directory: Path) -> list[Path]:
    return [*directory.iterdir()]


async def test_a_file_outlives_its_processes_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What was collected is known after a restart."""
    path = tmp_path / "sold.db"
    before = SqliteSettlements(path)
    await before.begin(MINE)
    await before.finish(PAID)
    await before.close()
    after = SqliteSettlements(path)
    assert await after.find(MINE.key) == PAID
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in files(tmp_path)}
    assert modes == {"sold.db": 0o600, "sold.db-shm": 0o600, "sold.db-wal": 0o600}
    await after.close()


async def test_a_file_forgets_what_nobody_can_take_for_new(tmp_path: Path) -> None:
    """With the next payment after `until`."""
    clock = [0.0]
    settlements = SqliteSettlements(tmp_path / "sold.db", lambda: clock[0])
    await settlements.finish(PAID)
    clock[0] = LATER - 1
    await settlements.begin(replace(MINE, key="another"))
    assert await settlements.find(MINE.key) == PAID
    clock[0] = LATER
    await settlements.begin(replace(MINE, key="a third", until=LATER + 1))
    assert await settlements.find(MINE.key) is None
    await settlements.close()


async def test_a_new_file_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Replicas start together."""
    for number in range(100):
        many = [SqliteSettlements(tmp_path / f"{number}.db") for _ in range(6)]
        known = await asyncio.gather(*(each.begin(MINE) for each in many))
        assert known == [MINE] * 6
        for each in many:
            await each.close()


async def test_a_file_that_somebody_holds_is_waited_for_and_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop goes on; when the patience is over nothing is sold, and it works again afterwards."""
    monkeypatch.setattr(settlements_sqlite, "_BUSY_SECONDS", 0.2)
    path = tmp_path / "sold.db"
    settlements = SqliteSettlements(path)
    await settlements.find(MINE.key)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting, turns = asyncio.ensure_future(settlements.begin(MINE)), 0
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(SettlementsUnavailable, match="locked"):
        await waiting
    assert turns > 100
    holder.execute("ROLLBACK")
    holder.close()
    assert await settlements.begin(MINE) == MINE
    await settlements.close()


def a_directory(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"no database" * 100)


def of_another_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")


def torn(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(settlements_sqlite._SCHEMA)
        db.execute("INSERT INTO settlements VALUES (?, ?, ?, ?, ?)", (MINE.key, "at a price", LATER, 0, "{"))


@pytest.mark.parametrize("spoil", [a_directory, no_database, of_another_version, torn])
async def test_a_file_that_cannot_be_used_is_an_error_of_the_family(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """It names the file."""
    path = tmp_path / "sold.db"
    spoil(path)
    settlements = SqliteSettlements(path)
    with pytest.raises(SettlementsUnavailable, match=r"sold\.db"):
        await settlements.find(MINE.key)
    await settlements.close()


async def test_nothing_that_can_be_cashed_is_in_the_file(tmp_path: Path) -> None:
    """While the payment is open, too: whoever reads the file learns no signature."""
    lost: list[str] = []

    class Silent(OfflineFacilitator):
        async def settle(self, payment: Payment, offer: Offer) -> Receipt:
            lost.append(payment.signature)
            raise SettlementUnknown("no answer")

    settlements = SqliteSettlements(tmp_path / "sold.db", lambda: NOW)
    seller = Seller(Silent(MemoryLedger(), lambda: NOW), PAYEE, NETWORK, settlements=settlements)
    terms = seller.terms(10_000, URL)
    payment = await payment_for(terms.offers[2])
    with pytest.raises(SettlementUnknown):
        await seller.collect(payment, terms)
    written = b"".join(each.read_bytes() for each in files(tmp_path))
    assert payment.authorization.nonce.encode() in written
    assert lost[0][2:].encode() not in written
    assert bytes.fromhex(lost[0][2:]) not in written
    await settlements.close()
