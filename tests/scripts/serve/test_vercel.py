"""What Vercel makes of this checkout (its rules: the project's notes on serverless Python)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.serve.servers import ROOT
from tests.scripts.vercel import entry_file, entry_points, is_asgi, loaded

API = sorted((ROOT / "api").glob("**/*.py"))
CONFIG = json.loads((ROOT / "vercel.json").read_text())


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


def test_the_index_is_what_vercel_finds() -> None:
    """The first file with an entry point is api/index.py, and its only one is `app`."""
    assert entry_file(ROOT) == ROOT / "api" / "index.py"
    assert entry_points((ROOT / "api" / "index.py").read_text()) == ["app"]


@pytest.mark.parametrize("stray", ["app.py", "main.py", "src/server.py", "app/asgi.py", "api/app.py"])
def test_a_stray_file_would_be_found_first(tmp_path: Path, stray: str) -> None:
    """The test above can fail; a file without an entry point is passed over."""
    for name in ("api/index.py", stray):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("app = 1\n")

    assert entry_file(tmp_path) == tmp_path / stray
    (tmp_path / stray).write_text("if True:\n    app = 1\n")
    assert entry_file(tmp_path) == tmp_path / "api" / "index.py"


@pytest.mark.parametrize("path", [path for path in API if path.name != "index.py"], ids=lambda path: path.name)
def test_no_other_module_is_served_by_accident(path: Path) -> None:
    """A stray `app` or `handler` would become a public function of its own."""
    assert entry_points(path.read_text()) == []


def test_the_app_is_asgi_as_vercel_wants_it() -> None:
    """What stands in the file that it finds; neither WSGI, nor a plain function that gives a coroutine."""

    class Wrapped:
        def __call__(self, scope: object, receive: object, send: object) -> object:
            return None

    path = entry_file(ROOT)
    assert path is not None

    assert is_asgi(loaded(path))
    assert not is_asgi(Wrapped())


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
    from agent.process.settings import Settings

    (limits,) = CONFIG["functions"].values()
    longest = next(
        each.le for each in Settings.model_fields["tick_deadline_seconds"].metadata if hasattr(each, "le")
    )

    assert longest < limits["maxDuration"] <= 300
    assert all(name in limits["excludeFiles"] for name in ("tests", "gpu_vendor_mock", "scripts"))


def test_what_is_not_shipped_is_not_imported() -> None:
    """The function's code needs nothing of the folders that are left out, and they are there to be left out."""
    ignored = [line for line in (ROOT / ".vercelignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert {"tests", "gpu_vendor_mock", "scripts", "docs"} <= set(ignored)
    assert not {"api", "agent", "vendors", "x402", "requirements.txt", "vercel.json"} & set(ignored)
    assert all([*ROOT.glob(each)] for each in ignored)
    shipped = [
        path for name in ("api", "agent", "vendors", "x402", "net") for path in (ROOT / name).glob("**/*.py")
    ]

    for path in shipped:
        assert not re.search(
            r"^\s*(from|import) (scripts|tests|gpu_vendor_mock)\b", path.read_text(), re.MULTILINE
        )


def test_no_secret_is_uploaded() -> None:
    """Where there is a `.vercelignore` no `.gitignore` is heeded, and `.env` is nothing that Vercel leaves out."""
    assert ".env*" in (ROOT / ".vercelignore").read_text().splitlines()
