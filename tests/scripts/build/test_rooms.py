"""Rooms: who may import whom, how full a room is, and that each says what is in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.build.rooms import FLOORS, ROOT, arrows, modules, picture, room_of

ROOMS = tuple(room for floor in FLOORS for room in floor)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
PACKAGES = [room for room in ROOMS if (ROOT / room.replace(".", "/")).is_dir()]
FULL = 15
CROWDED = ("api", "gpu_vendor_mock")
"""Rooms with more than that: one module for each route; a shop that is to have a room of its own."""


def inside(room: str) -> list[str]:
    """The modules that `ls` shows there."""
    own = ROOT / room.replace(".", "/")
    return sorted(path.stem for path in own.glob("*.py") if path.stem not in ("__init__", "__main__"))


def test_every_module_is_in_a_room_of_the_table() -> None:
    """So is one that is added."""
    assert {name for name in modules() if room_of(name) not in FLOOR} == {"agent", "agent.kinds"}


def test_no_arrow_runs_back_or_within_a_floor() -> None:
    """Each import leads to a lower floor, so there is no circle either."""
    back = {ends: which for ends, which in arrows().items() if FLOOR[ends[0]] >= FLOOR[ends[1]]}
    assert back == {}


def test_an_arrow_that_runs_back_is_seen(tmp_path: Path) -> None:
    """Wherever it hides: inside of a function, for types only, deep in a room."""
    for name, text in {
        "agent/book/money.py": "def f():\n    from agent.engine import tick\n",
        "agent/engine/tick.py": "",
        "x402/chain/deep/down.py": "import x402.selling.seller\nif T:\n    from vendors.models import Vendor\n",
        "x402/selling/seller.py": "",
        "vendors/models.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert arrows(tmp_path) == {
        ("agent.book", "agent.engine"): ["agent.book.money -> agent.engine.tick"],
        ("x402.chain", "x402.selling"): ["x402.chain.deep.down -> x402.selling.seller"],
        ("x402.chain", "vendors"): ["x402.chain.deep.down -> vendors.models"],
    }


@pytest.mark.parametrize("room", PACKAGES)
def test_a_room_is_not_crowded(room: str) -> None:
    """What one cannot hold in the head is two rooms."""
    assert (len(inside(room)) > FULL) is (room in CROWDED)


@pytest.mark.parametrize("room", PACKAGES)
def test_a_room_says_what_is_in_it(room: str) -> None:
    """Its `__init__` is its map: it names each of its modules, but for the routes of the API."""
    said = ast.get_docstring(ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())) or ""
    named = [name for name in inside(room) if room != "api" or name.startswith("_")]
    assert said
    assert [name for name in named if name not in said] == []


def test_the_map_in_the_docs_is_the_one_of_the_imports() -> None:
    """`make picture` draws it."""
    assert f"```mermaid\n{picture(arrows())}\n```" in (ROOT / "docs/architecture.md").read_text()
