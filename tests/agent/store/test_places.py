"""What a bound on running runs relies on: no more places than there are, and each comes back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from bson import ObjectId

from agent.book.models import Run
from agent.store.collections import Database
from agent.store.places import STORED_WITHIN, PlaceStore
from agent.store.runs import RunStore
from tests.agent.builders import NOW, a_run

KEY = "aaaaaaaaaaaa"


@pytest.fixture
def places(database: Database) -> PlaceStore:
    """The store under test."""
    return PlaceStore(database)


@pytest.fixture
def runs(database: Database) -> RunStore:
    """Where the runs are that have the places."""
    return RunStore(database)


async def taken(places: PlaceStore, most: int, run_id: ObjectId | None = None, key: str = KEY) -> bool:
    return await places.take(key, most, ObjectId() if run_id is None else run_id, NOW)


async def running(places: PlaceStore, runs: RunStore, most: int) -> Run:
    """A run of the key that has its place."""
    run = a_run().model_copy(update={"key_id": KEY})
    assert await taken(places, most, run.id)
    return await runs.create(run)


async def ended(runs: RunStore, database: Database, run: Run) -> None:
    assert await database.collection("runs").update({"_id": run.id}, {"$set": {"status": "failed"}})


async def test_there_are_so_many_places_and_no_more(places: PlaceStore) -> None:
    """Each key has its own."""
    assert [await taken(places, 2) for _ in range(4)] == [True, True, False, False]
    assert await taken(places, 2, key="bbbbbbbbbbbb")
    assert await taken(places, 3)


async def test_of_many_at_once_as_many_get_one_as_there_are(places: PlaceStore) -> None:
    """No more, and no fewer: nobody gives way to one who gives way to him."""
    got = await asyncio.gather(*(taken(places, 7) for _ in range(40)))

    assert sum(got) == 7


async def test_a_run_has_one_place_however_often_it_is_asked_for(places: PlaceStore) -> None:
    """Also when there are none left, or fewer than there were."""
    run_id = ObjectId()

    assert [await taken(places, most, run_id) for most in (2, 2, 2, 1)] == [True] * 4
    assert await taken(places, 2)
    assert await taken(places, 1, run_id)
    assert not await taken(places, 2)


async def test_a_bound_that_was_lowered_takes_nothing_away(
    places: PlaceStore, runs: RunStore, database: Database
) -> None:
    """What runs goes on; there is no place before fewer run than may run now."""
    found = [await running(places, runs, 3) for _ in range(3)]

    for run in found[:2]:
        assert not await taken(places, 2)
        await ended(runs, database, run)

    assert [await taken(places, 2) for _ in range(2)] == [True, False]


async def test_what_has_ended_gives_its_place_back(places: PlaceStore, runs: RunStore, database: Database) -> None:
    """One for each, once somebody needs it."""
    found = [await running(places, runs, 3) for _ in range(3)]
    assert not await taken(places, 3)

    await ended(runs, database, found[0])
    await ended(runs, database, found[1])

    got = await asyncio.gather(*(taken(places, 3) for _ in range(10)))
    assert sum(got) == 2


async def test_a_run_that_was_never_stored_gives_its_place_back(places: PlaceStore) -> None:
    """Not before it can be told: it may be about to be stored. Clocks may differ in both directions."""
    assert await places.take(KEY, 1, ObjectId(), NOW)

    assert not await places.take(KEY, 1, ObjectId(), NOW + STORED_WITHIN)
    assert not await places.take(KEY, 1, ObjectId(), NOW - STORED_WITHIN)
    assert await places.take(KEY, 1, ObjectId(), NOW + STORED_WITHIN + timedelta(seconds=1))


async def test_whoever_begins_again_with_an_old_place_has_time_again(places: PlaceStore) -> None:
    """A request that is repeated after its server died: its run is not taken for one that was never stored."""
    run_id, later = ObjectId(), NOW + 2 * STORED_WITHIN
    assert await places.take(KEY, 1, run_id, NOW)

    assert await places.take(KEY, 1, run_id, later)
    assert not await places.take(KEY, 1, ObjectId(), later + STORED_WITHIN)


async def test_a_place_of_a_run_of_another_key_comes_back(places: PlaceStore, runs: RunStore) -> None:
    """A user repeated a request with another key: the run counts where it was started."""
    run = await running(places, runs, 1)
    assert await taken(places, 1, run.id, key="bbbbbbbbbbbb")

    assert await taken(places, 1, key="bbbbbbbbbbbb")
    assert not await taken(places, 1)


async def test_a_sweep_takes_back_nothing_that_was_taken_again(
    places: PlaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the places and the change somebody begins again with one of them."""
    run_id, late = ObjectId(), NOW + 2 * STORED_WITHIN
    assert await places.take(KEY, 1, run_id, NOW)
    real = PlaceStore._give_back

    async def slowly(self: PlaceStore, there: object, now: object) -> bool:
        monkeypatch.setattr(PlaceStore, "_give_back", real)
        assert await self.take(KEY, 1, run_id, late)
        return await real(self, there, now)  # type: ignore[arg-type]

    monkeypatch.setattr(PlaceStore, "_give_back", slowly)

    assert not await places.take(KEY, 1, ObjectId(), late)
    assert await places.take(KEY, 1, run_id, late)
