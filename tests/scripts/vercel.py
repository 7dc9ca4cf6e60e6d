"""How Vercel finds and takes a Python app in preset mode: its builder's and runtime's rules, in our own words."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["entry_file", "entry_points", "is_asgi", "loaded"]

FOLDERS: Final = ("", "src", "app", "api")
NAMES: Final = ("app", "index", "server", "main", "wsgi", "asgi")


def entry_file(root: Path) -> Path | None:
    """The first file with an entry point, folder by folder, name by name."""
    candidates = (root / folder / f"{name}.py" for folder in FOLDERS for name in NAMES)
    return next((path for path in candidates if path.is_file() and entry_points(path.read_text())), None)


def entry_points(source: str) -> list[str]:
    """What would be served: `app`, `application`, or anything called handler in whatever letters, in order."""
    return [
        name for name in names_at_the_top(source) if name in ("app", "application") or name.lower() == "handler"
    ]


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


def loaded(path: Path) -> Any:
    """The app of that file, which is loaded by its path, as a module that nothing else has imported."""
    spec = importlib.util.spec_from_file_location("vercel_entry", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, entry_points(path.read_text())[0])


def is_asgi(app: object) -> bool:
    """`async def __call__` with three required positionals; two would mean WSGI, a plain `def` is refused."""
    call = app if inspect.isfunction(app) else type(app).__call__
    wanted = [
        parameter
        for parameter in inspect.signature(call).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    return inspect.iscoroutinefunction(call) and len(wanted) == (3 if inspect.isfunction(app) else 4)
