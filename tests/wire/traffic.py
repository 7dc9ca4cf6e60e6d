"""Clients of a fleet that do what clients must: send again what got no answer, come back when told to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import httpx

from tests.wire.fleet import CRON_SECRET, TOKEN, Fleet

__all__ = ["Answered", "Traffic"]

Json = dict[str, Any]

PATIENCE: Final = 15.0
"""Seconds after which a client gives an answer up."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A run as a 2xx answer showed it: from then on this must be part of its history."""

    run_id: str
    seq: int
    hash: str
    tick: int
    ended: str | None
    cancelled: bool
    """The answer was that to a cancel."""

    @classmethod
    def of(cls, run: Json, *, cancelled: bool) -> Answered:
        """What the answer said."""
        ended = None if run["status"] == "running" else str(run["status"])
        return cls(run["_id"], run["audit"]["seq"], run["audit"]["hash"], run["tick"], ended, cancelled)


class Traffic:
    """Requests to a fleet, counted by what became of them; `seed` decides what is asked of whom."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        """Nothing is sent yet."""
        self.count: Counter[str] = Counter()
        self.strange: list[str] = []
        self.answered: list[Answered] = []
        self.started: dict[str, set[str]] = {}
        self.cancelled: set[str] = set()
        self.running: set[str] = set()
        self.waiting: set[str] = set()
        """Running runs that were cancelled while a payment of theirs was out: it is not sent again, and waited for
        until nobody can cash it, for minutes."""
        self._ended: set[str] = set()
        self._fleet = fleet
        self._seed = seed
        self._http = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def rng(self, name: str) -> Random:
        """The randomness of one client."""
        return Random(f"{self._seed}:{name}")

    async def start(self, count: int, pause: float) -> None:
        """Start so many runs, each under its own key, until each is answered; now and then ask once more."""
        rng = self.rng("starts")
        for number in range(count):
            key = f"start-{number}"
            order = {"userId": "u1", "goal": f"run {number}", "budgetTotal": 5}
            for _ in range(rng.choice((1, 1, 1, 2))):  # whoever lost the answer sends the order again
                run = await self._until_done(rng, "/api/agent-start", order, {"idempotency-key": key})
                self.started.setdefault(key, set()).add(run["_id"])
                self._note(run)
            await asyncio.sleep(pause)

    async def tick(self, name: str) -> None:
        """Tick runs that have not ended, any at any process, until cancelled."""
        rng = self.rng(name)
        while True:
            await asyncio.sleep(rng.uniform(0.01, 0.1))
            if self.running:
                run_id = rng.choice(sorted(self.running))
                answer = await self._ask(rng, "POST", "/api/agent-tick", {"runId": run_id}, {})
                if answer is not None:
                    self.count["ticks"] += 1
                    self._note(answer["run"])

    async def cron(self) -> None:
        """Ask for rounds over all that is due, until cancelled."""
        rng = self.rng("cron")
        while True:
            await asyncio.sleep(1)
            headers = {"authorization": f"Bearer {CRON_SECRET}"}
            answer = await self._ask(rng, "GET", "/api/cron-tick", None, headers)
            if answer is not None:
                self.count["rounds"] += 1
                self.count["ticks in rounds"] += len(answer["ticked"])

    async def cancel(self, count: int, pause: float) -> None:
        """Cancel so many running runs, each until it is answered."""
        rng = self.rng("cancels")
        while len(self.cancelled) < count:
            await asyncio.sleep(pause)
            if self.running:
                run_id = rng.choice(sorted(self.running))
                answer = await self._until_done(rng, "/api/agent-cancel", {"runId": run_id}, {})
                self._note(answer["run"], cancelled=True)
                self.cancelled.add(run_id)

    async def all_ended(self) -> None:
        """Wait until every run that was started is known to have ended, but for those that are `waiting`."""
        while self.running - self.waiting:  # noqa: ASYNC110  (many clients change it)
            await asyncio.sleep(0.1)

    def _note(self, run: Json, *, cancelled: bool = False) -> None:
        self.answered.append(Answered.of(run, cancelled=cancelled))
        if run["status"] == "running" and run["_id"] not in self._ended:
            self.running.add(run["_id"])
        elif run["status"] != "running":
            self._ended.add(run["_id"])
            self.running.discard(run["_id"])
        out = run["_id"] in self.running and any(each["authorized"] for each in run["reservations"].values())
        (self.waiting.add if out and run["_id"] in self.cancelled else self.waiting.discard)(run["_id"])

    async def _until_done(self, rng: Random, path: str, body: Json, headers: Mapping[str, str]) -> Json:
        while True:
            answer = await self._ask(rng, "POST", path, body, headers)
            if answer is not None:
                return answer
            await asyncio.sleep(0.1)

    async def _ask(
        self, rng: Random, method: str, path: str, body: Json | None, headers: Mapping[str, str]
    ) -> Json | None:
        """The answer's body, or None where there was none and where it is to be asked again later."""
        address = self._fleet.address(rng)
        if address is None:
            return None
        self.count["requests"] += 1
        sent = {"authorization": f"Bearer {TOKEN}", **headers}
        try:
            answer = await self._http.request(method, address + path, json=body, headers=sent)
        except httpx.HTTPError:
            self.count["without an answer"] += 1
            return None
        if answer.is_success:
            found = json.loads(answer.content)
            assert isinstance(found, dict)
            return found
        if answer.status_code in (409, 503) and answer.headers.get("retry-after", "").isdigit():
            self.count["409" if answer.status_code == 409 else "503"] += 1
        else:
            self.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return None
