"""Purser among vendors that mean it harm: the real core and its real HTTP client, vendors on real sockets.

`gpu_vendor_1` is the cheaper one, so every run goes there first; it is the mock vendor with faults, or a `Liar`
before it. `gpu_vendor_2` is honest. Time is virtual: ticks come when they are due, `PACE` seconds apart at least.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import bson
import httpx

from agent.book.models import Constraints, Job, Observation, Run
from agent.engine.services import Services
from agent.engine.tick import tick
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext
from agent.kinds.rental.planner.prompt import question
from agent.kinds.rental.planner.stub import StubPlanner
from agent.store.runs import RunStore
from gpu_vendor_mock.journal import Journal
from tests.agent.audited import audit_faults
from tests.agent.stage import Clock
from tests.hostile.liar import Canary, Liar

__all__ = ["QUOTED", "TOKEN", "Arena", "Watching", "Weighing"]

TOKEN = "a-bearer-token-of-ours-0123456789"
QUOTED = {"gpu_vendor_1": 1_400_000, "gpu_vendor_2": 1_800_000}
"""What an hour costs, in micro-dollars: the most that one purchase there may lose."""


MOST_SHOWN = 16 * 1024
"""Bytes of one observation, and of all that a run's document holds of one job, at the most (as BSON)."""

MOST_STORED = 1024 * 1024
"""Bytes of a run's document at any time: MongoDB takes 16 MB."""

MOST_SECONDS = 30.0
"""Seconds that a tick really takes at the most."""

MOST_PROMPT = 64 * 1024
"""Characters of the question to a planner."""


class Weighing(RunStore):
    """The real store, which notes how large a run's document ever became: what it has to tell travels in it."""

    heaviest = 0

    async def commit(self, before: Run, after: Run) -> Run:
        stored = await super().commit(before, after)
        self.heaviest = max(self.heaviest, len(bson.encode(stored.to_document())))
        return stored


class Watching(StubPlanner):
    """The stub planner, which notes what a model would have been asked in its place."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.missed: set[str] = set()
        """Vendors that could not be reached."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        self.prompts.append(question(context, None))
        self.missed |= {each.vendor_id for each in context.vendors if each.unreached}
        return await super().plan(context, timeout)


@dataclass
class Arena:
    """A run's whole world, and what is watched while it lives."""

    services: Services
    runs: Weighing
    planner: Watching
    clock: Clock
    journal: Journal
    canary: Canary
    liar: Liar | None
    honest: str
    looker: httpx.AsyncClient
    """Asks the vendors what happened."""
    api: httpx.AsyncClient
    pace: float
    asked: set[str] = field(default_factory=set)
    """Scheme, host and port of each request that our client sent."""
    known: set[str] = field(default_factory=set)
    """Other vendors that may be asked."""
    longest_tick: float = 0.0
    """Seconds that the longest tick really took."""

    async def note(self, request: httpx.Request) -> None:
        """For the client's request hook."""
        self.asked.add(f"{request.url.scheme}://{request.url.netloc.decode()}")

    async def start(self, budget: int = 5_000_000, **constraints: object) -> Run:
        """A new run."""
        order = Order("u1", "Fine-tune tiny-llm", budget, Constraints.model_validate(constraints))
        return await start(self.services.runs, self.services.world, order, None)

    async def tick(self, run: Run) -> Run:
        """One tick now, and a look at everything after it."""
        began = time.monotonic()
        async with asyncio.timeout(MOST_SECONDS):
            run = (await tick(self.services, run.id)).run
        self.longest_tick = max(self.longest_tick, time.monotonic() - began)
        await self._check_money(run)
        assert self.runs.heaviest < MOST_STORED
        assert all(len(prompt) < MOST_PROMPT for prompt in self.planner.prompts)
        return run

    async def finish(self, run: Run, limit: int = 150) -> Run:
        """Tick until the run has ended, then hold everything that it left behind against the light."""
        for _ in range(limit):
            run = await self.tick(run)
            if run.next_tick_at is None:
                await self._look_back(run)
                return run
            self.clock.now = max(self.clock.now + timedelta(seconds=self.pace), run.next_tick_at)
        raise AssertionError(f"the run did not end: {run.status} {run.phase}")

    async def jobs(self, run: Run) -> list[Job]:
        """The run's purchases, oldest first."""
        return await self.services.runs.jobs(await self.services.runs.get(run.id))

    async def trail(self, run: Run) -> list[Observation]:
        """The run's whole trail."""
        return await self.services.runs.observations(await self.services.runs.get(run.id), 100_000)

    async def told(self, run: Run) -> str:
        """The trail's prose, one line an entry."""
        return "\n".join(entry.content for entry in await self.trail(run))

    def moved(self, vendor_id: str | None = None) -> int:
        """Micro-dollars that really moved, by the vendors' own record."""
        return sum(each.amount for each in self.journal.settlements if vendor_id in (None, each.vendor_id))

    async def _check_money(self, run: Run) -> None:
        """What a vendor does, it gets what it quoted, once for an order; and our books know of it at any time."""
        assert (await self.looker.get("/journal")).is_success  # looking makes late cashers cash
        for settled in self.journal.settlements:
            assert settled.amount <= QUOTED[settled.vendor_id]
        keys = [settled.key for settled in self.journal.settlements]
        assert len(set(keys)) == len(keys)
        sent = {(each.key, each.sha256) for each in self.journal.payments}
        assert len({key for key, _ in sent}) == len(sent), "two authorizations for one purchase"
        run = await self.services.runs.get(run.id)
        ours = {str(job.id) for job in await self.jobs(run)}
        moved = sum(settled.amount for settled in self.journal.settlements if settled.key in ours)
        assert moved <= run.budget_spent + run.budget_reserved <= run.budget_total
        assert run.budget_total == run.budget_remaining + run.budget_reserved + run.budget_spent

    async def _look_back(self, run: Run) -> None:
        """The trail is whole and fit to be read, in what is stored and in what the API shows."""
        trail = await self.trail(run)
        run = await self.services.runs.get(run.id)
        jobs, payments = await self.jobs(run), await self.services.runs.payments(run)
        assert audit_faults(run, jobs, payments, trail) == ()
        shown = (await self.api.get(f"/api/agent-status?runId={run.id}&limit=500")).raise_for_status()
        assert shown.headers["content-type"] == "application/json"
        documents = [run, *trail, *jobs, *payments]
        for document in documents:
            assert len(bson.encode(document.to_document())) < MOST_SHOWN, type(document)
            _check_text(document.to_document())
        whole = shown.text + json.dumps([document.to_document() for document in documents], default=str)
        assert TOKEN not in whole
        assert self.canary.heard == 0
        assert self.asked <= {self.honest, *self.known, *([self.liar.url] if self.liar else [])}
        for secret in self._secrets():
            assert secret not in whole
        spent = sum(job.actual_cost or 0 for job in await self.jobs(run))
        assert spent == run.budget_spent

    def _secrets(self) -> Iterator[str]:
        """Each payment that was sent, and the signature in it: with the rest of the trail it is as good."""
        for payment in self.liar.seen.payments if self.liar else ():
            yield payment
            yield json.loads(base64.b64decode(payment))["payload"]["signature"][2:]


def _check_text(value: object) -> None:
    """Nothing in it rewrites a terminal or a reader's eye, or cannot be seen at all."""
    if isinstance(value, str):
        odd = {char for char in value if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert not odd, (odd, value[:200])
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_text(inner)
