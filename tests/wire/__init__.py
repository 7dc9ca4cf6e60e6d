"""Purser over the wire: a real server, real processes, real time."""

import pytest

pytest.register_assert_rewrite("tests.wire.reckoning")
