"""What a surface can do with a run: start one, cancel one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bson import ObjectId

from agent.book.audit import observe
from agent.book.errors import LeaseLost, RunBusy, RunNotFound, TooManyRuns
from agent.book.models import Constraints, Run
from agent.book.money import usd_text
from agent.process.world import World
from agent.store.runs import RunStore

if TYPE_CHECKING:
    from agent.engine.services import Services
    from agent.engine.tick import TickResult

__all__ = ["Order", "cancel", "start"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a user asks for. `budget_total` in micro-dollars; `key_id` is the API key that it was asked with, which
    may have `max_running` runs under way (None: any number)."""

    user_id: str
    goal: str
    budget_total: int
    constraints: Constraints
    key_id: str | None = None
    max_running: int | None = None


async def start(store: RunStore, world: World, order: Order, idempotency_key: str | None) -> Run:
    """Create the run. The same key with the same order returns the run that it made the first time.

    Raises:
        IdempotencyConflict: the key was used with another order.
        TooManyRuns: its API key has as many under way as it may have.
    """
    now = world.now()
    run_id = world.new_id() if idempotency_key is None else _keyed_id(order.user_id, idempotency_key)
    run = Run(
        id=run_id,
        user_id=order.user_id,
        key_id=order.key_id,
        goal=order.goal,
        budget_total=order.budget_total,
        budget_remaining=order.budget_total,
        constraints=order.constraints,
        next_tick_at=now,
        finished_tick=0,
        request_hash=_fingerprint(order),
        created_at=now,
        updated_at=now,
    )
    if order.key_id is not None and order.max_running is not None:
        await _take_place(store, order.key_id, order.max_running, run.id, now)
    what = {"goal": order.goal, "budgetTotalUsd": usd_text(order.budget_total)}
    return await store.create(observe(run, now, "run_started", "Run started", {**what}))


async def _take_place(store: RunStore, key_id: str, most: int, run_id: ObjectId, now: datetime) -> None:
    """Take a place of the key for the run, before it is stored. A request that is repeated needs none."""
    if await store.places.take(key_id, most, run_id, now):
        return
    try:
        await store.get(run_id)
    except RunNotFound:
        raise TooManyRuns(most) from None


async def cancel(services: Services, run_id: ObjectId, user_id: str | None = None) -> TickResult:
    """Stop a run. Money that is out is settled or waited for first, so the end may come with a later tick.

    Raises:
        RunNotFound: there is no such run, or not of this user (None: whoever's it is).
        StoreUnavailable: the database is away; ask again.
    """
    from agent.engine.tick import TickResult, tick  # heavy, and starting a run needs none of it

    run = await services.runs.request_cancel(run_id, user_id)
    if run.status != "running":
        return TickResult(f"Run is {run.status}; there is nothing to cancel", None, run)
    try:
        return await tick(services, run_id)
    except (RunBusy, LeaseLost):
        return TickResult("Cancel noted; the tick under way or the next one carries it out", None, run)


def _keyed_id(user_id: str, key: str) -> ObjectId:
    """The run's id is made from user and key: the same request cannot make two runs, index or no index."""
    text = json.dumps([user_id, key], ensure_ascii=False)
    return ObjectId(hashlib.sha256(text.encode()).digest()[:12])


def _fingerprint(order: Order) -> str:
    body = [order.user_id, order.goal, order.budget_total, order.constraints.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
