"""Cold starts count: what is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("fireworks", "aiohttp", "httpx")


def loaded_by(statement: str) -> set[str]:
    """Which of the heavy packages are loaded after the statement, in a new process."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(HEAVY) & set(done.stdout.split())


@pytest.mark.parametrize("module", ["", ".context", ".stub", ".prompt", ".answer"])
def test_planning_without_a_model_loads_neither_sdk_nor_http_client(module: str) -> None:
    """The stub needs nothing of the sort."""
    assert loaded_by(f"import agent.kinds.rental.planner{module}") == set()


def test_the_sdk_is_not_loaded_before_the_first_plan() -> None:
    """Most ticks ask no planner, and then its 0.6 s are not spent."""
    made = "FireworksPlanner(api_key='k', model='m', fallback=StubPlanner())"
    planner = "agent.kinds.rental.planner"
    imports = f"from {planner}.fireworks import FireworksPlanner; from {planner}.stub import StubPlanner"

    assert loaded_by(f"{imports}; {made}") == {"httpx"}
    assert loaded_by("import fireworks") == set(HEAVY)
