"""A dump that was restored on a real server is told by where it is, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from agent.engine.restored import RestoreWatch
from agent.process.world import real_world
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from scripts.exits import Exit
from scripts.serve.servers import clean, vendor_server
from tests.agent.builders import a_run
from tests.agent.limited import PAYER
from tests.agent.stage import KEY
from tests.wire.given import fresh_name, needs_server, server_uri
from tests.wire.servers import DatabaseServer, find_server
from tests.wire.test_worker import a_run as a_real_run
from tests.wire.test_worker import journal, stopped, until, working

pytestmark = needs_server

MARKED = ("runs", "allowances", "marks", "payments", "vendors")


@pytest.fixture
async def names() -> AsyncIterator[tuple[str, str]]:
    """Two databases of our own, gone afterwards."""
    made = fresh_name(), fresh_name()
    yield made
    async with AsyncMongoClient[dict[str, Any]](server_uri()) as client:
        for name in made:
            await client.drop_database(name)


async def restored(source: str, target: str) -> None:
    """What mongodump and mongorestore --drop do: the documents, in collections that are made anew."""
    async with AsyncMongoClient[dict[str, Any]](server_uri()) as client:
        documents = {name: await client[source][name].find().to_list() for name in MARKED}
        await client.drop_database(target)
        for name, found in documents.items():
            if found:
                await client[target][name].insert_many(found)


async def held(name: str, uri: str | None = None) -> str | None:
    """Why a process that starts now buys nothing there."""
    database = MongoDatabase(uri or server_uri(), name)
    found = await RestoreWatch(database, real_world()).held()
    await database.close()
    return None if found is None else found.why


async def marked(name: str) -> None:
    """A database with a run, that a process has seen."""
    database = MongoDatabase(server_uri(), name)
    await RunStore(database).create(a_run())
    await RestoreWatch(database, real_world()).mark()
    await database.close()


async def test_a_dump_restored_under_its_own_name_is_told_by_its_collections(names: tuple[str, str]) -> None:
    """They have other UUIDs."""
    await marked(names[0])
    assert [await held(names[0]) for _ in range(3)] == [None] * 3

    await restored(names[0], names[0])

    assert "another one: runs" in str(await held(names[0]))


async def test_a_dump_restored_under_another_name_is_told_by_it_too(names: tuple[str, str]) -> None:
    """On servers without UUIDs that is what is left, so it is what docs/deploy.md says to do."""
    await marked(names[0])

    await restored(*names)

    assert "another one: database, runs" in str(await held(names[1]))
    assert await held(names[0]) is None, "the original is one still"


@pytest.mark.parametrize("options", ["?uuidRepresentation=standard", "?directConnection=true", "?appname=other"])
async def test_another_way_to_the_same_database_is_no_restore(names: tuple[str, str], options: str) -> None:
    await marked(names[0])

    assert await held(names[0], f"{server_uri().partition('?')[0].rstrip('/')}/{options}") is None


async def test_a_server_that_was_killed_is_no_restore(tmp_path: Path) -> None:
    """Its files are what they were."""
    command = find_server()
    assert command is not None
    with DatabaseServer(command, tmp_path) as server:
        database = MongoDatabase(server.uri, "purser")
        await RunStore(database).create(a_run())
        watch = RestoreWatch(database, real_world())
        await watch.mark()
        server.kill()
        server.start()
        assert await held("purser", server.uri) is None
        await database.close()


async def test_many_that_find_no_mark_at_once_make_one(names: tuple[str, str]) -> None:
    database = MongoDatabase(server_uri(), names[0])
    await RunStore(database).create(a_run())
    watches = [RestoreWatch(database, real_world()) for _ in range(20)]
    marks = await asyncio.gather(*(each.mark() for each in watches))
    await database.close()

    assert len({each.store_id for each in marks}) == 1
    assert sorted(each.looks for each in marks) == list(range(1, 21))


async def test_a_worker_buys_nothing_on_a_restored_backup_until_the_command_was_given(
    names: tuple[str, str], tmp_path: Path
) -> None:
    """From `purser worker` to `purser init --restored`, as an operator does it."""
    source, target = names
    settings = {
        "MONGODB_URI": server_uri(),
        "MONGODB_DB_NAME": target,
        "X402_PRIVATE_KEY": KEY,
    }
    store = MongoDatabase(server_uri(), source)
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "0.1"}) as vendors:
        run = await a_real_run(store, vendors)
        await RestoreWatch(store, real_world()).mark()
        await restored(source, target)
        copy = MongoDatabase(server_uri(), target)
        with working(tmp_path, settings) as worker:
            await until(copy, run, lambda run: run.phase == "waiting")
            worker.terminate()
            code, output = await asyncio.to_thread(stopped, worker)
        assert (code, "restored backup" in output, journal(vendors)["payments"]) == (0, True, [])

        word = init(tmp_path, settings, "--restored", "--spent-usd", "1.5")
        again = init(tmp_path, settings, "--restored", "--spent-usd", "1.5")
        assert (word.returncode, again.returncode) == (Exit.OK, Exit.REFUSED)
        assert json.loads(word.stdout)["restored"] is None
        with working(tmp_path, settings) as worker:
            ended = await until(copy, run, lambda run: run.status != "running")
            worker.terminate()
            await asyncio.to_thread(stopped, worker)
        sums = await copy.collection("allowances").find_one({"_id": PAYER})
    await store.close()
    await copy.close()

    assert ended.failure is not None
    assert (ended.failure.code, sums and sums["committed"]) == ("store_restored", 1_500_000)


def init(directory: Path, settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """`purser init`, as it is typed."""
    command = [sys.executable, "-m", "scripts.cli", "init", *words, "--json"]
    env = clean({**settings, "API_TOKEN": "of-no-use-to-init"})
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=60, check=False)
