"""What Vercel makes of this checkout (its rules: the project's notes on serverless Python)."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.servers import ROOT

API = sorted((ROOT / "api").glob("**/*.py"))
CONFIG = json.loads((ROOT / "vercel.json").read_text())


def names_at_the_top(source: str) -> Iterator[str]:
    """Names that a module assigns, defines or imports at its top level, in order. Nested ones do not count."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            yield from (
                name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            )
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def entry_points(source: str) -> list[str]:
    """What Vercel would serve: `app`, `application`, or anything called handler in whatever letters."""
    return [
        name for name in names_at_the_top(source) if name in ("app", "application") or name.lower() == "handler"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "app = 1",
        "app: int = 1",
        "from x import app",
        "def app(): ...",
        "class Handler: ...",
        "import y as handler",
    ],
)
def test_the_rule_finds_what_vercel_finds(source: str) -> None:
    """The test below can fail."""
    assert entry_points(source) != []
    assert entry_points(f"if True:\n    {source}") == []


def test_the_index_serves_one_app() -> None:
    """The first and only entry point of api/index.py is `app`."""
    assert entry_points((ROOT / "api" / "index.py").read_text()) == ["app"]


@pytest.mark.parametrize("path", [path for path in API if path.name != "index.py"], ids=lambda path: path.name)
def test_no_other_module_is_served_by_accident(path: Path) -> None:
    """A stray `app` or `handler` would become a public function of its own."""
    assert entry_points(path.read_text()) == []


def test_the_app_is_asgi_as_vercel_wants_it() -> None:
    """`async def __call__` with three required positionals; fewer would mean WSGI."""
    from api.index import app

    call = type(app).__call__
    parameters = list(inspect.signature(call).parameters.values())[1:]

    assert inspect.iscoroutinefunction(call)
    assert [parameter.default for parameter in parameters] == [inspect.Parameter.empty] * 3


def test_the_fastapi_preset_is_used_and_no_route_is_rewritten() -> None:
    """With a catch-all rewrite every route would arrive as /api/index."""
    assert CONFIG["framework"] == "fastapi"
    assert not {"rewrites", "routes", "redirects"} & CONFIG.keys()
    assert re.search(r"^fastapi==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def test_dependencies_are_those_of_requirements_txt() -> None:
    """A root pyproject.toml would be taken for the dependency list, and ship nothing."""
    assert not (ROOT / "pyproject.toml").exists()
    assert not (ROOT / "Pipfile").exists()


def test_each_cron_is_a_route_that_get_reaches_on_a_free_plan() -> None:
    """Crons send GET; a free plan refuses to deploy anything denser than once a day."""
    from api.index import app

    paths = app.openapi()["paths"]
    for cron in CONFIG["crons"]:
        minute, hour, *rest = cron["schedule"].split()

        assert "get" in paths[cron["path"]]
        assert minute.isdecimal()
        assert hour.isdecimal()
        assert rest == ["*", "*", "*"]


def test_functions_have_time_for_a_round_and_ship_no_tests() -> None:
    """The limit is above the longest tick that settings allow, and within a free plan's 300 s."""
    from agent.settings import Settings

    (limits,) = CONFIG["functions"].values()
    longest = next(
        each.le for each in Settings.model_fields["tick_deadline_seconds"].metadata if hasattr(each, "le")
    )

    assert longest < limits["maxDuration"] <= 300
    assert all(name in limits["excludeFiles"] for name in ("tests", "gpu_vendor_mock", "scripts"))


def test_what_is_not_shipped_is_not_imported() -> None:
    """The function's code needs nothing of the folders that are left out."""
    shipped = [path for name in ("api", "agent", "vendors", "x402") for path in (ROOT / name).glob("**/*.py")]

    for path in shipped:
        assert not re.search(
            r"^\s*(from|import) (scripts|tests|gpu_vendor_mock)\b", path.read_text(), re.MULTILINE
        )
