"""What the money protocol asks of a server: of many who want the same, one gets it, and nobody reads half a write.

A server that fails here cannot be trusted with a wallet, whatever its version says
(docs/decisions/0008-server-for-tests.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Final, TypeVar

import pytest

from agent.book.errors import LeaseLost
from agent.book.models import Lease, Run
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from tests.agent.builders import NOW, a_run
from tests.wire.given import fresh_name, needs_server, server_uri

pytestmark = needs_server

WORKERS: Final = 16
"""Clients, each with connections of its own, as processes have."""

ROUNDS: Final = 50
LATER: Final = NOW + timedelta(minutes=1)

T = TypeVar("T")


@pytest.fixture
async def workers() -> AsyncIterator[list[RunStore]]:
    """Stores of one database, each on a client of its own."""
    name = fresh_name()
    databases = [MongoDatabase(server_uri(), name) for _ in range(WORKERS)]
    yield [RunStore(database) for database in databases]
    await databases[0].drop()
    for database in databases:
        await database.close()


async def all_at_once(
    workers: list[RunStore], work: Callable[[RunStore, int], Coroutine[None, None, T]]
) -> list[T]:
    """What each of them got, all having begun together."""
    return await asyncio.gather(*(work(store, number) for number, store in enumerate(workers)))


async def claims(workers: list[RunStore], run: Run) -> list[Run]:
    """The claims that were granted."""

    async def claim(store: RunStore, number: int) -> Run | None:
        return await store.claim(run.id, Lease(owner=f"worker {number}", until=LATER), NOW)

    return [each for each in await all_at_once(workers, claim) if each is not None]


async def test_of_many_claims_one_is_granted(workers: list[RunStore]) -> None:
    """The lease that a claim answers with is the one that is stored."""
    granted = []
    for _ in range(ROUNDS):
        run = await workers[0].create(a_run())
        granted.append(claimed := await claims(workers, run))
        stored = await workers[0].get(run.id)
        assert len(claimed) != 1 or stored == claimed[0]

    assert [len(each) for each in granted] == [1] * ROUNDS


async def test_of_many_commits_from_one_state_one_is_written(workers: list[RunStore]) -> None:
    """The others learn that they lost; what the winner was answered is what is stored."""
    written = []
    for _ in range(ROUNDS):
        (run,) = await claims(workers[:1], await workers[0].create(a_run()))

        async def commit(store: RunStore, number: int, run: Run = run) -> Run | None:
            try:
                return await store.commit(run, run.model_copy(update={"jobs_started": number}))
            except LeaseLost:
                return None

        done = [each for each in await all_at_once(workers, commit) if each is not None]
        written.append(len(done))
        assert len(done) != 1 or await workers[0].get(run.id) == done[0]

    assert written == [1] * ROUNDS


async def test_an_order_that_is_sent_many_times_makes_one_run(workers: list[RunStore]) -> None:
    """The id is taken once, and nobody is told anything else."""
    for _ in range(ROUNDS):
        run = a_run()

        async def create(store: RunStore, number: int, run: Run = run) -> Run:
            return await store.create(run)

        assert await all_at_once(workers, create) == [run] * WORKERS
    assert await workers[0].count("running") == ROUNDS


async def test_nobody_reads_half_a_write(workers: list[RunStore]) -> None:
    """A commit changes lease, money and trail together: a reader sees all of it or nothing."""
    (run,) = await claims(workers[:1], await workers[0].create(a_run(budget_total=1_000, budget_remaining=1_000)))
    writer, *readers = workers
    seen: list[tuple[int, int, int, int]] = []
    writing = True

    async def write() -> None:
        nonlocal writing
        state = run
        try:
            for spent in range(1, 301):
                books = {"budget_spent": spent, "budget_remaining": 1_000 - spent, "jobs_started": spent}
                state = await writer.commit(state, state.model_copy(update=books))
                assert state.budget_spent == spent
        finally:
            writing = False

    async def read(store: RunStore) -> None:
        while writing:
            state = await store.get(run.id)
            seen.append(
                (state.rev - run.rev, state.jobs_started, state.budget_spent, 1_000 - state.budget_remaining)
            )

    await asyncio.gather(write(), *(read(store) for store in readers[:6]))

    assert [each for each in seen if len(set(each)) != 1] == []
    assert len(set(seen)) > 20, "readers saw next to nothing of the writing"
