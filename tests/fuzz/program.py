"""schemathesis as a program against a running API, in all its phases: it says what it skips and warns of.

    python -m tests.fuzz.program [--examples 50] [--seed 20261129]

The tests of this folder use it as a library, where nobody hears of an operation it left out or of a reference in
the description that leads nowhere.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel

from scripts.serve.servers import ServerFailed, api_server, clean
from tests.fuzz.aiming import Known
from tests.strangers.table import PASS, Result
from tests.strangers.verdict import conclude

__all__ = ["FEW", "SUITE", "results"]

SUITE: Final = "schemathesis"
"""Its name in the kept table."""
SEED: Final = 20261129
FEW: Final = 10
"""Random cases for each operation in a run of half a minute."""
PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")

_TOKEN: Final = "token-of-the-operator-for-the-fuzzer"
_CRON_SECRET: Final = "secret-of-the-cron-for-the-fuzzer"
_HERE: Final = Path(__file__).parent
_MOST_SAID: Final = 6_000
_SECONDS: Final = 1_200.0
"""For the most examples that anybody asks for; a short run takes half a minute."""


class _Phase(BaseModel):
    skip_reason: str | None = None


class _Operations(BaseModel):
    total: int
    tested: int
    skipped: int
    errored: int

    @property
    def whole(self) -> bool:
        return self.tested == self.total and not self.skipped and not self.errored


class _Failure(BaseModel):
    code: str
    title: str
    operations: list[str]


class _Report(BaseModel):
    """What we read of the program's report."""

    complete: bool
    stop_reason: str
    operations: _Operations
    phases: dict[str, _Phase]
    failures: list[_Failure]
    errors: list[object]
    warnings: dict[str, list[object]]


def results(suite: str, *, examples: int, seed: int = SEED) -> list[Result]:
    """Run it and hold what it says of itself against what a whole run says: a result each."""
    with tempfile.TemporaryDirectory() as home, api_server(Path(home), _settings(home)) as api:
        url = api.ready()
        report, said = _run(url, _known(url), examples, seed)
    failures = [f"{each.code} {each.title}: {', '.join(each.operations)}" for each in report.failures]
    return [
        Result(suite, "it ran to its end", PASS if report.complete else f"it stopped: {report.stop_reason}"),
        Result(suite, "every operation is tested", PASS if report.operations.whole else str(report.operations)),
        *(_phase(suite, phase, report.phases.get(phase)) for phase in PHASES),
        Result(suite, "failures", "; ".join(failures) or PASS, said[-_MOST_SAID:] if failures else ""),
        Result(suite, "errors", f"{len(report.errors)} errors" if report.errors else PASS, str(report.errors)),
        *(
            Result(suite, f"warning {kind}", ", ".join(map(str, where)) or PASS)
            for kind, where in sorted(report.warnings.items())
        ),
    ]


def _settings(home: str) -> dict[str, str]:
    sealing = base64.b64encode(bytes(range(32))).decode()
    return {"PURSER_HOME": home, "API_TOKEN": _TOKEN, "CRON_SECRET": _CRON_SECRET, "SEALING_KEYS": sealing}


def _known(url: str) -> Known:
    """A run, and one of the vendors that every new API has."""
    bearer = {"Authorization": f"Bearer {_TOKEN}"}
    with httpx.Client(base_url=url, headers=bearer, timeout=20, trust_env=False) as http:
        run = http.post(
            "/api/agent-start", json={"userId": "u1", "goal": "g", "budgetTotal": 5}
        ).raise_for_status()
        return Known(run.json()["_id"], "gpu_vendor_1", _TOKEN, "", _CRON_SECRET)


def _run(url: str, known: Known, examples: int, seed: int) -> tuple[_Report, str]:
    """The program's own report, and what it printed."""
    told = {"FUZZ_KNOWN": json.dumps(asdict(known)), "FUZZ_TOKEN": _TOKEN, "FUZZ_CRON_SECRET": _CRON_SECRET}
    with tempfile.TemporaryDirectory() as empty:
        report = Path(empty, "report.json")
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            str(_HERE / "schemathesis.toml"),
        ]
        options = ["--phases", ",".join(PHASES), "--mode", "all", "--checks", "all", "--generation-unique-inputs"]
        amounts = ["--max-examples", str(examples), "--seed", str(seed), "--no-shrink"]
        done = subprocess.run(
            [*command, "run", f"{url}/openapi.json", *options, *amounts, "--report-json-path", str(report)],
            cwd=empty,
            env=clean(told),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        if not report.exists():
            raise ServerFailed(f"schemathesis ended with {done.returncode} and no report: {said[-2000:]}")
        return _Report.model_validate_json(report.read_text()), said


def _phase(suite: str, name: str, phase: _Phase | None) -> Result:
    why = "it is not in the report" if phase is None else phase.skip_reason
    return Result(suite, f"phase {name}", PASS if why is None else f"skipped: {why}")


def main() -> int:
    """Run, print what the program says of itself, and hold it against the kept table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.program", description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="random cases for each operation")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    return conclude(results(SUITE, examples=asked.examples, seed=asked.seed), [SUITE])


if __name__ == "__main__":
    sys.exit(main())
