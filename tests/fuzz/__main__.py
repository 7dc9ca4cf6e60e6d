"""`make fuzz-api CASES=10000`: what the ordinary tests send, and as many random cases as are asked for."""

from __future__ import annotations

import argparse
import sys
import time

import pytest

__all__ = ["main"]

_TESTS = 3
"""With the operator's token, with a key of a user, and without."""


class _More:
    """A plugin of pytest that asks for more cases. (hypothesis must not be imported before pytest is.)"""

    def __init__(self, cases: int) -> None:
        self._cases = cases

    def pytest_sessionstart(self) -> None:
        """Before the tests are collected: that is when they read how many it should be."""
        from tests.fuzz.target import SCHEMA, TARGET

        operations = sum(1 for _ in SCHEMA.get_all_operations())
        TARGET.per_operation = max(1, self._cases // (operations * _TESTS))


def main() -> None:
    """Run, and say how many cases there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="random cases over all operations")
    more = _More(parser.parse_args().cases)
    began = time.monotonic()
    code = pytest.main(["-q", "-p", "no:cacheprovider", "tests/fuzz/test_api.py"], plugins=[more])
    from tests.fuzz.target import TARGET

    took = time.monotonic() - began
    said = "no failure" if code == 0 else "FAILED"
    sys.stdout.write(f"{TARGET.cases} cases, with the token, with a key and without, in {took:.0f} s: {said}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
