"""`make test-wire` in CI: a test that was skipped fails the run, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.serve.servers import ROOT

SKIPPING = """
import pytest

def test_that_runs(record_property):
    record_property("cents lost", 0)

def test_that_does_not():
    pytest.skip("no server")
"""


@pytest.mark.parametrize(("required", "code"), [("required", 1), ("", 0)])
def test_a_skip_is_a_failure_where_a_server_is_required(tmp_path: Path, required: str, code: int) -> None:
    """And only there. The figures are printed in both cases."""
    (tmp_path / "test_sample.py").write_text(SKIPPING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.wire.report", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PURSER_WIRE": required},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == code, done.stdout
    assert "cents lost 0" in done.stdout
    assert ("a skipped test is a failure" in done.stdout) is bool(code)
