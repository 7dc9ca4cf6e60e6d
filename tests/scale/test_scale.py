"""The figures of docs/scale.md can be taken anywhere, and what they rest on holds with few runs as well."""

from __future__ import annotations

import asyncio

import pytest

from agent.dispatch.turns import fair_page
from tests.agent.builders import NOW
from tests.scale.queue import Crowd, Indexed, ask
from tests.scale.ticks import cost_of_a_run
from tests.wire.given import needs_server, server_uri


@pytest.mark.parametrize("runs", [3_000, 30_000])
def test_a_page_costs_the_index_what_is_due_and_not_what_there_is(runs: int) -> None:
    """A page of 1,000 is 1,000 keys; to look past one user costs that user's due runs, once."""
    index = Indexed(Crowd(runs, hog=1_500, others=10))

    page = asyncio.run(index.page(NOW, 1_000))
    assert (len(page), index.examined) == (1_000, 1_000)

    fair = asyncio.run(fair_page(index, NOW, 1_000, lambda _: 0))
    assert (len({due.user_id for due in fair.entries}), index.examined) == (11, 2 * 1_000 + 1_511)


@needs_server
async def test_the_queue_answers_alike_on_the_server_and_on_its_index() -> None:
    """What the keys are counted for is what the server finds."""
    _, answers = await ask(server_uri(), Crowd(2_000, hog=1_200, others=7))

    found = {answer.question: answer.found for answer in answers}
    assert found["a page of what is due"] == found["a fair page"] == found["how many are due, to 1,000"] == 1_000
    assert found["the same without one user"] == 7
    assert found["to cancel, or last words to tell"] == 0


@needs_server
async def test_what_a_tick_costs_is_counted() -> None:
    """Every command of a run's life is seen, and a look at nothing due is four of them."""
    cost = await cost_of_a_run(server_uri())

    assert cost.traffic["round with nothing due"].total == 4
    assert cost.traffic["tick that starts a job"].total <= 18
    assert cost.traffic["tick that finds nothing new"].total <= 6
    assert cost.stored["payments"][0] == 2
