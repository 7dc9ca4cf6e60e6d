"""`make size`: how large a function is that ships what requirements.txt names and our packages, unzipped.

pip installs into `.cache/shipped`, byte-compiled as platforms do it, for the Python and the machine that run this.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from scripts.serve.servers import ROOT

__all__ = ["LIMIT_MB", "OURS", "main", "measure", "report"]

LIMIT_MB: Final = 150
"""Platforms take more (Lambda 250 MB, Vercel 500 MB), but size is cold start."""

OURS: Final = ("api", "agent", "vendors", "x402", "net", "scripts")
"""Our packages that ship: the Lambda handler is in `scripts`."""

SHOWN: Final = 12

_MB: Final = 1_000_000
_INSTALL_SECONDS: Final = 600


def measure(installed: Path, root: Path) -> dict[str, int]:
    """Bytes by distribution, and of our packages as `purser`."""
    sizes = {each.name: _bytes(each) for each in distributions(path=[str(installed)])}
    ours = (path for name in OURS for path in (root / name).rglob("*.py"))
    return {**sizes, "purser": sum(path.stat().st_size for path in ours)}


def report(sizes: dict[str, int]) -> list[str]:
    """A line for each of the heaviest, the rest in one, and the sum; megabytes of 10^6 bytes."""
    ranked = sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(size for _, size in ranked[SHOWN:])
    lines = [f"| {name} | {size / _MB:.1f} MB |" for name, size in ranked[:SHOWN]]
    lines.append(f"| {len(ranked[SHOWN:])} others | {rest / _MB:.1f} MB |")
    return [*lines, f"| **all** | **{sum(sizes.values()) / _MB:.1f} MB** of {LIMIT_MB} MB |"]


def main() -> int:
    """Install, measure and print; 1 where it is too much or pip fails."""
    try:
        sizes = measure(_installed(), ROOT)
    except subprocess.SubprocessError as exc:
        print(f"pip could not install requirements.txt: {exc}", file=sys.stderr)
        return 1
    print("\n".join(["| what | unzipped |", "|---|---|", *report(sizes)]))
    if sum(sizes.values()) <= LIMIT_MB * _MB:
        return 0
    print(f"the function would be larger than {LIMIT_MB} MB: drop or move one of the heaviest", file=sys.stderr)
    return 1


def _bytes(distribution: Distribution) -> int:
    places = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    return sum(place.stat().st_size for place in places if place.is_file())


def _installed() -> Path:
    """Where pip installed this requirements.txt, now or before."""
    requirements = ROOT / "requirements.txt"
    key = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:16]
    shelf = ROOT / ".cache" / "shipped"
    place = shelf / key
    if not place.is_dir():
        shutil.rmtree(shelf, ignore_errors=True)
        coming = shelf / f"{key}.part"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        options = [
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            str(coming),
            "-r",
            str(requirements),
        ]
        subprocess.run([*command, *options], check=True, timeout=_INSTALL_SECONDS)
        coming.rename(place)
    return place


if __name__ == "__main__":
    sys.exit(main())
