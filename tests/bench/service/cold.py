"""How long a fresh process takes until it can answer, beside what it cannot do without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Final

from scripts.serve.servers import ROOT, clean
from tests.bench.service.table import Figure

__all__ = ["STATUS", "TICK", "command", "imports"]

_SHIPPED: Final = "import os, sys; sys.modules.update(dict.fromkeys(('click', 'rich', 'pygments')));"
"""Functions ship no terminal: httpx loads one where it finds it."""

FLOOR: Final = f"{_SHIPPED} import fastapi, pymongo"

STATUS: Final = f"{_SHIPPED} import api.index, agent.store.mongo, structlog"
"""All that a status request needs, its line in the log included; `tests/bench/test_cold.py` holds it to that."""

TICK: Final = f"{STATUS}, agent.wiring, agent.engine.tick"
"""The same for a tick."""


def imports(rounds: int) -> list[Figure]:
    """The functions' cold imports as multiples of the floor's. They take turns, each in a process of its own."""
    code = {"floor": FLOOR, "status": STATUS, "tick": TICK}
    ready = {name: (sys.executable, "-c", f"{text}; os._exit(0)") for name, text in code.items()}
    taken = _in_turn(ready, rounds, {})
    floor = median(taken["floor"])
    goals = {"status": 1.3, "tick": 1.8}
    return [
        Figure(
            f"cold import of the {name} function, against fastapi and pymongo alone",
            f"{median(taken[name]) / floor:.2f} ({median(taken[name]) * 1e3:.0f} / {floor * 1e3:.0f} ms)",
            median(taken[name]) / floor,
            goal,
        )
        for name, goal in goals.items()
    ]


def command(rounds: int, url: str, token: str, run_id: str) -> Figure:
    """`purser status` against a local server, start to exit."""
    commands = {"bare": (sys.executable, "-c", "pass"), "status": (str(ROOT / "purser"), "status", run_id)}
    taken = _in_turn(commands, rounds, {"PURSER_URL": url, "API_TOKEN": token})
    ours, bare = median(taken["status"]) * 1e3, median(taken["bare"]) * 1e3
    return Figure("`purser status`, start to exit, ms", f"{ours:.0f} (bare Python: {bare:.0f})", ours, 200)


def _in_turn(
    commands: Mapping[str, Sequence[str]], rounds: int, settings: Mapping[str, str]
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, line in commands.items():
            start = perf_counter()
            done = subprocess.run(line, cwd=ROOT, env=clean(settings), capture_output=True, text=True, check=False)
            seconds = perf_counter() - start
            if done.returncode:
                raise RuntimeError(f"{' '.join(line)} failed: {done.stderr[-2_000:]}")
            if number:  # the first round only warms the disk
                taken[name].append(seconds)
    return taken
