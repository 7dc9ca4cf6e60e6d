"""Retries do not wait in these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def no_backoff() -> Iterator[None]:
    """As many tries as in production, without the pauses."""
    with stamina.set_testing(True, attempts=3):
        yield
