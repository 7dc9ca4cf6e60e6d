"""What one run costs the database: each tick of its life, what is stored of it, and a look at what is due."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import bson

from agent.book.errors import RunBusy
from agent.book.models import INDEXES, Lease, Run
from agent.dispatch.rounds import tick_due
from tests.agent.stage import Stage
from tests.scale.stage import stage_on
from tests.scale.wiretap import Traffic, Wiretap, tapped

__all__ = ["Cost", "cost_of_a_run"]

_ALL: Final = 10_000
_OF_NO_RUN: Final = {"vendors", "marks"}


@dataclass(frozen=True)
class Cost:
    """Traffic by what it was for, and bytes stored by collection (number of documents, bytes of them)."""

    traffic: dict[str, Traffic]
    stored: dict[str, tuple[int, int]]


async def cost_of_a_run(uri: str) -> Cost:
    """Live through one run that loses its first vendor, counting."""
    traffic: dict[str, Traffic] = {}
    with tapped() as tap:
        async with stage_on(uri) as stage:

            async def tick(name: str) -> Run:
                tap.take()
                await stage.services.restored.mark()
                traffic.setdefault("a minute's look whether the database is restored", tap.take())
                run = (await stage.tick(run_)).run
                traffic[name] = tap.take()
                return run

            tap.take()
            await stage.services.restored.mark()
            traffic["first look whether the database is restored"] = tap.take()
            run_ = await stage.start()
            traffic["start a run"] = tap.take()
            stage.clock.pass_(61)
            await tick("tick that starts a job")
            stage.clock.pass_(1)
            await tick("tick that finds nothing new")
            stage.clock.pass_(11)
            await tick("tick with a new log line")
            traffic["tick of a busy run"] = await _refused(stage, run_, tap)
            stage.clock.pass_(60)
            await tick("tick in which the job fails and another starts")
            stage.clock.pass_(120)
            ended = await tick("tick that ends the run")
            assert ended.status == "completed", ended
            tap.take()
            await tick_due(stage.services, 55)
            traffic["round with nothing due"] = tap.take()
            stored = {name: await _stored(stage, name) for name in INDEXES if name not in _OF_NO_RUN}
    return Cost(traffic, stored)


async def _refused(stage: Stage, run: Run, tap: Wiretap) -> Traffic:
    """What a claim costs that comes while another tick is at the run."""
    runs, now = stage.services.runs, stage.clock.now
    claimed = await runs.claim(run.id, Lease(owner="another", until=now + timedelta(minutes=1)), now)
    assert claimed is not None
    tap.take()
    with suppress(RunBusy):
        await stage.tick(run)
    traffic = tap.take()
    await runs.commit(claimed, claimed.model_copy(update={"lease": None}))
    return traffic


async def _stored(stage: Stage, name: str) -> tuple[int, int]:
    found = await stage.database.collection(name).find({}, (), _ALL)
    return len(found), sum(len(bson.encode(each)) for each in found)
