"""Draw the demo's output for the README: `make picture` runs the demo and writes docs/demo.svg."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from scripts.demo.run import run_demo

__all__ = ["draw"]

_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def draw(target: Path) -> None:
    """Run the demo and write what it shows as SVG, without the web fonts that Rich would have a reader fetch."""
    console = Console(record=True, width=140, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    outcome = run_demo(console)
    if not outcome.good:
        raise SystemExit("the demo failed; there is nothing to draw")
    svg = console.export_svg(title="make demo")
    target.write_text(_FONTS.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
