"""The rooms of the code and the arrows between them, from the imports: `make picture` draws the map in the docs.

A room is a package of the table below. An import of any kind is an arrow, also one inside of a function and one
for types only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["FLOORS", "ROOT", "arrows", "modules", "picture", "room_of", "write"]

ROOT: Final = Path(__file__).resolve().parents[2]

FLOORS: Final = (
    ("scripts.cli", "scripts.build"),
    ("scripts.demo", "scripts.pay"),
    ("scripts.serve", "scripts.view"),
    ("scripts.audit",),
    ("scripts",),
    ("scripts.client",),
    ("api",),
    ("agent.wiring",),
    ("agent.dispatch", "agent.intake", "agent.kinds.rental"),
    ("agent.engine",),
    ("agent.access",),
    ("agent.secrets", "agent.wallet"),
    ("agent.store",),
    ("agent.process",),
    ("agent.book",),
    ("gpu_vendor_mock", "vendors"),
    ("x402.chain",),
    ("x402.selling", "x402.wallets"),
    ("x402",),
    ("net",),
)
"""The rooms, from the top. An arrow leads to a lower floor."""

_ROOMS: Final = tuple(room for floor in FLOORS for room in floor)
_PACKAGES: Final = sorted({room.partition(".")[0] for room in _ROOMS})
_BLOCK: Final = re.compile(r"```mermaid\nflowchart TD\n.*?```", re.DOTALL)


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module that is no test, by its dotted name; a package by its own."""
    found = (path for package in _PACKAGES for path in sorted((root / package).rglob("*.py")))
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in found
    }


def room_of(module: str) -> str:
    """The room that a module is in, the innermost."""
    return max((room for room in _ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


def arrows(root: Path = ROOT) -> dict[tuple[str, str], list[str]]:
    """Which room imports from which other, with the imports: `module -> module`."""
    known = modules(root)
    found: dict[tuple[str, str], list[str]] = {}
    for module, path in known.items():
        for imported in _imported(path, known):
            ends = room_of(module), room_of(imported)
            if ends[0] != ends[1]:
                found.setdefault(ends, []).append(f"{module} -> {imported}")
    return found


def picture(found: Mapping[tuple[str, str], object]) -> str:
    """The map as a Mermaid chart, without an arrow to a room that others lead to by way of a third."""
    below: dict[str, set[str]] = {room: {end for start, end in found if start == room} for room in _ROOMS}
    lines = ["flowchart TD"]
    for room in _ROOMS:
        further = {end for near in below[room] for end in _reached(near, below)}
        lines += [f"    {room} --> {end}" for end in _ROOMS if end in below[room] - further]
    return "\n".join(lines)


def write(page: Path) -> None:
    """Put the map into the page, in the place of the one that is there."""
    drawn = f"```mermaid\n{picture(arrows())}\n```"
    page.write_text(_BLOCK.sub(lambda _: drawn, page.read_text("utf-8")), "utf-8")


def _reached(room: str, below: Mapping[str, set[str]]) -> set[str]:
    """Every room below this one."""
    return below[room] | {end for near in below[room] for end in _reached(near, below)}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from {name if name in known else node.module for name in names} & known.keys()
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known.keys()


if __name__ == "__main__":
    write(ROOT / "docs/architecture.md")
