"""The contestants, each a process or two, and what they are set to do in turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from scripts.serve.servers import ROOT, clean
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
        self.failures: Counter[str] = Counter()
        self.why: dict[str, str] = {}
        """What failed, and why the last time, by task."""

    def do(self, task: str, times: int, url: str = "") -> list[float]:
        """What each time took, in seconds, of those that went well; the others are counted in `failures`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([task, times, url]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        found: list[float]
        found, failed, why = json.loads(line) if line else ([], times, "the worker has ended; it said why above")
        if failed:
            self.failures[task] += failed
            self.why[task] = why
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

    def note(self, row: str, name: str, figure: float | None) -> None:
        """A figure; None: there is none, for all tries failed."""
        found = self.figures.setdefault(row, {}).setdefault(name, [])
        if figure is not None:
            found.append(figure)


def run(sizes: Sizes, directory: Path, told: Callable[[str], object]) -> tuple[Figures, list[str]]:
    """Let them take turns: every round does every thing with every contestant. `told` hears how far it is.

    The figures, and a line for what failed of whom: it is counted and left out, and ends nothing.
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
        failed = [
            f"{name}: {count} x {task} failed ({stand.worker.why[task]})"
            for name, stand in stands.items()
            for task, count in sorted(stand.worker.failures.items())
        ]
    return book.figures, failed


def _round(stands: Mapping[str, _Stand], sizes: Sizes, book: _Book) -> None:
    """Every thing once. The limit of paying is what it cannot do without: a second request, two entries on the
    disk, a signature, a recovery, and their hashes."""
    ours = stands[OURS].worker
    stored, limit = _middle(ours.do("store", sizes.requests)), 0.0
    for task in ("sign", "verify"):
        for name, stand in stands.items():
            book.note(task, name, _middle(stand.worker.do(task, sizes.calls)))
        least = _middle(ours.do(f"limit of {task}", sizes.calls))
        book.note(task, "limit", least)
        limit += least or 0.0
    for name, stand in stands.items():
        plain = _middle(stand.worker.do("get", sizes.requests, stand.url + _PLAIN))
        paid = _middle(stand.worker.do("pay", sizes.requests, stand.url + _PAID))
        book.note("pay", name, _less(paid, plain))
        if name == OURS:
            if stored is not None and plain is not None:
                book.note("pay", "limit", stored + limit + plain)
                book.note("pay unstored", "limit", limit + plain)
            paid = _middle(stand.worker.do("pay unstored", sizes.requests, stand.url + _PAID))
        book.note("pay unstored", name, _less(paid, plain))
    for name, stand in stands.items():
        each = _middle(stand.worker.do("rush", sizes.rush, stand.url + _PAID))
        book.note("rush", name, None if each is None else 1 / each)
    for name, stand in stands.items():
        seconds, size = _started(stand)
        book.note("start", name, seconds)
        book.note("memory", name, size)


def _middle(figures: list[float]) -> float | None:
    return median(figures) if figures else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _started(stand: _Stand) -> tuple[float | None, float | None]:
    """Seconds and bytes of a process that gets ready to pay."""
    one = stand.contestant
    done = subprocess.run(
        [str(one.python), *one.start], cwd=ROOT, env=_environment(one), capture_output=True, text=True, check=False
    )
    if done.returncode:
        stand.worker.failures["start"] += 1
        stand.worker.why["start"] = done.stderr.strip().rpartition("\n")[2][:200]
        return None, None
    seconds, size = json.loads(done.stdout)
    return seconds, size
