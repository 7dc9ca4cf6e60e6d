"""`make audit`: known holes in what functions ship, by pip-audit.

Where no service answers it says that nothing was audited, and passes: a build must not depend on it. pip-audit
itself may pass in silence there: a mirror of PyPI answers 404 where it has no such service, and it takes that for
an answer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from scripts.serve.servers import ROOT

__all__ = ["Outcome", "ask_pip_audit", "audit"]

SERVICES: Final = ("pypi", "osv")
"""Asked in turn until one of them knows the packages."""

SOCKET_SECONDS: Final = 5
SERVICE_SECONDS: Final = 45.0

_UNREACHABLE: Final = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "SSLError",
    "ServiceError",
)


class _Hole(BaseModel):
    id: str
    fix_versions: list[str] = []


class _Dependency(BaseModel):
    name: str
    version: str = ""
    skip_reason: str | None = None
    vulns: list[_Hole] = []


class _Report(BaseModel):
    dependencies: list[_Dependency]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to say, and whether to fail."""

    lines: tuple[str, ...]
    failed: bool


Ask = Callable[[str], tuple[str, str]]
"""What pip-audit wrote to stdout and stderr when it was to use this service."""


def audit(ask: Ask, services: Sequence[str] = SERVICES) -> Outcome:
    """Ask the services in turn; the first that knows any of the packages has the word."""
    for service in services:
        out, err = ask(service)
        try:
            found = _Report.model_validate_json(out).dependencies
        except ValidationError:
            if not any(name in err for name in _UNREACHABLE):
                why = err.strip().splitlines()[-1:] or ["it said nothing"]
                return Outcome((f"pip-audit failed: {why[0]}",), failed=True)
            continue
        known = [each for each in found if each.skip_reason is None]
        if known:
            return _verdict(known, [each.name for each in found if each.skip_reason is not None], service)
    return Outcome((f"{' and '.join(services)} not reachable: nothing was audited",), failed=False)


def _verdict(known: Sequence[_Dependency], skipped: Sequence[str], service: str) -> Outcome:
    holes = [
        f"{each.name} {each.version}: {hole.id}, mended in {', '.join(hole.fix_versions) or 'no version yet'}"
        for each in known
        for hole in each.vulns
    ]
    lines = [*holes, f"{len(known)} packages audited with {service}: {len(holes) or 'no'} known holes"]
    if skipped:
        lines.append(f"NOT audited, for {service} does not know them: {', '.join(skipped)}")
    return Outcome(tuple(lines), failed=bool(holes))


def ask_pip_audit(service: str, requirements: Path = ROOT / "requirements.txt") -> tuple[str, str]:
    """Run it. One that takes too long counts as one that was not reached."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"]
    command = [sys.executable, "-m", "pip_audit", "-r", str(requirements), *options]
    command += ["-s", service, "--timeout", str(SOCKET_SECONDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SERVICE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "", "ReadTimeout"
    return done.stdout, done.stderr


def main() -> None:
    """Say it; exit 1 where there is a hole."""
    outcome = audit(ask_pip_audit)
    for line in outcome.lines:
        print(line)
    sys.exit(1 if outcome.failed else 0)


if __name__ == "__main__":
    main()
