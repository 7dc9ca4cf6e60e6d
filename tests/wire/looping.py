"""`python -m tests.wire.looping WAY EVENTS URL`: one process, many invocations; prints its open sockets as JSON.

Settings come from the environment. Each event asks the API for its health, starts a run, and calls URL with the
client that vendors are called with. After each the sockets of this process are counted: those to the database,
those to URL, and a loop's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import httpx

from api._app import create_app
from api._context import Context

START = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}


def sockets() -> int:
    """Open sockets of this process."""
    found = 0
    for entry in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
        except FileNotFoundError:  # the directory that is being listed
            continue
    return found


class Process:
    """The API as a process has it, and one event of it."""

    def __init__(self, url: str) -> None:
        """Nothing is opened yet."""
        self._context = Context()
        self._app = create_app(self._context)
        self._url = url
        self._token = self._context.settings.api_token

    async def event(self) -> None:
        """One invocation; raises where anything fails."""
        transport = httpx.ASGITransport(app=self._app)
        token = "" if self._token is None else self._token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://purser", headers=headers) as http:
            assert (await http.get("/api/health")).json()["store"] == "mongodb"
            (await http.post("/api/agent-start", json=START)).raise_for_status()
        (await self._context.services().http.get(self._url)).raise_for_status()


Event = Callable[[], Coroutine[None, None, None]]


def in_one_loop(runner: asyncio.Runner) -> Callable[[Event], None]:
    """As servers do, and Mangum since 0.21: the loop stays, and is not running between two events."""
    return lambda event: runner.run(event())


def in_a_new_loop(event: Event) -> None:
    """As `asyncio.run` does, and Mangum 0.20."""
    asyncio.run(event())


def in_a_new_thread(event: Event) -> None:
    """A thread and a loop of its own for each event."""
    together([lambda: asyncio.run(event())])


def in_two_threads(event: Event) -> None:
    """Two loops that run at once."""
    together([lambda: asyncio.run(event())] * 2)


def in_a_loop_closed_rudely(event: Event) -> None:
    """Closed without its shutdown: nothing of ours runs in it any more."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(event())
    loop.close()


def in_a_loop_that_is_left(event: Event) -> None:
    """Never closed, as in a thread whose loop somebody forgot."""
    asyncio.new_event_loop().run_until_complete(event())


def together(calls: list[Callable[[], None]]) -> None:
    """Each in a thread of its own; what one raises is raised here."""
    raised: list[BaseException] = []

    def caught(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as exc:
            raised.append(exc)

    threads = [threading.Thread(target=caught, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


WAYS: dict[str, Callable[[Event], None]] = {
    each.__name__: each
    for each in (
        in_a_new_loop,
        in_a_new_thread,
        in_two_threads,
        in_a_loop_closed_rudely,
        in_a_loop_that_is_left,
    )
}


def main() -> None:
    """Print the sockets before the first event, after each, and after the last loop."""
    way, events, url = sys.argv[1:]
    process = Process(url)
    counts = [sockets()]
    with ExitStack() as stack:
        invoke = WAYS.get(way) or in_one_loop(stack.enter_context(asyncio.Runner()))
        for _ in range(int(events)):
            invoke(process.event)
            counts.append(sockets())
    sys.stdout.write(json.dumps({"during": counts, "after": sockets()}))


if __name__ == "__main__":
    assert Path("/proc/self/fd").is_dir(), "sockets are counted where Linux shows them"
    main()
