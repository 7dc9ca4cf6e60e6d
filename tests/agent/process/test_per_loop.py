"""What belongs to a loop is made once for it and closed in it, whatever becomes of the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.process.per_loop import PerLoop


class Client:
    """Something bound to the loop that it was made in."""

    def __init__(self) -> None:
        """Open."""
        self.loop = asyncio.get_running_loop()
        self.open = True

    async def close(self) -> None:
        """Only its own loop may close it, and only once."""
        assert asyncio.get_running_loop() is self.loop
        assert self.open
        await asyncio.sleep(0)
        self.open = False


def clients() -> PerLoop[Client]:
    """One for each loop."""
    return PerLoop(Client, Client.close)


async def got(held: PerLoop[Client]) -> Client:
    """That of this loop, open."""
    client = held.get()
    assert client is held.get()
    assert client.open
    assert client.loop is asyncio.get_running_loop()
    return client


def test_a_loop_that_shuts_down_closes_what_it_has() -> None:
    """Without anybody asking for it; the next loop gets another."""
    held = clients()

    first, second = asyncio.run(got(held)), asyncio.run(got(held))

    assert first is not second
    assert not first.open
    assert not second.open


def test_a_loop_that_stays_keeps_what_it_has() -> None:
    """From one invocation to the next."""
    held = clients()
    with asyncio.Runner() as runner:
        first, second = runner.run(got(held)), runner.run(got(held))

        assert first is second
        assert first.open
    assert not first.open


def test_what_was_closed_by_hand_is_made_anew() -> None:
    """And closed but once, though the loop shuts down later. Closing nothing is no error."""
    held = clients()

    async def closed_and_got() -> list[Client]:
        await held.close()
        first = await got(held)
        await held.close()
        await held.close()
        assert not first.open
        return [first, await got(held)]

    first, second = asyncio.run(closed_and_got())

    assert first is not second
    assert not second.open


def test_loops_that_run_at_once_have_one_each() -> None:
    """And none closes another's."""
    held = clients()
    meeting = threading.Barrier(2)

    async def met() -> Client:
        client = await got(held)
        meeting.wait(10)
        assert client is await got(held)
        meeting.wait(10)  # neither loop ends before the other has looked
        return client

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: asyncio.run(met()), range(2))

    assert first is not second
    assert not first.open
    assert not second.open


@pytest.mark.parametrize("end", [lambda loop: loop.close(), lambda _: None], ids=["closed", "left"])
def test_what_an_ended_loop_left_is_let_go(end: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """It cannot be closed any more where its loop does not run: at least nothing holds it."""
    held = clients()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(got(held))
    end(loop)

    asyncio.run(got(held))

    assert held._held == {}
    loop.close()


def test_a_loop_that_was_let_go_and_comes_back_closes_the_old_and_keeps_the_new() -> None:
    """Two loops in turn: each time one runs, what it had before is closed in it, once."""
    held = clients()
    with asyncio.Runner() as one, asyncio.Runner() as other:
        old = one.run(got(held))
        other.run(got(held))

        new = one.run(got(held))
        one.run(asyncio.sleep(0.01))

        assert new is not old
        assert not old.open
        assert new.open
        assert one.run(got(held)) is new


def test_what_cannot_be_made_is_not_held() -> None:
    """The next use tries again."""
    tries = []

    def make() -> Client:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return Client()

    held = PerLoop(make, Client.close)

    async def twice() -> Client:
        with pytest.raises(ValueError, match="not yet"):
            held.get()
        return await got(held)

    assert not asyncio.run(twice()).open
