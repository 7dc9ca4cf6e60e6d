"""`python -m only REQUIREMENTS[,NAME...] MODULE ...`: runs MODULE as if nothing else were installed.

Copied by its test into a directory that holds what an image holds.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType


def canonical(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Only(MetaPathFinder):
    """Finds nothing, and hides what belongs to other distributions than those allowed."""

    def __init__(self, allowed: set[str]) -> None:
        """`allowed`: canonical names of distributions."""
        self._hidden = {
            module
            for module, names in packages_distributions().items()
            if not allowed & {canonical(name) for name in names}
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None: others may look for it."""
        if path is None and fullname in self._hidden:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: it is not among the requirements", name=fullname
            )
        return None


def main() -> None:
    """Hide, then run."""
    requirements, *extra = sys.argv[1].split(",")
    pinned = re.findall(r"^([\w.-]+)==", Path(requirements).read_text(), re.MULTILINE)
    sys.meta_path.insert(0, Only({canonical(name) for name in [*pinned, *extra]}))
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
