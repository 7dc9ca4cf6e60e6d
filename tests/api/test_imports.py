"""What a function loads when it starts cold, and what is public of each module."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("net", "x402", "vendors", "agent", "api", "gpu_vendor_mock", "scripts")
ORDER = {"net": 0, "x402": 1, "vendors": 2, "agent": 3, "api": 4}
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_status_function_loads_nothing_that_only_ticks_need() -> None:
    """Cold start counts."""
    script = "import sys, api.agent_status; print(*sorted(m.partition('.')[0] for m in sys.modules))"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    heavy = {"web3", "fireworks", "eth_account", "coincurve", "mongomock", "httpx", "aiohttp", "mangum"}
    assert not heavy & set(done.stdout.split())


def test_the_app_loads_no_client_before_it_is_used() -> None:
    """The whole app: neither the LLM's SDK nor the embedded store."""
    script = "import sys, api.index; print(*sorted(m.partition('.')[0] for m in sys.modules))"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert not {"web3", "fireworks", "eth_account", "mongomock", "aiohttp", "structlog"} & set(done.stdout.split())


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_runs_back(path: Path) -> None:
    """api -> agent -> vendors -> x402 -> net, gpu_vendor_mock -> x402, scripts -> all; nobody imports tests."""
    package = path.relative_to(ROOT).parts[0]
    ours = imported(path) & {*PACKAGES, "tests"}

    if package == "gpu_vendor_mock":
        assert ours <= {"gpu_vendor_mock", "x402", "net"}
    elif package != "scripts":
        assert {ORDER.get(name, 99) for name in ours} <= set(range(ORDER[package] + 1))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_environment_and_database_are_touched_in_one_place_each(path: Path) -> None:
    """One module reads the environment, the stores talk to MongoDB, nobody else does."""
    name = str(path.relative_to(ROOT))
    text = path.read_text()

    if not name.startswith(("agent/store/", "scripts/")) and name != "x402/selling/settlements_mongo.py":
        assert not imported(path) & {"pymongo", "mongomock", "motor"}
    if name not in ("agent/process/environment.py", "scripts/serve/servers.py"):
        assert "os.environ" not in text
        assert "getenv" not in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_is_public(path: Path) -> None:
    """And every name of `__all__` is there."""
    tree = ast.parse(path.read_text())
    if path.name in ("__init__.py", "__main__.py") and not any(isinstance(node, ast.Assign) for node in tree.body):
        return
    if path.name in ("index.py", "__main__.py"):
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))

    assert [name for name in module.__all__ if not hasattr(module, name)] == []
