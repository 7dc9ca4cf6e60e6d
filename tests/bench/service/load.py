"""Many clients at one API process: starts, ticks and looks, mixed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable
from random import Random
from time import perf_counter
from typing import Final

import httpx

from tests.bench.service.table import Figure

__all__ = ["measure"]

_ANSWERED: Final = {200, 201, 409}
"""Another tick at the same run is an answer too."""

_ORDER: Final = {"userId": "load", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}


async def measure(url: str, token: str, clients: int, seconds: float) -> list[Figure]:
    """`clients` clients for so many seconds; each asks again as soon as it has its answer."""
    load = _Load(url, token, perf_counter() + seconds)
    start = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(load.client(Random(number)))
    took, times = perf_counter() - start, sorted(load.times)
    wrong = sum(load.wrong.values())
    asked = ", ".join(f"{count:,} {what}" for what, count in sorted(load.asked.items()))
    middle, late = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    for what, count in load.wrong.most_common(3):
        sys.stderr.write(f"{count} times: {what}\n")
    return [
        Figure(
            f"load, {clients} clients for {seconds:g} s: errors", f"{wrong} of {len(times):,} ({asked})", wrong, 0
        ),
        Figure("the same: answers per second", f"{len(times) / took:.0f}", len(times) / took),
        Figure("the same: p50, p99 in ms", f"{middle:.0f}, {late:.0f}", late),
    ]


class _Load:
    def __init__(self, url: str, token: str, until: float) -> None:
        self._url, self._until = url, until
        self._headers = {"Authorization": f"Bearer {token}"}
        self._runs: list[str] = []
        self.times: list[float] = []
        self.asked: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    async def client(self, rng: Random) -> None:
        async with httpx.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            timeout=30,
            trust_env=False,
            verify=False,  # noqa: S501 (http)
        ) as http:
            while perf_counter() < self._until:
                start = perf_counter()
                try:
                    await self._ask(http, rng)
                except httpx.HTTPError as exc:
                    self.wrong[type(exc).__name__] += 1
                self.times.append(perf_counter() - start)

    async def _ask(self, http: httpx.AsyncClient, rng: Random) -> None:
        what = rng.random()
        if what < 0.1 or not self._runs:
            answer = await self._asked("starts", http.post("/api/agent-start", json=_ORDER))
            if answer.status_code == 201:
                self._runs.append(answer.json()["_id"])
            return
        run_id = rng.choice(self._runs)
        if what < 0.4:
            await self._asked("ticks", http.post("/api/agent-tick", json={"runId": run_id}))
        else:
            await self._asked("looks", http.get("/api/agent-status", params={"runId": run_id}))

    async def _asked(self, what: str, asking: Awaitable[httpx.Response]) -> httpx.Response:
        answer = await asking
        self.asked[what] += 1
        if answer.status_code not in _ANSWERED:
            self.wrong[f"{answer.status_code} {answer.text[:200]}"] += 1
        return answer
