"""Runs under limits: what they are looked at with, and one that died when its money was set aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.book.limits import Allowance
from agent.book.models import Run
from agent.process.settings import Settings
from tests.agent.killing import Killed
from tests.agent.stage import Stage

FIRST, SECOND = 1_400_000, 1_800_000
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
PAYER = "wallet:0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
TODAY = f"{PAYER}:2026-11-21"


async def the_sums(stage: Stage) -> dict[str, Allowance]:
    found = await stage.database.collection("allowances").find({}, [("_id", 1)], 100)
    return {each.key: each for each in map(Allowance.model_validate, found)}


async def committed(stage: Stage) -> dict[str, int]:
    """What each sum has, with nothing open in it."""
    found = await the_sums(stage)
    assert all(not each.open for each in found.values())
    return {key: each.committed for key, each in found.items()}


async def codes(stage: Stage, run: Run) -> list[str | None]:
    return [job.failure.code if job.failure else None for job in await stage.jobs(run)]


async def said(stage: Stage, run: Run, kind: str) -> list[dict[str, Any]]:
    return [each.data for each in await stage.trail(run) if each.type == kind]


def paid(stage: Stage) -> list[int]:
    return [each.amount for each in stage.record.settlements]


async def reserved_only(stage: Stage) -> Run:
    """A run that has money set aside and nothing signed, with nobody at it."""
    return await dead_before_signing(stage, await stage.start(constraints={"vendor_ids": ("gpu_vendor_2",)}))


async def dead_before_signing(stage: Stage, run: Run) -> Run:
    """The run after a tick that died when money was set aside and nothing was signed, with nobody at it."""
    real = stage.transport.handle_async_request

    async def dying(request: Any) -> Any:
        if request.url.path == "/submit-job":
            raise Killed
        return await real(request)

    stage.transport.handle_async_request = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await stage.tick(run)
    stage.transport.handle_async_request = real  # type: ignore[method-assign]
    stage.clock.pass_(50)
    return await stage.stored(run)


async def reserved_only_unlimited(stage: Stage) -> Run:
    """As `reserved_only`, from before there were limits."""
    limited, stage.services = stage.services, replace(stage.services, settings=Settings())
    run = await reserved_only(stage)
    stage.services = limited
    return run
