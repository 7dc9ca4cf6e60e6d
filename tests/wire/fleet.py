"""API processes that can be killed outright, on one database, and the vendors that they rent from."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from scripts.serve.servers import ServerProcess, clean

__all__ = ["CRON_SECRET", "TOKEN", "Fleet"]

TOKEN: Final = "token-of-the-fleet"
CRON_SECRET: Final = "cron-of-the-fleet"

_SETTINGS: Final = {
    "API_TOKEN": TOKEN,
    "CRON_SECRET": CRON_SECRET,
    "X402_PRIVATE_KEY": "42" * 32,  # all processes pay from one wallet
    "LOOPBACK_VENDORS": "allow",
    "TICK_DEADLINE_SECONDS": "10",  # the least there is: a lease lasts 20 s longer
    "POLL_SECONDS": "0.2",
}


class _Victim(ServerProcess):
    """An API process that may be killed at any moment."""

    def kill(self) -> None:
        """SIGKILL: no line of it runs any more."""
        process = self._running()
        process.kill()
        process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running().send_signal(number)


class Fleet:
    """`size` API processes on the database that `store` (settings) names. To be used in a `with` block.

    The last one is never killed; it can be put to sleep.
    """

    def __init__(self, size: int, directory: Path, store: dict[str, str]) -> None:
        """Nothing is started yet."""
        self.kills = 0
        self._asleep = False
        self._size = size
        self._directory = directory
        self._settings = {**_SETTINGS, **store}
        self._members: list[_Victim] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.push(self)
            for _ in range(self._size):
                self._members.append(self._born())
            self.ready()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asleep:
            self.wake()
        for member in self._members:
            member.__exit__(kind, exc, trace)

    def ready(self) -> list[str]:
        """Wait until all of them answer; their addresses."""
        return [member.ready() for member in self._members]

    def address(self, rng: Random) -> str | None:
        """The address of one that has begun to serve; it may be dead by now. None: there is none."""
        awake = self._members[:-1] if self._asleep else self._members
        return rng.choice([member.url for member in awake if member.url] or [None])

    def kill_one(self, rng: Random) -> None:
        """Kill any of them and start another in its place. It may be one that was only just starting."""
        place = rng.randrange(self._size - 1)
        self._members[place].kill()
        self._members[place].__exit__(None, None, None)
        self._members[place] = self._born()
        self.kills += 1

    def sleep(self) -> None:
        """Stop the last one where it stands. Nobody is sent there until it wakes, as behind a load balancer."""
        self._asleep = True
        self._members[-1].send(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on with what it was at, as if no time had passed."""
        self._members[-1].send(signal.SIGCONT)
        self._asleep = False

    def _born(self) -> _Victim:
        command = ["uvicorn", "api.index:app", "--host", "127.0.0.1", "--port", "0", "--no-access-log"]
        return _Victim("API", command, "/api/health", self._directory, clean(self._settings)).__enter__()
