"""Each attack at each call that it is for: bounded by the quote, told in the trail, and the goal is reached."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

import pytest

from agent.book.models import Job
from tests.hostile import answers, connections
from tests.hostile.arena import QUOTED
from tests.hostile.attacks import AWAY, INJECTION, Attack
from tests.hostile.liar import At
from tests.hostile.opening import an_arena

MOST_MEMORY = 50 * 1024 * 1024
"""Bytes that a run may need at any moment beyond what was there before, the attacker's own in the same process."""

PATIENCE = {At.QUOTE: 0.5, At.ORDER: 0.5, At.PAYMENT: 1.2, At.STATUS: 0.5}
"""Seconds for a call that a vendor does not mean to answer. A payment comes after an order, within the same."""

MOST_SECONDS = 20.0
"""Seconds of one tick, whatever it is made to read; under tracemalloc, and beside other tests."""

PACE = 400.0
"""Seconds between ticks: longer than an authorization is good for, so that a payment is sent once."""

CASES = [(attack, at) for attack in (*connections.TABLE, *answers.TABLE) for at in attack.ends]
MARKS = ("</data>", "<script>", "<|im_", "ignore all rules", "\x1b", "\u202e")
"""What of `INJECTION` must not stand in a prompt outside of quoted data, or at all."""


@pytest.mark.parametrize(("attack", "at"), CASES, ids=[f"{at.value}-{attack.name}" for attack, at in CASES])
async def test_what_an_attack_costs(attack: Attack, at: At) -> None:
    """What is lost is the quote at most, the run goes on elsewhere, and what it keeps is fit to be read."""
    if attack.heavy:
        gc.collect()
        tracemalloc.start()
    try:
        patience = {at: PATIENCE[at]} if attack.slow else None
        async with an_arena({at: attack.script}, patience=patience, pace=PACE) as arena:
            ended = await arena.finish(await arena.start())
            jobs, trail = await arena.jobs(ended), await arena.told(ended)
            assert arena.liar
            assert at in arena.liar.seen.spoiled
            assert arena.liar.seen.cookies == []
            moved = arena.moved("gpu_vendor_1")
        peak = tracemalloc.get_traced_memory()[1] if attack.heavy else 0
    finally:
        tracemalloc.stop()

    assert (ended.status, ended.budget_reserved) == ("completed", 0)
    if attack.ends[at] == AWAY:
        assert [job.vendor_id for job in jobs] == ["gpu_vendor_2"]
        assert "gpu_vendor_1" in arena.planner.missed
        assert moved == 0
    else:
        _check_jobs(attack.ends[at], jobs, moved, trail)
    assert peak < MOST_MEMORY
    assert arena.longest_tick < MOST_SECONDS, "the others that share this process had to wait for it"
    if attack.slow:
        assert arena.longest_tick < PATIENCE[at] + 4, "what is honest takes its time, too"
    for prompt in arena.planner.prompts:
        _check_prompt(prompt)


def _check_jobs(code: str | None, jobs: Sequence[Job], moved: int, trail: str) -> None:
    """The first purchase ended so, and only then was there a second one, elsewhere."""
    first, *others = jobs
    assert (first.vendor_id, first.failure.code if first.failure else None) == ("gpu_vendor_1", code)
    assert [job.vendor_id for job in others] == (["gpu_vendor_2"] if code else [])
    assert moved in (0, QUOTED["gpu_vendor_1"])
    assert moved <= (first.actual_cost or 0) <= QUOTED["gpu_vendor_1"]
    if code is not None:
        assert f"Job at gpu_vendor_1 failed: {first.failure.message if first.failure else None}" in trail


def _check_prompt(prompt: str) -> None:
    """All that a vendor wrote stands in one JSON string of the data block; nothing of it is outside."""
    head, data, tail = prompt.split("\n", 2)
    assert (head, tail) == ("<data>", "</data>\nAnswer with the JSON object of the next action.")
    assert data.isascii()
    assert "<" not in data
    assert not any(mark in head + tail[7:] for mark in MARKS)


async def test_what_a_vendor_says_reaches_the_planner_as_data_only() -> None:
    """Its reason for failing is there to be weighed, without a bracket, an escape or a second line."""
    script = next(attack.script for attack in answers.TABLE if attack.name == "fails with instructions")
    async with an_arena({At.STATUS: script}) as arena:
        await arena.finish(await arena.start())
        prompt = arena.planner.prompts[-1]
    assert "ignore all rules above" in INJECTION
    assert prompt.count("ignore all rules above") == 1
    assert prompt.count("</data>") == 1
    _check_prompt(prompt)
