"""The contestants, each a process or two, and what they are set to do in turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from scripts.servers import ROOT, clean
from tests.interop.processes import server

__all__ = [
    "CONTESTANTS",
    "OFFICIAL",
    "OURS",
    "WITH_COINCURVE",
    "Contestant",
    "Figures",
    "Sizes",
    "missing",
    "run",
]

OURS: Final = "Purser"
OFFICIAL: Final = "SDK as installed"
WITH_COINCURVE: Final = "SDK with coincurve"

_SDK: Final = ROOT / "tests/bench/python"
_PAID: Final = "/goods"
_PLAIN: Final = "/plain"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Whose Python runs, and how its worker, its seller and its start are called."""

    python: Path
    worker: tuple[str, ...]
    seller: tuple[str, ...]
    start: tuple[str, ...]


def _official(environment: str) -> Contestant:
    scripts = (str(_SDK / f"{name}.py") for name in ("worker", "seller", "start"))
    worker, seller, start = ((script,) for script in scripts)
    return Contestant(ROOT / environment / "bin/python", worker, seller, start)


CONTESTANTS: Final[Mapping[str, Contestant]] = {
    OURS: Contestant(
        Path(sys.executable),
        ("-m", "tests.bench.ours"),
        ("-m", "tests.bench.our_seller"),
        ("-m", "tests.bench.our_start"),
    ),
    OFFICIAL: _official(".venv-peers"),
    WITH_COINCURVE: _official(".venv-peers-coincurve"),
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rounds, and how often each thing is done in one."""

    rounds: int
    calls: int
    requests: int
    rush: int


Figures: TypeAlias = dict[str, dict[str, list[float]]]
"""Per row and contestant one figure per round: seconds, bytes, or what is derived from them."""


def missing() -> list[str]:
    """The contestants that are not installed."""
    return [name for name, one in CONTESTANTS.items() if not one.python.exists()]


class _Worker:
    """A process that does what it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, task: str, times: int, url: str = "") -> list[float]:
        """What each time took, in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([task, times, url]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended while it was at {task!r}; it said why above")
        found: list[float] = json.loads(line)
        return found


@contextmanager
def _worker(one: Contestant, directory: Path) -> Iterator[_Worker]:
    command = [str(one.python), *one.worker, str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(one), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _Worker(process)
        finally:
            process.terminate()


def _environment(one: Contestant) -> dict[str, str]:
    """No setting of the user's, and for the SDK no path that leads to our package of the same name."""
    environment = clean({"NO_PROXY": "127.0.0.1"})
    if one is not CONTESTANTS[OURS]:
        del environment["PYTHONPATH"]
    return environment


@dataclass(frozen=True, slots=True)
class _Stand:
    """A contestant under way: its worker, and the address of its seller."""

    contestant: Contestant
    worker: _Worker
    url: str


@dataclass(slots=True)
class _Book:
    figures: Figures = field(default_factory=dict)

    def note(self, row: str, name: str, figure: float) -> None:
        self.figures.setdefault(row, {}).setdefault(name, []).append(figure)


def run(sizes: Sizes, directory: Path, told: Callable[[str], object]) -> Figures:
    """Let them take turns: every round does every thing with every contestant. `told` hears how far it is.

    Raises:
        RuntimeError: one of them failed.
    """
    book = _Book()
    with ExitStack() as held:
        stands = {
            name: _Stand(
                one,
                held.enter_context(_worker(one, directory)),
                held.enter_context(server(str(one.python), *one.seller)),
            )
            for name, one in CONTESTANTS.items()
        }
        _round(stands, Sizes(1, 3, 3, 3), _Book())
        for number in range(sizes.rounds):
            told(f"round {number + 1} of {sizes.rounds}")
            _round(stands, sizes, book)
    return book.figures


def _round(stands: Mapping[str, _Stand], sizes: Sizes, book: _Book) -> None:
    """Every thing once. The limit of paying is what it cannot do without: a second request, two entries on the
    disk, a signature, a recovery, and their hashes."""
    ours = stands[OURS].worker
    stored, limit = median(ours.do("store", sizes.requests)), 0.0
    for task in ("sign", "verify"):
        for name, stand in stands.items():
            book.note(task, name, median(stand.worker.do(task, sizes.calls)))
        least = median(ours.do(f"limit of {task}", sizes.calls))
        book.note(task, "limit", least)
        limit += least
    for name, stand in stands.items():
        plain = median(stand.worker.do("get", sizes.requests, stand.url + _PLAIN))
        paid = median(stand.worker.do("pay", sizes.requests, stand.url + _PAID))
        book.note("pay", name, paid - plain)
        if name == OURS:
            book.note("pay", "limit", stored + limit + plain)
            book.note("pay unstored", "limit", limit + plain)
            paid = median(stand.worker.do("pay unstored", sizes.requests, stand.url + _PAID))
        book.note("pay unstored", name, paid - plain)
    for name, stand in stands.items():
        (each,) = stand.worker.do("rush", sizes.rush, stand.url + _PAID)
        book.note("rush", name, 1 / each)
    for name, stand in stands.items():
        seconds, size = _started(stand.contestant)
        book.note("start", name, seconds)
        book.note("memory", name, size)


def _started(one: Contestant) -> list[float]:
    """Seconds and bytes of a process that gets ready to pay."""
    done = subprocess.run(
        [str(one.python), *one.start], cwd=ROOT, env=_environment(one), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(one.start)} failed: {done.stderr[-2000:]}")
    found: list[float] = json.loads(done.stdout)
    return found
