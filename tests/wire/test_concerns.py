"""What goes over the wire asks for the majority and its journal, in every collection and every operation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from agent.book import ledger
from agent.book.audit import observe
from agent.book.models import INDEXES, Closing, Lease, Outcome
from agent.engine.restored import answer_for, notice_in_place
from agent.process.world import real_world
from agent.store import mongo
from agent.store.allowances import AllowanceStore
from agent.store.due import DueStore
from agent.store.mongo import MongoDatabase
from agent.store.places import PlaceStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from tests.agent.builders import NOW, a_job, a_reservation, a_run, an_authorization
from tests.agent.store.test_vendors import VENDOR
from tests.wire.given import fresh_name, needs_server, server_uri
from tests.wire.listening import READS, WRITES, Wire

pytestmark = needs_server

COLLECTIONS: Final = {*INDEXES, "vendors"}

WEAK: Final = {"w": "1", "journal": "false", "readConcernLevel": "local", "readPreference": "secondaryPreferred"}
"""What a URI may say; it must not matter."""


def weak(uri: str) -> str:
    """The server's URI with these options; whatever else it says stays."""
    parts = urlsplit(uri)
    named = {name.lower() for name in WEAK}
    others = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in named]
    return urlunsplit(parts._replace(path=parts.path or "/", query=urlencode([*others, *WEAK.items()])))


@pytest.fixture
async def heard(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MongoDatabase, Wire]]:
    """A database that is listened to, opened with a URI that asks for as little as it can."""
    wire = Wire()
    monkeypatch.setitem(mongo._OPTIONS, "event_listeners", [wire])
    database = MongoDatabase(weak(server_uri()), fresh_name())
    yield database, wire
    await database.drop()
    await database.close()


async def everything(database: MongoDatabase) -> None:
    """Each operation of the stores, at least once."""
    runs, vendors = RunStore(database), VendorStore(database)
    await runs.init()
    run = await runs.create(a_run())
    claimed = await runs.claim(run.id, Lease(owner="a", until=NOW + timedelta(minutes=1)), NOW)
    assert claimed is not None
    job = a_job(run)
    draft = ledger.reserve(observe(claimed, NOW, "error", "said"), job, a_reservation())
    after = await runs.commit(claimed, ledger.authorize(draft, str(job.id), an_authorization()))
    await runs.tell(after)
    await runs.told(after)
    await runs.request_cancel(run.id)
    for listed in (runs.jobs(after), runs.payments(after)):
        assert len(await listed) == 1
    await runs.observations(after, 10)
    await runs.page(10)
    due = DueStore(database)
    await due.page(NOW, 10, ["u2"])
    await due.called(NOW)
    await due.next_at(NOW)
    await due.count(NOW, 10)
    await due.stumbled(run.id, NOW, "unreadable")
    await due.parked(10)
    await due.count_parked(10)
    await runs.count("running")
    await vendors.add(VENDOR)
    await vendors.list()
    await vendors.pin_payee("gpu_vendor_1", "0x" + "11" * 20)
    await vendors.learn(Outcome(vendor_id="gpu_vendor_1", run_id=run.id, job_id=job.id, completed=True, at=NOW))
    await vendors.remove("gpu_vendor_1")
    allowances = AllowanceStore(database)
    assert await allowances.take("day", 5, str(job.id), run.id, 5)
    await allowances.close(Closing(job_id=job.id, scopes=("day",), amount=5, spent=5))
    places = PlaceStore(database)
    assert await places.take("k1", 1, run.id, NOW)
    assert await places.take("k1", 1, job.id, NOW)  # the run is of no key: its place is given back
    await notice_in_place(database, real_world())
    await answer_for(database, real_world(), 5, "0x" + "22" * 20)


async def test_no_operation_asks_for_less_than_the_majority_and_its_journal(
    heard: tuple[MongoDatabase, Wire],
) -> None:
    """Acknowledged means journaled by most; read means seen by most, so it cannot be undone by a failover."""
    database, wire = heard
    await everything(database)

    weak_writes = [
        (name, collection)
        for name, collection, body in wire.sent
        if name in WRITES and body.get("writeConcern") != {"w": "majority", "j": True}
    ]
    weak_reads = [
        (name, collection)
        for name, collection, body in wire.sent
        if name in READS and body.get("readConcern") != {"level": "majority"}
    ]

    assert weak_writes == []
    assert weak_reads == []
    assert {collection for _, collection, _ in wire.sent} == COLLECTIONS
    assert {name for name, _, _ in wire.sent} == WRITES | {"find", "aggregate"}
